"""DeepLIFT of dense networks in NumPy and float64, slowly, one pair of units at a time.

Written from section 3.5 of Shrikumar et al. 2017, and from the authors' package where the paper is
silent. Nothing here uses the library or JAX.

A network is a list of layers: `weights` of shape (inputs, outputs), biases, the activation that
follows, and the rule of that activation. A convolution is such a layer too: most weights are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Function = Callable[[float], float]


class Activation(NamedTuple):
    """A function of one number, and its derivative."""

    value: Function
    slope: Function


ACTIVATIONS = {
    "relu": Activation(lambda z: max(z, 0.0), lambda z: float(z > 0)),
    "tanh": Activation(math.tanh, lambda z: 1 - math.tanh(z) ** 2),
    "sigmoid": Activation(
        lambda z: 1 / (1 + math.exp(-z)), lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2
    ),
    "identity": Activation(lambda z: z, lambda z: 1.0),
}


class Layer(NamedTuple):
    """A dense layer and its activation."""

    weights: Array
    biases: Array
    activation: str
    rule: str  # "rescale" or "reveal_cancel"


class Multipliers(NamedTuple):
    """Of one value: for the positive and for the negative part of its difference."""

    positive: float
    negative: float


def forward(layers: Sequence[Layer], x: Array) -> list[tuple[Array, Array]]:
    """What each layer adds up, and what its activation makes of it."""
    steps = []
    for layer in layers:
        sums = x @ layer.weights + layer.biases
        x = np.array([ACTIVATIONS[layer.activation].value(float(z)) for z in sums])
        steps.append((sums, x))
    return steps


def contributions(layers: Sequence[Layer], x: Array, reference: Array, output: int = 0) -> Array:
    """The contributions of the inputs to the change of one output."""
    here, there = forward(layers, x), forward(layers, reference)
    width = layers[-1].weights.shape[1]
    # How much the score changes for each unit of change of the values above the current layer.
    above = [float(i == output) for i in range(width)]
    for place in reversed(range(len(layers))):
        layer = layers[place]
        below = (x, reference) if place == 0 else (here[place - 1][1], there[place - 1][1])
        changes = below[0] - below[1]
        parts = [parts_of(changes, layer.weights[:, j]) for j in range(len(above))]
        multipliers = [
            through_activation(layer, float(there[place][0][j]), *parts[j], above[j])
            for j in range(len(above))
        ]
        above = [
            through_weights(float(changes[i]), layer.weights[i], multipliers)
            for i in range(len(changes))
        ]
    return np.array(above) * (x - reference)


def parts_of(changes: Array, weights: Array) -> tuple[float, float]:
    """Section 3.5.1: the positive and the negative ones among the terms w_i Δx_i, added up."""
    terms = [float(w * d) for w, d in zip(weights, changes, strict=True)]
    return sum(t for t in terms if t > 0), sum(t for t in terms if t < 0)


def through_activation(
    layer: Layer, reference: float, rise: float, fall: float, above: float
) -> Multipliers:
    """The multipliers of the two parts of a sum, from the multiplier of the activation of it."""
    f = ACTIVATIONS[layer.activation].value
    slope = ACTIVATIONS[layer.activation].slope
    up, down, both = reference + rise, reference + fall, reference + rise + fall
    if layer.rule == "rescale":  # section 3.5.2: one multiplier for both parts
        change = both - reference
        multiplier = (f(both) - f(reference)) / change if change else slope(both)
        return Multipliers(above * multiplier, above * multiplier)
    # Section 3.5.3: either part first and second, on the average.
    gained = 0.5 * (f(up) - f(reference)) + 0.5 * (f(both) - f(down))
    lost = 0.5 * (f(down) - f(reference)) + 0.5 * (f(both) - f(up))
    # Where a part is zero, the limit. (The authors' package divides by 1e-7 instead.)
    positive = gained / rise if rise else 0.5 * (slope(reference) + slope(down))
    negative = lost / fall if fall else 0.5 * (slope(reference) + slope(up))
    return Multipliers(above * positive, above * negative)


def through_weights(change: float, weights: Array, multipliers: Sequence[Multipliers]) -> float:
    """Sections 3.5.1: by the sign of each term w Δx, and half of either where Δx is zero."""
    total = 0.0
    for w, m in zip(weights, multipliers, strict=True):
        if w * change > 0:
            total += w * m.positive
        elif w * change < 0:
            total += w * m.negative
        else:
            total += w * 0.5 * (m.positive + m.negative)
    return total


def unrolled(kernel: Array, length: int) -> Array:
    """The weights of a 1-D convolution without padding, as those of a dense layer.

    The kernel is (width, channels, features); inputs are (length, channels) and outputs
    (positions, features), row by row.
    """
    width, channels, features = kernel.shape
    positions = length - width + 1
    weights = np.zeros((length, channels, positions, features))
    for position in range(positions):
        for k in range(width):
            weights[position + k, :, position, :] = kernel[k]
    return weights.reshape(length * channels, positions * features)
