"""Relevance through chosen channels, against propagation by hand and by other means."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from references import lrp_epsilon

from jaxplain import crp, cut, layer, lrp, rules, select

from models import ZOO

draw = np.random.default_rng(4).normal
X, DIRECTION = draw(size=(2, 5))
W1, W2, W3, HEAD = draw(size=(5, 6)), draw(size=(6, 7)), draw(size=(7, 6)), draw(size=6)
B1, B2, B3 = (draw(size=n) / 3 for n in (6, 7, 6))
NONE = np.zeros(1)


def residual(x: jax.Array, scale: Any = 1.0) -> jax.Array:
    """A dense layer, a branch of two beside a shortcut, and a readout."""
    x = x * scale
    w1, w2, w3, head, b1, b2, b3 = (jnp.asarray(w, x.dtype) for w in (W1, W2, W3, HEAD, B1, B2, B3))
    with jax.named_scope("first"):
        h = jax.nn.relu(x @ w1 + b1)
    with jax.named_scope("branch"):
        y = jax.nn.relu(h @ w2 + b2)
    with jax.named_scope("end"):
        z = y @ w3 + b3
    with jax.named_scope("sum"):
        s = h + z
    return s @ head


def by_hand(at: str, mask: np.ndarray) -> np.ndarray:
    """The same network in NumPy, and ε-LRP back through it, by way of one layer alone."""
    h = np.maximum(X @ W1 + B1, 0)
    y = np.maximum(h @ W2 + B2, 0)
    z = y @ W3 + B3
    s = h + z
    of_sum = lrp_epsilon(s, HEAD[:, None], NONE, np.array([s @ HEAD])).inputs
    shares = of_sum / (s + np.where(s >= 0, 1e-6, -1e-6))
    of_shortcut, of_end = h * shares, z * shares
    if at == "sum":
        of_shortcut, of_end = of_shortcut * mask, of_end * mask
    of_branch = lrp_epsilon(y, W3, B3, of_end * (mask if at == "end" else 1)).inputs
    of_first = lrp_epsilon(h, W2, B2, of_branch * (mask if at == "branch" else 1)).inputs
    if at in ("sum", "first"):
        of_first = of_first + of_shortcut
    return lrp_epsilon(X, W1, B1, of_first * (mask if at == "first" else 1)).inputs


@functools.cache
def through_each(at: str) -> np.ndarray:
    """The relevance through each channel of the residual network."""
    size = 7 if at == "branch" else 6
    return np.asarray(
        jax.jit(jax.vmap(lambda c: crp(residual, at=at, channels=c)(X)))(jnp.arange(size))
    )


# ------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("at", ["first", "branch", "end", "sum"])
def test_each_channel(at: str) -> None:
    """Before, inside, at the end of and behind a branch; the shortcut is left out in it."""
    for c, found in enumerate(through_each(at)):
        mask = np.eye(len(through_each(at)))[c]
        np.testing.assert_allclose(found, by_hand(at, mask), rtol=1e-9, atol=1e-12)
    assert np.abs(through_each(at)).max() > 0.1


@pytest.mark.parametrize("at", ["first", "sum"])
def test_all_channels_are_lrp(at: str) -> None:
    expected = jax.jit(lrp(residual))(X)
    np.testing.assert_allclose(through_each(at).sum(axis=0), expected, rtol=1e-9)


@pytest.mark.parametrize("at", ["branch", "end"])
def test_all_channels_of_a_branch_are_a_part(at: str) -> None:
    expected = by_hand(at, np.ones(len(through_each(at))))
    np.testing.assert_allclose(through_each(at).sum(axis=0), expected, rtol=1e-9)
    assert np.abs(expected - jax.jit(lrp(residual))(X)).max() > 0.1


@pytest.mark.parametrize("at", ["first", "branch"])
def test_several_channels_are_a_sum(at: str) -> None:
    """Also counted from the end, and named twice."""
    each = through_each(at)
    for channels in ([0, 2, 4], jnp.array([2, -1]), (1, 1, -5)):
        explain = jax.jit(crp(residual, at=at, channels=channels))
        chosen = np.unique(np.asarray(channels) % len(each))
        np.testing.assert_allclose(explain(X), each[chosen].sum(axis=0), rtol=1e-9, atol=1e-12)


def test_seed_and_argnums() -> None:
    score = float(jax.jit(residual)(X))
    one = jax.jit(crp(residual, at="branch", channels=1, seed="one"))(X)
    np.testing.assert_allclose(one * score, through_each("branch")[1], rtol=1e-9)
    pairs = jax.jit(crp(residual, at="first", channels=1, argnums=(0,)))(X)
    np.testing.assert_allclose(pairs[0], through_each("first")[1], rtol=1e-9)


# -------------------------------------------------------------------------------- real networks


def zoo(name: str) -> tuple[Callable[..., jax.Array], jax.Array]:
    f, x = next(model for model in ZOO if model.name == name).make(np.float64)
    return select(f), x


PRESETS = {
    "epsilon": rules.epsilon(),
    "epsilon_plus_flat": rules.epsilon_plus_flat(),
    "gamma": rules.gamma(0.5),
}
SEPARATING = [
    ("vgg_batchnorm", "**/BatchNorm_1", "epsilon_plus_flat"),
    ("vgg_batchnorm", "**/Dense_0", "gamma"),
    ("resnet_basic", "**/BasicBlock_0", "epsilon_plus_flat"),
    ("vit", "**/LayerNorm_4", "epsilon"),
    ("gpt", "**/block_0", "epsilon"),
]


def from_the_layer(f: Any, x: Any, at: str, preset: Any, mask: np.ndarray) -> jax.Array:
    """Relevance of the layer by explaining what follows it, propagated by explaining what leads
    to it: the sum of the layer's values, weighted by relevance per unit of activation."""
    bottom, top = cut(f, at=at)
    h = bottom(x, 0)
    # What follows the layer has no first layer of its own.
    inside = rules.epsilon_plus() if preset is PRESETS["epsilon_plus_flat"] else preset
    relevance = layer(lrp, at=at, rules=inside)(f)(x, 0) * np.broadcast_to(mask, h.shape)
    share = jax.lax.stop_gradient(jnp.where(h == 0, 0, relevance / jnp.where(h == 0, 1, h)))

    def readout(x: jax.Array) -> jax.Array:
        # Without the name a normalization before it would be explained as a part of the readout.
        values = checkpoint_name(bottom(x, 0), "layer")
        with jax.named_scope("readout"):
            return jnp.ravel(values) @ jnp.ravel(share)

    exact = rules.Composite([("readout*", rules.Zero())])
    return lrp(readout, exact | preset)(x)


