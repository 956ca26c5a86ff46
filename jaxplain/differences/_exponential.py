"""Softmax, log-softmax and logsumexp: exact, and blind to what is added to all logits."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from .._tree import precision, wide
from ..program._ops import Kind
from ..program._patterns import Exponential
from ._rule import Arrays, Change, DifferenceRule, Multiplied


@dataclasses.dataclass(frozen=True)
class LogMean(DifferenceRule):
    r"""Softmax and its relatives, by the logarithmic means of the probabilities.

    With $L_k = (p_k - p_k^0) / (\ln p_k - \ln p_k^0)$, logsumexp has the multipliers
    $q_k = L_k / \sum_l L_l$, since $\sum_k L_k (\Delta x_k - \Delta\mathrm{lse}) = \sum_k
    (p_k - p^0_k) = 0$; log-softmax has $m_{jk} = \delta_{jk} - q_k$ and softmax
    $m_{jk} = L_j (\delta_{jk} - q_k)$. They add up to the difference exactly, and the same number
    added to all logits has no part in it.

    Returns:
        A rule for `deeplift`: its default at softmax, log-softmax and logsumexp.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.deeplift(jax.nn.logsumexp)
        >>> explain(jnp.array([1.0, 1.0, 1.0])).round(4)
        Array([0.3333, 0.3333, 0.3333], dtype=float32)
    """

    kinds = main = Kind.SOFTMAX | Kind.LOG_SOFTMAX | Kind.LOGSUMEXP

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        (multiplier,), (x,), (reference,) = multipliers, change.inputs, change.references
        form = change.site.form
        if not isinstance(form, Exponential):
            return Multiplied((_cumulative(change, multiplier),))
        axes = form.axes
        means, shares = _means_and_shares(x, reference, axes)
        if change.site.kind is Kind.LOGSUMEXP:
            kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
            return Multiplied((shares * multiplier.reshape(kept).astype(shares.dtype),))
        pulled = multiplier.astype(shares.dtype)
        if change.site.kind is Kind.SOFTMAX:
            pulled = pulled * means
        return Multiplied((pulled - shares * jnp.sum(pulled, axis=axes, keepdims=True),))


def _means_and_shares(
    x: jax.Array, reference: jax.Array, axes: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """The logarithmic means $L$ of the probabilities, and $q = L / sum L$."""
    dtype = wide(x.dtype)
    log = jax.nn.log_softmax(x.astype(dtype), axis=axes)
    log_reference = jax.nn.log_softmax(reference.astype(dtype), axis=axes)
    apart = log - log_reference
    apart = jnp.where(jnp.isnan(apart), 0, apart)  # masked on both sides
    near = jnp.abs(apart) < jnp.cbrt(precision(dtype).eps)
    # Smooth where the probabilities meet, and without overflow where they are far apart.
    meeting = jnp.exp((log + log_reference) / 2) * (1 + apart * apart / 24)
    distance = jnp.where(near, 1, jnp.abs(apart))
    parting = jnp.exp(jnp.maximum(log, log_reference)) * -jnp.expm1(-distance) / distance
    means = jnp.where(near, meeting, parting)
    total = jnp.sum(means, axis=axes, keepdims=True)
    return means, means / jnp.where(total == 0, 1, total)


def _cumulative(change: Change, multiplier: jax.Array) -> jax.Array:
    """A cumulative logsumexp: one logsumexp for each length."""
    params = change.site.equations[0].eqn.params
    axis, backwards = params["axis"], params["reverse"]
    x, reference = (jnp.moveaxis(v, axis, -1) for v in (change.inputs[0], change.references[0]))
    seen = jnp.tri(x.shape[-1], dtype=bool)
    seen = seen.T if backwards else seen

    def spread(v: jax.Array) -> jax.Array:
        full = jnp.broadcast_to(v[..., None, :], (*v.shape[:-1], *seen.shape))
        return jnp.where(jnp.broadcast_to(seen, full.shape), full, -jnp.inf)

    _, shares = _means_and_shares(spread(x), spread(reference), (x.ndim,))
    given = jnp.moveaxis(multiplier, axis, -1).astype(shares.dtype)
    pulled = jnp.einsum("...j,...jk->...k", given, shares)
    return jnp.moveaxis(pulled, -1, axis)
