"""Weights as pictures, side by side."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._errors import check_choice, check_count
from .._tree import describe, first_nonfinite, wide

SCALES = ("each", "all")
COLORS = (1, 3)


def weight_grid(
    weights: ArrayLike,
    *,
    shape: tuple[int, ...] | None = None,
    axis: int = -1,
    columns: int | None = None,
    gap: int = 1,
    scale: str = "each",
) -> jax.Array:
    r"""The weights of each unit as a small picture, all of them side by side.

    A weight is drawn as $\frac12 + \frac{w}{2 s}$, with $s$ the largest $|w|$ of its unit, or of
    all units: zero is mid-gray, 0.5, whatever the range.

    Args:
        weights: kernels `(H, W, C, N)` of a convolution, with C of 1 or 3; weights `(D, N)` of a
            dense layer, with `shape`; or any stack of N maps `(H, W)` or `(H, W, C)`.
        shape: the shape that the D inputs of a dense layer have as a picture, `(28, 28)` or
            `(32, 32, 3)`; None if the weights have it already.
        axis: the axis of the units: -1 for the weights of Flax, 0 for `effective_weights`.
        columns: units in a row; by default as many as there are rows, or one more.
        gap: width of the gaps, in pixels.
        scale: `"each"`, to see the shape of every unit, or `"all"`, to compare their sizes too.

    Returns:
        Floats in [0, 1]: `(height, width)` for maps of one channel, else `(height, width, 3)`, in
        the order of the units, row by row. Gaps are 0.5 in the former, so that a diverging colour
        map leaves them neutral, and white in the latter.

    Raises:
        ValueError: the weights are no pictures of 1 or 3 channels, there are none or they are not
            finite, or an option is invalid.
        TypeError: the weights are not one array of floating-point numbers.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> dense = jnp.array([[1.0, 0.0], [-2.0, 0.0]])
        >>> jaxplain.weight_grid(dense, shape=(2, 1))
        Array([[0.75, 0.5 , 0.5 ],
               [0.  , 0.5 , 0.5 ]], dtype=float32)
        >>> kernels = jax.random.normal(jax.random.key(0), (5, 5, 3, 16))
        >>> jaxplain.weight_grid(kernels).shape
        (23, 23, 3)

    Notes:
        To look at it: `matplotlib.pyplot.imshow(picture, vmin=0, vmax=1)`, with `cmap="gray"` for
        one channel; or, for one channel in red and blue,
        `jaxplain.plot.heatmap(2 * picture - 1, percentile=100)`. Only the weights of the first
        layer act on pixels: for those of deeper layers see `effective_weights`.
    """
    check_choice("scale", scale, SCALES)
    check_count("gap", gap, least=0)
    maps = _maps(_checked(weights), shape, axis)
    count, height, width = maps.shape[:3]
    if columns is None:
        columns = math.isqrt(count - 1) + 1
    check_count("columns", columns)
    columns = min(columns, count)
    rows = -(-count // columns)

    whole = tuple(range(0 if scale == "all" else 1, maps.ndim))
    largest = jnp.max(jnp.abs(maps), axis=whole, keepdims=True)
    # Compilers divide by multiplying with a rounded inverse, which may go a little beyond 1.
    shares = jnp.clip(maps / jnp.where(largest == 0, 1, largest), -1, 1)
    pictures = 0.5 + 0.5 * shares

    rest = [(0, 0)] * (maps.ndim - 3)
    widths = [(0, rows * columns - count), (0, gap), (0, gap), *rest]
    cells = jnp.pad(pictures, widths, constant_values=1.0 if rest else 0.5)
    cells = cells.reshape(rows, columns, height + gap, width + gap, *maps.shape[3:])
    joined = jnp.swapaxes(cells, 1, 2)
    joined = joined.reshape(rows * (height + gap), columns * (width + gap), *maps.shape[3:])
    dtype = jnp.asarray(weights).dtype
    return joined[: joined.shape[0] - gap, : joined.shape[1] - gap].astype(dtype)


def _checked(weights: Any) -> jax.Array:
    """The weights in the dtype to compute in."""
    if not hasattr(weights, "dtype") or not jnp.issubdtype(weights.dtype, jnp.floating):
        raise TypeError(
            "weight_grid needs one array of floating-point weights, but got "
            f"{describe(weights, 'weights')}. Choose it from the parameters, for instance "
            "variables['params']['Conv_0']['kernel']."
        )
    if (where := first_nonfinite(weights, "weights")) is not None:
        raise ValueError(f"weight_grid cannot draw what is not finite: {where}.")
    array = jnp.asarray(weights)
    return array.astype(wide(array.dtype))


def _maps(weights: jax.Array, shape: tuple[int, ...] | None, axis: int) -> jax.Array:
    """The units' weights as `(N, H, W)` or `(N, H, W, 3)`."""
    if not -weights.ndim <= axis < weights.ndim:
        raise ValueError(f"axis={axis} for weights of shape {weights.shape}: there is none.")
    units = jnp.moveaxis(weights, axis, 0)
    if not units.size:
        raise ValueError(f"weight_grid got weights of shape {weights.shape}: nothing to draw.")
    if shape is not None:
        units = _shaped(units, shape)
    if units.ndim == 2:
        raise ValueError(
            f"weights of shape {weights.shape} are vectors of {units.shape[1]} for {len(units)} "
            f"units along axis {axis}. Say which picture that is, for instance shape=(28, 28)."
        )
    if units.ndim not in (3, 4):
        raise ValueError(
            f"weights of shape {weights.shape} are no pictures (H, W) or (H, W, C) for each unit "
            f"along axis {axis}: choose a slice, or another axis=."
        )
    if units.ndim == 4 and units.shape[3] not in COLORS:
        raise ValueError(
            f"weights of shape {weights.shape} read {units.shape[3]} channels, but a picture has "
            "1 or 3. Draw one input channel, weights[:, :, channel]; or, for a deeper layer, what "
            "its units would see at the input: jaxplain.weight_grid(jaxplain.effective_weights("
            "f, at=NAME)(x), axis=0). Units on another axis: axis=."
        )
    return units[..., 0] if units.ndim == 4 and units.shape[3] == 1 else units


def _shaped(units: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """`(N, D)` as `(N, *shape)`."""
    fits = isinstance(shape, tuple) and len(shape) in (2, 3)
    if not fits or math.prod(shape) != math.prod(units.shape[1:]):
        raise ValueError(
            f"shape={shape!r} must be (H, W) or (H, W, C) with as many entries as a unit has "
            f"weights, {math.prod(units.shape[1:])}."
        )
    return units.reshape(len(units), *shape)
