"""Noisy linear imputation: pixels that are gone become weighted means of their neighbours.

The equations are those of a harmonic function, which conjugate gradients alone solve slowly: what
a hole needs to know comes from its rim, one pixel farther per step. So the residual is also looked
at from afar, on pictures of half the size, a quarter and so on, which carry it across at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from .._errors import check_real, is_concrete
from .._keys import checked_key, normal_like
from .._tree import path_name, precision, wide
from .._types import PyTree, Scalar
from ._removal import Removal, check_axes, check_floating, choose


def noisy_linear_imputation(noise: Scalar = 0.01, *, axes: tuple[int, int] = (0, 1)) -> Removal:
    r"""What is gone is filled in from its surroundings, with a little noise.

    $x'_i = \sum_{j \in N(i)} w_{ij} x'_j \,/ \sum_{j \in N(i)} w_{ij} + \sigma n_i$ for each pixel
    i that is gone, where the eight neighbours $N(i)$ count $w_{ij} = 1/6$ next to it and $1/12$
    across a corner, those outside of the picture not at all, and those that are gone with what they
    are filled with (before noise). No edge is left that would tell the model where something was.

    Args:
        noise: the standard deviation $\sigma$ of the Gaussian noise, in the units of the model's
            input; with exactly 0 the operator is not random.
        axes: the two spatial axes, (0, 1) for HW and HWC.

    Returns:
        An operator as that of `mean_removal`, a random one unless `noise` is 0:
        `removal(x, kept, key=key)`. A metric with it needs `key=` with the call.

    Raises:
        ValueError: `noise` is negative, or `axes` are not two; when called, the input lacks one.
        TypeError: when called, the input is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> gone = evaluate.noisy_linear_imputation(noise=0)
        >>> ramp = jnp.broadcast_to(jnp.arange(4.0), (3, 4))
        >>> kept = jnp.ones((3, 4), bool).at[1, 1:3].set(False)
        >>> gone(ramp, kept)[1].round(4)
        Array([0., 1., 2., 3.], dtype=float32)

    Notes:
        Channels are filled in at once where they are gone together. A picture of which nothing is
        left gets its mean colour. The linear equations are solved by preconditioned conjugate
        gradients, to a residual of the last digit of the dtype.

    References:
        Rong et al. 2022, A consistent and efficient evaluation strategy for attribution methods,
        arXiv:2202.00449.
    """
    check_real("noise", noise, low=0)
    if len(axes) != 2:
        raise ValueError(f"axes={axes} must name the two spatial axes of a picture, as (0, 1).")

    def filled(x: PyTree, kept: PyTree) -> PyTree:
        check_floating(x, "noisy_linear_imputation")

        def fill(path: Any, leaf: jax.Array, known: jax.Array) -> jax.Array:
            check_axes(leaf, axes, path_name(path))
            upright = jnp.moveaxis(leaf.astype(wide(leaf.dtype)), axes, (-2, -1))
            mask = jnp.moveaxis(jnp.broadcast_to(known, leaf.shape), axes, (-2, -1))
            return jnp.moveaxis(impute(upright, mask), (-2, -1), axes).astype(leaf.dtype)

        return jax.tree_util.tree_map_with_path(fill, x, kept)

    if is_concrete(noise) and noise == 0:
        return filled

    def remove(x: PyTree, kept: PyTree, *, key: jax.Array) -> PyTree:
        drawn = normal_like(checked_key(key, "noisy_linear_imputation"), x)
        smooth = filled(x, kept)
        noisy = jax.tree.map(lambda leaf, n: leaf + jnp.asarray(noise, n.dtype) * n, smooth, drawn)
        return choose(kept, x, noisy)

    return remove


def impute(picture: jax.Array, known: jax.Array) -> jax.Array:
    """The pictures (..., H, W) with what is not known filled in."""
    # Distances from a colour that is about right: small numbers keep their digits.
    colour = jnp.mean(picture, axis=(-2, -1), keepdims=True)
    # It matters only where nothing is known, and so do its derivatives.
    something = jnp.any(known, axis=(-2, -1), keepdims=True)
    colour = jnp.where(something, jax.lax.stop_gradient(colour), colour)
    rim = jnp.where(known, 0, neighbours(jnp.where(known, picture - colour, 0)))
    # Squares of very large or very small numbers would leave the range of the dtype.
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(rim)))
    size = jnp.where(size > 0, size, 1)
    holes = _Holes(~known)
    solve: Any = cg  # JAX has no types for it
    found, _ = solve(
        holes.times,
        rim / size,
        tol=float(precision(picture.dtype).eps),
        M=holes.nearly_solve(picture.dtype),
    )
    return jnp.where(known, picture, size * found + colour)


@dataclasses.dataclass(frozen=True)
class _Holes:
    """The equations of the pixels that are gone: symmetric and positive."""

    gone: jax.Array

    def times(self, v: jax.Array) -> jax.Array:
        """Each pixel's weight of neighbours times the pixel, minus the neighbours."""
        inside = jnp.where(self.gone, v, 0)
        weight = neighbours(jnp.ones(v.shape[-2:], v.dtype))
        return jnp.where(self.gone, _row(weight, v) * inside - neighbours(inside), v)

    def nearly_solve(self, dtype: Any) -> Any:
        """A rough inverse: the sum of what each size of the picture makes of a residual."""
        pulls = neighbours(jnp.where(self.gone, 0, jnp.ones((), dtype)))
        pulls = jnp.where(self.gone, pulls, 0)
        # How stiff a bump is: by its own slope, the same on all sizes, and by the known pixels.
        stiffness = [12 + pulls]
        while max(pulls.shape[-2:]) > 1:
            pulls = coarser(pulls)
            stiffness.append(12 + pulls)

        def apply(residual: jax.Array) -> jax.Array:
            parts, rest = [], jnp.where(self.gone, residual, 0)
            for level, stiff in enumerate(stiffness):
                rest = coarser(rest) if level else rest
                parts.append(rest / stiff)
            total = parts.pop()
            while parts:
                total = parts[-1] + finer(total, parts.pop().shape)
            return jnp.where(self.gone, total, residual)

        return apply


