"""The largest relative change of an explanation per change of something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._call import Score
from .._errors import check_real, is_concrete
from .._tree import describe, map_wide
from .._types import Argnums, Model, PyTree, Scalar
from ._nearby import Nearby, explanation
from ._norms import norm
from ._subjects import Attributions, Explain, of_methods

Moved = Callable[[Score, PyTree], Callable[[PyTree], jax.Array]]
Outputs = Callable[[Any], Any]


def largest_ratio(
    f: Model,
    attribution: Attributions,
    moved: Moved,
    near: Nearby,
    floor: Scalar,
    outputs: Outputs | None,
    argnums: Argnums,
    name: str,
) -> Callable[..., Any]:
    """The largest relative change of the explanation per what `moved` says, at the same class."""

    def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> jax.Array:
        here, far = explanation(explain, x), moved(score, x)
        label = None if outputs is None else _class_of(outputs, x)

        def of_sample(y: PyTree) -> tuple[jax.Array, jax.Array]:
            change = relative_change(explanation(explain, y), here, floor)
            way = far(y).astype(change.dtype)
            same = jnp.asarray(True) if label is None else _class_of(outputs, y) == label
            return change / jnp.maximum(way, jnp.asarray(floor, way.dtype)), same

        values, same = near.values(of_sample, x, key)
        largest = jnp.max(jnp.where(same, values, -jnp.inf))
        return jnp.where(jnp.any(same), largest, jnp.nan)

    return of_methods(f, attribution, measure, name=name, argnums=argnums, random=True)


def relative_change(new: PyTree, old: PyTree, floor: Scalar) -> jax.Array:
    """The norm of the changes of all elements, each as a share of its old value."""

    def share(new: jax.Array, old: jax.Array) -> jax.Array:
        return (new - old) / jnp.where(old == 0, jnp.asarray(floor, old.dtype), old)

    return norm(map_wide(share, new, old))


def _class_of(outputs: Any, x: PyTree) -> jax.Array:
    scores = outputs(x)
    if jnp.ndim(scores) != 1:
        raise ValueError(
            f"outputs returned {describe(scores, 'scores')}: give a function of the explained "
            "argument alone that returns one score for each class, of shape (classes,)."
        )
    return jnp.argmax(scores)


def check_floor(floor: Scalar) -> None:
    check_real("floor", floor, low=0)
    if is_concrete(floor) and np.any(np.asarray(floor) == 0):
        raise ValueError("floor=0 would divide by zero: give a small positive number.")
