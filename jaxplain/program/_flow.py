"""What flows along the sites: how deep they lie, which come first and last, and signs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ._calls import carried
from ._chains import Effect
from ._layers import Layer
from ._ops import Kind, Sign
from ._sites import Grouped, Site
from ._trace import Atom, Equation, Value, is_float, is_literal


@dataclasses.dataclass(frozen=True)
class Fact:
    """What is known of a value."""

    depth: int = 0  # affine layers before it
    origin: Kind = Kind(0)  # kind of the site that made it, seen through movement and scaling
    nonnegative: bool = False


Facts: TypeAlias = Mapping[Any, Fact]


def annotate(grouped: Grouped) -> Grouped:
    """The same sites with `depth`, `first`, `last`, `origins` and `nonnegative` filled in."""
    forward, _ = _forward(grouped, [Fact()] * len(grouped.program.inputs))
    return _backward(forward, [False] * len(grouped.program.outputs))[0]


_SEEN_THROUGH = Kind.MOVEMENT | Kind.SCALE | Kind.SHIFT | Kind.NAME


def _forward(grouped: Grouped, inputs: Sequence[Fact]) -> tuple[Grouped, list[Fact]]:
    facts: dict[Value, Fact] = dict(zip(grouped.program.inputs, inputs, strict=True))
    steps: list[Site | Equation] = []
    bodies = dict(grouped.bodies)
    for step in grouped.steps:
        if isinstance(step, Equation):
            nonnegative = _is_nonnegative(step, facts)
            facts.update((value, Fact(nonnegative=nonnegative)) for value in step.outputs)
            steps.append(step)
            continue
        given = [facts.get(value, Fact()) for value in step.inputs]
        site = dataclasses.replace(
            step,
            depth=max((fact.depth for fact in given), default=0),
            first=all(fact.depth == 0 for fact in given),
            origins=tuple(fact.origin for fact in given),
            nonnegative=tuple(fact.nonnegative and _keeps_sign(step, facts) for fact in given),
        )
        steps.append(site)
        equation = site.equations[0]
        if site.kind is Kind.CALL and equation in bodies:
            by_place = [_fact_of(atom, facts) for atom in equation.inputs]
            bodies[equation], results = _through_call(equation, bodies[equation], by_place)
            facts.update(zip(equation.outputs, results, strict=True))
            continue
        depth = site.depth + (site.kind in Kind.AFFINE)
        origin = given[0].origin if site.kind in _SEEN_THROUGH and given else site.kind
        nonnegative = _site_nonnegative(site, facts)
        facts.update((value, Fact(depth, origin, nonnegative)) for value in site.outputs)
    results = [_fact_of(atom, facts) for atom in grouped.program.outputs]
    return Grouped(grouped.program, tuple(steps), bodies), results


def _through_call(
    equation: Equation, bodies: tuple[Grouped, ...], operands: Sequence[Fact]
) -> tuple[tuple[Grouped, ...], list[Fact]]:
    inner = operands[len(operands) - len(bodies[0].program.inputs) :]
    loop = carried(equation.eqn)
    if loop:
        # What comes around is as deep as the body makes it, and of unknown sign.
        _, once = _forward(bodies[0], [dataclasses.replace(f, nonnegative=False) for f in inner])
        inner = list(inner)
        for place, result in loop:
            deep = max(inner[place].depth, once[result].depth)
            inner[place] = Fact(deep, inner[place].origin)
    pairs = [_forward(body, inner) for body in bodies]
    results = [
        Fact(
            max(fact.depth for fact in branch),
            branch[0].origin,
            all(fact.nonnegative for fact in branch),
        )
        for branch in zip(*(facts for _, facts in pairs), strict=True)
    ]
    return tuple(body for body, _ in pairs), results


def _backward(grouped: Grouped, outputs: Sequence[bool]) -> tuple[Grouped, list[bool]]:
    """Mark the last affine sites; `outputs` and the result say whether one lies after a value."""
    after: dict[Value, bool] = {}

    def mark(atoms: Iterable[Atom], flags: Iterable[bool]) -> None:
        for atom, flag in zip(atoms, flags, strict=True):
            if not is_literal(atom):
                after[atom] = after.get(atom, False) or flag

    mark(grouped.program.outputs, outputs)
    steps: list[Site | Equation] = []
    bodies = dict(grouped.bodies)
    for step in reversed(grouped.steps):
        if isinstance(step, Equation):
            steps.append(step)
            continue
        followed = [after.get(value, False) for value in step.outputs]
        site = dataclasses.replace(step, last=not any(followed))
        steps.append(site)
        equation = site.equations[0]
        if site.kind is Kind.CALL and equation in bodies:
            bodies[equation], flags = _back_through_call(equation, bodies[equation], followed)
            mark(equation.inputs[len(equation.inputs) - len(flags) :], flags)
        else:
            flag = any(followed) or site.kind in Kind.AFFINE
            mark(site.inputs, [flag] * len(site.inputs))
    result = [after.get(value, False) for value in grouped.program.inputs]
    return Grouped(grouped.program, tuple(reversed(steps)), bodies), result


def _back_through_call(
    equation: Equation, bodies: tuple[Grouped, ...], outputs: Sequence[bool]
) -> tuple[tuple[Grouped, ...], list[bool]]:
    outputs = list(outputs)
    loop = carried(equation.eqn)
    if loop:
        _, once = _backward(bodies[0], outputs)
        for place, result in loop:
            outputs[result] |= once[place]
    pairs = [_backward(body, outputs) for body in bodies]
    flags = [any(branch) for branch in zip(*(inputs for _, inputs in pairs), strict=True)]
    return tuple(body for body, _ in pairs), flags


def _site_nonnegative(site: Site, facts: Facts) -> bool:
    if site.kind is Kind.SOFTMAX:
        return True
    local: dict[Value, Fact] = dict(facts)
    for equation in site.equations:
        nonnegative = _is_nonnegative(equation, local)
        local.update((value, Fact(nonnegative=nonnegative)) for value in equation.outputs)
    return all(local[value].nonnegative for value in site.outputs)


def _keeps_sign(site: Site, facts: Facts) -> bool:
    """Whether the scaling before the weights of a layer leaves non-negative inputs so."""
    before = site.form.before if isinstance(site.form, Layer) else ()
    scalings = [step for step in before if step.effect is Effect.SCALE]
    return not any(step.negates for step in before) and all(
        _fact_of(step.other, facts).nonnegative for step in scalings
    )


def _is_nonnegative(equation: Equation, facts: Facts) -> bool:
    sign = equation.op.sign
    params = equation.eqn.params
    name = equation.primitive.name
    floats = [atom for atom in equation.inputs if is_float(atom.aval)]
    if not floats:  # truth values, or whole numbers in the code
        return sign is Sign.KEPT and all(map(_is_nonnegative_whole, equation.inputs))
    flags = [_fact_of(atom, facts).nonnegative for atom in floats]
    if name == "integer_pow":
        return params["y"] % 2 == 0 or all(flags)
    if name == "clamp":  # the lower bound comes first
        return flags[0]
    if name == "mul" and equation.inputs[0] is equation.inputs[1]:
        return True
    if sign is Sign.ANY:
        return any(flags)
    return sign is Sign.ALWAYS or (sign is Sign.KEPT and all(flags))


def _is_nonnegative_whole(atom: Atom) -> bool:
    return atom.aval.dtype == np.bool_ or (is_literal(atom) and _fact_of(atom, {}).nonnegative)


def _fact_of(atom: Atom | None, facts: Facts) -> Fact:
    """What is known of a value, or of a number in the code; None stands for a minus sign."""
    if atom is None:
        return Fact()
    if is_literal(atom):
        return Fact(nonnegative=bool(np.all(np.asarray(atom.val) >= 0)))
    return facts.get(atom, Fact())
