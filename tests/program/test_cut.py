"""Cutting a function at a named value: what leads to it, what follows, and what is said if not."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

import jaxplain
from jaxplain.program._names import matches


class Net(nn.Module):
    """A shared layer, a residual and a custom derivative (relu)."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        shared = nn.Dense(4, name="shared", param_dtype=jnp.float64)
        h = shared(nn.relu(shared(x)))
        return nn.Dense(3, name="head", param_dtype=jnp.float64)(jnp.tanh(h) + x)


X = jnp.asarray(np.random.default_rng(0).normal(size=4))
VARIABLES = Net().init(jax.random.key(0), X)


def net(x: Any, scale: Any = 1.0) -> Any:
    return Net().apply(VARIABLES, x * jnp.asarray(scale, x.dtype))


@pytest.mark.parametrize("at", ["Net/head", "**/head", "**/shared#0", "**/shared#1"])
@pytest.mark.parametrize("compiled", [False, True])
def test_top_of_bottom_is_the_function(at: str, compiled: bool) -> None:
    bottom, top = jaxplain.cut(net, at=at)
    if compiled:
        bottom, top = jax.jit(bottom), jax.jit(top)
    np.testing.assert_allclose(top(bottom(X, 2.0), X, 2.0), net(X, 2.0), rtol=1e-12)


def test_the_value_is_the_layers_output() -> None:
    kernel, bias = (VARIABLES["params"]["shared"][name] for name in ("kernel", "bias"))
    bottom, _ = jaxplain.cut(net, at="**/shared#0")
    np.testing.assert_allclose(bottom(X), X @ kernel + bias, rtol=1e-12)


def test_other_ways_from_the_input_still_flow() -> None:
    """The residual goes round the cut: both derivatives are those of the pieces."""
    bottom, top = jaxplain.cut(net, at="**/shared#1")
    h = bottom(X)
    head = VARIABLES["params"]["head"]["kernel"]
    expected = jnp.diag(1 - jnp.tanh(h) ** 2) @ head
    np.testing.assert_allclose(jax.jacobian(top)(h, X), expected.T, rtol=1e-10)
    np.testing.assert_allclose(jax.jacobian(top, argnums=1)(h, X), head.T, rtol=1e-10)


def test_custom_derivatives_survive_a_cut() -> None:
    """The derivative of relu at zero is JAX's own, 0, and not that of a maximum, 1/2."""
    bottom, top = jaxplain.cut(net, at="**/shared#0")
    gradient = jax.jacobian(top)(jnp.zeros_like(bottom(X)), X)
    np.testing.assert_array_equal(gradient, jnp.zeros((3, 4)))


def test_attributions_of_the_parts() -> None:
    """Any method explains the top with respect to the layer, and the bottom's neurons."""
    bottom, top = jaxplain.cut(net, at="**/shared#1")
    h = bottom(X)
    score = jaxplain.select(lambda h, x: top(h, x))
    explain = jaxplain.integrated_grad(score, steps=20)
    attribution = explain(h, 1, X)
    np.testing.assert_allclose(attribution.sum(), top(h, X)[1] - top(0 * h, X)[1], rtol=1e-6)
    relevance = jaxplain.lrp(jaxplain.select(bottom))(X, 2)
    assert relevance.shape == X.shape


def test_replace_is_a_function_of_the_value() -> None:
    changed = jaxplain.replace(net, at="**/head")(jnp.arange(3.0), X)
    np.testing.assert_array_equal(changed, jnp.arange(3.0))


def test_replacement_of_another_shape_raises() -> None:
    with pytest.raises(ValueError, match=r"float64\[3\].*float64\[2\]"):
        jaxplain.replace(net, at="**/head")(jnp.zeros(2), X)


def test_capture_gives_all_that_fits() -> None:
    y, values = jax.jit(jaxplain.capture(net, at="**/shared*"))(X)
    np.testing.assert_allclose(y, net(X), rtol=1e-12)
    assert sorted(values) == ["Net/shared#0", "Net/shared#1"]


