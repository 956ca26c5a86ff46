"""How time and memory of an explanation grow with the work."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxplain

from ._harness import Effort, Run, take_turns
from ._report import Row, Topic, milliseconds, number

CHANNELS = 16


@dataclasses.dataclass(frozen=True)
class Work:
    """What is explained, and how."""

    steps: int = 16
    batch: int = 4
    depth: int = 4
    side: int = 32
    method: str = "integrated_grad"


SWEEPS: Mapping[str, tuple[str, tuple[int, ...], Work]] = {
    "steps": ("steps", (8, 32, 128, 512), Work()),
    "samples of SmoothGrad": ("steps", (8, 32, 128, 512), Work(method="smooth")),
    "batch": ("batch", (1, 4, 16, 64), Work(steps=8)),
    "depth": ("depth", (2, 4, 8, 16), Work()),
    "side of the picture": ("side", (16, 32, 64, 128), Work(steps=8, batch=1)),
}


class Network(nn.Module):
    """Convolutions of equal width, one after the other."""

    depth: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(self.depth):
            x = nn.relu(nn.Conv(CHANNELS, (3, 3))(x))
        return nn.Dense(10)(jnp.mean(x, axis=(-3, -2)))


def explanation(work: Work) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The compiled explanation of a batch, and what it is called with."""
    network = Network(work.depth)
    xs = jax.random.normal(jax.random.key(0), (work.batch, work.side, work.side, 3))
    params = network.init(jax.random.key(1), xs[:1])
    f = jaxplain.select(jaxplain.unbatch(functools.partial(network.apply, params)))
    arguments: tuple[Any, ...] = (xs, jnp.zeros(work.batch, int))
    if work.method == "integrated_grad":
        explain = jax.vmap(jaxplain.integrated_grad(f, steps=work.steps))
    else:
        smoothed = jaxplain.smooth(jax.grad(f), samples=work.steps, sigma=0.1)
        explain = jax.vmap(lambda x, k, key: smoothed(x, k, key=key))
        arguments += (jax.random.split(jax.random.key(2), work.batch),)
    return jax.jit(explain).lower(*arguments).compile(), arguments


def measure(sweep: str, effort: Effort) -> Iterator[Row]:
    """A row for each size, and how the time grew since the one before."""
    name, values, work = SWEEPS[sweep]
    short = Effort(seconds=2 * effort.search, least=3, search=effort.search)
    before: tuple[float, float] | None = None
    for value in values[:2] if effort.quick else values:
        compiled, arguments = explanation(dataclasses.replace(work, **{name: value}))
        run: Run = functools.partial(compiled, *arguments)
        time = take_turns({"ours": run}, short)["ours"]
        amount = value**2 if name == "side" else value
        growth = "" if before is None else f"{time.median / before[1] / (amount / before[0]):.2f}"
        memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
        yield (sweep, str(value), milliseconds(time), growth, number(memory))
        before = amount, time.median


TOPIC = Topic(
    name="scaling",
    title="Time and memory as the work grows",
    about=(
        "Integrated gradients (and SmoothGrad in its row) of a network of equal convolutions, 16 "
        "channels on pictures of 32 x 32, 4 layers, batches of 4, 16 steps, unless the row says "
        'otherwise; `chunk="auto"`. Growth is how much longer it took than the row above, divided '
        "by how much more work it is (for a side, by the pixels): 1 is linear. Memory is what XLA "
        "reserves for temporary values."
    ),
    columns=("what grows", "to", "ms", "growth", "memory, MiB"),
    subjects=tuple(SWEEPS),
    measure=measure,
)
