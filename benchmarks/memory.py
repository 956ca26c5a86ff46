"""How the memory of an explanation grows with its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

import jaxplain

from ._harness import Effort
from ._models import Variables, model
from ._report import Row, Topic, number

NAME = "CNN"
SETTINGS = {
    f"{steps} steps, {'all at once' if chunk is None else f'chunk={chunk}'}": (steps, chunk)
    for chunk, counts in ((10, (50, 200, 1000)), (None, (50, 200)))
    for steps in counts
}


def score(variables: Variables, x: jax.Array, k: jax.Array) -> jax.Array:
    """The model as a function of its weights too."""
    return model(NAME).apply(variables, x[None])[0, k]


def mebibytes(function: Callable[..., jax.Array]) -> str:
    """What the compiled function takes beside its inputs and outputs."""
    m = model(NAME)
    analysis = jax.jit(function).lower(m.variables, m.x, m.labels).compile().memory_analysis()
    return number(analysis.temp_size_in_bytes / 2**20)


def measure(setting: str, effort: Effort) -> Iterator[Row]:
    """The explanation, and the gradient of a loss on it."""
    steps, chunk = SETTINGS[setting]
    attribution = jaxplain.integrated_grad(score, steps=steps, chunk=chunk, argnums=1)
    explain = jax.vmap(attribution, in_axes=(None, 0, 0))

    def loss(variables: Variables, x: jax.Array, k: jax.Array) -> jax.Array:
        return jnp.sum(explain(variables, x, k) ** 2)

    yield (setting, mebibytes(explain), mebibytes(jax.grad(loss)))


TOPIC = Topic(
    name="memory",
    title="Memory of integrated gradients",
    about=(
        "What XLA reserves for temporary values (`memory_analysis().temp_size_in_bytes`) in "
        "integrated gradients of the CNN on a batch of 8, and in the gradient by the weights of a "
        "loss on that explanation, its sum of squares. With a chunk, both should stay flat as the "
        "steps grow."
    ),
    columns=("setting", "explanation, MiB", "gradient of a loss on it, MiB"),
    subjects=tuple(SETTINGS),
    measure=measure,
)
