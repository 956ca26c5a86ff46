"""The steps of an ascent, in one loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import mean
from .._call import Score, name_of
from .._tree import cast_like, widen
from .._types import PyTree
from ..program._lower import lower
from ._parametrizations import Parametrization
from ._penalties import OnCode, Penalty, one_number
from ._transforms import Transform


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is maximised, as a function of the code, which comes in at least float32."""

    score: Score
    coding: Parametrization
    like: PyTree  # a code in the dtypes that x is made in
    penalties: tuple[Penalty, ...]
    transform: Transform | None
    samples: int
    key: jax.Array | None

    def loss(
        self, code: PyTree, number: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """What is minimised in one step; beside it, the score and the penalty."""
        code = cast_like(code, self.like)
        x = self.coding.decode(code)
        value = self.value(x, number)
        penalty = jnp.zeros_like(value)
        for cost in self.penalties:
            given = cost(code if isinstance(cost, OnCode) else x)
            penalty = penalty + one_number(given, name_of(cost)).astype(value.dtype)
        return penalty - value, (value, penalty)

    def value(self, x: PyTree, number: jax.Array) -> jax.Array:
        """The score, averaged over draws of the transforms."""
        if self.transform is None or self.key is None:
            return self.widened(x)
        transform, key = self.transform, jax.random.fold_in(self.key, number)

        def draw(number: jax.Array) -> jax.Array:
            return self.widened(transform(jax.random.fold_in(key, number), x))

        if self.samples == 1:
            return draw(jnp.asarray(0))
        average: jax.Array = mean(draw, jnp.arange(self.samples))
        return average

    def widened(self, x: PyTree) -> jax.Array:
        value: jax.Array = widen(self.score(x))
        return value


def ascend(
    problem: Problem, optimizer: Any, steps: int, tick: Callable[[jax.Array], None] | None
) -> tuple[PyTree, tuple[jax.Array, jax.Array]]:
    """The last code, and score and penalty before each step."""

    # Checkpointed for those who differentiate the result: only the codes are kept.
    def step(carry: tuple[PyTree, PyTree], number: jax.Array) -> Any:
        code, state = carry

        def loss(code: PyTree) -> Any:
            return problem.loss(code, number)

        (value, report), slope = lower(jax.value_and_grad(loss, has_aux=True))(code)
        with jax.numpy_dtype_promotion("standard"):  # Optax adds integers of two sizes
            update, state = optimizer.update(
                slope, state, code, value=value, grad=slope, value_fn=lambda code: loss(code)[0]
            )
        code = jax.tree.map(lambda c, u: c + u.astype(c.dtype), code, update)
        return (problem.coding.project(code), state), report

    checkpointed = jax.checkpoint(step, prevent_cse=False)

    def body(carry: tuple[PyTree, PyTree], number: jax.Array) -> Any:
        carry, report = checkpointed(carry, number)
        if tick is not None:
            tick(number + 1)
        return carry, report

    start = widen(problem.like)
    (code, _), reports = jax.lax.scan(body, (start, optimizer.init(start)), jnp.arange(steps))
    return code, reports
