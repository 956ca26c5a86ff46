"""Slow references for influence functions: dense matrices, and training without an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

Array = np.ndarray[Any, Any]
HIDDEN = 8


class Problem(NamedTuple):
    """A training set, and its loss by the weights of the examples in the sum."""

    xs: Array
    ys: Array
    l2: float
    gradients: Callable[[Array, Array, Array], Array]  # (params, xs, ys) -> (n, p)
    hessians: Callable[[Array, Array, Array], Array]  # (params, xs, ys) -> (n, p, p)
    losses: Callable[[Array, Array, Array], Array]  # (params, xs, ys) -> (n,)

    def gradient(self, params: Array, weights: Array) -> Array:
        return weights @ self.gradients(params, self.xs, self.ys)

    def hessian(self, params: Array, weights: Array | None = None) -> Array:
        n = len(self.xs)
        weights = np.full(n, 1 / n) if weights is None else weights
        return np.einsum("n,nij->ij", weights, self.hessians(params, self.xs, self.ys))

    def minimum(self, start: Array, weights: Array | None = None) -> Array:
        """Newton's method within a trust region, which stays near the start."""
        n = len(self.xs)
        weights = np.full(n, 1 / n) if weights is None else weights
        found = scipy.optimize.minimize(
            lambda params: weights @ self.losses(params, self.xs, self.ys),
            start,
            jac=lambda params: self.gradient(params, weights),
            hess=lambda params: self.hessian(params, weights),
            method="trust-exact",
            options={"gtol": 1e-8, "initial_trust_radius": 0.1, "maxiter": 2000},
        )
        assert np.abs(found.jac).max() < 1e-7, found.message
        return np.asarray(found.x)

    def influence(self, params: Array, x: Array, y: Any, damping: float) -> Array:
        """Koh and Liang 2017, equation 2, with the matrix itself."""
        matrix = self.hessian(params) + damping * np.eye(len(params))
        test = self.gradients(params, x[None], np.asarray(y)[None])[0]
        return -self.gradients(params, self.xs, self.ys) @ np.linalg.solve(matrix, test)

    def left_out(self, params: Array, xs: Array, ys: Array) -> Array:
        """How the losses of (xs, ys) change when an example is left out and training goes on.

        The shape is (tests, n).
        """
        n = len(self.xs)
        before = self.losses(params, xs, ys)
        changes = []
        for i in range(n):
            weights = np.full(n, 1 / (n - 1))
            weights[i] = 0
            changes.append(self.losses(self.minimum(params, weights), xs, ys) - before)
        return np.stack(changes, axis=1)


def logistic(n: int = 60, d: int = 4, l2: float = 0.02) -> Problem:
    """Logistic regression with labels ±1: log(1 + exp(-y w·x)) + l2 |w|²."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(n, d))
    ys = np.sign(xs @ rng.normal(size=d) + rng.normal(size=n))

    def slopes(w: Array, xs: Array, ys: Array) -> Array:
        return -ys / (1 + np.exp(ys * (xs @ w)))

    def gradients(w: Array, xs: Array, ys: Array) -> Array:
        return slopes(w, xs, ys)[:, None] * xs + 2 * l2 * w

    def hessians(w: Array, xs: Array, ys: Array) -> Array:
        p = np.abs(slopes(w, xs, ys))
        return (p * (1 - p))[:, None, None] * xs[:, :, None] * xs[:, None] + 2 * l2 * np.eye(len(w))

    def losses(w: Array, xs: Array, ys: Array) -> Array:
        return np.logaddexp(0, -ys * (xs @ w)) + l2 * w @ w

    return Problem(xs, ys, l2, gradients, hessians, losses)


def ridge_minimum(xs: Array, ys: Array, weights: Array, l2: float) -> Array:
    """The w that minimises sum_i weights_i ((w·x_i - y_i)²/2 + l2 |w|²)."""
    gram = xs.T @ (weights[:, None] * xs) + 2 * l2 * weights.sum() * np.eye(xs.shape[1])
    return np.linalg.solve(gram, xs.T @ (weights * ys))


def mlp(n: int = 40, l2: float = 0.01) -> Problem:
    """(h - y)²/2 + l2 |θ|² with h = tanh(x A + a) · b + c; θ is (a, A, c, b), flat."""
    rng = np.random.default_rng(1)
    xs = rng.normal(size=(n, 2))
    ys = np.sin(2 * xs[:, 0]) * xs[:, 1] + 0.3 * rng.normal(size=n)

    def gradients(params: Array, xs: Array, ys: Array) -> Array:
        h, jacobian = mlp_outputs(params, xs)
        return (h - ys)[:, None] * jacobian + 2 * l2 * params

    def hessians(params: Array, xs: Array, ys: Array) -> Array:
        step = 1e-5 * np.eye(len(params))
        ends = [[gradients(params + sign * d, xs, ys) for sign in (1, -1)] for d in step]
        columns = np.stack([(up - down) / 2e-5 for up, down in ends], axis=-1)
        return (columns + columns.transpose(0, 2, 1)) / 2

    def losses(params: Array, xs: Array, ys: Array) -> Array:
        return (mlp_outputs(params, xs)[0] - ys) ** 2 / 2 + l2 * params @ params

    return Problem(xs, ys, l2, gradients, hessians, losses)


def mlp_outputs(params: Array, xs: Array) -> tuple[Array, Array]:
    """The outputs (n,) and their derivatives in the parameters (n, p)."""
    a, A, c, b = mlp_parts(params)
    z = np.tanh(xs @ A + a)
    below = (1 - z**2) * b
    jacobian = [below, (xs[:, :, None] * below[:, None]).reshape(len(xs), -1)]
    return z @ b + c[0], np.concatenate([*jacobian, np.ones((len(xs), 1)), z], axis=1)


def mlp_parts(params: Array) -> tuple[Array, Array, Array, Array]:
    a, A, c, b = np.split(params, [HIDDEN, 3 * HIDDEN, 3 * HIDDEN + 1])
    return a, A.reshape(2, HIDDEN), c, b


def mlp_minimum(problem: Problem) -> Array:
    """A minimum, from a random start."""
    params = problem.minimum(np.random.default_rng(2).normal(size=4 * HIDDEN + 1))
    assert np.linalg.eigvalsh(problem.hessian(params))[0] > 0
    return params
