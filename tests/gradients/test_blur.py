"""Integrated gradients through scale space."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references

import jaxplain

PICTURE = np.random.default_rng(5).normal(size=(5, 4))
NETS = [references.net("tanh", 20), references.net("relu", 20)]
each_net = pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)


@each_net
def test_blur_path_against_differences_of_the_path(net: references.Net) -> None:
    explain = jax.jit(jaxplain.blur_integrated_grad(net, sigma=2.0, steps=8, rule="middle"))
    nodes, weights = references.quadrature("middle", 8)
    expected = references.blur_integrated_gradients(net.gradient, PICTURE, 2.0, nodes, weights)
    # The reference's velocity is a difference over 1e-4, so it keeps twelve digits.
    np.testing.assert_allclose(explain(PICTURE), expected, rtol=1e-9, atol=1e-11)


def test_it_sums_to_the_score_less_that_of_the_most_blurred_picture() -> None:
    net, sigma = NETS[0], 3.0
    explain = jaxplain.blur_integrated_grad(net, sigma=sigma, steps=100, info=True)
    attribution, info = jax.jit(explain)(PICTURE)
    difference = net(PICTURE) - net(references.blur(PICTURE, sigma))
    # As the blur vanishes, exp(-1/2sigma^2) is smooth but has no Taylor series: slow convergence.
    np.testing.assert_allclose(np.sum(attribution), difference, rtol=1e-7)
    np.testing.assert_allclose(info.residual, np.sum(attribution) - difference, atol=1e-12)
    assert (int(info.steps), int(info.evaluations)) == (100, 102)
    assert abs(difference) > 0.1


def test_a_tolerance_is_met_in_scale_space() -> None:
    net = NETS[1]
    explain = jaxplain.blur_integrated_grad(net, sigma=3.0, steps=10, tolerance=1e-4, info=True)
    attribution, info = jax.jit(explain)(PICTURE)
    difference = net(PICTURE) - net(references.blur(PICTURE, 3.0))
    assert bool(info.converged) and int(info.steps) > 10
    assert abs(np.sum(attribution) - difference) <= 1e-4 * (abs(difference) + 1e-3)


def test_channels_are_blurred_apart() -> None:
    """A channel that is constant stays so, and gets nothing."""
    net = references.net("tanh", 20)
    flat = np.full((5, 4), 0.7)

    def f(x: Any) -> Any:
        return net(x[..., 0]) * jnp.sum(x[..., 1])

    explain = jax.jit(jaxplain.blur_integrated_grad(f, sigma=2.0, steps=8))
    attribution = explain(np.stack([PICTURE, flat], axis=-1))
    alone = jax.jit(jaxplain.blur_integrated_grad(net, sigma=2.0, steps=8))(PICTURE)
    np.testing.assert_allclose(attribution[..., 0], np.sum(flat) * alone, rtol=1e-11)
    np.testing.assert_allclose(attribution[..., 1], 0, atol=1e-12)


def test_axes_name_what_is_space() -> None:
    """Rows as a sequence, or columns of the transposed picture: the same."""
    net = NETS[0]
    rows = jaxplain.blur_integrated_grad(net, sigma=1.0, axes=(0,), steps=6)
    columns = jaxplain.blur_integrated_grad(lambda x: net(x.T), sigma=1.0, axes=(-1,), steps=6)
    by_rows = jax.jit(rows)(PICTURE)
    np.testing.assert_allclose(jax.jit(columns)(PICTURE.T).T, by_rows, rtol=1e-11)
    both = jax.jit(jaxplain.blur_integrated_grad(net, sigma=1.0, steps=6))(PICTURE)
    assert not np.allclose(by_rows, both, rtol=0.1)


def test_strength_can_be_mapped_over() -> None:
    net = NETS[0]
    sigmas = np.array([0.0, 1.0, 3.0])

    def explain(sigma: Any) -> Any:
        return jaxplain.blur_integrated_grad(net, sigma=sigma, steps=8)(PICTURE)

    mapped = jax.jit(jax.vmap(explain))(sigmas)
    alone = jax.jit(jaxplain.blur_integrated_grad(net, sigma=3.0, steps=8))(PICTURE)
    np.testing.assert_allclose(mapped[2], alone, rtol=1e-11)
    np.testing.assert_array_equal(mapped[0], 0 * PICTURE)  # no blur, no way to go


def test_options_and_calls_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="sigma"):
        jaxplain.blur_integrated_grad(NETS[0], sigma=-1.0)
    with pytest.raises(ValueError, match=r"cannot be blurred along axes=\(0, 1\)"):
        jaxplain.blur_integrated_grad(NETS[0])(PICTURE.ravel())


def test_a_baseline_is_refused() -> None:
    with pytest.raises(TypeError, match="baseline"):
        jax.jit(jaxplain.blur_integrated_grad(NETS[0], steps=2))(PICTURE, baseline=0 * PICTURE)
