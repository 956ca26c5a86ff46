"""Random changes that the activation should survive: functions `(key, x) -> x`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import baselines
from .._axes import checked_axes
from .._errors import check_count, check_real, is_concrete
from .._keys import one_key_each
from .._tree import path_name, wide
from .._types import PyTree, Scalar

Transform = Callable[[jax.Array, PyTree], PyTree]


def jitter(pixels: int, axes: tuple[int, ...] = (0, 1)) -> Transform:
    r"""Shift by whole pixels: $x'_p = x_{p + d}$ with each $d_a$ uniform in $-n, \dots, n$.

    What comes in from outside repeats the edge: nothing goes round to the other side.

    Args:
        pixels: $n$, the largest shift; a Python integer.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        A transform, a function `(key, x) -> x`.

    Raises:
        ValueError: `pixels` is no whole number; when called, a leaf of `x` lacks one of the axes.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> shift = jaxplain.transforms.jitter(1, axes=(0,))
        >>> shift(jax.random.key(0), jnp.arange(4.0)).shape
        (4,)
    """
    check_count("pixels", pixels, least=0)

    def shift(key: jax.Array, leaf: jax.Array, where: str) -> jax.Array:
        places = checked_axes(axes, leaf.shape, where)
        starts = jax.random.randint(key, (len(places),), 0, 2 * pixels + 1, jnp.int32)
        found = dict(zip(places, starts, strict=True))
        pads = [(pixels, pixels) if axis in found else (0, 0) for axis in range(leaf.ndim)]
        first = [found.get(axis, jnp.int32(0)) for axis in range(leaf.ndim)]
        return jax.lax.dynamic_slice(jnp.pad(leaf, pads, mode="edge"), first, leaf.shape)

    return _each(shift)


def scale(low: Scalar, high: Scalar, axes: tuple[int, ...] = (0, 1)) -> Transform:
    r"""Enlarge about the centre, by a factor that is uniform between `low` and `high`.

    $x'(p) = x(c + (p - c) / s)$ by linear interpolation, with $c$ the centre; edges are repeated.

    Args:
        low: the least factor, above 0; under 1 the picture shrinks.
        high: the greatest factor.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        A transform, a function `(key, x) -> x`.

    Raises:
        ValueError: `low` is not above 0, or exceeds `high`; when called, a leaf of `x` lacks one of
            the axes.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> twice = jaxplain.transforms.scale(2, 2, axes=(0,))
        >>> twice(jax.random.key(0), jnp.array([0.0, 2.0, 4.0]))
        Array([1., 2., 3.], dtype=float32)
    """
    check_real("low", low, low=0)
    if is_concrete(low):
        if low == 0:
            raise ValueError("low=0 leaves nothing of the picture: give a factor such as 0.9.")
        check_real("high", high, low=float(low))

    def enlarge(key: jax.Array, leaf: jax.Array, where: str) -> jax.Array:
        enlarged = leaf.astype(wide(leaf.dtype))
        factor = _uniform(key, low, high, enlarged.dtype)
        for axis in checked_axes(axes, leaf.shape, where):
            offset = _offsets(leaf.shape[axis], enlarged.dtype)
            place = offset / factor - offset[0]
            # Two weights a row: a product with a matrix is faster to differentiate than a gather.
            weights = _interpolation(place, leaf.shape[axis])
            product = jnp.tensordot(weights, enlarged, (1, axis), precision="highest")
            enlarged = jnp.moveaxis(product, 0, axis)
        return enlarged.astype(leaf.dtype)

    return _each(enlarge)


def rotate(degrees: Scalar, axes: tuple[int, int] = (0, 1)) -> Transform:
    r"""Rotate about the centre, by an angle that is uniform between `-degrees` and `degrees`.

    By bilinear interpolation; edges are repeated.

    Args:
        degrees: the largest angle, in degrees.
        axes: the two spatial axes, (0, 1) for HW and HWC.

    Returns:
        A transform, a function `(key, x) -> x`.

    Raises:
        ValueError: `degrees` is negative, or `axes` are not two; when called, a leaf of `x` lacks
            one of the axes.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> tilt = jaxplain.transforms.rotate(5)
        >>> tilt(jax.random.key(0), jnp.ones((4, 4, 3))).shape
        (4, 4, 3)
    """
    check_real("degrees", degrees, low=0)
    if len(axes) != 2:
        raise ValueError(f"axes={axes} must be the two axes of the plane, such as (0, 1).")

    def turn(key: jax.Array, leaf: jax.Array, where: str) -> jax.Array:
        places = checked_axes(axes, leaf.shape, where)
        plane = jnp.moveaxis(leaf.astype(wide(leaf.dtype)), places, (0, 1))
        rows, columns = (_offsets(size, plane.dtype) for size in plane.shape[:2])
        angle = jnp.deg2rad(_uniform(key, -degrees, degrees, plane.dtype))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        down, right = rows[:, None], columns[None, :]
        coordinates = [cos * down - sin * right - rows[0], sin * down + cos * right - columns[0]]

        def sample(picture: jax.Array) -> jax.Array:
            resample: Any = jax.scipy.ndimage.map_coordinates
            resampled: jax.Array = resample(picture, coordinates, 1, mode="nearest")
            return resampled

        flat = plane.reshape(*plane.shape[:2], -1)
        turned: jax.Array = jax.vmap(sample, in_axes=-1, out_axes=-1)(flat)
        return jnp.moveaxis(turned.reshape(plane.shape), (0, 1), places).astype(leaf.dtype)

    return _each(turn)


def blur(sigma: Scalar, axes: tuple[int, ...] = (0, 1)) -> Transform:
    r"""Blur by a Gaussian, whose width is uniform between 0 and `sigma`.

    Args:
        sigma: the largest standard deviation, in pixels.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        A transform, a function `(key, x) -> x`.

    Raises:
        ValueError: `sigma` is negative; when called, a leaf of `x` lacks one of the axes.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> soften = jaxplain.transforms.blur(1.0)
        >>> soften(jax.random.key(0), jnp.eye(4)).shape
        (4, 4)
    """
    check_real("sigma", sigma, low=0)

    def soften(key: jax.Array, leaf: jax.Array, where: str) -> jax.Array:
        checked_axes(axes, leaf.shape, where)
        width = _uniform(key, 0, sigma, wide(leaf.dtype))
        blurred: jax.Array = baselines.blur(leaf, width, axes=axes)
        return blurred

    return _each(soften)


def compose(*transforms: Transform) -> Transform:
    """One transform after another, each with a key of its own.

    Args:
        *transforms: functions `(key, x) -> x`, in the order in which they apply.

    Returns:
        A transform, a function `(key, x) -> x`. Transform `i` gets `jax.random.fold_in(key, i)`.

    Raises:
        TypeError: one of them is not a function.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain.transforms import compose, jitter, rotate
        >>> shake = compose(jitter(2), rotate(5))
        >>> shake(jax.random.key(0), jnp.ones((8, 8))).shape
        (8, 8)
    """
    for transform in transforms:
        if not callable(transform):
            raise TypeError(f"A transform is a function (key, x) -> x, but got {transform!r}.")

    def composed(key: jax.Array, x: PyTree) -> PyTree:
        for place, transform in enumerate(transforms):
            x = transform(jax.random.fold_in(key, place), x)
        return x

    return composed


def _each(of_leaf: Callable[[jax.Array, jax.Array, str], jax.Array]) -> Transform:
    """A transform of each leaf, with a key of its own."""

    def transform(key: jax.Array, x: PyTree) -> PyTree:
        leaves, structure = jax.tree_util.tree_flatten_with_path(x)
        keys = one_key_each(key, len(leaves))
        changed = [
            of_leaf(own, leaf, path_name(path))
            for own, (path, leaf) in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, changed)

    return transform


def _uniform(key: jax.Array, low: Scalar, high: Scalar, dtype: Any) -> jax.Array:
    first, last = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    return first + (last - first) * jax.random.uniform(key, (), dtype)


def _offsets(size: int, dtype: Any) -> jax.Array:
    """How far each place lies from the centre; halves and wholes, so without rounding."""
    return jnp.asarray(np.arange(size) - (size - 1) / 2, dtype)


def _interpolation(place: jax.Array, size: int) -> jax.Array:
    """The weights of all places at each of some between them, (places, size)."""
    inside = jnp.clip(place, 0, size - 1)
    distance = jnp.abs(inside[:, None] - jnp.arange(size, dtype=place.dtype)[None])
    return jnp.maximum(1 - distance, 0)
