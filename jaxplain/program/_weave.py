"""Positions one stride apart belong together: work phase by phase, then weave the phases."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np


def phases_of(strides: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The remainders that a position has by the strides, in the order that `woven` takes."""
    return itertools.product(*map(range, strides))


def woven(phases: Sequence[jax.Array], strides: Sequence[int], shape: Sequence[int]) -> jax.Array:
    """The array of which each phase holds every position with the same remainders.

    Each phase has one entry for as many positions as there are strides within the shape, rounded
    up; what lies beyond the shape is cut off.
    """
    if len(phases) == 1:
        return phases[0]
    sizes, rank = phases[0].shape, len(strides)
    stacked = jnp.stack(phases).reshape(*strides, *sizes)
    order = np.arange(2 * rank).reshape(2, rank)[::-1].T.ravel()  # each size, then its stride
    wide = jnp.transpose(stacked, tuple(int(axis) for axis in order))
    wide = wide.reshape(tuple(n * s for n, s in zip(sizes, strides, strict=True)))
    return wide[tuple(map(slice, shape))]


def counts(shape: Sequence[int], strides: Sequence[int]) -> list[int]:
    """How many positions a phase has along each axis, rounded up."""
    return [-(-n // s) for n, s in zip(shape, strides, strict=True)]


def edges(
    starts: Iterable[Sequence[int]], sizes: Sequence[int], shape: Sequence[int]
) -> list[tuple[int, int]]:
    """How wide a border an array needs, so that parts of a size can be read from each start."""
    ends = np.asarray(list(starts)).reshape(-1, len(sizes))
    before = np.maximum(0, -ends.min(axis=0, initial=0))
    after = np.maximum(0, ends.max(axis=0, initial=0) + sizes - np.asarray(shape))
    return [(int(b), int(a)) for b, a in zip(before, after, strict=True)]
