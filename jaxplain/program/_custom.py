"""The derivative that a function's author gave it: `jax.custom_jvp` and `jax.custom_vjp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .. import _compat
from ._sites import Site
from ._trace import is_literal


def slope_of(site: Site, operands: Sequence[Any]) -> Callable[[jax.Array], jax.Array]:
    """The derivative of an elementwise site of one input, its author's where it is one whole call.

    `jax.nn.relu` has slope 0 at 0, for instance, the maximum in it one half.
    """

    function: Any = _whole_call(site) or (lambda x: site((x,), operands)[0])

    def slope(x: jax.Array) -> jax.Array:
        # Backwards: functions with a custom_vjp have no other derivative.
        outputs: Any
        outputs, pullback = jax.vjp(function, x)
        (derivative,) = pullback(jnp.ones_like(outputs))
        result: jax.Array = derivative.astype(outputs.dtype)
        return result

    return slope


def _whole_call(site: Site) -> Callable[[jax.Array], Any] | None:
    """The call with a derivative of its own that a site consists of, if it is one."""
    for call in site.equations[0].calls:
        inner = _compat.custom_call(call)
        if inner is None or len(call.invars) != 1 or _size(inner) != len(site.equations):
            continue
        if all(call in equation.calls for equation in site.equations):
            return lambda x: _compat.bind(call, x)[0]
    return None


def _size(closed: Any) -> int:
    """How many equations of a jaxpr depend on its inputs, calls opened."""
    dependent = set(closed.jaxpr.invars)
    count = 0
    for eqn in closed.jaxpr.eqns:
        if not dependent.intersection(v for v in eqn.invars if not is_literal(v)):
            continue
        dependent.update(eqn.outvars)
        inner = _compat.inlined(eqn) or _compat.custom_call(eqn)
        count += _size(inner) if inner else 1
    return count
