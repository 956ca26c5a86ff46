"""Conjugate gradients with the curvature of the mean loss."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._tree import precision
from .._types import PyTree
from ._curvature import Curvature
from ._parameters import Vector
from ._solvers import Solution, nonzero, relative_residual
from ._training import Product, Training
from ._vectors import add, dot, scale


class _Descent(NamedTuple):
    solution: Vector
    residual: Vector
    direction: Vector
    square: jax.Array  # of the residual
    bend: jax.Array
    steps: jax.Array


@dataclasses.dataclass(frozen=True)
class ConjugateGradients:
    """Conjugate gradients: exact in the end, one pass over the training set a step."""

    curvature: Curvature
    tolerance: float | None = None
    iterations: int = 100

    def prepare(self, training: Training, params: PyTree, damping: Any, key: Any) -> None:
        del training, params, damping, key

    def __call__(
        self,
        training: Training,
        params: PyTree,
        gradient: Vector,
        damping: Any,
        key: Any = None,
        prepared: None = None,
    ) -> Solution:
        del key, prepared
        tolerance = _tolerance(self.tolerance, dot(gradient, gradient).dtype)

        def product(v: Vector) -> Vector:
            return self.curvature.times(training, params, v, damping)

        def solve(product: Product, right: Vector) -> tuple[Vector, tuple[jax.Array, ...]]:
            square = dot(right, right)
            # Halfway below the tolerance: the residual that is carried along drifts a little.
            enough = (tolerance / 2) ** 2 * square

            def going(state: _Descent) -> jax.Array:
                large = state.square > enough
                result: jax.Array = large & (state.steps < self.iterations) & (state.bend > 0)
                return result

            first = _Descent(
                scale(right, 0),  # not zeros: a gradient that is not finite stays visible
                right,
                right,
                square,
                jnp.full_like(square, jnp.inf),
                jnp.asarray(0),
            )
            last = training.repeat(going, lambda state: _descend(state, product), first)
            distance = relative_residual(product, last.solution, right)
            return last.solution, (distance, last.bend, last.steps)

        vector, (residual, bend, steps) = training.invert(product, gradient, solve)
        definite = bend > 0
        converged = (residual <= tolerance) & definite
        products = (steps + 1) * training.count
        return Solution(vector, residual, converged, definite, bend, steps, products)


def _descend(state: _Descent, product: Product) -> _Descent:
    result: _Descent = _next_direction(state, product(state.direction))
    return result


@jax.jit
def _next_direction(state: _Descent, product: Vector) -> _Descent:
    curved = dot(state.direction, product)
    bend = curved / nonzero(dot(state.direction, state.direction))
    # Where the curvature is not positive the solution stays at what was found before.
    length = jnp.where(bend > 0, state.square / jnp.where(bend > 0, curved, 1), 0)
    residual = add(state.residual, product, -length)
    square = dot(residual, residual)
    return _Descent(
        solution=add(state.solution, state.direction, length),
        residual=residual,
        direction=add(residual, state.direction, square / nonzero(state.square)),
        square=square,
        bend=jnp.minimum(bend, state.bend),
        steps=state.steps + 1,
    )


def _tolerance(given: float | None, dtype: Any) -> jax.Array:
    """The tolerance, or half the digits of a dtype."""
    return jnp.asarray(precision(dtype).eps ** 0.5 if given is None else given, dtype)
