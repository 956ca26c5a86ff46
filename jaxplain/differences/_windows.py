"""Pooled maxima: winners found place by place in the window.

JAX's own derivative of a windowed maximum searches each window again, for the input and for the
reference; on a CPU that takes longer than the layers around it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

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
    low, high = zip(*params["padding"], strict=True)
    sides = []
    worst = jnp.inf if "min" in change.site.primitive else -jnp.inf
    for value in (change.inputs[0], change.references[0]):
        edges = [(a, b, 0) for a, b in params["padding"]]
        sides.append(jax.lax.pad(value, jnp.asarray(worst, value.dtype), edges))
    shape, strides = sides[0].shape, params["window_strides"]
    places = list(itertools.product(*map(range, params["window_dimensions"])))
    views = [_View(start, change.outputs[0].shape, strides) for start in places]
    winner, other = (_winners([view.of(side) for view in views], worst) for side in sides)
    total = jnp.zeros(shape, multiplier.dtype)
    for number, view in enumerate(views):
        wins, won = winner == number, other == number
        change_here = view.of(sides[0]) - view.of(sides[1])
        due = jnp.where(wins, rise, 0) + jnp.where(won, fall, 0)
        share = _share(change_here, due, wins, won)
        total = total + view.back(multiplier * share, shape)
    ends = [n - b for n, b in zip(shape, high, strict=True)]
    result: jax.Array = jax.lax.slice(total, low, ends)
    return result


@dataclasses.dataclass(frozen=True)
class _View:
    """The elements at one place of all windows."""

    start: tuple[int, ...]
    windows: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def ends(self) -> list[int]:
        steps = zip(self.start, self.windows, self.strides, strict=True)
        return [start + (count - 1) * stride + 1 for start, count, stride in steps]

    def of(self, value: jax.Array) -> jax.Array:
        result: jax.Array = jax.lax.slice(value, self.start, self.ends, self.strides)
        return result

    def back(self, value: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """These elements in an array of zeros."""
        places = zip(self.start, shape, self.ends, self.strides, strict=True)
        edges = [(start, size - end, stride - 1) for start, size, end, stride in places]
        result: jax.Array = jax.lax.pad(value, jnp.zeros((), value.dtype), edges)
        return result


def _winners(candidates: list[jax.Array], worst: float) -> jax.Array:
    """For each window the place of its first winner.

    Found by comparing the elements with each other: the pooled value may have been computed from
    elements that were rounded otherwise.
    """
    best = candidates[0]
    winner = jnp.zeros(best.shape, jnp.int32)
    for number, candidate in enumerate(candidates[1:], start=1):
        better = candidate > best if worst < 0 else candidate < best
        best = jnp.where(better, candidate, best)
        winner = jnp.where(better, number, winner)
    return winner


def _share(change: jax.Array, due: jax.Array, wins: jax.Array, won: jax.Array) -> jax.Array:
    """What one place is due per unit of its change; the mean derivative where there is none."""
    same = (change == 0) | ~jnp.isfinite(change)
    half = jnp.asarray(0.5, change.dtype)
    slope = half * (wins.astype(change.dtype) + won.astype(change.dtype))
    return jnp.where(same, slope, due / jnp.where(same, 1, change))
