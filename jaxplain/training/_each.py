"""Something of each training example, for one operand after the other."""

from __future__ import annotations

import copy
from typing import Any

import jax

from .._errors import check_chunk
from .._progress import Progress
from .._types import PyTree
from ._examples import Examples, batches_of, checked_arrays, example_like, in_memory
from ._training import Arrays, Batches, OfExample


def arrays_or_stream(
    train: Any, chunk: int | None, progress: Progress
) -> tuple[Examples | None, Batches | None]:
    """The training set as arrays for one compiled program, or as what Python reads in batches."""
    check_chunk(chunk)
    if not in_memory(train):
        if chunk is not None:
            raise ValueError("chunk= is for arrays: a stream of train has its own batches.")
        return None, Batches(train, progress)
    arrays = checked_arrays(train, chunk)
    if progress is None or progress is False:
        return arrays, None
    return None, Batches(batches_of(arrays, chunk), progress)


class OfEachExample:
    """`fn(operand, *example)` of all training examples, stacked, as a function of the operand.

    Arrays are an operand of one compiled program, not a constant, which would be copied into it.
    With `progress` they are read as a stream is, in batches of `chunk`.
    """

    def __init__(self, fn: OfExample, train: Any, chunk: int | None, progress: Progress) -> None:
        self._fn = fn
        self._arrays: Examples | None
        self._stream: Batches | None
        self._arrays, self._stream = arrays_or_stream(train, chunk, progress)

        def of_arrays(operand: PyTree, arrays: Examples) -> PyTree:
            return Arrays(arrays, chunk).each(fn, operand)

        self._compiled = jax.jit(of_arrays)

    @property
    def like(self) -> Examples:
        """The shapes and dtypes of one training example."""
        if self._stream is not None:
            return self._stream.like
        assert self._arrays is not None
        return example_like(self._arrays)

    def work(self) -> OfEachExample:
        """The same for a new piece of work, whose progress starts at zero."""
        work = copy.copy(self)
        work._stream = None if self._stream is None else self._stream.work()
        return work

    def __call__(self, operand: PyTree) -> PyTree:
        if self._stream is None:
            return self._compiled(operand, self._arrays)
        return self._stream.each(self._fn, operand)
