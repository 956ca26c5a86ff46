"""The objective inside a network: channels and directions of a named value."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxplain.maximization._maximize import maximize_activation
from jaxplain.maximization._objectives import activation
from jaxplain.penalties import l2

rng = np.random.default_rng(4)
X = rng.normal(size=(4, 5, 2))
WEIGHTS = rng.normal(size=(2, 3))
H = np.tanh(X @ WEIGHTS)
DIRECTION = rng.normal(size=3)


def f(x: Any, scale: Any = 1.0) -> Any:
    with jax.named_scope("hidden"):
        h = jnp.tanh(jnp.tensordot(x, jnp.asarray(WEIGHTS, x.dtype), 1))
    with jax.named_scope("pooled"):
        pooled = scale * h.mean(axis=(0, 1))
    return jnp.sum(pooled**2)


REDUCE: dict[str, Any] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "center": lambda positions: positions[2, 2],
}


@pytest.mark.parametrize("over", REDUCE)
def test_channels_and_directions(over: str) -> None:
    channel = activation(f, at="hidden", channel=1, over=over)
    np.testing.assert_allclose(jax.jit(channel)(X), REDUCE[over](H[..., 1]), rtol=1e-12)
    along = activation(f, at="hidden", direction=DIRECTION, over=over)
    np.testing.assert_allclose(jax.jit(along)(X), REDUCE[over](H @ DIRECTION), rtol=1e-12)


def test_arguments_axes_and_vectors() -> None:
    pooled = activation(f, at="pooled", channel=-1)
    np.testing.assert_allclose(jax.jit(pooled)(X, 3.0), 3 * H[..., 2].mean(), rtol=1e-12)
    rows = activation(f, at="hidden", channel=3, axis=0, over="center")
    np.testing.assert_allclose(jax.jit(rows)(X), H[3, 2, 1], rtol=1e-12)


def test_channel_may_be_traced() -> None:
    def of_channel(c: Any) -> Any:
        return activation(f, at="hidden", channel=c)(X)

    found = jax.jit(jax.vmap(of_channel))(np.arange(3))
    np.testing.assert_allclose(found, H.mean(axis=(0, 1)), rtol=1e-12)


def test_bfloat16_activation_is_averaged_in_float32() -> None:
    score = activation(f, at="hidden", channel=0)
    found = jax.jit(score)(jnp.asarray(X, jnp.bfloat16))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, H[..., 0].mean(), atol=0.02)


def test_differences_are_maximised() -> None:
    """Of a linear value, less a norm: the optimum is the difference of the weights."""

    def linear(x: Any) -> Any:
        with jax.named_scope("units"):
            h = x @ jnp.asarray(WEIGHTS)
        return h.sum()

    first, second = (activation(linear, at="units", channel=c) for c in (0, 1))
    maximize = maximize_activation(
        lambda x: first(x) - second(x), optimizer=optax.sgd(0.5), steps=50, penalties=l2(0.5)
    )
    np.testing.assert_allclose(
        jax.jit(maximize)(np.zeros(2)), WEIGHTS[:, 0] - WEIGHTS[:, 1], rtol=1e-10
    )


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "neither": ({}, ValueError, "needs either channel="),
    "both": ({"channel": 0, "direction": DIRECTION}, ValueError, "needs either channel="),
    "over": ({"channel": 0, "over": "min"}, ValueError, "over='min' is unknown"),
    "channel": ({"channel": 3}, IndexError, "has 3 channels, and no channel 3"),
    "vector": ({"channel": DIRECTION}, IndexError, "a vector goes to direction="),
    "direction": ({"direction": np.ones(2)}, ValueError, r"direction has shape \(2,\)"),
    "axis": ({"channel": 0, "axis": 3}, IndexError, "and no axis 3"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_of_activation(name: str) -> None:
    options, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        activation(f, at="hidden", **options)(jnp.asarray(X))


def test_paths_are_checked() -> None:
    with pytest.raises(TypeError, match="at="):
        activation(f, at=["hidden"], channel=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Nearest names: 'hidden'"):
        activation(f, at="hiden", channel=0)(jnp.asarray(X))
