"""Baselines: what each is made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
import scipy.ndimage

from jaxplain import baselines

PICTURE = np.random.default_rng(0).normal(size=(6, 5, 3))
TREE = {"a": PICTURE, "b": np.arange(3.0)}
KEY = jax.random.key(0)


def test_zeros() -> None:
    zeros = baselines.zeros(TREE)
    np.testing.assert_array_equal(zeros["a"], np.zeros((6, 5, 3)))
    np.testing.assert_array_equal(zeros["b"], np.zeros(3))


def test_constant() -> None:
    np.testing.assert_array_equal(baselines.constant(PICTURE, 0.25), np.full((6, 5, 3), 0.25))
    colour = np.array([0.1, 0.2, 0.3])
    by_channel = baselines.constant(PICTURE, colour)
    np.testing.assert_array_equal(by_channel[4, 2], colour)
    np.testing.assert_array_equal(np.ptp(np.asarray(by_channel), axis=(0, 1)), 0)
    with pytest.raises(ValueError, match=r"x\['b'\] has shape \(3,\)"):
        baselines.constant(TREE | {"a": PICTURE[..., :2]}, colour[:2])


def test_uniform() -> None:
    """Within its bounds, and its first two moments within 4 standard errors."""
    noise = np.asarray(baselines.uniform(np.zeros(4000), -1.0, 3.0, key=KEY))
    assert noise.min() >= -1 and noise.max() <= 3
    assert abs(noise.mean() - 1) < 4 * (16 / 12 / 4000) ** 0.5
    assert abs(noise.var() - 16 / 12) < 4 * 16 * (1 / 180 / 4000) ** 0.5
    tree = baselines.uniform({"a": np.zeros(3), "b": np.zeros(3)}, key=KEY)
    assert not np.any(tree["a"] == tree["b"])  # every leaf has noise of its own
    with pytest.raises(ValueError, match="high - low"):
        baselines.uniform(PICTURE, 1.0, 0.0, key=KEY)


def test_gaussian() -> None:
    """Around the input, with the moments asked for within 4 standard errors."""
    x = np.linspace(-5, 5, 4000)
    noise = np.asarray(baselines.gaussian(x, 0.5, key=KEY)) - x
    assert abs(noise.mean()) < 4 * 0.5 / 4000**0.5
    assert abs(noise.var() - 0.25) < 4 * 0.25 * (2 / 4000) ** 0.5
    np.testing.assert_array_equal(baselines.gaussian(x, 0.0, key=KEY), x)
    with pytest.raises(ValueError, match="sigma"):
        baselines.gaussian(x, -0.5, key=KEY)


@pytest.mark.parametrize(
    "make", [baselines.uniform, lambda x, key: baselines.gaussian(x, 1, key=key)]
)
def test_random_baselines_need_a_key(make: Any) -> None:
    with pytest.raises(TypeError, match=r"key=jax\.random\.key\(0\)"):
        make(PICTURE, key=None)
    np.testing.assert_array_equal(make(PICTURE, key=KEY), make(PICTURE, key=KEY))
    assert not np.any(make(PICTURE, key=KEY) == make(PICTURE, key=jax.random.key(1)))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 10.0])
def test_blur_against_a_double_loop(sigma: float) -> None:
    expected = references.blur(PICTURE, sigma)
    np.testing.assert_allclose(baselines.blur(PICTURE, sigma), expected, rtol=1e-12, atol=1e-14)


def test_blur_against_scipy_away_from_the_border() -> None:
    picture = np.random.default_rng(1).normal(size=(40, 30))
    expected = scipy.ndimage.gaussian_filter(picture, 1.2, truncate=8, mode="constant")
    blurred = np.asarray(baselines.blur(picture, 1.2))
    inside = np.s_[10:-10, 10:-10]  # scipy looks at 10 neighbours; farther ones weigh e^-32
    np.testing.assert_allclose(blurred[inside], expected[inside], rtol=1e-11, atol=1e-13)
    assert np.max(np.abs(blurred - expected)) > 0.01  # at the border scipy lets in the dark


@pytest.mark.parametrize("sigma", [0.0, 0.5, 50.0])
def test_blur_keeps_a_constant_picture(sigma: float) -> None:
    np.testing.assert_allclose(baselines.blur(np.full((4, 7), 0.3), sigma), 0.3, rtol=1e-15)


def test_blur_of_width_zero_is_the_picture() -> None:
    np.testing.assert_array_equal(baselines.blur(PICTURE, 0.0), PICTURE)
    np.testing.assert_allclose(baselines.blur(PICTURE, 0.06), PICTURE, rtol=1e-12)


def test_strong_blur_is_the_mean_colour() -> None:
    mean = PICTURE.mean(axis=(0, 1))
    np.testing.assert_allclose(baselines.blur(PICTURE, 1e4)[3, 3], mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axes", [(0,), (1,), (-2,)])
def test_blur_along_chosen_axes(axes: tuple[int]) -> None:
    """One axis as a sequence: every line of it a picture of one row."""
    lines = np.moveaxis(PICTURE, axes[0], 0)
    alone = [references.blur(line[:, None], 1.3) for line in lines.reshape(len(lines), -1).T]
    expected = np.moveaxis(np.concatenate(alone, axis=1).reshape(lines.shape), 0, axes[0])
    np.testing.assert_allclose(baselines.blur(PICTURE, 1.3, axes=axes), expected, rtol=1e-12)


def test_blur_is_smooth_in_its_width() -> None:
    """Down to zero, where it goes flat; elsewhere as finite differences say."""

    def blurred(sigma: Any) -> Any:
        return baselines.blur(PICTURE, sigma)

    slope = jax.jit(jax.jacfwd(blurred))
    np.testing.assert_array_equal(slope(0.0), 0 * PICTURE)
    assert np.isfinite(jax.jit(jax.jacrev(lambda sigma: jnp.sum(blurred(sigma) ** 2)))(0.0))
    for sigma in (0.2, 2.0):
        expected = references.velocity(lambda s: references.blur(PICTURE, s), sigma)
        np.testing.assert_allclose(slope(sigma), expected, rtol=1e-9, atol=1e-10)


def test_blur_asks_for_axes_that_are_there() -> None:
    with pytest.raises(ValueError, match=r"x\['b'\] has shape \(3,\).*axes=\(0,\)"):
        baselines.blur(TREE)
    with pytest.raises(ValueError, match="sigma"):
        baselines.blur(PICTURE, -1.0)


def test_maximum_distance() -> None:
    low, high = np.array([-1.0, -2.0, 0.0]), np.array([1.0, 0.5, 0.1])
    expected = references.maximum_distance(PICTURE, low, high)
    np.testing.assert_array_equal(baselines.maximum_distance(PICTURE, low, high), expected)
    assert {-1.0, 1.0, -2.0, 0.5, 0.0, 0.1} == set(expected.ravel())  # every end is used
    np.testing.assert_array_equal(
        baselines.maximum_distance({"a": np.array([0.2, 0.5, 0.9])}, 0.0, 1.0)["a"], [1, 1, 0]
    )


def test_mean() -> None:
    data = {"a": np.arange(12.0).reshape(4, 3), "b": np.array([1.0, 3.0, 5.0, 7.0])}
    average = baselines.mean(data)
    np.testing.assert_allclose(average["a"], [4.5, 5.5, 6.5], rtol=1e-15)
    assert average["b"] == 4
    # In bfloat16 a running sum would stand still at 256.
    assert baselines.mean(jnp.ones(1000, jnp.bfloat16)) == 1


def test_samples_are_distinct_examples() -> None:
    """Leaves stay together, all are drawn if all are asked for, and each as often as any other."""
    data = {"a": np.arange(6.0), "b": 10 * np.arange(6.0)[:, None]}
    chosen = baselines.samples(data, 6, key=KEY)
    assert sorted(chosen["a"].tolist()) == data["a"].tolist()
    np.testing.assert_array_equal(chosen["b"][:, 0], 10 * chosen["a"])

    keys = jax.random.split(KEY, 900)
    pairs = jax.jit(jax.vmap(lambda key: baselines.samples(data["a"], 2, key=key)))(keys)
    assert np.all(pairs[:, 0] != pairs[:, 1])
    counts = np.bincount(np.asarray(pairs, int).ravel(), minlength=6)
    assert np.all(np.abs(counts - 300) < 4 * (900 * 1 / 3 * 2 / 3) ** 0.5)


@pytest.mark.parametrize(("count", "told"), [(7, "exceeds the 6 examples"), (0, "at least 1")])
def test_samples_cannot_be_more_than_there_are(count: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        baselines.samples(np.arange(6.0), count, key=KEY)
