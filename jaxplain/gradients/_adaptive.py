"""Where to put the nodes of a path integral: bisect the sub-intervals that are worst.

Along a path, the score is a function phi of one number, and the integral of its slope over any
sub-interval is known beforehand: phi(right) - phi(left). So the error of a quadrature rule is known
exactly, sub-interval by sub-interval, from forward derivatives alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._batch import stack
from ._quadrature import quadrature

PANEL = 5  # nodes of the rule in each sub-interval: few, since networks have kinks
Slope = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


class Panels(NamedTuple):
    """Sub-intervals of [0, 1], in arrays of fixed length of which the first `used` are in use."""

    left: jax.Array
    right: jax.Array
    value_left: jax.Array
    value_right: jax.Array
    integral: jax.Array
    used: jax.Array

    def residuals(self) -> jax.Array:
        """Integral minus its true value on each sub-interval; zero where unused."""
        in_use = jnp.arange(len(self.left)) < self.used
        return jnp.where(in_use, self.integral - (self.value_right - self.value_left), 0)


class Adapted(NamedTuple):
    """Nodes and weights (zero where unused), the steps in use, and all evaluations made."""

    nodes: jax.Array
    weights: jax.Array
    steps: jax.Array
    evaluations: jax.Array


def adapt(
    phi: Slope,
    *,
    rule: str,
    steps: int,
    max_steps: int,
    threshold: Callable[[jax.Array], jax.Array],
    chunk: int | None,
) -> Adapted:
    """Choose nodes until the summed residuals are under `threshold(phi(1) - phi(0))`.

    `phi(alpha)` gives the score and its slope along the path. Starts from `steps` nodes and goes
    up to `max_steps`; under `jax.vmap` an example that has converged is frozen.
    """
    # One row, to be scaled by a column of sub-interval lengths.
    nodes, weights = (jnp.asarray(array)[None, :] for array in quadrature(rule, PANEL))
    start = max(1, -(-steps // PANEL))
    capacity = max(start, max_steps // PANEL)
    width = min(capacity, max(1, steps // (2 * PANEL + 1)))  # intervals bisected at once

    def integrals(left: jax.Array, right: jax.Array) -> jax.Array:
        length = (right - left)[:, None]
        points = left[:, None] + length * nodes
        slopes = stack(phi, points.ravel(), chunk=chunk)[1].reshape(points.shape)
        integral: jax.Array = jnp.sum(length * slopes * weights, axis=1)
        return integral

    def values(points: jax.Array) -> jax.Array:
        return stack(phi, points, chunk=chunk)[0]

    edges = jnp.linspace(0, 1, start + 1)
    ends = values(edges)
    first = integrals(edges[:-1], edges[1:])

    def padded(array: jax.Array) -> jax.Array:
        return jnp.zeros(capacity, array.dtype).at[:start].set(array)

    panels = Panels(
        padded(edges[:-1]),
        padded(edges[1:]),
        padded(ends[:-1]),
        padded(ends[1:]),
        padded(first),
        jnp.asarray(start),
    )
    goal = threshold(ends[-1] - ends[0])

    def unfinished(panels: Panels) -> jax.Array:
        return (error(panels) > goal) & (panels.used < capacity)

    def bisect(panels: Panels) -> Panels:
        _, worst = jax.lax.top_k(jnp.abs(panels.residuals()), width)
        left, right = panels.left[worst], panels.right[worst]
        middle = (left + right) / 2
        value = values(middle)
        halves = integrals(jnp.concatenate([left, middle]), jnp.concatenate([middle, right]))
        room = jnp.minimum(width, jnp.minimum(panels.used, capacity - panels.used))
        keep = jnp.arange(width) < room
        # Out-of-range places are dropped: the left half stays in place, the right half is appended.
        old = jnp.where(keep, worst, capacity)
        new = jnp.where(keep, panels.used + jnp.arange(width), capacity)
        return Panels(
            panels.left.at[new].set(middle, mode="drop"),
            panels.right.at[old].set(middle, mode="drop").at[new].set(right, mode="drop"),
            panels.value_left.at[new].set(value, mode="drop"),
            panels.value_right.at[new]
            .set(panels.value_right[worst], mode="drop")
            .at[old]
            .set(value, mode="drop"),
            panels.integral.at[old]
            .set(halves[:width], mode="drop")
            .at[new]
            .set(halves[width:], mode="drop"),
            panels.used + room,
        )

    final = jax.lax.while_loop(unfinished, bisect, panels)
    return _nodes(final, nodes, weights, start)


def error(panels: Panels) -> jax.Array:
    """How far off the integral is: its residual, unless that is small by mere luck.

    Residuals of sub-intervals have either sign. A sum far below their root sum of squares is a
    cancellation that says nothing about the attribution of a single feature.
    """
    residuals = panels.residuals()
    return jnp.maximum(jnp.abs(jnp.sum(residuals)), jnp.linalg.norm(residuals))


def _nodes(panels: Panels, nodes: jax.Array, weights: jax.Array, start: int) -> Adapted:
    length = (panels.right - panels.left)[:, None]
    return Adapted(
        (panels.left[:, None] + length * nodes).ravel(),
        (length * weights).ravel(),
        PANEL * panels.used,
        start * (PANEL + 1) + 1 + (panels.used - start) * (2 * PANEL + 1),
    )
