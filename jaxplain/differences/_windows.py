"""Pooled maxima: winners found place by place in the window.

JAX's own derivative of a windowed maximum searches each window again, for the input and for the
reference; on a CPU that takes longer than the layers around it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ._rule import Change

# Windows of more places than this are left to JAX: the program would grow with them.
_MOST_PLACES = 32


def has_windows(change: Change) -> bool:
    """Whether this is a maximum over windows without holes, of moderate size."""
    if change.site.primitive not in ("reduce_window_max", "reduce_window_min"):
        return False
    params = change.site.equations[0].eqn.params
    whole = all(d == 1 for d in (*params["base_dilation"], *params["window_dilation"]))
    return whole and math.prod(params["window_dimensions"]) <= _MOST_PLACES


def pull_windows(
    change: Change, multiplier: jax.Array, rise: jax.Array, fall: jax.Array
) -> jax.Array:
    """The multipliers of the input, where the winner at the input gets `rise`, the other `fall`."""
    params = change.site.equations[0].eqn.params
    (x,), (reference,) = change.inputs, change.references
    (y,), (y_reference,) = change.outputs, change.reference_outputs
    worst = jnp.inf if "min" in change.site.primitive else -jnp.inf
    low, high = zip(*params["padding"], strict=True)
    edges = [(a, b, 0) for a, b in params["padding"]]
    wide, wide_reference = (
        jax.lax.pad(v, jnp.asarray(worst, v.dtype), edges) for v in (x, reference)
    )
    strides, shape = params["window_strides"], wide.shape
    free = free_reference = jnp.ones(y.shape, bool)
    total = jnp.zeros(shape, multiplier.dtype)
    for start in _places(params["window_dimensions"]):
        span = [
            s + (n - 1) * stride + 1 for s, n, stride in zip(start, y.shape, strides, strict=True)
        ]
        here = jax.lax.slice(wide, start, span, strides)
        there = jax.lax.slice(wide_reference, start, span, strides)
        wins, won = free & (here == y), free_reference & (there == y_reference)
        free, free_reference = free & ~wins, free_reference & ~won
        pulled = multiplier * _share(here, there, jnp.where(wins, rise, 0), wins, fall, won)
        after = [
            (s, n - e, stride - 1)
            for s, n, e, stride in zip(start, shape, span, strides, strict=True)
        ]
        total = total + jax.lax.pad(pulled, jnp.zeros((), pulled.dtype), after)
    ends = [n - b for n, b in zip(shape, high, strict=True)]
    result: jax.Array = jax.lax.slice(total, low, ends)
    return result


def _share(
    here: jax.Array, there: jax.Array, rise: jax.Array, wins: Any, fall: jax.Array, won: Any
) -> jax.Array:
    """What one place is due per unit of its change; the mean derivative where there is none."""
    change = here - there
    same = (change == 0) | ~jnp.isfinite(change)
    half = jnp.asarray(0.5, change.dtype)
    slope = half * (wins.astype(change.dtype) + won.astype(change.dtype))
    due = rise + jnp.where(won, fall, 0)
    return jnp.where(same, slope, due / jnp.where(same, 1, change))


def _places(window: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, window))
