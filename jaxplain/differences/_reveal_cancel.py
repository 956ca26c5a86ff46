"""RevealCancel: what pushes an activation up and what pulls it down, each by itself."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ..backprop._rule import explained
from ..program._custom import slope_of
from ..program._ops import Kind
from ._rescale import Rescale
from ._rule import Arrays, Change, DifferenceRule, Multiplied
from ._secant import secant


@dataclasses.dataclass(frozen=True)
class RevealCancel(DifferenceRule):
    r"""DeepLIFT's RevealCancel rule: positive and negative contributions have multipliers each.

    $\Delta^+ y = \frac12[f(x^0+\Delta^+) - f(x^0)] + \frac12[f(x^0+\Delta^++\Delta^-) -
    f(x^0+\Delta^-)]$, $\Delta^- y$ likewise, $m^\pm = \Delta^\pm y / \Delta^\pm$: the Shapley
    values of the two parts. The layer before keeps them apart: $\Delta^+$ is the sum of those
    $w_i \Delta x_i$ that are positive, each change taken whole, $\Delta^-$ that of the others.

    Returns:
        A rule for `deeplift`, at activations.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] - jax.nn.relu(x[0] - x[1])  # min(x[0], x[1]) for positive inputs
        >>> x = jnp.array([3.0, 1.0])
        >>> jaxplain.deeplift(f, jaxplain.rules.RevealCancel())(x).round(3)
        Array([0.5, 0.5], dtype=float32)
        >>> jaxplain.deeplift(f, jaxplain.rules.Rescale())(x).round(3)
        Array([0., 1.], dtype=float32)

    Notes:
        The parts are kept through layers, sums of two values, scaling and movement. After anything
        else, products and pooled maxima for instance, and at the start of a loop's body, a change
        counts as positive or negative as a whole; there it is the Rescale rule. So it is at
        functions of several values.

    References:
        Shrikumar et al. 2017, arXiv:1704.02685.
    """

    kinds = Kind.ELEMENTWISE
    parts = True

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        if len(change.inputs) != 1:
            return Rescale().propagate(change, multipliers)
        (multiplier,), (x,), (reference,) = multipliers, change.inputs, change.references
        (rise,), (y,), (y0,) = change.positives, change.outputs, change.reference_outputs

        def function(x: jax.Array) -> jax.Array:
            result: jax.Array = change.evaluate(x)[0]
            return result

        up, down = reference + rise, x - rise  # the reference and one of the parts
        y_up, y_down = function(up), function(down)
        half = jnp.asarray(0.5, multiplier.dtype) * multiplier

        def slope(*ends: jax.Array) -> jax.Array:
            return secant(slope_of(change.site, change.operands), *ends)

        positive = explained(half, slope(up, reference, y_up, y0) + slope(x, down, y, y_down))
        negative = explained(half, slope(down, reference, y_down, y0) + slope(x, up, y, y_up))
        return Multiplied((negative,), positives=(positive - negative,))
