"""The mean of the derivatives at both ends, for steps that nothing better is known of."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from .._tree import total
from ..program._ops import Kind
from ._rule import Arrays, Change, DifferenceRule, Multiplied, contribution, rises


@dataclasses.dataclass(frozen=True)
class MeanGradient(DifferenceRule):
    r"""The mean of the derivatives at the input and at the reference.

    $m = \frac12 [f'(x) + f'(x^0)]$; what that leaves of the change is unattributed.

    Returns:
        A rule for sites of all kinds but loops: a choice of yours, or that of
        `deeplift(f, missing="gradient")`; a default only for sorting by several keys.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> composite = jaxplain.rules.MeanGradient()
        >>> jaxplain.deeplift(lambda x: jnp.sum(x**2), composite)(jnp.array([1.0, 3.0]))
        Array([1., 9.], dtype=float32)
    """

    kinds = ~Kind.CALL
    main = Kind.ELEMENTWISE
    partial = True

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        here, there = (
            jax.vjp(change.evaluate, *end)[1](multipliers)
            for end in (change.inputs, change.references)
        )
        means = tuple((h + t) * jnp.asarray(0.5, h.dtype) for h, t in zip(here, there, strict=True))
        received = total([contribution(m, rise) for m, rise in rises(change, multipliers)])
        given = total(list(map(contribution, means, change.differences)))
        return Multiplied(means, unattributed=received - given)
