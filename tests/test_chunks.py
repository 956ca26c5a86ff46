"""`chunk="auto"`: as many evaluations at once as fit, found from the shapes of the program."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain._batch import stack
from jaxplain._chunks import CPU_BYTES
from jaxplain.program._memory import peak_bytes

WIDTH = 2**12
X = jnp.linspace(-1.0, 1.0, WIDTH)
SCALES = jnp.arange(1.0, 33.0)


def wide(x: Any) -> Any:
    """A score for which one gradient needs a megabyte or a few: what is sorted is not fused."""
    return jnp.sum(jnp.sort(jnp.outer(SCALES, x), axis=0)[::2] ** 2)


def memory(fn: Any, *args: Any) -> int:
    return int(jax.jit(fn).lower(*args).compile().memory_analysis().temp_size_in_bytes)


def test_peak_is_what_is_alive_at_once() -> None:
    def fn(x: Any) -> Any:
        y = jnp.sin(x)  # 800 bytes
        z = jnp.outer(y, y)  # 80 000 bytes, and y until here
        return jnp.sum(z)

    assert peak_bytes(jax.make_jaxpr(fn)(jnp.ones(100)).jaxpr) == pytest.approx(80_800, abs=1600)


def test_what_does_not_depend_on_the_arguments_costs_nothing() -> None:
    def fn(x: Any) -> Any:
        return x + jnp.sum(jnp.outer(X, X))

    assert peak_bytes(jax.make_jaxpr(fn)(1.0).jaxpr) <= 100


def test_bodies_of_loops_and_branches_count() -> None:
    def fn(x: Any) -> Any:
        total, _ = jax.lax.scan(
            lambda c, _: (c + jnp.sum(jnp.outer(X[:100], X[:100] * c)), None), x, length=3
        )
        return jax.lax.cond(
            total > 0, lambda x: jnp.sum(jnp.outer(X[:200], X[:200] * x)), jnp.sin, x
        )

    assert 320_000 <= peak_bytes(jax.make_jaxpr(fn)(1.0).jaxpr) <= 400_000


def test_a_batch_counts() -> None:
    explain = jaxplain.integrated_grad(wide, steps=64)
    (alone,) = jaxplain.chunks(explain)(X)
    (batch,) = jaxplain.chunks(jax.vmap(explain))(jnp.stack([X] * 4))
    (both,) = jaxplain.chunks(jax.vmap(jax.vmap(explain)))(jnp.zeros((2, 4, WIDTH)))
    assert (alone.evaluations, 4 * alone.bytes, 8 * alone.bytes) == (64, batch.bytes, both.bytes)
    assert alone.size * alone.bytes <= CPU_BYTES < 2 * (alone.size + 1) * alone.bytes
    assert 64 > alone.size > batch.size >= both.size >= 1


def test_memory_does_not_grow_with_the_evaluations() -> None:
    few, many = (memory(jaxplain.integrated_grad(wide, steps=n), X) for n in (64, 320))
    assert many < 1.1 * few < 2 * CPU_BYTES
    assert memory(jaxplain.integrated_grad(wide, steps=320, chunk=None), X) > 5 * many


def test_the_estimate_is_near_what_is_compiled() -> None:
    (found,) = jaxplain.chunks(jaxplain.integrated_grad(wide, steps=1))(X)
    compiled = memory(jax.grad(wide), X)
    assert compiled / 3 < found.bytes < 3 * compiled


def test_numbers_do_not_depend_on_the_chunk() -> None:
    nodes = jnp.arange(100.0)
    chex.assert_trees_all_close(
        jax.jit(lambda nodes: stack(lambda n: wide(X * n / 100), nodes, chunk="auto"))(nodes),
        jax.jit(lambda nodes: stack(lambda n: wide(X * n / 100), nodes, chunk=None))(nodes),
        rtol=1e-12,
    )


def test_nested_sums_have_a_choice_each_and_given_chunks_are_kept() -> None:
    noisy = jaxplain.smooth(jaxplain.integrated_grad(wide, steps=40), samples=7)
    found = jaxplain.chunks(noisy)(X, key=jax.random.key(0))
    assert [choice.evaluations for choice in found] == [40, 7]
    (given,) = jaxplain.chunks(jaxplain.integrated_grad(wide, steps=40, chunk=5))(X)
    assert given.size == 5


@pytest.mark.parametrize("chunk", ["all", 0, 2.5, True])
def test_other_chunks_are_refused(chunk: Any) -> None:
    with pytest.raises(ValueError, match="Leave chunk out for as many as run fast"):
        jaxplain.integrated_grad(wide, chunk=chunk)


def test_nothing_is_traced_twice() -> None:
    """Tracing a large network takes seconds."""
    calls = []

    def counted(x: Any) -> Any:
        calls.append(np.shape(x))
        return jnp.sum(x**2)

    compiled = jax.jit(jaxplain.integrated_grad(counted, steps=8))
    compiled(X)
    compiled(X + 1)
    assert len(calls) == 1
