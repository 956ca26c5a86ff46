"""Controls: attributions that know nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.evaluate._controls import edges, random, uniform
from jaxplain.evaluate._flipping import abpc

KEY = jax.random.key(0)


def f(tree: dict[str, jax.Array]) -> jax.Array:
    return jnp.sum(tree["a"]) + jnp.sum(tree["b"]).astype(tree["a"].dtype)


TREE = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2), jnp.float32)}


def test_uniform_and_random_are_like_the_input() -> None:
    ones, noise = uniform(f)(TREE), random(f)(TREE, key=KEY)
    for found in (ones, noise):
        assert jax.tree.map(lambda v: (v.shape, v.dtype), found) == jax.tree.map(
            lambda v: (v.shape, v.dtype), TREE
        )
    np.testing.assert_allclose(ones["a"], 1)  # a score of 7 for 7 elements
    assert len(np.unique(np.concatenate([noise["a"], noise["b"].ravel()]))) == 7
    other = random(f)(TREE, key=jax.random.key(1))
    assert not np.allclose(noise["a"], other["a"])
    with pytest.raises(TypeError, match="needs a key"):
        random(f)(TREE)


def test_random_is_standard_normal() -> None:
    noise = random(lambda x: jnp.sum(x))(jnp.zeros(4000), key=KEY)
    assert abs(np.mean(noise)) < 0.05
    assert abs(np.std(noise) - 1) < 0.05


def test_metrics_take_controls() -> None:
    def score(x: jax.Array) -> jax.Array:
        return x @ jnp.arange(6.0)

    methods = {"gradient": jax.grad(score), "uniform": uniform(score), "random": random(score)}
    measure = jax.vmap(abpc(score, methods), in_axes=(None,))
    values = jax.jit(measure)(jnp.ones(6), key=jax.random.split(KEY, 200))
    assert values["uniform"][0] == 0
    assert abs(np.mean(values["random"])) < 0.1 * values["gradient"][0]


def edges_numpy(picture: np.ndarray) -> np.ndarray:
    """Sobel's two filters of nine numbers, the border continued."""
    rows = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    found = np.zeros_like(picture)
    for i in range(picture.shape[0]):
        for j in range(picture.shape[1]):
            window = padded[i : i + 3, j : j + 3]
            slopes = [np.einsum("ij,ijc->c", k, window) for k in (rows, rows.T)]
            found[i, j] = np.hypot(*slopes)
    return found


def test_edges_are_those_of_sobel() -> None:
    picture = np.random.default_rng(0).normal(size=(6, 5, 3))
    explain = edges(lambda x: jnp.sum(x))
    found = jax.jit(explain)(jnp.asarray(picture))
    np.testing.assert_allclose(found, edges_numpy(picture), rtol=1e-10)
    channels_first = edges(lambda x: jnp.sum(x), axes=(1, 2))
    turned = jax.jit(channels_first)(jnp.asarray(picture.transpose(2, 0, 1)))
    np.testing.assert_allclose(turned.transpose(1, 2, 0), found, rtol=1e-10)
    assert jax.jit(explain)(jnp.ones((4, 4), jnp.bfloat16)).dtype == jnp.bfloat16
    slope = jax.jit(jax.grad(lambda x: jnp.sum(explain(x))))(jnp.ones((4, 4)))
    np.testing.assert_array_equal(slope, 0)
    with pytest.raises(ValueError, match="axes"):
        explain(jnp.ones(4))
