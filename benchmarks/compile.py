"""How long the first call takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

import jaxplain

from ._harness import Effort, seconds
from ._models import MODELS, model
from ._report import Row, Topic, number
from .smooth import arguments, smoothed


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """The seconds of a gradient, integrated gradients and SmoothGrad."""
    m = model(name)

    def gradient() -> None:
        build(jax.vmap(jax.grad(m.score)), m.x, m.labels)

    def integrated() -> None:
        build(jax.vmap(jaxplain.integrated_grad(m.score)), m.x, m.labels)

    def chunked() -> None:
        build(jax.vmap(jaxplain.integrated_grad(m.score, chunk=5)), m.x, m.labels)

    def smooth() -> None:
        build(smoothed(m), *arguments(m))

    yield (m.title, *(number(seconds(run)) for run in (gradient, integrated, chunked, smooth)))


def build(function: Callable[..., Any], *args: Any) -> None:
    """Trace and compile."""
    jax.jit(function).lower(*args).compile()


TOPIC = Topic(
    name="compile",
    title="Time to compile",
    about=(
        "Seconds to trace and compile (`jax.jit(...).lower(...).compile()`, without JAX's "
        "persistent cache), paid once for each function and shape. The plain gradient is the "
        "floor; the others should cost a small multiple of it, whatever the number of steps."
    ),
    columns=(
        "model, batch",
        "`jax.grad`, s",
        "`integrated_grad`, s",
        "`integrated_grad`, chunk=5, s",
        "`smooth`, s",
    ),
    subjects=MODELS,
    measure=measure,
)
