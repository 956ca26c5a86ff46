"""Secants: the slope between two points, exact also where the points are almost one."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._tree import precision, wide

Function = Callable[[jax.Array], jax.Array]

# A point where hardly any function is singular, for slopes that are not looked at.
_BENIGN = 0.5


def secant(
    slope_at: Function, x: jax.Array, reference: jax.Array, y: jax.Array, y_reference: jax.Array
) -> jax.Array:
    r"""$\Delta y / \Delta x$ of an elementwise function; where both are tiny, its mean slope.

    Two nearby numbers share most digits, so their difference has few. Where the mean of the
    derivatives at both ends says the same up to rounding, it is taken instead: it is finite at
    $\Delta x = 0$ and so are its own derivatives. `slope_at` gives the derivative at a point.
    """
    dtype = wide(y.dtype)
    dx = x.astype(dtype) - reference.astype(dtype)
    dy = y.astype(dtype) - y_reference.astype(dtype)
    epsilon = jnp.asarray(precision(x.dtype).eps, dtype)
    scale = jnp.maximum(jnp.abs(x), jnp.abs(reference)).astype(dtype)
    near: jax.Array = (jnp.abs(dx) <= jnp.cbrt(epsilon) * scale) | (
        jnp.abs(dx) < precision(dtype).tiny
    )
    slope = _mean_slope(slope_at, x, reference, near).astype(dtype)
    # Of the values at both ends, and of what the function computes on its way from x to y.
    sizes = (jnp.abs(y) + jnp.abs(y_reference)).astype(dtype) + jnp.abs(slope) * scale
    rounding = 4 * epsilon * sizes
    alike = near & (jnp.abs(dy - slope * dx) <= rounding)
    ratio = dy / jnp.where(alike | (dx == 0), 1, dx)
    # Infinite values, such as masked logits, change by no number.
    return jnp.where(alike, slope, jnp.where(jnp.isfinite(dx) & jnp.isfinite(dy), ratio, 0))


def slope_by_tangents(function: Function) -> Function:
    """The derivative of a function that acts element by element, or broadcasts one number."""

    def slope(x: jax.Array) -> jax.Array:
        tangent: jax.Array = jax.jvp(function, (x,), (jnp.ones_like(x),))[1]
        return tangent

    return slope


def _mean_slope(
    slope_at: Function, x: jax.Array, reference: jax.Array, near: jax.Array
) -> jax.Array:
    """The mean of the derivatives at both ends, 0 where it is infinite."""

    def benign(point: jax.Array) -> jax.Array:
        return jnp.where(near, point, jnp.asarray(_BENIGN, point.dtype))

    mean = (slope_at(benign(x)) + slope_at(benign(reference))) / 2
    return jnp.where(jnp.isfinite(mean), mean, 0)
