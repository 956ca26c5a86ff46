"""The only file that knows how JAX versions differ in what a jaxpr looks like."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core, source_info_util
from jax.extend.core import primitives

Literal = core.Literal


def primitive(name: str) -> Any:
    """The primitive that JAX exports as `name_p`, or None where this version has none."""
    exported = f"{name}_p"
    return getattr(jax.lax, exported, None) or getattr(primitives, exported, None)


def primitives_named(names: str) -> frozenset[Any]:
    """Those of the primitives that this version has."""
    return frozenset(filter(None, map(primitive, names.split())))


# JAX exports no name for it; it is what `jax.lax.stop_gradient` leaves in a jaxpr.
stop_gradient_p = jax.make_jaxpr(jax.lax.stop_gradient)(np.zeros((), np.float32)).eqns[0].primitive
name_p = primitives.name_p
select_and_scatter_add_p = primitives.select_and_scatter_add_p
scan_p, cond_p, while_p, remat_p = (
    primitives.scan_p,
    primitives.cond_p,
    primitives.while_p,
    primitives.remat_p,
)


def bind(eqn: Any, *operands: Any) -> list[Any]:
    """Run one equation on new operands; always a list of results."""
    results = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
    return list(results) if eqn.primitive.multiple_results else [results]


def shielded(values: Any) -> Any:
    """A tree of the same values; the compiler does not look at what they are."""
    barrier: Any = jax.lax.optimization_barrier
    return barrier(values)


def inlined(eqn: Any) -> Any:
    """The closed jaxpr of a `jax.jit` call, or None for any other equation."""
    return closed(eqn.params["jaxpr"]) if eqn.primitive is primitives.jit_p else None


def custom_call(eqn: Any) -> Any:
    """The closed jaxpr of a `custom_jvp` or `custom_vjp` function, or None."""
    if eqn.primitive in (primitives.custom_jvp_call_p, primitives.custom_vjp_call_p):
        return closed(eqn.params["call_jaxpr"])
    return None


def inner_jaxprs(eqn: Any) -> list[Any]:
    """The jaxprs that an equation calls: bodies of loops, branches, functions."""
    parameters = jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "jaxpr"))
    inner = [getattr(parameter, "jaxpr", parameter) for parameter in parameters]
    return [jaxpr for jaxpr in inner if hasattr(jaxpr, "eqns")]


def batch_of(value: Any) -> int:
    """How many values a tracer of `jax.vmap` stands for; 1 for anything else."""
    count = 1
    while isinstance(value, jax.core.Tracer):
        axis = getattr(value, "batch_dim", None)
        inner: Any = getattr(value, "val", getattr(value, "primal", None))
        count *= np.shape(inner)[axis] if isinstance(axis, int) else 1
        value = inner
    return count


def closed(jaxpr: Any) -> Any:
    """A jaxpr with its constants; older versions keep some jaxprs without."""
    return jaxpr if hasattr(jaxpr, "consts") else core.ClosedJaxpr(jaxpr, ())


class Scan(NamedTuple):
    """What a scan equation says."""

    body: Any
    constants: int
    carry: int
    length: int
    reverse: bool
    unroll: Any


def read_scan(eqn: Any) -> Scan:
    """The parameters of a `jax.lax.scan` equation."""
    params = eqn.params
    if "num_consts" in params:
        constants, carry = params["num_consts"], params["num_carry"]
    else:
        constants, carry, _ = (len(part) for part in params["ft_in"].unpack())
    return Scan(
        closed(params["jaxpr"]),
        constants,
        carry,
        params["length"],
        params["reverse"],
        params["unroll"],
    )


def scopes(eqn: Any) -> tuple[str, ...]:
    """The named scopes around an equation, outermost first, without `vmap(...)` and the like."""
    stack = eqn.source_info.name_stack.stack
    names = [entry.name for entry in stack if type(entry).__name__ == "Scope"]
    return tuple(part for name in names for part in str(name).split("/") if part)


def source_line(eqn: Any) -> str:
    """The user's line that made an equation: `file.py:12 (function)`."""
    for frame in getattr(eqn.source_info.traceback, "frames", ()):
        if not frame.file_name.startswith(_LIBRARIES):
            return f"{frame.file_name}:{frame.line_num} ({frame.function_name})"
    return str(source_info_util.summarize(eqn.source_info))


_PACKAGES = os.path.dirname(os.path.dirname(jax.__file__))
_LIBRARIES = (
    *(os.path.join(_PACKAGES, name) + os.sep for name in ("jax", "flax", "optax", "chex")),
    os.path.dirname(__file__) + os.sep,
)


def is_plain_convolution(eqn: Any) -> bool:
    """Whether the equation is `lax.conv_general_dilated` without groups."""
    if eqn.primitive is not jax.lax.conv_general_dilated_p:
        return False
    return bool(eqn.params["feature_group_count"] == eqn.params["batch_group_count"] == 1)
