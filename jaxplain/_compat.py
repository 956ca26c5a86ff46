"""The only file that knows how JAX versions differ in what a jaxpr looks like."""

from __future__ import annotations

from typing import Any

import jax
from jax.extend import core

Literal = core.Literal


def bind(eqn: Any, *operands: Any) -> list[Any]:
    """Run one equation on new operands; always a list of results."""
    results = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
    return list(results) if eqn.primitive.multiple_results else [results]


def inlined(eqn: Any) -> Any:
    """The closed jaxpr of a `jax.jit` call, or None for any other equation."""
    return eqn.params["jaxpr"] if eqn.primitive is core.primitives.jit_p else None


def is_plain_convolution(eqn: Any) -> bool:
    """Whether the equation is `lax.conv_general_dilated` without groups."""
    if eqn.primitive is not jax.lax.conv_general_dilated_p:
        return False
    return bool(eqn.params["feature_group_count"] == eqn.params["batch_group_count"] == 1)
