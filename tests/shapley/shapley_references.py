"""Shapley values in NumPy and float64, from their definitions.

A game is a table of the values of all coalitions; feature j is bit j of a coalition's number.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

Array = np.ndarray


def play(x: Any, table: Any) -> Any:
    """Any game as a model: the table's value for those entries of `x` that are not zero."""
    bits = (x.ravel() != 0).astype(jnp.int32) << jnp.arange(x.size, dtype=jnp.int32)
    return table[jnp.sum(bits)]


def features_of(table: Array) -> int:
    return int(np.log2(len(table)))


def by_orders(table: Array) -> Array:
    """What each feature adds, averaged over all orders."""
    count = features_of(table)
    orders = [np.array(order) for order in itertools.permutations(range(count))]
    return np.mean([of_order(table, order) for order in orders], axis=0)


def of_order(table: Array, order: Array) -> Array:
    """What each feature adds when they join in this order."""
    added, members = np.zeros(len(order)), 0
    for feature in order.tolist():
        added[feature] = table[members | 1 << feature] - table[members]
        members |= 1 << feature
    return added


def by_subsets(table: Array) -> Array:
    """The weighted sum over all coalitions without the feature."""
    count = features_of(table)
    values = np.zeros(count)
    for feature in range(count):
        for members in range(len(table)):
            if not members >> feature & 1:
                size = members.bit_count()
                orders = math.factorial(size) * math.factorial(count - size - 1)
                gain = table[members | 1 << feature] - table[members]
                values[feature] += orders / math.factorial(count) * gain
    return values


def kernel(size: int, count: int) -> float:
    """The Shapley kernel's weight of one coalition."""
    return (count - 1) / (math.comb(count, size) * size * (count - size))


def by_least_squares(masks: Array, weights: Array, scores: Array, ends: tuple[float, ...]) -> Array:
    """The weighted fit with a given sum, by Lagrange's multiplier; `ends` are v(0) and v(1)."""
    count = masks.shape[1]
    z = masks.astype(float)
    matrix = np.zeros((count + 1, count + 1))
    matrix[:count, :count] = z.T @ (weights[:, None] * z)
    matrix[count, :count] = matrix[:count, count] = 1
    side = np.append(z.T @ (weights * (scores - ends[0])), ends[1] - ends[0])
    return np.linalg.solve(matrix, side)[:count]


def all_masks(count: int) -> Array:
    """All coalitions but the empty and the full one, a row each."""
    numbers = np.arange(1, 2**count - 1)
    return (numbers[:, None] >> np.arange(count) & 1).astype(bool)


def numbers_of(masks: Array) -> Array:
    """The coalitions' numbers."""
    return masks.astype(int) @ (1 << np.arange(masks.shape[1]))
