"""Weighted ridge regression with an intercept, from moments, and the errors of its coefficients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._tree import precision
from .._types import Scalar
from ._moments import Design, Moments, dot


class System(NamedTuple):
    r"""$G + \lambda$ on the features in use, factored; the others are left out."""

    matrix: jax.Array  # (features, features)
    factor: jax.Array  # of Cholesky, lower
    used: jax.Array  # (features,), bool

    @staticmethod
    def of(gram: jax.Array, penalty: Scalar, used: jax.Array) -> System:
        """Singular ones are made regular: they have nearly the least solution."""
        both = used[:, None] & used[None, :]
        added = jnp.where(used, jnp.asarray(penalty, gram.dtype), 0)
        matrix = jnp.where(both, gram, 0) + jnp.diag(added)
        size = jax.lax.stop_gradient(jnp.max(jnp.diag(matrix)))
        # What rounding leaves along a singular direction is divided by this.
        jitter = precision(gram.dtype).eps ** 0.625 * jnp.where(size > 0, size, 1)
        regular = matrix + jnp.diag(jnp.where(used, jitter, 1))
        return System(matrix, jnp.linalg.cholesky(regular), used)

    def solve(self, right: jax.Array) -> jax.Array:
        """The solution, (features,)."""
        return self._refined(jnp.where(self.used, right, 0))

    def inverse(self) -> jax.Array:
        """The inverse on the features in use, zero elsewhere."""
        return self._refined(jnp.diag(self.used.astype(self.factor.dtype)))

    def _refined(self, right: jax.Array) -> jax.Array:
        """Solved again for what is left, twice, so that the jitter leaves no trace."""
        found = self._solve(right)
        for _ in range(2):
            found = found + self._solve(right - dot(self.matrix, found))
        return found

    def _solve(self, right: jax.Array) -> jax.Array:
        solution: jax.Array = jax.scipy.linalg.cho_solve((self.factor, True), right)
        return solution


def ridge(found: Moments, penalty: Scalar, used: jax.Array) -> jax.Array:
    r"""The coefficients that minimise $\sum_n \pi_n (y_n - b - \beta z_n)^2 + \lambda |\beta|^2$.

    The intercept is not penalised. Features that are not in use have the coefficient 0.
    """
    return System.of(found.gram, penalty, used).solve(found.cross)


def robust_errors(
    design: Design,
    scores: jax.Array,
    weights: jax.Array,
    found: Moments,
    coefficients: jax.Array,
    system: System,
    pull: Any = 0,
) -> jax.Array:
    r"""Standard errors that allow for any distribution of the residuals (HC3), (features,).

    The root of $\sum_n u_n^2$ with $u_n = A^{-1} \pi_n \big(\frac{e_n}{1 - h_n} \tilde z_n - s
    \big)$: residuals $e$, leverages $h$, centred rows $\tilde z$, the system's matrix $A$, and the
    `pull` $s$ of the penalty for each unit of weight. It is near to what the jackknife gives.
    """
    inverse = system.inverse()
    smallest = precision(scores.dtype).eps ** 0.5
    drawn = dot(inverse, jnp.broadcast_to(jnp.asarray(pull, scores.dtype), coefficients.shape))

    def squares(rows: jax.Array, weights: jax.Array, scores: jax.Array) -> jax.Array:
        centred = rows - found.row[None]
        moved = dot(centred, inverse)
        leverage = weights * (jnp.sum(moved * centred, axis=1) + 1 / found.weight)
        residual = scores - found.score - dot(centred, coefficients)
        # A sample that alone decides a coefficient has no residual that would tell of errors.
        residual = residual / jnp.maximum(1 - leverage, smallest)
        influence = weights[:, None] * (residual[:, None] * moved - drawn[None])
        return jnp.sum(influence**2, axis=0)

    total = design.total(squares, weights, scores)
    positive = total > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, total, 1)), 0)
