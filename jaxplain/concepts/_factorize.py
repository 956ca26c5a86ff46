r"""Non-negative matrix factorization, $A \approx U W$, by alternating coordinate descent.

With one factor fixed, the best column of the other, given its other columns, has a closed form.
Going through all columns of one factor and then of the other is hierarchical alternating least
squares. It never increases the error, and all that it needs of the large matrix are its products
with the small factors.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..backprop._rule import quotient
from ._nnls import solve_nnls


class Factors(NamedTuple):
    """What a matrix `(rows, channels)` was factorized into."""

    directions: jax.Array  # (count, channels), rows of unit length
    converged: jax.Array  # (): whether the directions came to rest


def factorize(rows: jax.Array, count: int, iterations: int, tolerance: jax.Array) -> Factors:
    """Directions whose non-negative multiples sum to the rows, in the least-squares sense.

    It ends when no direction moves by more than `tolerance` in an iteration, each way measured
    relative to its unit length, or after `iterations`.
    """
    scale = jnp.sqrt(jnp.mean(rows**2))
    rows = quotient(rows, scale, 0.0)  # so that the start does not depend on the layer's units
    start = _start(rows, count)

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        _, _, done, moved = state
        return (done < iterations) & (moved > tolerance)

    def iterate(
        state: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        parts, directions, done, _ = state
        parts = _descend(parts, _product(rows, directions.T), _gram(directions))
        updated = _descend(directions.T, _product(rows.T, parts), _gram(parts.T)).T
        updated, lengths = _unit(updated)
        moved = jnp.max(jnp.linalg.norm(updated - directions, axis=1))
        return parts * lengths[None], updated, done + 1, moved

    directions, lengths = _unit(start[1])
    state = start[0] * lengths[None], directions, jnp.int32(0), jnp.full((), jnp.inf, rows.dtype)
    _, directions, _, moved = jax.lax.while_loop(unfinished, iterate, state)
    return Factors(directions, moved <= tolerance)


def coefficients(rows: jax.Array, directions: jax.Array) -> jax.Array:
    """Non-negative least squares: how much of each direction there is in each row."""
    products, gram = _product(rows, directions.T), _gram(directions)

    def sweep(_: jax.Array, parts: jax.Array) -> jax.Array:
        return _descend(parts, products, gram)

    # Coordinate descent says soon, and mostly rightly, which coefficients are zero.
    start = jax.lax.fori_loop(0, 10, sweep, jnp.zeros_like(products))
    parts: jax.Array = jax.vmap(solve_nnls, (0, None, 0))(products, gram, start)
    return parts


def reconstruct(parts: jax.Array, directions: jax.Array) -> jax.Array:
    """The rows that are made of so much of each direction."""
    return _product(parts, directions)


def _descend(factor: jax.Array, products: jax.Array, gram: jax.Array) -> jax.Array:
    """Each column of `factor` in turn to its best value, given the others."""

    def column(k: jax.Array, factor: jax.Array) -> jax.Array:
        slope = products[:, k] - _product(factor, gram[:, k])
        # A direction of zeros says nothing of its coefficients: they stay.
        return factor.at[:, k].set(jax.nn.relu(factor[:, k] + quotient(slope, gram[k, k], 0.0)))

    updated: jax.Array = jax.lax.fori_loop(0, len(gram), column, factor)
    return updated


def _start(rows: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The non-negative parts of the singular vectors (NNDSVD).

    Of each pair of vectors either both positive or both negative parts are kept, whichever have the
    larger product; so the sign of the pair does not matter, and nothing is random.
    """
    left, right = _singular(rows, count)
    up = jax.nn.relu(left), jax.nn.relu(right)
    down = jax.nn.relu(-left), jax.nn.relu(-right)
    keep = _lengths(up[0]) * _lengths(up[1]) >= _lengths(down[0]) * _lengths(down[1])
    u, v = (jnp.where(keep[None], a, b) for a, b in zip(up, down, strict=True))
    # The loop gives the directions unit length, so it does not matter which has the pair's.
    return u, v.T


def _singular(rows: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The first left singular vectors times their values, and the right ones, as columns."""
    if rows.shape[0] < rows.shape[1]:
        right, left = _singular(rows.T, count)
        lengths = _lengths(right)
        return left * lengths[None], quotient(right, lengths[None], 0.0)
    _, vectors = jnp.linalg.eigh(_gram(rows.T))
    right = vectors[:, ::-1][:, :count]
    return _product(rows, right), right


def _unit(directions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rows of unit length, and the lengths that they had."""
    lengths = _lengths(directions.T)
    return quotient(directions, lengths[:, None], 0.0), lengths


def _lengths(columns: jax.Array) -> jax.Array:
    lengths: jax.Array = jnp.linalg.norm(columns, axis=0)
    return lengths


def _gram(vectors: jax.Array) -> jax.Array:
    return _product(vectors, vectors.T)


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision="highest")
