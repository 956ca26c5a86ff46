"""The plain gradient, and products with the input."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from references import Net

import jaxplain

X = np.random.default_rng(1).normal(size=5)
each_net = pytest.mark.parametrize("net", references.NETS, ids=lambda net: net.name)


@each_net
def test_saliency_is_the_gradient(net: Net) -> None:
    gradient = net.gradient(X)
    np.testing.assert_allclose(jax.jit(jaxplain.saliency(net))(X), gradient, rtol=1e-12)
    absolute = jax.jit(jaxplain.saliency(net, absolute=True))(X)
    np.testing.assert_allclose(absolute, np.abs(gradient), rtol=1e-12)
    assert (gradient < 0).any()  # otherwise the absolute value would not show


@each_net
def test_references_know_their_own_gradient(net: Net) -> None:
    """The networks' gradient by hand is what all references rest on."""
    step = 1e-6
    score = jax.jit(net)
    numeric = [float(score(X + step * e) - score(X - step * e)) / (2 * step) for e in np.eye(5)]
    # Rounding of the scores over the step: 1e-16 / 1e-6.
    np.testing.assert_allclose(net.gradient(X), numeric, rtol=1e-8, atol=1e-9)


@each_net
def test_input_x_grad(net: Net) -> None:
    expected = X * net.gradient(X)
    product = jax.jit(jaxplain.input_x_grad(net))(X)
    np.testing.assert_allclose(product, expected, rtol=1e-12)
    by_hand = jax.jit(jaxplain.times_input(jaxplain.saliency(net)))(X)
    np.testing.assert_array_equal(product, by_hand)


def test_input_x_grad_sums_to_the_score_of_a_relu_net_without_biases() -> None:
    net = references.net("relu", biased=False)
    np.testing.assert_allclose(np.sum(jax.jit(jaxplain.input_x_grad(net))(X)), net(X), rtol=1e-12)
    net = references.net("relu")
    gap = np.sum(jax.jit(jaxplain.input_x_grad(net))(X)) - net(X)
    assert abs(gap) > 0.1  # the biases' share


def test_saliency_of_a_saturated_model_is_zero() -> None:
    """What the gradient cannot see, and the reason for all other methods."""
    saturated = jax.jit(jaxplain.saliency(lambda x: jax.nn.relu6(x[0])))
    np.testing.assert_array_equal(saturated(X + 10), 0 * X)


def test_times_input_multiplies_any_attribution() -> None:
    net = references.NETS[0]
    attr = jaxplain.smooth(jax.grad(net), samples=4, sigma=0.1)
    key = jax.random.key(0)
    product = jax.jit(jaxplain.times_input(attr))(X, key=key)
    np.testing.assert_allclose(product, X * jax.jit(attr)(X, key=key), rtol=1e-12)


def test_times_input_multiplies_the_argument_that_attr_explains() -> None:
    def f(scale: float, tree: dict[str, jax.Array]) -> jax.Array:
        return scale * jnp.sum(tree["a"] ** 2)

    attr = jax.jit(jaxplain.times_input(jax.grad(f, argnums=1), argnums=1))
    np.testing.assert_allclose(attr(3.0, {"a": X})["a"], 6 * X**2, rtol=1e-12)
    both = jax.jit(jaxplain.input_x_grad(f, argnums=(0, 1)))(3.0, {"a": X})
    np.testing.assert_allclose(both[0], 3 * np.sum(X**2), rtol=1e-12)
    np.testing.assert_allclose(both[1]["a"], 6 * X**2, rtol=1e-12)


def test_times_input_refuses_what_is_not_like_the_input() -> None:
    net = references.NETS[0]
    with pytest.raises(TypeError, match="without info=True"):
        jax.jit(jaxplain.times_input(jaxplain.integrated_grad(net, info=True)))(X)
    with pytest.raises(TypeError, match=r"float64\[5\]"):
        jax.jit(jaxplain.times_input(net))(X)
