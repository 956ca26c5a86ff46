"""Cut a function at a named value: look at it, replace it, or split the function there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import named
from .._tree import describe
from .._types import PyTree
from ._locate import At, Located, checked_globs, locate, locate_one
from ._places import Place
from ._visit import Edit, at_step


def cut(f: Callable[..., PyTree], *, at: At) -> tuple[Callable[..., Any], Callable[..., PyTree]]:
    """Split `f` at a named value: what leads to it, and what follows from it.

    `top(bottom(x, *args), x, *args)` is `f(x, *args)`.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: the path of one value, with globs: the output of a module (`"**/Conv_0"`), the last
            value of a `jax.named_scope`, or a name given with `jax.ad_checkpoint.checkpoint_name`;
            what comes into a module (`"**/Conv_0:in"`), attention weights (`"**/attn:attention"`);
            in a `jax.lax.scan` all steps, stacked (`"**/cell"`), or one of them (`"**/cell[-1]"`).
            A list of paths cuts at everything that they fit. `jaxplain.names` lists what there is.

    Returns:
        `(bottom, top)`: `bottom(x, *args)` is the value, for a list a dictionary from paths to
        values; `top(h, x, *args)` is `f` with the value replaced by `h`; other ways from `x` to
        the output still flow.

    Raises:
        ValueError: when called, if no value or several have that name; the message lists the
            nearest.
        TypeError: `at` is neither a path nor a list of paths.

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

    Notes:
        The input of a module is replaced for this module alone: a residual connection around it
        keeps its own value.
    """
    checked_globs(at)

    def bottom(x: PyTree, *args: Any, **kwargs: Any) -> Any:
        values = locate_one(f, at, x, args, kwargs).values()
        return next(iter(values.values())) if isinstance(at, str) else values

    return named(bottom, "bottom", f), replace(f, at=at)


def replace(f: Callable[..., PyTree], *, at: At) -> Callable[..., PyTree]:
    """`f` with a named value replaced.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: the path of one value, or a list of paths, as for `cut`.

    Returns:
        A function `(h, x, *args)`: the value of `f(x, *args)` if the named value were `h`; for a
        list, a dictionary from paths to values.

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
    checked_globs(at)

    def replaced(h: PyTree, x: PyTree, *args: Any, **kwargs: Any) -> PyTree:
        located = locate_one(f, at, x, args, kwargs)
        values = checked(located, h, at)
        return located.output(
            {place: _put(place, values[path]) for path, place in located.found.items()}
        )

    return named(replaced, "replace", f)


def capture(f: Callable[..., PyTree], *, at: At) -> Callable[..., tuple[PyTree, dict[str, Any]]]:
    """`f` and the named values that it computes on the way.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: a glob over paths, or a list of them; `"**"` captures everything that has a name.

    Returns:
        A function with the arguments of `f` that returns `(y, values)`, `values` a dictionary
        from paths to arrays; values in a loop are stacked over its steps.

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
    checked_globs(at)

    def captured(x: PyTree, *args: Any, **kwargs: Any) -> tuple[PyTree, dict[str, Any]]:
        return locate(f, at, x, args, kwargs).both()

    return named(captured, "capture", f)


def checked(
    located: Located, given: PyTree, at: At, who: str = "the replacement"
) -> dict[str, Any]:
    """Values for the places, by path, each shaped like what stands there."""
    paths = list(located.found)
    values = {paths[0]: given} if isinstance(at, str) else given
    if not isinstance(values, dict) or set(values) != set(paths):
        said = sorted(values) if isinstance(values, dict) else describe(values, "h")
        raise ValueError(
            f"at={at!r} names {', '.join(map(repr, paths))}: {who} must be a dictionary with a "
            f"value for each, but is {said}."
        )
    return {
        path: _shaped(values[path], place, who if isinstance(at, str) else f"{who} of '{path}'")
        for path, place in located.found.items()
    }


def _shaped(given: Any, place: Place, who: str) -> jax.Array:
    value: jax.Array = jnp.asarray(given)
    if value.shape != place.like.shape or value.dtype != place.like.dtype:
        raise ValueError(
            f"The value at '{place.path}' is {describe(place.like, 'h')}, but {who} is "
            f"{describe(value, 'h')}."
        )
    return value


def _put(place: Place, value: jax.Array) -> Edit:
    """The edit that replaces a value."""
    if not place.step:
        return Edit(None, value)
    return at_step(place, lambda _, h: h, value)
