"""The sweep over a parameter: the numbers of a loop, from one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain.evaluate import abpc, pixel_flipping
from jaxplain.evaluate._selection import Selection, select_explanation

KEY = jax.random.key(0)
XS = jax.random.normal(jax.random.key(1), (12, 4))
POWERS = jnp.array([-1.0, 0.0, 1.0, 2.0])


def f(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.tanh(x) * jnp.arange(1.0, 5))


def family(power: Any) -> Callable[..., Any]:
    """Gradient times input to a power; the right one is 1."""
    return lambda x: jax.grad(f)(x) * jnp.sign(x) * jnp.abs(x) ** power


metric = functools.partial(abpc, f)
select = functools.partial(select_explanation, metric=metric, xs=XS, key=KEY, resamples=100)


@functools.cache
def swept() -> Selection:
    return select(family, POWERS)


def test_values_are_those_of_a_loop() -> None:
    assert swept().values.shape == (4, 12)
    for power, row in zip(POWERS, swept().values, strict=True):
        expected = jax.jit(jax.vmap(metric(family(power))))(XS)
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)


def test_the_best_is_the_one_with_the_best_mean() -> None:
    found = swept()
    means = np.asarray(found.values).mean(axis=1)
    assert found.index == int(means.argmax())
    assert found.best == POWERS[found.index]
    np.testing.assert_allclose(found.summary.mean, means)
    np.testing.assert_allclose(jnp.sum(found.shares), 1)
    assert found.confidence == float(found.shares[found.index]) > 0.5


def test_shares_are_counted_over_data_sets() -> None:
    found = swept()
    _, draw = jax.random.split(KEY)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(draw, jnp.arange(100))
    rows = jax.vmap(lambda k: jax.random.randint(k, (12,), 0, 12))(keys)
    means = np.asarray(found.values)[:, np.asarray(rows)].mean(axis=2)
    expected = np.bincount(means.argmax(axis=0), minlength=4) / 100
    np.testing.assert_allclose(found.shares, expected, atol=1e-12)


def test_equal_parameters_divide_their_share() -> None:
    found = select(family, jnp.array([1.0, 1.0, -1.0]))
    np.testing.assert_allclose(found.shares[0], found.shares[1])


def test_lower_may_be_better() -> None:
    found = select(family, POWERS, better="lower")
    assert found.best == POWERS[int(jnp.argmin(swept().summary.mean))]


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunk_changes_nothing(chunk: int) -> None:
    found = select(family, POWERS, chunk=chunk)
    np.testing.assert_allclose(found.values, swept().values, rtol=1e-12, atol=1e-12)


def test_all_parameters_are_traced_once() -> None:
    traced = []

    def counted(power: Any) -> Callable[..., Any]:
        if isinstance(power, jax.core.Tracer):
            traced.append(power)
        return family(power)

    select(counted, POWERS)
    assert len(traced) == 1


def test_the_model_alone_is_evaluated_once_for_all_parameters() -> None:
    seen = []

    def watched(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda _: seen.append(1), jnp.sum(x))
        return f(x)

    def distance(attribution: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x: watched(x) - jnp.sum(attribution(x))

    select_explanation(family, POWERS, distance, XS, key=KEY, resamples=2)
    jax.effects_barrier()
    assert len(seen) == len(XS)


def test_static_parameters_are_looped_over() -> None:
    def steps(count: int) -> Callable[..., Any]:
        return jaxplain.integrated_grad(f, steps=count)

    found = select(steps, (1, 3), static=True)
    assert found.best in (1, 3)
    expected = jax.jit(jax.vmap(metric(steps(3))))(XS)
    np.testing.assert_allclose(found.values[1], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="steps") as raised:
        select(steps, jnp.array([1, 3]))
    with pytest.raises(TypeError, match="sequence"):
        select(steps, 3, static=True)
    assert "static=True" in raised.value.__notes__[0]


def test_several_parameters_at_once() -> None:
    grid = {"power": POWERS[:2], "scale": jnp.array([1.0, -1.0])}
    found = select(lambda p: lambda x: p["scale"] * family(p["power"])(x), grid)
    np.testing.assert_allclose(found.values[0], swept().values[0], rtol=1e-12, atol=1e-12)
    assert set(found.best) == {"power", "scale"}


def test_random_methods_get_the_same_key_for_each_parameter() -> None:
    def noisy(sigma: Any) -> Callable[..., Any]:
        return jaxplain.smooth(jax.grad(f), samples=2, sigma=sigma)

    found = select(noisy, jnp.array([0.5, 0.5]))
    np.testing.assert_array_equal(found.values[0], found.values[1])
    again = select(noisy, jnp.array([0.5, 0.5]), chunk=5)
    np.testing.assert_allclose(found.values, again.values, rtol=1e-12)


def test_further_arguments_are_one_for_each_example() -> None:
    def g(x: jax.Array, k: jax.Array) -> jax.Array:
        return x[k] * 2 + jnp.sum(x)

    found = select_explanation(
        lambda p: lambda x, k: p * jax.grad(g)(x, k),
        jnp.array([1.0, -1.0]),
        functools.partial(pixel_flipping, g),
        XS,
        jnp.arange(12) % 4,
        key=KEY,
        resamples=10,
    )
    attribution = jax.vmap(pixel_flipping(g, jax.grad(g)))(XS, jnp.arange(12) % 4)
    np.testing.assert_allclose(found.values[0], attribution.area, rtol=1e-12)


def test_bad_input_is_refused() -> None:
    def of_sum(attribution: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x: jnp.sum(attribution(x))

    with pytest.raises(ValueError, match="parameter 1 of .* example 0"):
        select(lambda p: lambda x: x / p, jnp.array([1.0, 0.0]), metric=of_sum)
    with pytest.raises(TypeError, match="one number or a curve"):
        select(family, POWERS, metric=lambda a: a)
    with pytest.raises(ValueError, match="higher, lower"):
        select(family, POWERS, better="best")
    with pytest.raises(ValueError, match="leading axis"):
        select_explanation(family, POWERS, metric, XS, jnp.ones(3), key=KEY)
