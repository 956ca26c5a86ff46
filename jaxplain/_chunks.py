"""How many evaluations to have at once: what a chunk of a size costs, and which size is chosen."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from ._errors import check_chunk
from ._types import Chunk
from .program._lower import Lowered

CPU_BYTES = 12 * 2**20
"""What the values of a chunk may take on a CPU: beyond its caches a larger chunk is slower."""

DEVICE_SHARE = 8
"""Of the memory of a GPU or TPU, a chunk may take one part in so many."""

UNKNOWN_BYTES = 2**30
"""What it may take on a device that does not tell how much memory it has."""


class Choice(NamedTuple):
    """How many evaluations of a sum run at once.

    Args:
        evaluations: how many there are in all, for one example.
        size: how many run at once.
        bytes: the memory that one of them is estimated to need, for all examples of a batch.

    Example:
        >>> import jaxplain
        >>> jaxplain.Choice(evaluations=50, size=5, bytes=2_000_000).size
        5
    """

    evaluations: int
    size: int
    bytes: int


_seen: contextvars.ContextVar[list[Choice] | None] = contextvars.ContextVar("seen", default=None)


def chunks(fn: Callable[..., Any]) -> Callable[..., list[Choice]]:
    """How many evaluations a function of this package runs at once, found without running it.

    Args:
        fn: an attribution or a metric, or any function that calls some; `jax.vmap(explain)` for a
            batch.

    Returns:
        A function with the arguments of `fn` that returns a list with a `Choice` for each sum over
        evaluations; of nested ones the inner first.

    Raises:
        TypeError: what `fn` raises when it is called with such arguments.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(jnp.tanh(x))
        >>> explain = jax.vmap(jaxplain.integrated_grad(f, steps=50))
        >>> jaxplain.chunks(explain)(jnp.ones((8, 100)))
        [Choice(evaluations=50, size=50, bytes=9600)]

    Notes:
        With `chunk="auto"` as many run at once as need about 12 MiB on a CPU, about the size of
        its caches, and an eighth of the memory of a GPU or TPU. What one needs is estimated from
        the shapes of the traced program. A batch made by `jax.vmap` counts, one made by a
        `jax.vmap` around a `jax.jit` is not seen.
    """

    @functools.wraps(fn)
    def listed(*args: Any, **kwargs: Any) -> list[Choice]:
        with _recording() as found:
            # A new function, so that nothing that was traced before is taken from a cache.
            jax.eval_shape(lambda *args: fn(*args, **kwargs), *args)
        return found

    return listed


@contextlib.contextmanager
def _recording() -> Iterator[list[Choice]]:
    found: list[Choice] = []
    token = _seen.set(found)
    try:
        yield found
    finally:
        _seen.reset(token)


def choose(count: int, chunk: Chunk, evaluation: Lowered) -> int:
    """The size of the chunks of `count` evaluations."""
    seen = _seen.get()
    needed = evaluation.bytes if chunk == "auto" or seen is not None else 0
    limit = chunk if chunk != "auto" else max(1, budget() // max(needed, 1))
    size = chunk_size(count, limit)
    if seen is not None:
        seen.append(Choice(count, size, needed))
    return size


def budget() -> int:
    """The bytes that a chunk may take."""
    if jax.default_backend() == "cpu":
        return CPU_BYTES
    known = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return int(known) // DEVICE_SHARE if known else UNKNOWN_BYTES


def chunk_size(count: int, limit: int | None) -> int:
    """The size of the equal chunks that waste the fewest evaluations, at most `limit`.

    The last chunk is padded, since a shorter one would be compiled a second time: 50 nodes in
    chunks of 8 would cost 56 evaluations, in chunks of 5 they cost 50.
    """
    check_chunk(limit)
    if limit is None or limit >= count:
        return count
    sizes = range(limit, limit // 2, -1)
    return min(sizes, key=lambda size: -(-count // size) * size)
