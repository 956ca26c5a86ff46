"""Where the values of a layer lie: its positions as a grid over the input, and back to its size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice
from .._tree import describe
from .._types import PyTree

RESIZE = ("nearest", "linear", "cubic")
MOST_EXTRA = 8
"""Tokens in front of those of the image (class token, registers) that are looked for at most."""

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The options that all class activation maps share, checked."""

    relu: bool = True
    resize: str | None = "linear"
    grid: Shape | None = None
    channel_axis: int | tuple[int, int] = -1

    def __post_init__(self) -> None:
        if self.resize is not None:
            check_choice("resize", self.resize, RESIZE)
        if self.grid is not None and not _is_shape(self.grid):
            raise ValueError(
                f"grid={self.grid!r} must be a tuple of positive integers: grid=(rows, columns) "
                "for images, grid=(positions,) for signals."
            )
        axes = self.channel_axis
        pair = axes if isinstance(axes, tuple) else (axes, axes)
        if len(pair) != 2 or not all(isinstance(a, int) and a < 0 for a in pair):
            raise ValueError(
                f"channel_axis={axes!r} must be a negative integer, since leading axes may be "
                "dropped: -1 for channels last, -3 for images with channels first; or a pair, of "
                "the layer and of the input."
            )

    @property
    def layer_axis(self) -> int:
        return self.channel_axis[0] if isinstance(self.channel_axis, tuple) else self.channel_axis

    @property
    def input_axis(self) -> int:
        return self.channel_axis[1] if isinstance(self.channel_axis, tuple) else self.channel_axis


@dataclasses.dataclass(frozen=True)
class Grid:
    """How the values of one layer are arranged over one input.

    `shape` are the layer's positions as a grid, after `extra` leading tokens; `space` is the height
    and width of the input, or None if it has none.
    """

    shape: Shape
    extra: int
    space: Shape | None
    layout: Layout

    def arrange(self, value: jax.Array) -> jax.Array:
        """The layer's values (or their gradients) as (*grid, channels), wide enough to sum."""
        cells = _channels_last(value, self.layout)
        tokens = cells.reshape(-1, cells.shape[-1])[self.extra :]
        arranged: jax.Array = tokens.reshape(*self.shape, cells.shape[-1])
        return arranged

    def enlarge(self, map: jax.Array, method: str | None) -> jax.Array:
        """A map over the grid at the size of the input; as it is for `method` None."""
        if method is None or self.space is None or map.shape == self.space:
            return map
        enlarged: jax.Array = jax.image.resize(map, self.space, method)
        return enlarged


def find_grid(value: Any, x: PyTree, layout: Layout, at: str) -> Grid:
    """Arrange the positions of a layer over the input, or raise."""
    positions = _channels_last(value, layout, at).shape[:-1]
    if math.prod(positions) < 2:
        raise ValueError(
            f"'{at}' is {describe(value, 'h')}: one vector, with no positions to draw a map of. "
            "Choose a layer before the pooling or flattening."
        )
    axes = len(layout.grid) if layout.grid is not None else _axes(positions, x)
    space = _space(x, axes, layout)
    if space is None and layout.resize is not None:
        raise TypeError(
            f"A map of the input's size needs one array with {axes} spatial axes, and channels or "
            f"none, but the input is {describe(x)}. Use resize=None for the map at the resolution "
            f"of '{at}'" + (", or give grid=(rows, columns)." if len(positions) == 1 else ".")
        )
    if layout.grid is not None:
        return Grid(layout.grid, _extra(positions, layout.grid, value, at), space, layout)
    if space is None or len(positions) == axes:
        return Grid(positions, 0, space, layout)
    if len(positions) == 1 and axes == 2:
        shape, extra = _recover(positions[0], space, value, at)
        return Grid(shape, extra, space, layout)
    raise ValueError(
        f"'{at}' is {describe(value, 'h')}, with positions {positions}, and the input has the "
        f"spatial size {space}: a map from one to the other needs grid=, a tuple of {axes} "
        "integers."
    )


def spatial(map: jax.Array, x: jax.Array, layout: Layout) -> jax.Array:
    """A map of the input's height and width with a channel axis of size 1 where `x` has one."""
    return map if map.ndim == x.ndim else jnp.expand_dims(map, layout.input_axis)


def _channels_last(value: Any, layout: Layout, at: str = "") -> Any:
    """The value with its channels last and without leading axes of size 1."""
    if not -layout.layer_axis <= value.ndim:
        raise ValueError(
            f"'{at}' is {describe(value, 'h')}, which has no axis {layout.layer_axis} for "
            "channels: see channel_axis=."
        )
    if value.ndim < 2:
        return value[None]  # one vector; find_grid says so
    moved = jnp.moveaxis(value, layout.layer_axis, -1)
    ones = 0
    while moved.ndim - ones > 2 and moved.shape[ones] == 1:
        ones += 1
    return moved.reshape(moved.shape[ones:])


def _axes(positions: Shape, x: PyTree) -> int:
    """How many spatial axes the input is taken to have: the layer's, or all but the channels."""
    dimensions = getattr(x, "ndim", 1)
    return len(positions) if len(positions) > 1 else max(1, dimensions - 1)


def _space(x: PyTree, axes: int, layout: Layout) -> Shape | None:
    shape: Shape | None = getattr(x, "shape", None)
    if shape is None or len(shape) not in (axes, axes + 1):
        return None
    if len(shape) == axes:
        return shape
    if -layout.input_axis > len(shape):
        raise ValueError(
            f"The input is {describe(x)}, which has no axis {layout.input_axis} for channels: see "
            "channel_axis=."
        )
    channel = layout.input_axis % len(shape)
    return shape[:channel] + shape[channel + 1 :]


def _extra(positions: Shape, grid: Shape, value: Any, at: str) -> int:
    """The number of leading tokens that a grid of the user's leaves out."""
    count, cells = math.prod(positions), math.prod(grid)
    fits = count >= cells if len(positions) == 1 else positions == grid
    if not fits:
        raise ValueError(
            f"grid={grid} has {cells} cells, but '{at}' is {describe(value, 'h')}, with positions "
            f"{positions}."
        )
    return count - cells


def _recover(tokens: int, space: Shape, value: Any, at: str) -> tuple[Shape, int]:
    """The grid of square patches, and the number of tokens in front of it."""
    found = next(_candidates(tokens, space), None)
    if found is None:
        raise ValueError(
            f"'{at}' is {describe(value, 'h')}: {tokens} tokens. No grid of square patches over an "
            f"input of {space[0]} x {space[1]}, with 0 to {MOST_EXTRA} tokens in front of it, has "
            "as many. Give grid=(rows, columns); tokens before the grid's are left out."
        )
    return found


def _candidates(tokens: int, space: Shape) -> Iterator[tuple[Shape, int]]:
    """Grids that fit, patches of whole pixels first, then with the fewest tokens left out."""
    height, width = space
    for whole in (True, False):
        for extra in range(MOST_EXTRA + 1):
            cells = tokens - extra
            # Square patches: rows / columns = height / width, so rows² = cells · height / width.
            rows = math.isqrt(max(cells, 0) * height // width)
            if cells < 2 or rows == 0 or cells % rows or rows * width != cells // rows * height:
                continue
            # Fewer patches than tokens that are none would be odd.
            if extra <= cells and (not whole or height % rows == 0):
                yield (rows, cells // rows), extra


def _is_shape(grid: Any) -> bool:
    return (
        isinstance(grid, tuple)
        and len(grid) > 0
        and all(isinstance(n, int | np.integer) and n > 0 for n in grid)
    )
