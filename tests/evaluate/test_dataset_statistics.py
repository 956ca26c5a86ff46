"""Intervals and tests over a data set, against what the papers' formulas give in NumPy."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxplain.evaluate import Curve
from jaxplain.evaluate._resampling import resampled_means
from jaxplain.evaluate._statistics import compare, summarize

KEY = jax.random.key(3)
SKEWED = np.random.default_rng(0).exponential(size=(25, 2))


def bca(values: np.ndarray, rows: np.ndarray, level: float) -> tuple[float, float]:
    """Efron 1987, of the mean, with the acceleration from leaving each value out."""
    means, observed, count = values[rows].mean(axis=1), values.mean(), len(values)
    z0 = stats.norm.ppf((np.sum(means < observed) + np.sum(means == observed) / 2) / len(means))
    without = np.array([np.delete(values, i).mean() for i in range(count)])
    gaps = without.mean() - without
    a = np.sum(gaps**3) / (6 * np.sum(gaps**2) ** 1.5)
    ends = []
    for z in stats.norm.ppf([(1 - level) / 2, (1 + level) / 2]):
        ends.append(np.quantile(means, stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))))
    return ends[0], ends[1]


def drawn(key: jax.Array, count: int, resamples: int) -> np.ndarray:
    """The rows of each data set, in the way in which they are drawn."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(resamples))
    return np.asarray(jax.vmap(lambda k: jax.random.randint(k, (count,), 0, count))(keys))


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_interval_is_bias_corrected_and_accelerated(level: float) -> None:
    found = summarize(SKEWED, key=KEY, level=level, resamples=300)
    rows = drawn(KEY, 25, 300)
    for column in range(2):
        low, high = bca(SKEWED[:, column], rows, level)
        np.testing.assert_allclose(found.low[column], low, rtol=1e-12)
        np.testing.assert_allclose(found.high[column], high, rtol=1e-12)
    np.testing.assert_allclose(found.mean, SKEWED.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.standard_error, stats.sem(SKEWED), rtol=1e-12)
    assert found.count == 25


def test_resampled_means_are_means_of_rows() -> None:
    means = resampled_means(jnp.asarray(SKEWED), KEY, 40)
    expected = SKEWED[drawn(KEY, 25, 40)].mean(axis=1)
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_chunks_and_trees_change_nothing() -> None:
    whole = summarize(SKEWED, key=KEY, resamples=300)
    parts = summarize({"a": SKEWED[:, 0], "b": SKEWED[:, 1]}, key=KEY, resamples=300, chunk=70)
    for field in ("mean", "low", "high", "standard_error"):
        both = [getattr(parts, field)[name] for name in "ab"]
        np.testing.assert_allclose(both, getattr(whole, field), rtol=1e-12)


def test_curves_are_summarized_as_curves() -> None:
    shares = jnp.tile(jnp.linspace(0, 1, 3)[None], (6, 1))
    scores = jnp.arange(18.0).reshape(6, 3)
    found = summarize(Curve(shares, scores), key=KEY, resamples=50)
    assert isinstance(found.high, Curve)
    np.testing.assert_array_equal(found.low.shares, shares[0])
    np.testing.assert_allclose(found.mean.scores, scores.mean(axis=0))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
def test_dtype_is_kept_and_bfloat16_accumulates_in_float32(dtype: type) -> None:
    found = summarize(jnp.asarray(SKEWED, dtype), key=KEY, resamples=20)
    expected = jnp.float32 if dtype == jnp.bfloat16 else dtype
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(expected)}


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, 1e-30])
def test_equal_values_have_an_interval_of_one_point(value: float) -> None:
    found = summarize(jnp.full(7, value, jnp.float32), key=KEY, resamples=20)
    assert found.mean == found.low == found.high == jnp.float32(value)
    assert found.standard_error == 0


