"""Relevance rules for the first layer, whose inputs are pixels and not activations."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import is_concrete
from ..program._affine import Linear
from ..program._ops import Kind
from ..program._run import Call
from ._linear import LinearRule, Term, check_epsilon, negative, positive
from ._rule import Arrays


@dataclasses.dataclass(frozen=True)
class ZBox(LinearRule):
    r"""LRP-zᴮ: for inputs in a box, such as pixels between black and white.

    $R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}{s(\ldots)} R_j$: contributions are
    measured from the corner of the box that would turn the unit off most.

    Args:
        low: lower bound of the inputs, a number or an array that broadcasts to the input, in the
            model's own input units; scaling that the model does itself before its first layer is
            taken into account. May be traced.
        high: upper bound, likewise.
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for affine and other linear sites with one input.

    Raises:
        ValueError: `low` exceeds `high` somewhere, or `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.ZBox(0.0, 1.0))(jnp.array([0.5, 0.0])).round(2)
        Array([0.5, 0.5], dtype=float32)

    References:
        Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor
        decomposition, Pattern Recognition.
    """

    low: Any
    high: Any
    epsilon: Any = 1e-6

    kinds = Kind.LINEAR & ~Kind.ADD

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        if (
            is_concrete(self.low)
            and is_concrete(self.high)
            and np.any(np.asarray(self.low) > np.asarray(self.high))
        ):
            raise ValueError(
                f"ZBox(low={self.low}, high={self.high}): low must not exceed high. Give the least "
                "and the greatest value of the inputs, in this order."
            )

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        (x,), (scale,), (weight,) = view.inputs, view.scales, view.weights
        ends = [
            jnp.broadcast_to(jnp.asarray(end, x.dtype) * scale, x.shape).astype(x.dtype)
            for end in (self.low, self.high)
        ]
        low, high = jnp.minimum(*ends), jnp.maximum(*ends)
        pairs: list[tuple[Arrays, Arrays]] = [
            ((x,), (weight,)),
            ((-low,), (positive(weight),)),
            ((-high,), (negative(weight),)),
        ]
        return [Term(pairs, None, relevance, self.epsilon)]


@dataclasses.dataclass(frozen=True)
class WSquare(LinearRule):
    r"""LRP-w²: in proportion to squared weights, whatever the input.

    $R_i = \sum_j \frac{w_{ij}^2}{s(\sum_i w_{ij}^2)} R_j$; the bias gets nothing.

    Args:
        epsilon: the stabiliser; may be traced.

    Returns:
        A rule for all linear sites.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([1.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.WSquare(), seed="one")(jnp.ones(2)).round(2)
        Array([0.5, 0.5], dtype=float32)

    References:
        Montavon et al. 2017, Pattern Recognition.
    """

    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        inputs = tuple(
            jnp.broadcast_to(jnp.square(jnp.asarray(scale, x.dtype)), x.shape).astype(x.dtype)
            for x, scale in zip(view.inputs, view.scales, strict=True)
        )
        weights = tuple(jnp.square(weight) for weight in view.weights)
        return [Term([(inputs, weights)], None, relevance, self.epsilon)]


@dataclasses.dataclass(frozen=True)
class Flat(LinearRule):
    r"""LRP-flat: evenly over all inputs that a unit sees.

    $R_i = \sum_j \frac{1}{s(n_j)} R_j$ with $n_j$ the number of inputs of unit $j$, those in the
    padding left out; the bias gets nothing.

    Args:
        epsilon: the stabiliser; may be traced.

    Returns:
        A rule for all linear sites.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.Flat())(jnp.ones(2)).round(2)
        Array([1., 1.], dtype=float32)

    References:
        Lapuschkin et al. 2019, Unmasking Clever Hans predictors and assessing what machines really
        learn, Nature Communications.
    """

    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        ones = tuple(jnp.ones_like(x) for x in view.inputs)
        weights = tuple(jnp.ones_like(weight) for weight in view.weights)
        return [Term([(ones, weights)], None, relevance, self.epsilon)]
