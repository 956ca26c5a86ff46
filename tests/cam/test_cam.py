"""Each formula against NumPy; then what all class activation maps share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cam_references as references
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import (
    ablation_cam,
    eigen_cam,
    eigen_grad_cam,
    grad_cam,
    grad_cam_plus_plus,
    guided_grad_cam,
    hires_cam,
    layer_cam,
    score_cam,
    xgrad_cam,
)

METHODS: dict[str, Callable[..., Any]] = {
    "grad_cam": grad_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "hires_cam": hires_cam,
    "layer_cam": layer_cam,
    "xgrad_cam": xgrad_cam,
    "eigen_cam": eigen_cam,
    "eigen_grad_cam": eigen_grad_cam,
}
ALL = METHODS | {"score_cam": score_cam, "ablation_cam": ablation_cam}
each_method = pytest.mark.parametrize("name", METHODS)
every_method = pytest.mark.parametrize("name", ALL)

draw = np.random.default_rng(3).normal
IMAGE = draw(size=(9, 12, 2))
KERNEL, MIX, HEAD = draw(size=(3, 3, 2, 5)), draw(size=(5, 6)), draw(size=(12, 6, 2))


def network(x: Any, k: Any, *, batched: bool = True) -> jax.Array:
    """A convolution with stride 3, ReLU, a second layer, and a head that knows positions."""
    layout = ("NHWC", "HWIO", "NHWC")
    kernel = jnp.asarray(KERNEL, x.dtype)
    convolved = jax.lax.conv_general_dilated(
        x[None], kernel, (3, 3), "SAME", dimension_numbers=layout
    )
    with jax.named_scope("layer"):
        h = jax.nn.relu(convolved if batched else convolved[0])
    h = jnp.tanh(h @ jnp.asarray(MIX, x.dtype)).reshape(12, 6)
    return jnp.einsum("nc,nck->k", h, jnp.asarray(HEAD, x.dtype))[k]


BOTTOM, TOP = jaxplain.cut(network, at="layer")


@functools.cache
def layer_of_image() -> tuple[np.ndarray, np.ndarray]:
    """Activations and gradients (3, 4, 5) of the layer, for the first class."""
    values = jax.jit(BOTTOM)(IMAGE, 0)
    gradients = jax.jit(jax.grad(TOP))(values, IMAGE, 0)
    return np.asarray(values)[0], np.asarray(gradients)[0]


# -------------------------------------------------------------------------------- the formulas


@each_method
def test_map_is_that_of_the_formula(name: str) -> None:
    A, G = layer_of_image()
    assert (A == 0).any() and (G < 0).any()  # where the formulas differ
    expected = getattr(references, name)(A, G)
    here = jax.jit(METHODS[name](network, "layer", relu=False, resize=None))(IMAGE, 0)
    np.testing.assert_allclose(here, expected, rtol=1e-9, atol=1e-11)
    # Positive gradients times values of a ReLU have no negative part to drop.
    assert (expected < 0).any() != (name in ("grad_cam_plus_plus", "layer_cam"))
    enlarged = references.bilinear(np.maximum(expected, 0), (9, 12))
    here = jax.jit(METHODS[name](network, "layer"))(IMAGE, 0)
    np.testing.assert_allclose(here, enlarged, rtol=1e-9, atol=1e-11)


def test_methods_differ() -> None:
    A, G = layer_of_image()
    maps = [getattr(references, name)(A, G) for name in METHODS]
    for i, first in enumerate(maps):
        for second in maps[:i]:
            assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 1 - 1e-4


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("baseline", [None, 0.4])
def test_score_cam(chunk: int | None, baseline: float | None) -> None:
    A, _ = layer_of_image()
    start = np.full_like(IMAGE, baseline or 0.0)
    score = jax.jit(network)
    scores = []
    for k in range(A.shape[-1]):
        mask = references.bilinear(A[..., k], (9, 12))
        mask = ((mask - mask.min()) / (mask.max() - mask.min()))[:, :, None]
        scores.append(float(score(mask * IMAGE + (1 - mask) * start, 0)))
    weights = np.exp(scores) / np.sum(np.exp(scores))
    explain = jax.jit(score_cam(network, "layer", resize="linear", chunk=chunk))
    expected = references.bilinear(np.maximum(A @ weights, 0), (9, 12))
    np.testing.assert_allclose(explain(IMAGE, 0, baseline=baseline), expected, rtol=1e-9)


@pytest.mark.parametrize("chunk", [None, 2])
def test_ablation_cam(chunk: int | None) -> None:
    A, _ = layer_of_image()
    score, top = float(jax.jit(network)(IMAGE, 0)), jax.jit(TOP)
    expected = np.zeros(A.shape[:2])
    for k in range(A.shape[-1]):
        without = A.copy()
        without[..., k] = 0
        weight = (score - float(top(without[None], IMAGE, 0))) / score
        expected += weight * A[..., k]
    explain = ablation_cam(network, "layer", relu=False, resize=None, chunk=chunk)
    np.testing.assert_allclose(jax.jit(explain)(IMAGE, 0), expected, rtol=1e-9, atol=1e-12)


def test_guided_grad_cam() -> None:
    map = jax.jit(grad_cam(network, "layer"))(IMAGE, 0)
    guided = jax.jit(jaxplain.guided_backprop(network))(IMAGE, 0)
    here = jax.jit(guided_grad_cam(network, "layer"))(IMAGE, 0)
    np.testing.assert_allclose(here, guided * np.asarray(map)[:, :, None], rtol=1e-12)
    assert np.any(here != 0)


def test_hires_cam_sums_to_the_score_of_a_linear_top() -> None:
    def linear(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = jnp.tanh(x)
        return jnp.sum(h * IMAGE)

    explain = jax.jit(hires_cam(linear, "layer", relu=False, resize=None))
    np.testing.assert_allclose(np.sum(explain(0.3 * IMAGE)), jax.jit(linear)(0.3 * IMAGE))


# ------------------------------------------------------------------------------------ the laws


@every_method
def test_vmap_is_a_loop(name: str) -> None:
    images, classes = np.stack([IMAGE, 0.5 * IMAGE[::-1]]), np.array([0, 1])
    explain = ALL[name](network, "layer")
    mapped = jax.jit(jax.vmap(explain))(images, classes)
    one = jax.jit(explain)
    for x, k, map in zip(images, classes, mapped, strict=True):
        np.testing.assert_allclose(map, one(x, k), rtol=1e-9, atol=1e-12)


@every_method
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_of_the_input_is_kept(name: str, dtype: str) -> None:
    explain = jax.jit(ALL[name](network, "layer"))
    found, exact = explain(jnp.asarray(IMAGE, dtype), 0), explain(IMAGE, 0)
    assert found.dtype == dtype
    # bfloat16 has three digits, which the model loses, not the map.
    error = np.max(np.abs(np.asarray(found, float) - exact)) / np.max(np.abs(exact))
    assert error < (1e-4 if dtype == "float32" else 0.2)


@every_method
def test_derivative_of_the_map(name: str) -> None:
    weights, direction = draw(size=(9, 12)), draw(size=IMAGE.shape)
    explain = ALL[name](network, "layer", relu=False)
    loss = jax.jit(lambda x: jnp.sum(weights * explain(x, 0)))
    slope = np.sum(jax.jit(jax.grad(loss))(IMAGE) * direction)
    step = 1e-6
    ends = loss(IMAGE + step * direction), loss(IMAGE - step * direction)
    # The rounding of the losses over the step: 1e-14 / 1e-6.
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)
    assert abs(slope) > 1e-3


@pytest.mark.parametrize("name", ["grad_cam", "eigen_cam", "score_cam", "ablation_cam"])
def test_smooth_averages_maps(name: str) -> None:
    explain = ALL[name](network, "layer")
    noisy = jax.jit(jaxplain.smooth(explain, samples=3, sigma=0.1))(IMAGE, 0, key=jax.random.key(0))
    assert noisy.shape == (9, 12)
    none = jax.jit(jaxplain.smooth(explain, samples=2, sigma=0.0))(IMAGE, 0, key=jax.random.key(0))
    np.testing.assert_allclose(none, jax.jit(explain)(IMAGE, 0), rtol=1e-12, atol=1e-14)
    assert np.max(np.abs(noisy - none)) > 1e-4


@every_method
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_constant_inputs_give_numbers(name: str, constant: float) -> None:
    """Also in derivatives, where 0/0 and equal eigenvalues would give NaN."""

    def f(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = jax.nn.relu(jnp.concatenate([x, x, -x], axis=-1))
        return jnp.sum(h[..., 0] * h[..., 1])

    x = np.full((3, 4, 1), constant)
    explain = ALL[name](f, "layer", relu=False)
    map, pullback = jax.vjp(jax.jit(explain), x)
    assert np.all(np.isfinite(map))
    assert np.all(np.isfinite(pullback(np.ones((3, 4)))[0]))
    if constant == 0:
        np.testing.assert_array_equal(map, 0)


def test_eigen_cam_does_not_depend_on_the_class_and_points_upwards() -> None:
    explain = jax.jit(eigen_cam(network, "layer", relu=False, resize=None))
    np.testing.assert_array_equal(explain(IMAGE, 0), explain(IMAGE, 1))
    A, _ = layer_of_image()
    assert np.corrcoef(np.ravel(explain(IMAGE, 0)), A.sum(axis=-1).ravel())[0, 1] > 0.1


@pytest.mark.parametrize("shape", [(2, 3, 9), (5, 4, 3)])
def test_eigen_cam_of_either_gram_matrix(shape: tuple[int, ...]) -> None:
    """Fewer positions than channels, and more; equal columns make equal eigenvalues, all zero."""
    values = draw(size=shape)
    values[..., -1] = values[..., 0]

    def f(x: Any) -> jax.Array:
        with jax.named_scope("layer"):
            h = 1.0 * x
        return jnp.sum(h)

    explain = eigen_cam(f, "layer", relu=False)
    np.testing.assert_allclose(
        jax.jit(explain)(values), references.principal(values), rtol=1e-9, atol=1e-12
    )
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(explain(x) ** 2)))
    squares = np.linalg.svd(values.reshape(-1, shape[-1]) - values.mean((0, 1)))[1] ** 2
    # The sum of squares is the first eigenvalue, whose derivative is known: 2 u s v'.
    step = 1e-5 * draw(size=shape)
    matrix = (values + step).reshape(-1, shape[-1])
    moved = np.linalg.svd(matrix - matrix.mean(axis=0))[1] ** 2
    change = np.sum(gradient(values + step / 2) * step)
    np.testing.assert_allclose(change, moved[0] - squares[0], rtol=1e-6)
