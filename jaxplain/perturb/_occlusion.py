"""Occlusion: what the score loses when a window over the input hides what is under it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._batch import stack
from .._call import bind, named
from .._errors import check_chunk
from .._tree import widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ._windows import place_windows


def occlusion(
    f: Model,
    *,
    window: PyTree,
    stride: PyTree | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""What the score loses on average when a sliding window hides an element.

    $A_i = \frac{1}{|W_i|} \sum_{w \in W_i} f(x) - f(x_{w \leftarrow x^0})$, where $W_i$ are the
    windows that cover element $i$, and $x_{w \leftarrow x^0}$ is $x$ with all elements in window
    $w$ at their baseline.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        window: how many elements the window spans along the leading axes, such as `(8, 8)` for HW
            and HWC; it spans all of the axes that are not named and of those given as None, so
            that `(None, 8, 8)` is a window for CHW. A number for an input with one axis. For a
            pytree: the same window for all leaves, or a pytree of them; a window hides elements of
            one leaf.
        stride: how far the window moves along the same axes, at most its size; a number for all
            axes. If None, windows touch and do not overlap. Where the last window does not fit it
            is cut off at the edge.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `evaluations` and `values`, what each window's elements
            are worth together: (windows,), in the order of rows, leaf by leaf.

    Returns:
        A function with the arguments of `f` and `baseline=` (a pytree like `x`, one number, or None
        for zeros), that returns a pytree like `x`, or `(attribution, Info)`.

    Raises:
        ValueError: when called, a window or stride that does not fit `x`, or a baseline of another
            shape.
        TypeError: when called, if `f` is not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] + 2 * x[1] + 3 * x[2]
        >>> jaxplain.occlusion(f, window=2, stride=1)(jnp.ones(3))
        Array([3., 4., 5.], dtype=float32)

    Notes:
        One evaluation for each window, and one more. A small window does not hide an object, and
        what replaces it may be an object of its own: compare several sizes and baselines.
        `jaxplain.over_baselines(occlusion(f, ...))` averages over a set of baselines. The input may
        hold integers, such as token ids with the id of a mask token as baseline.

    References:
        Zeiler and Fergus 2014, Visualizing and understanding convolutional networks,
        arXiv:1311.2901.
    """
    check_chunk(chunk)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums, floating=False)
        hidden = checked_baseline(baseline, x)
        windows = place_windows(window, stride, x)
        leaves, structure = jax.tree.flatten(x)
        bases = jax.tree.leaves(hidden)

        def without(number: jax.Array) -> jax.Array:
            shown = [
                jnp.where(w.covers(number), base, leaf)
                for w, base, leaf in zip(windows, bases, leaves, strict=True)
            ]
            value: jax.Array = widen(score(jax.tree.unflatten(structure, shown)))
            return value

        count = windows[-1].end
        lost = widen(score(x)) - stack(without, jnp.arange(count, dtype=jnp.int32), chunk=chunk)
        maps = [w.average(lost, leaf) for w, leaf in zip(windows, leaves, strict=True)]
        attribution = jax.tree.unflatten(structure, maps)
        if not info:
            return attribution
        return attribution, Info(values=lost, evaluations=jnp.asarray(count + 1))

    return named(explain, "occlusion", f)
