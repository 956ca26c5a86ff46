"""Activations, however they are spelled: the smallest steps with one value in and one value out.

`x * 0.5 * (1 + erf(x / sqrt(2)))` is one step from `x`, although `x` is used twice: every way from
the result back passes `x`, and everything between acts element by element. In the language of
graphs, `x` is the immediate dominator of the result.
"""

from __future__ import annotations

from ._chains import Effect, chain_to
from ._ops import Kind
from ._trace import Equation, Program, Value, is_literal, number_of


def entries(program: Program) -> dict[Value, Value]:
    """For each elementwise result the nearest single value that it is a function of."""
    entry: dict[Value, Value] = {}
    depth: dict[Value, int] = {}
    for equation in program.equations:
        found = _entry(program, equation, entry, depth)
        for value in equation.outputs:
            if found is None:
                depth[value] = 0
            else:
                entry[value], depth[value] = found, depth.get(found, 0) + 1
    return entry


def _entry(
    program: Program, equation: Equation, entry: dict[Value, Value], depth: dict[Value, int]
) -> Value | None:
    if not equation.op.pointwise or len(equation.outputs) != 1:
        return None
    operands = [atom for atom in equation.inputs if program.is_dependent(atom)]
    shape = equation.outputs[0].shape
    if not operands or any(operand.shape != shape for operand in operands):
        return None
    common: Value = operands[0]
    for operand in operands[1:]:
        met = _nearest_common(common, operand, entry, depth)
        if met is None:
            return None
        common = met
    return common


def _nearest_common(
    left: Value, right: Value, entry: dict[Value, Value], depth: dict[Value, int]
) -> Value | None:
    while left is not right:
        if depth.get(left, 0) < depth.get(right, 0):
            left, right = right, left
        if left not in entry:
            return None
        left = entry[left]
    return left


# What makes an activation of a run of elementwise steps.
_NONLINEAR = Kind.ELEMENTWISE | Kind.MAX | Kind.DIVISION


def spelled_entry(program: Program, entry_of: dict[Value, Value], value: Value) -> Value | None:
    """The entry of an activation, seen through numbers added between two of its steps.

    In `1 / (1 + exp(-x))` the addition belongs to the activation; a parameter would not.
    """
    entry = entry_of.get(value)
    while entry is not None and program.uses[entry] == 1:
        end, steps = chain_to(program, entry)
        inner = program.producer(end)
        effects = {step.effect for step in steps}
        if (
            Effect.SHIFT not in effects
            or Effect.MOVE in effects
            or inner is None
            or inner.op.kind not in _NONLINEAR
        ):
            break
        if end not in entry_of or program.uses[end] > 1:
            break
        if not all(_is_number(program, step.equation) for step in steps):
            break
        entry = entry_of[end]
    return entry


def chained_entry(program: Program, entry_of: dict[Value, Value], entry: Value) -> Value:
    """Where a chain of activations begins: `min(max(x, 0), 6)` is one function of `x`."""
    while program.uses[entry] == 1 and entry in entry_of:
        inner = program.producer(entry)
        if inner is None or inner.op.kind not in _NONLINEAR:
            break
        entry = entry_of[entry]
    return entry


def called_entry(program: Program, value: Value) -> Value | None:
    """The argument of the largest jitted activation that ends in `value` and adds a number inside.

    `jax.nn.hard_sigmoid(x)` is such a call. Where nothing is added, its steps pass relevance on
    one by one as the whole does.
    """
    for entry in reversed(program.spans.get(value, [])):
        steps = between(program, value, frozenset({entry}))
        kinds = [step.op.kind for step in steps]
        elementwise = all(
            step.op.pointwise and step.outputs[0].shape == entry.shape and _is_number(program, step)
            for step in steps
        )
        alone = all(
            atom is entry or program.producer(atom) in steps
            for step in steps
            for atom in step.inputs
            if program.is_dependent(atom)
        )
        if elementwise and alone and Kind.ADD in kinds and any(k in _NONLINEAR for k in kinds):
            return entry
    return None


def _is_number(program: Program, equation: Equation) -> bool:
    """Whether all that an equation reads beside dependent values are numbers in the code."""
    return all(
        program.is_dependent(atom) or number_of(program, atom) is not None
        for atom in equation.inputs
    )


def between(program: Program, value: Value, stops: frozenset[Value]) -> list[Equation]:
    """The dependent equations on all ways from `stops` to `value`, in the order of execution."""
    found: set[Equation] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if current in stops:
            continue
        equation = program.producers.get(current)
        if equation is None or equation in found:
            continue
        found.add(equation)
        waiting += [a for a in equation.inputs if not is_literal(a) and program.is_dependent(a)]
    return sorted(found, key=program.order.__getitem__)


# More values than this are not told apart: the number of coalitions doubles with each.
_MOST_PLAYERS = 5


def choosing(program: Program, value: Value) -> tuple[list[Equation], list[Value]] | None:
    """The steps and the active values that make an elementwise result, through truth values.

    In `where(a > b, c, d)` the comparison decides, so `a` and `b` are inputs like `c` and `d`.
    None where nothing is decided, or where it is not decided element by element.
    """
    found: set[Equation] = set()
    inputs: list[Value] = []
    waiting = [value]
    while waiting:
        equation = program.producer(waiting.pop())
        if equation is None or not equation.op.pointwise or len(equation.outputs) != 1:
            return None
        found.add(equation)
        for atom in filter(program.is_dependent, equation.inputs):
            if atom.shape != value.shape:
                return None
            if program.is_active(atom):
                inputs.append(atom)
            elif program.producer(atom) not in found:
                waiting.append(atom)
    inputs = list(dict.fromkeys(inputs))
    if len(found) == 1 or not 1 <= len(inputs) <= _MOST_PLAYERS:
        return None
    return sorted(found, key=program.order.__getitem__), inputs
