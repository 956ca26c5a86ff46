"""Guided backprop, deconvolution and gradients with rules of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import Kind
from jaxplain.rules import Composite, GuidedReLU, Propagated, Rule, kind, path

Activation = Callable[[Any], Any]


def draw(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng([seed, *shape]).normal(size=shape))


W1, W2, W3 = draw(5, 8), draw(8, 8), draw(8)
X = draw(5, seed=1) * 2


def net(activation: Activation) -> Callable[[Any], Any]:
    """Two hidden layers, with pre-activations on both sides of zero and of six."""

    def f(x: Any) -> Any:
        return activation(activation(x @ W1 * 3 + 0.5) @ W2) @ W3

    return f


def by_hand(
    activation: Activation, backward: Callable[[Any, Any], Any]
) -> Callable[[Callable[..., Any]], Any]:
    """The same, where the derivative of each activation is `backward(x, gradient)`."""

    @jax.custom_vjp
    def modified(x: Any) -> Any:
        return activation(x)

    modified.defvjp(lambda x: (activation(x), x), lambda x, g: (backward(x, g),))
    return jax.grad(net(modified))


def guided(slope: Activation) -> Callable[[Any, Any], Any]:
    return lambda x, g: jnp.where(g > 0, g, 0) * slope(x)


def deconv(x: Any, g: Any) -> Any:
    return jnp.where(g > 0, g, 0)


def leak(slope: float) -> Activation:
    return lambda x: jnp.where(x > 0, 1.0, slope)


def below_six(x: Any) -> Any:
    return jnp.where((x > 0) & (x < 6), 1.0, 0.0)


@jax.custom_jvp
def own_relu(x: Any) -> Any:
    return jnp.maximum(x, 0)


@own_relu.defjvp
def _own_relu_jvp(primals: Any, tangents: Any) -> Any:
    return own_relu(*primals), tangents[0] * (primals[0] > 0).astype(float)


# Spelling and slope.
RECTIFIERS: dict[str, tuple[Activation, Activation]] = {
    "jax.nn.relu": (jax.nn.relu, leak(0)),
    "flax relu": (nn.relu, leak(0)),
    "maximum(x, 0)": (lambda x: jnp.maximum(x, 0), leak(0)),
    "maximum(0, x)": (lambda x: jnp.maximum(0.0, x), leak(0)),
    "lax.max": (lambda x: jax.lax.max(x, jnp.zeros_like(x)), leak(0)),
    "where": (lambda x: jnp.where(x > 0, x, 0), leak(0)),
    "where, the other way": (lambda x: jnp.where(x <= 0, 0, x), leak(0)),
    "times a mask": (lambda x: x * (x > 0).astype(x.dtype), leak(0)),
    "clip(x, 0)": (lambda x: jnp.clip(x, 0), leak(0)),
    "half of x and its absolute value": (lambda x: (x + jnp.abs(x)) / 2, leak(0)),
    "minimum of the negative": (lambda x: -jnp.minimum(-x, 0), leak(0)),
    "custom_jvp": (own_relu, leak(0)),
    "relu6": (jax.nn.relu6, below_six),
    "clip(x, 0, 6)": (lambda x: jnp.clip(x, 0, 6), below_six),
    "minimum of the relu": (lambda x: jnp.minimum(jax.nn.relu(x), 6.0), below_six),
    "leaky_relu": (jax.nn.leaky_relu, leak(0.01)),
    "leaky_relu(0.2)": (lambda x: jax.nn.leaky_relu(x, 0.2), leak(0.2)),
    "maximum(x, 0.1x)": (lambda x: jnp.maximum(x, 0.1 * x), leak(0.1)),
}
each_rectifier = pytest.mark.parametrize("name", RECTIFIERS)


@each_rectifier
def test_rectifiers_however_they_are_spelled(name: str) -> None:
    activation, slope = RECTIFIERS[name]
    f = net(activation)

    @jax.jit
    def run(x: Any) -> Any:
        return (
            jaxplain.guided_backprop(f)(x),
            jaxplain.deconvnet(f)(x),
            by_hand(activation, guided(slope))(x),
            by_hand(activation, deconv)(x),
            jax.grad(f)(x),
        )

    found_guided, found_deconv, hand_guided, hand_deconv, gradient = run(X)
    np.testing.assert_allclose(found_guided, hand_guided, rtol=1e-12)
    np.testing.assert_allclose(found_deconv, hand_deconv, rtol=1e-12)
    for other in (gradient, found_deconv):
        assert not np.allclose(found_guided, other, rtol=1e-2)


def _in_jit(x: Any) -> Any:
    return jax.jit(net(jax.nn.relu))(x)


def _in_remat(x: Any) -> Any:
    return jax.checkpoint(net(jax.nn.relu))(x)


def _in_vmap(x: Any) -> Any:
    hidden = jax.vmap(lambda w: jax.nn.relu(x @ w * 3 + 0.5))(W1.T)
    return jax.nn.relu(hidden @ W2) @ W3


def _in_cond(x: Any) -> Any:
    return jax.lax.cond(x[0] < 100, net(jax.nn.relu), lambda x: jnp.sum(x), x)


def _in_scan(x: Any) -> Any:
    """Both layers as steps of a loop, the first padded to the size of the second."""
    weights = jnp.stack([jnp.pad(W1 * 3, ((0, 3), (0, 0))), W2])
    biases = jnp.array([[0.5], [0.0]])

    def step(h: Any, layer: Any) -> Any:
        w, b = layer
        return jax.nn.relu(h @ w + b), None

    return jax.lax.scan(step, jnp.pad(x, (0, 3)), (weights, biases))[0] @ W3


WRAPPED = {
    "jit": _in_jit,
    "remat": _in_remat,
    "vmap": _in_vmap,
    "cond": _in_cond,
    "scan": _in_scan,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_rectifiers_inside_transforms(name: str) -> None:
    f = WRAPPED[name]

    @jax.jit
    def run(x: Any) -> Any:
        return (
            jaxplain.guided_backprop(f)(x),
            jaxplain.deconvnet(f)(x),
            by_hand(jax.nn.relu, guided(leak(0)))(x),
            by_hand(jax.nn.relu, deconv)(x),
        )

    found_guided, found_deconv, hand_guided, hand_deconv = run(X)
    np.testing.assert_allclose(found_guided, hand_guided, rtol=1e-11)
    np.testing.assert_allclose(found_deconv, hand_deconv, rtol=1e-11)


def test_batches_by_vmap() -> None:
    xs = jnp.stack([X, -X, 0.3 * X])
    explain = jaxplain.guided_backprop(net(jax.nn.relu))
    mapped = jax.jit(jax.vmap(explain))(xs)
    one = jax.jit(explain)
    np.testing.assert_allclose(mapped, np.stack([one(x) for x in xs]), rtol=1e-12)


NOT_RECTIFIERS: dict[str, Activation] = {
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "selu": jax.nn.selu,
    "hard_tanh": jax.nn.hard_tanh,
    "hard_swish": jax.nn.hard_swish,
    "abs": jnp.abs,
    "identity": lambda x: x,
    "maximum(x, 1)": lambda x: jnp.maximum(x, 1.0),
    "square": jnp.square,
}


@pytest.mark.parametrize("name", NOT_RECTIFIERS)
def test_models_without_rectifiers_are_refused(name: str) -> None:
    f = net(NOT_RECTIFIERS[name])
    for method in (jaxplain.guided_backprop, jaxplain.deconvnet):
        with pytest.raises(ValueError, match=f"{method.__name__}.* has none .ReLU, ReLU6, leaky"):
            jax.eval_shape(method(f), X)


def test_other_activations_keep_their_derivative() -> None:
    """In a model of both, only the rectifier is changed."""

    def f(x: Any) -> Any:
        return jnp.tanh(jax.nn.relu(x @ W1) @ W2) @ W3

    @jax.custom_vjp
    def modified(x: Any) -> Any:
        return jax.nn.relu(x)

    modified.defvjp(lambda x: (jax.nn.relu(x), x), lambda x, g: (guided(leak(0))(x, g),))
    wanted = jax.jit(jax.grad(lambda x: jnp.tanh(modified(x @ W1) @ W2) @ W3))(X)
    np.testing.assert_allclose(jax.jit(jaxplain.guided_backprop(f))(X), wanted, rtol=1e-12)


# ------------------------------------------------------------------------------- modified_grad

COMPOSITE = Composite()
EXACT = {name: net(activation) for name, (activation, _) in RECTIFIERS.items()} | WRAPPED


@pytest.mark.parametrize("name", EXACT)
def test_an_empty_composite_is_the_gradient(name: str) -> None:
    run = jax.jit(
        lambda x: (jaxplain.modified_grad(EXACT[name], COMPOSITE)(x), jax.grad(EXACT[name])(x))
    )
    np.testing.assert_array_equal(*run(X))


@jax.custom_vjp
def clipped(x: Any) -> Any:
    """The identity, with its gradient clipped."""
    return x * 1.0


clipped.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -0.1, 0.1),))


@jax.custom_vjp
def clipped_relu(x: Any) -> Any:
    return jnp.maximum(x, 0)


clipped_relu.defvjp(
    lambda x: (jnp.maximum(x, 0), x), lambda x, g: (jnp.clip(g, -0.1, 0.1) * (x > 0),)
)


def test_custom_derivatives_are_kept_where_no_rule_reaches_inside() -> None:
    def f(x: Any) -> Any:
        return jax.nn.relu(clipped(x @ W1) @ W2) @ W3

    @jax.jit
    def run(x: Any) -> Any:
        return (
            jaxplain.modified_grad(f, COMPOSITE)(x),
            jax.grad(f)(x),
            jaxplain.guided_backprop(f)(x),
            jax.grad(lambda x: _guided_relu(clipped(x @ W1) @ W2) @ W3)(x),
        )

    empty, gradient, found, wanted = run(X)
    np.testing.assert_array_equal(empty, gradient)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert not np.allclose(found, gradient, rtol=1e-2)


@jax.custom_vjp
def _guided_relu(x: Any) -> Any:
    return jax.nn.relu(x)


_guided_relu.defvjp(lambda x: (jax.nn.relu(x), x), lambda x, g: (guided(leak(0))(x, g),))


def test_a_rule_replaces_the_custom_derivative_it_applies_in() -> None:
    """A rectifier with a derivative of its own is a rectifier all the same."""

    def f(x: Any) -> Any:
        return clipped_relu(clipped(x @ W1) @ W2) @ W3

    found = jax.jit(jaxplain.guided_backprop(f))(X)
    wanted = jax.jit(jax.grad(lambda x: _guided_relu(clipped(x @ W1) @ W2) @ W3))(X)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@dataclasses.dataclass(frozen=True)
class Scaled(Rule):
    """The site's own derivative times a number."""

    factor: Any

    kinds = Kind.ELEMENTWISE | Kind.DENSE
    linearize = True

    def propagate(self, call: Any, relevances: Any) -> Propagated:
        return Propagated(tuple(self.factor * g for g in call.pullback(relevances)))


