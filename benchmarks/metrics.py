"""Metrics of explanations against Quantus, and against the model's own passes."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp

from ._contest import size_name
from ._harness import LONG, Effort, Run, fastest, search, seconds, take_turns
from ._metrics import CASES, EXAMPLES, Case, Subject, ours, passes, subject
from ._quantus import MISSING, import_quantus, theirs
from ._report import Row, Topic, describe, milliseconds, ratio

SIZES = (1, 4, 16)
AT_ONCE = {"forward": (8, 32, 128, 512), "gradient": (8, 16, 32, 128)}
"""How many examples the model sees at once where it is measured alone."""

QUICK = ("pixel_flipping", "max_sensitivity", "pointing_game")
TURNS = 1.5
"""Seconds that contenders take turns: there are many rows."""


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """All metrics of one model."""
    quantus, s = import_quantus(), subject(name)
    shorter = replace(effort, seconds=min(effort.seconds, TURNS))
    for metric, case in CASES.items():
        if not effort.quick or metric in QUICK:
            try:
                yield _row(metric, case, s, quantus, shorter)
            except Exception as error:  # one broken row must not hide the others
                traceback.print_exc()
                yield (f"{name}, `{metric}`", describe(error), *[""] * 6)


def _row(metric: str, case: Case, s: Subject, quantus: object, effort: Effort) -> Row:
    """Ours at its best, the passes at their best, and one run of Quantus."""
    needed = passes(case, s)
    sizes = _sizes(needed, effort)
    tried = {size: ours(case, s, size) for size in sizes}
    size = fastest(search(tried, effort)) if len(tried) > 1 else sizes[0]
    runs = {"ours": tried[size]}
    floors = {}
    for kind, count in zip(AT_ONCE, needed, strict=True):
        if count:
            once, at_once = alone(s.name, kind, effort.quick)
            runs[kind], floors[kind] = once, count * EXAMPLES / at_once
    peer = _peer(case, s, quantus)
    if isinstance(peer, float):
        taken = take_turns(runs, effort)
    else:
        taken = take_turns(runs | ({} if peer is None else {"theirs": peer}), effort)
    floor = sum(taken[kind].median * times for kind, times in floors.items())
    mine = taken["ours"].median
    their = peer if isinstance(peer, float) else taken.get("theirs")
    return (
        f"{s.name}, `{metric}`",
        milliseconds(taken["ours"]),
        size_name(size) if any(needed) else "-",
        milliseconds(floor) if floor else "-",
        f"**{ratio(mine, floor)}**" if floor else "-",
        case.quantus or "-",
        _peer_cell(case, quantus, their),
        "-" if their is None else f"**{ratio(mine, getattr(their, 'median', their))}**",
    )


def _sizes(needed: tuple[int, int], effort: Effort) -> tuple[int | None, ...]:
    """The chunks that are tried: none for a metric that asks neither model nor method."""
    if not any(needed):
        return (None,)
    return SIZES[:1] if effort.quick else tuple(size for size in SIZES if size <= max(needed))


@functools.cache
def alone(name: str, kind: str, quick: bool) -> tuple[Run, int]:
    """The compiled model, or its gradient, on as many examples at once as suits it best."""
    s = subject(name)
    runs, effort = {}, Effort(0, 0, search=0.01 if quick else 0.3)
    for count in AT_ONCE[kind][:2] if quick else AT_ONCE[kind]:
        x = jnp.resize(s.model.x, (count, *s.model.x.shape[1:]))
        labels = jnp.resize(s.model.labels, (count,))
        if kind == "forward":
            program = jax.jit(s.model.apply).lower(s.model.variables, x).compile()
            runs[count] = functools.partial(program, s.model.variables, x)
        else:
            program = jax.jit(jax.vmap(jax.grad(s.model.score))).lower(x, labels).compile()
            runs[count] = functools.partial(program, x, labels)
    found = search(runs, effort)
    best = min(found, key=lambda count: found[count] / count)
    return runs[best], best


def _peer(case: Case, s: Subject, quantus: object) -> Run | float | None:
    """Quantus: a run that can take turns, or the seconds of one that takes long, once warm."""
    if quantus is None or not case.quantus:
        return None
    run = theirs(
        quantus, case.quantus, case.options, s.model, s.relevance, s.mask, case.quantus == "IROF"
    )
    once = seconds(run)
    return run if once < LONG else seconds(run) if once < 5 * LONG else once


def _peer_cell(case: Case, quantus: object, their: object) -> str:
    if their is None:
        return MISSING if case.quantus and quantus is None else "-"
    return milliseconds(their)  # type: ignore[arg-type]


TOPIC = Topic(
    name="metrics",
    title="Metrics of explanations against Quantus, and against the model's passes alone",
    about=(
        f"`jax.jit(jax.vmap(evaluate.METRIC(f, attribution, chunk=...)))` of {EXAMPLES} pictures "
        "of 28 x 28 pixels, one run of a compiled program, at the chunk that suits it best. Beside "
        "it the passes alone: the compiled model, or its gradient, on as many examples at once as "
        "suits it best, times the passes that the metric cannot do without. Then Quantus 0.6.0 on "
        "the twin in torch, all examples in one batch, with the same explanations (the gradients, "
        "there before, or asked for anew where the metric needs that), the same number of passes "
        "and its own defaults for everything else. Ratios are jaxplain's time divided by the "
        "other's: below 1 jaxplain is faster. Rows in which Quantus has another formula of the "
        "same cost: `sensitivity_n`, `monotonicity`, `infidelity`, `parameter_randomization`; "
        "where it segments the picture by itself, `irof`, ours is given squares. `random_logit` "
        "explains two classes of each example, Quantus one, as it is given the other."
    ),
    columns=(
        "model, metric",
        "jaxplain, ms",
        "chunk",
        "passes alone, ms",
        "**ratio**",
        "in Quantus",
        "Quantus, ms",
        "**ratio**",
    ),
    subjects=("MLP", "CNN"),
    measure=measure,
)
