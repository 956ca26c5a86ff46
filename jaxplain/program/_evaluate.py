"""Evaluate a program, or a part of it, equation by equation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax

from ._trace import Atom, Equation, Program, Value, is_literal


def _as_it_is(_: Any, value: Any) -> Any:
    return value


def _as_read(_: Any, __: Any, value: Any) -> Any:
    return value


def evaluate(
    program: Program,
    inputs: Sequence[Any],
    wanted: Sequence[Atom],
    *,
    given: Mapping[Value, Any] | None = None,
    run: Callable[[Equation, Sequence[Any]], Sequence[Any]] = Equation.run,
    made: Callable[[Value, Any], Any] = _as_it_is,
    seen: Callable[[Equation, Value, Any], Any] = _as_read,
    inside: int = 0,
) -> list[Any]:
    """The wanted values, by what they need and what has an effect, such as a debugging print.

    `given` values are taken instead of computed; `run` evaluates an equation; `made` may change
    a value for all, `seen` for one equation that reads it. `inside` counts the scopes that are
    open already.
    """
    given = given or {}
    values: dict[Value, Any] = {}

    def keep(value: Value, number: Any) -> None:
        values[value] = given[value] if value in given else made(value, number)

    def read(atom: Atom, equation: Equation) -> Any:
        return atom.val if is_literal(atom) else seen(equation, atom, values[atom])

    values.update(given)
    for value, number in (*zip(program.inputs, inputs, strict=True), *program.constants.items()):
        keep(value, number)
    for equation in _schedule(program, wanted, given):
        # In its scopes, so that the program keeps its names when it is traced again.
        scopes = equation.scopes[inside:]
        with jax.named_scope("/".join(scopes)) if scopes else nullcontext():
            results = run(equation, [read(atom, equation) for atom in equation.inputs])
            for value, result in zip(equation.outputs, results, strict=True):
                keep(value, result)
    return [atom.val if is_literal(atom) else values[atom] for atom in wanted]


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
