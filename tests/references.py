"""Slow references in NumPy and float64, written straight from the papers' formulas.

A `gradient` is any function from a point to the gradient there. Nothing here uses the library. The
small networks to try it on know their own gradient, so that no reference uses JAX either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

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


# ----------------------------------------------------------------------------------- relevance


class Shared(NamedTuple):
    """Where the relevance of a layer's outputs went."""

    inputs: Array  # (n,)
    weights: Array  # (n, m), what went through each weight
    bias: Array  # (m,)
    stabilizer: Array  # (m,), to units without contributions of the right sign included


def _share(
    contribution: Callable[[int, int], float],
    offsets: Array,
    relevance: Array,
    epsilon: float,
    n: int,
) -> Shared:
    """Share each unit's relevance in proportion to contributions; `0 / 0` is 0, `sgn(0)` is 1."""
    through = np.zeros((n, len(relevance)))
    bias, stabilizer = np.zeros(len(relevance)), np.zeros(len(relevance))
    for j, received in enumerate(relevance):
        parts = [contribution(i, j) for i in range(n)]
        z = sum(parts) + offsets[j]
        denominator = z + epsilon if z >= 0 else z - epsilon
        q = received / denominator if denominator != 0 else 0.0
        for i in range(n):
            through[i, j] = parts[i] * q
        bias[j] = offsets[j] * q
        stabilizer[j] = received - z * q
    return Shared(through.sum(axis=1), through, bias, stabilizer)


def _plus(value: Any) -> Any:
    return np.where(value > 0, value, 0.0)


def _minus(value: Any) -> Any:
    return np.where(value < 0, value, 0.0)


def lrp_epsilon(x: Array, w: Array, b: Array, relevance: Array, epsilon: float = 1e-6) -> Shared:
    """Bach et al. 2015, eq. 58 with the bias a contribution of its own."""
    return _share(lambda i, j: x[i] * w[i, j], b, relevance, epsilon, len(x))


def lrp_zero(x: Array, w: Array, b: Array, relevance: Array) -> Shared:
    """Bach et al. 2015, eq. 56."""
    return lrp_epsilon(x, w, b, relevance, 0.0)


def lrp_z_plus(x: Array, w: Array, b: Array, relevance: Array, epsilon: float = 1e-6) -> Shared:
    """Montavon et al. 2017, and for inputs of both signs the positive products."""

    def positive(i: int, j: int) -> float:
        return _plus(x[i]) * _plus(w[i, j]) + _minus(x[i]) * _minus(w[i, j])

    return _share(positive, _plus(b), relevance, epsilon, len(x))


def lrp_alpha_beta(
    x: Array,
    w: Array,
    b: Array,
    relevance: Array,
    alpha: float = 2.0,
    beta: float = 1.0,
    epsilon: float = 1e-6,
) -> Shared:
    """Bach et al. 2015, eq. 60: positive products weighted by alpha, negative ones by beta."""

    def negative(i: int, j: int) -> float:
        return _plus(x[i]) * _minus(w[i, j]) + _minus(x[i]) * _plus(w[i, j])

    above = lrp_z_plus(x, w, b, relevance, epsilon)
    below = _share(negative, _minus(b), relevance, epsilon, len(x))
    return Shared(*(alpha * p - beta * n for p, n in zip(above, below, strict=True)))


def lrp_gamma(
    x: Array, w: Array, b: Array, relevance: Array, gamma: float = 0.25, epsilon: float = 1e-6
) -> Shared:
    """Montavon et al. 2019, in the form of Andéol et al. 2021 for inputs and outputs of any sign.

    What a unit whose output is zero received stays with the stabiliser.
    """
    n, m = w.shape
    z = [sum(x[i] * w[i, j] for i in range(n)) + b[j] for j in range(m)]

    def favoured(i: int, j: int) -> float:
        own, other = (_plus, _minus) if z[j] > 0 else (_minus, _plus)
        upper, lower = w[i, j] + gamma * own(w[i, j]), w[i, j] + gamma * other(w[i, j])
        return _plus(x[i]) * upper + _minus(x[i]) * lower

    offsets = [b[j] + gamma * (_plus(b[j]) if z[j] > 0 else _minus(b[j])) for j in range(m)]
    dead = np.array([z[j] == 0 for j in range(m)])
    shared = _share(favoured, np.array(offsets), np.where(dead, 0, relevance), epsilon, n)
    return shared._replace(stabilizer=np.where(dead, relevance, shared.stabilizer))


def lrp_interpolated(
    x: Array, w: Array, b: Array, relevance: Array, gamma: float, epsilon: float = 1e-6
) -> Shared:
    """Montavon et al. 2018: positive products, and gamma times the negative ones."""

    def weighted(i: int, j: int) -> float:
        product = x[i] * w[i, j]
        return _plus(product) + gamma * _minus(product)

    return _share(weighted, _plus(b) + gamma * _minus(b), relevance, epsilon, len(x))


