"""Change named values on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import named
from .._tree import describe
from .._types import PyTree
from ._cut import checked
from ._locate import At, checked_globs, locate
from ._visit import at_step


def edit(
    f: Callable[..., PyTree], change: Callable[[jax.Array], Any], *, at: At
) -> Callable[..., PyTree]:
    """`f` with named values changed on the way: steered, clipped, switched off.

    Args:
        f: a function `f(x, *args)` of arrays.
        change: from a value to what takes its place, of the same shape and dtype; in a loop it
            gets the value of each step.
        at: a glob over paths, or a list of them, as for `cut`; everything that fits is changed.

    Returns:
        A function with the arguments of `f`.

    Raises:
        ValueError: when called, if no value fits, or `change` returns another shape or dtype.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 2 * x
        ...     return h + x
        >>> jaxplain.edit(f, lambda h: h.at[0].set(0), at="hidden")(jnp.ones(2))
        Array([1., 3.], dtype=float32)

    Notes:
        Methods see the change: the derivative and the relevance of `edit(f, ...)` are those of what
        is computed.
    """
    checked_globs(at)

    def changed(value: jax.Array, _: Any) -> jax.Array:
        result = jnp.asarray(change(value))
        if result.shape != value.shape or result.dtype != value.dtype:
            raise ValueError(
                f"The value at {at!r} is {describe(value, 'h')}, but change made it "
                f"{describe(result, 'h')}."
            )
        return result

    def edited(x: PyTree, *args: Any, **kwargs: Any) -> PyTree:
        located = locate(f, at, x, args, kwargs)
        # A module and the last one in it may have one value, which is changed once.
        places = {(p.value, p.readers, p.step): p for p in located.found.values()}
        return located.output({place: at_step(place, changed) for place in places.values()})

    return named(edited, "edit", f)


def shifted(f: Callable[..., PyTree], *, at: At) -> Callable[..., tuple[PyTree, dict[str, Any]]]:
    """`(shifts, x, *args) -> (y, values)`: `f` with shifts added to named values.

    The derivative by the shifts, at zero, is the total one by the values: unlike with `replace`,
    what comes later still depends on what came before.
    """

    def function(
        shifts: dict[str, Any], x: PyTree, *args: Any, **kwargs: Any
    ) -> tuple[PyTree, dict[str, Any]]:
        located = locate(f, at, x, args, kwargs)
        values = checked(located, shifts, list(located.found), "the shift")
        return located.both(
            {p: at_step(p, jnp.add, values[path]) for path, p in located.found.items()}
        )

    return named(function, "shifted", f)
