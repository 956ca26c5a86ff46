"""Which parameters may move: all of them, or those whose paths are chosen."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp

from .._tree import first_nonfinite
from .._types import PyTree

Vector = dict[str, jax.Array]
"""A direction in the space of the chosen parameters, by their paths."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The parameters that may move, by their paths; the others stay where they are."""

    paths: tuple[str, ...]

    def of(self, params: PyTree) -> Vector:
        """The chosen leaves."""
        leaves = leaves_of(params)
        return {path: leaves[path] for path in self.paths}

    def put(self, params: PyTree, chosen: Vector) -> PyTree:
        """`params` with the chosen leaves in place of their own."""
        leaves = {**leaves_of(params), **chosen}
        return jax.tree.unflatten(jax.tree.structure(params), list(leaves.values()))


def choose(params: PyTree, parameters: str | Sequence[str] = "*") -> Chosen:
    """The floating leaves of `params` whose paths fit the glob, or one of the globs."""
    globs = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    known = {
        path: leaf
        for path, leaf in leaves_of(params).items()
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    }
    if not known:
        raise TypeError(
            "params holds no floating-point arrays: pass the parameters as a pytree, the function "
            "that uses them as loss(params, *example)."
        )
    if (where := first_nonfinite(known, "params")) is not None:
        raise ValueError(f"The parameters are not finite: {where}.")
    for glob in globs:
        if not any(fnmatchcase(path, glob) for path in known):
            near = difflib.get_close_matches(glob, known, n=5, cutoff=0.3) or list(known)[:8]
            raise ValueError(
                f"parameters='{glob}' fits none of the {len(known)} parameters. "
                f"Paths like it: {', '.join(map(repr, near))}."
            )
    paths = tuple(p for p in known if any(fnmatchcase(p, glob) for glob in globs))
    _check_precision({path: known[path] for path in paths})
    return Chosen(paths)


def _check_precision(chosen: dict[str, Any]) -> None:
    """Solving with a curvature matrix needs more digits than half precision has."""
    for path, leaf in chosen.items():
        if (dtype := jnp.result_type(leaf)).itemsize < 4:
            raise TypeError(
                f"The parameter '{path}' is {dtype}, which has too few digits for this: "
                "convert them with jax.tree.map(lambda p: p.astype(jnp.float32), params)."
            )


def leaves_of(params: PyTree) -> dict[str, Any]:
    """All leaves by path, as in 'Dense_0/kernel'; a lone array is 'params'."""
    named = jax.tree_util.tree_flatten_with_path(params)[0]
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="/") or "params": leaf
        for path, leaf in named
    }
    if len(leaves) < len(named):
        raise ValueError(
            "Two parameters have the same path, keys joined by '/': rename one, such as 'a/b' "
            "beside 'b' within 'a'."
        )
    return leaves
