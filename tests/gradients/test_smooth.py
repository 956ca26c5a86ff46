"""Averages over noise, of attributions and of anything else."""

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

X = np.random.default_rng(1).normal(size=5)
KEY = jax.random.key(2)
each_net = pytest.mark.parametrize("net", references.NETS, ids=lambda net: net.name)
STATISTICS = {
    "mean": references.smoothgrad,
    "square": references.smoothgrad_square,
    "variance": references.vargrad,
}


@functools.cache
def common_noise() -> np.ndarray:
    """The noise of six samples of width 0.3, under `KEY`."""
    return noise_of(X, 6, KEY, sigma=0.3)


def noise_of(x: np.ndarray, samples: int, key: jax.Array, **options: Any) -> np.ndarray:
    """What was added to the input, told by a model that is evaluated there."""
    make = functools.partial(jaxplain.smooth, samples=samples, **options)
    return references.visited(make, jnp.sum, x, key=key) - x


@each_net
@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_of_the_gradient_under_noise(net: Net, statistic: str) -> None:
    expected = STATISTICS[statistic](net.gradient, X, common_noise())
    explain = jaxplain.smooth(jax.grad(net), samples=6, sigma=0.3, statistic=statistic)
    # The noise is read off as a difference, which costs a digit.
    np.testing.assert_allclose(jax.jit(explain)(X, key=KEY), expected, rtol=1e-10)


def test_noise_is_normal_of_the_width_asked_for() -> None:
    """First, second and fourth moment of 4000 numbers, each within 4 standard errors."""
    noise = noise_of(np.zeros(2000), 2, KEY, sigma=0.3) / 0.3
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (4, 3, 96)]:
        assert abs(np.mean(noise**power) - moment) < 4 * (variance / noise.size) ** 0.5
    assert abs(np.mean(noise[0] * noise[1])) < 4 / 2000**0.5  # and independent


def test_noise_level_is_a_share_of_the_range() -> None:
    by_sigma = noise_of(X, 3, KEY, sigma=0.2 * (X.max() - X.min()))
    np.testing.assert_allclose(noise_of(X, 3, KEY, noise_level=0.2), by_sigma, rtol=1e-12)
    np.testing.assert_array_equal(noise_of(np.ones(5), 3, KEY), 0)  # no range, no noise
    with pytest.raises(ValueError, match="single value"):
        noise_of(np.ones(1), 3, KEY)


@each_net
@pytest.mark.parametrize("sigma", [0.4, None], ids=["sigma", "noise_level"])
def test_the_gradient_of_the_smoothed_model_is_the_smoothed_gradient(
    net: Net, sigma: float | None
) -> None:
    """A noise scale that comes from the input's range counts as a constant."""
    inside = jax.jit(jaxplain.smooth(jax.grad(net), samples=6, sigma=sigma))
    outside = jax.jit(jax.grad(jaxplain.smooth(net, samples=6, sigma=sigma)))
    np.testing.assert_allclose(outside(X, key=KEY), inside(X, key=KEY), rtol=1e-12)


REPEATS = 20_000


def over_keys(explain: Callable[..., Any]) -> Any:
    keys = jax.random.split(jax.random.key(11), REPEATS)
    return jax.jit(jax.vmap(lambda key: explain(X, key=key)))(keys)


def test_variance_is_unbiased() -> None:
    """Of x^2 under noise it is 4 x^2 s^2 + 2 s^4; dividing by n would give two thirds of it."""
    sigma = 0.5
    explain = jaxplain.smooth(jnp.square, samples=3, sigma=sigma, statistic="variance")
    found = over_keys(explain)
    truth = 4 * X**2 * sigma**2 + 2 * sigma**4
    error = np.std(found, axis=0, ddof=1) / REPEATS**0.5
    assert np.all(np.abs(np.mean(found, axis=0) - truth) < 4 * error)
    assert np.all(error < truth / 30)  # narrow enough to tell two thirds from one


def test_standard_error_is_unbiased() -> None:
    """Its square estimates the variance of x^2 over n, and as widely do results scatter."""
    sigma = 0.5
    explain = jaxplain.smooth(jnp.square, samples=5, sigma=sigma, info=True)
    means, info = over_keys(explain)
    truth = (4 * X**2 * sigma**2 + 2 * sigma**4) / 5
    squares = np.asarray(info.standard_error) ** 2
    error = np.std(squares, axis=0, ddof=1) / REPEATS**0.5
    assert np.all(np.abs(np.mean(squares, axis=0) - truth) < 4 * error)
    assert np.all(np.abs(np.mean(means, axis=0) - X**2 - sigma**2) < 4 * (truth / REPEATS) ** 0.5)
    assert info.steps.shape == (REPEATS,) and int(info.steps[0]) == 5


