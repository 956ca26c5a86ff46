"""A data set as a kernel sees it: one row of the kernel matrix at a time, and the means of all.

The matrix itself is never there. Its column means take as many kernel values as it has entries, but
`chunk` rows at a time; all else needs one row for each example that is chosen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._chunks import chunk_size
from .._errors import check_chunk, is_concrete
from .._tree import count_examples, describe, first_nonfinite, wide
from .._types import PyTree
from ..concepts._examples import evaluate
from ._kernels import Kernel, as_kernel, fast_similarities, similarities

Report = Callable[[int], None]


class Points(NamedTuple):
    """Examples as vectors, and how alike they are: with labels, not at all across classes."""

    vectors: jax.Array  # (N, d)
    labels: jax.Array | None  # (N,)
    kernel: Kernel

    def row(self, place: jax.Array) -> jax.Array:
        """How alike one of the examples is to each of them, (N,)."""
        values = similarities(self.kernel, self.vectors[place], self.vectors)
        return self.of_class(values, None if self.labels is None else self.labels[place])

    def diagonal(self) -> jax.Array:
        """How alike each is to itself, (N,)."""
        values: jax.Array = jax.vmap(self.kernel)(self.vectors, self.vectors)
        return values.astype(self.vectors.dtype)

    def mean(self, x: jax.Array, label: jax.Array | None) -> jax.Array:
        """How alike a vector is to all of the examples in the mean."""
        values = self.of_class(fast_similarities(self.kernel, x, self.vectors), label)
        # A sum of many equal signs loses digits: the second mean brings them back.
        mean = jnp.mean(values)
        return mean + jnp.mean(values - mean)

    def of_class(self, values: jax.Array, label: jax.Array | None) -> jax.Array:
        """Values of all examples, zero for those of another class."""
        return values if self.labels is None else jnp.where(self.labels == label, values, 0)


def points_of(
    X: PyTree,
    *,
    kernel: Kernel | str | None,
    features: Callable[[PyTree], jax.Array] | None,
    labels: Any,
    chunk: int | None,
) -> Points:
    """The examples as vectors, checked, with their labels and the kernel."""
    check_chunk(chunk)
    vectors = vectors_of(X, features, chunk, "X")
    return Points(vectors, _labels(labels, len(vectors)), as_kernel(kernel, vectors))


def vectors_of(
    X: PyTree, features: Callable[[PyTree], jax.Array] | None, chunk: int | None, name: str
) -> jax.Array:
    """A vector for each example, (N, d), in at least float32."""
    X = jax.tree.map(jnp.asarray, X)
    count = count_examples(X, name)
    if count == 0:
        raise ValueError(f"{name} has a leading axis of length 0: give some examples.")
    if (where := first_nonfinite(X, name)) is not None:
        raise ValueError(f"An example is not finite: {where}. Leave it out.")
    if features is not None:
        vectors: jax.Array = jax.jit(lambda X: evaluate(features, X, chunk))(X)
        if (where := first_nonfinite(vectors, "features")) is not None:
            raise ValueError(f"The features of an example are not finite: {where}.")
    else:
        vectors = _flat(X, name)
    if vectors.shape[1] == 0:
        raise ValueError(f"The examples are vectors without entries: {describe(X, name)}.")
    return vectors


def _flat(X: PyTree, name: str) -> jax.Array:
    if not isinstance(X, jax.Array):
        raise TypeError(
            f"{name} is not one array but {describe(X, name)}: say with features= how an example "
            "becomes a vector, for instance features=lambda x: x['image']."
        )
    if jnp.issubdtype(X.dtype, jnp.complexfloating):
        raise TypeError(f"{name} is complex: give real and imaginary parts.")
    # Counts and pixels of 8 bits are numbers too.
    dtype = wide(X.dtype) if jnp.issubdtype(X.dtype, jnp.floating) else jnp.result_type(float)
    return X.reshape(len(X), -1).astype(dtype)


def _labels(labels: Any, count: int) -> jax.Array | None:
    """A class for each example, as numbers from 0 where the labels can be looked at."""
    if labels is None:
        return None
    shape = np.shape(labels)
    if shape != (count,):
        raise ValueError(f"labels has shape {shape}, but there are {count} examples: give {count}.")
    if not is_concrete(labels):
        return jnp.asarray(labels)
    array = np.asarray(labels)
    if array.dtype.kind == "f" and np.isnan(array).any():
        place = int(np.argmax(np.isnan(array)))
        raise ValueError(f"labels[{place}] is NaN: give each example a class.")
    return jnp.asarray(np.unique(array, return_inverse=True)[1].astype(np.int32))


def column_means(
    points: Points, among: Points, chunk: int | None, report: Report | None
) -> jax.Array:
    """How alike each of the points is to those of `among` in the mean, (N,)."""
    count = len(points.vectors)
    if report is None:
        means: jax.Array = _all_means(points, among, chunk)
    else:
        size, parts = chunk_size(count, chunk), []
        for start in range(0, count, size):
            places = np.minimum(np.arange(start, start + size), count - 1)
            part: jax.Array = _means(points, among, jnp.asarray(places, jnp.int32))
            parts.append(part.block_until_ready())
            report(min(start + size, count))
        means = jnp.concatenate(parts)[:count]
    if is_concrete(means) and not np.isfinite(np.asarray(means)).all():
        place = int(np.argmin(np.isfinite(np.asarray(means))))
        raise ValueError(
            f"The kernel of X[{place}] with the other examples is {means[place]} in the mean: "
            "examples are too large for it, or too far apart. Scale them."
        )
    return means


def _means_of(points: Points, among: Points) -> Callable[[jax.Array], jax.Array]:
    def mean(place: jax.Array) -> jax.Array:
        label = None if points.labels is None else points.labels[place]
        return among.mean(points.vectors[place], label)

    return mean


@functools.partial(jax.jit, static_argnames="chunk")
def _all_means(points: Points, among: Points, chunk: int | None) -> jax.Array:
    places = jnp.arange(len(points.vectors), dtype=jnp.int32)
    means: jax.Array = stack(_means_of(points, among), places, chunk=chunk)
    return means


@jax.jit
def _means(points: Points, among: Points, places: jax.Array) -> jax.Array:
    means: jax.Array = jax.vmap(_means_of(points, among))(places)
    return means
