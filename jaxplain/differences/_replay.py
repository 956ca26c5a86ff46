"""Replay a program of differences: every value that changes, at the input and at the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .. import _compat
from ..program import _calls
from ..program._ops import Kind
from ..program._sites import Grouped, Site
from ..program._trace import Equation, Value, is_literal
from ._evaluate import evaluate_site, is_choice, meet
from ._linear import PASSING
from ._pair import Pair, paired, reference_of, value_of
from ._rule import DifferenceRule

Rules = Mapping[Site, DifferenceRule]


def replay(grouped: Grouped, inputs: Sequence[Any], rules: Rules, taps: Any = None) -> list[Any]:
    """Evaluate the outputs of a program; `taps` gathers reports of the backward pass."""
    program = grouped.program
    values: dict[Any, Any] = dict(zip(program.inputs, inputs, strict=True))
    values.update(program.constants)
    parted = _parted(grouped, rules)

    def read(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for place, step in enumerate(grouped.steps):
        tap = None if taps is None else taps[place]
        results: Sequence[Any]
        if isinstance(step, Equation):
            results = _run_twice(step, [read(atom) for atom in step.inputs])
        elif step.kind is Kind.CALL:
            operands = [read(atom) for atom in step.equations[0].inputs]
            results = _run_call(grouped, step.equations[0], operands, rules, tap)
        else:
            results = evaluate_site(
                step,
                rules.get(step),
                [read(value) for value in step.inputs],
                [read(value) for value in step.operands],
                tap,
                chooses=is_choice(program, step),
                parted=step.outputs[0] in parted,
            )
        values.update(zip(step.outputs, results, strict=True))
    return [read(atom) for atom in program.outputs]


def _run_twice(equation: Equation, operands: Sequence[Any]) -> Sequence[Any]:
    """A step without a share of its own, at both ends where they differ."""
    results = equation.run([value_of(atom) for atom in operands])
    if not results or not any(isinstance(atom, Pair) for atom in operands):
        return results
    others = equation.run([reference_of(atom) for atom in operands])
    return [Pair(*ends) for ends in zip(results, others, strict=True)]


def _parted(grouped: Grouped, rules: Rules) -> set[Value]:
    """The values whose differences some rule wants in two parts."""
    found: set[Value] = set()
    for site in reversed(grouped.sites):
        rule = rules.get(site)
        wants = rule is not None and rule.parts
        if wants or (site.kind in PASSING and found.intersection(site.outputs)):
            found.update(site.inputs)
    return found


def _run_call(
    grouped: Grouped, equation: Equation, operands: list[Any], rules: Rules, taps: Any
) -> Sequence[Any]:
    """Call a loop, a branch or a checkpoint again on pairs."""
    bodies = grouped.bodies.get(equation, ())
    if not any(isinstance(operand, Pair) for operand in operands):
        return equation.run(operands)
    pairing = [grouped.program.is_dependent(value) for value in equation.outputs]

    def run(index: int, arguments: Sequence[Any], taps: Any) -> list[Any]:
        program = bodies[index].program
        given = _aligned(arguments, [program.is_dependent(value) for value in program.inputs])
        return _aligned(replay(bodies[index], given, rules, taps), pairing)

    def call(operands: list[Any]) -> list[Any]:
        return _calls.call(equation.eqn, operands, run, taps and taps["bodies"])

    if equation.primitive is not _compat.cond_p:
        flags = [bodies[0].program.is_dependent(value) for value in bodies[0].program.inputs]
        return call(_aligned(operands, flags))
    index, *rest = operands
    if not isinstance(index, Pair):
        return call([index, *rest])
    # Both branches may be taken: which one is a choice.
    chosen, other = (call([end, *rest]) for end in (index.value, index.reference))
    return meet(chosen, other, taps and taps["site"])


def _aligned(atoms: Sequence[Any], pairing: Sequence[bool]) -> list[Any]:
    """Pairs where there must be some, whatever this step made of them; parts stay outside."""
    return [
        paired(jax.tree.map(jnp.asarray, atom)) if pair else value_of(atom)
        for atom, pair in zip(atoms, pairing, strict=True)
    ]
