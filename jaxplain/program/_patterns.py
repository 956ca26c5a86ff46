"""Softmax and normalisation, recognised by what depends on what, not by how they are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

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


_MOVES = frozenset(
    filter(
        None,
        map(
            _compat.primitive,
            ("reshape", "broadcast_in_dim", "squeeze", "expand_dims", "convert_element_type"),
        ),
    )
)
_ARRANGING = _MOVES | {_compat.primitive("transpose")}
# What may stand between a value and its maximum on the way to being subtracted.
_SHIFT = _MOVES | {
    jax.lax.reduce_max_p,
    jax.lax.max_p,
    jax.lax.select_n_p,
    jax.lax.is_finite_p,
    _compat.stop_gradient_p,
    _compat.primitive("transpose"),
}
_ROOTS = frozenset({jax.lax.rsqrt_p, jax.lax.sqrt_p, jax.lax.pow_p, jax.lax.integer_pow_p})
_SUMS = frozenset({jax.lax.reduce_sum_p, jax.lax.dot_general_p, jax.lax.reduce_window_sum_p})


def _one(equation: Equation | None, *primitives: object) -> bool:
    return equation is not None and equation.primitive in primitives


def _through(program: Program, atom: Atom, primitives: Iterable[object]) -> Atom:
    """Walk back over unary steps of the given primitives."""
    while (equation := program.producer(atom)) is not None and equation.primitive in primitives:
        atom = equation.inputs[0]
    return atom


def _unshifted(program: Program, value: Value) -> tuple[Value, Value | None]:
    """`x` and its subtracted maximum, if `value` is `x - max(x)`; else `value` itself."""
    equation = program.producer(value)
    if equation is not None and equation.primitive is jax.lax.sub_p:
        x, shift = equation.inputs
        if not program.is_dependent(x):
            return value, None
        arranged = _through(program, x, _ARRANGING)
        for root in dict.fromkeys((x, arranged)):
            if _depends_only_on(program, shift, root, _SHIFT.__contains__):
                return x, shift
    return value, None


def _depends_only_on(
    program: Program, atom: Atom, root: Value, allowed: Callable[[object], bool]
) -> bool:
    """Whether `atom` depends on `root`, on nothing else, and through allowed primitives alone."""
    if not (program.is_dependent(atom) and program.is_dependent(root)):
        return False
    steps = between(program, atom, frozenset({root}))
    made = {value for step in steps for value in step.outputs}
    outside = [
        operand
        for step in steps
        for operand in step.inputs
        if program.is_dependent(operand) and operand not in made
    ]
    return (
        bool(outside)
        and all(value is root for value in outside)
        and all(allowed(step.primitive) for step in steps)
    )


def _sum_of_exponentials(program: Program, atom: Atom) -> tuple[Value, Equation] | None:
    """The argument of the exponential and the sum, if `atom` is a sum of exponentials."""
    total = program.producer(_through(program, atom, _MOVES))
    if not _one(total, jax.lax.reduce_sum_p):
        return None
    assert total is not None
    exponential = program.producer(_through(program, total.inputs[0], _MOVES))
    if not _one(exponential, jax.lax.exp_p):
        return None
    assert exponential is not None
    return exponential.inputs[0], total


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
    top = program.producer(numerator)
    if found is None or not _one(top, jax.lax.exp_p):
        return None
    argument, total = found
    assert top is not None
    if not _equal(program, top.inputs[0], argument):
        return None
    return _found(program, Kind.SOFTMAX, *_unshifted(program, argument), total)


def _log_softmax(program: Program, equation: Equation) -> Found | None:
    shifted, log = equation.inputs
    logarithm = program.producer(_through(program, log, _MOVES))
    if not _one(logarithm, jax.lax.log_p):
        return None
    assert logarithm is not None
    found = _sum_of_exponentials(program, logarithm.inputs[0])
    if found is None or found[0] is not shifted:
        return None
    return _found(program, Kind.LOG_SOFTMAX, *_unshifted(program, shifted), found[1])


def _logsumexp(program: Program, equation: Equation) -> Found | None:
    for log, shift in (
        [equation.inputs, equation.inputs[::-1]]
        if len(equation.inputs) == 2
        else [(equation.outputs[0], None)]
    ):
        logarithm = program.producer(_through(program, log, _MOVES))
        if not _one(logarithm, jax.lax.log_p):
            continue
        assert logarithm is not None
        inside = _through(program, logarithm.inputs[0], {jax.lax.abs_p})
        found = _sum_of_exponentials(program, inside)
        if found is None:
            continue
        x, maximum = _unshifted(program, found[0])
        if shift is None:
            return _found(program, Kind.LOGSUMEXP, found[0], None, found[1])
        if maximum is not None and _same_shift(program, maximum, shift):
            return _found(program, Kind.LOGSUMEXP, x, maximum, found[1])
    return None


def _same_shift(program: Program, left: Atom, right: Atom) -> bool:
    return _through(program, left, _MOVES) is _through(program, right, _MOVES)


def _found(
    program: Program, kind: Kind, x: Value, shift: Value | None, total: Equation
) -> Found | None:
    if not program.is_active(x) or x.shape != total.inputs[0].shape:
        return None
    axes = tuple(int(axis) for axis in total.eqn.params["axes"])
    foreign = shift is not None and not _depends_only_on(program, shift, x, _SHIFT.__contains__)
    return kind, x, Exponential(axes, (shift,) if foreign and shift is not None else ())


def match_normalization(program: Program, value: Value) -> Found | None:
    """A value divided by a scale of its own, with the inactive affine steps after it."""
    end, _ = chain_to(program, value)
    equation = program.producer(end)
    if not _one(equation, jax.lax.mul_p, jax.lax.div_p) or not program.is_active(end):
        return None
    assert equation is not None
    left, right = equation.inputs
    pairs = [(left, right)]
    if equation.primitive is jax.lax.mul_p:
        pairs.append((right, left))
    for data, scale in pairs:
        if program.is_active(data) and program.is_active(scale):
            for root in _roots(program, data):
                if _is_scale(program, scale, root):
                    return Kind.NORMALIZATION, root, Normalization(scale)
    return None


def _roots(program: Program, data: Value) -> list[Value]:
    """What the scale may be taken of: `u` if the data are `u - mean(u)`, or the data themselves."""
    candidates = [data]
    equation = program.producer(data)
    if equation is not None and equation.primitive is jax.lax.sub_p:
        u, mean = equation.inputs
        if not program.is_active(u):
            return candidates
        # RMSNorm of Flax subtracts zeros.
        constant = not program.is_dependent(mean)
        if constant or _depends_only_on(program, mean, u, _is_mean_step):
            candidates.insert(0, u)
    elif equation is not None and equation.primitive in _MOVES:
        candidates.append(_through(program, data, _MOVES))
    return candidates


def _is_mean_step(primitive: object) -> bool:
    return primitive in _MOVES or primitive in (
        jax.lax.reduce_sum_p,
        jax.lax.div_p,
        jax.lax.mul_p,
        _compat.primitive("transpose"),
    )


def _is_scale(program: Program, scale: Value, root: Value) -> bool:
    """Whether a value is a root of a sum over `root`, such as a standard deviation or a norm."""
    steps = between(program, scale, frozenset({root}))
    made = {value for step in steps for value in step.outputs}
    for step in steps:
        for operand in step.inputs:
            if program.is_dependent(operand) and operand not in made and operand is not root:
                return False
    kinds = Kind.MOVEMENT | Kind.ELEMENTWISE | Kind.LINEAR | Kind.PRODUCT | Kind.DIVISION | Kind.MAX
    if not all(step.op.kind in kinds for step in steps):
        return False
    # A layer inside makes it a gate, not a scale.
    if any(_has_weights(program, step) for step in steps):
        return False
    primitives = {step.primitive for step in steps}
    return bool(primitives & _ROOTS - {jax.lax.integer_pow_p}) and bool(primitives & _SUMS)


def _has_weights(program: Program, step: Equation) -> bool:
    if step.op.kind not in Kind.AFFINE:
        return False
    return sum(map(program.is_active, step.inputs)) == 1
