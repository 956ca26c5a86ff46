"""Layer methods in NumPy and float64, slowly, from the papers' formulas; and a network to try."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray
NAMES = ("low", "high")


@dataclasses.dataclass(frozen=True, eq=False)
class Net:
    """Two named layers; the score also reads the first layer, and the input if `around` is 1."""

    first: Array
    second: Array
    readout: Array
    side: Array
    direct: Array
    around: float

    def __call__(self, x: Any) -> Any:
        first, second, readout, side, direct = (
            jnp.asarray(w, x.dtype)
            for w in (self.first, self.second, self.readout, self.side, self.direct)
        )
        with jax.named_scope("low"):
            low = jnp.tanh(x @ first)
        with jax.named_scope("high"):
            high = jnp.tanh(low @ second)
        around = jnp.asarray(self.around, x.dtype) * jnp.sin(x) @ direct
        return high @ readout + low @ side + around

    def layers(self, x: Array) -> dict[str, Array]:
        """The values of both layers."""
        low = np.tanh(x @ self.first)
        return {"low": low, "high": np.tanh(low @ self.second)}

    def top(self, at: str, h: Array, x: Array) -> float:
        """The score if a layer were `h`."""
        low = h if at == "low" else self.layers(x)["low"]
        high = h if at == "high" else np.tanh(low @ self.second)
        around = self.around * np.sin(x) @ self.direct
        return float(high @ self.readout + low @ self.side + around)

    def slope(self, at: str, x: Array) -> Array:
        """The derivative of the score by a layer."""
        if at == "high":
            return self.readout
        return self.second @ (self.readout * (1 - self.layers(x)["high"] ** 2)) + self.side

    def jacobian(self, at: str, x: Array) -> Array:
        """The derivative of a layer by the input: one row for each unit."""
        low, high = self.layers(x).values()
        below = (1 - low**2)[:, None] * self.first.T
        return below if at == "low" else (1 - high**2)[:, None] * (self.second.T @ below)


def net(around: float = 0.0) -> Net:
    normal = np.random.default_rng(0).normal
    shapes = ((4, 5), (5, 3), 3, 5, 4)
    return Net(*(normal(size=shape) for shape in shapes), around=around)


def conductance(f: Net, at: str, x: Array, baseline: Array, steps: int, rule: str) -> Array:
    """Gradients times differences of a layer's values, interval by interval."""
    points = [baseline + k / steps * (x - baseline) for k in range(steps + 1)]
    total = np.zeros_like(f.layers(x)[at])
    for start, end in zip(points, points[1:], strict=False):
        left, right = f.slope(at, start), f.slope(at, end)
        slope = {"left": left, "right": right, "trapezoid": (left + right) / 2}[rule]
        total += slope * (f.layers(end)[at] - f.layers(start)[at])
    return total


def neuron_conductance(
    f: Net, at: str, index: int, x: Array, baseline: Array, nodes: Array, weights: Array
) -> Array:
    """The chain rule by way of one unit, integrated."""
    total = np.zeros_like(x)
    for node, weight in zip(nodes, weights, strict=True):
        point = baseline + node * (x - baseline)
        total += weight * f.slope(at, point)[index] * f.jacobian(at, point)[index]
    return (x - baseline) * total


def internal_influence(
    f: Net, at: str, x: Array, baseline: Array, nodes: Array, weights: Array
) -> Array:
    """The mean gradient by the layer on the way."""
    slopes = [f.slope(at, baseline + node * (x - baseline)) for node in nodes]
    return np.sum(np.asarray(weights)[:, None] * np.stack(slopes), axis=0)


def activation_patching(f: Net, at: str, x: Array, other: Array, groups: Array) -> Array:
    """The score less that with a group of units as they are at the other input."""
    ours, theirs = f.layers(x)[at], f.layers(other)[at]
    return np.array(
        [
            f.top(at, ours, x) - f.top(at, np.where(groups == group, theirs, ours), x)
            for group in groups
        ]
    )


def attribution_patching(f: Net, at: str, x: Array, other: Array) -> Array:
    """The same to first order."""
    return (f.layers(x)[at] - f.layers(other)[at]) * f.slope(at, x)