def lrp_z_box(
    x: Array,
    w: Array,
    b: Array,
    relevance: Array,
    low: Array,
    high: Array,
    epsilon: float = 1e-6,
) -> Shared:
    """Montavon et al. 2017, eq. 15: from the corner of the box that turns a unit off most."""

    def boxed(i: int, j: int) -> float:
        return x[i] * w[i, j] - low[i] * _plus(w[i, j]) - high[i] * _minus(w[i, j])

    return _share(boxed, 0 * b, relevance, epsilon, len(x))


def lrp_w_square(x: Array, w: Array, b: Array, relevance: Array, epsilon: float = 1e-6) -> Shared:
    """Montavon et al. 2017, eq. 12."""
    return _share(lambda i, j: w[i, j] ** 2, 0 * b, relevance, epsilon, len(x))


def lrp_flat(x: Array, w: Array, b: Array, relevance: Array, epsilon: float = 1e-6) -> Shared:
    """Lapuschkin et al. 2019: evenly; a weight of exactly zero is no connection."""
    return _share(lambda i, j: float(w[i, j] != 0), 0 * b, relevance, epsilon, len(x))


def lrp_product(a: Array, b: Array, relevance: Array) -> tuple[Array, Array]:
    """Achtibat et al. 2024, Proposition 3.2: each factor of an elementwise product gets half."""
    return relevance / 2 + 0 * a, relevance / 2 + 0 * b


def lrp_matrix_product(
    a: Array, b: Array, relevance: Array, epsilon: float = 1e-6
) -> tuple[Array, Array]:
    """Achtibat et al. 2024, eq. 14: the products in a sum by LRP-epsilon, each halved."""
    to_a, to_b = np.zeros_like(a), np.zeros_like(b)
    for i, j in np.ndindex(relevance.shape):
        z = sum(a[i, k] * b[k, j] for k in range(a.shape[1]))
        q = relevance[i, j] / (z + epsilon if z >= 0 else z - epsilon)
        for k in range(a.shape[1]):
            to_a[i, k] += a[i, k] * b[k, j] * q / 2
            to_b[k, j] += a[i, k] * b[k, j] * q / 2
    return to_a, to_b


def lrp_softmax(x: Array, relevance: Array) -> Array:
    """Achtibat et al. 2024, Proposition 3.1: x_i (R_i - s_i sum R); a logit of -inf counts as 0."""
    weights = [math.exp(v - max(x)) for v in x]
    shares = [weight / sum(weights) for weight in weights]
    received = sum(relevance)
    finite = [v if math.isfinite(v) else 0.0 for v in x]
    parts = zip(finite, relevance, shares, strict=True)
    return np.array([v * (r - s * received) for v, r, s in parts])


def lrp_log_softmax(x: Array, relevance: Array, epsilon: float = 1e-6) -> Array:
    """The same expansion, sum_j x_i dy_j/dx_i R_j / y_j, of y = x - logsumexp(x)."""
    total = math.log(sum(math.exp(v) for v in x))
    result = np.zeros_like(x)
    for i, j in np.ndindex(len(x), len(x)):
        y = x[j] - total
        derivative = float(i == j) - math.exp(x[i] - total)
        result[i] += x[i] * derivative * relevance[j] / (y + epsilon if y >= 0 else y - epsilon)
    return result


def lrp_logsumexp(x: Array, relevance: float, epsilon: float = 1e-6) -> Array:
    """The same expansion of one number, log(sum(exp(x)))."""
    y = math.log(sum(math.exp(v) for v in x))
    q = relevance / (y + epsilon if y >= 0 else y - epsilon)
    return np.array([v * math.exp(v - y) * q for v in x])


def lrp_layer_norm(
    x: Array,
    scale: Array,
    shift: Array,
    relevance: Array,
    small: float,
    epsilon: float = 1e-6,
    *,
    center: bool = True,
) -> Shared:
    """Ali et al. 2022: the deviation held constant, the rest is affine: by LRP-epsilon.

    Without `center` it is RMSNorm.
    """
    n = len(x)
    mean = sum(x) / n if center else 0.0
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / n + small)
    w = np.zeros((n, n))
    for i, j in np.ndindex(n, n):
        w[i, j] = scale[j] * (float(i == j) - (1 / n if center else 0.0)) / deviation
    return lrp_epsilon(x, w, shift, relevance, epsilon)


def unrolled(layer: Callable[[Array], Any], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """An affine layer as a dense one: weights (n, m) and biases (m,), from its values at units."""
    n = math.prod(shape)
    b = np.ravel(layer(np.zeros(shape)))
    rows = [np.ravel(layer(np.reshape(unit, shape))) - b for unit in np.eye(n)]
    w = np.stack(rows)
    # Weights that are not there come out as differences of equal numbers, but for rounding.
    return np.where(np.abs(w) < 1e-12, 0.0, w), b
