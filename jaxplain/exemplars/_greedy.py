"""Choose one example after another."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import is_concrete
from .._progress import Progress, checked_progress
from ._points import Report

Step = Callable[[Any, Any, jax.Array], tuple[Any, Any]]


def repeat(
    step: Step, fixed: Any, state: Any, count: int, report: Report | None, done: int
) -> tuple[Any, Any]:
    """`state, out = step(fixed, state, t)` for each t, in one compiled loop, with outputs stacked.

    With `report`, one compiled step at a time, and `report(done + t + 1)` after each.
    """
    if report is None:
        return _scan(step, fixed, state, count)  # type: ignore[no-any-return]
    outs = []
    for t in range(count):
        state, out = _one(step, fixed, state, jnp.int32(t))
        outs.append(out)
        jax.tree.leaves(state)[0].block_until_ready()
        report(done + t + 1)
    return state, jax.tree.map(lambda *parts: jnp.stack(parts), *outs)


def best(gain: jax.Array, barred: jax.Array) -> jax.Array:
    """The place with the largest gain that is not barred; of equal ones, the first."""
    return jax.lax.argmax(jnp.where(barred, -jnp.inf, gain), 0, jnp.int32)


def reporter(progress: Progress, name: str, rows: int | None, *data: Any) -> Report | None:
    """What to call with the number of rows, in a loop in Python, which cannot be traced."""
    report = checked_progress(progress, name, " rows", rows)
    if report is not None and not all(map(is_concrete, jax.tree.leaves(data))):
        raise ValueError(
            "progress= reports from a loop in Python, which jax.jit and jax.vmap run through when "
            "they trace it: leave progress out there."
        )
    return report


@functools.partial(jax.jit, static_argnums=(0, 3))
def _scan(step: Step, fixed: Any, state: Any, count: int) -> tuple[Any, Any]:
    return jax.lax.scan(
        lambda state, t: step(fixed, state, t), state, jnp.arange(count, dtype=jnp.int32)
    )


@functools.partial(jax.jit, static_argnums=0)
def _one(step: Step, fixed: Any, state: Any, t: jax.Array) -> tuple[Any, Any]:
    return step(fixed, state, t)
