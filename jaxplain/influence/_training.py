"""The training set: arrays that fit into memory, or a stream of batches that is read many times.

Both answer the same two questions, the sum of something over all examples and something of each
example, and both repeat a step until it is enough. Arrays do so within one compiled program, whose
blocks follow one another in a scan; a stream is read by Python, batch after batch, each through the
same compiled step. So a solver is written once, and knows nothing of where the examples are.

A function of a block has arguments `(operand, block, weights)`: what changes from call to call,
the arguments of the loss after the parameters (with a leading axis), and a weight for each example,
0 for those that only fill up the last block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import blocks, chunk_size, stack, weighted_sum
from .._errors import check_chunk
from .._tree import describe, first_nonfinite
from .._types import PyTree

Examples = tuple[Any, ...]  # the arguments of the loss after the parameters
OfBlock = Callable[[PyTree, Examples, jax.Array], PyTree]
OfExample = Callable[..., PyTree]  # (operand, *example)
Progress = Callable[[int], None]


class Training(Protocol):
    """What a solver may ask of the training set."""

    count: int

    def total(self, fn: OfBlock, operand: PyTree) -> PyTree:
        """The sum of `fn` over all examples."""

    def each(self, fn: OfExample, operand: PyTree) -> PyTree:
        """`fn(operand, *example)` of each example, stacked along a new leading axis."""

    def repeat(
        self, going: Callable[[PyTree], Any], step: Callable[[PyTree], PyTree], state: PyTree
    ) -> PyTree:
        """`step` again and again, while `going`."""


class Arrays:
    """Examples in memory, at most `chunk` of them looked at at once."""

    def __init__(self, examples: Examples, chunk: int | None = None) -> None:
        self.examples = examples
        self.chunk = chunk
        self.count = count_of(examples)

    def total(self, fn: OfBlock, operand: PyTree) -> PyTree:
        size = chunk_size(self.count, self.chunk)
        ones = jnp.ones(self.count)
        if size == self.count:
            # Not as one block of a scan: so arrays that are sharded over devices stay where they
            # are, and the sum over examples is the only thing that crosses.
            return fn(operand, self.examples, ones)
        nodes = blocks(self.examples, size), blocks(ones, size, zero_padding=True)
        return weighted_sum(
            lambda node: fn(operand, *node), nodes, jnp.ones(len(nodes[1])), chunk=1
        )

    def each(self, fn: OfExample, operand: PyTree) -> PyTree:
        return stack(lambda example: fn(operand, *example), self.examples, chunk=self.chunk)

    def repeat(
        self, going: Callable[[PyTree], Any], step: Callable[[PyTree], PyTree], state: PyTree
    ) -> PyTree:
        return jax.lax.while_loop(going, step, state)


class Batches:
    """A stream of batches, read from the start whenever something is asked of all examples.

    Functions are compiled once for each object that is passed as `fn` and each size of a batch.
    `progress` is called after each batch with the number of examples read since the start of the
    work; `save` after each step of a loop with its state.
    """

    def __init__(
        self,
        batches: Iterable[Examples],
        progress: Progress | None = None,
        save: Callable[[PyTree], None] | None = None,
    ) -> None:
        if isinstance(batches, Iterator):
            raise TypeError(
                f"train is a {type(batches).__name__} that can be read only once, but it is read "
                "again and again: give a list of batches, or an object with __iter__."
            )
        self._batches = batches
        self._progress = progress
        self._save = save
        self._read = 0
        self.count = sum(count_of(checked_batch(batch, i)) for i, batch in enumerate(batches))
        if self.count == 0:
            raise ValueError("train holds no examples: give arrays, or an iterable of batches.")

    def total(self, fn: OfBlock, operand: PyTree) -> PyTree:
        result: PyTree = None
        for batch in self._each_batch():
            ones = jnp.ones(count_of(batch))
            part = _compiled(fn)(operand, batch, ones)
            result = part if result is None else jax.tree.map(jnp.add, result, part)
        return result

    def each(self, fn: OfExample, operand: PyTree) -> PyTree:
        parts = [_compiled_each(fn)(operand, batch) for batch in self._each_batch()]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)

    def repeat(
        self, going: Callable[[PyTree], Any], step: Callable[[PyTree], PyTree], state: PyTree
    ) -> PyTree:
        while going(state):
            state = step(state)
            if self._save is not None:
                self._save(state)
        return state

    def _each_batch(self) -> Iterator[Examples]:
        for batch in self._batches:
            batch = jax.tree.map(jnp.asarray, batch)
            yield batch
            self._read += count_of(batch)
            if self._progress is not None:
                self._progress(self._read)


@functools.lru_cache(maxsize=16)
def _compiled(fn: OfBlock) -> OfBlock:
    return jax.jit(fn)


@functools.lru_cache(maxsize=16)
def _compiled_each(fn: OfExample) -> Callable[[PyTree, Examples], PyTree]:
    return jax.jit(lambda operand, batch: jax.vmap(lambda *e: fn(operand, *e))(*batch))


def in_memory(train: Any) -> bool:
    """Whether `train` is the arguments of the loss as arrays, not an iterable of batches."""
    return isinstance(train, tuple)


def checked_arrays(train: Examples, chunk: int | None) -> Examples:
    """The training set as arrays, if they are finite and of one length."""
    check_chunk(chunk)
    if (where := first_nonfinite(train, "train")) is not None:
        raise ValueError(f"The training set is not finite: {where}.")
    train = jax.tree.map(jnp.asarray, train)
    count_of(train)
    return train


def checked_batch(batch: Any, place: int) -> Examples:
    """A batch of a stream, if it is a tuple of finite arrays of one length."""
    if not isinstance(batch, tuple):
        raise TypeError(
            f"Batch {place} of train is a {type(batch).__name__}: a batch is a tuple with the "
            "arguments of loss after params, such as (xs, ys). For a training set in memory give "
            "that tuple itself."
        )
    if (where := first_nonfinite(batch, "batch")) is not None:
        raise ValueError(f"Batch {place} of train is not finite: {where}.")
    return batch


def count_of(examples: Examples) -> int:
    """How many examples there are: the common length of all leading axes."""
    leaves = jax.tree.leaves(examples)
    lengths = {np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in leaves}
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise ValueError(
            "The examples must be arrays with a common leading axis of at least one example, but "
            f"got {describe(examples, 'train') if leaves else 'none'}."
        )
    return int(lengths.pop())  # type: ignore[arg-type]
