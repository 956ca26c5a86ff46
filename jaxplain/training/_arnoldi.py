r"""The inverse of a curvature matrix within the space of its largest eigenvalues.

An orthonormal basis $Q$ is grown from a random direction by products with the matrix, the matrix
within it is $Q' C Q$, small and dense, and its eigenvectors are those of $C$ that matter (Schioppa
et al. 2022, Scaling up influence functions). $C$ is symmetric, so this is Lanczos' iteration;
every new direction is made orthogonal to all others, since in floating point it would lose that.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import check_count
from .._keys import normal_like
from .._tree import precision
from .._types import PyTree
from ._curvature import Curvature
from ._parameters import Vector
from ._training import Training
from ._vectors import add, norm, unit

# In units of rounding errors of the largest eigenvalue: what is smaller is taken for zero.
ROUNDING = 100


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LowRank:
    """The damped matrix's inverse within the span of some eigenvectors; nothing outside of it."""

    directions: Vector  # orthonormal eigenvectors, leading axis rank
    eigenvalues: jax.Array  # (rank,), of the matrix without damping, the largest first
    inverses: jax.Array  # (rank,), 1 / (eigenvalue + damping); 0 for those that are dropped
    definite: jax.Array  # (), whether none was dropped for being negative

    def project(self, v: Vector) -> jax.Array:
        """The components of `v` along the directions, (rank,)."""
        return _coefficients(self.directions, v)

    def solve(self, v: Vector) -> Vector:
        """The inverse times `v`."""
        return _combine(self.directions, self.inverses * self.project(v), v)

    def square(self, v: Vector) -> jax.Array:
        """`v` · inverse · `v`, never negative."""
        return jnp.sum(self.inverses * self.project(v) ** 2)


def fit_arnoldi(
    curvature: Curvature,
    training: Training,
    params: PyTree,
    key: jax.Array,
    *,
    dimension: int,
    rank: int,
    damping: Any,
) -> LowRank:
    r"""The low-rank inverse of $C + \lambda I$, from `dimension` products with $C$.

    Of the eigenvalues that are found the `rank` of largest absolute value are kept. Those for which
    $\lambda_j + \lambda$ is zero up to rounding, or negative, are dropped, so that the result is
    positive semi-definite: along such a direction the loss has no minimum. With as many products as
    there are parameters it is exact.
    """
    check_count("dimension", dimension)
    check_count("rank", rank)
    if rank > dimension:
        raise ValueError(
            f"rank={rank} eigenvectors cannot come from dimension={dimension} products: give a "
            "dimension of twice the rank or more."
        )
    start = curvature.chosen.of(params)
    dimension = min(dimension, sum(leaf.size for leaf in start.values()))
    fresh, first = jax.random.split(key)

    def going(state: _State) -> jax.Array:
        unfinished: jax.Array = state.count < dimension
        return unfinished

    def step(state: _State) -> _State:
        newest = jax.tree.map(lambda leaf: leaf[state.count], state.basis)
        extended: _State = _extend(state, curvature.times(training, params, newest), fresh)
        return extended

    state: _State = training.repeat(going, step, _begin(start, dimension, first))
    return _distill(state, min(rank, dimension), damping)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _State:
    """A growing basis: rows up to `count` are there, the later ones zero."""

    basis: Vector  # leading axis dimension
    matrix: jax.Array  # (dimension, dimension): within the basis, its upper triangle
    count: jax.Array  # (), of the products that were taken


def _begin(like: Vector, dimension: int, key: jax.Array) -> _State:
    direction = unit(normal_like(key, like))
    basis = {
        path: jnp.zeros((dimension, *leaf.shape), leaf.dtype).at[0].set(leaf)
        for path, leaf in direction.items()
    }
    dtype = jnp.result_type(*direction.values())
    return _State(basis, jnp.zeros((dimension, dimension), dtype), jnp.asarray(0))


@jax.jit
def _extend(state: _State, product: Vector, key: jax.Array) -> _State:
    """Note the matrix times the newest direction, and put a new direction beside it."""
    column = _coefficients(state.basis, product)
    matrix = state.matrix.at[:, state.count].set(column)
    rest = _orthogonal(state.basis, product)
    # Where the products lead nowhere new, as they do where eigenvalues coincide, a random direction
    # opens the part of the space that has not been seen.
    fresh = normal_like(jax.random.fold_in(key, state.count), rest)
    exhausted = norm(rest) <= ROUNDING * precision(matrix.dtype).eps * jnp.max(jnp.abs(matrix))
    new = jax.tree.map(lambda a, b: jnp.where(exhausted, b, a), rest, fresh)
    # Once more after normalising: what is left of a small vector is mostly rounding errors.
    new = unit(_orthogonal(state.basis, unit(_orthogonal(state.basis, unit(new)))))
    # The last one has no row to go to, and is dropped.
    basis = jax.tree.map(lambda old, row: old.at[state.count + 1].set(row), state.basis, new)
    return _State(basis, matrix, state.count + 1)


def _distill(state: _State, rank: int, damping: Any) -> LowRank:
    """The largest eigenvalues within the basis, and their eigenvectors."""
    upper = jnp.triu(state.matrix)
    values, vectors = jnp.linalg.eigh(upper + jnp.triu(upper, 1).T)
    _, order = jax.lax.top_k(jnp.abs(values), rank)
    values, vectors = values[order], vectors[:, order]
    damped = values + jnp.asarray(damping, values.dtype)
    least = ROUNDING * precision(values.dtype).eps * jnp.max(jnp.abs(values))
    kept = damped > least
    return LowRank(
        directions={
            path: jnp.tensordot(vectors.T.astype(leaf.dtype), leaf, 1)
            for path, leaf in state.basis.items()
        },
        eigenvalues=values,
        inverses=jnp.where(kept, 1 / jnp.where(kept, damped, 1), 0),
        definite=jnp.all(damped >= -least),
    )


def _coefficients(rows: Vector, v: Vector) -> jax.Array:
    """The inner product of each row with `v`, in the widest dtype."""
    dtype = jnp.result_type(*rows.values())
    parts = [
        (leaf.reshape(len(leaf), -1) @ v[path].ravel()).astype(dtype) for path, leaf in rows.items()
    ]
    result: jax.Array = sum(parts[1:], start=parts[0])
    return result


def _combine(rows: Vector, coefficients: jax.Array, like: Vector) -> Vector:
    return {
        path: jnp.tensordot(coefficients.astype(like[path].dtype), leaf, 1)
        for path, leaf in rows.items()
    }


def _orthogonal(basis: Vector, v: Vector) -> Vector:
    """`v` without its part in the span of the basis."""
    result: Vector = add(v, _combine(basis, _coefficients(basis, v), v), -1)
    return result
