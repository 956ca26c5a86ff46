"""A whole comparison: ten methods by fifteen metrics, and what they share."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

import jaxplain
from jaxplain import evaluate, rules

from ._harness import Effort, seconds
from ._metrics import CLASSES, LAYERS, Subject, subject
from ._report import Row, Topic, ratio

EXAMPLES, CHUNK, BATCH = 64, 1, 32
STEPS = 28

Score = Callable[..., Any]


def methods(f: Score) -> dict[str, Callable[..., Any]]:
    """Ten explanations that need no random numbers."""
    window = {"window": (4, 4), "stride": 4, "chunk": CHUNK}
    return {
        "gradient": jax.grad(f),
        "saliency": jaxplain.saliency(f),
        "input x gradient": jaxplain.input_x_grad(f),
        "integrated gradients": jaxplain.integrated_grad(f, steps=20, chunk=CHUNK),
        "guided backprop": jaxplain.guided_backprop(f),
        "deconvnet": jaxplain.deconvnet(f),
        "DeepLIFT": jaxplain.deeplift(f),
        "LRP, epsilon": jaxplain.lrp(f, rules.epsilon()),
        "LRP, EpsilonPlus": jaxplain.lrp(f, rules.epsilon_plus()),
        "occlusion": jaxplain.occlusion(f, **window),
    }


def metrics(s: Subject) -> dict[str, Callable[..., Any]]:
    """Fifteen metrics of six kinds."""
    chunk = {"chunk": CHUNK}
    patches = chunk | {"patch": 4, "removal": None}
    near = chunk | {"samples": 4}
    masked = ("pointing_game", "relevance_mass_accuracy", "localization_auc")
    bound = functools.partial
    return {
        "pixel_flipping": bound(evaluate.pixel_flipping, steps=STEPS, **chunk),
        "abpc": bound(evaluate.abpc, steps=STEPS, **chunk),
        "region_perturbation": bound(evaluate.region_perturbation, regions=20, **patches),
        "selectivity": bound(evaluate.selectivity, **patches),
        "road": bound(evaluate.road, noise=0, **chunk),
        "faithfulness_correlation": bound(evaluate.faithfulness_correlation, subset=224, **chunk),
        "infidelity": bound(evaluate.infidelity, samples=50, **chunk),
        "monotonicity": bound(evaluate.monotonicity, steps=STEPS, **chunk),
        "max_sensitivity": bound(evaluate.max_sensitivity, **near),
        "relative_input_stability": bound(evaluate.relative_input_stability, **near),
        "random_logit": bound(evaluate.random_logit, classes=CLASSES),
        "complexity": evaluate.complexity,
        **{name: getattr(evaluate, name) for name in masked},
    }


def examples(s: Subject, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pictures, their classes, and the masks of an object."""
    x = jax.random.normal(jax.random.key(4), (count, *s.model.x.shape[1:]))
    labels = jnp.argmax(s.model.apply(s.model.variables, x), axis=-1)
    return x, labels, jnp.asarray(s.mask[jnp.zeros(count, int)])


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """All of it at once, from a cold start; and one metric for ten methods or for each of them."""
    s, count = subject(name), 4 if effort.quick else EXAMPLES
    f, chosen = s.model.score, metrics(s)
    if effort.quick:
        chosen = {metric: chosen[metric] for metric in ("pixel_flipping", "pointing_game")}
    x, labels, mask = examples(s, count)
    data = {metric: {"mask": mask} for metric in chosen if _needs_mask(metric)}
    explained = methods(f)
    if effort.quick:
        explained = {method: explained[method] for method in list(explained)[:3]}
    start = time.perf_counter()
    report = evaluate.benchmark(
        f, explained, chosen, x, labels, key=jax.random.key(0), data=data, batch=BATCH
    )
    whole = time.perf_counter() - start
    title = f"{name}, {count} pictures"
    cells = f"{len(explained)} methods, {len(report.summaries)} metrics, 2 controls"
    yield title, f"`benchmark` of {cells}, with compilation", f"{whole:.1f}", "-", "-"
    for metric in ("faithfulness_correlation", "pixel_flipping"):
        if metric in chosen:
            yield _shared(title, f, metric, chosen[metric], explained, x, labels)


def _shared(
    title: str,
    f: Score,
    metric: str,
    made: Callable[..., Any],
    explained: dict[str, Callable[..., Any]],
    x: jax.Array,
    labels: jax.Array,
) -> Row:
    """One metric of all methods in one program, and in one for each."""
    random = {} if metric == "pixel_flipping" else {"key": jax.random.split(jax.random.key(1), 32)}

    def warm(attribution: Any) -> float:
        run = functools.partial(jax.jit(jax.vmap(made(f, attribution))), x[:32], labels[:32])
        keys = {name: keys[: len(x)] for name, keys in random.items()}
        seconds(functools.partial(run, **keys))
        return seconds(functools.partial(run, **keys))

    together, each = warm(explained), sum(map(warm, explained.values()))
    what = f"`{metric}` of {len(explained)} methods in one call, and in one for each"
    return title, what, f"{together:.2f}", f"{each:.2f}", f"**{ratio(together, each)}**"


def _needs_mask(metric: str) -> bool:
    return metric in ("pointing_game", "relevance_mass_accuracy", "localization_auc")


TOPIC = Topic(
    name="comparison",
    title="A whole comparison of methods",
    about=(
        "`evaluate.benchmark` of ten methods (gradients, integrated gradients with 20 steps, "
        "guided backprop, deconvnet, DeepLIFT, LRP with two rules, occlusion) and two controls by "
        f"fifteen metrics (pixel flipping and its kin with {STEPS} steps, ROAD, faithfulness "
        "correlation with 100 samples, infidelity with 50, sensitivity and stability with 4, "
        "the class at random, complexity, three of localization), from the call to the report, "
        "compilation and intervals included. Below it, one metric of the ten methods in one call "
        "against one call for each method, both compiled before, of the first 32 pictures: what "
        "does not depend on the method is then computed once."
    ),
    columns=("model, pictures", "what", "seconds", "one by one, s", "**ratio**"),
    subjects=tuple(LAYERS),
    measure=measure,
)