@pytest.mark.parametrize("statistic", STATISTICS)
def test_info_of_each_statistic(statistic: str) -> None:
    net, noise = references.NETS[0], common_noise()
    options = {"samples": 6, "sigma": 0.3, "statistic": statistic}
    explain = jaxplain.smooth(jax.grad(net), info=True, **options)
    value, info = jax.jit(explain)(X, key=KEY)
    np.testing.assert_allclose(value, STATISTICS[statistic](net.gradient, X, noise), rtol=1e-10)
    if statistic == "variance":
        assert info.standard_error is None
        return
    power = {"mean": 1, "square": 2}[statistic]
    each = [net.gradient(X + n) ** power for n in noise]
    by_hand = np.std(each, axis=0, ddof=1) / 6**0.5
    np.testing.assert_allclose(info.standard_error, by_hand, rtol=1e-9)


def test_a_linear_models_gradient_does_not_vary() -> None:
    gradient = jax.grad(lambda x: jnp.dot(X, x) + 7)
    variance = jaxplain.smooth(gradient, samples=7, sigma=2.0, statistic="variance")
    np.testing.assert_array_equal(jax.jit(variance)(X, key=KEY), 0 * X)
    _, info = jax.jit(jaxplain.smooth(gradient, samples=7, sigma=2.0, info=True))(X, key=KEY)
    np.testing.assert_array_equal(info.standard_error, 0 * X)


def test_a_variance_keeps_its_digits_far_from_zero() -> None:
    """A mean of 1e8 would cost E[a^2] - E[a]^2 all its sixteen digits."""
    explain = jaxplain.smooth(lambda x: x + 1e8, samples=6, sigma=0.3, statistic="variance")
    expected = np.var(common_noise(), axis=0, ddof=1)
    # The values themselves end eight digits behind the point.
    np.testing.assert_allclose(jax.jit(explain)(X, key=KEY), expected, rtol=1e-6)


def test_sigma_of_each_leaf() -> None:
    def f(x: Any) -> Any:
        return {"a": x["a"], "b": x["b"]}

    x = {"a": X, "b": np.float64(3.0)}
    sigma = {"a": 0.5, "b": 0.0}
    options = {"samples": 500, "sigma": sigma, "statistic": "variance"}
    variance = jax.jit(jaxplain.smooth(f, **options))(x, key=KEY)
    error = (2 / 499) ** 0.5 * 0.25
    np.testing.assert_allclose(variance["a"], 0.25, rtol=0, atol=4 * error)
    assert variance["b"] == 0
    with pytest.raises(ValueError, match="one number, or one for each leaf"):
        jaxplain.smooth(f, sigma={"a": 0.5})(x, key=KEY)


def test_sigma_can_be_mapped_over() -> None:
    """And shows that all widths share their noise: twice the width, twice the way."""

    def moved(sigma: Any) -> Any:
        return jaxplain.smooth(lambda x: x, samples=3, sigma=sigma)(X, key=KEY) - X

    moves = jax.jit(jax.vmap(moved))(np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(moves[0], 0 * X, atol=1e-15)  # the mean of three numbers rounds
    np.testing.assert_allclose(moves[2], 2 * moves[1], rtol=1e-12)
    # A derivative by the width is the mean noise itself.
    slope = jax.jit(jax.jacfwd(moved))(1.0)
    np.testing.assert_allclose(slope, np.mean(noise_of(X, 3, KEY, sigma=1.0), axis=0), rtol=1e-9)


def test_a_smoothed_smoothing_draws_noise_twice() -> None:
    """Independent noise adds its variances: were it the same, the mean of x^2 would be x^2 + 4."""
    inner = jaxplain.smooth(jnp.square, samples=1, sigma=1.0)
    twice = jaxplain.smooth(inner, samples=4000, sigma=1.0, info=True)
    mean, info = jax.jit(twice)(X, key=KEY)
    assert np.all(np.abs(mean - X**2 - 2) < 4 * info.standard_error)
    assert np.all(info.standard_error < 0.1)


def test_other_arguments_pass_through() -> None:
    def f(k: Any, x: Any, *, power: Any) -> Any:
        return k * x**power

    explain = jaxplain.smooth(f, samples=3, sigma=0.0, argnums=1)
    result = jax.jit(explain)(2.0, X, power=2.0, key=KEY)
    np.testing.assert_allclose(result, 2 * X**2, rtol=1e-14)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"statistic": "std"}, "mean, square, variance"),
        ({"statistic": "variance", "samples": 1}, "at least 2"),
        ({"info": True, "samples": 1}, "at least 2"),
        ({"samples": 0}, "at least 1"),
        ({"sigma": -1.0}, "sigma"),
        ({"noise_level": -0.1}, "noise_level"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        jaxplain.smooth(jnp.sum, **options)


def test_only_numbers_can_be_averaged() -> None:
    with pytest.raises(TypeError, match="without info=True"):
        jaxplain.smooth(lambda x: jnp.argmax(x), samples=2)(X, key=KEY)
    with pytest.raises(TypeError, match="needs a key"):
        jaxplain.smooth(jnp.sum)(X)
