"""All coalitions of a few players: a game as its 2^n values, averaged in O(2^n) memory.

Bit i of a coalition's number says whether player i is in it. The player of the highest bit is the
leading axis of `values.reshape(2, -1)`; a transposition there makes that bit the lowest, so that
the next player leads. Differences are taken before they are averaged: where a player changes
nothing the result is exactly zero.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np


def players(values: jax.Array) -> int:
    """How many players a game of so many coalitions has."""
    return len(values).bit_length() - 1


def shapley_values(values: jax.Array) -> jax.Array:
    """The Shapley value of each player, (n,), from the values of all coalitions, (2^n,)."""
    return gains(values, shapley_weights(players(values)))


def gains(values: jax.Array, weights: np.ndarray) -> jax.Array:
    """What each player adds to the coalitions of the others, (n,), weighted by their sizes.

    `weights` has n entries: what one coalition of s others counts.
    """
    if not len(weights):
        return jnp.zeros(0, values.dtype)
    factors = by_size(weights, values.dtype)

    def step(values: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return _rotate(values), _sum(factors * _difference(values))

    return jax.lax.scan(step, values, length=len(weights))[1][::-1]


def pair_gains(values: jax.Array, weights: np.ndarray) -> jax.Array:
    """What each pair adds beyond what its players add alone, (n, n), weighted by size.

    `weights` has n - 1 entries: what one coalition of s others counts. The diagonal is zero.
    """
    count = players(values)
    if count < 2:
        return jnp.zeros((count, count), values.dtype)

    def step(values: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return _rotate(values), gains(_difference(values), weights)

    rows = jax.lax.scan(step, values, length=count)[1][::-1]
    # Behind player i, from the lowest bit up, stand i + 1, i + 2, ..., around the end.
    i, j = np.indices((count, count))
    found = rows[i, np.minimum((j - i - 1) % count, count - 2)]
    return jnp.where(i == j, 0, (found + found.T) / 2)


def shapley_weights(count: int) -> np.ndarray:
    r"""$s! (n - 1 - s)! / n!$ for each size s of a coalition of the others."""
    return np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])


def by_size(weights: np.ndarray, dtype: jnp.dtype) -> jax.Array:
    """The weight of every coalition of n players, (2^n,), from that of each size, (n + 1,)."""
    numbers = jnp.arange(2 ** (len(weights) - 1), dtype=jnp.uint32)
    found: jax.Array = jnp.asarray(weights, dtype)[jax.lax.population_count(numbers)]
    return found


def _difference(values: jax.Array) -> jax.Array:
    """What the leading player adds to each coalition of the others."""
    halves = values.reshape(2, -1)
    return halves[1] - halves[0]


def _rotate(values: jax.Array) -> jax.Array:
    """The same game with the leading player last."""
    return values.reshape(2, -1).T.reshape(-1)


def _sum(terms: jax.Array) -> jax.Array:
    """A long sum in two short ones: rounding grows with the length."""
    short = terms.reshape(1 << (players(terms) // 2), -1)
    found: jax.Array = jnp.sum(jnp.sum(short, axis=1))
    return found
