"""LRP-ε and its relatives: relevance in proportion to signed contributions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ..program._ops import Kind
from ..program._run import Call
from ._linear import check_epsilon, products
from ._rule import Arrays, Propagated, Rule, explained, quotient


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
        check_epsilon(self.epsilon)

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        (relevance,), (z,) = relevances, call.outputs
        q = quotient(relevance, z, self.epsilon).astype(z.dtype)
        assert call.pullback is not None
        return Propagated(products(call.inputs, call.pullback((q,))))

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
            result = result._replace(weights=products(view.weights, shares))
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
