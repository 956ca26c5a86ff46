"""The places of a program: every value that can be named, also inside of loops.

A scope names its result, `"block/attn"`; what comes into it is `"block/attn:in"` and the attention
weights computed in it are `"block/attn:attention"`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

import jax

from .. import _compat
from . import _names
from ._attention import attention_weights
from ._trace import Equation, Program, Value

Position: TypeAlias = tuple[int, ...]  # of an equation, in each of the loops around it


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where a value stands: its path, the loops around it, and who is meant to read it."""

    path: str
    value: Value
    loops: tuple[Equation, ...] = ()  # outermost first
    readers: frozenset[Equation] | None = None  # of what comes into a scope; None for all
    step: tuple[int, ...] = ()  # the chosen step of each loop; none for all steps, stacked

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many steps each loop has."""
        return tuple(_compat.read_scan(loop.eqn).length for loop in self.loops)

    @property
    def like(self) -> Any:
        """Shape and dtype of what stands here."""
        struct: Any = jax.ShapeDtypeStruct
        shape = self.value.shape if self.step else (*self.lengths, *self.value.shape)
        return struct(shape, self.value.aval.dtype)


def places(program: Program) -> list[Place]:
    """All places of a program, in the order of computation."""
    found = sorted([*_own(program), *_in_loops(program)], key=lambda entry: entry[0])
    return _numbered(_by_loop([place for _, place in found]))


def _by_loop(found: list[Place]) -> list[Place]:
    """Scopes of one name in several loops are `cell#0` and `cell#1`."""
    loops: dict[str, dict[tuple[Equation, ...], int]] = {}
    for place in found:
        known = loops.setdefault(place.path.partition(":")[0], {})
        known.setdefault(place.loops, len(known))
    apart = []
    for place in found:
        scope, colon, what = place.path.partition(":")
        if len(loops[scope]) > 1:
            path = f"{scope}#{loops[scope][place.loops]}{colon}{what}"
            place = dataclasses.replace(place, path=path)
        apart.append(place)
    return apart


def _numbered(found: list[Place]) -> list[Place]:
    """What still has one name, two attentions in one scope, is numbered too."""
    total, seen = Counter(place.path for place in found), Counter[str]()
    unique = []
    for place in found:
        if total[place.path] > 1:
            number = seen[place.path]
            seen[place.path] += 1
            place = dataclasses.replace(place, path=f"{place.path}#{number}")
        unique.append(place)
    return unique


def _own(program: Program) -> Iterator[tuple[Position, Place]]:
    """The places outside of loops."""
    order = program.order
    for path, value in _names.values(program).items():
        yield (order[program.producers[value]],), Place(path, value)
    for path, entries in _names.entries(program).items():
        several = len(entries) > 1
        for i, (value, readers) in enumerate(entries.items()):
            place = Place(f"{path}:in{i if several else ''}", value, (), frozenset(readers))
            yield (order[readers[0]],), place
    path_of = _names.paths(program)
    for value, equation in attention_weights(program).items():
        yield (order[equation],), Place(f"{path_of[equation]}:attention", value)


def _in_loops(program: Program) -> Iterator[tuple[Position, Place]]:
    """The places inside of loops: what has a name that the loop as a whole has not."""
    path_of = _names.paths(program)
    for equation in program.equations:
        if equation.primitive is not _compat.scan_p:
            continue
        for body in equation.bodies:
            for position, place in (*_own(body), *_in_loops(body)):
                if (path := _below(equation, path_of[equation], place.path)) is not None:
                    loops = (equation, *place.loops)
                    inside = (program.order[equation], *position)
                    yield inside, dataclasses.replace(place, path=path, loops=loops)


def _below(equation: Equation, path: str, name: str) -> str | None:
    """The name of a place in a loop, beginning as the loop's own; None for the loop's scopes."""
    above = len(equation.scopes)
    scope, colon, what = name.partition(":")
    parts = scope.split("/") if scope else []
    if len(parts) <= above and what != "attention":
        return None
    start = [path] if path else []
    return "/".join([*start, *parts[above:]]) + colon + what


def branches(program: Program) -> Iterator[tuple[Equation, str]]:
    """What is computed in only one branch, or in a loop of unknown length, and so is no place."""
    for equation in program.equations:
        if equation.primitive is _compat.while_p:
            yield from ((equation, path) for path in _below_loop(equation))
        for body in equation.bodies:
            if equation.primitive is _compat.cond_p:
                yield from ((equation, path) for path in _names.values(body))
            else:
                yield from branches(body)


def _below_loop(equation: Equation) -> Iterator[str]:
    """The scopes in the body of a loop of unknown length, which is no program."""
    for eqn in _compat.closed(equation.eqn.params["body_jaxpr"]).jaxpr.eqns:
        scopes = (*equation.scopes, *_compat.scopes(eqn))
        yield from ("/".join(scopes[:end]) for end in range(1, len(scopes) + 1))
