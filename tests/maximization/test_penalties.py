"""Penalties against their formulas, in NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import penalties

rng = np.random.default_rng(2)
X = rng.normal(size=(5, 6, 3))
TOWARDS = rng.normal(size=X.shape)


def blurred(x: np.ndarray, sigma: float) -> np.ndarray:
    for axis in (0, 1):
        place = np.arange(x.shape[axis])
        weights = np.exp(-((place[:, None] - place) ** 2) / (2 * sigma**2))
        weights /= weights.sum(axis=1, keepdims=True)
        x = np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def variation(x: np.ndarray) -> float:
    return float(np.abs(x[1:] - x[:-1]).sum() + np.abs(x[:, 1:] - x[:, :-1]).sum())


PENALTIES: dict[str, tuple[Any, float]] = {
    "l2": (penalties.l2(0.3), 0.3 * np.sum(X**2)),
    "l2 towards a number": (penalties.l2(0.3, 2), 0.3 * np.sum((X - 2) ** 2)),
    "l2 towards a point": (penalties.l2(0.3, TOWARDS), 0.3 * np.sum((X - TOWARDS) ** 2)),
    "total variation": (penalties.total_variation(0.7), 0.7 * variation(X)),
    "of other axes": (
        penalties.total_variation(0.7, axes=(-1,)),
        0.7 * np.abs(np.diff(X, axis=2)).sum(),
    ),
    "blur": (penalties.blur(2.0, 1.3), 2 * np.sum((X - blurred(X, 1.3)) ** 2)),
    "expert": (penalties.expert(lambda x: jnp.sum(jnp.sin(x)), 0.5), -0.5 * np.sin(X).sum()),
    "on code": (penalties.on_code(penalties.l2(1.0)), np.sum(X**2)),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_formula(name: str) -> None:
    penalty, expected = PENALTIES[name]
    np.testing.assert_allclose(jax.jit(penalty)(X), expected, rtol=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_derivative(name: str) -> None:
    penalty, _ = PENALTIES[name]
    direction = rng.normal(size=X.shape)
    value = jax.jit(penalty)
    slope = jax.jit(lambda x: jax.jvp(penalty, (x,), (jnp.asarray(direction),))[1])(X)
    near = (value(X + 1e-6 * direction) - value(X - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(slope, near, rtol=1e-6)


@pytest.mark.parametrize("name", ["l2", "total variation", "blur"])
def test_constant_picture_has_no_slope(name: str) -> None:
    penalty, _ = PENALTIES[name]
    slope = jax.jit(jax.grad(penalty))(jnp.zeros((4, 5, 3)))
    np.testing.assert_array_equal(slope, 0)
    if name == "total variation":
        np.testing.assert_array_equal(jax.jit(jax.grad(penalty))(jnp.full((4, 5), 0.3)), 0)


@pytest.mark.parametrize("name", ["l2", "total variation", "blur"])
def test_pytrees_are_summed(name: str) -> None:
    penalty, expected = PENALTIES[name]
    tree = {"a": X, "b": [2 * X]}
    double = jax.jit(penalty)(2 * X)
    np.testing.assert_allclose(jax.jit(penalty)(tree), expected + double, rtol=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_bfloat16_is_summed_in_float32(name: str) -> None:
    penalty, _ = PENALTIES[name]
    if name == "expert":
        penalty = penalties.expert(lambda x: jnp.sum(x, dtype=jnp.float32))
    found = jax.jit(penalty)(jnp.asarray(X, jnp.bfloat16))
    assert found.dtype == jnp.float32
    rounded = jnp.asarray(X, jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_allclose(found, jax.jit(penalty)(rounded), rtol=1e-5)


def test_weights_and_widths_may_be_traced() -> None:
    def all_of(weight: Any) -> Any:
        parts = (
            penalties.l2(weight),
            penalties.total_variation(weight),
            penalties.blur(weight, weight),
        )
        return sum(part(jnp.asarray(X, jnp.float32)) for part in parts)

    found = jax.jit(jax.vmap(all_of))(np.array([0.5, 1.0]))
    assert found.dtype == jnp.float32
    for weight, value in zip((0.5, 1.0), found, strict=True):
        squares = np.sum(X**2) + np.sum((X - blurred(X, weight)) ** 2)
        np.testing.assert_allclose(value, weight * (squares + variation(X)), rtol=1e-5)


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "weight": (lambda: penalties.l2(-1), ValueError, "weight=-1 must be a number at least 0"),
    "sigma": (lambda: penalties.blur(1, -1), ValueError, "sigma=-1 must be"),
    "other shape": (lambda: penalties.l2(1, TOWARDS[0])(X), ValueError, "give one number, or an"),
    "other tree": (lambda: penalties.l2(1, {"a": X})(X), ValueError, "give one number, or an"),
    "axes": (lambda: penalties.total_variation(1)(X[0, 0]), ValueError, "must name different axes"),
    "density": (lambda: penalties.expert(3.0), TypeError, "takes a function x -> log p"),
    "integer": (lambda: penalties.expert(lambda x: 1)(X), TypeError, "must return one real number"),
    "code": (lambda: penalties.on_code(3.0), TypeError, "takes a penalty, a function of the code"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_of_penalties(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
