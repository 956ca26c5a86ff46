"""Activations, however they are spelled: the smallest steps with one value in and one value out.

`x * 0.5 * (1 + erf(x / sqrt(2)))` is one step from `x`, although `x` is used twice: every way from
the result back passes `x`, and everything between acts element by element. In the language of
graphs, `x` is the immediate dominator of the result.
"""

from __future__ import annotations

from ._trace import Equation, Program, Value, is_literal


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
