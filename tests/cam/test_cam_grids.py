"""Layers of all shapes laid over inputs of all shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cam_references as references
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import ablation_cam, eigen_cam, grad_cam, guided_grad_cam, score_cam

draw = np.random.default_rng(5).normal
WIDTH = 3


def patches(x: Any, rows: int, columns: int) -> jax.Array:
    """The channels of square patches: (rows * columns, values)."""
    height, width = x.shape[0] // rows, x.shape[1] // columns
    cut = x.reshape(rows, height, columns, width, -1)
    return jnp.moveaxis(cut, 2, 1).reshape(rows * columns, -1)


def transformer(
    rows: int, columns: int, *, extra: int = 1, batched: bool = False
) -> Callable[..., jax.Array]:
    """Tokens of patches behind `extra` others, mixed, and read out at the first."""

    def f(x: Any) -> jax.Array:
        tokens = jnp.sin(patches(x, rows, columns))[:, :WIDTH]
        front = jnp.full((extra, WIDTH), 0.3)
        tokens = jnp.concatenate([front, tokens])
        with jax.named_scope("tokens"):
            tokens = 1.0 * (tokens[None] if batched else tokens)
        tokens = tokens.reshape(-1, WIDTH)
        shares = jax.nn.softmax(tokens @ tokens.T)
        return jnp.sum((shares @ tokens)[0] ** 2)

    return f


def expected_map(f: Callable[..., Any], x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Grad-CAM of the last tokens, by hand."""
    bottom, top = jaxplain.cut(f, at="tokens")
    h = jax.jit(bottom)(x)
    G = np.asarray(jax.jit(jax.grad(top))(h, x)).reshape(-1, WIDTH)
    A = np.asarray(h).reshape(-1, WIDTH)
    cells = shape[0] * shape[1]
    A, G = (part[-cells:].reshape(*shape, WIDTH) for part in (A, G))
    return references.bilinear(references.grad_cam(A, G), x.shape[:2])


@pytest.mark.parametrize(
    ("size", "rows", "columns", "extra"),
    [
        ((8, 8), 4, 4, 1),
        ((8, 8), 4, 4, 0),
        ((6, 12), 3, 6, 5),
        ((12, 8), 3, 2, 1),
        ((4, 20), 1, 5, 5),
    ],
)
@pytest.mark.parametrize("batched", [False, True])
def test_grid_of_tokens_is_recovered(
    size: tuple[int, int], rows: int, columns: int, extra: int, batched: bool
) -> None:
    x = draw(size=(*size, 3))
    f = transformer(rows, columns, extra=extra, batched=batched)
    expected = expected_map(f, x, (rows, columns))
    found = jax.jit(grad_cam(f, "tokens", relu=False))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    given = jax.jit(grad_cam(f, "tokens", relu=False, grid=(rows, columns)))(x)
    np.testing.assert_array_equal(given, found)
    assert np.max(np.abs(found)) > 1e-4


def test_patches_of_whole_pixels_come_first_and_others_after() -> None:
    def count(tokens: int, side: int) -> tuple[int, ...]:
        def f(x: Any) -> jax.Array:
            with jax.named_scope("tokens"):
                h = jnp.ones((tokens, 2)) * jnp.sum(x)
            return jnp.sum(h**2)

        explain = grad_cam(f, "tokens", resize=None)
        return jax.eval_shape(explain, jnp.ones((side, side, 1))).shape

    assert count(36, 12) == (6, 6)
    assert count(197, 224) == (14, 14)
    assert count(201, 224) == (14, 14)  # a class token and four registers
    assert count(257, 224) == (16, 16)
    assert count(25, 12) == (5, 5)  # patches that overlap, or hang over the edge
    assert count(18, 12) == (4, 4)  # 3 x 3 and nine others would be too many others
    assert count(11, 10) == (3, 3)  # rather than 2 x 2, and seven others


