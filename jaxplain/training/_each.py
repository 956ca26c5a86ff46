"""Something of each training example, for one operand after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax

from .._errors import check_chunk
from .._progress import Progress
from .._types import PyTree
from ._examples import Examples, batches_of, checked_arrays, example_like, in_memory
from ._training import Arrays, Batches, OfExample


def arrays_or_stream(
    train: Any,
    chunk: int | None,
    progress: Progress,
    *,
    by_python: bool = False,
    look: Callable[[Examples], None] | None = None,
) -> Examples | Batches:
    """The training set as arrays for one compiled program, or as what Python reads in batches.

    Python reads what is a stream, and arrays too with `progress` or `by_python`, and shows each
    batch to `look`.
    """
    check_chunk(chunk)
    if not in_memory(train):
        if chunk is not None:
            raise ValueError("chunk= is for arrays: a stream of train has its own batches.")
        return Batches(train, progress, look)
    arrays = checked_arrays(train, chunk)
    if not (progress or by_python):
        return arrays
    return Batches(batches_of(arrays, chunk), progress, look)


class OfEachExample:
    """`fn(operand, *example)` of all training examples, stacked, as a function of the operand.

    Arrays are an operand of one compiled program, not a constant, which would be copied into it.
    With `progress` they are read as a stream is, in batches of `chunk`.
    """

    def __init__(self, fn: OfExample, train: Any, chunk: int | None, progress: Progress) -> None:
        self._fn = fn
        self._train = arrays_or_stream(train, chunk, progress)

        def of_arrays(operand: PyTree, arrays: Examples) -> PyTree:
            return Arrays(arrays, chunk).each(fn, operand)

        self._compiled = jax.jit(of_arrays)

    @property
    def like(self) -> Examples:
        """The shapes and dtypes of one training example."""
        train = self._train
        return train.like if isinstance(train, Batches) else example_like(train)

    def work(self) -> OfEachExample:
        """The same for a new piece of work, whose progress starts at zero."""
        work = copy.copy(self)
        if isinstance(self._train, Batches):
            work._train = self._train.work()
        return work

    def __call__(self, operand: PyTree) -> PyTree:
        if isinstance(self._train, Batches):
            return self._train.each(self._fn, operand)
        return self._compiled(operand, self._train)
