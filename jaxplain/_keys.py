"""Random keys: who needs one, and what is wrong with the one that was given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._types import PyTree


def needs_key(g: Callable[..., Any]) -> bool:
    """Whether `g` is a random transform that still waits for its `key=`."""
    if isinstance(g, functools.partial):
        return "key" not in g.keywords and needs_key(g.func)
    return bool(getattr(g, "__needs_key__", False))


def checked_key(key: Any, who: str) -> jax.Array:
    """`key` if it is one key; otherwise an error that says what to type."""
    if key is None:
        raise TypeError(f"{who} is random and needs a key: pass key=jax.random.key(0).")
    typed = hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if typed and key.shape == ():
        return jnp.asarray(key)
    if typed:
        raise TypeError(
            f"{who} got {key.shape} keys for one example. A batch of keys belongs to a batch of "
            "examples: jax.vmap(explain)(xs, key=keys)."
        )
    if getattr(key, "dtype", None) == jnp.uint32 and key.shape:
        return jnp.asarray(jax.random.wrap_key_data(key))
    if getattr(key, "dtype", None) == jnp.uint32:
        raise TypeError(
            f"{who} got one number of an old-style key: jax.vmap maps key= over its first axis, "
            "so a batch needs one key per example: key=jax.random.split(jax.random.key(0), "
            "len(xs)). To share one key, bind it: functools.partial(explain, key=key)."
        )
    raise TypeError(f"key={key!r} is not a random key: pass key=jax.random.key(0).")


def split_for(g: Callable[..., Any], key: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
    """A key for oneself, and the keyword arguments that hand `g` its own key if it needs one."""
    if not needs_key(g):
        return key, {}
    own, other = jax.random.split(key)
    return own, {"key": other}


def one_key_each(key: jax.Array, count: int) -> list[jax.Array]:
    """Independent keys; a lone one is `key` itself, since random bits are slow to compile."""
    return [key] if count == 1 else list(jax.random.split(key, count))


def normal_like(key: jax.Array, tree: PyTree) -> PyTree:
    """Independent standard normal numbers shaped like the leaves of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    noise = [
        jax.random.normal(k, leaf.shape, leaf.dtype)
        for k, leaf in zip(one_key_each(key, len(leaves)), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, noise)
