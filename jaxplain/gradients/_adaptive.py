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
from .._types import Chunk
from ._quadrature import quadrature

PANEL = 5  # nodes of the rule in each sub-interval: few, since networks have kinks
Slope = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


class Panels(NamedTuple):
    """Sub-intervals of [0, 1], in arrays of fixed length; unused ones have no width."""

    left: jax.Array
    right: jax.Array
    value_left: jax.Array
    value_right: jax.Array
    integral: jax.Array

    @property
    def in_use(self) -> jax.Array:
        return self.right > self.left

    @property
    def used(self) -> jax.Array:
        return jnp.sum(self.in_use)

    def residuals(self) -> jax.Array:
        """Integral minus its true value on each sub-interval."""
        return self.integral - (self.value_right - self.value_left)

    def worst_first(self) -> Panels:
        """Sorted by residual, unused ones last.

        A sort, rather than gathering the worst by index: it stays on the device that holds the
        example when a batch is sharded.
        """
        badness = jnp.where(self.in_use, -jnp.abs(self.residuals()), jnp.inf)
        return Panels(*jax.lax.sort((badness, *self), num_keys=1)[1:])


class Adapted(NamedTuple):
    """Nodes and weights (zero where unused), steps in use, evaluations made, threshold met."""

    nodes: jax.Array
    weights: jax.Array
    steps: jax.Array
    evaluations: jax.Array
    converged: jax.Array


def adapt(
    phi: Slope,
    *,
    rule: str,
    steps: int,
    max_steps: int,
    threshold: Callable[[jax.Array], jax.Array],
    chunk: Chunk,
) -> Adapted:
    """Choose nodes until the summed residuals are under `threshold(phi(1) - phi(0))`.

    `phi(alpha)` gives the score and its slope along the path. Starts from `steps` nodes and goes
    up to `max_steps`; under `jax.vmap` an example that has converged is frozen.
    """
    # One row, to be scaled by a column of sub-interval lengths.
    nodes, weights = (jnp.asarray(array)[None, :] for array in quadrature(rule, PANEL))
    capacity = max_steps // PANEL
    start = min(-(-steps // PANEL), capacity)
    width = max(1, min(capacity // 2, steps // (2 * PANEL + 1)))  # intervals bisected at once

    def integrals(left: jax.Array, right: jax.Array) -> jax.Array:
        length = (right - left)[:, None]
        points = left[:, None] + length * nodes
        slopes = stack(phi, points.ravel(), chunk=chunk)[1].reshape(points.shape)
        integral: jax.Array = jnp.sum(length * slopes * weights, axis=1)
        return integral

    def values(points: jax.Array) -> jax.Array:
        scores: jax.Array = stack(phi, points, chunk=chunk)[0]
        return scores

    edges = jnp.linspace(0, 1, start + 1)
    ends = values(edges)
    first = integrals(edges[:-1], edges[1:])

    def padded(array: jax.Array) -> jax.Array:
        return jnp.zeros(capacity, array.dtype).at[:start].set(array)

    panels = Panels(*map(padded, (edges[:-1], edges[1:], ends[:-1], ends[1:], first)))
    goal = threshold(ends[-1] - ends[0])

    def unfinished(panels: Panels) -> jax.Array:
        return (error(panels) > goal) & (panels.used < capacity)

    def bisect(panels: Panels) -> Panels:
        panels = panels.worst_first()
        whole = Panels(*(array[:width] for array in panels))
        middle = (whole.left + whole.right) / 2
        value = values(middle)
        edges = jnp.stack([whole.left, middle]), jnp.stack([middle, whole.right])
        halves = integrals(*map(jnp.ravel, edges)).reshape(2, width)
        left = Panels(whole.left, middle, whole.value_left, value, halves[0])
        right = Panels(middle, whole.right, value, whole.value_right, halves[1])
        # The left half takes the place of the whole, the right half a free place at the far end.
        keep = whole.in_use & ~panels.in_use[-width:]

        def placed(old: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
            first = jnp.where(keep, left, old[:width])
            last = jnp.where(keep, right, old[-width:])
            return jnp.concatenate([first, old[width:-width], last])

        return Panels(*map(placed, panels, left, right))

    # A single panel has no room to be bisected into.
    final = panels if capacity == 1 else jax.lax.while_loop(unfinished, bisect, panels)
    return _nodes(final, nodes, weights, start, error(final) <= goal)


def error(panels: Panels) -> jax.Array:
    """How far off the integral is: its residual, unless that is small by mere luck.

    Residuals of sub-intervals have either sign. A sum far below their root sum of squares is a
    cancellation that says nothing about the attribution of a single feature.
    """
    residuals = panels.residuals()
    return jnp.maximum(jnp.abs(jnp.sum(residuals)), jnp.linalg.norm(residuals))


def _nodes(
    panels: Panels, nodes: jax.Array, weights: jax.Array, start: int, converged: jax.Array
) -> Adapted:
    length = (panels.right - panels.left)[:, None]
    return Adapted(
        (panels.left[:, None] + length * nodes).ravel(),
        (length * weights).ravel(),
        PANEL * panels.used,
        start * (PANEL + 1) + 1 + (panels.used - start) * (2 * PANEL + 1),
        converged,
    )
