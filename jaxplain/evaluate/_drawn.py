"""What a user's function drew, and what a metric has no use for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._tree import cast_like, describe, same_tree
from .._types import PyTree


def like_input(drawn: PyTree, x: PyTree, who: str) -> PyTree:
    """`drawn` with the dtypes of `x`; raise unless it has the tree, shapes and kinds of `x`."""

    def fits(part: Any, leaf: jax.Array) -> bool:
        kinds = [
            [jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer)]
            for dtype in (leaf.dtype, jnp.result_type(part))
        ]
        return jnp.shape(part) == leaf.shape and kinds[0] == kinds[1]

    if not same_tree(drawn, x) or not all(
        fits(part, leaf)
        for part, leaf in zip(jax.tree.leaves(drawn), jax.tree.leaves(x), strict=True)
    ):
        raise ValueError(
            f"{who} must return values like the input, {describe(x)}, but returned "
            f"{describe(drawn, 'values')}."
        )
    return cast_like(jax.tree.map(jnp.asarray, drawn), x)


def refusing(metric: Callable[..., Any], option: str, reason: str) -> Callable[..., Any]:
    """`metric`, which raises if `option` comes with a call: it would be ignored in silence."""

    @functools.wraps(metric)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get(option) is not None:
            raise TypeError(f"{option}= came with the call, but {reason}")
        return metric(*args, **kwargs)

    return evaluate
