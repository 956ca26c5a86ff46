"""Evaluate a program, and look at or change what stands at its places, also inside of loops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _calls
from ._evaluate import evaluate
from ._places import Place
from ._trace import Atom, Equation, Program, Value


@dataclasses.dataclass(frozen=True)
class Edit:
    """What becomes of a value: `change(value, data)`, or `data` alone.

    In a loop the arrays of `data` have an axis of steps in front, one for each loop around.
    """

    change: Callable[[Any, Any], Any] | None
    data: Any = None


Edits = Mapping[Place, Edit]


def visit(
    program: Program,
    inputs: Sequence[Any],
    wanted: Sequence[Atom],
    *,
    catch: Sequence[Place] = (),
    edits: Edits | None = None,
) -> tuple[list[Any], list[Any]]:
    """The wanted values, and those at the places to catch, after their edits.

    What is caught in a loop is stacked over its steps, or is that of the chosen step.
    """
    results, caught = _Visit(program, list(catch), dict(edits or {}), 0).run(inputs, wanted)
    chosen = [
        value[place.step] if place.step else value
        for place, value in zip(catch, caught, strict=True)
    ]
    return results, chosen


def at_step(place: Place, change: Callable[[Any, Any], Any], data: Any = None) -> Edit:
    """An edit of the chosen step alone, if one is chosen; `data` is the same for all steps."""
    if not place.step:
        return Edit(change, data)
    chosen = np.zeros(place.lengths, bool)
    chosen[place.step] = True

    def everywhere(leaf: Any) -> jax.Array:
        return jnp.broadcast_to(leaf, (*place.lengths, *jnp.shape(leaf)))

    def only_there(value: Any, row: Any) -> Any:
        # Not a select: what the change is elsewhere, NaN perhaps, must not reach derivatives.
        here, data = row
        return jax.lax.cond(here, change, lambda value, _: value, jnp.asarray(value), data)

    return Edit(only_there, (jnp.asarray(chosen), jax.tree.map(everywhere, data)))


@dataclasses.dataclass(frozen=True)
class _Visit:
    """One program, of a loop's body maybe, and what is to be done in it."""

    program: Program
    catch: list[Place]
    edits: dict[Place, Edit]
    depth: int  # loops around this program
    inside: int = 0  # scopes around it

    def run(self, inputs: Sequence[Any], wanted: Sequence[Atom]) -> tuple[list[Any], list[Any]]:
        here = [place for place in self.catch if self._is_here(place)]
        mine = {place: edit for place, edit in self.edits.items() if self._is_here(place)}
        loops = self._loops((*self.catch, *self.edits))
        caught: dict[Place, Any] = {}

        def of_all(value: Value, number: Any) -> Any:
            for place, edit in mine.items():
                if place.value is value and place.readers is None:
                    number = _apply(edit, number)
            return number

        def of_reader(equation: Equation, value: Value, number: Any) -> Any:
            for place, edit in mine.items():
                if place.value is value and place.readers and equation in place.readers:
                    number = _apply(edit, number)
            return number

        def step(equation: Equation, operands: Sequence[Any]) -> Sequence[Any]:
            if equation not in loops:
                return equation.run(operands)
            results, found = self._loop(equation, operands)
            caught.update(found)
            return results

        results = evaluate(
            self.program,
            inputs,
            # A loop is run for what is caught in it, even if nobody needs its results.
            [
                *wanted,
                *(place.value for place in here),
                *(loop.outputs[0] for loop in self._loops(self.catch)),
            ],
            given={p.value: e.data for p, e in mine.items() if not (e.change or p.readers)},
            run=step,
            made=of_all,
            seen=of_reader,
            inside=self.inside,
        )
        for place, value in zip(here, results[len(wanted) :], strict=False):
            edited = place.readers is not None and place in mine
            caught[place] = _apply(mine[place], value) if edited else value
        return results[: len(wanted)], [caught[place] for place in self.catch]

    def _is_here(self, place: Place) -> bool:
        return len(place.loops) == self.depth

    def _loops(self, places: Iterable[Place]) -> dict[Equation, None]:
        """The loops of this program in which the places lie, in order."""
        return {p.loops[self.depth]: None for p in places if not self._is_here(p)}

    def _loop(
        self, equation: Equation, operands: Sequence[Any]
    ) -> tuple[list[Any], dict[Place, Any]]:
        """Run a loop with the places inside; what is caught leaves it as further results."""

        def meant(place: Place) -> bool:
            return not self._is_here(place) and place.loops[self.depth] is equation

        catch = [place for place in self.catch if meant(place)]
        edits = {place: edit for place, edit in self.edits.items() if meant(place)}

        def body(index: int, arguments: Sequence[Any], rows: Any) -> list[Any]:
            program = equation.bodies[index]
            changes = {
                p: Edit(e.change, row) for (p, e), row in zip(edits.items(), rows, strict=True)
            }
            inner = _Visit(program, catch, changes, self.depth + 1, len(equation.scopes))
            results, caught = inner.run(arguments, program.outputs)
            return [*results, *caught]

        rows = [edit.data for edit in edits.values()]
        results = _calls.call(equation.eqn, operands, body, [rows])
        count = len(equation.outputs)
        return results[:count], dict(zip(catch, results[count:], strict=True))


def _apply(edit: Edit, value: Any) -> Any:
    return edit.data if edit.change is None else edit.change(value, edit.data)