def test_huge_and_tiny_values_scale() -> None:
    values = jnp.asarray(SKEWED[:, 0], jnp.float32)
    middle = summarize(values, key=KEY, resamples=50)
    for scale in (2.0**90, 2.0**-90):
        found = summarize(values * jnp.float32(scale), key=KEY, resamples=50)
        np.testing.assert_allclose(found.low, middle.low * jnp.float32(scale), rtol=1e-5)
        np.testing.assert_allclose(
            found.standard_error, middle.standard_error * jnp.float32(scale), rtol=1e-5
        )


def test_hits_are_counted() -> None:
    found = summarize(jnp.array([True, False, True, True]), key=KEY, resamples=20)
    assert float(found.mean) == 0.75


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    data = jax.random.exponential(jax.random.key(0), (40, 200))

    def covered(values: jax.Array, key: jax.Array) -> jax.Array:
        found = summarize(values, key=key, level=0.9, resamples=200)
        return (found.low <= 1) & (found.high >= 1)

    keys = jax.random.split(KEY, 200)
    share = jnp.mean(jax.jit(jax.vmap(covered, (1, 0)))(data, keys))
    assert 0.82 < share < 0.96  # 0.9, give or take four standard errors


def exact_p(differences: np.ndarray) -> float:
    patterns = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    reached = np.abs(patterns @ differences) >= np.abs(differences.sum()) - 1e-12
    return float(reached.mean())


def test_few_examples_give_the_exact_p_value() -> None:
    first, second = SKEWED[:9].T
    found = compare(first, second, key=KEY, resamples=50)
    np.testing.assert_allclose(found.p, exact_p(first - second), rtol=1e-12)
    np.testing.assert_allclose(found.difference.mean, (first - second).mean(), rtol=1e-12)
    same = compare(first, second, key=KEY, resamples=50, permutations=511, chunk=100)
    np.testing.assert_array_equal(same.p, found.p)


def test_more_examples_are_tossed() -> None:
    first, second = SKEWED[:9].T
    found = compare(first, second, key=KEY, resamples=2, permutations=510)
    assert float(found.p * 511).is_integer()
    error = np.sqrt(exact_p(first - second) / 511)
    assert abs(float(found.p) - exact_p(first - second)) < 4 * error


def test_equal_methods_do_not_differ() -> None:
    values = jnp.asarray(SKEWED)
    found = compare({"a": values}, {"a": values}, key=KEY, resamples=20, permutations=50)
    np.testing.assert_array_equal(found.p["a"], [1, 1])
    np.testing.assert_array_equal(found.difference.low["a"], [0, 0])


def test_p_values_of_alike_methods_are_at_most_as_often_small() -> None:
    first, second = jax.random.normal(jax.random.key(1), (2, 300, 8))
    p = jax.jit(jax.vmap(functools.partial(_p, key=KEY)))(first, second)
    assert np.mean(np.asarray(p) <= 0.1) < 0.1 + 4 * np.sqrt(0.09 / 300)


def _p(first: jax.Array, second: jax.Array, key: jax.Array) -> jax.Array:
    return compare(first, second, key=key, resamples=2, permutations=300).p  # type: ignore[no-any-return]


def test_under_jit_numbers_are_the_same() -> None:
    plain = summarize(SKEWED, key=KEY, resamples=50)
    jitted = jax.jit(lambda v, k: summarize(v, key=k, resamples=50))(SKEWED, KEY)
    np.testing.assert_allclose(jitted.low, plain.low, rtol=1e-12)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"values\[1\] is nan"):
        summarize(jnp.array([1.0, jnp.nan]), key=KEY)
    with pytest.raises(ValueError, match="one example"):
        summarize(jnp.ones(1), key=KEY)
    with pytest.raises(ValueError, match="common leading axis"):
        summarize({"a": jnp.ones(2), "b": jnp.ones(3)}, key=KEY)
    with pytest.raises(TypeError, match=r"jax.random.key\(0\)"):
        summarize(jnp.ones(2), key=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level=95"):
        summarize(jnp.ones(2), key=KEY, level=95)
    with pytest.raises(ValueError, match="resamples=1"):
        summarize(jnp.ones(2), key=KEY, resamples=1)
    with pytest.raises(ValueError, match="same examples"):
        compare(jnp.ones(3), jnp.ones(2), key=KEY)
