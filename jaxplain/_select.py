"""Turn a model with many outputs, or with a batch axis, into a function to explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._call import name_of, named
from ._errors import is_concrete
from ._tree import describe
from ._types import Model


def select(f: Model) -> Model:
    r"""Choose one output of `f` at call time: `select(f)(x, k, *args)` is `f(x, *args)[k]`.

    The index is an ordinary argument, so `jax.vmap` explains a batch with a class each, and all
    classes of one example come from one mapped call.

    Args:
        f: a function `f(x, *args) -> array` of one example.

    Returns:
        A function `(x, k, *args) -> array`, with `k` an int, an integer array of shape (), or a
        tuple of these, as in indexing.

    Raises:
        IndexError: a concrete `k` is out of range, has more indices than the output axes,
            or would index the axis of a batch of one.
        TypeError: `k` is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> logits = lambda x: jnp.array([[1.0, 2.0], [3.0, 4.0]]) @ x
        >>> jax.grad(jaxplain.select(logits))(jnp.ones(2), 1)
        Array([3., 4.], dtype=float32)
        >>> jax.vmap(jax.grad(jaxplain.select(logits)), (None, 0))(jnp.ones(2), jnp.arange(2))
        Array([[1., 2.],
               [3., 4.]], dtype=float32)

    Notes:
        A `k` that is traced (under `jax.jit` or `jax.vmap`) cannot raise when it is out of range:
        the score, and every explanation of it, is NaN then, rather than another class's.
    """

    def selected(x: Any, k: Any, *args: Any, **kwargs: Any) -> jax.Array:
        output = f(x, *args, **kwargs)
        if not hasattr(output, "ndim"):
            raise TypeError(
                f"select indexes one array, but {name_of(f)} returned "
                f"{describe(output, 'output')}. Return one of its parts, for instance "
                "lambda x: f(x)[0]."
            )
        index = k if isinstance(k, tuple) else (k,)
        _check_index(index, output, f)
        guards = [_guard(i, n, output.dtype) for i, n in zip(index, output.shape, strict=False)]
        score: jax.Array = output[index]
        for guard in guards:
            score = score if guard is None else score * guard
        return score

    return named(selected, "select", f)


def contrast(f: Model) -> Model:
    r"""Why this output rather than that one: `contrast(f)(x, k, other)` is `f(x)[k] - f(x)[other]`.

    Args:
        f: a function `f(x, *args) -> array` of one example.

    Returns:
        A function `(x, k, other, *args) -> array`, with `k` and `other` as for `select`.

    Raises:
        IndexError: a concrete index is out of range, as for `select`.
        TypeError: an index is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> logits = lambda x: jnp.array([[1.0, 2.0], [3.0, 4.0]]) @ x
        >>> jax.grad(jaxplain.contrast(logits))(jnp.ones(2), 1, 0)
        Array([2., 2.], dtype=float32)

    Notes:
        Methods that go back layer by layer start both logits with relevance of their own sign.
    """

    def difference(x: Any, k: Any, other: Any, *args: Any, **kwargs: Any) -> jax.Array:
        output = f(x, *args, **kwargs)
        chosen = select(lambda x: output)
        result: jax.Array = chosen(x, k) - chosen(x, other)
        return result

    return named(difference, "contrast", f)


def _check_index(index: tuple[Any, ...], output: jax.Array, f: Model) -> None:
    if len(index) > output.ndim:
        raise IndexError(
            f"select got {len(index)} indices for an output of shape {output.shape} "
            f"of {name_of(f)}."
        )
    if len(index) < output.ndim and output.shape[0] == 1:
        raise IndexError(
            f"select would index a batch of one: the output of {name_of(f)} has shape "
            f"{output.shape}. Use jaxplain.unbatch on the model first."
        )
    for axis, i in enumerate(index):
        dtype = getattr(i, "dtype", np.asarray(i).dtype if is_concrete(i) else None)
        if np.ndim(i) != 0 or dtype is None or not jnp.issubdtype(dtype, jnp.integer):
            raise TypeError(
                f"select needs an integer index, or a tuple of them, but got k={i!r}. For several "
                "outputs at once map over k: jax.vmap(explain, (None, 0))(x, jnp.arange(n))."
            )
        size = output.shape[axis]
        if is_concrete(i) and not -size <= int(i) < size:
            raise IndexError(
                f"select got index {int(i)} for axis {axis} of an output of shape {output.shape}: "
                f"valid are {-size} to {size - 1}."
            )


def _guard(i: Any, size: int, dtype: Any) -> jax.Array | None:
    """1 where a traced index is in range and NaN elsewhere; None for an index already checked."""
    if is_concrete(i):
        return None
    return jnp.where((i >= -size) & (i < size), 1.0, jnp.nan).astype(dtype)


def unbatch(apply: Callable[..., Any]) -> Model:
    """Make a batched model a function of one example: `unbatch(apply)(x)` is `apply(x[None])[0]`.

    Args:
        apply: a function `apply(xs, *args)` of a batch: every leaf of `xs` and of the output has
            the batch as its leading axis. Other arguments pass through untouched.

    Returns:
        The function `(x, *args)` of one example, without the leading axis.

    Raises:
        ValueError: the output has no leading axis of size 1.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> apply = lambda xs: xs @ jnp.array([[1.0], [2.0]])
        >>> jaxplain.unbatch(apply)(jnp.array([3.0, 4.0]))
        Array([11.], dtype=float32)
    """

    def single(x: Any, *args: Any, **kwargs: Any) -> Any:
        output = apply(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], x), *args, **kwargs)

        def first(leaf: Any) -> Any:
            if np.ndim(leaf) == 0 or leaf.shape[0] != 1:
                raise ValueError(
                    f"unbatch called {name_of(apply)} with a batch of one example, but its output "
                    f"is {describe(output, 'output')}: the leading axis is not a batch of one. Is "
                    "the model a function of one example already? Then leave unbatch out."
                )
            return leaf[0]

        return jax.tree.map(first, output)

    return named(single, "unbatch", apply)