def test_tokens_that_make_no_grid_say_what_was_found() -> None:
    f, x = transformer(2, 4), draw(size=(8, 20, 3))
    with pytest.raises(ValueError, match="No grid of square patches") as caught:
        jax.jit(grad_cam(f, "tokens"))(x)
    said = str(caught.value)
    assert "'tokens' is h: float64[9,3]: 9 tokens" in said
    assert "8 x 20" in said and "grid=(rows, columns)" in said
    given = jax.jit(grad_cam(f, "tokens", grid=(2, 4), relu=False))(x)
    np.testing.assert_allclose(given, expected_map(f, x, (2, 4)), rtol=1e-9, atol=1e-12)


def test_a_grid_that_does_not_fit_raises() -> None:
    x = draw(size=(8, 8, 3))
    with pytest.raises(ValueError, match=r"grid=\(5, 5\) has 25 cells, but 'tokens' is .*\[17,3\]"):
        jax.jit(grad_cam(transformer(4, 4), "tokens", grid=(5, 5)))(x)
    with pytest.raises(ValueError, match=r"grid=\(2, 2\) has 4 cells, .*positions \(8, 8\)"):
        jax.jit(grad_cam(pixelwise, "layer", grid=(2, 2)))(x)
    for grid in ([4, 4], (0, 4), ()):
        with pytest.raises(ValueError, match="tuple of positive integers"):
            grad_cam(pixelwise, "layer", grid=grid)


def pixelwise(x: Any) -> jax.Array:
    with jax.named_scope("layer"):
        h = jnp.tanh(x * jnp.arange(1.0, 4.0, dtype=x.dtype).reshape((1,) * (x.ndim - 1) + (3,)))
    return jnp.sum(h**2)


