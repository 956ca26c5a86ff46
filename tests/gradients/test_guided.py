"""Guided integrated gradients, against the paper's loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from references import Net

import jaxplain

X, BASELINE = np.random.default_rng(1).normal(size=(2, 12))
NETS = [references.net("tanh", 12), references.net("relu", 12)]
each_net = pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)


@functools.cache
def guided(net: Net, steps: int) -> Callable[..., Any]:
    """One compiled explanation for all widths of the band and all shares of features."""

    def explain(x: Any, baseline: Any, fraction: Any, max_distance: Any) -> Any:
        options = {"steps": steps, "fraction": fraction, "max_distance": max_distance}
        return jaxplain.guided_integrated_grad(net, **options)(x, baseline=baseline)

    return jax.jit(explain)


@each_net
@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize(
    ("fraction", "max_distance"), [(0.25, 0.02), (0.25, 0.1), (0.1, 1.0), (0.5, 0.3), (1.0, 1.0)]
)
def test_guided_path_is_the_papers(
    net: Net, steps: int, fraction: float, max_distance: float
) -> None:
    attribution = guided(net, steps)(X, BASELINE, fraction, max_distance)
    expected = references.guided_integrated_gradients(
        net.gradient, X, BASELINE, steps, fraction, max_distance
    )
    np.testing.assert_allclose(attribution, expected, rtol=1e-10)


@each_net
def test_no_distance_is_the_straight_line(net: Net) -> None:
    nodes, weights = references.quadrature("left", 20)
    expected = references.path_integral(net.gradient, X, BASELINE, nodes, weights)
    attribution = guided(net, 20)(X, BASELINE, 0.25, 0.0)
    np.testing.assert_allclose(attribution, expected, rtol=1e-11)
    assert not np.allclose(guided(net, 20)(X, BASELINE, 0.25, 0.3), expected, rtol=0.05)


def test_features_equal_to_the_baseline_stay() -> None:
    net = NETS[0]
    baseline = np.where(np.arange(12) % 3 == 0, X, BASELINE)
    attribution = guided(net, 20)(X, baseline, 0.25, 0.2)
    expected = references.guided_integrated_gradients(net.gradient, X, baseline, 20, 0.25, 0.2)
    np.testing.assert_allclose(attribution, expected, rtol=1e-10)
    np.testing.assert_array_equal(np.asarray(attribution) == 0, np.arange(12) % 3 == 0)


def test_at_the_baseline_itself_nothing_moves() -> None:
    np.testing.assert_array_equal(guided(NETS[0], 20)(X, X, 0.25, 0.02), 0 * X)


def with_residual(net: Net, steps: int) -> tuple[np.ndarray, float]:
    explain = jaxplain.guided_integrated_grad(net, steps=steps, max_distance=0.1, info=True)
    attribution, info = jax.jit(explain)(X, baseline=BASELINE)
    residual = np.sum(attribution) - (net(X) - net(BASELINE))
    np.testing.assert_allclose(info.residual, residual, atol=1e-12)
    assert (int(info.steps), int(info.evaluations)) == (steps, steps + 2)
    return np.asarray(attribution), abs(float(residual))


def test_residual_of_a_smooth_net_falls_as_steps_grow() -> None:
    """The path ends at the input, so what is missing is the error of a left sum: 1/steps."""
    residuals = [with_residual(NETS[0], steps)[1] for steps in (10, 80, 640)]
    assert residuals[1] < residuals[0] / 5 and residuals[2] < residuals[1] / 5


def test_residual_of_a_kinked_net_stays() -> None:
    """A path that seeks small gradients slides along a kink, now on one side, now on the other.

    Each crossing costs a step's error, and there are as many as steps: so in the paper's own loop.
    """
    attribution, residual = with_residual(NETS[1], 640)
    loop = references.guided_integrated_gradients(NETS[1].gradient, X, BASELINE, 640, 0.25, 0.1)
    np.testing.assert_allclose(attribution, loop, rtol=1e-9)
    assert residual > 0.1


def test_features_of_low_gradient_go_first() -> None:
    """First along the flat side, then up the steep one: by hand, 0.1 and 2 for any steps."""

    def f(x: Any) -> Any:
        return 0.1 * x[0] + x[1] + x[0] * x[1]

    explain = jaxplain.guided_integrated_grad(f, steps=10, max_distance=1.0)
    np.testing.assert_allclose(jax.jit(explain)(jnp.ones(2)), [0.1, 2.0], rtol=1e-12)
    straight = jax.jit(jaxplain.integrated_grad(f))(jnp.ones(2))
    np.testing.assert_allclose(straight, [0.6, 1.5], rtol=1e-12)


def test_the_path_stays_in_its_band_and_keeps_its_pace() -> None:
    """The points visited, told by the model itself."""

    def make(f: Any) -> Any:
        return jaxplain.guided_integrated_grad(f, steps=20, max_distance=0.1)

    gone = (references.visited(make, NETS[0], X, baseline=BASELINE) - BASELINE) / (X - BASELINE)
    length = np.abs(X - BASELINE) / np.sum(np.abs(X - BASELINE))
    alphas = np.sort(gone @ length)
    np.testing.assert_allclose(alphas, np.arange(20) / 20, atol=1e-12)
    distance = gone[np.argsort(gone @ length)] - alphas[:, None]
    assert np.max(np.abs(distance)) <= 0.1 + 1e-12
    assert np.max(np.abs(distance)) > 0.09  # and it makes use of its band


@pytest.mark.parametrize(
    "option", [{"steps": 0}, {"fraction": 1.5}, {"max_distance": -0.1}, {"max_distance": 2.0}]
)
def test_options_out_of_range(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        jaxplain.guided_integrated_grad(NETS[0], **option)
