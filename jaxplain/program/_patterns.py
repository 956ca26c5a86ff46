"""Softmax and normalisation, recognised by what depends on what, not by how they are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import jax

from .. import _compat
from ._chains import chain_to
from ._clusters import between
from ._ops import Kind
from ._trace import Atom, Equation, Program, Value, is_literal


@dataclasses.dataclass(frozen=True, eq=False)
class Exponential:
    """The form of a softmax, log-softmax or logsumexp site: the axes it sums over.

    `shift` holds the subtracted maximum where it is computed from another arrangement of the
    input, as batching does; then it is an operand, and not computed again.
    """

    axes: tuple[int, ...]
    shift: tuple[Value, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Normalization:
    """The form of a normalisation site: the scale statistic that the rest is divided by."""

    scale: Value


_MOVES = _compat.primitives_named(
    "reshape broadcast_in_dim squeeze expand_dims convert_element_type"
)
_ARRANGING = _MOVES | {jax.lax.transpose_p}
# What may stand between a value and its maximum on the way to being subtracted.
_SHIFT = _ARRANGING | {
    jax.lax.reduce_max_p,
    jax.lax.max_p,
    jax.lax.select_n_p,
    jax.lax.is_finite_p,
    _compat.stop_gradient_p,
}
_MEAN = _ARRANGING | {jax.lax.reduce_sum_p, jax.lax.div_p, jax.lax.mul_p}
_ROOTS = frozenset({jax.lax.rsqrt_p, jax.lax.sqrt_p, jax.lax.pow_p})
_SUMS = frozenset({jax.lax.reduce_sum_p, jax.lax.dot_general_p, jax.lax.reduce_window_sum_p})


def _made_by(program: Program, atom: Atom, *primitives: object) -> Equation | None:
    """The equation that computes a value, if it is one of the given primitives."""
    equation = program.producer(atom)
    return equation if equation is not None and equation.primitive in primitives else None


def _through(program: Program, atom: Atom, primitives: Iterable[object]) -> Atom:
    """Walk back over unary steps of the given primitives."""
    while (equation := program.producer(atom)) is not None and equation.primitive in primitives:
        atom = equation.inputs[0]
    return atom


def _unshifted(program: Program, value: Value) -> tuple[Value, Value | None]:
    """`x` and its subtracted maximum, if `value` is `x - max(x)`; else `value` itself."""
    difference = _made_by(program, value, jax.lax.sub_p)
    if difference is None or not program.is_dependent(difference.inputs[0]):
        return value, None
    x, shift = difference.inputs
    for root in dict.fromkeys((x, _through(program, x, _ARRANGING))):
        if _depends_only_on(program, shift, root, _SHIFT):
            return x, shift
    return value, None


def _path(program: Program, atom: Atom, root: Value) -> list[Equation] | None:
    """The equations from `root` to `atom`, if `atom` depends on `root` and on nothing else."""
    if not (program.is_dependent(atom) and program.is_dependent(root)):
        return None
    steps = between(program, atom, frozenset({root}))
    made = {value for step in steps for value in step.outputs}
    outside = {
        operand
        for step in steps
        for operand in step.inputs
        if program.is_dependent(operand) and operand not in made
    }
    return steps if outside == {root} else None


def _depends_only_on(program: Program, atom: Atom, root: Value, allowed: frozenset[object]) -> bool:
    """Whether `atom` depends on `root`, on nothing else, and through allowed primitives alone."""
    steps = _path(program, atom, root)
    return steps is not None and all(step.primitive in allowed for step in steps)


def _sum_of_exponentials(program: Program, atom: Atom) -> tuple[Value, Equation] | None:
    """The argument of the exponential and the sum, if `atom` is a sum of exponentials."""
    total = _made_by(program, _through(program, atom, _MOVES), jax.lax.reduce_sum_p)
    if total is None:
        return None
    summand = _through(program, total.inputs[0], _MOVES)
    exponential = _made_by(program, summand, jax.lax.exp_p)
    return None if exponential is None else (exponential.inputs[0], total)


def _equal(program: Program, left: Atom, right: Atom, depth: int = 8) -> bool:
    """Whether two values are computed in the same way from the same values."""
    if left is right:
        return True
    one, other = program.producer(left), program.producer(right)
    if one is None or other is None or not depth or one.primitive is not other.primitive:
        return is_literal(left) and is_literal(right) and bool(left.val == right.val)
    return (
        len(one.inputs) == len(other.inputs)
        and str(one.eqn.params) == str(other.eqn.params)
        and all(
            _equal(program, a, b, depth - 1) for a, b in zip(one.inputs, other.inputs, strict=True)
        )
    )


Found = tuple[Kind, Value, "Exponential | Normalization"]


def match_exponential(program: Program, value: Value) -> Found | None:
    """Softmax, log-softmax or logsumexp ending in `value`: kind, input and axes."""
    equation = program.producer(value)
    if equation is None:
        return None
    if equation.primitive is jax.lax.div_p:
        return _softmax(program, equation)
    if equation.primitive is jax.lax.sub_p:
        return _log_softmax(program, equation)
    if equation.primitive in (jax.lax.add_p, jax.lax.log_p):
        return _logsumexp(program, equation)
    return None


def _softmax(program: Program, equation: Equation) -> Found | None:
    numerator, denominator = equation.inputs
    found = _sum_of_exponentials(program, denominator)
    top = _made_by(program, numerator, jax.lax.exp_p)
    if found is None or top is None or not _equal(program, top.inputs[0], found[0]):
        return None
    return _found(program, Kind.SOFTMAX, *_unshifted(program, found[0]), found[1])


def _log_of_sum(program: Program, atom: Atom) -> tuple[Value, Equation] | None:
    """The argument of the exponential and the sum, if `atom` is the logarithm of such a sum."""
    logarithm = _made_by(program, _through(program, atom, _MOVES), jax.lax.log_p)
    if logarithm is None:
        return None
    return _sum_of_exponentials(program, _through(program, logarithm.inputs[0], {jax.lax.abs_p}))


def _log_softmax(program: Program, equation: Equation) -> Found | None:
    shifted, log = equation.inputs
    found = _log_of_sum(program, log)
    if found is None or found[0] is not shifted:
        return None
    return _found(program, Kind.LOG_SOFTMAX, *_unshifted(program, shifted), found[1])


def _logsumexp(program: Program, equation: Equation) -> Found | None:
    if equation.primitive is jax.lax.log_p:  # no maximum was subtracted
        found = _log_of_sum(program, equation.outputs[0])
        return None if found is None else _found(program, Kind.LOGSUMEXP, found[0], None, found[1])
    for log, shift in (equation.inputs, equation.inputs[::-1]):
        found = _log_of_sum(program, log)
        x, maximum = (None, None) if found is None else _unshifted(program, found[0])
        if found and maximum is not None and _same_shift(program, maximum, shift):
            return _found(program, Kind.LOGSUMEXP, x, maximum, found[1])
    return None


def _same_shift(program: Program, left: Atom, right: Atom) -> bool:
    return _through(program, left, _MOVES) is _through(program, right, _MOVES)


def _found(
    program: Program, kind: Kind, x: Value | None, shift: Value | None, total: Equation
) -> Found | None:
    if x is None or not program.is_active(x) or x.shape != total.inputs[0].shape:
        return None
    axes = tuple(int(axis) for axis in total.eqn.params["axes"])
    foreign = () if shift is None or _depends_only_on(program, shift, x, _SHIFT) else (shift,)
    return kind, x, Exponential(axes, foreign)


def match_normalization(program: Program, value: Value) -> Found | None:
    """A value divided by a scale of its own, with the inactive affine steps after it."""
    end, _ = chain_to(program, value)
    found = scaling(program, end)
    return None if found is None else (Kind.NORMALIZATION, found.root, Normalization(found.scale))


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """Data that are divided by a scale of their own, or multiplied by its inverse."""

    root: Value  # what the scale is taken of
    data: Value
    scale: Value


def scaling(program: Program, value: Value) -> Scaling | None:
    """The division of data by a scale of their own, if that is what computes `value`."""
    equation = _made_by(program, value, jax.lax.mul_p, jax.lax.div_p)
    if equation is None:
        return None
    pairs = [equation.inputs]
    if equation.primitive is jax.lax.mul_p:
        pairs.append(equation.inputs[::-1])
    for data, scale in pairs:
        if program.is_active(data) and program.is_active(scale):
            for root in _roots(program, data):
                if _is_scale(program, scale, root):
                    return Scaling(root, data, scale)
    return None


def _roots(program: Program, data: Value) -> list[Value]:
    """What the scale may be taken of: `u` if the data are `u - mean(u)`, or the data themselves."""
    difference = _made_by(program, data, jax.lax.sub_p)
    if difference is None:
        return list(dict.fromkeys((data, _through(program, data, _MOVES))))
    u, mean = difference.inputs
    # RMSNorm of Flax subtracts zeros.
    centred = not program.is_dependent(mean) or _depends_only_on(program, mean, u, _MEAN)
    return [u, data] if program.is_active(u) and centred else [data]


def _is_scale(program: Program, scale: Value, root: Value) -> bool:
    """Whether a value is a root of a sum over `root`, such as a standard deviation or a norm."""
    steps = _path(program, scale, root)
    if steps is None:
        return False
    kinds = Kind.MOVEMENT | Kind.ELEMENTWISE | Kind.LINEAR | Kind.PRODUCT | Kind.DIVISION | Kind.MAX
    # A layer inside makes it a gate, not a scale.
    if any(step.op.kind not in kinds or _has_weights(program, step) for step in steps):
        return False
    primitives = {step.primitive for step in steps}
    return bool(primitives & _ROOTS) and bool(primitives & _SUMS)


def _has_weights(program: Program, step: Equation) -> bool:
    return step.op.kind in Kind.AFFINE and sum(map(program.is_active, step.inputs)) == 1
