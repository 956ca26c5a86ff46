"""Faithfulness metrics against loops in NumPy, on the subsets that were drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.evaluate._faithfulness import (
    faithfulness_correlation,
    faithfulness_estimate,
    subset_of,
)
from jaxplain.evaluate._monotonicity import monotonicity, monotonicity_correlation
from jaxplain.evaluate._rationales import comprehensiveness, rounded_up, sufficiency
from jaxplain.evaluate._sensitivity_n import default_sizes, sensitivity_n

rng = np.random.default_rng(1)
WEIGHTS, X, BASE, RELEVANCE = rng.normal(size=(4, 4, 5))
GROUPS = rng.integers(0, 9, size=(4, 5))
KEY = jax.random.key(3)


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * WEIGHTS)) + x[0, 0] * x[1, 1] * x[2, 3]


def explain(x: Any) -> Any:
    return RELEVANCE * x


score = jax.jit(f)
FEATURES: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "elements": ({}, np.arange(20).reshape(4, 5)),
    "groups": ({"groups": GROUPS}, np.unique(GROUPS, return_inverse=True)[1].reshape(4, 5)),
}
each_feature = pytest.mark.parametrize("features", FEATURES)


def relevances(labels: np.ndarray) -> np.ndarray:
    """The relevance of each feature."""
    values = RELEVANCE * X
    return np.array([values[labels == label].sum() for label in range(labels.max() + 1)])


def without(labels: np.ndarray, gone: Any, other: np.ndarray = BASE) -> float:
    """The score with the features `gone` at their baseline."""
    return float(score(np.where(np.isin(labels, gone), other, X)))


def correlated(claims: Any, drops: Any) -> Any:
    return np.corrcoef(claims, drops)[0, 1]


def ranked(values: Any) -> np.ndarray:
    """How many are smaller, plus half of how many others are equal."""
    values = np.round(values, 9)
    return np.array([np.sum(values < v) + (np.sum(values == v) - 1) / 2 for v in values])


def drawn(key: jax.Array, count: int, size: int, samples: int) -> list[np.ndarray]:
    """The members of the subsets."""
    draw = jax.jit(lambda i: subset_of(jax.random.fold_in(key, i), count, size))
    return [np.flatnonzero(draw(i)) for i in range(samples)]


def test_subsets_are_of_one_size_and_equally_likely() -> None:
    draw = jax.jit(jax.vmap(lambda i: subset_of(jax.random.fold_in(KEY, i), 5, 2)))
    masks = np.asarray(draw(jnp.arange(4000)))
    assert (masks.sum(axis=1) == 2).all()
    _, counts = np.unique(masks, axis=0, return_counts=True)
    assert len(counts) == 10  # of 400 each; five standard deviations are 95
    assert abs(counts - 400).max() < 95


@each_feature
@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
def test_faithfulness_correlation(features: str, correlation: str) -> None:
    options, labels = FEATURES[features]
    values = relevances(labels)
    claims, drops = [], []
    for members in drawn(KEY, len(values), 3, 12):
        claims.append(values[members].sum())
        drops.append(without(labels, []) - without(labels, members))
    of = ranked if correlation == "spearman" else np.asarray
    measure = faithfulness_correlation(
        f, explain, subset=3, samples=12, correlation=correlation, **options
    )
    found = jax.jit(measure)(X, baseline=BASE, key=KEY)
    np.testing.assert_allclose(found, correlated(of(claims), of(drops)), rtol=1e-9)


def test_a_fifth_of_the_features_by_default() -> None:
    default = jax.jit(faithfulness_correlation(f, explain, samples=9))(X, key=KEY)
    fifth = jax.jit(faithfulness_correlation(f, explain, samples=9, subset=4))(X, key=KEY)
    assert float(default) == float(fifth)


@each_feature
def test_faithfulness_estimate(features: str) -> None:
    options, labels = FEATURES[features]
    values = relevances(labels)
    drops = [without(labels, []) - without(labels, i) for i in range(len(values))]
    found = jax.jit(faithfulness_estimate(f, explain, **options))(X, baseline=BASE)
    np.testing.assert_allclose(found, correlated(values, drops), rtol=1e-9)
    by_rank = faithfulness_estimate(f, explain, correlation="spearman", **options)
    expected = correlated(ranked(values), ranked(drops))
    np.testing.assert_allclose(jax.jit(by_rank)(X, baseline=BASE), expected, rtol=1e-9)


@each_feature
def test_sensitivity_n(features: str) -> None:
    options, labels = FEATURES[features]
    values, sizes, expected = relevances(labels), (1, 3, 6), []
    for size in sizes:
        claims, drops = [], []
        for members in drawn(jax.random.fold_in(KEY, size), len(values), size, 7):
            claims.append(values[members].sum())
            drops.append(without(labels, []) - without(labels, members))
        expected.append(correlated(claims, drops))
    measure = sensitivity_n(f, explain, sizes=sizes, samples=7, **options)
    curve = jax.jit(measure)(X, baseline=BASE, key=KEY)
    np.testing.assert_allclose(curve.scores, expected, rtol=1e-9)
    np.testing.assert_allclose(curve.shares, np.array(sizes) / len(values))


def test_sizes_by_default() -> None:
    assert default_sizes(1) == [1]
    assert default_sizes(5) == [1, 2, 3, 4]
    assert default_sizes(1000)[:4] == [1, 2, 4, 6]
    assert default_sizes(1000)[-2:] == [512, 800]


def linear(x: Any) -> Any:
    return jnp.vdot(jnp.asarray(WEIGHTS, x.dtype), x)


def test_contributions_to_a_linear_model_are_faithful() -> None:
    def contributions(x: Any) -> Any:
        return WEIGHTS * (x - BASE)

    curve = jax.jit(sensitivity_n(linear, contributions, samples=6))(X, baseline=BASE, key=KEY)
    np.testing.assert_allclose(curve.scores, 1, rtol=1e-12)
    estimate = jax.jit(faithfulness_estimate(linear, contributions))(X, baseline=BASE)
    np.testing.assert_allclose(estimate, 1, rtol=1e-12)
    wrong = jax.jit(faithfulness_estimate(linear, lambda x: -contributions(x)))
    np.testing.assert_allclose(wrong(X, baseline=BASE), -1, rtol=1e-12)


@each_feature
def test_monotonicity(features: str) -> None:
    options, labels = FEATURES[features]
    order = np.argsort(relevances(labels))
    scores = [without(labels, order[k:]) for k in range(len(order) + 1)]
    expected = np.mean(np.diff(scores) >= 0)
    assert 0 < expected < 1
    found = jax.jit(monotonicity(f, explain, **options))(X, baseline=BASE)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    halves = [scores[0], scores[len(order) - int(np.round(len(order) / 2))], scores[-1]]
    found = jax.jit(monotonicity(f, explain, steps=2, **options))(X, baseline=BASE)
    np.testing.assert_allclose(found, np.mean(np.diff(halves) >= 0), rtol=1e-12)


@each_feature
def test_monotonicity_correlation(features: str) -> None:
    options, labels = FEATURES[features]

    def draw(key: jax.Array, x: Any) -> Any:
        return jax.random.normal(key, x.shape, x.dtype)

    values, changes = np.abs(relevances(labels)), []
    others = [np.asarray(draw(jax.random.fold_in(KEY, i), jnp.asarray(X))) for i in range(4)]
    for feature in range(len(values)):
        squares = [(without(labels, feature, z) - without(labels, [])) ** 2 for z in others]
        changes.append(np.mean(squares))
    for correlation, of in (("pearson", np.asarray), ("spearman", ranked)):
        measure = monotonicity_correlation(
            f, explain, draw=draw, samples=4, correlation=correlation, **options
        )
        found = jax.jit(measure)(X, key=KEY)
        np.testing.assert_allclose(found, correlated(of(values), of(changes)), rtol=1e-9)


def test_values_by_default_lie_between_0_and_1() -> None:
    def draw(key: jax.Array, x: Any) -> Any:
        return jax.random.uniform(key, x.shape, x.dtype)

    found, expected = (
        jax.jit(monotonicity_correlation(f, explain, draw=given, samples=2))(X, key=KEY)
        for given in (None, draw)
    )
    assert float(found) == float(expected)


RATIONALES: dict[str, tuple[Callable[..., Any], bool]] = {
    "comprehensiveness": (comprehensiveness, False),
    "sufficiency": (sufficiency, True),
}


@each_feature
@pytest.mark.parametrize("name", RATIONALES)
def test_rationales(name: str, features: str) -> None:
    options, labels = FEATURES[features]
    metric, only = RATIONALES[name]
    order = np.argsort(-relevances(labels))
    drops = []
    for share in (0.0, 0.25, 0.3, 1.0):
        most = int(np.ceil(share * len(order)))
        gone = order[most:] if only else order[:most]
        drops.append(without(labels, []) - without(labels, gone))
    measure = metric(f, explain, shares=(0.0, 0.25, 0.3, 1.0), **options)
    np.testing.assert_allclose(jax.jit(measure)(X, baseline=BASE), np.mean(drops), rtol=1e-9)


def test_shares_are_rounded_up() -> None:
    assert [rounded_up(share, 100) for share in (0.01, 0.07, 0.29, 0.005)] == [1, 7, 29, 1]
    assert [rounded_up(share, 10) for share in (0.01, 0.05, 0.1, 0.2, 0.5)] == [1, 1, 1, 2, 5]


def test_token_ids() -> None:
    table = jnp.asarray(rng.normal(size=7))
    ids = np.array([3, 1, 6, 2, 5], np.int32)

    def of_ids(ids: Any) -> Any:
        return jnp.sum(jnp.tanh(table[ids])) + table[ids[0]] * table[ids[2]]

    def relevance(ids: Any) -> Any:
        return table[ids]

    order = np.argsort(-np.asarray(table)[ids])
    padded, kept = ids.copy(), np.zeros_like(ids)
    padded[order[:2]], kept[order[:2]] = 0, ids[order[:2]]
    whole = float(of_ids(ids))
    found = jax.jit(comprehensiveness(of_ids, relevance, shares=(0.4,)))(ids, baseline=0)
    np.testing.assert_allclose(found, whole - float(of_ids(padded)), rtol=1e-12)
    found = jax.jit(sufficiency(of_ids, relevance, shares=(0.4,)))(ids, baseline=0)
    np.testing.assert_allclose(found, whole - float(of_ids(kept)), rtol=1e-12)
    with pytest.raises(TypeError, match=r"give draw=, for token ids"):
        monotonicity_correlation(of_ids, relevance)(ids, key=KEY)