@pytest.mark.parametrize(("name", "at", "preset"), SEPARATING)
def test_networks(name: str, at: str, preset: str) -> None:
    """Convolutions with BatchNorm and max pools, residual blocks, attention."""
    f, x = zoo(name)
    channels = jax.eval_shape(cut(f, at=at)[0], x, 0).shape[-1]

    def everything(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        each = jax.vmap(lambda c: crp(f, PRESETS[preset], at=at, channels=c)(x, 0))
        mask = np.arange(channels) % 3 == 1
        expected = from_the_layer(f, x, at, PRESETS[preset], mask.astype(float))
        return each(jnp.arange(channels)), lrp(f, PRESETS[preset])(x, 0), expected

    each, whole, expected = jax.jit(everything)(x)
    size = np.abs(whole).max()
    np.testing.assert_allclose(each.sum(axis=0) / size, whole / size, atol=1e-9)
    np.testing.assert_allclose(each[1::3].sum(axis=0) / size, expected / size, atol=1e-9)
    assert np.abs(expected).max() > 1e-3 * size


@pytest.mark.parametrize("step", [0, 1])
def test_a_step_of_a_scan(step: int) -> None:
    """A layer in the body of a loop is that of the unrolled network."""
    (plain, x), (scanned, _) = zoo("gpt"), zoo("gpt_scanned")
    expected = jax.jit(crp(plain, at=f"**/block_{step}/attention", channels=2), static_argnums=1)
    found = jax.jit(crp(scanned, at=f"**/blocks/attention[{step}]", channels=2), static_argnums=1)
    np.testing.assert_allclose(found(x, 0), expected(x, 0), rtol=1e-9, atol=1e-13)
    assert np.abs(found(x, 0)).max() > 1e-3


def test_axis() -> None:
    """Heads stand on another axis than the last; rows of a map, too."""
    f, x = zoo("gpt")
    at = "**/block_0/attention/value"

    def every(axis: int, count: int) -> jax.Array:
        each = jax.vmap(lambda c: crp(f, at=at, channels=c, axis=axis)(x, 0))
        return jnp.sum(each(jnp.arange(count)), axis=0)

    heads, features = jax.jit(lambda: (every(-2, 2), every(3, 4)))()
    np.testing.assert_allclose(heads, features, rtol=1e-9, atol=1e-13)
    assert np.abs(heads).max() > 1e-3


# --------------------------------------------------------------------------------------------- laws


def test_vmap_over_examples_and_channels() -> None:
    xs = np.stack([X, DIRECTION])
    explain = jax.jit(jax.vmap(lambda x, c: crp(residual, at="branch", channels=c)(x)))
    found = explain(xs, jnp.array([3, 1]))
    one = jax.jit(crp(residual, at="branch", channels=1))
    np.testing.assert_allclose(found[0], through_each("branch")[3], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(found[1], one(DIRECTION), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("at", ["first", "branch"])
def test_gradient_of_the_explanation(at: str) -> None:
    def number(x: jax.Array) -> jax.Array:
        return jnp.sum(crp(residual, at=at, channels=[1, 2, 3])(x) ** 2)

    slope = np.asarray(jax.jit(jax.grad(number))(X)) @ DIRECTION
    value, step = jax.jit(number), 1e-6
    difference = (value(X + step * DIRECTION) - value(X - step * DIRECTION)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6)
    assert abs(slope) > 1e-3


@pytest.mark.parametrize(("dtype", "error"), [(jnp.float32, 1e-4), (jnp.bfloat16, 0.1)])
@pytest.mark.parametrize("at", ["first", "branch"])
def test_dtypes(at: str, dtype: Any, error: float) -> None:
    found = jax.jit(crp(residual, at=at, channels=1))(jnp.asarray(X, dtype))
    assert found.dtype == dtype
    expected = through_each(at)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        np.asarray(found, np.float64) / scale, expected[1] / scale, atol=error
    )


@pytest.mark.parametrize("at", ["first", "branch"])
def test_zeros(at: str) -> None:
    explain = crp(residual, at=at, channels=0)
    value, slope = jax.jit(jax.value_and_grad(lambda x: jnp.sum(explain(x) ** 2)))(np.zeros(5))
    assert value == 0
    assert np.all(np.isfinite(slope))


# ------------------------------------------------------------------------------------------- errors


def refused(error: type[Exception], match: str, **options: Any) -> None:
    with pytest.raises(error, match=match):
        jax.eval_shape(crp(residual, **({"at": "first", "channels": 0} | options)), X)


def test_errors() -> None:
    refused(ValueError, r"'frist'.*Nearest names: 'first'", at="frist")
    refused(ValueError, r"'\*' is the name of \d+ values", at="*")
    refused(TypeError, r"at=\['first'\]", at=["first"])
    refused(IndexError, r"channels=6 for 'first' of shape \(6,\): axis -1 has 6", channels=6)
    refused(IndexError, r"channels=\[0, -7\]", channels=[0, -7])
    refused(TypeError, r"channels=1\.5 must be an integer", channels=1.5)
    refused(TypeError, r"channels=\[\]", channels=[])
    refused(IndexError, r"axis=1 for 'first', which has shape \(6,\)", axis=1)
    refused(ValueError, "seed='sum'", seed="sum")
    with pytest.raises(TypeError, match="baseline="):
        crp(residual, at="first", channels=0)(X, baseline=0.0)


def test_traced_channels_out_of_range() -> None:
    explain = jax.jit(lambda c: crp(residual, at="branch", channels=c)(X))
    for channel in (7, -8):
        assert np.all(np.isnan(explain(channel)))
    np.testing.assert_allclose(explain(-7), through_each("branch")[0], rtol=1e-9, atol=1e-13)


def test_a_loop_without_a_step() -> None:
    f, x = zoo("gpt_scanned")
    with pytest.raises(ValueError, match=r"2 steps of a loop.*at='GPT/blocks/attention\[0\]'"):
        jax.eval_shape(crp(f, at="**/blocks/attention", channels=0), x, 0)
