"""Integrated gradients with fixed nodes: the rules, one interior gradient, the residual."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from hypothesis import given, settings
from hypothesis import strategies as st
from references import Net

import jaxplain

X, BASELINE = np.random.default_rng(1).normal(size=(2, 5))
RULES = ["left", "right", "middle", "trapezoid", "gauss_legendre"]
each_net = pytest.mark.parametrize("net", references.NETS, ids=lambda net: net.name)
each_rule = pytest.mark.parametrize("rule", RULES)


@each_net
@each_rule
def test_integrated_grad_is_the_weighted_sum_of_gradients(net: Net, rule: str) -> None:
    nodes, weights = references.quadrature(rule, 12)
    expected = references.path_integral(net.gradient, X, BASELINE, nodes, weights)
    explain = jax.jit(jaxplain.integrated_grad(net, steps=12, rule=rule))
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-11)


def monomials(x: jax.Array) -> jax.Array:
    """Feature p of its explanation at one is the integral of alpha^p from 0 to 1."""
    return x[0] + x[1] ** 2 / 2 + x[2] ** 3 / 3 + x[3] ** 4 / 4


# What Euler and Maclaurin say the rules add to 1, 1/2, 1/3 and 1/4, for nodes h apart.
ERRORS: dict[str, Callable[[float], list[float]]] = {
    "left": lambda h: [0, -h / 2, -h / 2 + h**2 / 6, -h / 2 + h**2 / 4],
    "right": lambda h: [0, h / 2, h / 2 + h**2 / 6, h / 2 + h**2 / 4],
    "middle": lambda h: [0, 0, -(h**2) / 12, -(h**2) / 8],
    "trapezoid": lambda h: [0, 0, h**2 / 6, h**2 / 4],
    "gauss_legendre": lambda h: [0, 0, 0, 0],
}


@each_rule
@pytest.mark.parametrize("steps", [2, 50])
def test_monomials_are_integrated_with_the_textbook_error(rule: str, steps: int) -> None:
    h = 1 / (steps - 1) if rule == "trapezoid" else 1 / steps
    integrals = jax.jit(jaxplain.integrated_grad(monomials, steps=steps, rule=rule))(jnp.ones(4))
    expected = 1 / np.arange(1, 5) + ERRORS[rule](h)
    np.testing.assert_allclose(integrals, expected, rtol=1e-14)


def test_trapezoid_of_fifty_nodes() -> None:
    """Fifty nodes bound 49 intervals: weights of 1/50 would be 2 % low everywhere."""
    explain = jaxplain.integrated_grad(lambda x: x[0] + x[1] ** 3, steps=50, rule="trapezoid")
    np.testing.assert_allclose(jax.jit(explain)(jnp.ones(2)), [1, 1 + 1 / (2 * 49**2)], rtol=1e-14)


def test_trapezoid_needs_both_ends() -> None:
    with pytest.raises(ValueError, match="needs both ends"):
        jaxplain.integrated_grad(monomials, steps=1, rule="trapezoid")


@functools.cache
def integrate_polynomial(steps: int) -> Any:
    """The integral over alpha of a polynomial of alpha, as an explanation of its antiderivative."""

    def antiderivative(x: jax.Array, coefficients: jax.Array) -> jax.Array:
        powers = jnp.arange(1.0, len(coefficients) + 1.0)
        return jnp.sum(coefficients * x[0] ** powers / powers)

    return jax.jit(jaxplain.integrated_grad(antiderivative, steps=steps))


def polynomials(steps: int) -> Any:
    coefficients = st.lists(st.floats(-10, 10), min_size=2 * steps, max_size=2 * steps)
    return st.tuples(st.just(steps), coefficients)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 3, 5, 8]).flatmap(polynomials))
def test_gauss_legendre_is_exact_to_degree_2n_minus_1(drawn: tuple[int, list[float]]) -> None:
    steps, coefficients = drawn
    integral = integrate_polynomial(steps)(jnp.ones(1), jnp.asarray(coefficients))
    expected = np.sum(np.asarray(coefficients) / np.arange(1, 2 * steps + 1))
    np.testing.assert_allclose(integral, [expected], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_gauss_legendre_misses_degree_2n_by_the_textbook_error(steps: int) -> None:
    """By the integral of the squared monic Legendre polynomial."""
    power = jnp.zeros(2 * steps + 1).at[-1].set(1.0)
    miss = 1 / (2 * steps + 1) - integrate_polynomial(steps)(jnp.ones(1), power)[0]
    square = factorial(steps) ** 4 / ((2 * steps + 1) * factorial(2 * steps) ** 2)
    # The miss is what is left of numbers near 0.1, so 1e-16 of rounding counts.
    np.testing.assert_allclose(miss, square, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_two_ways_to_gauss_legendre(steps: int) -> None:
    """The reference's eigenvalue problem agrees with the roots that NumPy finds."""
    nodes, weights = references.quadrature("gauss_legendre", steps)
    roots, counts = np.polynomial.legendre.leggauss(steps)
    np.testing.assert_allclose(nodes, (roots + 1) / 2, atol=1e-15)
    np.testing.assert_allclose(weights, counts / 2, atol=1e-15)


