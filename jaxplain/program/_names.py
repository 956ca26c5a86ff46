"""Paths of equations: the named scopes around them, repeated calls numbered, and globs over them.

linen modules open a scope for each of their calls, `jaxplain.flax.named` does it for nnx, and
`jax.named_scope` for everything else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from .. import _compat
from ._trace import Equation, Program, Value, is_literal


def paths(program: Program) -> dict[Equation, str]:
    """A path for each equation; the calls of a module that is called twice are `d#0` and `d#1`.

    A scope that reads a parameter a second time in the same way has been entered again.
    """
    calls: dict[tuple[str, ...], int] = {}
    seen: dict[tuple[str, ...], set[Any]] = {}
    numbers: dict[Equation, int] = {}
    for equation in program.equations:
        scope = equation.scopes
        parameters = {
            (equation.primitive, atom)
            for atom in equation.inputs
            if not is_literal(atom)
            and not program.is_dependent(atom)
            and program.producer(atom) is None
        }
        if parameters & seen.setdefault(scope, set()):
            calls[scope] = calls.get(scope, 0) + 1
            seen[scope] = set()
        seen[scope] |= parameters
        numbers[equation] = calls.get(scope, 0)
    return {
        equation: "/".join(equation.scopes)
        + (f"#{number}" if equation.scopes and calls.get(equation.scopes) else "")
        for equation, number in numbers.items()
    }


def values(program: Program) -> dict[str, Value]:
    """The values that have a name: the results of scopes, and those of `checkpoint_name`.

    A scope's value is the last one computed in it that is used outside.
    """
    path_of = paths(program)
    consumers: dict[Value, list[tuple[str, ...]]] = {}
    for equation in program.equations:
        place = tuple(path_of[equation].split("/"))
        for atom in equation.inputs:
            if not is_literal(atom):
                consumers.setdefault(atom, []).append(place)
    for atom in program.outputs:
        if not is_literal(atom):
            consumers.setdefault(atom, []).append(())
    found: dict[str, Value] = {}
    for equation in program.equations:
        place = tuple(part for part in path_of[equation].split("/") if part)
        for length in range(1, len(place) + 1):
            scope = place[:length]
            for value in equation.outputs:
                if any(other[:length] != scope for other in consumers.get(value, [])):
                    found["/".join(scope)] = value
    found.update(_checkpointed(program, path_of))
    return found


def entries(program: Program) -> dict[str, dict[Value, list[Equation]]]:
    """What comes into each scope: the values that depend on the input, and who reads them there."""
    found: dict[str, dict[Value, list[Equation]]] = {}
    made_in: dict[Value, tuple[str, ...]] = {}
    path_of = paths(program)
    for equation in program.equations:
        place = tuple(part for part in path_of[equation].split("/") if part)
        made_in.update(dict.fromkeys(equation.outputs, place))
        for atom in equation.inputs:
            if not program.is_dependent(atom):
                continue
            for length in range(1, len(place) + 1):
                if made_in.get(atom, ())[:length] != place[:length]:
                    readers = found.setdefault("/".join(place[:length]), {})
                    readers.setdefault(atom, []).append(equation)
    return found


def _checkpointed(program: Program, path_of: dict[Equation, str]) -> dict[str, Value]:
    """The values named with `checkpoint_name`; several of one name are numbered."""
    named = [equation for equation in program.equations if equation.primitive is _compat.name_p]
    full = ["/".join(filter(None, (path_of[e], str(e.eqn.params["name"])))) for e in named]
    found: dict[str, Value] = {}
    for i, (equation, path) in enumerate(zip(named, full, strict=True)):
        number = f"#{full[:i].count(path)}" if full.count(path) > 1 else ""
        found[path + number] = equation.outputs[0]
    return found


def matches(glob: str, path: str) -> bool:
    """Whether a path fits a glob: `*` within a name, `**` over any number of names.

    A glob without `#` fits every call of a scope; what stands after a colon must be there in both.
    """
    if "#" not in glob:
        path = re.sub(r"#\d+", "", path)
    (scope, _, what), (path, _, of_path) = glob.partition(":"), path.partition(":")
    return (
        _pattern(scope).fullmatch(path) is not None
        and bool(what) == bool(of_path)
        and _pattern(what).fullmatch(of_path) is not None
    )


def _pattern(glob: str) -> re.Pattern[str]:
    parts = glob.split("/")
    pattern = ""
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "**":
            pattern += "(?:.*)" if last else "(?:[^/]+/)*"
        else:
            pattern += re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            pattern += "" if last else "/"
    # "a/**" fits "a" itself too.
    return re.compile(pattern.replace("/(?:.*)", "(?:/.*)?"))


def nearest(glob: str, known: Iterable[str]) -> list[str]:
    """The known paths most like a glob that fits none, for messages."""
    candidates = list(dict.fromkeys(path for path in known if path))
    plain = glob.replace("*", "").strip("/")
    last = plain.rsplit("/", 1)[-1]
    close = difflib.get_close_matches(plain, candidates, n=3, cutoff=0.3)
    tails = {path.rsplit("/", 1)[-1]: path for path in candidates}
    close += [tails[name] for name in difflib.get_close_matches(last, tails, n=3, cutoff=0.5)]
    return list(dict.fromkeys(close))[:4] or candidates[:4]
