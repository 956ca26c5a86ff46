"""Random transforms: what they do to a picture, and how they are distributed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxplain.baselines import blur as gaussian_blur
from jaxplain.transforms import blur, compose, jitter, rotate, scale

rng = np.random.default_rng(3)
X = rng.normal(size=(7, 6, 2))
KEYS = jax.random.split(jax.random.key(0), 300)

NOTHING: dict[str, Any] = {
    "jitter": jitter(0),
    "scale": scale(1, 1.0),
    "rotate": rotate(0),
    "blur": blur(0.0),
    "compose": compose(jitter(0), scale(1, 1), rotate(0)),
    "compose nothing": compose(),
}
SOME: dict[str, Any] = {
    "jitter": jitter(2),
    "scale": scale(0.8, 1.3),
    "rotate": rotate(20),
    "blur": blur(1.5),
    "compose": compose(jitter(2), scale(0.8, 1.3), rotate(20)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_identity(name: str) -> None:
    found = jax.jit(NOTHING[name])(KEYS[0], X)
    np.testing.assert_allclose(found, X, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", SOME)
def test_linear_shape_dtype_and_constants_are_kept(name: str) -> None:
    transform = jax.jit(SOME[name])
    other = rng.normal(size=X.shape)
    moved = transform(KEYS[5], X)
    assert moved.shape == X.shape and np.any(np.asarray(moved) != X)
    together = transform(KEYS[5], 2 * X + other)
    np.testing.assert_allclose(together, 2 * moved + transform(KEYS[5], other), rtol=1e-9)
    np.testing.assert_allclose(transform(KEYS[5], np.full(X.shape, 0.7)), 0.7, rtol=1e-12)
    tree = transform(KEYS[5], {"a": X, "b": (X,)})
    assert np.any(tree["a"] != tree["b"][0])  # leaves move independently
    for dtype in ("bfloat16", "float32"):
        narrow = transform(KEYS[5], jnp.asarray(X, dtype))
        assert narrow.dtype == dtype
        assert np.all(np.isfinite(np.asarray(narrow, np.float64)))


def test_jitter_crops_the_padded_picture() -> None:
    moved = np.asarray(jax.jit(jax.vmap(jitter(1), in_axes=(0, None)))(KEYS, X))
    padded = np.pad(X, [(1, 1), (1, 1), (0, 0)], mode="edge")
    crops = [padded[i : i + 7, j : j + 6] for i in range(3) for j in range(3)]
    counts = [np.sum([np.array_equal(m, crop) for m in moved]) for crop in crops]
    assert sum(counts) == len(KEYS)
    assert min(counts) > 15  # 33 expected of each
    # The mean over draws is the mean of all crops, up to chance.
    assert np.abs(moved.mean(axis=0) - np.mean(crops, axis=0)).max() < 0.25


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_scale_is_linear_interpolation(factor: float) -> None:
    places = [(n - 1) / 2 + (np.arange(n) - (n - 1) / 2) / factor for n in X.shape[:2]]
    grid = np.meshgrid(*places, indexing="ij")
    expected = np.stack(
        [
            scipy.ndimage.map_coordinates(X[..., c], grid, order=1, mode="nearest")
            for c in range(X.shape[2])
        ],
        axis=-1,
    )
    np.testing.assert_allclose(jax.jit(scale(factor, factor))(KEYS[0], X), expected, atol=1e-12)


def test_scale_is_uniform() -> None:
    """A ramp about its centre becomes flatter by the factor."""
    ramp = np.arange(9.0) - 4
    moved = jax.jit(jax.vmap(scale(0.8, 1.6, axes=(0,)), in_axes=(0, None)))(KEYS, ramp)
    factors = 1 / np.asarray(moved)[:, 5]
    np.testing.assert_allclose(moved[:, 4], 0, atol=1e-12)
    assert 0.8 <= factors.min() < 0.82 and 1.58 < factors.max() <= 1.6
    assert abs(factors.mean() - 1.2) < 0.05


def turned(x: np.ndarray, angle: float) -> np.ndarray:
    """Bilinear interpolation at the places that a rotation about the centre leads to."""
    height, width = x.shape[:2]
    down, right = np.meshgrid(
        np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
    )
    grid = [
        np.cos(angle) * down - np.sin(angle) * right + (height - 1) / 2,
        np.sin(angle) * down + np.cos(angle) * right + (width - 1) / 2,
    ]
    channels = [
        scipy.ndimage.map_coordinates(x[..., c], grid, order=1, mode="nearest")
        for c in range(x.shape[2])
    ]
    return np.stack(channels, axis=-1)


def test_rotation() -> None:
    """A ramp tells the angle, which then has to explain a picture."""
    transform = jax.jit(jax.vmap(rotate(30), in_axes=(0, None)))
    ramp = np.broadcast_to(np.arange(9.0)[:, None] - 4, (9, 9))
    moved = np.asarray(transform(KEYS, ramp))
    angles = np.arctan2(moved[:, 4, 3], moved[:, 5, 4])
    limit = np.deg2rad(30)
    assert -limit <= angles.min() < -0.97 * limit and 0.97 * limit < angles.max() <= limit
    assert abs(angles.mean()) < 0.1 * limit
    for angle, picture in list(zip(angles, np.asarray(transform(KEYS, X)), strict=True))[:3]:
        np.testing.assert_allclose(picture, turned(X, float(angle)), atol=1e-12)


def test_blur_is_uniform_in_its_width() -> None:
    """Each result is the picture blurred by some width up to the largest."""
    moved = np.asarray(jax.jit(jax.vmap(blur(2.0), in_axes=(0, None)))(KEYS, X))
    widths = np.linspace(0, 2, 401)
    grid = np.asarray(jax.jit(jax.vmap(lambda s: gaussian_blur(jnp.asarray(X), s)))(widths))
    distance = np.abs(moved[:, None] - grid[None]).max(axis=(2, 3, 4))
    assert distance.min(axis=1).max() < 0.02
    found = widths[distance.argmin(axis=1)]
    assert found.min() < 0.15 and found.max() > 1.98 and abs(found.mean() - 1) < 0.1


def test_axes_may_lie_elsewhere() -> None:
    for transform in (jitter, scale, rotate, blur):
        options = (0.8, 1.3) if transform is scale else (2,)
        moved = jax.jit(transform(*options))(KEYS[2], X)
        other = jax.jit(transform(*options, axes=(-2, -1)))(KEYS[2], np.moveaxis(X, 2, 0))
        np.testing.assert_allclose(np.moveaxis(np.asarray(other), 0, 2), moved, atol=1e-12)


def test_compose_gives_each_its_key() -> None:
    first, second = jitter(2), scale(0.8, 1.3)
    key = KEYS[3]
    expected = second(jax.random.fold_in(key, 1), first(jax.random.fold_in(key, 0), jnp.asarray(X)))
    np.testing.assert_allclose(compose(first, second)(key, jnp.asarray(X)), expected, rtol=1e-12)


def test_derivative_of_transforms() -> None:
    """All are linear in the picture, so the transpose is tested against the map."""
    transform = SOME["compose"]
    cotangent = rng.normal(size=X.shape)
    pulled = jax.jit(lambda x: jax.vjp(lambda x: transform(KEYS[4], x), x)[1](cotangent)[0])(X)
    np.testing.assert_allclose(
        np.sum(pulled * X), np.sum(cotangent * jax.jit(transform)(KEYS[4], X)), rtol=1e-10
    )


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "pixels": (lambda: jitter(1.5), ValueError, "pixels=1.5 is not a whole number"),
    "low": (lambda: scale(0, 1), ValueError, "low=0 leaves nothing"),
    "high": (lambda: scale(1.2, 1), ValueError, "high=1 must be a number at least 1.2"),
    "degrees": (lambda: rotate(-1), ValueError, "degrees=-1 must be"),
    "plane": (lambda: rotate(5, axes=(0,)), ValueError, "must be the two axes of the plane"),
    "sigma": (lambda: blur(-1), ValueError, "sigma=-1 must be"),
    "axes": (lambda: jitter(1)(KEYS[0], jnp.ones(3)), ValueError, "must name different axes"),
    "compose": (lambda: compose(3), TypeError, "A transform is a function"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_of_transforms(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
