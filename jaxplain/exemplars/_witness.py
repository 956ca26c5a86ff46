"""The witness: where the data and the prototypes differ."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import mean
from .._errors import is_concrete
from .._tree import describe
from .._types import PyTree
from ._kernels import Kernel
from ._points import Points, points_of


def witness(
    X: PyTree,
    prototypes: Any,
    *,
    kernel: Kernel | str | None = None,
    features: Callable[[PyTree], jax.Array] | None = None,
    labels: Any = None,
    chunk: int | None = 1024,
) -> Callable[..., jax.Array]:
    r"""Where the data and the prototypes differ: a function of any point.

    $w(x) = \frac1N \sum_i k(x_i, x) - \frac{1}{|S|} \sum_{j \in S} k(x_j, x)$: positive where the
    prototypes are too few, negative where they are too many.

    Args:
        X: the examples, as for `prototypes`.
        prototypes: the places of the prototypes in `X`, integers of shape (m,).
        kernel: as for `prototypes`; give the same.
        features: as for `prototypes`; give the same.
        labels: as for `prototypes`; give the same, as integers.
        chunk: the features of so many examples are computed at once; None for all.

    Returns:
        A function `(x) -> number` of one example, or `(x, label) -> number` if there are labels.

    Raises:
        ValueError: places are not in the data or come twice, or as for `prototypes`.
        TypeError: the prototypes are not integers, or as for `prototypes`; when called, if `x` is
            not like one of the examples.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> X = jnp.array([[0.0], [1.0], [5.0]])
        >>> w = jaxplain.witness(X, [0, 1])
        >>> [round(float(w(x)), 2) for x in X]  # nothing stands for the last one
        [-0.25, -0.2, 0.24]

    Notes:
        It can be differentiated. `jax.vmap` over all of the data would make the whole kernel
        matrix: `jax.lax.map(w, X, batch_size=1024)` does not.

    References:
        Kim, Khanna and Koyejo 2016, Examples are not enough, learn to criticize! Criticism for
        interpretability, NIPS.
    """
    points = points_of(X, kernel=kernel, features=features, labels=labels, chunk=chunk)
    if labels is not None:
        points = points._replace(labels=_integers(labels))  # as they come with the call
    places = places_of(prototypes, len(points.vectors))
    own = None if points.labels is None else points.labels[places]
    chosen = Points(points.vectors[places], own, points.kernel)

    def difference(x: PyTree, *label: Any) -> jax.Array:
        if len(label) != (labels is not None):
            expected = "(x)" if labels is None else "(x, label)"
            raise TypeError(f"This witness is a function of {expected}, by its labels=.")
        x = jax.tree.map(jnp.asarray, x)
        vector = jnp.asarray(x if features is None else features(x)).reshape(-1)
        if len(vector) != points.vectors.shape[1]:
            raise TypeError(
                f"x is a vector of {len(vector)} entries ({describe(x)}), but the examples have "
                f"{points.vectors.shape[1]}: give one example, and jax.vmap for several."
            )
        vector, own = vector.astype(points.vectors.dtype), label[0] if label else None
        return points.mean(vector, own) - chosen.mean(vector, own)

    return difference


@functools.partial(jax.jit, static_argnames="chunk")
def mean_of(points: Points, places: jax.Array, chunk: int | None) -> jax.Array:
    """How alike each example is to those at the places, in the mean, (N,)."""
    value: jax.Array = mean(points.row, places, chunk=chunk)
    return value


def places_of(prototypes: Any, count: int) -> jax.Array:
    """The prototypes' places in the data, checked."""
    places = jnp.asarray(prototypes)
    if not jnp.issubdtype(places.dtype, jnp.integer):
        raise TypeError(
            f"prototypes must be their places in X, integers such as jaxplain.prototypes returns, "
            f"but got {describe(places, 'prototypes')}."
        )
    if places.ndim != 1 or len(places) == 0:
        raise ValueError(
            f"prototypes must be one or more places in X, (m,), but has shape {places.shape}."
        )
    if is_concrete(places):
        values = np.asarray(places)
        outside = values[(values < 0) | (values >= count)]
        if outside.size:
            raise ValueError(f"prototypes has place {outside[0]}, but X has {count} examples.")
        if len(np.unique(values)) < len(values):
            raise ValueError(f"prototypes has a place twice: {values.tolist()}.")
    return places


def _integers(labels: Any) -> jax.Array:
    if np.result_type(labels).kind not in "iub":
        raise TypeError(
            f"labels of a witness must be integers, as its calls give them, but are "
            f"{np.result_type(labels)}: number the classes, for instance with "
            "numpy.unique(labels, return_inverse=True)[1]."
        )
    return jnp.asarray(labels)
