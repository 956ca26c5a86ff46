"""Prototypes and criticisms from the formulas, with the whole kernel matrix, anew at each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
from scipy.spatial.distance import pdist


def median_gamma(X: np.ndarray) -> float:
    """One over the median squared distance of all pairs."""
    return float(1 / np.median(pdist(X) ** 2))


def gaussian(X: np.ndarray, Y: np.ndarray, gamma: float) -> np.ndarray:
    return np.array([[np.exp(-gamma * np.sum((x - y) ** 2)) for y in Y] for x in X])


def local(K: np.ndarray, labels: Any) -> np.ndarray:
    """The same within a class, zero between classes."""
    labels = np.asarray(labels)
    return np.where(labels[:, None] == labels[None, :], K, 0)


def objective(K: np.ndarray, chosen: list[int]) -> float:
    n, m = len(K), len(chosen)
    return float(
        2 / (n * m) * K[:, chosen].sum() - 1 / m**2 * K[np.ix_(chosen, chosen)].sum(),
    )


def squared_mmd(K: np.ndarray, chosen: list[int]) -> float:
    """The mean over pairs of data, less twice that over data and chosen, and that of chosen."""
    return float(K.mean() - 2 * K[:, chosen].mean() + K[np.ix_(chosen, chosen)].mean())


def greedy(value: Any, places: list[int], count: int) -> list[int]:
    """The place with the largest value of what is chosen and itself, the first of equal ones."""
    chosen: list[int] = []
    for _ in range(count):
        left = [place for place in places if place not in chosen]
        values = [value([*chosen, place]) for place in left]
        chosen.append(left[int(np.argmax(values))])
    return chosen


def prototypes(K: np.ndarray, count: int) -> list[int]:
    return greedy(lambda chosen: objective(K, chosen), list(range(len(K))), count)


def witness(K: np.ndarray, chosen: list[int]) -> np.ndarray:
    """At all examples."""
    return K.mean(axis=0) - K[chosen].mean(axis=0)


def criticisms(K: np.ndarray, protos: list[int], count: int, regularize: bool) -> list[int]:
    strength = np.abs(witness(K, protos))

    def value(chosen: list[int]) -> float:
        total = strength[chosen].sum()
        return total + regularize * np.linalg.slogdet(K[np.ix_(chosen, chosen)])[1]

    return greedy(value, [place for place in range(len(K)) if place not in protos], count)


def protodash(K: np.ndarray, means: np.ndarray, count: int) -> tuple[list[int], np.ndarray]:
    """The weights as least squares with the Cholesky factor: its residual is the objective."""
    chosen: list[int] = []
    weights = np.zeros(0)
    for _ in range(count):
        slope = means - weights @ K[chosen]
        slope[chosen] = -np.inf
        chosen.append(int(np.argmax(slope)))
        factor = np.linalg.cholesky(K[np.ix_(chosen, chosen)])
        weights = scipy.optimize.nnls(factor.T, np.linalg.solve(factor, means[chosen]))[0]
    return chosen, weights
