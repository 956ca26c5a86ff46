"""Averages over a set of baselines: expected gradients, and any attribution against each."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from references import Net

import jaxplain

X = np.random.default_rng(1).normal(size=5)
BASELINES = np.random.default_rng(2).normal(size=(4, 5))
each_net = pytest.mark.parametrize("net", references.NETS, ids=lambda net: net.name)


def integrated(net: Net, baseline: np.ndarray) -> np.ndarray:
    nodes, weights = references.quadrature("gauss_legendre", 6)
    return references.path_integral(net.gradient, X, baseline, nodes, weights)


# ------------------------------------------------------------------------------ expected gradients


def draws(samples: int, key: jax.Array) -> list[tuple[np.ndarray, float]]:
    """Which baseline and which place on the line each sample took, told by the model."""
    make = functools.partial(jaxplain.expected_grad, samples=samples, chunk=20)
    points = references.visited(make, references.NETS[0], X, baseline=BASELINES, key=key)
    return [references.draw_of(point, X, BASELINES) for point in points]


@each_net
def test_expected_grad_is_the_mean_over_its_draws(net: Net) -> None:
    key = jax.random.key(3)
    expected = references.expected_gradients(net.gradient, X, draws(9, key))
    explain = jax.jit(jaxplain.expected_grad(net, samples=9))
    # The draws are read off the points, which costs a digit or two.
    np.testing.assert_allclose(explain(X, baseline=BASELINES, key=key), expected, rtol=1e-10)


def test_draws_are_uniform() -> None:
    """Every baseline as often, all along the line: counts and moments within 4 standard errors."""
    drawn = draws(400, jax.random.key(0))
    alphas = np.array([alpha for _, alpha in drawn])
    assert ((alphas >= 0) & (alphas <= 1)).all()
    for power in (1, 2):
        error = (1 / (2 * power + 1) - 1 / (power + 1) ** 2) ** 0.5 / 20
        assert abs(np.mean(alphas**power) - 1 / (power + 1)) < 4 * error
    for baseline in BASELINES:
        count = sum(bool(np.all(b == baseline)) for b, _ in drawn)
        assert abs(count - 100) < 4 * (400 * 1 / 4 * 3 / 4) ** 0.5


def test_expected_grad_tends_to_the_average_of_integrated_grads() -> None:
    net = references.NETS[0]
    explain = jax.jit(jaxplain.expected_grad(net, samples=20_000, chunk=1000, info=True))
    attribution, info = explain(X, baseline=BASELINES, key=jax.random.key(0))
    average = np.mean([integrated(net, b) for b in BASELINES], axis=0)
    assert np.all(np.abs(attribution - average) < 4 * info.standard_error)
    assert np.all(info.standard_error < 0.02 * np.max(np.abs(average)))
    assert int(info.steps) == 20_000


def test_the_standard_error_is_that_of_the_mean() -> None:
    """Computed by hand from the draws, and as wide as the results of many keys scatter."""
    net, key = references.NETS[1], jax.random.key(3)
    explain = jaxplain.expected_grad(net, samples=9, info=True)
    _, info = jax.jit(explain)(X, baseline=BASELINES, key=key)
    each = [references.expected_gradients(net.gradient, X, [draw]) for draw in draws(9, key)]
    by_hand = np.std(each, axis=0, ddof=1) / 3
    np.testing.assert_allclose(info.standard_error, by_hand, rtol=1e-9)

    shared = functools.partial(explain, X, baseline=BASELINES)
    keys = jax.random.split(jax.random.key(1), 4000)
    attributions, infos = jax.jit(jax.vmap(lambda key: shared(key=key)))(keys)
    scatter = np.var(attributions, axis=0, ddof=1)
    # The scatter of 4000 results is known to about 1/sqrt(2000), 2 %; their tails double that.
    np.testing.assert_allclose(np.mean(infos.standard_error**2, axis=0), scatter, rtol=0.2)


def test_one_baseline_at_the_input_gives_nothing() -> None:
    explain = jaxplain.expected_grad(references.NETS[0], samples=3)
    result = jax.jit(explain)(X, baseline=X[None], key=jax.random.key(0))
    np.testing.assert_array_equal(result, 0 * X)


# ----------------------------------------------------------------------------------- over_baselines

REDUCTIONS = {
    "mean": lambda stacked: np.mean(stacked, axis=0),
    "median": lambda stacked: np.median(stacked, axis=0),
    "none": lambda stacked: np.asarray(stacked),
}


@each_net
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_over_baselines_reduces_explanations(net: Net, reduce: str) -> None:
    attr = jaxplain.integrated_grad(net, steps=6)
    explain = jax.jit(jaxplain.over_baselines(attr, reduce=reduce))
    expected = REDUCTIONS[reduce]([integrated(net, b) for b in BASELINES])
    np.testing.assert_allclose(explain(X, baseline=BASELINES), expected, rtol=1e-10)


def test_over_baselines_takes_any_reduction() -> None:
    net = references.NETS[0]
    attr = jaxplain.integrated_grad(net, steps=6)
    explain = jax.jit(jaxplain.over_baselines(attr, reduce=lambda a: jnp.max(a, axis=0)))
    expected = np.max([integrated(net, b) for b in BASELINES], axis=0)
    np.testing.assert_allclose(explain(X, baseline=BASELINES), expected, rtol=1e-10)


def test_over_baselines_of_trees() -> None:
    def f(x: Any) -> Any:
        return jnp.sum(x["a"] ** 2) + x["b"]

    x, baselines = {"a": X, "b": 2.0}, {"a": BASELINES, "b": np.arange(4.0)}
    explain = jaxplain.over_baselines(jaxplain.integrated_grad(f, steps=2))
    attribution = jax.jit(explain)(x, baseline=baselines)
    expected = np.mean(X**2 - BASELINES**2, axis=0)
    np.testing.assert_allclose(attribution["a"], expected, rtol=1e-12)
    np.testing.assert_allclose(attribution["b"], 0.5, rtol=1e-12)


def test_a_random_attribution_gets_a_key_for_each_baseline() -> None:
    attr = jaxplain.smooth(jaxplain.integrated_grad(references.NETS[0], steps=3), samples=2)
    key = jax.random.key(7)
    stacked = jax.jit(jaxplain.over_baselines(attr, reduce="none"))
    single = jax.jit(attr)
    expected = [
        single(X, baseline=b, key=jax.random.fold_in(key, i)) for i, b in enumerate(BASELINES)
    ]
    np.testing.assert_allclose(stacked(X, baseline=BASELINES, key=key), expected, rtol=1e-12)
    with pytest.raises(TypeError, match="needs a key"):
        stacked(X, baseline=BASELINES)


def test_over_baselines_explains_the_argument_asked_for() -> None:
    def f(scale: Any, x: Any) -> Any:
        return scale * jnp.sum(x**2)

    attr = jaxplain.integrated_grad(f, steps=2, argnums=1)
    explain = jax.jit(jaxplain.over_baselines(attr, argnums=1))
    expected = 3 * np.mean(X**2 - BASELINES**2, axis=0)
    np.testing.assert_allclose(explain(3.0, X, baseline=BASELINES), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("baseline", "error", "told"),
    [
        (None, TypeError, "set of baselines"),
        (X, ValueError, r"baseline=b\[None\]"),
        (BASELINES[:0], ValueError, "empty set"),
        (0.0, ValueError, "leading axis"),
    ],
    ids=["none", "one", "empty", "number"],
)
def test_sets_that_are_none(baseline: Any, error: type[Exception], told: str) -> None:
    attr = jaxplain.integrated_grad(references.NETS[0], steps=2)
    with pytest.raises(error, match=told):
        jaxplain.over_baselines(attr)(X, baseline=baseline)
    with pytest.raises(error, match=told):
        jaxplain.expected_grad(references.NETS[0])(X, baseline=baseline, key=jax.random.key(0))
