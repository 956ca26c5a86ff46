"""Arithmetic of vectors that are pytrees: directions in the space of the parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._types import PyTree


def dot(left: PyTree, right: PyTree) -> jax.Array:
    """The inner product of two trees, in their widest dtype."""
    parts = [jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (left, right)), strict=True)]
    dtype = jnp.result_type(*parts)
    result: jax.Array = sum((p.astype(dtype) for p in parts[1:]), start=parts[0].astype(dtype))
    return result


def norm(tree: PyTree) -> jax.Array:
    """The Euclidean length of a tree."""
    return jnp.sqrt(dot(tree, tree))


def add(left: PyTree, right: PyTree, factor: Any = 1) -> PyTree:
    """`left + factor * right`, each leaf in the dtype of `left`."""
    return jax.tree.map(lambda a, b: a + jnp.asarray(factor, a.dtype) * b, left, right)


def scale(tree: PyTree, factor: Any) -> PyTree:
    """`factor * tree`, in the dtype of its leaves."""
    return jax.tree.map(lambda leaf: jnp.asarray(factor, leaf.dtype) * leaf, tree)


def unit(tree: PyTree) -> PyTree:
    """A tree of length 1 in the same direction; zeros stay zeros."""
    length = norm(tree)
    return scale(tree, 1 / jnp.where(length > 0, length, 1))
