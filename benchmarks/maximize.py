"""Activation maximization against nothing but its gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

import jaxplain
from jaxplain import parametrizations, transforms

from ._harness import Effort, Run, take_turns
from ._models import Model, model
from ._report import Row, Topic, milliseconds, ratio

STEPS = 32
PIXELS: dict[str, Any] = {"parametrization": parametrizations.pixels((-3, 3))}
SPECTRUM: dict[str, Any] = {"parametrization": parametrizations.fourier(bounds=(-3, 3))}
ROBUST: dict[str, Any] = SPECTRUM | {
    "transforms": [transforms.jitter(4), transforms.scale(0.9, 1.1), transforms.rotate(5)]
}
KINDS = {"pixels": PIXELS, "spectrum": SPECTRUM, "spectrum, three transforms": ROBUST}


def ascent(m: Model, options: dict[str, Any]) -> Run:
    """The compiled maximization of a batch of starts."""
    maximize: Callable[..., Any] = jaxplain.maximize_activation(m.score, steps=STEPS, **options)
    keys = {"key": jax.random.split(jax.random.key(0), len(m.x))} if "transforms" in options else {}
    compiled = jax.jit(jax.vmap(maximize)).lower(m.x, m.labels, **keys).compile()
    return functools.partial(compiled, m.x, m.labels, **keys)


def gradient(m: Model) -> Run:
    """The compiled gradient at one point for each start."""
    compiled = jax.jit(jax.vmap(jax.value_and_grad(m.score))).lower(m.x, m.labels).compile()
    return functools.partial(compiled, m.x, m.labels)


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Each way to move the input, and as many gradients by themselves."""
    m = model(name)
    once = gradient(m)
    kinds = KINDS if m.x.ndim == 4 else {"pixels": PIXELS}
    for kind, options in kinds.items():
        taken = take_turns({"ascent": ascent(m, options), "gradient": once}, effort)
        gradients = taken["gradient"].median * STEPS
        yield (
            f"{m.title}",
            kind,
            milliseconds(taken["ascent"]),
            milliseconds(gradients),
            f"**{ratio(taken['ascent'].median, gradients)}**",
        )


TOPIC = Topic(
    name="maximize",
    title="Activation maximization against nothing but its gradients",
    about=(
        f"`jaxplain.maximize_activation` with {STEPS} steps of Adam, compiled, from a batch of "
        f"starts, against {STEPS} calls of the compiled gradient of the score, one after another: "
        "what the steps, the parametrization and the transforms cost beside the network. Three "
        "transforms are jitter, scale and rotation."
    ),
    columns=("model, starts", "what moves", "ascent, ms", "gradients, ms", "**ratio**"),
    subjects=("MLP", "CNN", "SqueezeNet", "EfficientNet-Lite0"),
    measure=measure,
)
