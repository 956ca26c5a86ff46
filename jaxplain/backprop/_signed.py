"""Relevance rules that treat positive and negative contributions differently."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_real, is_concrete
from ..program._affine import Linear
from ..program._run import Call
from ._linear import LinearRule, Term, check_epsilon, negative, positive, signed_pairs


@dataclasses.dataclass(frozen=True)
class ZPlus(LinearRule):
    r"""LRP-z⁺, also called α1β0: only positive contributions receive relevance.

    $R_i = \sum_j \frac{x_i^+ w_{ij}^+ + x_i^- w_{ij}^-}{s(P_j + b_j^+)} R_j$, where $P_j$ is the
    sum of the positive contributions.

    Args:
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for all linear sites.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.lrp(lambda x: x @ jnp.array([2.0, -1.0]), jaxplain.rules.ZPlus())
        >>> explain(jnp.array([1.0, 1.0])).round(3)
        Array([1., 0.], dtype=float32)

    References:
        Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor
        decomposition, Pattern Recognition.
    """

    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        pairs = signed_pairs(call, view, positive(view.weights), negative(view.weights))
        return [Term(pairs, positive(view.bias), relevance, self.epsilon)]


@dataclasses.dataclass(frozen=True)
class AlphaBeta(LinearRule):
    r"""LRP-αβ: positive contributions weighted by α, negative ones by β.

    $R_i = \alpha \sum_j \frac{x_i^+ w_{ij}^+ + x_i^- w_{ij}^-}{s(P_j + b_j^+)} R_j
    - \beta \sum_j \frac{x_i^+ w_{ij}^- + x_i^- w_{ij}^+}{s(N_j + b_j^-)} R_j$.

    Args:
        alpha: weight of the positive contributions; may be traced.
        beta: weight of the negative contributions, with `alpha - beta = 1`; may be traced.
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for all linear sites.

    Raises:
        ValueError: `alpha - beta` is not 1, one of them is negative, or `epsilon` is.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.lrp(lambda x: x @ jnp.array([2.0, -1.0]), jaxplain.rules.AlphaBeta())
        >>> explain(jnp.array([1.0, 1.0])).round(3)
        Array([ 2., -1.], dtype=float32)

    Notes:
        Where a unit has contributions of one sign only, the other term absorbs its part, so
        relevance is conserved only where both are there.

    References:
        Bach et al. 2015, PLoS ONE.
    """

    alpha: Any = 2.0
    beta: Any = 1.0
    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_real("alpha", self.alpha, low=0.0)
        check_real("beta", self.beta, low=0.0)
        concrete = is_concrete(self.alpha) and is_concrete(self.beta)
        if concrete and not np.allclose(self.alpha - self.beta, 1.0):
            raise ValueError(
                f"AlphaBeta(alpha={self.alpha}, beta={self.beta}): alpha - beta must be 1, or "
                f"relevance is not conserved. Use beta={self.alpha - 1} with this alpha."
            )

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        plus, minus = positive(view.weights), negative(view.weights)
        alpha = jnp.asarray(self.alpha, relevance.dtype)
        beta = jnp.asarray(self.beta, relevance.dtype)
        return [
            Term(
                signed_pairs(call, view, plus, minus),
                positive(view.bias),
                alpha * relevance,
                self.epsilon,
            ),
            Term(
                signed_pairs(call, view, minus, plus),
                negative(view.bias),
                -beta * relevance,
                self.epsilon,
            ),
        ]


@dataclasses.dataclass(frozen=True)
class Gamma(LinearRule):
    r"""LRP-γ: contributions of the output's own sign are favoured by a factor 1 + γ.

    Where $z_j > 0$, $R_i = \sum_j \frac{x_i^+ (w_{ij} + \gamma w_{ij}^+) + x_i^- (w_{ij} + \gamma
    w_{ij}^-)}{s(\ldots + b_j + \gamma b_j^+)} R_j$; where $z_j < 0$ with the signs of the favoured
    weights and bias exchanged; units with $z_j = 0$ pass nothing on.

    Args:
        gamma: how much to favour: 0 is LRP-0, infinity is LRP-z⁺; may be traced.
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for all linear sites.

    Raises:
        ValueError: `gamma` or `epsilon` is negative.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -2.0])
        >>> sweep = lambda gamma: jaxplain.lrp(f, jaxplain.rules.Gamma(gamma))(jnp.ones(2))
        >>> jax.vmap(sweep)(jnp.array([0.0, 1.0])).round(2)
        Array([[ 3. , -2. ],
               [ 1.5, -0.5]], dtype=float32)

    References:
        Montavon et al. 2019, Layer-wise relevance propagation: an overview, Springer LNCS 11700.
        Andéol et al. 2021, Learning domain invariant representations by joint Wasserstein distance
        minimization (the form for inputs of both signs), arXiv:2106.04923.
    """

    gamma: Any = 0.25
    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_real("gamma", self.gamma, low=0.0)

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        (z,) = call.outputs
        plus, minus = (self._favoured(view.weights, part) for part in (positive, negative))
        return [
            Term(
                signed_pairs(call, view, plus, minus),
                self._favoured(view.bias, positive),
                jnp.where(z > 0, relevance, 0),
                self.epsilon,
            ),
            Term(
                signed_pairs(call, view, minus, plus),
                self._favoured(view.bias, negative),
                jnp.where(z < 0, relevance, 0),
                self.epsilon,
            ),
        ]

    def _favoured(self, values: Any, part: Any) -> Any:
        return jax.tree.map(lambda v: v + jnp.asarray(self.gamma, v.dtype) * part(v), values)


@dataclasses.dataclass(frozen=True)
class Interpolated(LinearRule):
    r"""Between z⁺ and gradient × input: negative contributions count by a factor γ.

    $R_i = \sum_j \frac{(x_i^+ w_{ij}^+ + x_i^- w_{ij}^-) + \gamma (x_i^+ w_{ij}^- + x_i^-
    w_{ij}^+)}{s(\ldots + b_j^+ + \gamma b_j^-)} R_j$. With γ = 0 this is `ZPlus`, with γ = 1
    `Zero`: gradient × input on networks of ReLUs.

    Args:
        gamma: the factor, from 0 to 1; may be traced.
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for all linear sites.

    Raises:
        ValueError: `gamma` is not between 0 and 1, or `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -2.0])
        >>> jaxplain.lrp(f, jaxplain.rules.Interpolated(0.5))(jnp.ones(2)).round(2)
        Array([ 1.5, -0.5], dtype=float32)

    References:
        Montavon et al. 2018, Methods for interpreting and understanding deep neural networks,
        Digital Signal Processing.
    """

    gamma: Any
    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_real("gamma", self.gamma, low=0.0, high=1.0)

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        upper, lower = self._mixed(view.weights), self._mixed(view.weights, swap=True)
        pairs = signed_pairs(call, view, upper, lower)
        return [Term(pairs, self._mixed(view.bias), relevance, self.epsilon)]

    def _mixed(self, values: Any, *, swap: bool = False) -> Any:
        """The parts of one sign, and γ times those of the other."""

        def mix(value: jax.Array) -> jax.Array:
            gamma = jnp.asarray(self.gamma, value.dtype)
            plus, minus = jnp.maximum(value, 0), jnp.minimum(value, 0)
            return minus + gamma * plus if swap else plus + gamma * minus

        return jax.tree.map(mix, values)