def neighbours(v: jax.Array) -> jax.Array:
    """Twelve times the weighted sum of the neighbours; outside of the picture there is nothing."""
    # The weights 1, 2, 1 along both axes give 1 and 2, and 4 to the pixel itself. Whole numbers:
    # then a constant picture solves the equations exactly, also in float32.
    total = v
    for axis in (-2, -1):
        pads = [(0, 0)] * v.ndim
        pads[axis] = (1, 1)
        padded, size = jnp.pad(total, pads), v.shape[axis]
        before = jax.lax.slice_in_dim(padded, 0, size, axis=axis)
        after = jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis)
        total = before + 2 * total + after
    return total - 4 * v


def coarser(v: jax.Array) -> jax.Array:
    """Sums on a picture of half the size: the transpose of `finer`."""
    for axis in (-2, -1):
        size = v.shape[axis]
        if size == 1:
            continue
        pads = [(0, 0)] * v.ndim
        pads[axis] = (0, size % 2)
        even = jnp.pad(_smooth(v, axis), pads)
        axis = even.ndim + axis
        pairs = even.reshape(*even.shape[:axis], -1, 2, *even.shape[axis + 1 :])
        v = jnp.sum(pairs, axis=axis + 1)
    return v


def finer(v: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Linear interpolation to a picture of twice the size."""
    for axis in (-1, -2):
        if shape[axis] > 1:
            # Not `jnp.repeat`: that gathers, again for each pixel of every larger size.
            before, after = _beside(v, axis)
            place = v.ndim + axis + 1
            pairs = jnp.stack([(before + 3 * v) / 4, (3 * v + after) / 4], axis=place)
            doubled = pairs.reshape(*v.shape[: place - 1], -1, *v.shape[place:])
            v = jax.lax.slice_in_dim(doubled, 0, shape[axis], axis=axis)
    return v


def _smooth(v: jax.Array, axis: int) -> jax.Array:
    """Weights 1/4, 1/2, 1/4, with the border repeated: a symmetric operator."""
    before, after = _beside(v, axis)
    return (before + 2 * v + after) / 4


def _beside(v: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """What lies before and after each pixel, with the border repeated."""
    pads = [(0, 0)] * v.ndim
    pads[axis] = (1, 1)
    padded, size = jnp.pad(v, pads, mode="edge"), v.shape[axis]
    before = jax.lax.slice_in_dim(padded, 0, size, axis=axis)
    return before, jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis)


def _row(weight: jax.Array, like: jax.Array) -> jax.Array:
    """A picture (H, W) with as many axes as `like`."""
    return weight.reshape(*(1,) * (like.ndim - 2), *weight.shape)
