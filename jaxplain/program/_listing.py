"""List what a function names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from .._call import call_model, named
from .._tree import describe
from .._types import PyTree
from . import _names
from ._places import Place, places
from ._show import table
from ._trace import Traced, trace


@dataclasses.dataclass(frozen=True)
class Names:
    """The values that have names, by path; printed, a tree.

    Args:
        values: `jax.ShapeDtypeStruct` of each value by its path, in the order of computation.
        loops: the lengths of the loops around each value, by path.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         return jnp.tanh(x)
        >>> list(jaxplain.names(f)(jnp.ones(2)))
        ['hidden', 'hidden:in']
    """

    values: dict[str, jax.ShapeDtypeStruct]
    loops: dict[str, tuple[int, ...]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, path: object) -> bool:
        return path in self.values

    def __getitem__(self, path: str) -> jax.ShapeDtypeStruct:
        return self.values[path]

    def __str__(self) -> str:
        if not self.values:
            return "no names"
        rows = [("  " * depth + text, *self._cells(path)) for depth, text, path in _tree(self)]
        return table(rows, ("name", "value", "comes in (:in)"))

    def _cells(self, path: str) -> tuple[str, str]:
        """The value, and what comes into its scope."""
        entries = [p for p in self.values if re.fullmatch(re.escape(path) + r":in\d*", p)]
        return self._describe(path), ", ".join(map(self._describe, entries))

    def _describe(self, path: str) -> str:
        if path not in self.values:
            return ""
        loops = self.loops[path]
        steps = f" in {' × '.join(map(str, loops))} steps" if loops else ""
        return describe(self.values[path], "").removeprefix(": ") + steps


def names(f: Callable[..., PyTree], *, at: str = "**") -> Callable[..., Names]:
    """What can be named in `f`: for `cut`, `capture`, `replace` and `edit`.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: a glob over paths, `"**/Block_0/**"` for instance, for a part of the list.

    Returns:
        A function with the arguments of `f` that returns `Names`. Nothing is computed: shapes are
        enough, so arguments may be `jax.ShapeDtypeStruct`.

    Raises:
        TypeError: `at` is not a string.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("encoder"):
        ...         with jax.named_scope("dense"):
        ...             h = x @ jnp.ones((4, 2))
        ...         h = jnp.tanh(h)
        ...     return h.sum()
        >>> print(jaxplain.names(f)(jnp.ones(4)))
        name     value       comes in (:in)
        -------  ----------  --------------
        encoder  float32[2]  float32[4]
          dense  float32[2]  float32[4]
    """
    if not isinstance(at, str):
        raise TypeError(f"at={at!r} must be a glob over paths, such as '**/Block_0/**'.")

    def listed(x: PyTree, *args: Any, **kwargs: Any) -> Names:
        found: list[Names] = []

        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(_listed(trace(lambda x: call_model(f, [x, *args], kwargs), x), at))

        _with_stand_ins(note, args, kwargs)
        return found[0]

    return named(listed, "names", f)


def _listed(traced: Traced, at: str) -> Names:
    fitting: dict[str, Place] = {}
    # As `locate` looks for them: in functions with a derivative of their own only afterwards.
    for opened in (frozenset[int](), None):
        for place in places(traced.program(opened, inline_remat=True)):
            if _names.matches(at, place.path.partition(":")[0]):
                fitting.setdefault(place.path, place)
    return Names(
        {path: place.like for path, place in fitting.items()},
        {path: place.lengths for path, place in fitting.items()},
    )


def _with_stand_ins(note: Callable[..., None], args: Any, kwargs: Any) -> None:
    """Call `note` with a traced value for each `jax.ShapeDtypeStruct` among the arguments."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    shapes = {i: a for i, a in enumerate(leaves) if isinstance(a, jax.ShapeDtypeStruct)}

    def call(values: dict[int, jax.Array]) -> None:
        note(*jax.tree.unflatten(structure, [values.get(i, leaf) for i, leaf in enumerate(leaves)]))

    jax.eval_shape(call, shapes)


def _tree(paths: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Depth, text and path of each line: scopes in the order of their first appearance."""
    children: dict[str, dict[str, str]] = {}
    for path in paths:
        scope, colon, what = path.partition(":")
        parts = scope.split("/") if scope else []
        above = ["/".join(parts[:length]) for length in range(len(parts) + 1)]
        for parent, child, text in zip(above, above[1:], parts, strict=False):
            children.setdefault(parent, {})[child] = text
        if colon and not what.startswith("in"):
            children.setdefault(scope, {})[path] = colon + what

    def lines(place: str, depth: int) -> Iterator[tuple[int, str, str]]:
        for path, text in children.get(place, {}).items():
            yield depth, text, path
            yield from lines(path, depth + 1)

    yield from lines("", 0)