def test_an_ambiguous_name_lists_its_values() -> None:
    with pytest.raises(ValueError, match="2 values: 'Net/shared#0', 'Net/shared#1'"):
        jaxplain.cut(net, at="**/shared")[0](X)


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ValueError, match="No value is named '\\*\\*/haed'.*'Net/head'"):
        jaxplain.cut(net, at="**/haed")[0](X)


def test_a_function_without_names_says_how_to_name() -> None:
    with pytest.raises(ValueError, match="jax.named_scope.*jaxplain.flax.named"):
        jaxplain.capture(lambda x: x * 2, at="**")(X)


def test_checkpoint_names_and_repeated_ones() -> None:
    def f(x: Any) -> Any:
        h = checkpoint_name(2 * x, "h")
        return checkpoint_name(h + x, "h") * checkpoint_name(x, "other")

    assert sorted(jaxplain.capture(f, at="*")(X)[1]) == ["h#0", "h#1", "other"]
    np.testing.assert_allclose(jaxplain.cut(f, at="h#1")[0](X), 3 * X)


def test_inside_jit_vmap_and_checkpoint() -> None:
    def inner(x: Any) -> Any:
        with jax.named_scope("deep"):
            return jnp.sin(x)

    def f(x: Any) -> Any:
        return jax.checkpoint(jax.jit(jax.vmap(inner)))(x) ** 2

    bottom, top = jaxplain.cut(f, at="deep")
    np.testing.assert_allclose(bottom(X), jnp.sin(X))
    np.testing.assert_allclose(jax.grad(lambda h: top(h, X).sum())(bottom(X)), 2 * jnp.sin(X))


def test_inside_a_loop_are_the_values_of_all_steps() -> None:
    def f(x: Any) -> Any:
        def body(h: Any, _: Any) -> Any:
            with jax.named_scope("step"):
                return jnp.tanh(h), None

        return jax.lax.scan(body, x, None, length=3)[0]

    bottom, top = jaxplain.cut(f, at="step")
    first, second = np.tanh(X), np.tanh(np.tanh(X))
    expected = np.stack([first, second, np.tanh(second)])
    np.testing.assert_allclose(bottom(X), expected, rtol=1e-12)
    np.testing.assert_allclose(top(2 * expected, X), 2 * expected[-1], rtol=1e-12)


def test_inside_a_branch_says_so() -> None:
    def f(x: Any) -> Any:
        def taken(x: Any) -> Any:
            with jax.named_scope("branch"):
                return jnp.tanh(x)

        return jax.lax.cond(x[0] > 0, taken, lambda x: x, x)

    with pytest.raises(ValueError, match="'branch' lies inside the branch.*test_cut.py.*goes in"):
        jaxplain.cut(f, at="branch")[0](X)


def test_token_ids_are_explained_at_their_embedding() -> None:
    table = jnp.asarray(np.random.default_rng(1).normal(size=(10, 3)))

    def score(ids: Any) -> Any:
        with jax.named_scope("embed"):
            h = table[ids]
        return jnp.tanh(h).sum()

    ids = jnp.array([3, 1, 3])
    with pytest.raises(TypeError, match="cut the model at its embedding"):
        jaxplain.lrp(score)(ids)
    bottom, top = jaxplain.cut(score, at="embed")
    relevance = jaxplain.lrp(top)(bottom(ids), ids)
    np.testing.assert_allclose(relevance.sum(), score(ids), rtol=1e-5)


def test_names_below_a_numbered_scope() -> None:
    """Without a number a glob fits every call, wherever in the path the numbers stand."""
    assert matches("block/dense", "block#1/dense#0")
    assert matches("block#1/dense#0", "block#1/dense#0")
    assert not matches("block#0/dense", "block#1/dense#0")
