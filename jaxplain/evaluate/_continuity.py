"""How much an explanation changes while the input is moved sideways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import Score, checked_input
from .._errors import check_chunk, check_count
from .._tree import path_name
from .._types import Argnums, Chunk, Model, PyTree, Scalar
from ._nearby import explanation
from ._norms import distance, manhattan, ratio
from ._subjects import Attributions, Explain, of_methods


def continuity(
    f: Model,
    attribution: Attributions,
    *,
    shifts: int = 4,
    axis: int = -2,
    fill: Scalar = 0.0,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The largest change of the explanation per change of the input, over translations.

    $\max_t \|A(x) - A(x^{(t)})\|_1 \,/\, \|x - x^{(t)}\|_2$ where $x^{(t)}$ is $x$ moved by $t$
    positions, for $t$ from `-shifts` to `shifts`. Less is better: nearly the same inputs should
    have nearly the same explanations.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a function with the arguments of `f`, or a dictionary of several. Their
            baselines are bound with `functools.partial`.
        shifts: by up to how many positions (pixels) to either side.
        axis: along which axis; -2 is the width of a picture with channels, or the positions of a
            sequence of vectors.
        fill: what comes in from outside, in units of the input.
        chunk: at most this many attributions per example are live at once; "auto" for as many as
            run fast, None for all.
        argnums: the argument (or arguments) that is explained, floating point.

    Returns:
        A function with the arguments of `f`, and `key=` if an attribution needs one, that returns
        a number, or a dictionary of them, in units of the attribution per unit of the input.

    Raises:
        ValueError: an option is invalid; when called, if the input has no such axis, or nothing of
            it would be left.
        TypeError: when called, for an input that is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> x = jnp.array([[0.0], [0.0], [1.0], [0.0], [0.0]])
        >>> methods = {"gradient": jax.grad(f), "constant": jnp.ones_like}
        >>> found = evaluate.continuity(f, methods, shifts=2)(x)
        >>> round(float(found["gradient"]), 3), float(found["constant"])
        (2.828, 0.0)

    Notes:
        The paper's maximum is over all pairs of inputs; here one of them is `x`. It scales with the
        attribution: compare methods of the same units. A translation that does not change the
        input counts as 0.

    References:
        Montavon, Samek and Mueller 2018, Methods for interpreting and understanding deep neural
        networks, Digital Signal Processing.
    """
    check_count("shifts", shifts)
    check_chunk(chunk)

    def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> jax.Array:
        del score, key
        x = checked_input(x)
        _check_room(x, axis, shifts)
        here = explanation(explain, x)

        def slope(shift: jax.Array) -> jax.Array:
            moved = jax.tree.map(lambda leaf: _translated(leaf, shift, axis, fill), x)
            change = manhattan(explanation(explain, moved), here)
            return ratio(change, distance(moved, x))

        ways = [shift for shift in range(-shifts, shifts + 1) if shift]
        return jnp.max(stack(slope, jnp.asarray(np.array(ways, np.int32)), chunk=chunk))

    return of_methods(f, attribution, measure, name="continuity", argnums=argnums)


def _translated(leaf: jax.Array, shift: jax.Array, axis: int, fill: Scalar) -> jax.Array:
    """`leaf` moved towards higher positions, by a number that may be traced."""
    size = leaf.shape[axis]
    sources = jnp.arange(size, dtype=jnp.int32) - shift
    column = [1] * leaf.ndim
    column[axis] = size
    inside = ((sources >= 0) & (sources < size)).reshape(column)
    taken = jnp.take(leaf, jnp.clip(sources, 0, size - 1), axis=axis)
    return jnp.where(inside, taken, jnp.asarray(fill, leaf.dtype))


def _check_room(x: PyTree, axis: int, shifts: int) -> None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        if not -leaf.ndim <= axis < leaf.ndim:
            raise ValueError(
                f"axis={axis} is no axis of {path_name(path)}, of shape {leaf.shape}: name the one "
                f"to move along, from {-leaf.ndim} to {leaf.ndim - 1}."
            )
        if shifts >= leaf.shape[axis]:
            raise ValueError(
                f"shifts={shifts} moves {path_name(path)}, of shape {leaf.shape}, out of sight "
                f"along axis={axis}: give at most {leaf.shape[axis] - 1}."
            )
