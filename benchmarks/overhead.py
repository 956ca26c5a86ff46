"""What integrated gradients costs beyond its gradients."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp

import jaxplain

from ._contest import SIZES, Size, size_name, sizes
from ._harness import Effort, Run, take_turns
from ._models import MODELS, model
from ._report import Row, Topic, ratio
from .integrated_grad import STEPS, explain


def gradients(name: str, size: Size) -> Run:
    """As many compiled gradients, one after the other, as there are chunks."""
    m = model(name)
    size = size or STEPS
    x, k = (jnp.repeat(array, size, axis=0) for array in (m.x, m.labels))
    of_one = jaxplain.lower(jax.grad(m.score))
    gradient = jax.jit(jax.vmap(of_one)).lower(x, k).compile()

    def run() -> None:
        for _ in range(STEPS // size):
            gradient(x, k).block_until_ready()

    return run


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """The ratio at every size of a chunk."""
    short = Effort(seconds=2 * effort.search, least=1, search=effort.search)
    cells = dict.fromkeys(SIZES, "")
    for size in sizes(effort):
        runs = {"ours": explain(name, size), "ideal": gradients(name, size)}
        times = take_turns(runs, short)
        cells[size] = ratio(times["ours"].median, times["ideal"].median)
    yield (model(name).title, *cells.values())


TOPIC = Topic(
    name="overhead",
    title="Integrated gradients against nothing but its gradients",
    about=(
        "For each chunk c, the time of the compiled `integrated_grad` with 50 steps divided by the "
        "time of 50 / c calls of one compiled gradient, `jaxplain.lower(jax.grad(f))`, on a batch "
        "c times as large. "
        "1 is the ideal: the path, the sum and the loop cost nothing. Below 1, the loop inside the "
        "compiled program is cheaper than calling it from Python; above 1, XLA compiles the same "
        "gradient to slower code inside its loop."
    ),
    columns=("model, batch", *(f"chunk {size_name(size)}" for size in SIZES)),
    subjects=MODELS,
    measure=measure,
)
