"""Integrated gradients that choose their own number of steps."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxplain

from ._harness import Effort, search
from ._models import Model, model
from ._report import Row, Topic, milliseconds

CHUNK = 5
SLOW = 5.0  # seconds after which one run is enough
TOLERANCES = {
    "CNN": (1e-2, 1e-3),
    "SqueezeNet": (1e-2, 1e-3),
    # ReLU6 and its depthwise convolutions: 1e-3 would take a thousand gradients of 0.3 s.
    "EfficientNet-Lite0": (1e-2,),
}


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Fixed steps, then tolerances."""
    m = model(name)
    yield row(m, "50 steps", effort)
    for tolerance in TOLERANCES[name]:
        yield row(m, f"tolerance={tolerance:g}", effort, tolerance=tolerance)


def row(m: Model, setting: str, effort: Effort, **options: Any) -> Row:
    """What one setting took, and how much of the difference of scores it misses."""
    attribution = jaxplain.integrated_grad(m.score, chunk=CHUNK, info=True, **options)
    compiled = jax.jit(jax.vmap(attribution)).lower(m.x, m.labels).compile()
    run = functools.partial(compiled, m.x, m.labels)
    start = time.perf_counter()
    info = jax.block_until_ready(run())[1]
    once = time.perf_counter() - start
    return (
        m.title,
        setting,
        span(info.steps),
        span(info.evaluations),
        milliseconds(once if once > SLOW else search({setting: run}, effort)[setting]),
        f"{np.max(np.abs(info.residual / change(m))):.3%}",
        "-" if info.converged is None else f"{int(info.converged.sum())} of {len(info.converged)}",
    )


def change(m: Model) -> jax.Array:
    """By how much the score rises from the baseline, zero, to each example."""
    score = jax.jit(jax.vmap(m.score))
    return score(m.x, m.labels) - score(jnp.zeros_like(m.x), m.labels)


def span(counts: jax.Array) -> str:
    """One number, or the least and the most of a batch."""
    least, most = int(counts.min()), int(counts.max())
    return str(least) if least == most else f"{least} to {most}"


TOPIC = Topic(
    name="adaptive",
    title="Steps chosen by a tolerance",
    about=(
        f"`integrated_grad(f, tolerance=…, chunk={CHUNK})`, with at most 1000 steps, beside the "
        "usual 50 steps: the gradients in the final sum, all evaluations made on the way, the "
        "time, by how much the attributions miss the difference of scores they should sum to (the "
        "worst example of the batch), and how many examples met the tolerance. Fixed steps miss it "
        "by an amount nobody chose. No peer has a tolerance."
    ),
    columns=("model, batch", "setting", "steps", "evaluations", "ms", "residual", "converged"),
    subjects=tuple(TOLERANCES),
    measure=measure,
)
