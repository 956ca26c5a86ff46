"""What a rule is: how the relevance of a site's outputs goes back to its inputs."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .._tree import wide
from ..program._ops import Kind
from ..program._run import Call
from ._base import BaseRule

Arrays = tuple[jax.Array, ...]


class Propagated(NamedTuple):
    """What a rule made of the relevance of a site's outputs.

    Args:
        inputs: a tuple with the relevance of each input, shaped like it.
        bias: absorbed by additive terms, an array of any shape, or None.
        stabilizer: absorbed by the stabiliser, an array of any shape, or None.
        weights: a tuple with the relevance of each weight, or None where it was not asked for.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain.rules import Propagated
        >>> Propagated((jnp.ones(2),)).bias is None
        True
    """

    inputs: Arrays
    bias: jax.Array | None = None
    stabilizer: jax.Array | None = None
    weights: Arrays | None = None


# What a ledger entry holds, in this order.
COLUMNS = ("received", "size", "distributed", "bias", "stabilizer")


class Rule(BaseRule):
    """A backward pass for sites of some kinds; subclass it to write a rule of your own.

    A rule is a frozen dataclass whose fields are numbers, which may be traced: `jax.vmap` over a
    field sweeps it. Static fields carry `metadata={"static": True}`.

    Returns:
        A rule, for use in a `Composite` or instead of one.

    Example:
        >>> import dataclasses, jax.numpy as jnp, jaxplain
        >>> from jaxplain.rules import Propagated, Rule
        >>> @dataclasses.dataclass(frozen=True)
        ... class Half(Rule):
        ...     kinds = jaxplain.Kind.ELEMENTWISE
        ...     def propagate(self, call, relevances):
        ...         return Propagated((0.5 * relevances[0],))
        >>> composite = jaxplain.rules.Composite([(jaxplain.Kind.ELEMENTWISE, Half())])
        >>> jaxplain.lrp(lambda x: jnp.exp(x[0]), composite, seed="one")(jnp.zeros(2))
        Array([0.5, 0. ], dtype=float32)

    Notes:
        `call.inputs`, `call.operands` and `call.outputs` are the numbers of the site, `call.site`
        says what it is, and `call.site.linear(call.inputs, call.operands)` shows a linear site as
        `linear(inputs, weights) + bias`. With the class attribute `linearize = True`,
        `call.pullback` is the site's own transposed derivative.
    """

    main: ClassVar[Kind] = Kind.AFFINE
    linearize: ClassVar[bool] = False

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        """The relevance of the inputs, from that of the outputs; what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__} has no propagate(call, relevances).")

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        """As `propagate`, and what was absorbed; the relevance of the weights if asked for."""
        return self.propagate(call, relevances)

    def backward(self, call: Call, cotangents: Arrays, tap: Any) -> tuple[Arrays, Any]:
        """What the engine calls: relevance in the dtype of the inputs, and the tap's report."""
        if tap is None:
            result = self.propagate(call, cotangents)
        else:
            result = self.account(call, cotangents, weights="weights" in tap)
        inputs = tuple(
            relevance.astype(x.dtype)
            for relevance, x in zip(result.inputs, call.inputs, strict=True)
        )
        return inputs, None if tap is None else _report(result, cotangents, tap)


def _report(result: Propagated, relevances: Arrays, tap: dict[str, Any]) -> dict[str, Any]:
    dtype = tap["ledger"].dtype
    parts = [
        [jnp.sum(r.astype(dtype)) for r in relevances],
        [jnp.sum(jnp.abs(r.astype(dtype))) for r in relevances],
        [jnp.sum(r.astype(dtype)) for r in result.inputs],
        [] if result.bias is None else [jnp.sum(result.bias.astype(dtype))],
        [] if result.stabilizer is None else [jnp.sum(result.stabilizer.astype(dtype))],
    ]
    ledger = jnp.stack([sum(part, jnp.zeros((), dtype)) for part in parts])
    report: dict[str, Any] = {"ledger": ledger, "relevance": relevances}
    if "weights" in tap:
        given = result.weights
        report["weights"] = (
            jax.tree.map(jnp.zeros_like, tap["weights"])
            if given is None
            else tuple(r.astype(t.dtype) for r, t in zip(given, tap["weights"], strict=True))
        )
    return report


def quotient(relevance: jax.Array, z: jax.Array, epsilon: Any) -> jax.Array:
    """`relevance / (z + epsilon * sgn(z))` with `sgn(0) = 1` and `0 / 0 = 0`.

    The derivative is finite too where the denominator vanishes.
    """
    dtype = max(wide(relevance.dtype), wide(z.dtype), key=lambda dtype: dtype.itemsize)
    relevance, z = relevance.astype(dtype), z.astype(dtype)
    epsilon = jnp.asarray(epsilon, dtype)
    denominator = z + jnp.where(z >= 0, epsilon, -epsilon)
    safe = jnp.where(denominator == 0, 1, denominator)
    return jnp.where(denominator == 0, 0, relevance / safe)


def explained(z: jax.Array, q: jax.Array) -> jax.Array:
    """`z * q` in the dtype of `q`, which is the wider."""
    return z.astype(q.dtype) * q


def fit(relevance: jax.Array, like: jax.Array) -> jax.Array:
    """Sum over the axes along which a value was broadcast."""
    if relevance.shape == like.shape:
        return relevance
    extra = relevance.ndim - like.ndim
    summed = jnp.sum(relevance, axis=tuple(range(extra)))
    stretched = [i for i, n in enumerate(like.shape) if n == 1 and summed.shape[i] != 1]
    return jnp.sum(summed, axis=tuple(stretched), keepdims=True)
