"""Correlations of two vectors, by value and by rank, that are 0 where one of them is constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from .._tree import wide

Correlation = Callable[[jax.Array, jax.Array], jax.Array]


def pearson(a: jax.Array, b: jax.Array) -> jax.Array:
    r"""The correlation $\langle \hat a, \hat b \rangle$ of two vectors, centred and of length 1.

    In at least float32. 0 where one of them is constant, and no NaN in its derivative.
    """
    dtype = widest(a, b)
    return jnp.sum(_standard(a.astype(dtype)) * _standard(b.astype(dtype)))


def spearman(a: jax.Array, b: jax.Array) -> jax.Array:
    """The correlation of the ranks of two vectors; equal values share their mean rank.

    Its derivative is 0: ranks do not change with small changes of the values.
    """
    return pearson(mean_ranks(a), mean_ranks(b))


CORRELATIONS: Mapping[str, Correlation] = MappingProxyType(
    {"pearson": pearson, "spearman": spearman}
)


def mean_ranks(values: jax.Array) -> jax.Array:
    """The place of each value in ascending order, from 0; the mean place for equal ones."""
    numbers = _in_order(values)
    ordered = jnp.sort(numbers)
    # NaN has no place: as a difference of counts it would get one.
    below = jnp.searchsorted(ordered, numbers, side="left")
    up_to = jnp.searchsorted(ordered, numbers, side="right")
    places = (below + up_to - 1).astype(wide(values.dtype)) / 2
    return jnp.where(jnp.isnan(values), jnp.nan, places)


def _in_order(values: jax.Array) -> jax.Array:
    """Whole numbers in the order of floating ones, by their bits: far cheaper to sort."""
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return values
    values = jnp.where(values == 0, 0, values)  # -0 and 0 are equal
    width = values.dtype.itemsize * 8
    bits = jax.lax.bitcast_convert_type(values, f"int{width}")
    # Of negative numbers larger bits are smaller numbers: all of them but the sign are turned.
    turned = bits ^ jnp.asarray(2 ** (width - 1) - 1, bits.dtype)
    return jnp.where(bits < 0, turned, bits)


def widest(*arrays: jax.Array) -> Any:
    """The dtype to compute in that holds all of them: at least float32."""
    return max((wide(array.dtype) for array in arrays), key=lambda dtype: dtype.itemsize)


def _standard(values: jax.Array) -> jax.Array:
    """Of mean 0 and length 1; zeros for a constant vector."""
    # Minus the first, a constant is zero to the last digit, and a mean of zeros is zero too.
    centred = values - jax.lax.stop_gradient(values[:1])
    centred = centred - jnp.mean(centred)
    # Squares of large and of tiny numbers are none. The size is a mere unit: it has no derivative.
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(centred)))
    scaled = centred / jnp.where(size == 0, 1, size)
    length = jnp.sum(scaled**2)
    return jnp.where(length == 0, 0, scaled / jnp.sqrt(jnp.where(length == 0, 1, length)))
