"""How much memory a program needs at most, from the shapes of what is alive at once."""

from __future__ import annotations

import math
from typing import Any

from .. import _compat


def peak_bytes(jaxpr: Any) -> int:
    """The most that is alive at once of what is computed from the arguments of a jaxpr.

    An estimate from above: XLA fuses some of these values away, and reuses the memory of others.
    """
    dependent = set(jaxpr.invars)
    last = _last_uses(jaxpr)
    alive: dict[Any, int] = {}
    highest = 0
    for place, eqn in enumerate(jaxpr.eqns):
        if not any(atom in dependent for atom in _variables(eqn.invars)):
            continue  # computed once for all arguments
        dependent.update(eqn.outvars)
        alive |= {var: _size(var) for var in eqn.outvars}
        inside = max(map(peak_bytes, _compat.inner_jaxprs(eqn)), default=0)
        highest = max(highest, sum(alive.values()) + inside)
        alive = {var: size for var, size in alive.items() if last.get(var, -1) > place}
    return highest


def _last_uses(jaxpr: Any) -> dict[Any, int]:
    """The place of the last equation that reads each variable; results outlive all."""
    last = {atom: place for place, eqn in enumerate(jaxpr.eqns) for atom in _variables(eqn.invars)}
    return last | dict.fromkeys(_variables(jaxpr.outvars), len(jaxpr.eqns))


def _variables(atoms: Any) -> list[Any]:
    return [atom for atom in atoms if not isinstance(atom, _compat.Literal)]


def _size(var: Any) -> int:
    # Random keys have a dtype of their own, of two words.
    itemsize: int = getattr(var.aval.dtype, "itemsize", 8)
    size: int = itemsize * math.prod(var.aval.shape)
    return size
