"""Find the places of a call that a glob names, or say what is there instead."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax

from .. import _compat
from .._call import call_model
from .._types import PyTree
from . import _names
from ._places import Place, branches, places
from ._trace import Program, Traced, trace
from ._visit import Edits, visit

At: TypeAlias = str | Sequence[str]

_STEP = re.compile(r"(.*)\[(-?\d+(?:, *-?\d+)*)\]")


@dataclasses.dataclass(frozen=True)
class Located:
    """A call as a program, and the places in it that are meant, by path."""

    traced: Traced
    program: Program
    inputs: list[Any]
    found: dict[str, Place]

    def values(self, edits: Edits | None = None) -> dict[str, Any]:
        """The numbers at the places, by path."""
        catch = list(self.found.values())
        _, caught = visit(self.program, self.inputs, [], catch=catch, edits=edits)
        return dict(zip(self.found, caught, strict=True))

    def output(self, edits: Edits | None = None) -> PyTree:
        """The output of the function."""
        results, _ = visit(self.program, self.inputs, self.program.outputs, edits=edits)
        return self.traced.restore(results)

    def both(self, edits: Edits | None = None) -> tuple[PyTree, dict[str, Any]]:
        """The output, and the numbers at the places."""
        catch, outputs = list(self.found.values()), self.program.outputs
        results, caught = visit(self.program, self.inputs, outputs, catch=catch, edits=edits)
        return self.traced.restore(results), dict(zip(self.found, caught, strict=True))


def locate(
    f: Callable[..., PyTree], at: At, x: PyTree, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Located:
    """Trace a call and find the places that each of the globs fits."""
    globs = checked_globs(at)
    traced = trace(lambda x: call_model(f, [x, *args], kwargs), x)
    # Functions with a derivative of their own are opened only if a name is inside one.
    for opened in (frozenset[int](), None):
        program = traced.program(opened, inline_remat=True)
        known = places(program)
        fitting = [_fitting(glob, known) for glob in globs]
        if all(fitting):
            found = {path: place for some in fitting for path, place in some.items()}
            return Located(traced, program, jax.tree.leaves(x), found)
    missing = next(glob for glob, some in zip(globs, fitting, strict=True) if not some)
    raise ValueError(_unknown(missing, program, [place.path for place in known]))


def locate_one(
    f: Callable[..., PyTree], at: At, x: PyTree, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Located:
    """As `locate`; a glob that is given by itself must fit one place alone."""
    located = locate(f, at, x, args, kwargs)
    if isinstance(at, str) and len(located.found) > 1:
        raise ValueError(
            f"'{at}' is the name of {len(located.found)} values: "
            f"{', '.join(map(repr, located.found))}. Give one of these paths, or [{at!r}] for all "
            "of them by name."
        )
    return dataclasses.replace(located, found=_distinct(located.found))


def _distinct(found: dict[str, Place]) -> dict[str, Place]:
    """Each value once, under its first path: the last module of another has the same value.

    What comes into a module may come into one inside it too; then it is not clear who is meant.
    """
    kept: dict[str, Place] = {}
    for path, place in found.items():
        same = [p for p, other in kept.items() if _is_same(place, other)]
        if not same:
            kept[path] = place
        elif (kept[same[0]].readers, kept[same[0]].step) != (place.readers, place.step):
            raise ValueError(
                f"'{same[0]}' and '{path}' are one value, and it is not clear which of them is "
                "meant where: leave one of them out."
            )
    return kept


def _is_same(one: Place, other: Place) -> bool:
    """Whether two places have one value, for readers that they share."""
    if one.value is not other.value or (one.step and other.step and one.step != other.step):
        return False
    return one.readers is None or other.readers is None or bool(one.readers & other.readers)


def checked_globs(at: At) -> list[str]:
    """The globs as a list."""
    globs = [at] if isinstance(at, str) else list(at) if isinstance(at, Sequence) else []
    if not globs or not all(isinstance(glob, str) for glob in globs):
        raise TypeError(
            f"at={at!r} must be the path of a value, such as '**/Conv_0', or a list of paths. "
            "print(jaxplain.names(f)(x)) lists what there is."
        )
    return globs


def checked_path(at: str) -> str:
    """`at`, if it is one path."""
    if not isinstance(at, str):
        raise TypeError(f"at={at!r} must be the path of one layer, such as '**/Conv_0'.")
    return at


def _fitting(glob: str, known: Sequence[Place]) -> dict[str, Place]:
    """The places that a glob fits, by path."""
    found = {place.path: place for place in known if _names.matches(glob, place.path)}
    if found or (chosen := _STEP.fullmatch(glob)) is None:
        return found
    step = tuple(int(number) for number in chosen[2].split(","))
    text = f"[{','.join(map(str, step))}]"
    return {
        path + text: dataclasses.replace(place, step=_checked_step(place, step))
        for path, place in _fitting(chosen[1], known).items()
    }


def _checked_step(place: Place, step: tuple[int, ...]) -> tuple[int, ...]:
    lengths = place.lengths
    fits = len(step) == len(lengths)
    if not fits or not all(-n <= k < n for k, n in zip(step, lengths, strict=True)):
        loops = f"in loops of {', '.join(map(str, lengths))} steps" if lengths else "in no loop"
        raise ValueError(
            f"'{place.path}' is computed {loops}, so it has no step [{', '.join(map(str, step))}]: "
            "give the number of a step for each loop around it, counted from 0 (or from the end, "
            "-1), or none for all steps, stacked."
        )
    return tuple(k % n for k, n in zip(step, lengths, strict=True))


def _unknown(glob: str, program: Program, known: list[str]) -> str:
    scope = glob.partition(":")[0]
    for equation, path in branches(program):
        if not _names.matches(scope, path):
            continue
        if equation.primitive is _compat.while_p:
            return (
                f"'{glob}' lies inside the while loop at {equation.source}, which may take any "
                "number of steps. Cut at what goes in or comes out of it, or write the loop with "
                "jax.lax.scan, or with a number of steps that is known when it is traced."
            )
        return (
            f"'{glob}' lies inside the branch at {equation.source}, where a value exists only "
            "if the branch is taken. Cut at what goes in or comes out of it."
        )
    colon = ":" in glob
    near = _names.nearest(glob, [path for path in known if (":" in path) == colon] or known)
    if not known:
        return (
            f"No value is named '{glob}'. This function names no values: give parts of it a "
            "jax.named_scope, or wrap an nnx model with jaxplain.flax.named."
        )
    return (
        f"No value is named '{glob}'. Nearest names: {', '.join(map(repr, near))}. "
        "print(jaxplain.names(f)(x)) lists all."
    )
