"""Arithmetic and checks on pytrees of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import is_concrete
from ._types import PyTree


def wide(dtype: Any) -> Any:
    """The dtype to accumulate in: at least float32 (bfloat16 sums lose digits)."""
    return jnp.dtype(jnp.float32) if jnp.dtype(dtype).itemsize < 4 else jnp.dtype(dtype)


def precision(dtype: Any) -> Any:
    """What `jnp.finfo` knows of a dtype, bfloat16 included."""
    finfo: Any = jnp.finfo
    return finfo(dtype)


def widen(tree: PyTree) -> PyTree:
    """Cast every leaf to the dtype to accumulate in."""
    return jax.tree.map(lambda leaf: leaf.astype(wide(leaf.dtype)), tree)


def cast_like(tree: PyTree, like: PyTree) -> PyTree:
    """Cast every leaf of `tree` to the dtype of its partner in `like`."""
    return jax.tree.map(lambda leaf, other: leaf.astype(other.dtype), tree, like)


def map_wide(op: Callable[..., jax.Array], first: PyTree, *rest: PyTree) -> PyTree:
    """Apply `op` leaf by leaf in the accumulating dtype; the result keeps that dtype."""
    return jax.tree.map(op, widen(first), *map(widen, rest))


def same_tree(left: PyTree, right: PyTree) -> bool:
    """Whether two pytrees have the same structure."""
    structures: list[Any] = [jax.tree.structure(left), jax.tree.structure(right)]
    return bool(structures[0] == structures[1])


def subtract(left: PyTree, right: PyTree) -> PyTree:
    """`left - right`, leaf by leaf."""
    return jax.tree.map(jnp.subtract, left, right)


def total(tree: PyTree) -> jax.Array:
    """The sum over all elements of all leaves, accumulated in at least float32."""
    sums = [jnp.sum(leaf, dtype=wide(leaf.dtype)) for leaf in jax.tree.leaves(tree)]
    result: jax.Array = sum(sums[1:], start=sums[0])
    return result


def path_name(path: tuple[Any, ...], root: str = "x") -> str:
    """A leaf's place as one would type it: `x['image'][0]`."""
    return root + jax.tree_util.keystr(path)


def describe(tree: PyTree, root: str = "x") -> str:
    """Shapes and dtypes of a tree's leaves, for messages."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    lines = [f"{path_name(path, root)}: {_describe_leaf(leaf)}" for path, leaf in leaves]
    return "; ".join(lines) if lines else f"{root}: no arrays"


def _describe_leaf(leaf: Any) -> str:
    if not hasattr(leaf, "shape"):
        return type(leaf).__name__
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def count_examples(examples: PyTree, name: str) -> int:
    """The common length of the leading axes."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(examples)]
    if not shapes or any(not shape or shape[0] != shapes[0][0] for shape in shapes):
        raise ValueError(
            f"{name} must be a batch of examples, arrays with one common leading axis, but is "
            f"{describe(examples, name)}."
        )
    return int(shapes[0][0])


def first_nonfinite(tree: PyTree, root: str) -> str | None:
    """Where the first NaN or infinity stands among the leaves that can be looked at, or None."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        # NumPy, not jax.numpy: under an outer jit even concrete values would be traced.
        if is_concrete(leaf) and not np.isfinite(values := np.asarray(leaf)).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            return f"{path_name(path, root)}{list(index) if index else ''} is {values[index]}"
    return None
