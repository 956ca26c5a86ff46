"""Relevance rules for activations, movement and maxima: relevance goes where values came from."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from .._tree import total
from ..program._ops import Kind
from ..program._run import Call
from ._rule import Arrays, Propagated, Rule, fit


@dataclasses.dataclass(frozen=True)
class Pass(Rule):
    r"""Relevance passes unchanged: $R_i = R_j$, element by element.

    Returns:
        A rule for activations, scaling, shifting and normalisation; the default of the first two.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.lrp(lambda x: jnp.tanh(x[0]), jaxplain.rules.Pass(), seed="one")(jnp.ones(2))
        Array([1., 0.], dtype=float32)

    References:
        Bach et al. 2015, PLoS ONE.
    """

    kinds = Kind.ELEMENTWISE | Kind.SCALE | Kind.SHIFT | Kind.NORMALIZATION | Kind.NAME

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        return Propagated((fit(relevances[0], call.inputs[0]),))


@dataclasses.dataclass(frozen=True)
class Follow(Rule):
    r"""Relevance follows the values: to where they came from, in a maximum to the winner.

    Returns:
        A rule for movement and maxima, and their default: the transposed derivative of the site.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> composite = jaxplain.rules.Composite([(jaxplain.Kind.MAX, jaxplain.rules.Follow())])
        >>> jaxplain.lrp(jnp.max, composite)(jnp.array([4.0, 2.0]))
        Array([4., 0.], dtype=float32)

    Notes:
        Of several equal maxima a pooling window takes the first, a reduction shares among all.
    """

    kinds = Kind.MOVEMENT | Kind.MAX | Kind.UNKNOWN
    linearize = True

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        assert call.pullback is not None
        return Propagated(call.pullback(relevances))

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        result = self.propagate(call, relevances)
        if call.site.kind is not Kind.MOVEMENT:
            return result
        # What came from constants stays with them, as with every additive term.
        lost = total(relevances) - total(result.inputs)
        return result._replace(bias=lost)


@dataclasses.dataclass(frozen=True)
class Stop(Rule):
    r"""No relevance passes: $R_i = 0$; what came in is absorbed.

    Returns:
        A rule for sites of all kinds, to hold them constant.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain.rules import Composite, Stop
        >>> gated = lambda x: jax.nn.sigmoid(x[0]) * x[1]
        >>> composite = Composite([(jaxplain.Kind.ELEMENTWISE, Stop())])
        >>> jaxplain.lrp(gated, composite, seed="one")(jnp.array([0.0, 2.0]))
        Array([0. , 0.5], dtype=float32)

    References:
        Ali et al. 2022, XAI for transformers: better explanations through conservative
        propagation, ICML.
    """

    kinds = ~Kind.CALL

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        return Propagated(tuple(jnp.zeros_like(x) for x in call.inputs))


@dataclasses.dataclass(frozen=True)
class Uniform(Rule):
    r"""Maxima as averages: every candidate of a maximum gets the same share.

    $R_i = \sum_j R_j / n_j$ over the windows $j$ that hold $i$, instead of all to the winner.

    Returns:
        A rule for `reduce_max`, max pooling and the maximum of two values.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> from jaxplain.rules import Composite, Uniform
        >>> composite = Composite([(jaxplain.Kind.MAX, Uniform())])
        >>> jaxplain.lrp(jnp.max, composite)(jnp.array([4.0, 2.0]))
        Array([2., 2.], dtype=float32)

    References:
        Bach et al. 2015, PLoS ONE.
    """

    kinds = Kind.MAX

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        (relevance,) = relevances
        if len(call.inputs) == 2:
            half = relevance * jnp.asarray(0.5, relevance.dtype)
            return Propagated(tuple(fit(half, x) for x in call.inputs))
        return Propagated((share_evenly(call, relevance),))


def share_evenly(call: Call, relevance: jax.Array) -> jax.Array:
    """The same share to each member of a window or an axis that is reduced."""
    (x,) = call.inputs
    counts, pullback = jax.vjp(lambda x: _sum_over_members(call, x), jnp.ones_like(x))
    result: jax.Array = pullback(relevance / counts)[0]
    return result


def _sum_over_members(call: Call, x: jax.Array) -> jax.Array:
    """The sum over what a maximum or a product is taken of."""
    params = call.site.equations[0].eqn.params
    if call.site.primitive in ("reduce_max", "reduce_min", "reduce_prod"):
        return jnp.sum(x, axis=tuple(params["axes"]))
    if call.site.primitive in ("cummax", "cummin", "cumprod"):
        return jax.lax.cumsum(x, **params)
    if call.site.primitive not in ("reduce_window_max", "reduce_window_min"):
        raise NotImplementedError(
            f"Uniform does not know the members of {call.site.primitive} at {call.site.source}: "
            "leave this site to the default, which follows the winner."
        )
    zero = np.zeros((), x.dtype)  # not traced: JAX looks at it to know that this is a sum
    summed: jax.Array = jax.lax.reduce_window(
        x,
        zero,
        jax.lax.add,
        params["window_dimensions"],
        params["window_strides"],
        params["padding"],
        params["base_dilation"],
        params["window_dilation"],
    )
    return summed
