"""Pixels, spectra and codes: round trips, and spectra by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxplain.maximization._fourier import MARGIN, Spectrum
from jaxplain.maximization._maximize import maximize_activation
from jaxplain.parametrizations import Parametrization, code, fourier, natural_colors, pixels

rng = np.random.default_rng(1)

# Even and odd sides, with and without channels, axes elsewhere and in another order.
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, int]]] = {
    "even": ((6, 8), (0, 1)),
    "odd": ((5, 7, 3), (0, 1)),
    "even and odd": ((6, 5, 3), (0, 1)),
    "odd and even": ((5, 6, 2), (-3, -2)),
    "leading axis": ((2, 4, 5, 3), (1, 2)),
    "columns first": ((4, 5, 3), (1, 0)),
    "one pixel wide": ((4, 1), (0, 1)),
}
MIX = np.array([[1.0, 0.2, 0.1], [0.9, -0.1, -0.3], [0.8, -0.4, 0.2]])


def colors_for(shape: tuple[int, ...]) -> Any:
    return MIX if shape[-1] == 3 else None


def by_hand(parts: np.ndarray, shape: tuple[int, ...], axes: Any, decay: float) -> np.ndarray:
    """Each frequency's wave, added to the picture one after another."""
    rows, columns = (axis % len(shape) for axis in axes)
    height, width = shape[rows], shape[columns]
    parts = np.moveaxis(parts, (rows, columns), (0, 1))
    y, x = np.arange(height)[:, None], np.arange(width)[None]
    rest = parts.shape[2:-1]
    picture = np.zeros((height, width, *rest))
    for i in range(height):
        for j in range(width // 2 + 1):
            down = (i if i <= height // 2 else i - height) / height
            frequency = max(np.hypot(down, j / width), 1 / max(height, width))
            wave = np.exp(2j * np.pi * (down * y + j / width * x))
            # Frequencies inside of the half stand for their conjugates too.
            both = 1 if j in (0, width / 2) else 2
            amplitude = both * (parts[i, j, ..., 0] + 1j * parts[i, j, ..., 1]) / frequency**decay
            picture += np.multiply.outer(wave, amplitude).real / np.sqrt(height * width)
    return np.moveaxis(picture, (0, 1), (rows, columns))


def test_pixels_are_clipped_by_channel() -> None:
    inside = pixels((np.array([0.0, -1.0]), np.array([1.0, 2.0])))
    x = jnp.array([[-3.0, -3.0], [0.5, 0.5], [3.0, 3.0]])
    expected = np.array([[0.0, -1.0], [0.5, 0.5], [1.0, 2.0]])
    np.testing.assert_array_equal(inside.project(x), expected)
    np.testing.assert_array_equal(inside.encode({"x": x})["x"], expected)
    np.testing.assert_array_equal(pixels().project(x), x)


@pytest.mark.parametrize("name", SHAPES)
def test_spectrum_is_the_one_written_out(name: str) -> None:
    shape, axes = SHAPES[name]
    plain = fourier(None, decay=0.7, axes=axes)
    spectrum = plain.encode(jnp.zeros(shape))
    parts = rng.normal(size=spectrum.parts.shape)
    decode, project = jax.jit(plain.decode), jax.jit(plain.project)
    given = Spectrum(jnp.asarray(parts), spectrum.width)
    expected = by_hand(parts, shape, axes, 0.7)
    np.testing.assert_allclose(decode(given), expected, atol=1e-12)

    # Half of a spectrum says some things twice: what is projected says them in one way.
    projected = project(given)
    assert shape == (4, 1) or np.any(projected.parts != parts)
    np.testing.assert_allclose(decode(projected), expected, atol=1e-12)
    np.testing.assert_allclose(plain.encode(expected).parts, projected.parts, atol=1e-12)
    np.testing.assert_array_equal(project(projected).parts, projected.parts)


@pytest.mark.parametrize("name", SHAPES)
def test_start_is_reproduced(name: str) -> None:
    shape, axes = SHAPES[name]
    inside = fourier((-1, 2), colors=colors_for(shape), axes=axes)
    x = rng.uniform(-0.99, 1.99, size=shape)
    encoded = jax.jit(inside.encode)(x)
    decoded = jax.jit(inside.decode)(encoded)
    np.testing.assert_allclose(decoded, x, rtol=1e-11)
    np.testing.assert_allclose(jax.jit(inside.encode)(decoded).parts, encoded.parts, atol=1e-10)


def test_start_at_the_bounds_is_moved_inside() -> None:
    inside = fourier((np.zeros(3), np.array([1.0, 2.0, 4.0])))
    x = np.broadcast_to(np.array([-5.0, 2.0, 4.0]), (4, 4, 3))
    found = inside.decode(inside.encode(jnp.asarray(x)))
    np.testing.assert_allclose(found[0, 0], [MARGIN, 2 - 2 * MARGIN, 4 - 4 * MARGIN], rtol=1e-9)


def test_without_decay_energy_is_kept() -> None:
    """Parseval: with the second of each conjugate pair, the code is as long as the picture."""
    x = rng.normal(size=(6, 7))
    parts = np.asarray(fourier(None, decay=0.0).encode(jnp.asarray(x)).parts)
    both = np.where(np.arange(4) == 0, 1, 2)[None, :, None]
    np.testing.assert_allclose(np.sum(both * parts**2), np.sum(x**2), rtol=1e-12)


@pytest.mark.parametrize("decay", [0.5, 2.0])
def test_decay_is_the_power_of_the_frequency(decay: float) -> None:
    x = jnp.asarray(rng.normal(size=(8, 8)))
    flat, steep = (fourier(None, decay=d).encode(x).parts for d in (0.0, decay))
    ratio = np.asarray(steep / flat)[..., 0]
    np.testing.assert_allclose(ratio[0, 1:], (np.arange(1, 5) / 8) ** decay, rtol=1e-10)
    np.testing.assert_allclose(ratio[0, 0], (1 / 8) ** decay, rtol=1e-10)  # not infinite


def test_decay_may_be_traced() -> None:
    x = rng.normal(size=(4, 4))
    sweep = jax.jit(jax.vmap(lambda d: fourier(None, decay=d).encode(x).parts))
    expected = [fourier(None, decay=d).encode(jnp.asarray(x)).parts for d in (0.0, 1.5)]
    np.testing.assert_allclose(sweep(np.array([0.0, 1.5])), np.stack(expected), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_ascent_of_a_spectrum(dtype: str) -> None:
    """Stays within the bounds, keeps to codes that say things once, and fits a target."""
    target = rng.uniform(0.3, 0.7, size=(6, 5, 3))

    def near(x: Any) -> Any:
        return -jnp.sum((x - jnp.asarray(target, x.dtype)) ** 2)

    smooth = fourier(colors=MIX)
    maximize = maximize_activation(
        near, optimizer=optax.adam(0.01), steps=300, parametrization=smooth, info=True
    )
    start = jnp.asarray(rng.uniform(0.3, 0.7, size=(2, 6, 5, 3)), dtype)
    x, ascent = jax.jit(jax.vmap(maximize))(start)
    assert x.dtype == ascent.code.parts.dtype == dtype
    assert x.shape == start.shape and ascent.code.parts.shape == (2, 6, 3, 3, 2)
    np.testing.assert_allclose(np.asarray(x, np.float64), np.stack([target] * 2), atol=0.02)
    again = smooth.project(jax.tree.map(lambda leaf: leaf[0], ascent.code))
    np.testing.assert_array_equal(np.asarray(again.parts[:, :1]), ascent.code.parts[0, :, :1])


def test_pytrees_have_a_spectrum_each() -> None:
    inside = fourier()
    x = {"a": rng.uniform(size=(4, 5)), "b": [rng.uniform(size=(3, 4))]}
    found = inside.decode(inside.project(inside.encode(x)))
    assert jax.tree.structure(found) == jax.tree.structure(x)
    np.testing.assert_allclose(found["b"][0], np.clip(x["b"][0], MARGIN, 1 - MARGIN), rtol=1e-10)


# ------------------------------------------------------------------------------------------ colours


def test_natural_colors_are_independent() -> None:
    z = rng.normal(size=(5, 8, 8, 3)) * np.array([3.0, 1.0, 0.5])
    images = 128 + 20 * z @ MIX.T
    mix = np.asarray(natural_colors(images.astype(np.float32)))
    np.testing.assert_allclose(np.linalg.norm(mix, 2), 1, rtol=1e-6)
    rows = images.reshape(-1, 3)
    decorrelated = np.linalg.solve(mix, (rows - rows.mean(axis=0)).T)
    covariance = np.cov(decorrelated)
    np.testing.assert_allclose(covariance / covariance[0, 0], np.eye(3), atol=1e-4)
    np.testing.assert_allclose(mix @ mix.T * covariance[0, 0], np.cov(rows.T), rtol=1e-3)
    assert np.all(mix.sum(axis=0) >= 0)


def test_colors_are_mixed_by_the_columns() -> None:
    colored, plain = fourier(None, colors=MIX), fourier(None)
    y = rng.normal(size=(4, 4, 3))
    x = colored.decode(plain.encode(jnp.asarray(y)))
    np.testing.assert_allclose(x, np.einsum("hwc,dc->hwd", y, MIX), rtol=1e-10)


def test_colors_of_imagenet_are_normalised() -> None:
    y = np.zeros((2, 2, 3))
    y[..., 0] = 1
    x = fourier(None, colors="imagenet").decode(fourier(None).encode(jnp.asarray(y)))
    np.testing.assert_allclose(np.linalg.norm(x[0, 0]), 1, rtol=1e-9)
    np.testing.assert_allclose(x[0, 0, 1:] / x[0, 0, :1], [27 / 26, 27 / 26], rtol=1e-9)


# --------------------------------------------------------------------------------- codes and errors


def test_code_starts_from_the_code() -> None:
    made = code(lambda z: {"x": 2 * z})
    assert isinstance(made, Parametrization)
    z = jnp.ones(3)
    assert made.encode(z) is z and made.project(z) is z
    np.testing.assert_array_equal(made.decode(z)["x"], 2 * z)


WRONG: dict[str, tuple[Any, str]] = {
    "no pair": (lambda: pixels(3), "bounds=3 must be a pair"),
    "reversed": (lambda: pixels((1, 0)), "low below high"),
    "one channel reversed": (lambda: fourier((np.zeros(2), np.array([1, 0]))), "low below high"),
    "decay": (lambda: fourier(decay=-1), "decay=-1 must be a number at least 0"),
    "axes": (lambda: fourier(axes=(0,)), "must be the two spatial axes"),
    "name": (lambda: fourier(colors="rgb"), "colors='rgb' is unknown: choose one of imagenet"),
    "vector": (lambda: fourier(colors=np.ones(3)), r"colors has shape \(3,\)"),
    "singular": (lambda: fourier(colors=np.ones((2, 2))), "so no inverse"),
    "channels": (
        lambda: fourier(colors="imagenet").encode(jnp.ones((4, 4))),
        r"mixes 3 channels on the last axis, but x has shape \(4, 4\)",
    ),
    "no axis": (lambda: fourier(axes=(0, 2)).encode(jnp.ones((4, 4))), "x has shape"),
    "gray": (lambda: natural_colors(rng.normal(size=(9, 1)) * np.ones(3)), "fill 1 of 3"),
    "constant": (lambda: natural_colors(np.ones((4, 4, 3))), "fill 0 of 3"),
    "not finite": (lambda: natural_colors(np.full((4, 3), np.nan)), "NaN or infinity"),
    "no pictures": (lambda: natural_colors(np.ones(3)), r"give pictures of shape \(..., C\)"),
    "channel bounds": (lambda: pixels((0, np.ones(4))).encode(jnp.ones(3)), "value has shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_of_parametrizations(name: str) -> None:
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_code_needs_a_function() -> None:
    with pytest.raises(TypeError, match="takes a function from a code to an input"):
        code(np.ones(3))


def test_bounds_of_a_spectrum_are_finite() -> None:
    with pytest.raises(ValueError, match="must be finite, or None"):
        fourier((0.0, float("inf")))
