"""LIME written out in NumPy: weights, fits with an explicit intercept, choices of features."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def distance(name: str, z: Array, origin: Array) -> float:
    """Between a sample and what is explained."""
    if name.endswith("cosine"):
        lengths = np.sqrt(np.sum(z**2) * np.sum(origin**2))
        return float(1 - (np.sum(z * origin) / lengths if lengths else 0))
    if name.endswith("euclidean"):
        return float(np.sqrt(np.sum((z - origin) ** 2)))
    return float(np.sum(z != origin) / len(z))


def kernel(name: str, d: float, width: float) -> float:
    """How much a sample at distance `d` counts."""
    whole = float(np.exp(-(d**2) / width**2))
    return whole**0.5 if name == "lime" else whole


def with_ones(rows: Array) -> Array:
    """A column of ones in front, for the intercept."""
    return np.column_stack([np.ones(len(rows)), rows])


def free(count: int) -> Array:
    """The penalised entries: all but the intercept."""
    return np.diag([0.0, *[1.0] * count])


def ridge(rows: Array, y: Array, w: Array, penalty: float) -> Array:
    """Intercept and coefficients."""
    x = with_ones(rows)
    system = x.T @ np.diag(w) @ x + penalty * free(rows.shape[1])
    return np.linalg.solve(system, x.T @ (w * y))


def ridge_errors(rows: Array, y: Array, w: Array, penalty: float) -> Array:
    """HC3: leverages and the sandwich, one sample after another."""
    x = with_ones(rows)
    inverse = np.linalg.inv(x.T @ np.diag(w) @ x + penalty * free(rows.shape[1]))
    coefficients = ridge(rows, y, w, penalty)
    meat = np.zeros_like(inverse)
    for n, row in enumerate(x):
        leverage = w[n] * row @ inverse @ row
        influence = w[n] * (y[n] - row @ coefficients) / (1 - leverage) * row
        meat += np.outer(influence, influence)
    return np.sqrt(np.diag(inverse @ meat @ inverse))[1:]


def lasso(rows: Array, y: Array, w: Array, penalty: float) -> Array:
    """Intercept and coefficients, one coordinate after another."""
    mean, level = np.average(rows, axis=0, weights=w), np.average(y, weights=w)
    x, r = rows - mean, y - level
    coefficients = np.zeros(rows.shape[1])
    for _ in range(3000):
        for j in range(len(coefficients)):
            own = np.sum(w * x[:, j] ** 2)
            pull = np.sum(w * x[:, j] * (r - x @ coefficients + x[:, j] * coefficients[j]))
            short = max(abs(pull) - penalty * np.sum(w), 0)
            coefficients[j] = np.sign(pull) * short / own if own > 0 else 0
    return np.array([level - mean @ coefficients, *coefficients])


def logistic(rows: Array, y: Array, w: Array, penalty: float) -> Array:
    """Intercept and coefficients of the log-odds, by Newton's method."""
    x = with_ones(rows)
    found = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ found))
        slope = x.T @ (w * (p - y)) + penalty * free(rows.shape[1]) @ found
        bend = x.T @ np.diag(w * p * (1 - p)) @ x + penalty * free(rows.shape[1])
        found = found - np.linalg.solve(bend, slope)
    return found


def r_squared(y: Array, fitted: Array, w: Array) -> float:
    """The weighted share of the variance that a fit explains."""
    level = np.average(y, weights=w)
    return float(1 - np.sum(w * (y - fitted) ** 2) / np.sum(w * (y - level) ** 2))


def forward(rows: Array, y: Array, w: Array, keep: int) -> set[int]:
    """The feature that raises R² most, one after the other."""
    used: list[int] = []
    for _ in range(keep):
        scores = {}
        for j in set(range(rows.shape[1])) - set(used):
            x = with_ones(rows[:, [*used, j]])
            best = np.linalg.lstsq(np.sqrt(w)[:, None] * x, np.sqrt(w) * y, rcond=None)[0]
            scores[j] = r_squared(y, x @ best, w)
        used.append(max(scores, key=scores.__getitem__))
    return set(used)


def highest_weights(rows: Array, y: Array, w: Array, keep: int) -> set[int]:
    """The largest effects in a fit to all features."""
    effects = np.abs(ridge(rows, y, w, 0.01)[1:] * rows[0])
    return set(np.argsort(-effects, kind="stable")[:keep].tolist())


def local_model(
    rows: Array, y: Array, w: Array, solver: str, penalty: float, used: set[int] | None = None
) -> tuple[Array, float, float, float]:
    """Coefficients, intercept, prediction at the first sample, R²."""
    columns = sorted(range(rows.shape[1]) if used is None else used)
    fit = {"ridge": ridge, "lasso": lasso, "logistic": logistic}[solver]
    intercept, *found = fit(rows[:, columns], y, w, penalty)
    values = np.zeros(rows.shape[1])
    values[columns] = found
    fitted = intercept + rows @ values
    if solver == "logistic":
        fitted, intercept = 1 / (1 + np.exp(-fitted)), 1 / (1 + np.exp(-intercept))
    return values, float(intercept), float(fitted[0]), r_squared(y, fitted, w)
