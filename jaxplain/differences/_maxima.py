"""Maxima and minima: a rise goes to who wins at the input, a fall to who won at the reference."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ..program._ops import Kind
from ._rule import Arrays, Change, DifferenceRule, Multiplied
from ._windows import has_windows, pull_windows


@dataclasses.dataclass(frozen=True)
class CrossMaximum(DifferenceRule):
    r"""Maxima: $\Delta y = [\max(y, y^0) - y^0] + [y - \max(y, y^0)]$, a rise and a fall.

    The rise is due to the winner at the input, which exceeds what won before; the fall to the
    winner at the reference, which has come down. Minima are the same upside down.

    Returns:
        A rule for `deeplift`: its default at pooling, reductions and the maximum of two values.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.deeplift(jnp.max)
        >>> explain(jnp.array([1.0, 3.0]), baseline=jnp.array([2.0, 0.0]))
        Array([0., 1.], dtype=float32)

    Notes:
        Of several equal maxima a pooling window takes the first, a reduction shares among all.

    References:
        Shrikumar et al. 2017, arXiv:1704.02685.
    """

    kinds = main = Kind.MAX

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        (multiplier,), (y,), (y0,) = multipliers, change.outputs, change.reference_outputs
        outer = jnp.minimum if "min" in change.site.primitive else jnp.maximum
        extreme = outer(y, y0)
        if has_windows(change):
            pulled = pull_windows(change, multiplier, extreme - y0, y - extreme)
            return Multiplied((pulled,))
        up = _pulled(change, change.inputs, multiplier, extreme - y0)
        down = _pulled(change, change.references, multiplier, y - extreme)
        return Multiplied(tuple(u + d for u, d in zip(up, down, strict=True)))


def _pulled(change: Change, point: Arrays, multiplier: jax.Array, due: jax.Array) -> Arrays:
    """Multipliers of the winners at one end, for the part of the change that is due to them."""

    def chosen(*differences: jax.Array) -> jax.Array:
        result: jax.Array = jax.jvp(change.evaluate, point, differences)[1][0]
        return result

    # By how much the winners changed; linear in the differences, so its transpose pulls back.
    winners, pullback = jax.vjp(chosen, *change.differences)
    same = winners == 0
    half = jnp.asarray(0.5, winners.dtype)
    share = jnp.where(same, half, due / jnp.where(same, 1, winners))
    pulls: Arrays = pullback(multiplier * share)
    return pulls
