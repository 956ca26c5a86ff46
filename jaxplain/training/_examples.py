"""Examples as the user gives them: checked, counted, and cut into batches."""

from __future__ import annotations

from typing import Any, TypeGuard

import jax
import jax.numpy as jnp

from .._chunks import chunk_size
from .._errors import check_chunk, is_concrete
from .._tree import count_examples, first_nonfinite
from .._types import PyTree

Examples = tuple[Any, ...]  # the arguments of the loss after the parameters

FEW = 8
"""Of so many examples it is looked at whether the loss is as it should be."""


def in_memory(train: Any) -> TypeGuard[Examples]:
    """Whether `train` is the arguments of the loss as arrays, not an iterable of batches."""
    return isinstance(train, tuple)


def checked_arrays(train: Examples, chunk: int | None) -> Examples:
    """The training set as arrays, if they are finite and of one length."""
    check_chunk(chunk)
    if (where := first_nonfinite(train, "train")) is not None:
        raise ValueError(f"The training set is not finite: {where}.")
    train = jax.tree.map(jnp.asarray, train)
    _check_count(train, "train")
    return train


def checked_batch(batch: Any, place: int) -> Examples:
    """A batch of a stream, if it is a tuple of finite arrays of one length."""
    if not isinstance(batch, tuple | list):
        raise TypeError(
            f"Batch {place} of train is a {type(batch).__name__}: a batch is a tuple with the "
            "arguments of loss after params, such as (xs, ys). For a training set in memory give "
            "that tuple itself."
        )
    if (where := first_nonfinite(batch, "batch")) is not None:
        raise ValueError(f"Batch {place} of train is not finite: {where}.")
    batch = jax.tree.map(jnp.asarray, tuple(batch))
    _check_count(batch, f"Batch {place} of train")
    return batch  # type: ignore[no-any-return]


def batches_of(examples: Examples, chunk: int | None) -> list[Examples]:
    """Arrays as a list of batches of at most `chunk` examples."""
    count = count_examples(examples, "train")
    size = chunk_size(count, chunk)
    parts = [slice(start, start + size) for start in range(0, count, size)]
    return [jax.tree.map(lambda leaf, part=part: leaf[part], examples) for part in parts]


def check_not_traced(*values: PyTree) -> None:
    """Raise where Python would read batches while it is traced, not when it computes."""
    if not all(map(is_concrete, jax.tree.leaves(values))):
        raise TypeError(
            "A stream of batches, progress= and checkpoint= are read by Python, which "
            "jax.jit, jax.vmap and jax.grad cannot compile: explain one example after the "
            "other, or give the training set as a tuple of arrays alone."
        )


def few_of(*parts: Examples) -> Examples:
    """The first few examples of all parts together."""
    with jax.ensure_compile_time_eval():  # known where they are, though not under an outer jit
        few: Examples = jax.tree.map(
            lambda *leaves: jnp.concatenate([leaf[:FEW] for leaf in leaves])[:FEW], *parts
        )
        return few


def example_like(examples: Examples) -> Examples:
    """The shapes and dtypes of one of many examples."""
    like: Examples = jax.eval_shape(
        lambda: tuple(jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], part) for part in examples)
    )
    return like


def _check_count(examples: Examples, name: str) -> None:
    if count_examples(examples, name) == 0:
        raise ValueError(f"{name} has a leading axis of length 0: give some examples.")
