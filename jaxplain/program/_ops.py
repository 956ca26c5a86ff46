"""The table of primitives: what kind of step each one is, said once."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from .. import _compat


class Kind(enum.Flag):
    """What a site does, for choosing its rule. Kinds combine: `Kind.DENSE | Kind.CONV`.

    `AFFINE` stands for dense layers and convolutions, `LINEAR` for all steps that are affine in
    their active inputs.

    Example:
        >>> from jaxplain import Kind
        >>> Kind.CONV in Kind.AFFINE
        True
    """

    DENSE = enum.auto()  # dot_general with inactive weights, and the affine steps around it
    CONV = enum.auto()  # the same for a convolution
    SUM = enum.auto()  # sums, means, average pooling, cumulative sums, scatter-add
    SCALE = enum.auto()  # multiplication by inactive numbers
    SHIFT = enum.auto()  # addition of inactive numbers, with or without a scaling
    ADD = enum.auto()  # sum or difference of two active values
    PRODUCT = enum.auto()  # product of active values: elementwise, matrix, convolution
    DIVISION = enum.auto()  # quotient or power of two active values
    ELEMENTWISE = enum.auto()  # one value in, one out, element by element: activations
    MAX = enum.auto()  # maximum or minimum: pooling, reduction, of two values
    SOFTMAX = enum.auto()
    LOG_SOFTMAX = enum.auto()
    LOGSUMEXP = enum.auto()
    NORMALIZATION = enum.auto()  # LayerNorm, RMSNorm, GroupNorm: divided by a scale of its own
    MOVEMENT = enum.auto()  # reshape, slice, gather, concatenate, select: values follow
    NAME = enum.auto()  # checkpoint_name: nothing happens
    CALL = enum.auto()  # scan, cond, remat: programs inside
    UNKNOWN = enum.auto()  # not in the table
    AFFINE = DENSE | CONV
    LINEAR = DENSE | CONV | SUM | SCALE | SHIFT | ADD


class Sign(enum.Enum):
    """When a result is known to be non-negative."""

    UNKNOWN = enum.auto()
    ALWAYS = enum.auto()
    KEPT = enum.auto()  # if all operands are
    ANY = enum.auto()  # if one operand is


@dataclasses.dataclass(frozen=True)
class Op:
    """One line of the table."""

    kind: Kind
    sign: Sign = Sign.UNKNOWN
    pointwise: bool = False  # acts element by element, may be part of an activation


_TABLE: dict[Any, Op] = {}


def _declare(names: str, kind: Kind, sign: Sign = Sign.UNKNOWN, *, pointwise: bool = False) -> None:
    """Enter primitives by JAX's names; those that this version lacks are left out."""
    for primitive in _compat.primitives_named(names):
        _TABLE[primitive] = Op(kind, sign, pointwise)


_declare(
    "reshape transpose squeeze expand_dims broadcast_in_dim slice dynamic_slice gather concatenate "
    "pad rev dynamic_update_slice scatter sort top_k split stack unstack tile optimization_barrier "
    "sharding_constraint",
    Kind.MOVEMENT,
    Sign.KEPT,
)
_declare(
    "convert_element_type reduce_precision copy select_n",
    Kind.MOVEMENT,
    Sign.KEPT,
    pointwise=True,
)
_declare(
    "exp exp2 logistic abs square sqrt rsqrt cosh", Kind.ELEMENTWISE, Sign.ALWAYS, pointwise=True
)
_declare(
    "sin cos tan asin acos atan sinh tanh asinh acosh atanh erf erfc erf_inv lgamma digamma log "
    "log1p expm1 cbrt sign floor ceil round integer_pow clamp bessel_i0e bessel_i1e",
    Kind.ELEMENTWISE,
    pointwise=True,
)
_declare("neg", Kind.SCALE, pointwise=True)
_declare("add add_any add_jaxvals", Kind.ADD, Sign.KEPT, pointwise=True)
_declare("sub", Kind.ADD, pointwise=True)
_declare("mul", Kind.PRODUCT, Sign.KEPT, pointwise=True)
_declare("div pow", Kind.DIVISION, Sign.KEPT, pointwise=True)
_declare("rem atan2", Kind.DIVISION, pointwise=True)
_declare("max", Kind.MAX, Sign.ANY, pointwise=True)
_declare("min", Kind.MAX, Sign.KEPT, pointwise=True)
_declare("reduce_max reduce_min reduce_window_max reduce_window_min", Kind.MAX, Sign.KEPT)
_declare("cummax cummin scatter_max scatter_min", Kind.MAX, Sign.KEPT)
_declare("reduce_sum reduce_window_sum cumsum scatter_add", Kind.SUM, Sign.KEPT)
_declare("scatter_sub", Kind.SUM)
_declare("reduce_prod cumprod", Kind.PRODUCT, Sign.KEPT)
_declare("dot_general", Kind.DENSE, Sign.KEPT)
_declare("conv_general_dilated", Kind.CONV, Sign.KEPT)
_declare("cumlogsumexp", Kind.LOGSUMEXP)
_declare("name", Kind.NAME, Sign.KEPT)
_declare("scan cond while remat", Kind.CALL)
# Truth values and whole numbers carry no relevance, but stand inside activations.
_declare(
    "eq ne lt le gt ge and or xor not is_finite",
    Kind.ELEMENTWISE,
    pointwise=True,
)
_TABLE[_compat.stop_gradient_p] = Op(Kind.ELEMENTWISE, Sign.KEPT, pointwise=True)


def op_of(primitive: Any) -> Op:
    """The line of the table for a primitive; `Kind.UNKNOWN` where there is none."""
    return _TABLE.get(primitive, Op(Kind.UNKNOWN))


def register_op(primitive: Any, kind: Kind) -> None:
    """Tell jaxplain what kind of step a primitive of yours is.

    Args:
        primitive: a `jax.extend.core.Primitive` with a derivative (a JVP or transpose rule).
        kind: what it does: `Kind.ELEMENTWISE` for one value in and out element by element,
            `Kind.MOVEMENT` for rearranging, `Kind.SUM` for a linear map of one active operand,
            `Kind.MAX` for choosing, `Kind.PRODUCT` for a bilinear map.

    Returns:
        Nothing: the table of this process is changed.

    Raises:
        TypeError: `kind` is not one of the kinds that need nothing but the derivative.

    Example:
        >>> import jax, jaxplain
        >>> jaxplain.register_op(jax.lax.erf_p, jaxplain.Kind.ELEMENTWISE)

    Notes:
        Register before the model is explained: what is compiled already stays as it is.
    """
    allowed = Kind.ELEMENTWISE | Kind.MOVEMENT | Kind.SUM | Kind.MAX | Kind.PRODUCT
    if not isinstance(kind, Kind) or kind not in allowed:
        raise TypeError(
            f"register_op got kind={kind!r} for {primitive}: choose one of Kind.ELEMENTWISE, "
            "Kind.MOVEMENT, Kind.SUM, Kind.MAX, Kind.PRODUCT."
        )
    _TABLE[primitive] = Op(kind, pointwise=kind is Kind.ELEMENTWISE)
