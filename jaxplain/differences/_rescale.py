"""Rescale: an activation's change, in proportion to the change of its input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from ..backprop._rule import explained, fit
from ..program._custom import slope_of
from ..program._ops import Kind
from ._rule import Arrays, Change, DifferenceRule, Multiplied
from ._secant import secant, slope_by_tangents


@dataclasses.dataclass(frozen=True)
class Rescale(DifferenceRule):
    r"""DeepLIFT's Rescale rule: $m = \Delta y / \Delta x$, element by element.

    Where $\Delta x$ is so small that rounding hides the quotient, the mean of the derivatives at
    both ends. A function of several values, such as `where(a > b, c, d)` or a quotient, gives each
    its Shapley value: the change that it causes, averaged over the orders in which the values go
    from the reference to the input.

    Returns:
        A rule for `deeplift`: its default at activations.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: 1 - jax.nn.relu(1 - x[0] - x[1])
        >>> jaxplain.deeplift(f, jaxplain.rules.Rescale())(jnp.ones(2))
        Array([0.5, 0.5], dtype=float32)

    Notes:
        A step, such as `x > 0`, is a function like any other: the input whose change flips it gets
        the change of the output.

    References:
        Shrikumar et al. 2017, Learning important features through propagating activation
        differences, arXiv:1704.02685.
    """

    kinds = Kind.ELEMENTWISE | Kind.DIVISION

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        (multiplier,) = multipliers
        if len(change.inputs) == 1:
            slope_at = slope_of(change.site, change.operands)
            ends = (change.inputs, change.references, change.outputs, change.reference_outputs)
            return Multiplied((explained(multiplier, secant(slope_at, *(end[0] for end in ends))),))
        slopes = shapley_slopes(lambda *xs: change.evaluate(*xs)[0], change)
        pulled = [explained(multiplier, slope) for slope in slopes]
        return Multiplied(tuple(fit(m, x) for m, x in zip(pulled, change.inputs, strict=True)))


def shapley_slopes(function: Callable[..., jax.Array], change: Change) -> list[jax.Array]:
    """For each input of an elementwise function its Shapley value per unit of its change."""
    ends = list(zip(change.references, change.inputs, strict=True))
    players = range(len(ends))

    def at(coalition: frozenset[int]) -> list[jax.Array]:
        return [ends[i][i in coalition] for i in players]

    values = {frozenset(): change.reference_outputs[0], frozenset(players): change.outputs[0]}
    for coalition in _subsets(players):
        if coalition not in values:
            values[coalition] = function(*at(coalition))
    slopes = []
    for player in players:
        others = [i for i in players if i != player]
        total: jax.Array = jnp.zeros(())
        for coalition in _subsets(others):
            weight = _weight(len(coalition), len(ends))
            present = at(coalition)

            def alone(
                x: jax.Array, player: int = player, present: list[jax.Array] = present
            ) -> jax.Array:
                return function(*present[:player], x, *present[player + 1 :])

            reference, x = ends[player]
            joined = coalition | {player}
            slope = secant(
                slope_by_tangents(alone), x, reference, values[joined], values[coalition]
            )
            total = total.astype(slope.dtype) + slope * jnp.asarray(weight, slope.dtype)
        slopes.append(total)
    return slopes


def _subsets(players: range | list[int]) -> Iterator[frozenset[int]]:
    members = list(players)
    for mask in range(1 << len(members)):
        yield frozenset(p for i, p in enumerate(members) if mask >> i & 1)


def _weight(size: int, players: int) -> float:
    """The share of all orders in which a player comes after just these others."""
    orders = math.factorial(size) * math.factorial(players - size - 1)
    return orders / math.factorial(players)
