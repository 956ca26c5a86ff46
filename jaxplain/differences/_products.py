"""Products and quotients of changing values."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from ..backprop._rule import fit
from ..program._ops import Kind
from ._rescale import Rescale
from ._rule import Arrays, Change, DifferenceRule, Multiplied


@dataclasses.dataclass(frozen=True)
class Multilinear(DifferenceRule):
    r"""Products: each factor gets its Shapley value, $m_a = \frac12 (b + b^0)$ for $a \cdot b$.

    A product of $n$ factors is linear in each, and the Shapley values of such a function are
    $\Delta x_i \int_0^1 \partial_i f(x^0 + t \Delta x)\,dt$, a polynomial's integral: Gauss and
    Legendre's $\lceil n/2 \rceil$ points give it exactly. For two factors, and so for matrix
    products and convolutions between activations, that is the derivative at the midpoint.

    Returns:
        A rule for `deeplift`: its default at products of changing values.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.deeplift(jnp.prod)(jnp.array([2.0, 3.0, 4.0])).round(3)
        Array([8., 8., 8.], dtype=float32)

    References:
        Lundberg and Lee 2017, A unified approach to interpreting model predictions,
        arXiv:1705.07874.
    """

    kinds = main = Kind.PRODUCT

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        nodes, weights = np.polynomial.legendre.leggauss((_factors(change) + 1) // 2)

        def pulled(node: jax.Array, weight: jax.Array) -> Arrays:
            ends = zip(change.references, change.differences, strict=True)
            point = [r + d * node.astype(d.dtype) for r, d in ends]
            _, pullback = jax.vjp(change.evaluate, *point)
            pulls = pullback(multipliers)
            return tuple(pull * weight.astype(pull.dtype) for pull in pulls)

        places = jnp.asarray((nodes + 1) / 2), jnp.asarray(weights / 2)
        if len(nodes) == 1:
            return Multiplied(pulled(places[0][0], places[1][0]))
        totals, _ = jax.lax.scan(
            lambda sums, place: (jax.tree.map(jnp.add, sums, pulled(*place)), None),
            tuple(jnp.zeros_like(x) for x in change.inputs),
            places,
        )
        return Multiplied(totals)


def _factors(change: Change) -> int:
    """How many factors a product has."""
    equation, shape = change.site.equations[0], change.inputs[0].shape
    if change.site.primitive == "reduce_prod":
        return math.prod(shape[axis] for axis in equation.eqn.params["axes"])
    if change.site.primitive == "cumprod":
        return int(shape[equation.eqn.params["axis"]])
    return 2


@dataclasses.dataclass(frozen=True)
class Quotient(DifferenceRule):
    r"""Quotients: numerator and denominator get their Shapley values.

    $m_a = \frac12 (1/b + 1/b^0)$ and $m_b = -\frac12 (a + a^0) / (b\, b^0)$ for $a / b$. Powers,
    remainders and angles get theirs as `Rescale` has them.

    Returns:
        A rule for `deeplift`: its default at divisions of two changing values.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.deeplift(lambda x: x[0] / x[1])
        >>> explain(jnp.array([4.0, 2.0]), baseline=jnp.array([1.0, 1.0]))
        Array([ 2.25, -1.25], dtype=float32)
    """

    kinds = main = Kind.DIVISION

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        if change.site.primitive != "div" or len(change.inputs) != 2:
            return Rescale().propagate(change, multipliers)
        (multiplier,), (a, b), (a0, b0) = multipliers, change.inputs, change.references
        half = jnp.asarray(0.5, multiplier.dtype) * multiplier
        upper = half * (1 / b + 1 / b0)
        lower = -half * (a + a0) / (b * b0)
        return Multiplied((fit(upper, a), fit(lower, b)))


@dataclasses.dataclass(frozen=True)
class Normalized(DifferenceRule):
    r"""Values divided by a scale of their own, as LayerNorm and RMSNorm do.

    From $c = s\,y$, a product, $\Delta c = \bar s\,\Delta y + \bar y\,\Delta s$ with means over
    both ends, so $\Delta y = (\Delta c - \bar y\,\Delta s) / \bar s$. Exact, and of moderate size
    also where one scale is tiny, at a constant reference for instance, where the shares of
    numerator and denominator would be huge and cancel.

    Returns:
        A rule for `deeplift`: its default at normalisation.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: (x / jnp.sqrt(jnp.mean(x**2) + 1e-5))[0]
        >>> jaxplain.deeplift(f)(jnp.array([3.0, 1.0])).round(3)
        Array([ 1.476, -0.134], dtype=float32)
    """

    kinds = main = Kind.NORMALIZATION

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        (multiplier,), (c, s), (_, s0) = multipliers, change.inputs, change.references
        half = jnp.asarray(0.5, multiplier.dtype)
        mean = (change.outputs[0] + change.reference_outputs[0]) * half
        both = s + s0
        both = jnp.where(both == 0, 1, both)
        if change.site.primitive == "div":
            upper = multiplier / (half * both)
            return Multiplied((fit(upper, c), fit(-upper * mean, s)))
        # Multiplied by r = 1 / s: the mean of the scales is (r + r0) / (2 r r0).
        upper = multiplier * (s / both) * (2 * s0)
        return Multiplied((fit(upper, c), fit(multiplier * mean / (half * both), s)))
