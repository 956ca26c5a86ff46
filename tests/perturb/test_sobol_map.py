"""Sobol maps against their definition, closed forms and the estimator written out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats.qmc

from jaxplain import over_baselines, sobol

rng = np.random.default_rng(2)
X, BASE, WEIGHTS = rng.normal(size=(3, 5, 6, 2))


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * WEIGHTS)) + x[0, 0, 0] * x[1, 2, 1] * 2


def by_hand(labels: np.ndarray, designs: int) -> np.ndarray:
    """Jansen's estimator, with masks laid over the input one after another."""
    count = int(labels.max()) + 1
    net = scipy.stats.qmc.Sobol(2 * count, scramble=False).random(designs) + 0.5 / designs
    a, b = net[:, :count], net[:, count:]
    compiled = jax.jit(f)

    def score(mask: np.ndarray) -> float:
        share = mask[labels]
        return float(compiled(share * X + (1 - share) * BASE))

    own = [score(mask) for mask in a]
    variance = np.var(own + [score(mask) for mask in b])
    indices = np.zeros(count)
    for i, n in itertools.product(range(count), range(designs)):
        mixed = np.where(np.arange(count) == i, b[n], a[n])
        indices[i] += (own[n] - score(mixed)) ** 2 / (2 * designs * variance)
    return np.asarray(np.broadcast_to(indices[labels], X.shape))


ROWS, COLUMNS = np.arange(5)[:, None, None], np.arange(6)[None, :, None]
FEATURES: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "cells": ({"grid": (2, 3)}, ROWS * 2 // 5 * 3 + COLUMNS // 2),
    "cells of other axes": ({"grid": 2, "axes": (1, -1)}, COLUMNS // 3 * 2 + np.arange(2)),
    "groups": ({"groups": ROWS // 3}, ROWS // 3),
    "channels": ({"along": -1}, np.arange(2)[None, None]),
}


@pytest.mark.parametrize("features", FEATURES)
def test_estimator(features: str) -> None:
    options, labels = FEATURES[features]
    found = jax.jit(sobol(f, designs=16, chunk=7, **options))(X, baseline=BASE)
    np.testing.assert_allclose(found, by_hand(labels, 16), rtol=1e-9)


def test_definition() -> None:
    """The mean of the variances along each feature, by a quadrature that is exact."""

    def g(x: Any) -> Any:
        return x[0] * x[1] + x[1] ** 2 - x[2] + x[0] * x[1] * x[2]

    nodes, weights = np.polynomial.legendre.leggauss(4)
    m, w = (nodes + 1) / 2, weights / 2
    x = np.array([1.5, -0.7, 0.8])
    scores = np.array([[[g(x * (p, q, r)) for r in m] for q in m] for p in m])
    mass = w[:, None, None] * w[:, None] * w

    def mean(values: np.ndarray, axis: int | None = None) -> Any:
        if axis is None:
            return np.sum(values * mass)
        return np.expand_dims(np.tensordot(w, values, (0, axis)), axis)

    variance = mean((scores - mean(scores)) ** 2)
    expected = [mean((scores - mean(scores, axis)) ** 2) / variance for axis in range(3)]
    found, info = jax.jit(sobol(g, along=0, designs=4096, info=True))(x)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_array_equal(found, info.values)
    assert info.evaluations == 4096 * 5


def test_additive() -> None:
    """The indices of a linear score are shares of the cells' squared changes."""
    picture, base, weights = rng.normal(size=(3, 4, 6))
    score = lambda x: jnp.sum(x * weights) + 3  # noqa: E731
    found = jax.jit(sobol(score, grid=2, designs=1024))(picture, baseline=base)
    change = ((picture - base) * weights).reshape(2, 2, 2, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(found[::2, ::3], change**2 / np.sum(change**2), atol=5e-3)


def test_default_grid_and_trees() -> None:
    picture = rng.normal(size=(8, 16))
    score = lambda x: jnp.sum(jnp.sin(x))  # noqa: E731
    found = jax.jit(sobol(score))(picture)
    assert len(np.unique(found)) > 32
    np.testing.assert_array_equal(found[:, ::2], found[:, 1::2])
    tree = {"a": picture[:4, :4], "b": picture[4:, :2]}
    both = lambda tree: score(tree["a"]) + score(tree["b"])  # noqa: E731
    cells = {
        "a": np.kron(np.arange(4).reshape(2, 2), np.ones((2, 2), int)),
        "b": np.kron(np.arange(4, 8).reshape(2, 2), np.ones((2, 1), int)),
    }
    by_grid = jax.jit(sobol(both, grid=2, designs=16))(tree)
    by_groups = jax.jit(sobol(both, groups=cells, designs=16))(tree)
    for name in tree:
        np.testing.assert_allclose(by_grid[name], by_groups[name], rtol=1e-12)


def test_batches_traced_groups_and_baselines() -> None:
    labels = np.stack([ROWS[..., 0] // 2, ROWS[..., 0] // 3])
    explain = sobol(f, features=3, designs=8)
    mapped = jax.jit(jax.vmap(explain))(np.stack([X, BASE]), groups=labels[..., None])
    single = jax.jit(sobol(f, groups=ROWS // 2, designs=8))
    np.testing.assert_allclose(mapped[0], single(X), rtol=1e-9)
    averaged = jax.jit(over_baselines(sobol(f, groups=ROWS // 2, designs=8)))(
        X, baseline=np.stack([BASE, 0 * X])
    )
    np.testing.assert_allclose(averaged, (single(X, baseline=BASE) + single(X)) / 2, rtol=1e-9)
    low = jax.jit(sobol(lambda x: jnp.sum(x**2), along=-1, designs=8))(X.astype(np.float32))
    assert low.dtype == np.float32


def test_classes_and_derivatives() -> None:
    weights = rng.normal(size=(60, 3))

    def g(x: Any, k: Any) -> Any:
        return (jnp.tanh(x.reshape(-1)) @ weights)[k]

    explain = sobol(g, grid=2, designs=16)
    classes = jax.vmap(functools.partial(explain, baseline=BASE), in_axes=(None, 0))
    shapes = str(jax.make_jaxpr(classes)(X, jnp.arange(3)))
    assert ":f64[96,60]" in shapes and "[3,96,60]" not in shapes and "[96,3,60]" not in shapes
    loss = jax.jit(lambda x: jnp.sum(explain(x, 1) ** 2))
    direction, step = rng.normal(size=X.shape), 1e-6
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: sobol(f, grid=2, along=0), ValueError, "give one of them"),
    (lambda: sobol(f, groups=ROWS, along=0), ValueError, "give one of them"),
    (lambda: sobol(f, designs=12), ValueError, "give 8 or 16"),
    (lambda: sobol(f, along=(0, 1), designs=8)(X), ValueError, "of them .* Give at least 16"),
    (lambda: sobol(f, grid=2)(X, groups=ROWS), TypeError, "leave one out"),
    (lambda: sobol(f, features=3)(X), TypeError, "none were given"),
    (lambda: sobol(f)(X), ValueError, "give at most 5"),
    (lambda: sobol(f)(X[0, 0]), ValueError, "along=0 for each entry of a vector"),
    (lambda: sobol(jnp.sum, along=0)(np.zeros(11000)), ValueError, "coarser grid"),
    (lambda: sobol(f, along=0)(np.arange(4)), TypeError, "between two token ids"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
