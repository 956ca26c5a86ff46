"""Attention weights, recognised by what they do: a softmax over keys that weighs other values."""

from __future__ import annotations

import jax

from .. import _compat
from ._ops import Kind
from ._patterns import Exponential, match_exponential
from ._trace import Equation, Program, Value, body_of, is_literal

# What may stand between the softmax and the product: arranging, masking, dropout, casting.
_BETWEEN = Kind.MOVEMENT | Kind.NAME | Kind.PRODUCT | Kind.DIVISION


def attention_weights(program: Program) -> dict[Value, Equation]:
    """The attention weights of a program, and the equations that make them, in order."""
    readers: dict[Value, list[Equation]] = {}
    for equation in program.equations:
        for atom in equation.inputs:
            if not is_literal(atom):
                readers.setdefault(atom, []).append(equation)
    return {
        equation.outputs[0]: equation
        for equation in program.equations
        if len(equation.outputs) == 1
        and len(equation.outputs[0].shape) >= 2
        and _is_softmax(program, equation)
        and _weighs(program, equation.outputs[0], readers)
    }


def _is_softmax(program: Program, equation: Equation) -> bool:
    """Whether it is the last step of a softmax, or a call of a function that is one."""
    value = equation.outputs[0]
    if not program.is_dependent(value):
        return False
    if (body := body_of(program, equation)) is not None:
        program, value = body, body.outputs[0]
        if is_literal(value):
            return False
    found = match_exponential(program, value)
    if found is None or found[0] is not Kind.SOFTMAX or not isinstance(found[2], Exponential):
        return False
    return found[2].axes == (len(value.shape) - 1,)


def _weighs(program: Program, value: Value, readers: dict[Value, list[Equation]]) -> bool:
    """Whether it goes into a matrix product with another value that depends on the input."""
    for equation in readers.get(value, []):
        if equation.primitive is jax.lax.dot_general_p:
            if _has_queries(equation, value) and all(map(program.is_dependent, equation.inputs)):
                return True
        elif _only_carries(program, equation) and _weighs(program, equation.outputs[0], readers):
            return True
    return False


def _has_queries(equation: Equation, weights: Value) -> bool:
    """Whether each of several queries takes its own sum: an axis of the weights remains.

    The gates of experts have none: each token weighs what was computed for it alone.
    """
    contracted, batch = equation.eqn.params["dimension_numbers"]
    side = equation.inputs.index(weights)
    return len(weights.shape) > len(contracted[side]) + len(batch[side])


def _only_carries(program: Program, equation: Equation) -> bool:
    """Whether the equation arranges or masks one dependent value."""
    if equation.primitive is _compat.stop_gradient_p:
        return True
    dependent = [atom for atom in equation.inputs if program.is_dependent(atom)]
    return len(equation.outputs) == len(dependent) == 1 and equation.op.kind in _BETWEEN
