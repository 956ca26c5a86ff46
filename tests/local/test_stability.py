"""Stability indices, and the features that matter most."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxplain
from jaxplain import Info, lime, stability, top_features
from jaxplain._call import named

draw = np.random.default_rng(6).normal
X, KEY = draw(size=(2, 3)), jax.random.key(1)
GROUPS = np.array([[0, 0, 1], [2, 2, 1]])


def noisy(with_info: bool) -> Any:
    """A random explanation with standard errors; its small numbers are left out."""

    def explain(x: Any, *, key: Any) -> Any:
        first, second = jax.random.split(key)
        value = x + 0.7 * jax.random.normal(first, x.shape)
        error = jax.random.uniform(second, x.shape)
        value = jnp.where(jnp.abs(value) > 0.6, value, 0)
        return (value, Info(standard_error=error)) if with_info else value

    return named(explain, "noisy", lambda x: x, random=True)


@pytest.mark.parametrize("keep", [None, 2])
def test_indices(keep: int | None) -> None:
    """Pair after pair, in sets and intervals."""
    repeats = 6
    found = jax.jit(stability(noisy(True), repeats=repeats, keep=keep, chunk=4, confidence=0.9))(
        X, key=KEY
    )
    run = jax.jit(noisy(True))
    results = [run(X, key=jax.random.fold_in(KEY, number)) for number in range(repeats)]
    values = [np.ravel(result[0]) for result in results]
    errors = [np.ravel(result[1].standard_error) for result in results]
    chosen = [set(np.flatnonzero(value).tolist()) for value in values]
    if keep is not None:
        largest = [set(np.argsort(-np.abs(value))[:keep].tolist()) for value in values]
        chosen = [a & b for a, b in zip(chosen, largest, strict=True)]
    pairs = list(itertools.combinations(range(repeats), 2))
    vsi = [len(chosen[r] & chosen[s]) / max(len(chosen[r]), len(chosen[s])) for r, s in pairs]
    np.testing.assert_allclose(found.variables, np.mean(vsi), rtol=1e-6)
    reach, csi = stats.norm.ppf(0.95), []
    for i in range(X.size):
        both = [(r, s) for r, s in pairs if i in chosen[r] and i in chosen[s]]
        if both:
            near = [
                abs(values[r][i] - values[s][i]) <= reach * (errors[r][i] + errors[s][i])
                for r, s in both
            ]
            csi.append(np.mean(near))
    assert 0 < np.mean(csi) < 1
    np.testing.assert_allclose(found.coefficients, np.mean(csi), rtol=1e-9)
    np.testing.assert_allclose(found.mean.ravel(), np.mean(values, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.deviation.ravel(), np.std(values, axis=0, ddof=1), rtol=1e-9)
    shares = [np.mean([i in one for one in chosen]) for i in range(X.size)]
    np.testing.assert_allclose(found.chosen.ravel(), shares)


def test_more_samples_are_more_stable() -> None:
    def f(x: Any) -> Any:
        return jnp.sum(x * jnp.arange(1.0, 7.0).reshape(2, 3)) + 8 * x[0, 0] * x[1, 1]

    def index(samples: int) -> float:
        explain = lime(f, samples=samples, keep=3, info=True)
        return float(jax.jit(stability(explain, repeats=8))(jnp.ones((2, 3)), key=KEY).variables)

    assert index(10) < index(400)


def test_any_random_attribution() -> None:
    smooth = jaxplain.smooth(jax.grad(lambda x: jnp.sum(x**3)), samples=3)
    found = jax.jit(stability(smooth, repeats=3, keep=2))(X, key=KEY)
    assert found.coefficients is None and found.mean.shape == X.shape
    with pytest.raises(TypeError, match="is not random"):
        stability(jax.grad(jnp.sum))
    with pytest.raises(ValueError, match="repeats=1"):
        stability(smooth, repeats=1)


ATTRIBUTION = np.array([[0.5, 0.5, -2.0], [1.0, 1.0, -2.0]])
TOP: list[tuple[dict[str, Any], set[int]]] = [
    ({"count": 1}, {2}),
    ({"count": 2}, {0, 2}),
    ({"count": 3}, {0, 2}),
    ({"count": 1, "sign": "both"}, {1}),
    ({"count": 9, "sign": "both"}, {0, 1, 2}),
    ({"count": 2, "sign": "negative"}, {1}),
]


@pytest.mark.parametrize("case", range(len(TOP)))
def test_top_features(case: int) -> None:
    options, expected = TOP[case]
    found = top_features(ATTRIBUTION, groups=GROUPS, **options)
    np.testing.assert_array_equal(found, np.isin(GROUPS, list(expected)))


def test_top_features_of_elements_trees_and_traced_groups() -> None:
    single = jax.jit(lambda a: top_features({"a": a}, 1))(ATTRIBUTION)
    np.testing.assert_array_equal(single["a"], [[False] * 3, [True, False, False]])
    traced = jax.jit(lambda a, g: top_features(a, 1, groups=g, features=3))
    np.testing.assert_array_equal(traced(ATTRIBUTION, GROUPS), GROUPS == 2)
    channels = np.stack([ATTRIBUTION, -3 * ATTRIBUTION], axis=-1)
    found = top_features(channels, 1, groups=GROUPS[..., None])
    np.testing.assert_array_equal(found, np.broadcast_to(GROUPS[..., None] == 1, channels.shape))
    with pytest.raises(ValueError, match="sign='any' is unknown"):
        top_features(ATTRIBUTION, 1, sign="any")
