"""Occlusion against Captum, and against the model's own forward passes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
from captum.attr import Occlusion

import jaxplain

from ._contest import TOLERANCE, Size, size_name
from ._harness import Effort, Run, check_agreement, fastest, search, take_turns
from ._models import Model, model
from ._report import Row, Topic, milliseconds, ratio

WINDOWS = {"CNN": (4, 2), "SqueezeNet": (32, 16), "EfficientNet-Lite0": (32, 16)}
"""The side and the stride of the window, in pixels."""

SIZES = (1, 2, 4, 8, 16, 32, 64)


def sizes(effort: Effort) -> tuple[Size, ...]:
    """The numbers of windows that are evaluated at once."""
    return (4, 16) if effort.quick else SIZES


def explain(m: Model, size: Size) -> Run:
    """The compiled explanation of a model's batch."""
    side, stride = WINDOWS[m.name]
    attribution = jaxplain.occlusion(m.score, window=(side, side), stride=stride, chunk=size)
    compiled = jax.jit(jax.vmap(attribution)).lower(m.x, m.labels).compile()
    return functools.partial(compiled, m.x, m.labels)


def captum(m: Model, size: Size) -> Run:
    """The same with Captum, `size` windows in one pass."""
    side, stride = WINDOWS[m.name]
    channels = m.x.shape[-1]
    return functools.partial(
        Occlusion(m.twin).attribute,
        m.inputs,
        target=m.target,
        sliding_window_shapes=(channels, side, side),
        strides=(channels, stride, stride),
        perturbations_per_eval=size,
    )


def count(m: Model) -> int:
    """How many evaluations of each example an explanation takes."""
    side, stride = WINDOWS[m.name]
    down, right = (1 + -(-(size - side) // stride) for size in m.x.shape[1:3])
    return down * right + 1


def forward(m: Model, size: int) -> tuple[Run, int]:
    """The model alone on `size` copies of the batch, and how often that makes an explanation."""
    batch = jnp.concatenate([m.x] * size)
    compiled = jax.jit(m.apply).lower(m.variables, batch).compile()
    return functools.partial(compiled, m.variables, batch), -(-count(m) // size)


def fastest_forward(m: Model, effort: Effort) -> tuple[Run, float, int]:
    """The best batch for the model's passes: one of them, its share of them all, its size."""
    runs = {size: forward(m, size) for size in sizes(effort)}
    tried = search({size: run for size, (run, _) in runs.items()}, effort)
    size = fastest({size: once * runs[size][1] for size, once in tried.items()})
    return runs[size][0], count(m) / size, size


def best(runs: Mapping[Size, Run], effort: Effort) -> Size:
    """The size that takes the least time."""
    return fastest(search(runs, effort))


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Both at their best, and the passes that no method can do without."""
    m = model(name)
    ours = {size: explain(m, size) for size in sizes(effort)}
    theirs = {size: captum(m, size) for size in sizes(effort)}
    size, peer_size = best(ours, effort), best(theirs, effort)
    apart = check_agreement(ours[size](), m.from_twin(theirs[peer_size]()), TOLERANCE)
    once, times, batch = fastest_forward(m, effort)
    taken = take_turns({"ours": ours[size], "theirs": theirs[peer_size], "pass": once}, effort)
    mine, peer, passes = taken["ours"], taken["theirs"], taken["pass"].median * times
    yield (
        f"{m.title}, {count(m) - 1} windows",
        milliseconds(mine),
        size_name(size),
        milliseconds(peer),
        size_name(peer_size),
        f"**{ratio(mine.median, peer.median)}**",
        milliseconds(passes),
        str(batch),
        ratio(mine.median, passes),
        f"{apart:.0e}",
    )


TOPIC = Topic(
    name="occlusion",
    title="Occlusion, against Captum and the forward passes alone",
    about=(
        "`jax.jit(jax.vmap(jaxplain.occlusion(f, window=..., stride=..., chunk=...)))` against "
        "`captum.attr.Occlusion` with `perturbations_per_eval`, windows of "
        + ", ".join(
            f"{side} pixels, stride {step} ({name})" for name, (side, step) in WINDOWS.items()
        )
        + ". Either side evaluates as many windows at once as suits it best (its chunk), found by "
        f"trying {', '.join(map(str, SIZES))}. Beside them the time of the model's own forward "
        "passes, compiled, on as many copies of the batch at once as suits them best, times the "
        "number of evaluations: what the method cannot do without. The last column is the norm of "
        "the difference to Captum as a share of Captum's."
    ),
    columns=(
        "model, batch",
        "jaxplain, ms",
        "chunk",
        "Captum, ms",
        "its chunk",
        "**ratio**",
        "forward passes, ms",
        "copies",
        "ratio",
        "difference",
    ),
    subjects=tuple(WINDOWS),
    measure=measure,
)
