"""The solvers by name, and the options that are theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax

from .._errors import check_choice, check_count, check_real
from .._keys import checked_key
from ._conjugate_gradients import ConjugateGradients
from ._curvature import Curvature
from ._lissa import Lissa
from ._solvers import Arnoldi, Solver

SOLVERS: dict[str, Callable[..., Solver]] = {
    "cg": ConjugateGradients,
    "lissa": Lissa,
    "arnoldi": Arnoldi,
}
OPTIONS = {
    "cg": ("tolerance", "iterations"),
    "lissa": ("tolerance", "iterations", "scale", "batch", "repeats"),
    "arnoldi": ("rank", "dimension"),
}


def solver_of(
    name: str, curvature: Curvature, given: dict[str, Any], among: Iterable[str] = SOLVERS
) -> Solver:
    """The solver by its name, with those of its options that are not None."""
    check_choice("solver", name, among)
    given = {option: value for option, value in given.items() if value is not None}
    for option, value in given.items():
        if option not in OPTIONS[name]:
            owners = " or ".join(repr(other) for other in among if option in OPTIONS[other])
            raise ValueError(
                f"{option}={value!r} is an option of solver={owners}, not of {name!r}: leave it "
                "out, or choose that solver."
            )
        if option == "tolerance":
            check_real(option, value, low=0)
        elif option == "scale":
            check_real(option, value, low=1e-30)
        else:
            check_count(option, value)
    return SOLVERS[name](curvature, **given)


def key_of(solver: str, key: Any, who: str) -> jax.Array | None:
    """The key, if the solver is random; then it has to be there, and else it must not."""
    who = f"{who} with solver={solver!r}"
    if solver != "cg":
        return checked_key(key, who)
    if key is not None:
        raise TypeError(f"{who} is not random and takes no key: leave key= out.")
    return None
