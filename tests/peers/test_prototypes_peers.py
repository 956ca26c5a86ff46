"""Side by side with mmd-critic and the ProtoDash of AIX360, on the same kernel."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from jaxplain.exemplars._criticisms import criticisms
from jaxplain.exemplars._kernels import rbf_kernel
from jaxplain.exemplars._protodash import protodash
from jaxplain.exemplars._prototypes import prototypes

GAMMA = 0.25
SIGMA = np.sqrt(1 / (2 * GAMMA))
SEEDS = range(4)


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(60, 3))


# -------------------------------------------------------------------------------------- mmd-critic


def critic(X: np.ndarray) -> Any:
    mmd_critic = pytest.importorskip("mmd_critic", reason="pip install mmd-critic")
    kernels = importlib.import_module("mmd_critic.kernels")
    return mmd_critic.MMDCritic(X, kernels.RBFKernel(SIGMA), labels=range(len(X)))


@pytest.mark.parametrize("seed", SEEDS)
def test_prototypes_are_those_of_mmd_critic(seed: int) -> None:
    X = draw(seed)
    _, theirs = critic(X).select_prototypes(12)
    np.testing.assert_array_equal(prototypes(X, 12, kernel=rbf_kernel(GAMMA)), theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_criticisms_are_those_of_mmd_critic_without_determinant(seed: int) -> None:
    X = draw(seed)
    them = critic(X)
    protos, places = them.select_prototypes(5)
    _, theirs = them.select_criticisms(10, protos, regularization=None)
    options: Any = {"kernel": rbf_kernel(GAMMA)}
    np.testing.assert_array_equal(criticisms(X, places, 10, regularize=False, **options), theirs)
    # Its regularization sees the diagonal of the kernel alone, and that is 1 everywhere.
    _, regularized = them.select_criticisms(10, protos)
    np.testing.assert_array_equal(regularized, theirs)
    assert set(criticisms(X, places, 10, **options).tolist()) != set(theirs)


# -------------------------------------------------------------------------------------- ProtoDash


def best_weights(
    K: np.ndarray, means: np.ndarray, *_: Any, maxWeight: float = 1e4
) -> tuple[np.ndarray, float]:
    """Exactly what AIX360 leaves to a solver of quadratic programmes."""
    factor = np.linalg.cholesky(K)
    weights = scipy.optimize.nnls(factor.T, np.linalg.solve(factor, means.ravel()))[0]
    assert np.all(weights < maxWeight)
    return weights, float(weights @ K @ weights / 2 - weights @ means.ravel())


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """AIX360's loop, with an exact solver; what else its module imports is not used."""
    pytest.importorskip("aix360", reason="pip install --no-deps aix360")
    unused = {"xport": "", "cvxpy": "", "osqp": "OSQP"}
    for name, attribute in unused.items():
        if name not in sys.modules:
            module = types.ModuleType(name)
            setattr(module, attribute or "unused", None)
            monkeypatch.setitem(sys.modules, name, module)
    package = importlib.import_module("aix360.algorithms.protodash")
    loop = importlib.import_module("aix360.algorithms.protodash.PDASH_utils")
    monkeypatch.setattr(loop, "runOptimiser", best_weights)
    return package.ProtodashExplainer().explain


def embed(*sets: np.ndarray) -> list[np.ndarray]:
    """Vectors whose products are the Gaussian kernel: NumPy 2.4 refuses AIX360's own."""
    rows = np.concatenate(sets)
    squares = np.sum((rows[:, None] - rows[None]) ** 2, axis=-1)
    factor = np.linalg.cholesky(np.exp(-GAMMA * squares))
    return np.split(factor, np.cumsum([len(rows) for rows in sets])[:-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_protodash_is_that_of_aix360(explain: Any, seed: int) -> None:
    """The first candidate is an outlier: AIX360 passes over it, whatever its slope."""
    X, target = draw(seed), draw(seed + 10)[:20] + 0.5
    X[0] = 50
    candidates, explained = embed(X, target)
    weights, theirs, _ = explain(explained, candidates, 8)
    places, ours = protodash(X, 8, target=target, kernel=rbf_kernel(GAMMA))
    np.testing.assert_array_equal(places, theirs)
    np.testing.assert_allclose(ours, weights, atol=1e-8)


def test_first_candidate_is_passed_over_by_aix360(explain: Any) -> None:
    X = draw(0)
    middle = int(protodash(X, 1, kernel=rbf_kernel(GAMMA))[0][0])
    X[[0, middle]] = X[[middle, 0]]
    assert protodash(X, 1, kernel=rbf_kernel(GAMMA))[0].tolist() == [0]
    assert explain(*2 * embed(X), 1)[1].tolist() != [0]
