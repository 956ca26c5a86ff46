r"""Solve $(C + \lambda I) v = g$ with the curvature of the mean loss, knowing only products.

Each solver is an object with the curvature and its own options. `prepare` does what is the same for
all right-hand sides; `__call__` solves for one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from .._types import PyTree
from ._arnoldi import fit_arnoldi
from ._curvature import Curvature
from ._parameters import Vector
from ._training import Product, Training
from ._vectors import add, dot, norm


class Solution(NamedTuple):
    """What a solver found, and how good it is."""

    vector: Vector
    residual: jax.Array  # |(C + damping) v - g| / |g|
    converged: jax.Array
    definite: jax.Array  # whether the damped curvature was positive wherever it was looked at
    bend: jax.Array  # the least damped curvature that was met
    steps: jax.Array
    products: jax.Array  # of one example's curvature with a vector


class Solver(Protocol):
    """What is asked of a solver."""

    @property
    def curvature(self) -> Curvature:
        """The curvature whose inverse is asked for."""

    def prepare(self, training: Training, params: PyTree, damping: Any, key: Any) -> PyTree:
        """What all right-hand sides have in common."""

    def __call__(
        self,
        training: Training,
        params: PyTree,
        gradient: Vector,
        damping: Any,
        key: Any,
        prepared: PyTree,
    ) -> Solution:
        """The solution for one right-hand side."""


@dataclasses.dataclass(frozen=True)
class Arnoldi:
    """The inverse on the subspace of the largest eigenvalues, found once for all examples."""

    curvature: Curvature
    dimension: int | None = None  # twice the rank
    rank: int = 32

    def prepare(self, training: Training, params: PyTree, damping: Any, key: Any) -> PyTree:
        return fit_arnoldi(
            self.curvature,
            training,
            params,
            key,
            dimension=self._dimension,
            rank=self.rank,
            damping=damping,
        )

    def __call__(
        self,
        training: Training,
        params: PyTree,
        gradient: Vector,
        damping: Any,
        key: Any,
        prepared: Any,
    ) -> Solution:
        del params, key
        known = jnp.where(prepared.inverses > 0, prepared.project(gradient), 0)
        square = dot(gradient, gradient)
        # What lies outside the subspace is left out, and that is all that is missing.
        outside = jnp.sqrt(jnp.maximum(square - jnp.sum(known**2), 0) / nonzero(square))
        steps = jnp.asarray(min(self._dimension, sum(leaf.size for leaf in gradient.values())))
        return Solution(
            prepared.solve(gradient),
            residual=outside,
            converged=prepared.definite,
            definite=prepared.definite,
            bend=jnp.min(prepared.eigenvalues) + jnp.asarray(damping, outside.dtype),
            steps=steps,
            products=steps * training.count,
        )

    @property
    def _dimension(self) -> int:
        return 2 * self.rank if self.dimension is None else self.dimension


def relative_residual(product: Product, solution: Vector, right: Vector) -> jax.Array:
    """How far `product(solution)` is from `right`, as a share of it."""
    size = norm(right)
    distance: jax.Array = norm(add(right, product(solution), -1)) / nonzero(size)
    return distance


def nonzero(value: jax.Array) -> jax.Array:
    """`value` to divide by: one instead of zero."""
    return jnp.where(value == 0, 1, value)
