"""Infidelity against a loop in NumPy, and the perturbations it comes with."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxplain.evaluate._infidelity import infidelity
from jaxplain.evaluate._perturbations import (
    Perturbation,
    gaussian_perturbation,
    square_perturbation,
    subset_perturbation,
)

rng = np.random.default_rng(2)
WEIGHTS, X, BASE, EXPLANATION = rng.normal(size=(4, 5, 6, 2))
KEY = jax.random.key(5)
SAMPLES = 6


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * jnp.asarray(WEIGHTS, x.dtype))) + x[0, 0, 1] * x[1, 1, 0]


def explain(x: Any) -> Any:
    return jnp.asarray(EXPLANATION, x.dtype) * x


PERTURBATIONS: dict[str, Perturbation] = {
    "noise": gaussian_perturbation(0.3),
    "squares": square_perturbation((2, 3)),
    "subsets": subset_perturbation(7),
    "pixels": subset_perturbation(along=(0, 1)),
}


def drawn(perturbation: Perturbation) -> np.ndarray:
    """What is subtracted, sample by sample."""

    def draw(i: jax.Array) -> Any:
        return perturbation(jax.random.fold_in(KEY, i), jnp.asarray(X), jnp.asarray(BASE))

    return np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(SAMPLES)))


@pytest.mark.parametrize("contributions", [False, True])
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_by_hand(name: str, contributions: bool) -> None:
    score, removed = jax.jit(f), drawn(PERTURBATIONS[name])
    claims, drops = [], []
    for part in removed:
        weights = part / (X - BASE) if contributions else part
        claims.append(np.sum(weights * EXPLANATION * X))
        drops.append(float(score(X)) - float(score(X - part)))
    c, d = np.array(claims), np.array(drops)
    best = np.linalg.lstsq(c[:, None], d)[0][0]
    for normalize, factor in ((False, 1), (True, best)):
        measure = infidelity(
            f,
            explain,
            perturbation=PERTURBATIONS[name],
            samples=SAMPLES,
            contributions=contributions,
            normalize=normalize,
        )
        found = jax.jit(measure)(X, baseline=BASE, key=KEY)
        np.testing.assert_allclose(found, np.mean((factor * c - d) ** 2), rtol=1e-9)


def test_squares() -> None:
    perturbation = jax.jit(square_perturbation((1, 3)))
    x, base = jnp.asarray(X), jnp.asarray(BASE)
    corners: dict[int, set[tuple[int, int]]] = {1: set(), 3: set()}
    for i in range(100):
        found = np.asarray(perturbation(jax.random.key(i), x, base))
        rows, columns = (np.unique(where) for where in np.nonzero(found)[:2])
        assert len(rows) == len(columns)
        inside = np.zeros(X.shape, bool)
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(found, np.where(inside, X - BASE, 0))
        corners[len(rows)].add((int(rows[0]), int(columns[0])))
    assert corners[3] == {(row, column) for row in range(3) for column in range(4)}
    assert max(corners[1])[0] == 4


def test_subsets() -> None:
    perturbation = jax.jit(subset_perturbation(4, along=1))
    found = np.asarray(perturbation(KEY, jnp.asarray(X), jnp.asarray(BASE)))
    columns = np.flatnonzero(found.any(axis=(0, 2)))
    assert len(columns) == 4
    np.testing.assert_array_equal(found[:, columns], (X - BASE)[:, columns])
    tree = {"a": jnp.ones((2, 3)), "b": jnp.ones(4)}
    zeros = jax.tree.map(jnp.zeros_like, tree)
    parts = jax.jit(subset_perturbation())(KEY, tree, zeros)
    assert sum(float(jnp.sum(leaf)) for leaf in parts.values()) == 2  # a fifth of ten


def test_gradients_explain_small_noise() -> None:
    scales = (1e-2, 1e-3)
    found = []
    for scale in scales:
        measure = infidelity(f, jax.grad(f), perturbation=gaussian_perturbation(scale))
        found.append(float(jax.jit(measure)(X, key=KEY)))
    # The error of a linear account is of second order, and here it is squared.
    np.testing.assert_allclose(found[0] / found[1], 1e4, rtol=0.3)


def test_leaves_and_inputs_at_their_baseline() -> None:
    tree = {"a": X[0], "b": X[1, 0]}
    weights = {"a": WEIGHTS[0], "b": WEIGHTS[1, 0]}

    def g(tree: Any) -> Any:
        return jnp.vdot(weights["a"], tree["a"]) + jnp.vdot(weights["b"], tree["b"])

    def contributions(tree: Any) -> Any:
        return jax.tree.map(lambda w, x: w * x, weights, tree)

    measure = infidelity(g, contributions, perturbation=subset_perturbation(3), contributions=True)
    assert float(jax.jit(measure)(tree, key=KEY)) < 1e-24
    measure = jax.jit(infidelity(g, contributions, contributions=True))
    zeros = jax.tree.map(np.zeros_like, tree)
    found = float(measure(zeros, key=KEY))  # nothing is claimed of 0 / 0
    size = sum(float(jnp.sum(w**2)) for w in weights.values()) * 0.01
    assert 0.5 * size < found < 2 * size


def test_derivatives() -> None:
    x = jnp.asarray(X)

    def loss(scale: Any, normalize: bool = False) -> Any:
        measure = infidelity(f, lambda x: scale * explain(x), samples=3, normalize=normalize)
        return measure(x, key=KEY)

    check_grads(jax.jit(loss), (1.3,), order=1, modes=["rev"], rtol=1e-5)
    # The best multiple of an explanation does not depend on its scale.
    slope = jax.jit(jax.grad(loss), static_argnums=1)
    assert abs(float(slope(1.3, True))) < 1e-12
    assert np.isfinite(slope(0.0, True))
