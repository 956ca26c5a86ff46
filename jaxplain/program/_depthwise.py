"""Depthwise convolutions as sums over the places of the window.

XLA:CPU runs a convolution with one group for each channel in a naive loop, tens of times slower
than the multiplications take.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._trace import Equation
from ._weave import counts, edges, phases_of, woven

# Windows of more places than this are left to XLA: the program would grow with them.
_MOST_PLACES = 64


def is_depthwise(equation: Equation) -> bool:
    """Whether each channel of a convolution is filtered by itself, one output for each."""
    if equation.primitive is not jax.lax.conv_general_dilated_p:
        return False
    params, (data, kernel) = equation.eqn.params, equation.inputs
    numbers = params["dimension_numbers"]
    channels = data.aval.shape[numbers.lhs_spec[1]]
    outputs, inputs, *window = (kernel.aval.shape[axis] for axis in numbers.rhs_spec)
    return bool(
        1 < channels == params["feature_group_count"] == outputs
        and inputs == params["batch_group_count"] == 1
        and (_is_forward(params) or all(s == 1 for s in params["window_strides"]))
        and math.prod(window) <= _MOST_PLACES
        and data.aval.dtype == kernel.aval.dtype == equation.outputs[0].aval.dtype
        and data.aval.dtype.itemsize >= 4  # narrower ones would lose digits in the sum
    )


def _is_forward(params: dict[str, Any]) -> bool:
    """Whether it is a layer of a network, not the derivative of one that strides or pads."""
    edges = itertools.chain.from_iterable(params["padding"])
    return all(d == 1 for d in params["lhs_dilation"]) and min(edges) >= 0


def depthwise(equation: Equation, operands: Sequence[Any]) -> jax.Array:
    """The same convolution: at each place of the window a shifted picture times one weight."""
    params = equation.eqn.params
    numbers = params["dimension_numbers"]
    batch, feature, *space = numbers.lhs_spec
    outputs, inputs, *window = numbers.rhs_spec
    picture = jax.lax.transpose(operands[0], (batch, *space, feature))
    kernel = jax.lax.transpose(operands[1], (*window, inputs, outputs))[..., 0, :]
    batch, feature, *space = numbers.out_spec
    back = np.argsort((batch, *space, feature))
    if _is_forward(params):
        geometry = _Geometry(params["padding"], params["window_strides"], params["rhs_dilation"])
        result = _filter(picture, kernel, geometry)
    else:
        lows = [low for low, _ in params["padding"]]
        shape = [equation.outputs[0].shape[axis] for axis in space]
        strides, dilation = params["lhs_dilation"], params["rhs_dilation"]
        result = _spread(picture, kernel, lows, dilation, strides, shape)
    return jax.lax.transpose(result, tuple(int(axis) for axis in back))


@dataclasses.dataclass(frozen=True)
class _Geometry:
    """How a window moves over a picture whose channels come last."""

    padding: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]

    def padded(self, picture: jax.Array) -> jax.Array:
        return jnp.pad(picture, [(0, 0), *self.padding, (0, 0)])


def _filter(picture: jax.Array, kernel: jax.Array, geometry: _Geometry) -> jax.Array:
    picture = geometry.padded(picture)
    axes = zip(
        picture.shape[1:-1], kernel.shape[:-1], geometry.strides, geometry.dilation, strict=True
    )
    sizes = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in axes]
    terms = [
        ([p * d for p, d in zip(place, geometry.dilation, strict=True)], place)
        for place in _places(kernel)
    ]
    return _taps(picture, kernel, terms, sizes, geometry.strides)


def _taps(
    picture: jax.Array,
    kernel: jax.Array,
    terms: Sequence[tuple[list[int], tuple[int, ...]]],
    sizes: list[int],
    strides: Sequence[int],
) -> jax.Array:
    """The sum of parts of a picture, from each start on, times the weight of its place."""
    total: Any = jnp.zeros((), picture.dtype)
    for start, place in terms:
        stop = [b + (n - 1) * s + 1 for b, n, s in zip(start, sizes, strides, strict=True)]
        part = jax.lax.slice(
            picture,
            (0, *start, 0),
            (picture.shape[0], *stop, picture.shape[-1]),
            (1, *strides, 1),
        )
        total = total + part * kernel[place].reshape((1,) * (part.ndim - 1) + (-1,))
    return jnp.broadcast_to(total, (picture.shape[0], *sizes, picture.shape[-1]))


def _places(kernel: jax.Array) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, kernel.shape[:-1]))


def _spread(
    picture: jax.Array,
    kernel: jax.Array,
    lows: Sequence[int],
    dilation: Sequence[int],
    strides: Sequence[int],
    shape: Sequence[int],
) -> jax.Array:
    """A window over the picture with zeros between its values, one phase after the other.

    Position `q` of the result reads position `q + p d - low` of the widened picture at place `p`,
    which is a value of the picture if a whole number of strides leads there.
    """
    sizes = counts(shape, strides)
    reads = []
    for phase in phases_of(strides):
        terms = []
        for place in _places(kernel):
            lags = [r + p * d - b for r, p, d, b in zip(phase, place, dilation, lows, strict=True)]
            if all(lag % s == 0 for lag, s in zip(lags, strides, strict=True)):
                terms.append(([lag // s for lag, s in zip(lags, strides, strict=True)], place))
        reads.append(terms)
    border = edges((start for terms in reads for start, _ in terms), sizes, picture.shape[1:-1])
    padded = jnp.pad(picture, [(0, 0), *border, (0, 0)])

    def inside(start: Sequence[int]) -> list[int]:
        return [n + before for n, (before, _) in zip(start, border, strict=True)]

    once = (1,) * len(sizes)
    phases = [
        _taps(padded, kernel, [(inside(start), place) for start, place in terms], sizes, once)
        for terms in reads
    ]
    ends = picture.shape[0], picture.shape[-1]
    return woven(phases, (1, *strides, 1), (ends[0], *shape, ends[1]))
