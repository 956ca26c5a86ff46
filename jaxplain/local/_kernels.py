"""How far a sample is from what is explained, and how much it then counts in a local fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice, check_real, is_concrete
from .._tree import wide
from .._types import PyTree, Scalar
from ..backprop._rule import quotient

Distance = Callable[[jax.Array, jax.Array], jax.Array]
Kernel = Callable[[jax.Array, jax.Array], jax.Array]


def cosine(row: jax.Array, origin: jax.Array) -> jax.Array:
    r"""$1 - \cos\angle(z, z')$; a vector of zeros is at distance 1."""
    return 1 - quotient(row @ origin, _length(row) * _length(origin), 0.0)


def euclidean(row: jax.Array, origin: jax.Array) -> jax.Array:
    r"""$|z - z'|$."""
    return _length(row - origin)


def hamming(row: jax.Array, origin: jax.Array) -> jax.Array:
    """The share of entries that differ."""
    return jnp.mean((row != origin).astype(row.dtype))


def _length(row: jax.Array) -> jax.Array:
    """The norm, with a derivative of zero at zero."""
    square = jnp.sum(row**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


DISTANCES: Mapping[str, Distance] = {
    "cosine": cosine,
    "euclidean": euclidean,
    "hamming": hamming,
}
INPUT_DISTANCES: Mapping[str, Distance] = {
    "input_cosine": cosine,
    "input_euclidean": euclidean,
}


def lime_kernel(distance: jax.Array, width: jax.Array) -> jax.Array:
    r"""$e^{-d^2 / 2 w^2}$: the square root of the exponential kernel, as in the `lime` package."""
    return jnp.exp(-((distance / width) ** 2) / 2)


def exponential_kernel(distance: jax.Array, width: jax.Array) -> jax.Array:
    r"""$e^{-d^2 / w^2}$, as in the paper."""
    return jnp.exp(-((distance / width) ** 2))


KERNELS: Mapping[str, Kernel] = {"lime": lime_kernel, "exponential": exponential_kernel}


def check_distance(distance: Any, *, of_inputs: bool) -> None:
    """Raise unless it is a name, or a function of a sample and of the explained one."""
    if not callable(distance):
        check_choice("distance", distance, [*DISTANCES, *(INPUT_DISTANCES if of_inputs else ())])


def check_kernel(kernel: Any, width: Any) -> None:
    """Raise unless the kernel is known and its width above zero, where that can be looked at."""
    if not callable(kernel):
        check_choice("kernel", kernel, KERNELS)
    check_real("kernel_width", width, low=0)
    if is_concrete(width) and not np.all(np.asarray(width) > 0):
        raise ValueError(
            f"kernel_width={width!r} leaves no weight to any sample but the input: give a number "
            "above 0, or float('inf') to weigh all samples alike."
        )


def weigh(distances: jax.Array, kernel: str | Kernel, width: Scalar) -> jax.Array:
    """The weight of samples at these distances."""
    function = kernel if callable(kernel) else KERNELS[kernel]
    return function(distances, jnp.asarray(width, distances.dtype))


def flat(tree: PyTree, dtype: Any) -> jax.Array:
    """All elements of all leaves in one vector, for distances between inputs."""
    parts = [leaf.astype(wide(dtype)).ravel() for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate(parts)
