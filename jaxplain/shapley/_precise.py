"""Averages over random samples, with their standard error, until that is small enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._batch import stack, weighted_sum
from .._types import Chunk, Scalar

ROUND = 8  # samples between two looks at the error: whatever the chunk, so that results are equal


class Estimate(NamedTuple):
    """A mean, its standard error, from how many samples, and whether the tolerance is met."""

    mean: jax.Array
    standard_error: jax.Array
    samples: jax.Array
    converged: jax.Array


class _Sums(NamedTuple):
    """Sums of the samples' distances to a fixed value, of their squares, and how many."""

    distances: jax.Array
    squares: jax.Array
    samples: jax.Array


def estimate(
    fn: Callable[[jax.Array], jax.Array],
    samples: int,
    *,
    tolerance: Scalar | None = None,
    chunk: Chunk = "auto",
) -> Estimate:
    """The mean of `fn(i)`, an array of shape (n,), over i < `samples`, at least two.

    With `tolerance`, samples are drawn in rounds until the largest standard error is not above it.
    Rounds that are not needed, by any example of a batch, cost nothing, and the mean of those that
    were is differentiable.
    """
    first = stack(fn, jnp.arange(min(ROUND, samples)), chunk=chunk)
    # Squares of distances keep the digits that those of the values would lose.
    middle = jax.lax.stop_gradient(jnp.mean(first, axis=0))

    def moments(number: jax.Array) -> tuple[jax.Array, jax.Array]:
        distance = fn(number) - middle
        return distance, distance**2

    def add(sums: _Sums, numbers: jax.Array, wanted: jax.Array) -> _Sums:
        weights = wanted.astype(middle.dtype)
        more = weighted_sum(moments, numbers, weights, chunk=chunk, skip=tolerance is not None)
        drawn = sums.samples + jnp.sum(wanted)
        return _Sums(sums.distances + more[0], sums.squares + more[1], drawn)

    def round_of(sums: _Sums, start: jax.Array) -> tuple[_Sums, None]:
        numbers = start + jnp.arange(ROUND)
        goes_on = ~_met(sums, tolerance)
        return add(sums, numbers, (numbers < samples) & goes_on), None

    distances = first - middle[None]
    sums = _Sums(jnp.sum(distances, axis=0), jnp.sum(distances**2, axis=0), jnp.asarray(len(first)))
    if samples > ROUND and tolerance is None:
        numbers = jnp.arange(ROUND, samples)
        sums = add(sums, numbers, numbers >= 0)
    elif samples > ROUND:
        sums = jax.lax.scan(round_of, sums, jnp.arange(ROUND, samples, ROUND))[0]
    average = middle + sums.distances / sums.samples.astype(middle.dtype)
    return Estimate(average, _error(sums), sums.samples, _met(sums, tolerance))


def root(variance: jax.Array) -> jax.Array:
    """The square root of what is not negative, with a derivative of zero at zero."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), variance)


def _error(sums: _Sums) -> jax.Array:
    """The standard error of the mean."""
    number = sums.samples.astype(sums.squares.dtype)
    spread = jnp.maximum(sums.squares - sums.distances**2 / number, 0)
    return root(spread / (number * (number - 1)))


def _met(sums: _Sums, tolerance: Scalar | None) -> jax.Array:
    """Whether the largest standard error is not above the tolerance."""
    if tolerance is None:
        return jnp.asarray(True)
    error = jax.lax.stop_gradient(jnp.max(_error(sums)))
    return error <= jnp.asarray(tolerance, error.dtype)