def test_a_rule_of_ones_own_sees_gradients() -> None:
    """Halved at both tanh: a quarter of the gradient; the number may be traced."""
    f = net(jnp.tanh)

    def run(factor: Any) -> Any:
        pairs = [(Kind.ELEMENTWISE, Scaled(factor))]
        return jaxplain.modified_grad(f, Composite(pairs))(X)

    gradient = jax.jit(jax.grad(f))(X)
    factors = jnp.array([0.5, 2.0])
    found = jax.jit(jax.vmap(run))(factors)
    np.testing.assert_allclose(found, jnp.outer(factors**2, gradient), rtol=1e-12)
    slope = jax.jit(jax.jacrev(run))(0.5)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12)


def test_a_bare_rule_and_paths() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("lower"):
            x = jnp.tanh(x @ W1)
        with jax.named_scope("upper"):
            return jnp.tanh(x @ W2) @ W3

    @jax.jit
    def run(x: Any) -> Any:
        layer = Composite([("lower", Scaled(0.5))])
        both = Composite([(path("lower") & kind(Kind.DENSE | Kind.ELEMENTWISE), Scaled(0.5))])
        return (
            jaxplain.modified_grad(f, layer)(x),
            jaxplain.modified_grad(f, both)(x),
            jaxplain.modified_grad(f, GuidedReLU())(x),
            jax.grad(f)(x),
        )

    layer, both, guided_tanh, gradient = run(X)
    # A path by itself means the layer of that name, not the activation in the same scope.
    np.testing.assert_allclose(layer, 0.5 * gradient, rtol=1e-12)
    np.testing.assert_allclose(both, 0.25 * gradient, rtol=1e-12)
    assert not np.allclose(guided_tanh, gradient, rtol=1e-2)


