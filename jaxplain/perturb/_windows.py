"""Windows that slide over the input: where they stand, and what covers an element."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_count
from .._tree import path_name, same_tree
from .._types import PyTree


@dataclasses.dataclass(frozen=True)
class Windows:
    """Where the window stands on one leaf, whose windows are numbered from `first`.

    Each axis of the leaf has its size, the window's, the stride, and how many windows there are.
    """

    first: int
    shape: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def end(self) -> int:
        """The number after the last window's."""
        return self.first + math.prod(self.counts)

    def covers(self, number: jax.Array) -> jax.Array:
        """Whether the window covers each element, from comparisons along one axis at a time."""
        rest = number - self.first
        inside = (rest >= 0) & (number < self.end)
        for axis in reversed(range(len(self.shape))):
            count = self.counts[axis]
            if count == 1:
                continue
            start = rest % count * self.stride[axis]
            rest = rest // count
            place = np.arange(self.shape[axis], dtype=np.int32)
            along = (place >= start) & (place < start + self.window[axis])
            inside = inside & along.reshape(self._upright(axis))
        return inside

    def average(self, values: jax.Array, leaf: jax.Array) -> jax.Array:
        """The mean value of the windows that cover each element.

        The element's windows are those of its place on each axis, so one axis follows another.
        """
        grid = values[self.first : self.end].reshape(self.counts)
        for axis, size in enumerate(self.shape):
            if self.counts[axis] > 1:
                covering = _sum_of_covering(grid, axis, size, self.window[axis], self.stride[axis])
                grid = covering / self._coverage(axis).astype(grid.dtype)
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.broadcast_to(grid.astype(leaf.dtype if floating else grid.dtype), leaf.shape)

    def _coverage(self, axis: int) -> np.ndarray:
        """How many of the windows along an axis cover each place."""
        place = np.arange(self.shape[axis])
        last = np.minimum(place // self.stride[axis], self.counts[axis] - 1)
        first = np.maximum(-((self.window[axis] - 1 - place) // self.stride[axis]), 0)
        return (last - first + 1).reshape(self._upright(axis))

    def _upright(self, axis: int) -> list[int]:
        return [-1 if other == axis else 1 for other in range(len(self.shape))]


def _sum_of_covering(grid: jax.Array, axis: int, size: int, window: int, stride: int) -> jax.Array:
    """For each place along an axis, the sum over the windows that cover it."""
    unit = [1] * grid.ndim
    spans, spread, padding = list(unit), list(unit), [(0, 0)] * grid.ndim
    # Values stand where their windows start, zeros between them; a place is covered by those that
    # start at most `window - 1` before it.
    spans[axis], spread[axis] = window, stride
    padding[axis] = (window - 1, size - 1 - (grid.shape[axis] - 1) * stride)
    total: jax.Array = jax.lax.reduce_window(
        grid,
        np.zeros((), grid.dtype),
        jax.lax.add,
        window_dimensions=spans,
        window_strides=unit,
        padding=padding,
        base_dilation=spread,
    )
    return total


def place_windows(window: PyTree, stride: PyTree | None, x: PyTree) -> list[Windows]:
    """The windows of each leaf, numbered on from leaf to leaf."""
    found: list[Windows] = []
    spans, steps = _per_leaf("window", window, x), _per_leaf("stride", stride, x)
    leaves = jax.tree_util.tree_flatten_with_path(x)[0]
    for (path, leaf), span, step in zip(leaves, spans, steps, strict=True):
        where = path_name(path)
        size = _checked_window(span, leaf.shape, where)
        move = _checked_stride(step, size, leaf.shape, where)
        counts = tuple(1 + -(-(n - w) // s) for n, w, s in zip(leaf.shape, size, move, strict=True))
        first = found[-1].end if found else 0
        found.append(Windows(first, leaf.shape, size, move, counts))
    return found


def _per_leaf(option: str, value: PyTree, x: PyTree) -> list[Any]:
    """What an option says of each leaf: the same of all, unless it is a tree like the input."""
    if _is_extent(value):
        return [value] * len(jax.tree.leaves(x))
    values, structure = jax.tree.flatten(value, is_leaf=_is_extent)
    if not same_tree(jax.tree.unflatten(structure, [0] * len(values)), x):
        raise ValueError(
            f"{option}={value} has the tree {structure}, but the input has "
            f"{jax.tree.structure(x)}: give one tuple of integers, or one for each leaf."
        )
    for entry in values:
        if not _is_extent(entry):
            raise TypeError(f"{option}={value!r} must hold integers, one for each axis.")
    return values


def _is_extent(value: Any) -> bool:
    """Whether a value speaks of one leaf."""
    if isinstance(value, tuple | list):
        return all(entry is None or isinstance(entry, int | np.integer) for entry in value)
    return value is None or isinstance(value, int | np.integer)


def _checked_window(span: Any, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """The window's size along every axis."""
    if isinstance(span, int | np.integer):
        if len(shape) != 1:
            raise ValueError(
                f"window={span} is one number, but {where} has shape {shape}: give one number for "
                f"each axis along which the window moves, such as window=({span}, {span})."
            )
        span = (span,)
    if span is None or len(span) > len(shape):
        raise ValueError(
            f"window={span} does not fit {where} of shape {shape}: give a tuple of at most "
            f"{len(shape)} integers, one for each axis along which the window moves."
        )
    for size, entry in zip(shape, span, strict=False):
        if entry is not None:
            check_count("window", entry)
            if entry > size:
                raise ValueError(
                    f"window={tuple(span)} is larger than {where}, which has shape {shape}: give "
                    f"at most {size}, or None for the whole axis."
                )
    whole = (*span, *(None,) * (len(shape) - len(span)))
    return tuple(
        size if entry is None else int(entry) for size, entry in zip(shape, whole, strict=True)
    )


def _checked_stride(
    step: Any, window: tuple[int, ...], shape: tuple[int, ...], where: str
) -> tuple[int, ...]:
    """How far the window moves along every axis; on those that it spans, it does not."""
    if step is None or isinstance(step, int | np.integer):
        step = (step,) * len(shape)
    if len(step) > len(shape):
        raise ValueError(f"stride={step} has more numbers than {where} of shape {shape} has axes.")
    moves = []
    for entry, size, whole in zip((*step, *(None,) * len(shape)), window, shape, strict=False):
        if entry is not None:
            check_count("stride", entry)
            if entry > size and size < whole:
                raise ValueError(
                    f"stride={entry} exceeds the window's size, {size}, in {where} of shape "
                    f"{shape}: the elements between would have no value. Give at most {size}."
                )
        moves.append(size if entry is None else int(entry))
    return tuple(moves)
