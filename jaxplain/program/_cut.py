"""Cut a function at a named value: look at it, replace it, or split the function there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from .._call import call_model, named
from .._tree import describe
from .._types import PyTree
from . import _names
from ._evaluate import evaluate
from ._trace import Atom, Program, Traced, Value, trace


def cut(
    f: Callable[..., PyTree], *, at: str
) -> tuple[Callable[..., jax.Array], Callable[..., PyTree]]:
    """Split `f` at a named value: what leads to it, and what follows from it.

    `top(bottom(x, *args), x, *args)` is `f(x, *args)`.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: the path of one value, with globs: the output of a module (`"**/Conv_0"`), the last
            value of a `jax.named_scope`, or a name given with `jax.ad_checkpoint.checkpoint_name`.

    Returns:
        `(bottom, top)`: `bottom(x, *args)` is the value, `top(h, x, *args)` is `f` with the value
        replaced by `h`; other ways from `x` to the output still flow.

    Raises:
        ValueError: when called, if no value or several have that name; the message lists the
            nearest.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jnp.tanh(2 * x)
        ...     return jnp.sum(h**2)
        >>> bottom, top = jaxplain.cut(f, at="hidden")
        >>> x = jnp.array([0.0, 1.0])
        >>> jax.grad(top)(bottom(x), x).round(3)
        Array([0.   , 1.928], dtype=float32)
    """

    def bottom(x: PyTree, *args: Any, **kwargs: Any) -> jax.Array:
        located = _locate(f, at, x, args, kwargs)
        value: jax.Array = located.evaluate([located.one(at)])[0]
        return value

    return named(bottom, "bottom", f), replace(f, at=at)


def replace(f: Callable[..., PyTree], *, at: str) -> Callable[..., PyTree]:
    """`f` with a named value replaced.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: the path of one value, with globs, as for `cut`.

    Returns:
        A function `(h, x, *args)`: the value of `f(x, *args)` if the named value were `h`.

    Raises:
        ValueError: when called, if no value or several have that name, or `h` has another shape.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 2 * x
        ...     return h + x
        >>> jaxplain.replace(f, at="hidden")(jnp.zeros(2), jnp.ones(2))
        Array([1., 1.], dtype=float32)
    """

    def replaced(h: jax.Array, x: PyTree, *args: Any, **kwargs: Any) -> PyTree:
        located = _locate(f, at, x, args, kwargs)
        h = jax.numpy.asarray(h)
        value = located.one(at)
        aval = value.aval
        if h.shape != aval.shape or h.dtype != aval.dtype:
            raise ValueError(
                f"The value at '{at}' is {describe(aval, 'h')}, but the replacement is "
                f"{describe(h, 'h')}."
            )
        results = located.evaluate(located.program.outputs, given={value: h})
        return located.traced.restore(results)

    return named(replaced, "replace", f)


def capture(f: Callable[..., PyTree], *, at: str) -> Callable[..., tuple[PyTree, dict[str, Any]]]:
    """`f` and the named values that it computes on the way.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: a glob over paths; `"**"` captures everything that has a name.

    Returns:
        A function with the arguments of `f` that returns `(y, values)`, `values` a dictionary
        from paths to arrays.

    Raises:
        ValueError: when called, if no value fits; the message lists the nearest names.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 2 * x
        ...     return h + x
        >>> jaxplain.capture(f, at="*")(jnp.ones(2))[1]
        {'hidden': Array([2., 2.], dtype=float32)}
    """

    def captured(x: PyTree, *args: Any, **kwargs: Any) -> tuple[PyTree, dict[str, Any]]:
        located = _locate(f, at, x, args, kwargs)
        outputs, found = located.program.outputs, located.found
        results = located.evaluate([*outputs, *found.values()])
        y = located.traced.restore(results[: len(outputs)])
        return y, dict(zip(found, results[len(outputs) :], strict=True))

    return named(captured, "capture", f)


@dataclasses.dataclass(frozen=True)
class _Named:
    """A call as a program, and the values in it whose names fit."""

    traced: Traced
    program: Program
    inputs: list[Any]
    found: dict[str, Value]

    def evaluate(self, wanted: Sequence[Atom], **options: Any) -> list[Any]:
        return evaluate(self.program, self.inputs, wanted, **options)

    def one(self, at: str) -> Value:
        """The only value that fits."""
        if len(self.found) > 1:
            raise ValueError(
                f"'{at}' is the name of {len(self.found)} values: "
                f"{', '.join(map(repr, self.found))}. Give one of these paths; jaxplain.capture "
                "returns them all."
            )
        return next(iter(self.found.values()))


def _locate(
    f: Callable[..., PyTree], at: str, x: PyTree, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Named:
    traced = trace(lambda x: call_model(f, [x, *args], kwargs), x)
    # Functions with a derivative of their own are opened only if the name is inside one.
    for opened in (frozenset[int](), None):
        program = traced.program(opened, inline_remat=True)
        values = _names.values(program)
        found = {path: value for path, value in values.items() if _names.matches(at, path)}
        if found:
            return _Named(traced, program, jax.tree.leaves(x), found)
    raise ValueError(_unknown(at, program))


def _unknown(at: str, program: Program) -> str:
    known = list(_names.values(program))
    near = _names.nearest(at, known)
    inside = [
        equation
        for equation in program.equations
        if any(_names.matches(at, path) for body in equation.bodies for path in _names.values(body))
    ]
    if inside:
        return (
            f"'{at}' lies inside the loop or branch at {inside[0].source}, where a value has no "
            "single number. Cut at what goes in or comes out of it."
        )
    listed = f"Nearest names: {', '.join(map(repr, near))}." if near else (
        "This function names no values: give parts of it a jax.named_scope, or wrap an nnx model "
        "with jaxplain.flax.named."
    )  # fmt: skip
    return f"No value is named '{at}'. {listed}"
