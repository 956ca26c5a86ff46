"""The derivative of max pooling without `select_and_scatter`, a naive loop on XLA:CPU."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _compat
from ._trace import Equation
from ._weave import counts, edges, phases_of, woven

# Windows of more places than this are left to XLA: the program would grow with them.
_MOST_PLACES = 64


def is_derivative_of_max(equation: Equation) -> bool:
    """Whether an equation hands the cotangent of each window to the window's largest value."""
    if equation.primitive is not _compat.select_and_scatter_add_p:
        return False
    params = equation.eqn.params
    return bool(
        params["select_prim"] is jax.lax.ge_p
        and math.prod(params["window_dimensions"]) <= _MOST_PLACES
        and jnp.issubdtype(equation.outputs[0].aval.dtype, jnp.floating)
    )


def derivative_of_max(equation: Equation, operands: Sequence[Any]) -> jax.Array:
    """The same cotangent: first which place of each window is the largest, then a sum over places.

    Of equal values the first one in a window has it all, as XLA has it.
    """
    source, operand = operands
    params = equation.eqn.params
    window, strides = params["window_dimensions"], params["window_strides"]
    lows = [low for low, _ in params["padding"]]
    best = _best_places(operand, params, source.shape)
    # Behind a barrier, or XLA would find the place anew for each position that looks at it.
    source, best = _compat.shielded([source, best])
    sizes = counts(operand.shape, strides)
    reads = [
        [
            (place, _first_window(phase, place, lows, strides))
            for place in _aligned(window, phase, lows, strides)
        ]
        for phase in phases_of(strides)
    ]
    border = edges((start for terms in reads for _, start in terms), sizes, source.shape)
    source = jnp.pad(source, border)
    best = jnp.pad(best, border, constant_values=-1)

    def share(place: Sequence[int], start: Sequence[int]) -> jax.Array:
        along = zip(start, border, sizes, strict=True)
        here = tuple(slice(b + before, b + before + n) for b, (before, _), n in along)
        is_best = best[here] == best.dtype.type(np.ravel_multi_index(tuple(place), tuple(window)))
        return jnp.where(is_best, source[here], jnp.zeros((), source.dtype))

    zero = jnp.zeros(sizes, source.dtype)
    phases = [sum((share(*term) for term in terms), start=zero) for terms in reads]
    return woven(phases, strides, operand.shape)


def _best_places(operand: jax.Array, params: dict[str, Any], shape: Sequence[int]) -> jax.Array:
    """The number of the first place of each window that holds its largest value."""
    window, strides, padding = (
        params[name] for name in ("window_dimensions", "window_strides", "padding")
    )
    least = jnp.array(-jnp.inf, operand.dtype)
    padded = jax.lax.pad(operand, least, [(low, high, 0) for low, high in padding])
    best: Any = jnp.full(shape, -1, jnp.int8)
    value: Any = jnp.full(shape, least)
    for number, place in enumerate(itertools.product(*map(range, window))):
        stop = [p + (n - 1) * s + 1 for p, n, s in zip(place, shape, strides, strict=True)]
        part = jax.lax.slice(padded, place, stop, strides)
        larger = (part > value) | (best < 0)
        best = jnp.where(larger, jnp.int8(number), best)
        value = jnp.where(larger, part, value)
    return best  # type: ignore[no-any-return]


def _aligned(
    window: Sequence[int], phase: Sequence[int], lows: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, ...]]:
    """The places of a window at which positions of a phase can lie."""
    along = [
        [p for p in range(n) if (r + low - p) % s == 0]
        for n, r, low, s in zip(window, phase, lows, strides, strict=True)
    ]
    return list(itertools.product(*along))


def _first_window(
    phase: Sequence[int], place: Sequence[int], lows: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """The first window that has the first position of a phase at a place."""
    along = zip(phase, lows, place, strides, strict=True)
    return [(r + low - p) // s for r, low, p, s in along]
