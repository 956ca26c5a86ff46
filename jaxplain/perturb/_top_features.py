"""The features that an attribution is largest on, as a mask."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._errors import check_choice, check_count
from .._tree import widen
from .._types import PyTree
from ..backprop._rule import quotient
from ._features import Features, Partition

SIGNS = ("positive", "negative", "both")


def top_features(
    attribution: PyTree,
    count: int,
    *,
    sign: str = "positive",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
) -> PyTree:
    """The elements of the `count` features that the attribution is largest on.

    A feature's value is the mean over its elements, which for a method of features is the value
    that they all have.

    Args:
        attribution: a pytree of floating arrays.
        count: how many features at most.
        sign: `"positive"` for the largest above zero, `"negative"` for the least below zero, or
            `"both"` for the largest sizes. Features of value zero are never among them.
        groups: which elements are one feature: integers that broadcast to the attribution, or a
            pytree of them for a pytree.
        along: an axis or several, the positions on which are the features. Without `groups` and
            `along`, every element is a feature.
        features: how many features there are, for `groups` that are traced.

    Returns:
        A pytree like the attribution, of bool.

    Raises:
        ValueError: an option is invalid, or groups do not broadcast to the attribution.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> segments = jnp.array([[0, 0, 1], [2, 2, 1]])
        >>> attribution = jnp.array([[0.5, 0.5, -2.0], [1.0, 1.0, -2.0]])
        >>> jaxplain.top_features(attribution, 1, groups=segments)
        Array([[False, False, False],
               [ True,  True, False]], dtype=bool)

    Notes:
        For a picture: `plot.overlay(image, jnp.where(mask, attribution, 0))`.
    """
    check_count("count", count)
    check_choice("sign", sign, SIGNS)
    partition = Partition.checked(groups, along, features).of(attribution)
    values = _means(attribution, partition)
    size = {"positive": values, "negative": -values, "both": jnp.abs(values)}[sign]
    largest, places = jax.lax.top_k(size, min(count, partition.count))
    chosen = jnp.zeros(partition.count, bool).at[places].set(largest > 0)
    spread: PyTree = partition.spread(chosen.astype(values.dtype), attribution)
    return jax.tree.map(lambda leaf: leaf > 0, spread)


def _means(tree: PyTree, partition: Features) -> jax.Array:
    """The mean over each feature's elements in all leaves."""
    ones = jax.tree.map(jnp.ones_like, widen(tree))
    return quotient(partition.sums(tree), partition.sums(ones), 0.0)