def test_signals_have_one_dimensional_maps() -> None:
    x = draw(size=(12, 2))

    def f(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = jnp.sin(x.reshape(4, 6))
        return jnp.sum(h**3)

    A = np.sin(x.reshape(4, 6))
    weights = np.mean(3 * A**2, axis=0)
    expected = references.bilinear(np.maximum(A @ weights, 0), (12,))
    np.testing.assert_allclose(jax.jit(grad_cam(f, "layer"))(x), expected, rtol=1e-9, atol=1e-12)
    for method in (score_cam, ablation_cam, eigen_cam):
        assert jax.jit(method(f, "layer"))(x).shape == (12,)

    def without_channels(x: Any) -> jax.Array:
        return f(x.reshape(12, 2))

    found = jax.jit(grad_cam(without_channels, "layer", resize=None))(x.ravel())
    np.testing.assert_allclose(found, np.maximum(A @ weights, 0), rtol=1e-9, atol=1e-12)
    assert jax.jit(score_cam(without_channels, "layer"))(x.ravel()).shape == (24,)


def test_pictures_without_a_channel_axis() -> None:
    def f(x: Any) -> jax.Array:
        return transformer(2, 2)(x[..., None])

    x = draw(size=(8, 8))
    gray = jax.jit(grad_cam(f, "tokens", grid=(2, 2)))(x)
    channel = jax.jit(grad_cam(transformer(2, 2), "tokens"))(x[..., None])
    np.testing.assert_allclose(gray, channel, rtol=1e-12)


def test_channels_first() -> None:
    """A model of (channels, height, width) and its twin give the same maps."""
    x = draw(size=(4, 6, 3))

    def turned(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = jnp.tanh(x[None] * jnp.arange(1.0, 4.0).reshape(1, 3, 1, 1))
        return jnp.sum(h**2)

    for method in (grad_cam, eigen_cam, score_cam, ablation_cam):
        here = jax.jit(method(pixelwise, "layer"))(x)
        there = jax.jit(method(turned, "layer", channel_axis=-3))(np.moveaxis(x, -1, 0))
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-12)

    def tokens(x: Any) -> jax.Array:
        return transformer(2, 3)(jnp.moveaxis(x, 0, -1))

    here = jax.jit(grad_cam(transformer(2, 3), "tokens"))(x)
    there = jax.jit(grad_cam(tokens, "tokens", channel_axis=(-1, -3)))(np.moveaxis(x, -1, 0))
    np.testing.assert_allclose(there, here, rtol=1e-12)


def test_guided_grad_cam_of_channels_first() -> None:
    def f(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = jax.nn.relu(x * jnp.arange(1.0, 4.0).reshape(1, 1, 3))
        return jnp.sum(h**2)

    def turned(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = jax.nn.relu(x * jnp.arange(1.0, 4.0).reshape(3, 1, 1))
        return jnp.sum(h**2)

    x = draw(size=(4, 6, 3))
    here = jax.jit(guided_grad_cam(f, "layer"))(x)
    there = jax.jit(guided_grad_cam(turned, "layer", channel_axis=-3))(np.moveaxis(x, -1, 0))
    np.testing.assert_allclose(there, np.moveaxis(here, -1, 0), rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 2, (-1,), (-1, 0), "last", None])
def test_channel_axis_counts_from_the_end(axis: Any) -> None:
    with pytest.raises(ValueError, match="must be a negative integer"):
        grad_cam(pixelwise, "layer", channel_axis=axis)


@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
def test_resize_is_that_of_jax_image(method: str) -> None:
    x = draw(size=(6, 6, 3))
    f = transformer(3, 3)
    coarse = jax.jit(grad_cam(f, "tokens", resize=None))(x)
    assert coarse.shape == (3, 3)
    fine = jax.jit(grad_cam(f, "tokens", resize=method))(x)
    np.testing.assert_allclose(fine, jax.image.resize(coarse, (6, 6), method), rtol=1e-12)


def test_any_input_with_resize_none() -> None:
    def f(tree: dict[str, Any]) -> jax.Array:
        return transformer(2, 2)(tree["image"]) * tree["scale"]

    tree = {"image": draw(size=(8, 8, 3)), "scale": np.float64(2.0)}
    with pytest.raises(TypeError, match=r"x\['image'\]: float64\[8,8,3\].*resize=None"):
        jax.jit(grad_cam(f, "tokens"))(tree)
    tokens = jax.jit(grad_cam(f, "tokens", resize=None))(tree)
    assert tokens.shape == (5,)  # the class token too: nothing says that it is one
    arranged = jax.jit(grad_cam(f, "tokens", resize=None, grid=(2, 2)))(tree)
    image = jax.jit(grad_cam(transformer(2, 2), "tokens", resize=None))(tree["image"])
    np.testing.assert_allclose(arranged, 2 * image, rtol=1e-12)


@pytest.mark.parametrize("method", [score_cam, guided_grad_cam])
def test_some_methods_need_the_size_of_the_input(method: Any) -> None:
    with pytest.raises(ValueError, match="resize=None is not for it"):
        method(pixelwise, "layer", resize=None)


def test_mistakes_are_told() -> None:
    x = draw(size=(4, 6, 3))
    with pytest.raises(ValueError, match="resize='bilinear' is unknown: choose one of nearest"):
        grad_cam(pixelwise, "layer", resize="bilinear")
    with pytest.raises(ValueError, match="No value is named 'lair'.*'layer'"):
        jax.jit(grad_cam(pixelwise, "lair"))(x)
    with pytest.raises(TypeError, match="must return one real number"):
        jax.jit(grad_cam(lambda x: x, "layer"))(x)
    with pytest.raises(TypeError, match="baseline= was given"):
        jax.jit(grad_cam(pixelwise, "layer"))(x, baseline=x)

    def pooled(x: Any) -> jax.Array:
        with jax.named_scope("features"):
            h = jnp.mean(x, axis=(0, 1))[None]
        return jnp.sum(h**2)

    with pytest.raises(ValueError, match=r"'features' is .*\[1,3\]: one vector, with no positions"):
        jax.jit(grad_cam(pooled, "features"))(x)

    def volume(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = x.reshape(2, 2, 3, 2, 3)
        return jnp.sum(h**2)

    with pytest.raises(TypeError, match="one array with 4 spatial axes"):
        jax.jit(grad_cam(volume, "layer"))(x)
