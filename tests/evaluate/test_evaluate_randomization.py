"""Tests with randomized parameters, against loops over layers in NumPy."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain.evaluate._controls import random as random_control
from jaxplain.evaluate._efficient_mprt import efficient_mprt
from jaxplain.evaluate._random_parameters import randomize_parameters
from jaxplain.evaluate._randomization import Randomization, parameter_randomization, smooth_mprt
from jaxplain.evaluate._similarity import similarity_of

Array = np.ndarray
RNG = np.random.default_rng(0)
PARAMS = {
    "a_last": {"kernel": jnp.asarray(RNG.normal(size=3))},  # before the first in a dictionary
    "first": {
        "kernel": jnp.asarray(RNG.normal(size=(6, 4))),
        "bias": jnp.asarray(RNG.normal(size=4)),
    },
    "second": {"kernel": jnp.asarray(RNG.normal(size=(4, 3)))},
    "steps": jnp.arange(3),
}
LAYERS = ("first/*", "second/*", "a_last/*")
KEY = jax.random.key(3)
X = jnp.asarray(RNG.normal(size=6))


def score(params: Any, x: jax.Array) -> jax.Array:
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    return jnp.tanh(hidden @ params["second"]["kernel"]) @ params["a_last"]["kernel"]


def gradient(params: Any) -> Any:
    return jax.grad(functools.partial(score, params))


def gradient_numpy(params: Any, x: Array) -> Array:
    first, second, last = (np.asarray(params[k]["kernel"]) for k in ("first", "second", "a_last"))
    hidden = np.tanh(x @ first + np.asarray(params["first"]["bias"]))
    top = np.tanh(hidden @ second)
    return first @ ((1 - hidden**2) * (second @ ((1 - top**2) * last)))


def spearman_numpy(a: Array, b: Array) -> float:
    ranks = np.argsort(np.argsort(a)), np.argsort(np.argsort(b))
    return float(np.corrcoef(*ranks)[0, 1])


def drawn(draw: str, key: jax.Array = KEY) -> Any:
    """The parameters that a test with this key draws."""
    return randomize_parameters(PARAMS, jax.random.split(key)[0], layers=LAYERS, draw=draw)


# ------------------------------------------------------------------------- drawing parameters


def test_permutation_keeps_the_values_and_nothing_else() -> None:
    key = jax.random.fold_in(KEY, 1)  # of three values every sixth order is the old one
    new = jax.jit(functools.partial(randomize_parameters, layers="*/kernel"))(PARAMS, key)
    for name in ("first", "second", "a_last"):
        old, other = np.asarray(PARAMS[name]["kernel"]), np.asarray(new[name]["kernel"])
        np.testing.assert_array_equal(np.sort(old.ravel()), np.sort(other.ravel()))
        assert not np.array_equal(old, other)
    np.testing.assert_array_equal(new["first"]["bias"], PARAMS["first"]["bias"])
    np.testing.assert_array_equal(new["steps"], PARAMS["steps"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_normal_keeps_mean_and_deviation(dtype: str) -> None:
    params = {"w": (3 + 2 * jax.random.uniform(KEY, (100, 200))).astype(dtype), "b": jnp.ones(5)}
    new = jax.jit(functools.partial(randomize_parameters, draw="normal"))(params, KEY)
    assert new["w"].dtype == dtype
    old, other = (np.asarray(each["w"], float) for each in (params, new))
    np.testing.assert_allclose(other.mean(), old.mean(), rtol=0.01)
    np.testing.assert_allclose(other.std(), old.std(), rtol=0.03)
    assert np.mean((other > 5) | (other < 3)) > 0.05  # the tails that a uniform does not have
    np.testing.assert_array_equal(new["b"], 1)


def test_numbers_depend_on_the_key_and_not_on_the_other_layers() -> None:
    one = randomize_parameters(PARAMS, KEY, layers="second/*")
    all_of_them = randomize_parameters(PARAMS, KEY)
    np.testing.assert_array_equal(one["second"]["kernel"], all_of_them["second"]["kernel"])
    other = randomize_parameters(PARAMS, jax.random.key(4), layers="second/*")
    assert not np.array_equal(one["second"]["kernel"], other["second"]["kernel"])


def test_what_cannot_be_randomized_is_refused() -> None:
    with pytest.raises(ValueError, match="fits none of the 4 parameters.*'second/kernel'"):
        randomize_parameters(PARAMS, KEY, layers="secnd/*")
    with pytest.raises(ValueError, match="draw='uniform' is unknown"):
        randomize_parameters(PARAMS, KEY, draw="uniform")
    with pytest.raises(TypeError, match="no floating-point arrays"):
        randomize_parameters({"steps": jnp.arange(3)}, KEY)
    with pytest.raises(ValueError, match="not finite"):
        randomize_parameters([jnp.array([1.0, jnp.nan])], KEY)
    with pytest.raises(TypeError, match="list the layers from input to output"):
        parameter_randomization(gradient, PARAMS)
    with pytest.raises(ValueError, match="order='down'"):
        parameter_randomization(gradient, PARAMS, layers=LAYERS, order="down")
    with pytest.raises(TypeError, match="needs a key"):
        parameter_randomization(gradient, PARAMS, layers=LAYERS)(X)


# ------------------------------------------------------------------------------ the test itself


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "each"])
def test_layers_are_randomized_in_order(order: str) -> None:
    new = drawn("normal")
    names = list(LAYERS) if order != "top_down" else list(LAYERS)[::-1]
    expected, params = [], dict(PARAMS)
    for name in names:
        if order == "each":
            params = dict(PARAMS)
        params[name[:-2]] = new[name[:-2]]
        changed = gradient_numpy(params, np.asarray(X))
        expected.append(spearman_numpy(gradient_numpy(PARAMS, np.asarray(X)), changed))

    test = parameter_randomization(gradient, PARAMS, layers=LAYERS, order=order, draw="normal")
    found = jax.jit(test)(X, key=KEY)
    assert found.layers == tuple(names)
    np.testing.assert_allclose(found.similarities, expected, atol=1e-12)
    np.testing.assert_allclose(found.mean, np.mean(expected))


def test_all_layers_are_one_program_of_the_model() -> None:
    """The model is traced as often for eight layers as for two."""

    def traces(count: int) -> int:
        made = 0

        def make(params: list[jax.Array]) -> Any:
            nonlocal made
            made += 1
            return lambda x: functools.reduce(jnp.multiply, params, x)

        params = [jnp.arange(4.0) + i for i in range(count)]
        found = parameter_randomization(make, params, similarity="pearson")
        made = 0
        assert jax.jit(found)(jnp.arange(4.0), key=KEY).similarities.shape == (count,)
        return made

    assert traces(8) == traces(2)


def test_chunks_batches_and_dictionaries_change_nothing() -> None:
    options: dict[str, Any] = {"layers": LAYERS, "similarity": "cosine"}
    methods = {"gradient": gradient, "product": lambda p: lambda x: x * gradient(p)(x)}
    both = parameter_randomization(methods, PARAMS, **options)
    parts = jax.jit(
        functools.partial(parameter_randomization(methods, PARAMS, chunk=2, **options), key=KEY)
    )
    xs = jnp.stack([X, X[::-1]])
    whole = jax.jit(jax.vmap(functools.partial(both, key=KEY)))(xs)
    lone = jax.jit(parameter_randomization(methods["product"], PARAMS, **options))(X, key=KEY)
    np.testing.assert_allclose(whole["product"].similarities[0], lone.similarities, rtol=1e-12)
    for name in methods:
        loop = [parts(x)[name].similarities for x in xs]
        np.testing.assert_allclose(whole[name].similarities, loop, rtol=1e-12)


def test_controls_pass_nothing_and_random_methods_get_the_same_key() -> None:
    """Neither looks at the parameters, so neither may change with them."""
    controls = {
        "random": lambda p: random_control(functools.partial(score, p)),
        "input": lambda p: lambda x: x,
        "constant": lambda p: jnp.ones_like,
    }
    found = jax.jit(parameter_randomization(controls, PARAMS, layers=LAYERS))(X, key=KEY)
    np.testing.assert_allclose(found["random"].similarities, 1)
    np.testing.assert_allclose(found["input"].similarities, 1)
    np.testing.assert_array_equal(found["constant"].similarities, 0)


def test_lists_of_layers_are_in_order() -> None:
    params = [{"w": jnp.arange(3.0)}, jnp.arange(3.0), {"w": jnp.arange(3.0) + 1}]

    def make(params: Any) -> Any:
        return lambda x: x * params[0]["w"] * params[1] * params[2]["w"]

    found = jax.jit(parameter_randomization(make, params))(jnp.ones(3), key=KEY)
    assert found.layers == ("2/*", "1", "0/*")


def test_smooth_mprt_is_the_test_of_smoothed_explanations() -> None:
    options: dict[str, Any] = {"layers": LAYERS, "draw": "normal"}
    found = jax.jit(smooth_mprt(gradient, PARAMS, samples=6, chunk=4, **options))(X, key=KEY)

    def smoothed(params: Any) -> Any:
        return jaxplain.smooth(gradient(params), samples=6, noise_level=0.1)

    by_hand = parameter_randomization(smoothed, PARAMS, order="bottom_up", **options)
    expected = jax.jit(by_hand)(X, key=KEY)
    assert found.layers == expected.layers == LAYERS
    np.testing.assert_allclose(found.similarities, expected.similarities, rtol=1e-9)
    plain = parameter_randomization(gradient, PARAMS, order="bottom_up", **options)
    assert isinstance(found, Randomization)
    assert not np.allclose(jax.jit(plain)(X, key=KEY).similarities, 1)


def entropy_numpy(values: Array, bins: int) -> float:
    counts, _ = np.histogram(values, bins=bins)
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log(shares)))


@pytest.mark.parametrize("absolute", [False, True])
def test_efficient_mprt_is_the_relative_rise_of_entropy(absolute: bool) -> None:
    test = efficient_mprt(gradient, PARAMS, bins=5, layers=LAYERS, absolute=absolute)
    found = jax.jit(test)(X, key=KEY)
    explanations = [gradient_numpy(p, np.asarray(X)) for p in (PARAMS, drawn("permutation"))]
    before, after = (entropy_numpy(np.abs(e) if absolute else e, 5) for e in explanations)
    np.testing.assert_allclose(found, (after - before) / before)


def test_efficient_mprt_of_a_constant_is_zero() -> None:
    controls = {"constant": lambda p: jnp.ones_like, "input": lambda p: lambda x: x}
    found = jax.jit(efficient_mprt(controls, PARAMS))(X, key=KEY)
    assert found == {"constant": 0, "input": 0}


# --------------------------------------------------------------------------------- similarities


def ssim_numpy(a: Array, b: Array) -> float:
    """Wang et al. 2004 on every window of 7 by 7, unbiased moments."""
    spread = max(a.max(), b.max()) - min(a.min(), b.min())
    first, second = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    found = []
    for i in range(a.shape[0] - 6):
        for j in range(a.shape[1] - 6):
            for c in range(a.shape[2]):
                u, v = (each[i : i + 7, j : j + 7, c].ravel() for each in (a, b))
                (uu, uv), (_, vv) = np.cov(u, v)
                bright = (2 * u.mean() * v.mean() + first) / (u.mean() ** 2 + v.mean() ** 2 + first)
                found.append(bright * (2 * uv + second) / (uu + vv + second))
    return float(np.mean(found))


def test_ssim_is_the_mean_over_windows() -> None:
    a, b = RNG.normal(size=(2, 9, 8, 2))
    b = b + a
    compare = jax.jit(similarity_of("ssim", absolute=False))
    np.testing.assert_allclose(compare(a, b), ssim_numpy(a, b), rtol=1e-10)
    np.testing.assert_allclose(compare(a, a), 1)
    np.testing.assert_allclose(compare(0 * a + 2, 0 * a + 2), 1)  # no range at all
    slopes = jax.jit(jax.grad(similarity_of("ssim", absolute=False)))(0 * a, 0 * b)
    assert np.isfinite(slopes).all()
    with pytest.raises(ValueError, match="pictures of shape"):
        similarity_of("ssim", absolute=False)(X, X)


def test_cosine_of_pytrees_and_of_nothing() -> None:
    left, right = {"a": X, "b": X[:2]}, {"a": -X, "b": X[:2]}
    compare = jax.jit(similarity_of("cosine", absolute=False))
    x = np.asarray(X)
    square, rest = np.sum(x**2), np.sum(x[:2] ** 2)
    np.testing.assert_allclose(compare(left, right), (rest - square) / (rest + square))
    np.testing.assert_allclose(similarity_of("cosine", absolute=True)(left, right), 1)
    assert compare(left, jax.tree.map(jnp.zeros_like, right)) == 0
    with pytest.raises(ValueError, match="similarity='cos' is unknown"):
        similarity_of("cos", absolute=False)
