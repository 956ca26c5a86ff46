"""What a mean would be on other data sets: draws with replacement, and draws of signs."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._batch import stack
from ..concepts._significance import permutation_p_value

NARROWEST = 1e-3  # the least denominator of a corrected level, for the most extreme of levels


class Interval(NamedTuple):
    """Of the mean of each column."""

    mean: jax.Array
    low: jax.Array
    high: jax.Array
    standard_error: jax.Array


@functools.partial(jax.jit, static_argnames=("resamples", "chunk"))
def bounds(
    values: jax.Array, *, key: jax.Array, level: Any, resamples: int, chunk: int | None
) -> Interval:
    """The mean of each column of (examples, columns), and its interval."""
    count = len(values)
    # From the first value, so that of equal ones it is the mean to the last digit.
    mean = values[0] + jnp.mean(values - values[:1], axis=0)
    deviations = values - mean[None]
    # In units of the largest, so that no power of them leaves the range of numbers.
    largest = jnp.max(jnp.abs(deviations), axis=0)
    unit = jnp.where(largest > 0, largest, 1)
    scaled = deviations / unit[None]
    squares = jnp.sum(scaled**2, axis=0)
    safe = jnp.where(squares > 0, squares, 1)
    acceleration = jnp.sum(scaled**3, axis=0) / (6 * safe**1.5)
    means = resampled_means(scaled, key, resamples, chunk)
    tails = (1 - jnp.asarray(level, values.dtype)) / 2
    ends = jax.vmap(_corrected_quantiles, (1, 0, None))(means, acceleration, tails)
    error = unit * jnp.sqrt(squares / (count - 1) / count)
    return Interval(mean, mean + unit * ends[:, 0], mean + unit * ends[:, 1], error)


def resampled_means(
    values: jax.Array, key: jax.Array, resamples: int, chunk: int | None = None
) -> jax.Array:
    """The mean of each column over data sets drawn with replacement, (resamples, columns)."""
    count = len(values)

    def of_draw(number: jax.Array) -> jax.Array:
        rows = jax.random.randint(jax.random.fold_in(key, number), (count,), 0, count)
        # How often each was drawn: columns then cost a product, not a copy.
        times = jnp.zeros(count, values.dtype).at[rows].add(1)
        return jnp.matmul(times, values, precision="highest") / count

    means: jax.Array = stack(of_draw, jnp.arange(resamples), chunk=chunk)
    return means


def _corrected_quantiles(means: jax.Array, acceleration: jax.Array, tail: jax.Array) -> jax.Array:
    """The ends of the BCa interval, (2,), from means of which the observed one is zero."""
    half = 0.5 / len(means)
    below = jnp.mean(means < 0, dtype=means.dtype) + jnp.mean(means == 0, dtype=means.dtype) / 2
    bias = jax.scipy.special.ndtri(jnp.clip(below, half, 1 - half))
    shifted = bias + jax.scipy.special.ndtri(jnp.stack([tail, 1 - tail]))
    stretch = jnp.maximum(1 - acceleration * shifted, NARROWEST)
    return jnp.quantile(means, jax.scipy.special.ndtr(bias + shifted / stretch))


@functools.partial(jax.jit, static_argnames=("permutations", "chunk"))
def sign_flips(
    values: jax.Array, *, key: jax.Array, permutations: int, chunk: int | None
) -> jax.Array:
    """The p-value of each column of (examples, columns)."""
    count = len(values)
    every = 2**count - 1 if count < 31 else permutations + 1
    exact = every <= permutations
    places = jnp.arange(count)

    def of_pattern(number: jax.Array) -> jax.Array:
        if exact:  # the binary digits of the number; those of 0 are the observed signs
            signs = 1 - 2 * ((number >> places) & 1).astype(values.dtype)
        else:
            signs = jax.random.rademacher(jax.random.fold_in(key, number), (count,), values.dtype)
        return jnp.abs(jnp.matmul(signs, values, precision="highest"))

    numbers = jnp.arange(1, every + 1) if exact else jnp.arange(permutations)
    permuted = stack(of_pattern, numbers, chunk=chunk)
    observed = jnp.abs(jnp.matmul(jnp.ones(count, values.dtype), values, precision="highest"))
    return jax.vmap(permutation_p_value, (0, 1))(observed, permuted)
