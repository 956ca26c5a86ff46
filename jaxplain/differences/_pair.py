"""Values with their references beside them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Pair(NamedTuple):
    """A value at the input and at the reference.

    `positive` is the positive part of the difference, where something asks for it. It is a primal
    of its own: the cotangent of `value` is the multiplier of the negative part, that of `positive`
    is by how much the multiplier of the positive part exceeds it.
    """

    value: Any
    reference: Any
    positive: Any = None


def paired(atom: Any) -> Pair:
    """A value that does not depend on the input is its own reference; parts are left behind."""
    if isinstance(atom, Pair):
        return Pair(atom.value, atom.reference)
    return Pair(atom, atom)


def value_of(atom: Any) -> Any:
    return atom.value if isinstance(atom, Pair) else atom


def reference_of(atom: Any) -> Any:
    return atom.reference if isinstance(atom, Pair) else atom


def positive_of(pair: Pair) -> jax.Array:
    """The positive part of a difference: by its sign, where it is not known in parts."""
    if pair.positive is not None:
        return jnp.asarray(pair.positive)
    change = pair.value - pair.reference
    part: jax.Array = share_above_zero(change) * change
    return part


def share_above_zero(change: jax.Array) -> jax.Array:
    """1 above zero, 0 below, one half at zero, where a change belongs to both parts alike."""
    share = jnp.where(change > 0, 1.0, jnp.where(change < 0, 0.0, 0.5))
    fixed: jax.Array = jax.lax.stop_gradient(share.astype(change.dtype))
    return fixed
