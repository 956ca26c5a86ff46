"""Choose one example after another."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import is_concrete
from ._points import Progress

Step = Callable[[Any, Any, jax.Array], tuple[Any, Any]]


def repeat(
    step: Step, fixed: Any, state: Any, count: int, progress: Progress | None, done: int
) -> tuple[Any, Any]:
    """`state, out = step(fixed, state, t)` for each t, in one compiled loop, with outputs stacked.

    With `progress`, one compiled step at a time, and `progress(done + t + 1)` after each.
    """
    if progress is None:
        return _scan(step, fixed, state, count)  # type: ignore[no-any-return]
    outs = []
    for t in range(count):
        state, out = _one(step, fixed, state, jnp.int32(t))
        outs.append(out)
        jax.tree.leaves(state)[0].block_until_ready()
        progress(done + t + 1)
    return state, jax.tree.map(lambda *parts: jnp.stack(parts), *outs)


def best(gain: jax.Array, barred: jax.Array) -> jax.Array:
    """The place with the largest gain that is not barred; of equal ones, the first."""
    return jax.lax.argmax(jnp.where(barred, -jnp.inf, gain), 0, jnp.int32)


def check_progress(progress: Progress | None, *data: Any) -> None:
    """Raise where the loop that reports would run while it is traced, not when it computes."""
    if progress is None:
        return
    if not callable(progress):
        raise TypeError(f"progress={progress!r} must be a function of the number of rows so far.")
    if not all(map(is_concrete, jax.tree.leaves(data))):
        raise ValueError(
            "progress= reports from a loop in Python, which jax.jit and jax.vmap run through when "
            "they trace it: leave progress out there."
        )


@functools.partial(jax.jit, static_argnums=(0, 3))
def _scan(step: Step, fixed: Any, state: Any, count: int) -> tuple[Any, Any]:
    return jax.lax.scan(
        lambda state, t: step(fixed, state, t), state, jnp.arange(count, dtype=jnp.int32)
    )


@functools.partial(jax.jit, static_argnums=0)
def _one(step: Step, fixed: Any, state: Any, t: jax.Array) -> tuple[Any, Any]:
    return step(fixed, state, t)
