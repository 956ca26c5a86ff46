"""`chunk`: the same numbers in bounded memory, whatever is asked for."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxplain
from jaxplain._batch import mean_and_variance, stack, weighted_sum
from jaxplain._chunks import chunk_size

NODES = jnp.asarray(np.random.default_rng(0).normal(size=23))
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=23))


def fn(node: Any) -> Any:
    return {"a": jnp.sin(node) * jnp.arange(3.0), "b": node**2}


@given(count=st.integers(1, 300), chunk=st.integers(1, 300))
def test_chunks_are_as_large_as_allowed_and_waste_little(count: int, chunk: int) -> None:
    size = chunk_size(count, chunk)
    blocks = -(-count // size)
    assert 1 <= size <= chunk or size == count <= chunk
    # No choice of at least half the size pads less.
    choices = range(max(1, chunk // 2 + 1), min(chunk, count) + 1)
    assert all(blocks * size <= -(-count // other) * other for other in choices)


@given(chunk=st.integers(1, 30))
@settings(max_examples=6, deadline=None)
@pytest.mark.parametrize("skip", [False, True])
def test_weighted_sum_equals_the_plain_sum(skip: bool, chunk: int) -> None:
    expected = {
        "a": np.sum(np.asarray(WEIGHTS * jnp.sin(NODES))) * np.arange(3.0),
        "b": np.sum(np.asarray(WEIGHTS * NODES**2)),
    }
    total = weighted_sum(fn, NODES, WEIGHTS, chunk=chunk, skip=skip)
    chex.assert_trees_all_close(total, expected, rtol=1e-12)


@pytest.mark.parametrize("chunk", [None, 1, 4, 23])
def test_stack_and_moments_equal_numpy(chunk: int | None) -> None:
    values = np.sin(np.asarray(NODES))[:, None] * np.arange(3.0)
    chex.assert_trees_all_close(stack(fn, NODES, chunk=chunk)["a"], values, rtol=1e-12)
    average, variance = mean_and_variance(fn, NODES, chunk=chunk)
    chex.assert_trees_all_close(average["a"], values.mean(0), rtol=1e-12)
    chex.assert_trees_all_close(variance["a"], values.var(0, ddof=1), rtol=1e-12)


def test_variance_keeps_its_digits_in_float32() -> None:
    """Squares of 1e4 in float32 leave nothing of a variance of 1; distances to a value do."""
    values = jnp.asarray(1e4 + np.asarray(NODES), jnp.float32)
    _, variance = mean_and_variance(lambda v: v, values, chunk=5)
    np.testing.assert_allclose(variance, np.asarray(values, np.float64).var(ddof=1), rtol=1e-5)


def test_skipped_chunks_are_not_evaluated_also_under_vmap() -> None:
    """A chunk is skipped only where no example of the batch needs it."""
    calls: list[float] = []

    def observed(node: Any) -> Any:
        jax.debug.callback(lambda n: calls.append(float(n)), node)
        return node

    weights = jnp.array([[1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    nodes = jnp.arange(6.0)
    total = jax.vmap(lambda w: weighted_sum(observed, nodes, w, chunk=2, skip=True))(weights)
    jax.effects_barrier()
    np.testing.assert_array_equal(total, [1.0, 3.0])
    assert set(calls) == {0.0, 1.0, 2.0, 3.0}


def test_skipping_is_differentiable_in_both_modes() -> None:
    def loss(scale: Any) -> Any:
        return weighted_sum(lambda n: jnp.sin(scale * n), NODES, WEIGHTS, chunk=4, skip=True)

    expected = float(jnp.sum(WEIGHTS * NODES * jnp.cos(0.7 * NODES)))
    np.testing.assert_allclose(jax.grad(loss)(0.7), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jvp(loss, (0.7,), (1.0,))[1], expected, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(jax.grad(loss))(0.7), loss_second(0.7), rtol=1e-11)


def loss_second(scale: float) -> float:
    return float(-jnp.sum(WEIGHTS * NODES**2 * jnp.sin(scale * NODES)))


def deep(x: Any, scale: Any = 1.0) -> Any:
    """A network whose activations dwarf its input."""
    hidden = jnp.outer(jnp.ones(64, x.dtype) * scale, x)
    for _ in range(3):
        hidden = jnp.tanh(hidden + jnp.roll(hidden, 1, axis=0))
    return jnp.sum(hidden)


METHODS = {
    "integrated_grad": lambda n: jaxplain.integrated_grad(deep, steps=n, chunk=8),
    "smooth": lambda n: jaxplain.smooth(jax.grad(deep), samples=n, sigma=0.1, chunk=8),
    "smooth variance": lambda n: jaxplain.smooth(
        jax.grad(deep), samples=n, sigma=0.1, chunk=8, statistic="variance"
    ),
    "expected_grad": lambda n: jaxplain.expected_grad(deep, samples=n, chunk=8),
    "adaptive": lambda n: jaxplain.integrated_grad(
        deep, steps=40, chunk=8, tolerance=1e-3, max_steps=n
    ),
}


def temporaries(name: str, count: int, *, gradient: bool) -> int:
    """Bytes of temporary memory of the compiled explanation, or of a gradient through it."""
    x = jnp.ones(500)
    extra: dict[str, Any] = {}
    if name != "integrated_grad" and name != "adaptive":
        extra["key"] = jax.random.key(0)
    if name == "expected_grad":
        extra["baseline"] = jnp.zeros((2, 500))
    explain = METHODS[name](count)

    def loss(scale: Any, x: Any) -> Any:
        return jnp.sum(explain(x, scale, **extra) ** 2)

    function = jax.grad(loss) if gradient else (lambda scale, x: explain(x, scale, **extra))
    compiled = jax.jit(function).lower(1.0, x).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "under jax.grad"])
@pytest.mark.parametrize("name", METHODS)
def test_memory_is_flat_in_the_number_of_evaluations(name: str, gradient: bool) -> None:
    few, many = (temporaries(name, count, gradient=gradient) for count in (200, 1000))
    # Numbers that choose a node may add up, arrays like x (500 numbers) may not.
    assert many - few < 800 * 4 * 8
    assert many > 8 * 64 * 500 * 8  # the analysis does see the activations of a chunk
