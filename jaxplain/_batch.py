"""Many evaluations in bounded memory: the one place that knows what `chunk` means.

Every method that evaluates a function at many nodes (path steps, noise samples, baselines) calls
one of the functions here. The function is traced once, at one node. The nodes of a chunk are folded
into the model's batch by `jax.vmap`; chunks follow one another in a `jax.lax.scan` whose body is
checkpointed, so memory grows neither with the number of nodes nor under `jax.grad`. For that, nodes
should be small (numbers, indices) and `fn` should build the large values from them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from ._chunks import choose
from ._tree import cast_like, wide, widen
from ._types import Chunk, PyTree
from .program._lower import Lowered, lower_at

Evaluate = Callable[[Any], PyTree]


def weighted_sum(
    fn: Evaluate,
    nodes: PyTree,
    weights: jax.Array,
    *,
    chunk: Chunk = None,
    skip: bool = False,
) -> PyTree:
    r"""$\sum_i w_i\,\mathrm{fn}(n_i)$, at most `chunk` evaluations live at once.

    `nodes` is a pytree with leading axis n, `weights` has shape (n,). With `skip`, chunks whose
    weights are all zero (in every example of a batch) cost nothing.
    """
    evaluate_one = _at_one(fn, nodes)
    like = evaluate_one.like
    size = choose(len(weights), chunk, evaluate_one)

    def evaluate(nodes: PyTree, weights: jax.Array) -> PyTree:
        return _dot(weights, jax.vmap(evaluate_one)(nodes))

    if size == len(weights) and not skip:
        return cast_like(evaluate(nodes, weights), like)

    nodes, weights = blocks(nodes, size), blocks(weights, size, zero_padding=True)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, wide(leaf.dtype)), like)

    # Only the block is checkpointed, never the running sum: a sum needs nothing of its past.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def block(nodes: PyTree, weights: jax.Array) -> PyTree:
        if not skip:
            return evaluate(nodes, weights)
        needed = _any_in_batch(jnp.any(weights != 0))
        return jax.lax.cond(needed, evaluate, lambda *_: zeros, nodes, weights)

    def step(total: PyTree, inputs: tuple[PyTree, jax.Array]) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, block(*inputs)), None

    return cast_like(jax.lax.scan(step, zeros, (nodes, weights))[0], like)


def mean(fn: Evaluate, nodes: PyTree, *, chunk: Chunk = None) -> PyTree:
    r"""$\frac1n\sum_i \mathrm{fn}(n_i)$."""
    count = _count(nodes)
    return weighted_sum(fn, nodes, jnp.asarray(np.full(count, 1 / count)), chunk=chunk)


def mean_and_variance(fn: Evaluate, nodes: PyTree, *, chunk: Chunk = None) -> tuple[PyTree, PyTree]:
    """Mean and unbiased variance of `fn` over the nodes, in one pass.

    Squares are taken of the distance to the first value, which keeps their digits: the variance
    does not depend on the shift, so neither do its derivatives.
    """
    count = _count(nodes)
    if count < 2:
        raise ValueError("A variance needs at least two samples: got samples=1.")
    first = jax.lax.stop_gradient(widen(fn(jax.tree.map(lambda leaf: leaf[0], nodes))))

    def moments(node: Any) -> tuple[PyTree, PyTree, PyTree]:
        value = fn(node)
        shifted = jax.tree.map(jnp.subtract, widen(value), first)
        return value, shifted, jax.tree.map(jnp.square, shifted)

    average, shift, square = mean(moments, nodes, chunk=chunk)

    def unbiased(square: jax.Array, shift: jax.Array) -> jax.Array:
        return jnp.maximum(square - shift**2, 0) * (count / (count - 1))

    return average, cast_like(jax.tree.map(unbiased, square, shift), average)


def stack(fn: Evaluate, nodes: PyTree, *, chunk: Chunk = None) -> PyTree:
    """`fn` at every node, results stacked along a new leading axis."""
    count = _count(nodes)
    evaluate_one = _at_one(fn, nodes)
    size = choose(count, chunk, evaluate_one)
    if size == count:
        return jax.vmap(evaluate_one)(nodes)
    evaluate = jax.checkpoint(jax.vmap(evaluate_one), prevent_cse=False)
    stacked = jax.lax.map(evaluate, blocks(nodes, size))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], stacked)


def size_for(fn: Evaluate, nodes: PyTree, chunk: Chunk) -> int:
    """How many nodes a chunk has."""
    return choose(_count(nodes), chunk, _at_one(fn, nodes))


def _at_one(fn: Evaluate, nodes: PyTree) -> Lowered:
    """`fn` traced at one node."""
    struct: Any = jax.ShapeDtypeStruct
    node = jax.tree.map(lambda leaf: struct(leaf.shape[1:], leaf.dtype), nodes)
    return lower_at(fn, node)


@overload
def nested(chunk: int | None, each: int) -> tuple[int | None, int | None]: ...
@overload
def nested(chunk: Chunk, each: int) -> tuple[Chunk, Chunk]: ...
def nested(chunk: Chunk, each: int) -> tuple[Chunk, Chunk]:
    """How many samples of `each` evaluations are live at once, and how many evaluations of each.

    Whole samples as long as they fit; otherwise one sample, in parts.
    """
    if chunk is None or isinstance(chunk, str):
        return chunk, chunk
    return max(chunk // each, 1), min(chunk, each)


def _dot(weights: jax.Array, values: PyTree) -> PyTree:
    """Weighted sum over the leading axis, accumulated in at least float32."""

    def dot(leaf: jax.Array) -> jax.Array:
        column = weights.reshape(-1, *(1,) * (leaf.ndim - 1))
        return jnp.sum(column.astype(wide(leaf.dtype)) * leaf.astype(wide(leaf.dtype)), axis=0)

    return jax.tree.map(dot, values)


def _count(nodes: PyTree) -> int:
    return int(jax.tree.leaves(nodes)[0].shape[0])


def blocks(tree: PyTree, size: int, *, zero_padding: bool = False) -> PyTree:
    """Reshape the leading axis n to (blocks, size), padded with the last node or with zeros."""

    def reshape(leaf: jax.Array) -> jax.Array:
        count = leaf.shape[0]
        rows = -(-count // size)
        padded = leaf[np.minimum(np.arange(rows * size), count - 1)]
        if zero_padding:
            padded = padded.at[count:].set(0)
        return padded.reshape(rows, size, *leaf.shape[1:])

    return jax.tree.map(reshape, tree)


@jax.custom_batching.custom_vmap
def _any_in_batch(flag: jax.Array) -> jax.Array:
    """`flag`, and under `jax.vmap` whether it is set in any example of the batch.

    A predicate that differs between examples would turn `jax.lax.cond` into "compute both".
    """
    return flag


@_any_in_batch.def_vmap
def _any_in_batch_rule(
    axis_size: int, in_batched: list[bool], flag: jax.Array
) -> tuple[jax.Array, bool]:
    del axis_size
    return _any_in_batch(jnp.any(flag, axis=0) if in_batched[0] else flag), False