def test_unmatched_and_misplaced_rules_are_told() -> None:
    with pytest.warns(UserWarning, match="GuidedReLU for 'block' matches no site"):
        jax.eval_shape(jaxplain.modified_grad(_in_jit, Composite([("block", GuidedReLU())])), X)
    with pytest.raises(ValueError, match="GuidedReLU is no rule for 'dot_general'"):
        jax.eval_shape(jaxplain.modified_grad(_in_jit, Composite([(Kind.DENSE, GuidedReLU())])), X)


def test_dtypes_and_trees() -> None:
    def f(x: Any) -> Any:
        joined = jnp.concatenate([x["a"], x["b"][0]])
        return jnp.sum(jax.nn.relu(joined @ W1.astype(joined.dtype)))

    for dtype in (jnp.float32, jnp.bfloat16):
        tree = {"a": X[:2].astype(dtype), "b": (X[2:].astype(dtype),)}
        found = jax.jit(jaxplain.guided_backprop(f))(tree)
        chex.assert_trees_all_equal_shapes_and_dtypes(found, tree)


def test_derivative_of_a_modified_gradient() -> None:
    """Guided backprop of a network with bends in its activations: finite differences."""

    def f(x: Any, w: Any) -> Any:
        return jnp.tanh(jax.nn.relu(x @ w + 0.5) @ W2) @ W3

    @jax.jit
    def loss(x: Any, w: Any) -> Any:
        return jnp.sum(jaxplain.guided_backprop(f)(x, w) ** 2)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(X, W1)
    step = 1e-6
    for place, (point, gradient) in enumerate(zip((X, W1), gradients, strict=True)):
        way = draw(*point.shape, seed=5)
        ends = [
            loss(*(p + by * way if i == place else p for i, p in enumerate((X, W1))))
            for by in (step, -step)
        ]
        numeric = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * way), numeric, rtol=1e-6)
