"""Sorting: each element gets the ranks that it holds on the way from the reference."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ..program._ops import Kind
from ._rule import Arrays, Change, DifferenceRule, Multiplied


@dataclasses.dataclass(frozen=True)
class Ranks(DifferenceRule):
    r"""Sorting and top-k: the multipliers of all ranks that an element holds on its way.

    On the straight way from the reference to the input, element $i$ holds rank $j$ for a share
    $s_{ij}$ of the time, and $m_i = \sum_j s_{ij} m_j$: the integrated gradient of sorting, in
    closed form. What is sorted along by these keys is data that the keys choose: it gets the mean
    of both orders, and the choice's share of the change is unattributed.

    Returns:
        A rule for `deeplift`: its default at `sort` and `top_k`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.deeplift(jnp.median)
        >>> explain(jnp.array([3.0, 1.0, 2.0])).round(4)
        Array([0., 0., 2.], dtype=float32)

    References:
        Sundararajan et al. 2017, arXiv:1703.01365 (of the integral).
    """

    kinds = main = Kind.MOVEMENT
    partial = True

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        params = change.site.equations[0].eqn.params
        if change.site.primitive == "top_k":
            (x,), (reference,) = change.inputs, change.references
            axis = params.get("axis", -1) % x.ndim
            missing = [(0, 0)] * x.ndim
            missing[axis] = (0, x.shape[axis] - multipliers[0].shape[axis])
            full = jnp.pad(multipliers[0], missing)
            return Multiplied((_by_rank(-x, -reference, full, axis),))
        return _sorted(change, multipliers, params["dimension"])


def _sorted(change: Change, multipliers: Arrays, axis: int) -> Multiplied:
    """A sort by its first operand, which may take others along."""
    equation = change.site.equations[0]
    keys = equation.inputs[0]
    by_input = dict(zip(change.site.inputs, range(len(change.inputs)), strict=True))
    place = by_input[keys]
    orders = [
        jnp.argsort(side[place], axis=axis, stable=True)
        for side in (change.inputs, change.references)
    ]
    results = [jnp.zeros_like(x) for x in change.inputs]
    unattributed = []
    for slot, atom in enumerate(equation.inputs):
        if atom not in by_input:
            continue
        number, multiplier = by_input[atom], multipliers[slot]
        x, reference = change.inputs[number], change.references[number]
        if slot == 0:
            results[number] += _by_rank(x, reference, multiplier, axis)
            continue
        results[number] += sum(_unsorted(multiplier, order, axis) for order in orders) / 2
        moved = [
            jnp.take_along_axis(x + reference, order, axis=axis) * multiplier for order in orders
        ]
        unattributed.append(jnp.sum(moved[0] - moved[1]) / 2)
    return Multiplied(tuple(results), unattributed=sum(unattributed) if unattributed else None)


def _unsorted(multiplier: jax.Array, order: jax.Array, axis: int) -> jax.Array:
    return jnp.take_along_axis(multiplier, jnp.argsort(order, axis=axis), axis=axis)


def _by_rank(x: jax.Array, reference: jax.Array, multiplier: jax.Array, axis: int) -> jax.Array:
    """The multiplier of each element of an ascending sort along an axis."""
    rows = [jnp.moveaxis(v, axis, -1) for v in (x, reference, multiplier)]
    flat = [row.reshape(-1, row.shape[-1]) for row in rows]
    result = jax.vmap(_row_by_rank)(*flat).reshape(rows[0].shape)
    return jnp.moveaxis(result, -1, axis)


def _row_by_rank(x: jax.Array, reference: jax.Array, multiplier: jax.Array) -> jax.Array:
    number = jnp.arange(x.shape[0])

    def of(i: jax.Array) -> jax.Array:
        """Element `i`: when others overtake it, or it overtakes them."""
        before, after = (_below(row, row[i], number, i) for row in (reference, x))
        gap, gap_after = reference - reference[i], x - x[i]
        swaps = before != after
        closing = jnp.where(swaps, gap - gap_after, 1)
        time = jnp.where(swaps, gap / jnp.where(closing == 0, 1, closing), 1)
        time = jnp.clip(time, 0, 1)
        time, step = jax.lax.sort((time, after.astype(int) - before.astype(int)), num_keys=1)
        ranks = jnp.sum(before) + jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(step)])
        ends = jnp.concatenate([jnp.zeros(1, time.dtype), time, jnp.ones(1, time.dtype)])
        return jnp.sum(jnp.diff(ends) * multiplier[ranks])

    result: jax.Array = jax.lax.map(of, number, batch_size=64)
    return result


def _below(row: jax.Array, value: jax.Array, number: jax.Array, i: jax.Array) -> jax.Array:
    """Which elements stand before one of this value, as a stable sort puts them."""
    return (row < value) | ((row == value) & (number < i))
