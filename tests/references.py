"""Slow references in NumPy and float64, written straight from the papers' formulas.

A `gradient` is any function from a point to the gradient there. Nothing here uses the library. The
small networks to try it on know their own gradient, so that no reference uses JAX either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

Array = np.ndarray
Gradient = Callable[[Array], Array]

# ------------------------------------------------------------------------------ small networks


@dataclasses.dataclass(frozen=True, eq=False)
class Net:
    """A network with two hidden layers, callable from JAX, and its gradient by the chain rule."""

    name: str
    traced: Callable[[Any], Any]  # the activation, for JAX
    activation: Gradient  # the same, for NumPy
    slope: Gradient
    first: Array
    second: Array
    last: Array
    biases: tuple[Array, Array]

    def __call__(self, x: Any) -> Any:
        hidden = self.traced(x.ravel() @ self.first + self.biases[0])
        return self.traced(hidden @ self.second + self.biases[1]) @ self.last

    def gradient(self, x: Array) -> Array:
        below = np.ravel(x) @ self.first + self.biases[0]
        above = self.activation(below) @ self.second + self.biases[1]
        error = self.second @ (self.slope(above) * self.last)
        return (self.first @ (self.slope(below) * error)).reshape(np.shape(x))


def net(name: str, size: int = 5, width: int = 7, *, biased: bool = True) -> Net:
    """A random network with smooth ("tanh") or kinked ("relu") hidden units."""
    traced, activation, slope = {
        "tanh": (jax.numpy.tanh, np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        "relu": (jax.nn.relu, lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    }[name]
    normal = np.random.default_rng(0).normal
    first, second = normal(size=(size, width)) / size**0.5, normal(size=(width, width)) / width**0.5
    last, biases = normal(size=width), normal(size=(2, width)) / 2 * biased
    return Net(name, traced, activation, slope, first, second, last, (biases[0], biases[1]))


NETS = [net("tanh"), net("relu")]


def visited(make: Callable[[Any], Any], f: Callable[..., Any], *args: Any, **kwargs: Any) -> Array:
    """The points at which the explanation `make(f)(*args)` evaluates `f`, in any order."""
    points: list[Array] = []

    def watched(x: Any, *rest: Any) -> Any:
        jax.debug.callback(lambda point: points.append(np.array(point)), x)
        return f(x, *rest)

    jax.jit(make(watched))(*args, **kwargs)
    jax.effects_barrier()
    return np.stack(points)


# -------------------------------------------------------------------------------- path methods


def quadrature(rule: str, n: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1]; Gauss-Legendre from the Jacobi matrix (Golub, Welsch 1969)."""
    if rule == "gauss_legendre":
        off = np.diag([k / math.sqrt(4 * k**2 - 1) for k in range(1, n)], 1)
        nodes, vectors = np.linalg.eigh(off + off.T)
        return (1 + nodes) / 2, vectors[0] ** 2
    if rule == "trapezoid":
        ends = [0.5 if k in (0, n - 1) else 1.0 for k in range(n)]
        return np.array([k / (n - 1) for k in range(n)]), np.array(ends) / (n - 1)
    shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return np.array([(k + shift) / n for k in range(n)]), np.array([1 / n] * n)


def composite(nodes: Array, weights: Array, panels: int) -> tuple[Array, Array]:
    """A rule repeated on equal sub-intervals."""
    starts = np.arange(panels) / panels
    return (starts[:, None] + nodes / panels).ravel(), np.tile(weights / panels, panels)


def path_integral(
    gradient: Gradient, x: Array, baseline: Array, nodes: Array, weights: Array
) -> Array:
    """Sundararajan et al. 2017: the average gradient on the straight line, times the way."""
    average = sum(
        weight * gradient(baseline + node * (x - baseline))
        for node, weight in zip(nodes, weights, strict=True)
    )
    return (x - baseline) * average


def curve_integral(
    gradient: Gradient, curve: Callable[[float], Array], nodes: Array, weights: Array
) -> Array:
    """The gradient along any curve times its velocity, the latter by finite differences."""
    return sum(
        weight * gradient(curve(node)) * velocity(curve, node)
        for node, weight in zip(nodes, weights, strict=True)
    )


def velocity(curve: Callable[[float], Array], alpha: float, step: float = 1e-4) -> Array:
    """Derivative of a curve by central differences of fourth order."""
    near = curve(alpha + step) - curve(alpha - step)
    far = curve(alpha + 2 * step) - curve(alpha - 2 * step)
    return (8 * near - far) / (12 * step)


def blur_integrated_gradients(
    gradient: Gradient, x: Array, sigma: float, nodes: Array, weights: Array
) -> Array:
    """Xu et al. 2020: the path that sharpens a picture, its blur shrinking evenly to nothing."""
    return curve_integral(gradient, lambda alpha: blur(x, (1 - alpha) * sigma), nodes, weights)


