"""Weights as pictures, and the linear part of networks, against loops in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.model._weight_grid import weight_grid
from jaxplain.model._weights import effective_weights

draw = np.random.default_rng(11).normal

# ----------------------------------------------------------------------------------- weight_grid


def grid_reference(maps: np.ndarray, columns: int, gap: int, scale: str) -> np.ndarray:
    """Maps (N, H, W, C) drawn one by one, each at its place."""
    count, height, width, channels = maps.shape
    rows = math.ceil(count / columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    picture = np.full(size, 0.5 if channels == 1 else 1.0)
    for n in range(count):
        largest = np.abs(maps if scale == "all" else maps[n]).max()
        i, j = (n // columns) * (height + gap), (n % columns) * (width + gap)
        picture[i : i + height, j : j + width] = 0.5 + maps[n] / (2 * largest)
    return picture[..., 0] if channels == 1 else picture


@pytest.mark.parametrize("scale", ["each", "all"])
@pytest.mark.parametrize(("channels", "columns", "gap"), [(3, None, 1), (1, 4, 2), (3, 5, 0)])
def test_kernels(channels: int, columns: int | None, gap: int, scale: str) -> None:
    kernels = draw(size=(2, 3, channels, 5))
    picture = weight_grid(kernels, columns=columns, gap=gap, scale=scale)
    expected = grid_reference(np.moveaxis(kernels, -1, 0), columns or 3, gap, scale)
    np.testing.assert_allclose(picture, expected, rtol=1e-12, atol=1e-15)
    assert picture.min() == 0 or picture.max() == 1


def test_the_same_units_in_other_arrangements() -> None:
    maps = draw(size=(4, 3, 2))
    expected = grid_reference(maps[..., None], 2, 1, "each")
    np.testing.assert_allclose(weight_grid(maps, axis=0), expected, atol=1e-15)
    np.testing.assert_allclose(
        weight_grid(maps.reshape(4, 6).T, shape=(3, 2)), expected, atol=1e-15
    )
    np.testing.assert_allclose(weight_grid(np.moveaxis(maps, 0, 1), axis=1), expected, atol=1e-15)
    colors = draw(size=(12, 2))
    stacked = np.moveaxis(colors.reshape(2, 2, 3, 2), -1, 0)
    expected = grid_reference(stacked, 2, 1, "each")
    np.testing.assert_allclose(weight_grid(colors, shape=(2, 2, 3)), expected, atol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_zeros_and_large_and_small_numbers(dtype: Any) -> None:
    """A unit without weights is gray, whatever the size of others."""
    weights = jnp.asarray([[0, 1, 1e37, -1e-35], [0, -1, -1e37, 0]], dtype)
    picture = jax.jit(lambda w: weight_grid(w, shape=(1, 2), columns=1, gap=0))(weights)
    assert picture.dtype == dtype
    assert picture.min() >= 0 and picture.max() <= 1
    expected = [[0.5, 0.5], [1, 0], [1, 0], [0, 0.5]]
    np.testing.assert_allclose(np.asarray(picture, np.float64), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("weights", "options", "error", "match"),
    [
        (np.ones((3, 3, 16, 4)), {}, ValueError, "16 channels.*effective_weights"),
        (np.ones((6, 2)), {}, ValueError, r"vectors of 6 for 2 units.*shape=\(28, 28\)"),
        (np.ones((6, 2)), {"shape": (2, 2)}, ValueError, "as many entries as a unit.*6"),
        (np.ones((6, 2)), {"shape": (6,)}, ValueError, r"shape=\(6,\)"),
        (np.ones((3, 3, 3, 4)), {"axis": 4}, ValueError, "axis=4"),
        (np.ones((2, 3, 3, 3, 4)), {}, ValueError, "no pictures"),
        (np.ones((3, 3, 0)), {}, ValueError, "nothing to draw"),
        (np.full((2, 2, 1), np.nan), {}, ValueError, r"weights\[0, 0, 0\] is nan"),
        (np.ones((2, 2, 1), int), {}, TypeError, "floating-point weights"),
        ([1.0], {}, TypeError, "floating-point weights"),
        (np.ones((2, 2, 1)), {"scale": "none"}, ValueError, "scale='none'"),
        (np.ones((2, 2, 1)), {"gap": -1}, ValueError, "gap=-1"),
        (np.ones((2, 2, 1)), {"columns": 0}, ValueError, "columns=0"),
    ],
)
def test_grid_errors(
    weights: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        weight_grid(weights, **options)


# ----------------------------------------------------------------------------- effective_weights

W = [draw(size=shape) for shape in [(4, 5), (5, 3), (3, 6)]]
PRODUCT = (W[0] @ W[1] @ W[2]).T
X = draw(size=4)


def prelu(z: Any) -> Any:
    return jnp.where(z > 0, z, 0.2 * z)


def perceptron(x: Any, activation: Callable[[Any], Any] = jax.nn.relu) -> Any:
    for i, w in enumerate(W):
        with jax.named_scope(f"layer{i}"):
            x = activation(x @ jnp.asarray(w, x.dtype) + jnp.asarray(0.3 * i, x.dtype))
    return x.sum()


@pytest.mark.parametrize(
    "activation",
    [jax.nn.relu, jnp.tanh, jax.nn.gelu, jax.nn.silu, prelu, jax.nn.hard_swish, jax.nn.softplus],
)
def test_activations_pass(activation: Callable[[Any], Any]) -> None:
    def f(x: Any) -> Any:
        return perceptron(x, activation)

    weights = jax.jit(effective_weights(f, at="layer2"))
    np.testing.assert_allclose(weights(X), PRODUCT, rtol=1e-12)


@pytest.fixture(scope="module")
def of_perceptron() -> Callable[..., Any]:
    return jax.jit(jax.vmap(effective_weights(perceptron, at="layer2", chunk=4)))


def test_the_input_does_not_matter(of_perceptron: Callable[..., Any]) -> None:
    """Also where all units are off, in examples of a batch, and in chunks of units."""
    found = of_perceptron(np.stack([X, -X, 0 * X, 1e6 * X]))
    np.testing.assert_allclose(found, np.stack([PRODUCT] * 4), rtol=1e-12)


@pytest.mark.parametrize("units", [1, [4, -6], np.array([2])])
def test_some_units(units: Any) -> None:
    found = jax.jit(effective_weights(perceptron, at="layer2", units=units))(X)
    np.testing.assert_allclose(found, PRODUCT[np.atleast_1d(units)], rtol=1e-12)


@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.05)])
def test_dtypes(dtype: Any, rtol: float) -> None:
    found = jax.jit(effective_weights(perceptron, at="layer1"))(jnp.asarray(X, dtype))
    assert found.dtype == dtype
    expected = (W[0] @ W[1]).T
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.float64(found), expected, rtol=rtol, atol=rtol * scale)


def test_the_derivative_by_the_weights() -> None:
    def size(weights: list[Any]) -> Any:
        def f(x: Any) -> Any:
            with jax.named_scope("second"):
                h = jax.nn.relu(jax.nn.relu(x @ weights[0]) @ weights[1])
            return h

        return jnp.sum(effective_weights(f, at="second", chunk=2)(jnp.asarray(X)) ** 2)

    found = jax.jit(jax.grad(size))(W[:2])
    product = W[0] @ W[1]
    np.testing.assert_allclose(found[0], 2 * product @ W[1].T, rtol=1e-10)
    np.testing.assert_allclose(found[1], 2 * W[0].T @ product, rtol=1e-10)


KERNELS = [draw(size=(3, 3, 2, 3)), draw(size=(2, 2, 3, 4))]
IMAGE = draw(size=(7, 8, 2))


def convolved(x: Any, kernel: Any) -> Any:
    out = jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out[0]


def network(x: Any) -> Any:
    """A convolution, maxima of windows that overlap and reach over the edge, a convolution."""
    h = jax.nn.relu(convolved(x, KERNELS[0]) + 0.1)
    h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (3, 2, 1), (2, 2, 1), "SAME")
    with jax.named_scope("second"):
        h = jax.nn.relu(convolved(h, KERNELS[1]))
    with jax.named_scope("pooled"):
        h = jnp.max(h, axis=(0, 1))
    return h.sum()


def convolved_reference(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    height, width = kernel.shape[:2]
    out = np.zeros((x.shape[0] - height + 1, x.shape[1] - width + 1, kernel.shape[-1]))
    for i, j in np.ndindex(out.shape[:2]):
        out[i, j] = np.tensordot(x[i : i + height, j : j + width], kernel, 3)
    return out


def linear_network(x: np.ndarray) -> np.ndarray:
    """The same without activations, and with means of what each window holds."""
    h = convolved_reference(x, KERNELS[0])  # (5, 6, 3): SAME pads one row on either side
    means = np.zeros((3, 3, 3))
    for i, j in np.ndindex(3, 3):
        means[i, j] = h[max(2 * i - 1, 0) : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(0, 1))
    return convolved_reference(means, KERNELS[1])


# The derivative of what is linear: its value at each picture of one pixel.
JACOBIAN = np.stack(
    [linear_network(one.reshape(IMAGE.shape)) for one in np.eye(IMAGE.size)], axis=-1
).reshape(2, 2, 4, *IMAGE.shape)


@pytest.mark.parametrize("position", [None, (0, 1), (-1, 0)])
def test_convolutions_and_pooling(position: Any) -> None:
    found = jax.jit(effective_weights(network, at="second", position=position))(IMAGE)
    np.testing.assert_allclose(found, JACOBIAN[position or (1, 1)], rtol=1e-10, atol=1e-13)


def test_a_maximum_over_all_positions_and_axes_of_size_one() -> None:
    found = jax.jit(effective_weights(network, at="pooled"))(IMAGE)
    np.testing.assert_allclose(found, JACOBIAN.mean(axis=(0, 1)), rtol=1e-10, atol=1e-13)

    def batched(x: Any) -> Any:
        with jax.named_scope("hidden"):
            h = convolved(x, KERNELS[0])[None]
        return h.sum()

    at = effective_weights(batched, at="hidden", position=(1, 2), units=1)
    found = jax.jit(at)(IMAGE)[0]
    expected = np.zeros(IMAGE.shape)
    expected[1:4, 2:5] = KERNELS[0][..., 1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_two_convolutions_are_the_convolution_of_their_kernels() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("second"):
            h = convolved(jax.nn.relu(convolved(x, KERNELS[0])), KERNELS[1])
        return h

    kernel = np.zeros((4, 4, 2, 4))
    for i, j in np.ndindex(2, 2):
        kernel[i : i + 3, j : j + 3] += KERNELS[0] @ KERNELS[1][i, j]
    expected = np.zeros((4, *IMAGE.shape))
    expected[:, 2:6, 2:6] = np.moveaxis(kernel, -1, 0)  # (4, 5) positions, the middle one (2, 2)
    np.testing.assert_allclose(
        jax.jit(effective_weights(f, at="second"))(IMAGE), expected, rtol=1e-10, atol=1e-13
    )


def test_normalization_keeps_its_scale() -> None:
    def f(x: Any) -> Any:
        h = x @ W[0]
        h = (h - h.mean()) / jnp.sqrt(h.var() + 1e-5) * 3.0 + 1.0
        with jax.named_scope("second"):
            h = jax.nn.relu(h) @ W[1]
        return h

    h = X @ W[0]
    centred = W[0] - W[0].mean(axis=1, keepdims=True)
    expected = (centred * (3 / np.sqrt(h.var() + 1e-5)) @ W[1]).T
    found = jax.jit(effective_weights(f, at="second"))(X)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_loops_residuals_and_closed_functions() -> None:
    """Steps of a loop, with a way around each, and a function whose derivative is its own."""
    steps = draw(size=(3, 4, 4))

    @jax.custom_jvp
    def tripled(x: Any) -> Any:
        return 3.0 * x

    tripled.defjvp(lambda primals, tangents: (tripled(*primals), 3.0 * tangents[0]))

    def f(x: Any) -> Any:
        h, _ = jax.lax.scan(lambda h, w: (h + jnp.tanh(h @ w), None), tripled(x), steps)
        with jax.named_scope("last"):
            h = -h
        return h

    eye = np.eye(4)
    expected = -3 * (eye + steps[0]) @ (eye + steps[1]) @ (eye + steps[2])
    found = jax.jit(effective_weights(f, at="last"))(X)
    np.testing.assert_allclose(found, expected.T, rtol=1e-10)


def test_several_inputs_and_arguments() -> None:
    def f(scale: Any, x: dict[str, Any], y: Any) -> Any:
        with jax.named_scope("sum"):
            h = jax.nn.relu(scale * (x["a"] @ W[0]) + 2.0 * (x["b"] + y))
        return h

    x = {"a": X, "b": draw(size=5)}
    y = draw(size=5)
    found = jax.jit(effective_weights(f, at="sum", argnums=1))(3.0, x, y)
    np.testing.assert_allclose(found["a"], 3 * W[0].T, rtol=1e-12)
    np.testing.assert_allclose(found["b"], 2 * np.eye(5), rtol=1e-12)
    pair = jax.jit(effective_weights(f, at="sum", argnums=(2, 1)))(3.0, x, y)
    np.testing.assert_allclose(pair[0], 2 * np.eye(5), rtol=1e-12)
    np.testing.assert_allclose(pair[1]["a"], 3 * W[0].T, rtol=1e-12)


def gated(x: Any) -> Any:
    with jax.named_scope("gate"):
        h = (x @ W[0]) * (x @ W[0][::-1])
    return h


def test_what_has_no_linear_part() -> None:
    with pytest.raises(NotImplementedError, match=r"(?s)1 step.*mul in 'gate'.*missing="):
        effective_weights(gated, at="gate")(X)
    found = jax.jit(effective_weights(gated, at="gate", missing="gradient"))(X)
    np.testing.assert_allclose(found, jax.jit(jax.jacobian(gated))(X), rtol=1e-12)


def test_maxima_whose_candidates_are_not_known() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("segments"):
            h = jax.ops.segment_max(x, np.array([0, 0, 1, 1]), 2)
        return h

    with pytest.raises(NotImplementedError, match="scatter-max in 'segments"):
        effective_weights(f, at="segments")(X)
    found = jax.jit(effective_weights(f, at="segments", missing="gradient"))(X)
    np.testing.assert_array_equal(found, jax.jit(jax.jacobian(f))(X))


@pytest.mark.parametrize(
    ("options", "x", "error", "match"),
    [
        ({"at": "layer9"}, X, ValueError, "Nearest names: 'layer"),
        ({"at": ["layer1"]}, X, TypeError, "must be the path of one layer"),
        ({"units": 6}, X, IndexError, r"units=\[6\] for 'layer2', which has 6 units"),
        ({"units": 1.0}, X, TypeError, "units=1.0 must be an integer"),
        ({"units": []}, X, TypeError, r"units=\[\]"),
        ({"position": 0}, X, ValueError, r"position=\(0,\) for 'layer2', whose positions are \(\)"),
        ({"position": (0, 0.5)}, X, TypeError, r"position=\(0, 0.5\) must be an integer"),
        ({"missing": "zero"}, X, ValueError, "missing='zero'"),
        ({"chunk": 0}, X, ValueError, "chunk=0"),
        ({}, np.arange(4), TypeError, "only floating-point inputs"),
        ({}, X * np.nan, ValueError, "not finite"),
    ],
)
def test_errors(options: dict[str, Any], x: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        effective_weights(perceptron, **({"at": "layer2"} | options))(x)


def test_positions_that_are_not_there() -> None:
    with pytest.raises(IndexError, match=r"position=\(0, 2\) .* are \(2, 2\)"):
        effective_weights(network, at="second", position=(0, 2))(IMAGE)
    with pytest.raises(ValueError, match="an integer for each axis"):
        effective_weights(network, at="second", position=1)(IMAGE)


def test_units_are_static() -> None:
    with pytest.raises(TypeError, match="may not be traced"):
        jax.jit(lambda u: effective_weights(perceptron, at="layer2", units=u)(X))(1)
