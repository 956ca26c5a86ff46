"""Linear models fitted to another model's predictions: least squares, and logistic regression."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Linear:
    """`weights @ x + intercept`: of one output, (F,) and (), or of K classes, (K, F) and (K,)."""

    weights: Any
    intercept: Any

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(self.weights.dtype)
        result: jax.Array = jnp.dot(self.weights, x) + self.intercept
        return result


def least_squares(inputs: np.ndarray, scores: np.ndarray, dtype: Any) -> tuple[Linear, int]:
    """The linear model with the least squared error, and the rank of what it was fitted to.

    Where features are collinear, that with the smallest coefficients per standard deviation.
    """
    mean, scale = _moments(inputs)
    centre = scores.mean()
    found, _, rank, _ = np.linalg.lstsq((inputs - mean) / scale, scores - centre)
    return _in_units_of_the_data(found, centre, mean, scale, dtype), int(rank)


def logistic_regression(
    inputs: np.ndarray, labels: np.ndarray, classes: int, l2: float, dtype: Any
) -> tuple[Linear, bool]:
    r"""Multinomial logistic regression on standardised features $z$, and whether it converged.

    $\min_{W, b} \frac1n \sum_i (\log \sum_k e^{w_k \cdot z_i + b_k} - w_{y_i} \cdot z_i - b_{y_i})
    + \frac{\lambda}{2} \sum_k |w_k|^2$.
    """
    from scipy import optimize, special

    mean, scale = _moments(inputs)
    z = (inputs - mean) / scale
    truth = np.eye(classes)[labels]
    count, features = z.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        params = flat.reshape(classes, features + 1)
        weights = params[:, :-1]
        margins = z @ weights.T + params[:, -1]
        normaliser = special.logsumexp(margins, axis=1)
        value = np.mean(normaliser - np.sum(truth * margins, axis=1)) + l2 / 2 * np.sum(weights**2)
        wrong = (np.exp(margins - normaliser[:, None]) - truth) / count
        slope = np.concatenate([wrong.T @ z + l2 * weights, wrong.sum(axis=0)[:, None]], axis=1)
        return float(value), slope.ravel()

    start = np.zeros(classes * (features + 1))
    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-14, "gtol": 1e-9}
    best = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    params = best.x.reshape(classes, features + 1)
    # A number added to all classes changes nothing: their coefficients are given with mean zero.
    params = params - params.mean(axis=0)
    converged = bool(np.max(np.abs(loss(best.x)[1])) < 1e-5)
    return _in_units_of_the_data(params[:, :-1], params[:, -1], mean, scale, dtype), converged


def deviations(inputs: np.ndarray) -> np.ndarray:
    """The standard deviation of each feature, (F,); 0 for one that is constant but for rounding."""
    spread = inputs.std(axis=0)
    rounding = 8 * np.finfo(np.float64).eps * np.abs(inputs).max(axis=0)
    return np.where(spread > rounding, spread, 0.0)


def _moments(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = deviations(inputs)
    # A constant feature is centred on itself, so it gets no coefficient.
    mean = np.where(spread > 0, inputs.mean(axis=0), inputs[0])
    return mean, np.where(spread > 0, spread, 1.0)


def _in_units_of_the_data(
    weights: np.ndarray, intercept: Any, mean: np.ndarray, scale: np.ndarray, dtype: Any
) -> Linear:
    weights = weights / scale
    return Linear(jnp.asarray(weights, dtype), jnp.asarray(intercept - weights @ mean, dtype))
