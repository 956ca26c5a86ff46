"""Metrics over a data set: one number for each example, whatever the metric returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._call import name_of
from .._keys import needs_key
from .._tree import count_examples, widen
from .._types import PyTree

Evaluate = Callable[..., Any]


def checked_examples(xs: PyTree, args: tuple[Any, ...], data: Mapping[str, Any]) -> int:
    """How many examples there are, if all arguments of the call have as many."""
    return count_examples((xs, *args, *data.values()), "the examples")


def rows_of(tree: PyTree, rows: Any) -> PyTree:
    """Some of the examples; arrays that lie outside of the device stay there."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[rows]), tree)


def key_of(key: jax.Array, place: Any) -> jax.Array:
    """The key of one example, whatever its batch: the same for all methods and metrics."""
    return jax.random.fold_in(key, place)


def call(evaluate: Evaluate, args: tuple[Any, ...], data: Mapping[str, Any], key: jax.Array) -> Any:
    """A metric of one example, with a key if it takes one."""
    given = {"key": key} if needs_key(evaluate) else {}
    return evaluate(*args, **data, **given)


def as_number(found: Any, metric: Any) -> jax.Array:
    """What a metric returned, as one number: a curve as the area under it."""
    value = getattr(found, "area", found)
    if isinstance(value, float):
        return jnp.asarray(value)
    if getattr(value, "shape", None) != () or jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise TypeError(
            f"{name_of(metric)} gave {jax.tree.map(np.shape, found)!r} for one example, not one "
            "number or a curve: choose or average, in a function that returns the number."
        )
    real = jnp.issubdtype(value.dtype, jnp.floating)
    return jnp.asarray(widen(value) if real else value.astype(jnp.result_type(float)))
