"""Evaluate a program, or a part of it, equation by equation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax

from ._trace import Atom, Equation, Program, Value, is_literal


def evaluate(
    program: Program,
    inputs: Sequence[Any],
    wanted: Sequence[Atom],
    *,
    given: Mapping[Value, Any] | None = None,
    run: Callable[[Equation, Sequence[Any]], Sequence[Any]] = Equation.run,
) -> list[Any]:
    """The wanted values, by what they need and what has an effect, such as a debugging print.

    `given` values are taken instead of computed; `run` evaluates an equation.
    """
    given = given or {}
    values: dict[Value, Any] = dict(zip(program.inputs, inputs, strict=True))
    values.update(program.constants)
    values.update(given)

    def read(atom: Atom) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for equation in _schedule(program, wanted, given):
        # In its scopes, so that the program keeps its names when it is traced again.
        with jax.named_scope("/".join(equation.scopes)) if equation.scopes else nullcontext():
            results = run(equation, [read(atom) for atom in equation.inputs])
        for value, result in zip(equation.outputs, results, strict=True):
            values.setdefault(value, result)
    return [read(atom) for atom in wanted]


def _schedule(
    program: Program, wanted: Sequence[Atom], given: Mapping[Value, Any]
) -> list[Equation]:
    needed = {atom for atom in wanted if not is_literal(atom)} - given.keys()
    schedule = []
    for equation in reversed(program.equations):
        if equation.has_effect or needed.intersection(equation.outputs):
            schedule.append(equation)
            needed.update(a for a in equation.inputs if not is_literal(a) and a not in given)
    return schedule[::-1]
