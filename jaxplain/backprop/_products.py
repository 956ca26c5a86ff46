"""Relevance rules for products, quotients and softmax: what transformers and gates are made of."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ..program._ops import Kind
from ..program._patterns import Exponential
from ..program._run import Call
from ._linear import check_epsilon
from ._passing import share_evenly
from ._rule import Arrays, Propagated, Rule, explained, fit, quotient


@dataclasses.dataclass(frozen=True)
class Product(Rule):
    r"""Products of active values: an equal share to each factor, each by LRP-ε.

    For $z = a \cdot b$, $R_a = \frac12 R$ and $R_b = \frac12 R$; for matrix products and
    convolutions between activations, $R_{a,ik} = \frac12 a_{ik} \sum_j b_{kj} R_{ij} / s(z_{ij})$.

    Args:
        detach: hold factors constant that come from sites of these kinds, and give the other
            factor everything: `Kind.SOFTMAX` for attention weights (CP-LRP), `Kind.ELEMENTWISE`
            for the gates of gated linear units. Where both factors are of these kinds, as in an
            LSTM, they share evenly. Static.
        epsilon: the stabiliser of matrix products, in units of the output; may be traced.

    Returns:
        A rule for products.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.lrp(lambda x: x[0] * x[1], jaxplain.rules.Product())(jnp.array([2.0, 3.0]))
        Array([3., 3.], dtype=float32)

    References:
        Achtibat et al. 2024, AttnLRP: attention-aware layer-wise relevance propagation for
        transformers, ICML. Arras et al. 2019 (gates held constant), LNCS 11700.
    """

    detach: Kind = dataclasses.field(default=Kind(0), metadata={"static": True})
    epsilon: Any = 1e-6

    kinds = Kind.PRODUCT
    linearize = True

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        (relevance,) = relevances
        shares = self._shares(call)
        if call.site.primitive == "mul":
            return Propagated(
                tuple(
                    fit(relevance * jnp.asarray(share, relevance.dtype), x)
                    for share, x in zip(shares, call.inputs, strict=True)
                )
            )
        if call.site.primitive in _MEMBERS:
            return Propagated((share_evenly(call, relevance),))
        (z,) = call.outputs
        q = quotient(relevance, z, self.epsilon).astype(z.dtype)
        assert call.pullback is not None
        return Propagated(
            tuple(
                x * pulled * jnp.asarray(share, x.dtype)
                for share, x, pulled in zip(shares, call.inputs, call.pullback((q,)), strict=True)
            )
        )

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        result = self.propagate(call, relevances)
        if call.site.primitive == "mul" or call.site.primitive in _MEMBERS:
            return result
        (relevance,), (z,) = relevances, call.outputs
        q = quotient(relevance, z, self.epsilon)
        return result._replace(stabilizer=relevance.astype(q.dtype) - explained(z, q))

    def _shares(self, call: Call) -> list[float]:
        """How much of the relevance each factor gets."""
        if len(call.inputs) == 1:
            # One value as both factors: the pullback counts it twice.
            return [1.0 if call.site.primitive == "mul" else 0.5]
        constant = [bool(origin & self.detach) for origin in call.site.origins]
        if any(constant) and not all(constant):
            return [0.0 if held else 1.0 for held in constant]
        return [0.5, 0.5]


# Products of all elements of an axis.
_MEMBERS = ("reduce_prod", "cumprod")


@dataclasses.dataclass(frozen=True)
class Numerator(Rule):
    r"""Quotients and powers of two active values: the first operand gets everything.

    For $z = a / b$, $R_a = R$ and $R_b = 0$.

    Returns:
        A rule for division.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.lrp(lambda x: x[0] / x[1], jaxplain.rules.Numerator())
        >>> explain(jnp.array([6.0, 3.0]))
        Array([2., 0.], dtype=float32)
    """

    kinds = Kind.DIVISION

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        first, *rest = call.inputs
        return Propagated((fit(relevances[0], first), *(jnp.zeros_like(x) for x in rest)))


@dataclasses.dataclass(frozen=True)
class Softmax(Rule):
    r"""Softmax, log-softmax and logsumexp by their Taylor expansion with a bias.

    $R_i = x_i \sum_j \frac{\partial y_j}{\partial x_i} \frac{R_j}{s(y_j)}$, for softmax
    $R_i = x_i (R_i - y_i \sum_j R_j)$, with $x$ the logits as they are before a maximum is
    subtracted; masked logits ($-\infty$) get nothing.

    Args:
        epsilon: the stabiliser of log-softmax and logsumexp; may be traced.

    Returns:
        A rule for softmax, log-softmax and logsumexp.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.softmax(x)[0]
        >>> jaxplain.lrp(f, jaxplain.rules.Softmax(), seed="one")(jnp.array([1.0, 1.0]))
        Array([ 0.5, -0.5], dtype=float32)

    Notes:
        A softmax absorbs relevance (its outputs sum to one whatever the logits), so
        explain logits rather than probabilities where conservation matters.

    References:
        Achtibat et al. 2024, AttnLRP, ICML.
    """

    epsilon: Any = 1e-6

    kinds = Kind.SOFTMAX | Kind.LOG_SOFTMAX | Kind.LOGSUMEXP

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        (relevance,), (y,), (x,) = relevances, call.outputs, call.inputs
        if not isinstance(call.site.form, Exponential):  # a cumulative logsumexp
            _, pullback = jax.vjp(lambda x: call.site((x,), call.operands)[0], x)
            return Propagated(
                (x * pullback(quotient(relevance, y, self.epsilon).astype(y.dtype))[0],)
            )
        axes = call.site.form.axes
        finite = jnp.where(jnp.isfinite(x), x, 0)
        if call.site.kind is Kind.SOFTMAX:
            total = jnp.sum(relevance, axis=axes, keepdims=True)
            return Propagated((finite * (relevance - y * total),))
        q = quotient(relevance, y, self.epsilon).astype(y.dtype)
        if call.site.kind is Kind.LOG_SOFTMAX:
            return Propagated((finite * (q - jnp.exp(y) * jnp.sum(q, axis=axes, keepdims=True)),))
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        return Propagated((finite * jax.nn.softmax(x, axis=axes) * q.reshape(kept),))
