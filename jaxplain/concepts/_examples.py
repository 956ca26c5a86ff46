"""What a layer says of examples, and the space they span.

All that a linear classifier of few examples in many dimensions can see is their span. So one
Gram matrix replaces the layer: in the coordinates made from it, fits cost the same whether an
activation has a hundred entries or a million.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._batch import stack
from .._tree import describe, precision, wide
from .._types import PyTree


class Span(NamedTuple):
    """Examples in an orthonormal basis of their own span, and what leads back from there.

    Centred, and divided by their root mean square distance from the mean: so their mean squared
    length is 1, whatever the layer's units, and the same penalty means the same in every layer.
    """

    features: jax.Array  # (n, n): an example a row
    basis: jax.Array  # (n, n): centred examples.T @ basis is orthonormal
    mean: jax.Array  # (d,)
    scale: jax.Array  # (): the root mean square distance from the mean, in the layer's units


def span(activations: jax.Array) -> Span:
    """The span of examples `(n, d)`, from the eigenvectors of their Gram matrix."""
    mean = jnp.mean(activations, axis=0)
    centred = activations - mean[None]
    gram = jnp.matmul(centred, centred.T, precision="highest")
    count = gram.shape[0]
    scale = jnp.sqrt(jnp.trace(gram) / count)
    values, vectors = jnp.linalg.eigh(gram)
    least = jnp.max(values) * (count * precision(gram.dtype).eps)
    kept = values > least
    root = jnp.sqrt(jnp.where(kept, values, 1))[None]
    features = jnp.where(kept[None], vectors * root, 0)
    basis = jnp.where(kept[None], vectors / root, 0)
    return Span(features / jnp.where(scale > 0, scale, 1), basis, mean, scale)


def project(vectors: jax.Array, activations: jax.Array, within: Span) -> jax.Array:
    """The coordinates `(k, n)` of vectors `(k, d)` in the basis of a span of `activations`."""
    centred = activations - within.mean[None]
    products = jnp.matmul(vectors, centred.T, precision="highest")
    return jnp.matmul(products, within.basis, precision="highest")


def evaluate(fn: Callable[[PyTree], jax.Array], examples: PyTree, chunk: int | None) -> jax.Array:
    """`fn` of every example, flattened, in the accumulating dtype: `(n, d)`."""

    def flat(example: PyTree) -> jax.Array:
        value = fn(example)
        return value.reshape(-1).astype(wide(value.dtype))

    values: jax.Array = stack(flat, examples, chunk=chunk)
    return values


def check_alike(examples: PyTree, others: PyTree, name: str, other: str) -> None:
    """Raise unless single examples of both batches have the same shapes and dtypes."""

    def single(batch: PyTree) -> Any:
        shapes = [(jnp.shape(leaf)[1:], jnp.result_type(leaf)) for leaf in jax.tree.leaves(batch)]
        return jax.tree.structure(batch), shapes

    if single(examples) != single(others):
        raise ValueError(
            f"Examples of {name} and of {other} differ: {describe(examples, name)}; "
            f"{describe(others, other)}. All go through the same network: resize them to one shape."
        )


def check_activation(value: Any, who: str) -> None:
    """Raise unless `value` (or its shape) is one floating array."""
    floating = hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)
    if not floating:
        raise TypeError(
            f"{who} must give one floating-point array, the activation of one example, but gave "
            f"{describe(value, 'activation')}. Choose one of its parts, for instance with "
            "jaxplain.cut(f, at=NAME)[0]."
        )
