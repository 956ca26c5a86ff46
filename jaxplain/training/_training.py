"""The training set: arrays that fit into memory, or a stream of batches that is read many times.

Both answer the same two questions, the sum of something over all examples and something of each
example, and both repeat a step until it is enough, or walk through as many blocks as are wanted.
Arrays do so within one compiled program, whose blocks follow one another in a scan; a stream is
read by Python, batch after batch, each through the same compiled step. So a solver is written once,
and knows nothing of where the examples are.

A function of a block has arguments `(operand, block, weights)`: what changes from call to call,
the arguments of the loss after the parameters (with a leading axis), and a weight for each example,
0 for those that only fill up the last block.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import blocks, stack, weighted_sum
from .._chunks import chunk_size
from .._progress import Progress, checked_progress
from .._tree import count_examples
from .._types import PyTree
from ._examples import FEW, Examples, checked_batch, example_like, few_of

OfBlock = Callable[[PyTree, Examples, jax.Array], PyTree]
OfExample = Callable[..., PyTree]  # (operand, *example)
Advance = Callable[[PyTree, PyTree, Examples], PyTree]  # (operand, state, block) -> state
Product = Callable[[PyTree], PyTree]
Solve = Callable[[Product, PyTree], tuple[PyTree, PyTree]]


class Checkpoint(Protocol):
    """Where the state of a loop outlives an interruption."""

    def load(self, like: PyTree) -> PyTree | None:
        """The state that was saved last, a tree like `like`; None if there is none."""

    def save(self, state: PyTree) -> None:
        """Keep the state."""


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

    def walk(
        self,
        advance: Advance,
        operand: PyTree,
        state: PyTree,
        *,
        count: int,
        size: int = 1,
        key: jax.Array | None = None,
    ) -> PyTree:
        """`advance` through `count` blocks: drawn at random, `size` examples each, or as they come.

        In a stream they come as batches, from the start again after the last one.
        """

    def invert(self, product: Product, right: PyTree, solve: Solve) -> tuple[PyTree, PyTree]:
        """`solve(product, right)`: the solution for a symmetric `product`, and anything beside."""


class Arrays:
    """Examples in memory, at most `chunk` of them looked at at once."""

    def __init__(self, examples: Examples, chunk: int | None = None) -> None:
        self.examples = examples
        self.chunk = chunk
        self.count = count_examples(examples, "train")

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

    def walk(
        self,
        advance: Advance,
        operand: PyTree,
        state: PyTree,
        *,
        count: int,
        size: int = 1,
        key: jax.Array | None = None,
    ) -> PyTree:
        assert key is not None
        shape = (min(size, self.count),)

        def step(state: PyTree, number: jax.Array) -> tuple[PyTree, None]:
            rows = jax.random.randint(jax.random.fold_in(key, number), shape, 0, self.count)
            block = jax.tree.map(lambda leaf: leaf[rows], self.examples)
            return advance(operand, state, block), None

        return jax.lax.scan(step, state, jnp.arange(count))[0]

    def invert(self, product: Product, right: PyTree, solve: Solve) -> tuple[PyTree, PyTree]:
        # A loop that ends when it is enough has no derivative; the solution of a system has.
        solution: tuple[PyTree, PyTree] = jax.lax.custom_linear_solve(
            product, right, solve, symmetric=True, has_aux=True
        )
        return solution


class Batches:
    """A stream of batches, read from the start whenever something is asked of all examples.

    Functions are compiled once for each object that is passed as `fn` and each size of a batch.
    `progress` is called after each batch with the number of examples read since the start of the
    work; `look` once with each batch, while they are counted.
    """

    def __init__(
        self,
        batches: Iterable[Examples],
        progress: Progress = None,
        look: Callable[[Examples], None] | None = None,
    ) -> None:
        if isinstance(batches, Iterator):
            raise TypeError(
                f"train is a {type(batches).__name__} that can be read only once, but it is read "
                "again and again: give a list of batches, or an object with __iter__."
            )
        self._batches = batches
        self._progress = checked_progress(progress, "train", " examples")
        self._checkpoint: Checkpoint | None = None
        self._read = 0
        self.count = 0
        self.like: Examples = ()  # shapes and dtypes of one example
        self.first: Examples = ()  # a few examples
        self._marks: list[int] = []  # what each batch is known by
        self._compiled: dict[Any, Any] = {}
        for place, batch in enumerate(batches):
            batch = checked_batch(batch, place)
            self.like = self.like or example_like(batch)
            if self.count < FEW:
                self.first = few_of(self.first, batch) if self.first else few_of(batch)
            self.count += count_examples(batch, "train")
            self._marks.append(_mark(batch))
            if look is not None:
                look(batch)
        if self.count == 0:
            raise ValueError("train holds no examples: give arrays, or an iterable of batches.")

    def work(self, checkpoint: Checkpoint | None = None) -> Batches:
        """The same stream for a new piece of work, whose loop may go on from a checkpoint."""
        work = copy.copy(self)
        work._read, work._checkpoint = 0, checkpoint
        return work

    def total(self, fn: OfBlock, operand: PyTree) -> PyTree:
        result: PyTree = None
        for batch in self._each_batch():
            ones = jnp.ones(count_examples(batch, "train"))
            part = self._once(fn, jax.jit)(operand, batch, ones)
            result = part if result is None else jax.tree.map(jnp.add, result, part)
        return result

    def each(self, fn: OfExample, operand: PyTree) -> PyTree:
        compiled = self._once(fn, _of_each)
        parts = [compiled(operand, batch) for batch in self._each_batch()]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)

    def repeat(
        self, going: Callable[[PyTree], Any], step: Callable[[PyTree], PyTree], state: PyTree
    ) -> PyTree:
        checkpoint = self._checkpoint
        if checkpoint is not None and (saved := checkpoint.load(state)) is not None:
            state = saved
        while going(state):
            state = step(state)
            if checkpoint is not None:
                checkpoint.save(state)
        return state

    def walk(
        self,
        advance: Advance,
        operand: PyTree,
        state: PyTree,
        *,
        count: int,
        size: int = 1,
        key: jax.Array | None = None,
    ) -> PyTree:
        del size, key

        def once(carry: tuple[PyTree, int]) -> tuple[PyTree, int]:
            state, done = carry
            for batch in self._each_batch():
                if done == count:
                    break
                state, done = self._once(advance, jax.jit)(operand, state, batch), done + 1
            return state, done

        return self.repeat(lambda carry: carry[1] < count, once, (state, 0))[0]

    def invert(self, product: Product, right: PyTree, solve: Solve) -> tuple[PyTree, PyTree]:
        return solve(product, right)

    def _once(self, fn: Any, compile: Callable[[Any], Any]) -> Any:
        """`fn` compiled, the same object for the same function, for as long as the stream lives."""
        if (fn, compile) not in self._compiled:
            self._compiled[fn, compile] = compile(fn)
        return self._compiled[fn, compile]

    def _each_batch(self) -> Iterator[Examples]:
        place = 0
        for batch in self._batches:
            batch = jax.tree.map(jnp.asarray, tuple(batch))
            if place == len(self._marks) or _mark(batch) != self._marks[place]:
                raise ValueError(
                    f"Batch {place} of train is another one than when it was read first. The same "
                    "batches must come in the same order whenever train is read: turn shuffling "
                    "off, and random augmentation."
                )
            place += 1
            yield batch
            self._read += count_examples(batch, "train")
            if self._progress is not None:
                self._progress(self._read)
        if place < len(self._marks):
            raise ValueError(
                f"train gave {len(self._marks)} batches when it was read first and {place} now: it "
                "must give the same ones whenever it is read."
            )


def _of_each(fn: OfExample) -> Callable[[PyTree, Examples], PyTree]:
    return jax.jit(lambda operand, batch: jax.vmap(lambda *e: fn(operand, *e))(*batch))


def _mark(batch: Examples) -> int:
    """What a batch is known by: its size, and its first and last example."""
    mark = count_examples(batch, "train")
    with jax.ensure_compile_time_eval():
        for leaf in jax.tree.leaves(batch):
            for row in (leaf[0], leaf[-1]):
                mark = zlib.crc32(np.asarray(row).tobytes(), mark)
    return mark
