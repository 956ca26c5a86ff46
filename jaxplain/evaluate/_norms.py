"""Lengths of pytrees, quotients of them, and numbers that are not known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._tree import map_wide, total, widen
from .._types import PyTree


def norm(tree: PyTree) -> jax.Array:
    """The Euclidean norm of all elements, with a derivative of zero at zero."""
    values, _ = ravel_pytree(widen(tree))
    largest = jnp.max(jnp.abs(values), initial=0)
    # Without the scale the squares of small numbers would be lost.
    scale = jax.lax.stop_gradient(jnp.where(largest == 0, 1, largest))
    square = jnp.sum(jnp.square(values / scale))
    root = jnp.sqrt(jnp.where(square == 0, 1, square))
    return jnp.where(square == 0, 0, scale * root)


def distance(left: PyTree, right: PyTree) -> jax.Array:
    """The Euclidean distance of two pytrees."""
    return norm(map_wide(jnp.subtract, left, right))


def manhattan(left: PyTree, right: PyTree) -> jax.Array:
    """The sum of the absolute differences of two pytrees."""
    return total(map_wide(lambda a, b: jnp.abs(a - b), left, right))


def ratio(above: jax.Array, below: jax.Array) -> jax.Array:
    """The quotient, with 0/0 = 0, also in derivatives; another number over 0 is infinite."""
    below = below.astype(above.dtype)
    defined = below != 0
    quotient = above / jnp.where(defined, below, 1)
    # NaN times infinity stays NaN; the product would have a derivative of that kind.
    infinite = jax.lax.stop_gradient(above) * jnp.inf
    return jnp.where(defined, quotient, jnp.where(above == 0, 0, infinite))


def unless_nan(value: jax.Array, *seen: jax.Array) -> jax.Array:
    """`value`, or NaN if what it comes from has one: orders and comparisons would hide it."""
    unknown = jnp.any(jnp.stack([jnp.any(jnp.isnan(part)) for part in seen]))
    return jnp.where(unknown, jnp.nan, value)
