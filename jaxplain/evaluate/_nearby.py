"""Inputs near an input, and how far an explanation moves between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import checked_input
from .._errors import check_choice, check_chunk, check_count, check_real, is_concrete
from .._keys import normal_like, one_key_each
from .._tree import describe, widen
from .._types import Chunk, PyTree, Scalar

NOISES = ("uniform", "normal")


@dataclasses.dataclass(frozen=True)
class Nearby:
    """Random inputs around an input: how many, how far, and by which noise."""

    radius: Scalar
    samples: int
    noise: str
    chunk: Chunk

    @staticmethod
    def checked(radius: Scalar, samples: int, noise: str, chunk: Chunk) -> Nearby:
        """Raise unless the options are valid."""
        check_real("radius", radius, low=0)
        if is_concrete(radius) and np.any(np.asarray(radius) == 0):
            raise ValueError("radius=0 leaves every input where it is: give a positive number.")
        check_count("samples", samples)
        check_choice("noise", noise, NOISES)
        check_chunk(chunk)
        return Nearby(radius, samples, noise, chunk)

    def point(self, x: PyTree, key: jax.Array, number: Any) -> PyTree:
        """Sample `number` near `x`."""
        key = jax.random.fold_in(key, number)
        noise = normal_like(key, x) if self.noise == "normal" else _uniform_like(key, x)
        return jax.tree.map(lambda x, n: x + jnp.asarray(self.radius, x.dtype) * n, x, noise)

    def values(self, measure: Callable[[PyTree], PyTree], x: PyTree, key: jax.Array) -> PyTree:
        """`measure` of each sample, stacked; at most `chunk` of them live at once.

        NaN if no sample moved, for a radius below the last digit of the input.
        """
        x = checked_input(x)

        def of_sample(number: jax.Array) -> tuple[PyTree, jax.Array]:
            point = self.point(x, key, number)
            return measure(point), _differ(point, x)

        found, moved = stack(of_sample, jnp.arange(self.samples), chunk=self.chunk)
        return jax.tree.map(lambda part: _unless_stuck(part, jnp.any(moved)), found)


def _differ(left: PyTree, right: PyTree) -> jax.Array:
    """Whether any element of two pytrees differs."""
    leaves = jax.tree.leaves(jax.tree.map(lambda a, b: jnp.any(a != b), left, right))
    return jnp.any(jnp.stack(leaves))


def _unless_stuck(values: jax.Array, moved: jax.Array) -> jax.Array:
    floating = jnp.issubdtype(values.dtype, jnp.floating)
    return jnp.where(moved, values, jnp.nan) if floating else values


def _uniform_like(key: jax.Array, x: PyTree) -> PyTree:
    """Independent numbers between -1 and 1, shaped like the leaves of `x`."""
    leaves, structure = jax.tree.flatten(x)
    keys = one_key_each(key, len(leaves))
    noise = [
        jax.random.uniform(k, leaf.shape, leaf.dtype, minval=-1, maxval=1)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, noise)


def explanation(explain: Callable[[PyTree], PyTree], x: PyTree) -> PyTree:
    """The attribution at `x`, in at least float32."""
    found = explain(x)
    if not all(jnp.issubdtype(jnp.result_type(v), jnp.floating) for v in jax.tree.leaves(found)):
        raise TypeError(
            f"The attribution gave {describe(found, 'attribution')}, but a distance needs "
            "floating-point numbers. Build the attribution without info=True."
        )
    return widen(jax.tree.map(jnp.asarray, found))
