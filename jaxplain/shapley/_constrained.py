r"""Least squares with a sum that is given, over pairs of complementary coalitions.

Let v be the values of the coalitions, z the mask of a pair's first, and phi sum to d. Adding both
equations of a pair says nothing of phi; half their difference is one equation, without the value
of the empty coalition: (v(z) - v(1 - z)) / 2 = (z - 1/2) . phi. The even part, d / M for each
feature, takes care of the sum: what is left to find is orthogonal to ones, as centred masks are.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np

from .._batch import weighted_sum
from .._tree import precision
from .._types import PyTree
from ._coalitions import unpack

BLOCK = 2048  # pairs whose masks are live at once


class Fit(NamedTuple):
    """The values of the features, and the Cholesky factor of the normal equations."""

    values: jax.Array
    factor: jax.Array


class Pairs(NamedTuple):
    """Packed masks (n, words), weights (n,), and half the differences of their values (n,)."""

    words: jax.Array
    weights: jax.Array
    halves: jax.Array


def fit_pairs(pairs: Pairs, total: jax.Array, count: int) -> Fit:
    """The values that sum to `total` and fit the pairs best."""

    def gram(block: Pairs) -> jax.Array:
        _, centred = _masks(block, count)
        return _matmul((block.weights[:, None] * centred).T, centred)

    def slope(block: Pairs, values: jax.Array) -> jax.Array:
        masks, centred = _masks(block, count)
        return _matmul(block.weights * _missed(block, masks, values), centred)

    matrix = _over_blocks(gram, pairs)
    # Ones are the null space: any number there makes the matrix definite and changes nothing.
    factor = jnp.linalg.cholesky(matrix + jnp.trace(matrix) / max(count - 1, 1) / count)
    values = jnp.full(count, total / count)
    # The second step only corrects rounding: with few pairs the equations are ill-conditioned.
    for _ in range(2):
        side = _over_blocks(functools.partial(slope, values=values), pairs)
        step = jax.scipy.linalg.cho_solve((factor, True), side)
        values = values + (step - jnp.mean(step))
    return Fit(values, factor)


def jackknife_variance(fit: Fit, sampled: Pairs, count: int) -> jax.Array:
    """The variance of the values: how they change as each sampled pair in turn is left out.

    All sampled pairs have one weight. Pairs that are enumerated are never left out.
    """
    inverse = jax.scipy.linalg.cho_solve((fit.factor, True), jnp.eye(count, dtype=fit.factor.dtype))
    least = precision(inverse.dtype).eps

    def moments(block: Pairs) -> tuple[jax.Array, jax.Array]:
        masks, centred = _masks(block, count)
        moves = _matmul(block.weights[:, None] * centred, inverse)
        leverage = jnp.sum(moves * centred, axis=1)
        moves = (
            moves * (_missed(block, masks, fit.values) / jnp.maximum(1 - leverage, least))[:, None]
        )
        return jnp.sum(moves, axis=0), jnp.sum(moves**2, axis=0)

    total, squares = _over_blocks(moments, sampled)
    number = len(sampled.halves)
    variance: jax.Array = jnp.maximum(squares - total**2 / number, 0) * (number / (number - 1))
    return variance


def _missed(block: Pairs, masks: jax.Array, values: jax.Array) -> jax.Array:
    """By how much the values miss each pair's half difference."""
    return block.halves - _matmul(masks - 0.5, values)


def _masks(block: Pairs, count: int) -> tuple[jax.Array, jax.Array]:
    """The masks as numbers, and orthogonal to ones."""
    masks = unpack(block.words, count).astype(block.halves.dtype)
    return masks, masks - jnp.mean(masks, axis=1, keepdims=True)


def _over_blocks(moments: PyTree, pairs: Pairs) -> PyTree:
    """The sum over blocks of pairs, one live at a time; padding has weight zero."""
    number = len(pairs.halves)
    size = min(BLOCK, number)
    blocks = -(-number // size)

    def split(leaf: jax.Array) -> jax.Array:
        widths = [(0, blocks * size - number), *[(0, 0)] * (leaf.ndim - 1)]
        return jnp.pad(leaf, widths).reshape(blocks, size, *leaf.shape[1:])

    ones = jnp.asarray(np.ones(blocks))
    return weighted_sum(moments, Pairs(*map(split, pairs)), ones, chunk=1)


def _matmul(left: jax.Array, right: jax.Array) -> jax.Array:
    """In full precision: accelerators round float32 products by default."""
    return jnp.matmul(left, right, precision="highest")
