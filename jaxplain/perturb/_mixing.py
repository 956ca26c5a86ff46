"""Masks between 0 and 1, which mix the input with its baseline."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._tree import path_name
from .._types import PyTree


def mixed(mask: PyTree, x: PyTree, baseline: PyTree) -> PyTree:
    """$x^0 + m (x - x^0)$; masks broadcast to the leaves of the input."""

    def mix(share: jax.Array, leaf: jax.Array, base: jax.Array) -> jax.Array:
        return base + share.astype(leaf.dtype) * (leaf - base)

    return jax.tree.map(mix, mask, x, baseline)


def check_mixable(x: PyTree, who: str) -> None:
    """Raise unless there is something between the input and its baseline."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{path_name(path)} has dtype {leaf.dtype}, but {who} mixes the input with its "
                "baseline, and nothing lies between two token ids: use jaxplain.ablation or "
                "jaxplain.occlusion, which only exchange them, or explain the embeddings."
            )