def test_zeros_or_a_number_as_baseline() -> None:
    net = references.NETS[0]
    explain = jax.jit(jaxplain.integrated_grad(net, steps=6))
    nodes, weights = references.quadrature("gauss_legendre", 6)
    for given_baseline, value in [({}, 0.0), ({"baseline": 0.7}, 0.7)]:
        start = np.full(5, value)
        expected = references.path_integral(net.gradient, X, start, nodes, weights)
        np.testing.assert_allclose(explain(X, **given_baseline), expected, rtol=1e-11)


def test_completeness_of_a_smooth_net() -> None:
    net = references.NETS[0]
    attribution = jax.jit(jaxplain.integrated_grad(net, steps=40))(X, baseline=BASELINE)
    np.testing.assert_allclose(np.sum(attribution), net(X) - net(BASELINE), rtol=1e-11)


@each_net
def test_features_equal_to_the_baseline_get_nothing(net: Net) -> None:
    baseline = np.where(np.arange(5) < 2, X, BASELINE)
    attribution = jax.jit(jaxplain.integrated_grad(net, steps=5))(X, baseline=baseline)
    np.testing.assert_array_equal(np.asarray(attribution) == 0, np.arange(5) < 2)


def test_a_sum_of_models_is_explained_by_the_sum_of_explanations() -> None:
    smooth, kinked = references.NETS
    models = [smooth, kinked, lambda x: 2 * smooth(x) - 3 * kinked(x)]
    one, other, both = (jax.jit(jaxplain.integrated_grad(f, steps=9))(X) for f in models)
    np.testing.assert_allclose(both, 2 * one - 3 * other, rtol=1e-12)


@each_net
def test_info_of_fixed_steps(net: Net) -> None:
    explain = jax.jit(jaxplain.integrated_grad(net, steps=7, rule="left", info=True))
    attribution, info = explain(X, baseline=BASELINE)
    bare = jax.jit(jaxplain.integrated_grad(net, steps=7, rule="left"))(X, baseline=BASELINE)
    np.testing.assert_allclose(attribution, bare, rtol=1e-12)
    assert (int(info.steps), int(info.evaluations)) == (7, 9)
    residual = np.sum(attribution) - (net(X) - net(BASELINE))
    np.testing.assert_allclose(info.residual, residual, rtol=1e-9)
    assert abs(residual) > 1e-3  # a left sum of 7 is off, and that is told
    assert info.converged is None and info.standard_error is None


def test_info_of_a_batch_has_its_axis() -> None:
    explain = jaxplain.integrated_grad(references.NETS[0], steps=3, info=True)
    attribution, info = jax.jit(jax.vmap(explain))(np.stack([X, BASELINE]))
    assert attribution.shape == (2, 5)
    assert info.steps.shape == info.evaluations.shape == info.residual.shape == (2,)


@each_net
def test_interior_grad_is_the_gradient_on_the_line(net: Net) -> None:
    attribution = jax.jit(jaxplain.interior_grad(net, 0.3))(X, baseline=BASELINE)
    expected = net.gradient(BASELINE + 0.3 * (X - BASELINE))
    np.testing.assert_allclose(attribution, expected, rtol=1e-12)


def test_interior_grads_average_to_integrated_grad() -> None:
    net = references.NETS[0]
    nodes, weights = references.quadrature("gauss_legendre", 8)

    def at(alpha: jax.Array) -> jax.Array:
        return jaxplain.interior_grad(net, alpha)(X, baseline=BASELINE)

    average = weights @ np.asarray(jax.jit(jax.vmap(at))(nodes))
    integrated = jax.jit(jaxplain.integrated_grad(net, steps=8))(X, baseline=BASELINE)
    np.testing.assert_allclose((X - BASELINE) * average, integrated, rtol=1e-12)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_interior_grad_stays_on_the_line(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        jaxplain.interior_grad(references.NETS[0], alpha)


@each_net
def test_convergence_delta(net: Net) -> None:
    delta = jaxplain.convergence_delta(net, X, X, baseline=BASELINE)
    np.testing.assert_allclose(delta, np.sum(X) - (net(X) - net(BASELINE)), rtol=1e-12)
    from_zero = jaxplain.convergence_delta(net, X, X)
    np.testing.assert_allclose(from_zero, np.sum(X) - (net(X) - net(0 * X)), rtol=1e-12)


def test_convergence_delta_wants_one_attribution() -> None:
    with pytest.raises(ValueError, match="A batch is mapped"):
        jaxplain.convergence_delta(references.NETS[0], np.stack([X, X]), X)