def expected_gradients(gradient: Gradient, x: Array, draws: Iterable[tuple[Array, float]]) -> Array:
    """Erion et al. 2021: the average over pairs of a baseline and a place on the line."""
    return np.mean([(x - b) * gradient(b + alpha * (x - b)) for b, alpha in draws], axis=0)


def draw_of(point: Array, x: Array, baselines: Array) -> tuple[Array, float]:
    """The baseline and the place on the line to `x` that a point of expected gradients is."""
    ways = x - baselines
    alphas = np.sum((point - baselines) * ways, axis=1) / np.sum(ways**2, axis=1)
    misses = np.linalg.norm(baselines + alphas[:, None] * ways - point, axis=1)
    best = int(np.argmin(misses))
    assert misses[best] < 1e-6, f"{point} lies on no line from a baseline to {x}"
    return baselines[best], float(alphas[best])


def guided_integrated_gradients(
    gradient: Gradient, x: Array, baseline: Array, steps: int, fraction: float, max_distance: float
) -> Array:
    """Kapishnikov et al. 2021, section 4, one feature at a time.

    `gone` is the share of its way that each feature has gone; on the straight line, all of them
    are alpha. The distance is the sum of what is left.
    """
    way = [float(d) for d in x - baseline]
    features = range(len(way))
    total = sum(abs(d) for d in way)
    gone, attribution = [0.0] * len(way), [0.0] * len(way)
    for step in range(1, steps + 1):
        slopes = gradient(baseline + np.array(gone) * way)
        alpha, before = step / steps, list(gone)
        low, high = max(alpha - max_distance, 0.0), min(alpha + max_distance, 1.0)
        gone = [max(share, low) for share in gone]
        while True:
            excess = sum((1 - gone[i]) * abs(way[i]) for i in features) - (1 - alpha) * total
            free = [i for i in features if gone[i] < high and way[i] != 0]
            if excess <= 1e-14 * total or not free:
                break
            costs = [abs(slopes[i]) if i in free else math.inf for i in features]
            threshold = sorted(costs)[math.floor(fraction * (len(way) - 1))]
            chosen = [i for i in free if costs[i] <= threshold]
            reach = sum((high - gone[i]) * abs(way[i]) for i in chosen)
            for i in chosen:
                gone[i] = high if reach <= excess else gone[i] + excess / reach * (high - gone[i])
        for i in features:
            attribution[i] += slopes[i] * (gone[i] - before[i]) * way[i]
    return np.array(attribution)


def ridge_attribution(
    activation: Gradient, directions: Array, biases: Array, last: Array, x: Array, baseline: Array
) -> Array:
    """Exact integrated gradients of sum_k v_k a(w_k . x + b_k), whatever the kinks of a.

    Each unit sees one number move from z0 to z1; its change is shared out as its input's is.
    """
    before, after = baseline @ directions + biases, x @ directions + biases
    rise = (activation(after) - activation(before)) / (after - before)
    return (x - baseline) * (directions @ (rise * last))


# --------------------------------------------------------------------------------------- noise


def smoothgrad(gradient: Gradient, x: Array, noise: Array) -> Array:
    """Smilkov et al. 2017: the mean."""
    return sum(gradient(x + n) for n in noise) / len(noise)


def smoothgrad_square(gradient: Gradient, x: Array, noise: Array) -> Array:
    """Hooker et al. 2019: the mean of the squares."""
    return sum(gradient(x + n) ** 2 for n in noise) / len(noise)


def vargrad(gradient: Gradient, x: Array, noise: Array) -> Array:
    """Adebayo et al. 2018: the variance, without bias."""
    mean = smoothgrad(gradient, x, noise)
    return sum((gradient(x + n) - mean) ** 2 for n in noise) / (len(noise) - 1)


# ----------------------------------------------------------------------------------- baselines


def blur(picture: Array, sigma: float) -> Array:
    """Gaussian blur over the first two axes; weights that fall off the picture are left out."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    blurred = np.empty_like(picture)
    for i in range(height):
        for j in range(width):
            distance = ((rows - i) ** 2 + (columns - j) ** 2) / (2 * sigma**2)
            weights = np.exp(-distance) / np.sum(np.exp(-distance))
            blurred[i, j] = np.tensordot(weights, picture, 2)
    return blurred


def maximum_distance(x: Array, low: Array, high: Array) -> Array:
    """Sturmfels et al. 2020: the farther end of each channel's range, `high` if both are as far."""
    farthest = np.empty_like(x)
    for place, value in np.ndenumerate(x):
        least, greatest = low[place[-1]], high[place[-1]]
        farthest[place] = greatest if greatest - value >= value - least else least
    return farthest
