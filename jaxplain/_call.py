"""The arguments of a call: pick out `x`, check it, close over the rest."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._tree import describe, first_nonfinite, path_name
from ._types import Argnums, Attribution, Model, PyTree

Score = Callable[[PyTree], jax.Array]


def bind(
    f: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: Argnums,
    *,
    floating: bool = True,
) -> tuple[Score, PyTree]:
    """Split a call into `(score, x)`: `f` as a function of the explained arguments, and those.

    `score` checks, when it is traced, that `f` gave one real number. Methods that need no
    derivative set `floating=False`: then `x` may hold integers too.
    """
    for reserved in ("baseline", "key"):
        if reserved in kwargs:
            raise TypeError(
                f"{reserved}= was given to a method of {name_of(f)} that takes none. The name is "
                f"reserved for methods that do, and not passed on to {name_of(f)}: leave it out."
            )
    function, x = close(f, args, kwargs, argnums)
    x = checked_input(x, floating=floating)

    def score(x: PyTree) -> jax.Array:
        return check_score(function(x), f)

    return score, x


def bind_function(
    g: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums
) -> tuple[Callable[[PyTree], Any], PyTree]:
    """As `bind`, for a `g` that may return anything (an attribution, say)."""
    function, x = close(g, args, kwargs, argnums)
    return function, checked_input(x)


def close(
    g: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums
) -> tuple[Callable[[PyTree], Any], PyTree]:
    """As `bind_function`, for an `x` of any dtype: token ids, say."""
    x = explained(args, argnums, g)
    positions = (argnums,) if isinstance(argnums, int) else argnums

    def function(x: PyTree) -> Any:
        values = (x,) if isinstance(argnums, int) else x
        merged = list(args)
        for position, value in zip(positions, values, strict=True):
            merged[position] = value
        return call_model(g, merged, kwargs)

    return function, x


def explained(args: tuple[Any, ...], argnums: Argnums, g: Callable[..., Any]) -> PyTree:
    """The argument at `argnums`, or the tuple of arguments."""
    positions = (argnums,) if isinstance(argnums, int) else argnums
    if not isinstance(positions, tuple) or not all(isinstance(p, int) for p in positions):
        raise TypeError(f"argnums={argnums!r} must be an int or a tuple of ints, as in jax.grad.")
    for position in positions:
        if not -len(args) <= position < len(args):
            raise TypeError(
                f"argnums={argnums!r} asks to explain positional argument {position} of "
                f"{name_of(g)}, but the call passed {len(args)} positional argument(s). "
                "Pass the argument to explain by position, or set argnums to its place."
            )
    return args[argnums] if isinstance(argnums, int) else tuple(args[p] for p in positions)


def checked_input(x: PyTree, *, floating: bool = True) -> PyTree:
    """`x` as arrays; raise unless all leaves are floating and, where known, finite."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        dtype = jnp.result_type(leaf) if not hasattr(leaf, "dtype") else leaf.dtype
        if floating and not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{path_name(path)} has dtype {dtype}, but only floating-point inputs can be "
                "explained: a derivative needs a continuous value. Convert a picture with "
                "x.astype(jnp.float32). Token ids have no derivative: explain their embeddings, "
                "with a function of the embedding (cut the model at its embedding layer), or "
                "pass the ids as another argument and set argnums."
            )
    if not jax.tree.leaves(x):
        raise TypeError(
            "The argument to explain holds no arrays: pass an array or a pytree of arrays."
        )
    if (where := first_nonfinite(x, "x")) is not None:
        raise ValueError(
            f"The input to explain is not finite: {where}. Replace NaN and infinity before "
            "explaining, for instance with jnp.nan_to_num(x)."
        )
    return jax.tree.map(jnp.asarray, x)


def check_score(y: Any, f: Model) -> jax.Array:
    """`y` if it is one real number; otherwise an error that says how to make it one."""
    if isinstance(y, float):
        return jnp.asarray(y)
    shape: tuple[int, ...] | None = getattr(y, "shape", None)
    if shape == () and jnp.issubdtype(y.dtype, jnp.floating):
        return jnp.asarray(y)
    raise TypeError(
        f"{name_of(f)} must return one real number to explain, but returned "
        f"{describe(y, 'output')}. {_score_remedy(y, shape)}"
    )


def _score_remedy(y: Any, shape: tuple[int, ...] | None) -> str:
    if isinstance(y, tuple) and len(y) == 2 and isinstance(y[1], dict):
        return (
            "This looks like a Flax model applied with mutable=[...], which returns (output, "
            "updates): apply it in evaluation mode, with train=False (use_running_average=True) "
            "and without mutable."
        )
    if shape is None:
        return "Return one of its parts, for instance lambda x: f(x)[0]."
    if shape == ():
        return "Return a floating-point score, not an index or a truth value."
    if shape[0] == 1:
        return (
            "The leading axis of size 1 looks like a batch: use jaxplain.unbatch(f) on the model, "
            "then jaxplain.select(...) to choose an output."
        )
    return (
        "Choose one output with jaxplain.select(f), called as select(f)(x, k, ...), or sum them. "
        "If the leading axis is a batch, explain one example and map: "
        "jax.vmap(explain)(xs)."
    )


def check_averageable(value: PyTree, g: Callable[..., Any], who: str) -> None:
    """Raise unless all leaves are floating: counts and flags have no average."""
    for leaf in jax.tree.leaves(value):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(
                f"{who} averages floating-point results, but {name_of(g)} returned "
                f"{describe(value, 'result')}. Build the inner attribution without info=True."
            )


def call_model(g: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return g(*args, **kwargs)
    except Exception as error:
        # By name, so that Flax stays optional.
        if type(error).__name__ in ("ModifyScopeVariableError", "TraceContextError"):
            raise ValueError(
                f"{name_of(g)} tried to update its state while being explained, as BatchNorm does "
                "in training mode. Explain the model in evaluation mode: train=False or "
                "use_running_average=True in linen, model.eval() in nnx."
            ) from error
        raise


def name_of(g: Callable[..., Any]) -> str:
    """A name for messages."""
    while isinstance(g, functools.partial):
        g = g.func
    return getattr(g, "__name__", type(g).__name__)


def named(
    explain: Callable[..., Any],
    transform: str,
    g: Callable[..., Any],
    *,
    random: bool = False,
    baseline: str | None = None,
) -> Attribution:
    """Give the transformed function a telling name, and mark what it needs beside its arguments.

    `baseline` is `"one"` or `"set"` for what `baseline=` may be; combinators leave it to `g`.
    """
    explain.__name__ = explain.__qualname__ = f"{transform}({name_of(g)})"
    explain.__doc__ = f"{transform} of {name_of(g)}: same arguments, see `jaxplain.{transform}`."
    if random:
        explain.__needs_key__ = True  # type: ignore[attr-defined]
    explain.__takes_baseline__ = baseline or baseline_of(explain) or baseline_of(g)  # type: ignore[attr-defined]
    return explain


def baseline_of(g: Callable[..., Any]) -> str | None:
    """What an attribution takes as `baseline=`: one like `x`, a set of them, or nothing."""
    known: str | None = getattr(g, "__takes_baseline__", None)
    if known is not None:
        return known
    try:
        return "one" if "baseline" in inspect.signature(g).parameters else None
    except (TypeError, ValueError):  # some callables have no signature
        return None
