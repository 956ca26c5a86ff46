"""Noisy linear imputation against a sparse direct solver."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csc_matrix, lil_matrix
from scipy.sparse.linalg import spsolve

from jaxplain.evaluate._imputation import coarser, finer, noisy_linear_imputation

rng = np.random.default_rng(3)
SHAPE = (11, 14)
PICTURE = rng.random((*SHAPE, 2))
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
MASKS = {
    "few are left": rng.random(SHAPE) > 0.9,
    "half is left": rng.random(SHAPE) > 0.5,
    "one is left": (ROWS == 2) & (COLUMNS == 13),
    "a hole": (ROWS < 2) | (ROWS > 8) | (COLUMNS < 1) | (COLUMNS > 11),
    "one side is left": COLUMNS < 1,
    "islands": (ROWS % 4 == 1) & (COLUMNS % 5 < 2),
    "all is left": ROWS >= 0,
}


def by_hand(channel: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Every pixel that is gone is the weighted mean of those of its neighbours that exist."""
    height, width = channel.shape
    places = [(i, j) for i in range(height) for j in range(width) if not known[i, j]]
    number = {place: n for n, place in enumerate(places)}
    matrix, right = lil_matrix((len(places), len(places))), np.zeros(len(places))
    for n, (i, j) in enumerate(places):
        for a, b in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)):
            if not (0 <= i + a < height and 0 <= j + b < width):
                continue
            weight = 1 / 6 if 0 in (a, b) else 1 / 12
            matrix[n, n] += weight
            if known[i + a, j + b]:
                right[n] += weight * channel[i + a, j + b]
            else:
                matrix[n, number[i + a, j + b]] -= weight
    filled = channel.copy()
    if places:
        filled[~known] = spsolve(csc_matrix(matrix), right)
    return filled


exactly = noisy_linear_imputation(noise=0)
fill = jax.jit(exactly)


@pytest.mark.parametrize("name", MASKS)
def test_equals_a_direct_solver(name: str) -> None:
    known = MASKS[name]
    expected = np.stack([by_hand(PICTURE[..., c], known) for c in range(2)], axis=-1)
    found = fill(PICTURE, known[..., None])
    np.testing.assert_allclose(found, expected, atol=1e-11)
    small = fill(PICTURE.astype(np.float32), known[..., None])
    assert small.dtype == jnp.float32
    np.testing.assert_allclose(small, expected, atol=1e-5)


def test_channels_may_be_gone_apart() -> None:
    known = np.stack([MASKS["few are left"], MASKS["a hole"]], axis=-1)
    expected = np.stack([by_hand(PICTURE[..., c], known[..., c]) for c in range(2)], axis=-1)
    np.testing.assert_allclose(fill(PICTURE, known), expected, atol=1e-11)


def test_axes_choose_the_picture() -> None:
    known = MASKS["islands"]
    first = jax.jit(noisy_linear_imputation(noise=0, axes=(1, 2)))
    found = first(np.moveaxis(PICTURE, -1, 0), known[None])
    np.testing.assert_allclose(np.moveaxis(found, 0, -1), fill(PICTURE, known[..., None]))


def test_vmap_over_masks_equals_a_loop() -> None:
    masks = np.stack(list(MASKS.values()))[..., None]
    found = jax.jit(jax.vmap(exactly, in_axes=(None, 0)))(PICTURE, masks)
    expected = [fill(PICTURE, mask) for mask in masks]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-11)


def test_of_nothing_is_left_the_mean_colour() -> None:
    found = fill(PICTURE, np.zeros((*SHAPE, 1), bool))
    mean = np.broadcast_to(PICTURE.mean(axis=(0, 1)), PICTURE.shape)
    np.testing.assert_allclose(found, mean, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 1), (5, 1, 2)])
def test_thin_pictures(shape: tuple[int, ...]) -> None:
    picture, known = rng.random(shape), np.ones(shape[:2], bool)
    known[shape[0] // 2, shape[1] // 2] = shape == (1, 1, 1)
    expected = [by_hand(picture[..., c], known) for c in range(shape[2])]
    found = jax.jit(exactly)(picture, known[..., None])
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), atol=1e-12)


def test_derivative_is_the_transpose() -> None:
    """What is filled in is linear in the picture."""
    known = MASKS["few are left"][..., None]
    weights, direction = rng.normal(size=(2, *PICTURE.shape))

    def score(x: Any) -> Any:
        return jnp.sum(weights * exactly(x, known))

    gradient = jax.jit(jax.grad(score))(PICTURE)
    expected = np.sum(weights * np.asarray(fill(direction, known)))
    np.testing.assert_allclose(np.sum(np.asarray(gradient) * direction), expected, rtol=1e-9)
    assert not np.any(np.where(known, 0, gradient))


def test_halves_and_doubles_are_transposes() -> None:
    """The preconditioner is symmetric, or conjugate gradients would not converge."""
    fine, coarse = rng.normal(size=(7, 10)), rng.normal(size=(4, 5))
    down, up = jax.jit(coarser)(fine), jax.jit(finer, static_argnums=1)(coarse, (7, 10))
    np.testing.assert_allclose(np.sum(down * coarse), np.sum(fine * up), rtol=1e-12)
    np.testing.assert_allclose(finer(jnp.ones((4, 5)), (7, 10)), np.ones((7, 10)))


def test_noise_lies_on_what_is_gone() -> None:
    known = MASKS["few are left"][..., None]
    noisy = jax.jit(noisy_linear_imputation(noise=0.5))
    key = jax.random.key(1)
    added = np.asarray(noisy(PICTURE, known, key=key) - fill(PICTURE, known))
    gone = np.broadcast_to(~known, added.shape)
    assert not np.any(added[~gone])
    np.testing.assert_allclose(np.std(added[gone]), 0.5, rtol=0.15)
    np.testing.assert_array_equal(noisy(PICTURE, known, key=key), noisy(PICTURE, known, key=key))


def test_constant_huge_and_tiny_pictures() -> None:
    """In float32, where the squares of such numbers are infinite or zero."""
    known = MASKS["few are left"][..., None]
    np.testing.assert_array_equal(fill(np.zeros_like(PICTURE), known), np.zeros_like(PICTURE))
    small = PICTURE.astype(np.float32)
    for scale in np.float32([1e30, 1e-30]):
        found = fill(small * scale, known) / scale
        np.testing.assert_allclose(found, fill(small, known), atol=1e-5)


def test_what_cannot_be_filled_in() -> None:
    with pytest.raises(ValueError, match="noise=-1"):
        noisy_linear_imputation(-1)
    with pytest.raises(ValueError, match="two spatial axes"):
        noisy_linear_imputation(axes=(0, 1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lacks one of axes"):
        exactly(jnp.ones(3), jnp.ones(3, bool))
    with pytest.raises(TypeError, match="int32"):
        exactly(jnp.ones((3, 3), jnp.int32), jnp.ones((3, 3), bool))
