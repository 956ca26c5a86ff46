"""The samples of a local fit, and what a weighted fit needs of them: sums over blocks of samples.

Rows are made from the number of the sample whenever they are needed, so that no more than a block
of them is held: memory grows by a few numbers a sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import size_for, stack, weighted_sum
from .._types import Chunk, PyTree


@dataclasses.dataclass(frozen=True)
class Design:
    """The rows of a local fit: sample `number` has the interpretable values `row(number)`.

    The first row stands for what is explained.
    """

    row: Callable[[Any], jax.Array]  # number -> (features,)
    count: int
    chunk: int | None = None

    @staticmethod
    def of(row: Callable[[Any], jax.Array], count: int, chunk: Chunk) -> Design:
        """A design whose rows are made once if all of them may be live at once."""
        size = size_for(row, jnp.arange(count), chunk)
        if size < count:
            return Design(row, count, size)
        return Design.given(jax.vmap(row)(jnp.arange(count)))

    @staticmethod
    def given(rows: jax.Array) -> Design:
        """The rows of a matrix (samples, features)."""
        return Design(lambda number: rows[number], len(rows))

    @property
    def origin(self) -> jax.Array:
        """The row of what is explained."""
        return self.row(jnp.asarray(0))

    def predict(self, coefficients: jax.Array) -> jax.Array:
        """The inner product of each row and the coefficients, (samples,)."""
        numbers = jnp.arange(self.count)
        product: jax.Array = stack(
            lambda number: dot(self.row(number), coefficients), numbers, chunk=self.chunk
        )
        return product

    def total(self, fn: Callable[..., PyTree], weights: jax.Array, *columns: jax.Array) -> PyTree:
        """The sum of `fn(rows, weights, *columns)` over blocks of samples.

        `fn` must be linear in the weights' zeros: samples that fill up the last block weigh zero.
        """
        size = size_for(self.row, jnp.arange(self.count), self.chunk)
        blocks = -(-self.count // size)
        numbers = np.arange(blocks * size)
        inside = np.minimum(numbers, self.count - 1)

        def split(column: jax.Array) -> jax.Array:
            return column[inside].reshape(blocks, size)

        alive = jnp.where(numbers < self.count, weights[inside], 0).reshape(blocks, size)
        nodes = (jnp.asarray(inside).reshape(blocks, size), alive, *map(split, columns))
        return weighted_sum(
            lambda node: fn(jax.vmap(self.row)(node[0]), *node[1:]),
            nodes,
            jnp.ones(blocks, weights.dtype),
            chunk=1,
        )


class Moments(NamedTuple):
    """All that a weighted linear fit with an intercept knows of its samples."""

    weight: jax.Array  # (), the sum of the weights
    row: jax.Array  # (features,), the weighted mean
    score: jax.Array  # (), the weighted mean
    gram: jax.Array  # (features, features), sums of products of centred rows
    cross: jax.Array  # (features,), of centred rows and scores
    spread: jax.Array  # (), of squares of centred scores

    def unexplained(self, coefficients: jax.Array) -> jax.Array:
        """The weighted sum of the squared residuals."""
        fitted = dot(self.gram, coefficients) - 2 * self.cross
        return jnp.maximum(self.spread + dot(coefficients, fitted), 0)


def moments(design: Design, scores: jax.Array, weights: jax.Array) -> Moments:
    """Sums of squares and products, of distances to the first sample: that keeps their digits."""
    origin, score = design.origin, scores[0]

    def sums(rows: jax.Array, weights: jax.Array, scores: jax.Array) -> Moments:
        rows, scores = rows - origin[None], scores - score
        heavy = weights[:, None] * rows
        return Moments(
            weight=jnp.sum(weights),
            row=jnp.sum(heavy, axis=0),
            score=jnp.sum(weights * scores),
            gram=dot(heavy.T, rows),
            cross=dot(heavy.T, scores),
            spread=jnp.sum(weights * scores**2),
        )

    total: Moments = design.total(sums, weights, scores)
    some = jnp.where(total.weight > 0, total.weight, 1)
    row, mean = total.row / some, total.score / some
    return Moments(
        weight=total.weight,
        row=origin + row,
        score=score + mean,
        gram=total.gram - some * jnp.outer(row, row),
        cross=total.cross - some * row * mean,
        spread=jnp.maximum(total.spread - some * mean**2, 0),
    )


def dot(left: jax.Array, right: jax.Array) -> jax.Array:
    """A matrix product with all digits, also where accelerators would round its inputs."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
