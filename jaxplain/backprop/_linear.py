"""Relevance rules for linear sites: dense layers, convolutions, sums, pooling, residual additions.

All of them share one scheme. The output is a sum of contributions of the inputs; a rule says which
contributions count, and each unit's relevance is shared among them in proportion:

    R_i = Σ_terms  x'_i Σ_j w'_ij R_j / s(Σ_i x'_i w'_ij + b'_j)

so a rule is nothing but its inputs x', weights w' and bias b'.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._errors import check_real, is_concrete
from ..program._affine import Linear
from ..program._ops import Kind
from ..program._run import Call
from ._rule import Arrays, Propagated, Rule, explained, quotient


class Term(NamedTuple):
    """Contributions that relevance is shared among: pairs of inputs and weights, and a bias."""

    pairs: list[tuple[Arrays, Arrays]]
    bias: jax.Array | None
    relevance: jax.Array
    epsilon: Any


class LinearRule(Rule):
    """A rule made of terms; subclasses say which."""

    kinds = Kind.LINEAR

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        """The terms of a site, given its linear view and the relevance of its output."""
        raise NotImplementedError

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        return self._share(call, relevances, weights=False)

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        return self._share(call, relevances, weights=weights)

    def _share(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        view = call.site.linear(call.inputs, call.operands)
        terms = self.terms(call, view, relevances[0])
        shared = [_share(view, term, weights) for term in terms]
        total = Propagated(*(_add(*parts) for parts in zip(*shared, strict=True)))
        unclaimed = relevances[0] - _add(*(term.relevance for term in terms))
        kept = total.stabilizer
        assert kept is not None
        return total._replace(stabilizer=kept + unclaimed.astype(kept.dtype))


def _share(view: Linear, term: Term, weights: bool) -> Propagated:
    evaluated = [
        jax.vjp(view.linear, inputs, kernels)
        if weights
        else jax.vjp(lambda xs, kernels=kernels: view.linear(xs, kernels), inputs)
        for inputs, kernels in term.pairs
    ]
    z = _add(*(output for output, _ in evaluated))
    if term.bias is not None:
        z = z + term.bias
    q = quotient(term.relevance, z, term.epsilon)
    stabilizer = term.relevance.astype(q.dtype) - explained(z, q)
    bias = None if term.bias is None else explained(jnp.broadcast_to(term.bias, q.shape), q)
    q = q.astype(z.dtype)
    pulled = [pullback(q) for _, pullback in evaluated]
    inputs = [_times(xs, pull[0]) for (xs, _), pull in zip(term.pairs, pulled, strict=True)]
    kernels = (
        [_times(ws, pull[1]) for (_, ws), pull in zip(term.pairs, pulled, strict=True)]
        if weights
        else [None]
    )
    return Propagated(_add(*inputs), bias, stabilizer, _add(*kernels))


def _times(left: Arrays, right: Arrays) -> Arrays:
    return tuple(a * b for a, b in zip(left, right, strict=True))


def _add(*parts: Any) -> Any:
    """The sum of pytrees, leaving out those that are None."""
    kept = [part for part in parts if part is not None]
    return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *kept) if kept else None


def positive(values: Any) -> Any:
    """The positive part of each array."""
    return jax.tree.map(lambda value: jnp.maximum(value, 0), values)


def negative(values: Any) -> Any:
    """The negative part of each array."""
    return jax.tree.map(lambda value: jnp.minimum(value, 0), values)


def signed_pairs(
    call: Call, view: Linear, upper: Arrays, lower: Arrays
) -> list[tuple[Arrays, Arrays]]:
    """Positive inputs with one set of weights and negative inputs with another.

    Inputs that are known to be non-negative, behind a ReLU say, need half of the work.
    """
    scaled = any(not isinstance(scale, float) for scale in view.scales)
    if all(call.site.nonnegative) and not scaled:
        return [(view.inputs, upper)]
    return [(positive(view.inputs), upper), (negative(view.inputs), lower)]


def _check_epsilon(value: Any) -> None:
    check_real("epsilon", value, low=0.0)


@dataclasses.dataclass(frozen=True)
class Epsilon(Rule):
    r"""LRP-ε: relevance in proportion to signed contributions, small outputs damped.

    $R_i = x_i \sum_j w_{ij} R_j / (z_j + \epsilon\,\mathrm{sgn}(z_j))$ with
    $z_j = \sum_i x_i w_{ij} + b_j$; the bias keeps its share.

    Args:
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for all linear sites and for normalisation, whose scale it holds constant.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.Epsilon(0.0))(jnp.array([1.0, 1.0]))
        Array([ 2., -1.], dtype=float32)

    References:
        Bach et al. 2015, On pixel-wise explanations for non-linear classifier decisions by
        layer-wise relevance propagation, PLoS ONE.
    """

    epsilon: Any = 1e-6

    kinds = Kind.LINEAR | Kind.NORMALIZATION
    linearize = True

    def __post_init__(self) -> None:
        _check_epsilon(self.epsilon)

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        (relevance,), (z,) = relevances, call.outputs
        q = quotient(relevance, z, self.epsilon).astype(z.dtype)
        assert call.pullback is not None
        return Propagated(_times(call.inputs, call.pullback((q,))))

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        result = self.propagate(call, relevances)
        (relevance,), (z,) = relevances, call.outputs
        q = quotient(relevance, z, self.epsilon)
        result = result._replace(stabilizer=relevance.astype(q.dtype) - explained(z, q))
        if call.site.kind is Kind.NORMALIZATION:
            return result._replace(bias=explained(_offset(call), q))
        view = call.site.linear(call.inputs, call.operands)
        if view.bias is not None:
            bias = jnp.broadcast_to(view.bias, z.shape)
            result = result._replace(bias=explained(bias, q))
        if weights:
            _, pull = jax.vjp(lambda weights: view.linear(view.inputs, weights), view.weights)
            (shares,) = pull(q.astype(z.dtype))
            result = result._replace(weights=_times(view.weights, shares))
        return result


def _offset(call: Call) -> jax.Array:
    """The additive part of a site that is affine in its inputs: its value less its linear part."""

    def evaluate(*inputs: jax.Array) -> jax.Array:
        result: jax.Array = call.site.detached(inputs, call.operands)[0]
        return result

    value, linear = jax.jvp(evaluate, call.inputs, call.inputs)
    offset: jax.Array = value - linear
    return offset


@dataclasses.dataclass(frozen=True)
class Zero(Epsilon):
    r"""LRP-0: as `Epsilon` without a stabiliser.

    $R_i = x_i \sum_j w_{ij} R_j / z_j$, with $0/0 = 0$.

    Args:
        epsilon: leave it at zero.

    Returns:
        A rule for all linear sites and for normalisation.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.lrp(lambda x: x @ jnp.array([2.0, -1.0]), jaxplain.rules.Zero())(jnp.ones(2))
        Array([ 2., -1.], dtype=float32)

    References:
        Bach et al. 2015, PLoS ONE.
    """

    epsilon: Any = 0.0


@dataclasses.dataclass(frozen=True)
class Norm(Epsilon):
    r"""LRP-ε for sums, pooling and residual additions: every input by its share of the sum.

    $R_i = x_i \sum_j R_j / (z_j + \epsilon\,\mathrm{sgn}(z_j))$, the default of these sites.

    Args:
        epsilon: the stabiliser, in units of the site's output; may be traced.

    Returns:
        A rule for all linear sites and for normalisation.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.lrp(lambda x: x.sum(), jaxplain.rules.Norm(0.0))(jnp.array([1.0, 3.0]))
        Array([1., 3.], dtype=float32)

    References:
        Bach et al. 2015, PLoS ONE.
    """

    epsilon: Any = 1e-6

    main = Kind.SUM | Kind.ADD


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
        _check_epsilon(self.epsilon)

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
        _check_epsilon(self.epsilon)
        check_real("alpha", self.alpha, low=0.0)
        check_real("beta", self.beta, low=0.0)
        concrete = is_concrete(self.alpha) and is_concrete(self.beta)
        if concrete and not jnp.allclose(self.alpha - self.beta, 1.0):
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
        _check_epsilon(self.epsilon)
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
    `Zero`: gradient × input on networks of ReLUs without biases.

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
        _check_epsilon(self.epsilon)
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
