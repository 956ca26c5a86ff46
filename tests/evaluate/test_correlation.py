"""Correlations against NumPy and against ranks counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxplain.evaluate._correlation import mean_ranks, pearson, spearman

rng = np.random.default_rng(0)
A, B = rng.normal(size=(2, 30))
TIED = rng.integers(0, 5, size=(2, 30)).astype(float)
BOTH = {"pearson": jax.jit(pearson), "spearman": jax.jit(spearman)}
each = pytest.mark.parametrize("correlation", BOTH.values(), ids=BOTH)


def ranks_by_hand(values: np.ndarray) -> np.ndarray:
    """How many are smaller, plus half of how many others are equal."""
    return np.array([np.sum(values < v) + (np.sum(values == v) - 1) / 2 for v in values])


def by_hand(a: np.ndarray, b: np.ndarray) -> Any:
    return np.corrcoef(a, b)[0, 1]


def test_values() -> None:
    np.testing.assert_allclose(BOTH["pearson"](A, B), by_hand(A, B), rtol=1e-12)
    np.testing.assert_allclose(BOTH["pearson"](*TIED), by_hand(*TIED), rtol=1e-12)
    np.testing.assert_allclose(BOTH["pearson"](A, -3 * A + 2), -1, rtol=1e-12)


def test_ranks() -> None:
    np.testing.assert_array_equal(jax.jit(mean_ranks)(TIED[0]), ranks_by_hand(TIED[0]))
    expected = by_hand(*map(ranks_by_hand, TIED))
    np.testing.assert_allclose(BOTH["spearman"](*TIED), expected, rtol=1e-12)
    np.testing.assert_allclose(BOTH["spearman"](A, np.exp(3 * A)), 1, rtol=1e-12)
    assert np.isnan(jax.jit(mean_ranks)(np.array([1.0, np.nan]))[1])


@each
def test_a_constant_is_correlated_with_nothing(correlation: Callable[..., Any]) -> None:
    for constant in (0.0, 0.1, -1e30):
        assert float(correlation(np.full(30, constant), B)) == 0
        assert float(correlation(A, np.full(30, constant))) == 0
    assert float(correlation(A[:1], B[:1])) == 0


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_sizes_and_dtypes(dtype: Any) -> None:
    a, b = jnp.asarray(A, dtype), jnp.asarray(B, dtype)
    found = BOTH["pearson"](a, b)
    assert found.dtype == jnp.float32
    # The squares of these do not fit into the dtype.
    for factor in (1e-30, 1e30):
        scaled = BOTH["pearson"](jnp.asarray(factor, dtype) * a, b)
        np.testing.assert_allclose(scaled, found, rtol=2e-2 if dtype == jnp.bfloat16 else 1e-5)
    assert BOTH["pearson"](a, B).dtype == jnp.float64


def test_derivatives() -> None:
    check_grads(BOTH["pearson"], (A, B), order=2, modes=["rev"], rtol=1e-5)
    slope = jax.jit(jax.grad(pearson, argnums=(0, 1)))
    for a, b in ((np.ones(30), B), (np.zeros(30), B), (A, np.ones(30)), (np.ones(30), np.ones(30))):
        assert all(np.isfinite(part).all() for part in slope(a, b))
