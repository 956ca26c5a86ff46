"""Explanations of different classes, against loops over classes."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain.evaluate._classes import class_sensitivity, random_logit
from jaxplain.evaluate._controls import random as random_control

WEIGHTS = np.random.default_rng(1).normal(size=(5, 4))
KEY = jax.random.key(0)
X = jnp.array([1.0, -2.0, 0.5, 3.0])


def logits(x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ jnp.asarray(WEIGHTS.T, x.dtype))


f = jaxplain.select(logits)


def gradient_numpy(k: int) -> np.ndarray:
    return WEIGHTS[k] * (1 - np.tanh(WEIGHTS[k] @ np.asarray(X)) ** 2)


def pearson_numpy(k: int, other: int) -> float:
    return float(np.corrcoef(gradient_numpy(k), gradient_numpy(other))[0, 1])


@functools.cache
def compiled() -> Any:
    return jax.jit(random_logit(f, jax.grad(f), classes=5, similarity="pearson"))


@pytest.mark.parametrize("k", [0, 2, 4])
def test_random_logit_compares_with_another_class(k: int) -> None:
    others = {pearson_numpy(k, other): other for other in range(5) if other != k}
    drawn = set()
    for seed in range(40):
        value = float(compiled()(X, k, key=jax.random.key(seed)))
        nearest = min(others, key=lambda expected: abs(expected - value))
        np.testing.assert_allclose(value, nearest, rtol=1e-9)
        drawn.add(others[nearest])
    assert drawn == set(range(5)) - {k}


def test_random_logit_batches_and_shares_the_class_between_methods() -> None:
    methods = {"gradient": jax.grad(f), "twice": lambda x, k: 2 * jax.grad(f)(x, k)}
    test = random_logit(f, methods, classes=5, similarity="pearson")
    xs, ks, keys = jnp.stack([X, X]), jnp.array([1, 3]), jax.random.split(KEY)
    whole = jax.jit(jax.vmap(test))(xs, ks, key=keys)
    np.testing.assert_allclose(whole["gradient"], whole["twice"], rtol=1e-12)
    loop = [compiled()(x, k, key=key) for x, k, key in zip(xs, ks, keys, strict=True)]
    np.testing.assert_allclose(whole["gradient"], loop, rtol=1e-12)


def test_controls_do_not_see_the_class() -> None:
    controls = {"random": random_control(f), "constant": lambda x, k: jnp.ones_like(x)}
    found = jax.jit(random_logit(f, controls, classes=5))(X, 1, key=KEY)
    pairs = jax.jit(class_sensitivity(f, controls, classes=5))(X, 1, key=KEY)
    for each in (found, pairs):
        np.testing.assert_allclose(each["random"], 1)  # the same key for every class
        assert each["constant"] == 0


@pytest.mark.parametrize(("classes", "chunk"), [(5, None), (5, 2), ([0, 3, 4], None)])
def test_class_sensitivity_is_the_mean_over_pairs(classes: Any, chunk: int | None) -> None:
    numbers = range(classes) if isinstance(classes, int) else classes
    expected = np.mean([pearson_numpy(k, other) for k in numbers for other in numbers if k < other])
    options: dict[str, Any] = {"classes": classes, "chunk": chunk, "similarity": "pearson"}
    found = jax.jit(class_sensitivity(f, jax.grad(f), **options))(X, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_float32_stays_float32() -> None:
    found = jax.jit(class_sensitivity(f, jax.grad(f), classes=3))(X.astype("float32"), 0)
    assert found.dtype == jnp.float32


def test_what_is_wrong_with_the_class_is_said() -> None:
    test = random_logit(f, jax.grad(f), classes=5)
    with pytest.raises(ValueError, match="The class 5 is not one of classes=5"):
        test(X, 5, key=KEY)
    with pytest.raises(TypeError, match=r"jaxplain\.select"):
        test(X, key=KEY)
    with pytest.raises(TypeError, match="whole number"):
        test(X, 1.0, key=KEY)
    with pytest.raises(ValueError, match="classes=1"):
        random_logit(f, jax.grad(f), classes=1)
    with pytest.raises(ValueError, match="two different numbers"):
        class_sensitivity(f, jax.grad(f), classes=[1, 1])
