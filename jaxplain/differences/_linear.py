"""Linear steps: their own derivative, and the parts of their outputs' differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..program._ops import Kind
from ..program._sites import Site
from ._pair import Pair, positive_of, share_above_zero
from ._rule import Arrays, Change, DifferenceRule, Multiplied


@dataclasses.dataclass(frozen=True)
class Linear(DifferenceRule):
    r"""Linear steps: the multiplier is the derivative, $m_i = \sum_j w_{ij} m_j$.

    Returns:
        A rule for `deeplift`: its default at layers, sums, scaling and movement.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.deeplift(lambda x: x @ jnp.array([2.0, -1.0]))(jnp.ones(2), baseline=0.5)
        Array([ 1. , -0.5], dtype=float32)

    References:
        Shrikumar et al. 2017, arXiv:1704.02685.
    """

    kinds = Kind.LINEAR | Kind.MOVEMENT | Kind.NAME
    main = Kind.LINEAR

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        _, pullback = jax.vjp(change.evaluate, *change.inputs)
        return Multiplied(pullback(multipliers))


# Kinds whose outputs' positive parts are made of their inputs' positive parts.
PASSING = Kind.ADD | Kind.SCALE | Kind.SHIFT | Kind.MOVEMENT | Kind.NAME
# Kinds that say which of their contributions are positive.
PARTING = PASSING | Kind.DENSE | Kind.CONV | Kind.SUM


def positive_part(site: Site, inputs: Sequence[Pair], operands: Sequence[Any]) -> Any:
    r"""The sum of the positive contributions $w_i \Delta x_i$ to each output of a linear site.

    Derivatives treat the signs as constant, so that the part's cotangent goes to the inputs that
    it is made of.
    """
    if site.kind in Kind.MOVEMENT | Kind.NAME:
        values = tuple(pair.value for pair in inputs)
        parts = tuple(map(positive_of, inputs))
        return jax.jvp(lambda *xs: site(xs, operands), values, parts)[1][0]
    here = site.linear([pair.value for pair in inputs], operands)
    there = site.linear([pair.reference for pair in inputs], operands)
    changes = tuple(x - r for x, r in zip(here.inputs, there.inputs, strict=True))
    if site.kind in PASSING:
        rises = tuple(map(positive_of, inputs))
    else:
        rises = tuple(share_above_zero(change) * change for change in changes)
    rises = tuple(r.astype(change.dtype) for r, change in zip(rises, changes, strict=True))
    falls = tuple(change - rise for change, rise in zip(changes, rises, strict=True))
    up = tuple(jnp.maximum(weight, 0) for weight in here.weights)
    down = tuple(jnp.minimum(weight, 0) for weight in here.weights)
    part = here.linear(rises, up) + here.linear(falls, down)
    return part.astype(site.outputs[0].aval.dtype)
