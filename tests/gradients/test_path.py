"""Integrals along any path, and the search for nodes that meet a tolerance."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from references import Net

import jaxplain

X, BASELINE = np.random.default_rng(1).normal(size=(2, 5))
ATOL = 1e-3  # the library's default
each_net = pytest.mark.parametrize("net", references.NETS, ids=lambda net: net.name)

# ------------------------------------------------------------------------------- paths of any kind


SPEEDS = np.array([1.0, 2.0, 3.0, 1.0, 2.0])


def swerve(alpha: Any, x: Any, baseline: Any) -> Any:
    """A curve from the baseline to `x` on which every feature goes its own way."""
    return baseline + alpha**SPEEDS * (x - baseline) + alpha * (1 - alpha) * SPEEDS


@each_net
@pytest.mark.parametrize("rule", ["gauss_legendre", "middle"])
def test_path_integral_of_gradient_times_velocity(net: Net, rule: str) -> None:
    nodes, weights = references.quadrature(rule, 10)
    expected = references.curve_integral(
        net.gradient, lambda alpha: swerve(alpha, X, BASELINE), nodes, weights
    )
    explain = jax.jit(jaxplain.path_integrated_grad(net, swerve, steps=10, rule=rule))
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-10)


def test_a_path_of_ones_own() -> None:
    """One feature first and the other later: by hand, the integrals of alpha^2 and 2 alpha^2."""

    def detour(alpha: Any, x: Any, baseline: Any) -> Any:
        return baseline + jnp.array([alpha, alpha**2]) * (x - baseline)

    explain = jax.jit(jaxplain.path_integrated_grad(lambda x: x[0] * x[1], detour, steps=2))
    np.testing.assert_allclose(explain(jnp.ones(2)), [1 / 3, 2 / 3], rtol=1e-14)


def test_a_path_sums_to_the_difference_of_its_ends() -> None:
    net = references.NETS[0]
    explain = jaxplain.path_integrated_grad(net, swerve, steps=80, info=True)
    attribution, info = jax.jit(explain)(X, baseline=BASELINE)
    np.testing.assert_allclose(np.sum(attribution), net(X) - net(BASELINE), rtol=1e-10)
    assert abs(info.residual) < 1e-10
    assert (int(info.steps), int(info.evaluations)) == (80, 82)


def test_the_straight_line_is_integrated_grad() -> None:
    net = references.NETS[1]
    line = jaxplain.path_integrated_grad(net, jaxplain.straight_line, steps=6)
    expected = jax.jit(jaxplain.integrated_grad(net, steps=6))(X, baseline=BASELINE)
    np.testing.assert_array_equal(jax.jit(line)(X, baseline=BASELINE), expected)


def test_the_speed_along_a_path_does_not_matter() -> None:
    net = references.NETS[0]

    def later(alpha: Any, x: Any, baseline: Any) -> Any:
        return jaxplain.straight_line(alpha**3, x, baseline)

    slow = jax.jit(jaxplain.path_integrated_grad(net, later, steps=60))(X, baseline=BASELINE)
    even = jax.jit(jaxplain.integrated_grad(net, steps=60))(X, baseline=BASELINE)
    np.testing.assert_allclose(slow, even, rtol=1e-9, atol=1e-12)


def test_a_path_may_ignore_the_baseline_and_have_leaves() -> None:
    def fade(alpha: Any, x: Any, baseline: Any) -> Any:
        del baseline
        return {"a": alpha * x["a"], "b": x["b"]}

    def f(x: Any) -> Any:
        return jnp.sum(x["a"] ** 2) * x["b"]

    attribution = jaxplain.path_integrated_grad(f, fade, steps=1)({"a": X, "b": 3.0})
    np.testing.assert_allclose(attribution["a"], 3 * X**2, rtol=1e-14)
    assert attribution["b"] == 0  # it never moves


# --------------------------------------------------------------------------- the search for nodes

DIRECTIONS = np.random.default_rng(3).normal(size=(5, 12))
BIASES, LAST = np.random.default_rng(4).normal(size=(2, 12))


def ramps(x: Any, sharpness: Any) -> Any:
    """Twelve clipped ramps with a kink at either end; the sharper, the more like steps."""
    return jax.nn.relu6(sharpness * (x @ DIRECTIONS + BIASES)) @ LAST


def one_kink(x: Any) -> Any:
    """The sum of the features, once it is over 0.3719."""
    return jax.nn.relu(jnp.sum(x) - 0.3719)


ONES = jnp.full(5, 0.2)  # one_kink bends at 0.3719 of the way from zero to here


@functools.cache
def search(f: Callable[..., Any], max_steps: int) -> Callable[..., Any]:
    """A compiled search from ten steps on, with `Info`; the tolerance is an argument."""

    def explain(x: Any, *args: Any, tolerance: Any, **kwargs: Any) -> Any:
        options = {"steps": 10, "max_steps": max_steps, "info": True}
        return jaxplain.integrated_grad(f, tolerance=tolerance, **options)(x, *args, **kwargs)

    return jax.jit(explain)


@pytest.mark.parametrize("sharpness", [3.0, 60.0])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-6])
def test_tolerance_is_met_on_kinks(sharpness: float, tolerance: float) -> None:
    explain = search(ramps, max_steps=4000)
    attribution, info = explain(X, sharpness, tolerance=tolerance, baseline=BASELINE)
    difference = float(ramps(X, sharpness) - ramps(BASELINE, sharpness))
    goal = tolerance * (abs(difference) + ATOL)
    assert bool(info.converged)
    assert abs(np.sum(attribution) - difference) <= goal
    np.testing.assert_allclose(np.sum(attribution) - difference, info.residual, atol=1e-12)
    truth = references.ridge_attribution(
        lambda z: np.clip(z, 0, 6), sharpness * DIRECTIONS, sharpness * BIASES, LAST, X, BASELINE
    )
    # Sub-intervals' errors under the goal in root sum of squares may add up to a few goals.
    np.testing.assert_allclose(attribution, truth, rtol=0, atol=3 * goal)


def test_fixed_steps_fail_where_the_search_succeeds() -> None:
    """One kink costs a fixed rule ever more nodes, and the search a few bisections."""
    _, found = search(one_kink, 120)(ONES, tolerance=1e-8)
    assert bool(found.converged) and int(found.steps) <= 120
    _, fixed = jax.jit(jaxplain.integrated_grad(one_kink, steps=600, info=True))(ONES)
    assert abs(fixed.residual) > 1000 * abs(found.residual)


def test_each_example_of_a_batch_has_its_own_steps() -> None:
    """And one that is done stays as it is while others go on: mapped equals unmapped."""
    xs = np.stack([-ONES, ONES, 0.5 * ONES, ONES])
    tolerances = np.array([1e-6, 1e-6, 1e-4, 1e-8])
    attributions, infos = jax.jit(jax.vmap(search(one_kink, 120)))(xs, tolerance=tolerances)
    for i, (x, tolerance) in enumerate(zip(xs, tolerances, strict=True)):
        attribution, info = search(one_kink, 120)(x, tolerance=tolerance)
        np.testing.assert_allclose(attributions[i], attribution, rtol=1e-13)
        assert int(infos.steps[i]) == int(info.steps)
        assert int(infos.evaluations[i]) == int(info.evaluations)
    assert int(infos.steps[0]) == 10  # no kink on its way
    assert len(set(infos.steps.tolist())) == 4
    assert infos.converged.all()


def test_info_of_a_search() -> None:
    _, info = search(one_kink, 120)(ONES, tolerance=1e-6)
    # Each gradient of the sum stands at a node whose slope was looked at before.
    assert int(info.evaluations) > 2 * int(info.steps)
    assert int(info.steps) % 5 == 0 and int(info.steps) <= 120
    assert info.residual.shape == info.converged.shape == ()
    assert info.standard_error is None


def test_a_search_that_starts_well_stays_there() -> None:
    """Ten nodes are two sub-intervals of five, and a polynomial needs no more."""
    explain = jaxplain.integrated_grad(lambda x: jnp.sum(x**4), steps=10, tolerance=1e-9, info=True)
    attribution, info = jax.jit(explain)(X, baseline=BASELINE)
    assert int(info.steps) == 10 and bool(info.converged)
    nodes, weights = references.composite(*references.quadrature("gauss_legendre", 5), 2)
    expected = references.path_integral(lambda x: 4 * x**3, X, BASELINE, nodes, weights)
    np.testing.assert_allclose(attribution, expected, rtol=1e-11)


def test_atol_takes_over_where_the_scores_are_equal() -> None:
    """No residual is small against a difference of zero."""

    def hill(x: Any) -> Any:
        return jax.nn.relu(0.2 - jnp.abs(x[0] - 0.43))

    def explain(atol: Any) -> Any:
        options = {"steps": 10, "tolerance": 0.1, "max_steps": 400, "info": True}
        return jaxplain.integrated_grad(hill, atol=atol, **options)(jnp.ones(1))

    atol = np.array([1.0, 1e-4])
    attributions, info = jax.jit(jax.vmap(explain))(atol)
    assert np.all(np.abs(attributions[:, 0]) <= 0.1 * atol) and info.converged.all()
    assert int(info.steps[0]) == 10 < int(info.steps[1])


def test_the_ceiling_is_told_under_info() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = search(one_kink, 120)(ONES, tolerance=1e-12)
        jax.effects_barrier()
    assert not bool(info.converged)
    assert int(info.steps) == 120
    assert abs(info.residual) > 1e-12


@functools.cache
def warning_search(compile: Callable[[Any], Any]) -> Callable[..., Any]:
    return compile(jaxplain.integrated_grad(one_kink, steps=10, tolerance=1e-9, max_steps=40))


def batched(explain: Any) -> Any:
    return jax.jit(jax.vmap(explain))


def eager(explain: Any) -> Any:
    return explain


@pytest.mark.parametrize("compile", [eager, jax.jit], ids=["eager", "jit"])
def test_the_ceiling_warns_without_info(compile: Callable[[Any], Any]) -> None:
    told = r"residual -?[\d.e-]+ after 40 steps, with tolerance=1e-09. Raise max_steps=40"
    with pytest.warns(RuntimeWarning, match=told):
        warning_search(compile)(ONES)
        jax.effects_barrier()


def test_only_the_example_that_misses_warns() -> None:
    with pytest.warns(RuntimeWarning) as warned:
        warning_search(batched)(jnp.stack([-ONES, ONES, -2 * ONES]))
        jax.effects_barrier()
    assert len(warned) == 1


def test_no_warning_when_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warning_search(jax.jit)(-ONES)
        jax.effects_barrier()


def test_the_ceiling_is_never_passed() -> None:
    options = {"steps": 12, "max_steps": 12, "tolerance": 1e-9, "info": True}
    _, info = jax.jit(jaxplain.integrated_grad(one_kink, **options))(ONES)
    assert int(info.steps) <= 12


def test_a_ceiling_below_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="max_steps=20 .* at least 50.* search starts"):
        jaxplain.integrated_grad(one_kink, steps=50, max_steps=20, tolerance=1e-2)


def test_errors_that_cancel_are_no_convergence() -> None:
    """Two kinks in mirrored places: either feature is wrong, the sum is right."""

    def mirrored(x: Any) -> Any:
        return jax.nn.relu(x[0] - 0.2345) + jax.nn.relu(x[1] - 0.7655)

    attribution, info = search(mirrored, 20)(jnp.ones(2), tolerance=1e-6)
    assert abs(info.residual) < 1e-12 and abs(attribution[0] - 0.7655) > 1e-3
    assert not bool(info.converged)


# ------------------------------------------------------------------------- gradients of the search


def central_difference(loss: Callable[[float], Any], at: float, step: float = 1e-5) -> float:
    return float(loss(at + step) - loss(at - step)) / (2 * step)


def loss_of(f: Callable[..., Any], baseline: np.ndarray, tolerance: float) -> Callable[..., Any]:
    """A loss on the explanation of `f(x, scale)`, with its slope in `scale` and the steps used."""
    explain = jaxplain.integrated_grad(f, steps=10, tolerance=tolerance, info=True)

    def loss(scale: Any) -> Any:
        attribution, info = explain(X, scale, baseline=baseline)
        return jnp.sum(attribution**2), info.steps

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def test_gradient_through_a_search_is_that_of_the_sum_over_its_nodes() -> None:
    """A tolerance that is met at once leaves the nodes known: two times five."""
    net = references.NETS[0]
    nodes, weights = references.composite(*references.quadrature("gauss_legendre", 5), 2)

    def by_hand(scale: float) -> Any:
        def gradient(x: np.ndarray) -> np.ndarray:
            return scale * net.gradient(scale * x)

        return np.sum(references.path_integral(gradient, X, BASELINE, nodes, weights) ** 2)

    loss = loss_of(lambda x, scale: net(scale * x), BASELINE, tolerance=10.0)
    (value, steps), slope = loss(2.0)
    assert int(steps) == 10
    np.testing.assert_allclose(value, by_hand(2.0), rtol=1e-11)
    # Central differences in steps of 1e-5 keep about ten digits.
    np.testing.assert_allclose(slope, central_difference(by_hand, 2.0), rtol=1e-8)


def test_gradient_through_a_long_search_is_its_finite_difference() -> None:
    """Nodes found by bisection stay put under small changes: the explanation itself will do."""
    loss = loss_of(lambda x, scale: jnp.tanh(scale * ramps(x, 3.0)), BASELINE, tolerance=1e-3)
    steps = [int(loss(scale)[0][1]) for scale in (0.2 - 1e-5, 0.2, 0.2 + 1e-5)]
    assert steps[0] == steps[1] == steps[2] > 50
    numeric = central_difference(lambda scale: loss(scale)[0][0], 0.2)
    np.testing.assert_allclose(loss(0.2)[1], numeric, rtol=1e-7)
