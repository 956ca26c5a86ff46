"""Shapley values from random orders: the orders one by one, and their statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapley_references import by_subsets, of_order, play

from jaxplain import shapley_sampling

draw = np.random.default_rng(8).normal
KEY = jax.random.key(0)
KEYS = jax.random.split(jax.random.key(1), 300)


@functools.cache
def orders(samples: int, count: int) -> np.ndarray:
    """The orders that are drawn: the features' places are a random permutation."""
    numbers = jnp.arange(samples)
    draws = jax.vmap(lambda i: jax.random.permutation(jax.random.fold_in(KEY, i), count))
    return np.argsort(jax.jit(draws)(numbers), axis=1)


def each_order(table: np.ndarray, samples: int, antithetic: bool) -> np.ndarray:
    """What features add in each order, (n, features), averaged with its reverse if antithetic."""
    rows = []
    for order in orders(samples // 2 if antithetic else samples, int(np.log2(len(table)))):
        both = [order, order[::-1]] if antithetic else [order]
        rows.append(np.mean([of_order(table, order) for order in both], axis=0))
    return np.array(rows)


@pytest.mark.parametrize("chunk", [None, 3, 30])
@pytest.mark.parametrize("antithetic", [True, False])
def test_order_by_order(antithetic: bool, chunk: int | None) -> None:
    table = draw(size=64)
    options: dict[str, Any] = {"antithetic": antithetic, "chunk": chunk}
    explain = jax.jit(shapley_sampling(play, samples=26, info=True, **options))
    found, info = explain(np.ones(6), table, key=KEY)
    rows = each_order(table, 26, antithetic)
    np.testing.assert_allclose(found, rows.mean(0), atol=1e-13)
    error = rows.std(0, ddof=1) / np.sqrt(len(rows))
    np.testing.assert_allclose(info.standard_error, error, rtol=1e-9)
    assert int(info.evaluations) == 26 * 5 + 2 and bool(info.converged)
    np.testing.assert_allclose(np.sum(found), table[-1] - table[0], atol=1e-13)
    assert abs(float(info.residual)) < 1e-13
    plain = jax.jit(shapley_sampling(play, samples=26, **options))
    np.testing.assert_allclose(plain(np.ones(6), table, key=KEY), found, atol=1e-13)


@pytest.mark.parametrize("antithetic", [True, False])
def test_unbiased_with_honest_errors(antithetic: bool) -> None:
    table = draw(size=64)
    explain = functools.partial(
        shapley_sampling(play, samples=60, antithetic=antithetic, info=True),
        np.ones(6),
        jnp.asarray(table),
    )
    found, info = jax.jit(jax.vmap(lambda key: explain(key=key)))(KEYS)
    off = np.asarray(found) - by_subsets(table)
    z = np.mean(off, axis=0) / (np.std(off, axis=0, ddof=1) / np.sqrt(len(KEYS)))
    assert np.all(np.abs(z) < 4)
    assert 0.7 < np.mean((off / info.standard_error) ** 2) < 1.4
    assert 0.8 < np.mean(np.var(off, axis=0) / np.mean(info.standard_error**2, axis=0)) < 1.25


def test_reverses_cancel_pairs() -> None:
    """A game of pairs of features is exact from any order and its reverse."""
    couplings = draw(size=(6, 6))
    found = jax.jit(shapley_sampling(lambda x: x @ couplings @ x, samples=2))(np.ones(6), key=KEY)
    np.testing.assert_allclose(found, (couplings + couplings.T).sum(0) / 2, atol=1e-12)


# ------------------------------------------------------------------------------- the tolerance


def until(table: np.ndarray, tolerance: float, samples: int) -> tuple[np.ndarray, int]:
    """Rounds of eight pairs of orders, until all standard errors are small."""
    rows = each_order(table, samples, antithetic=True)
    used = 8
    while used < len(rows):
        if np.max(rows[:used].std(0, ddof=1)) / np.sqrt(used) <= tolerance:
            break
        used = min(used + 8, len(rows))
    return rows[:used].mean(0), 2 * used


@pytest.mark.parametrize("chunk", [None, 4, 25])
def test_stops_at_the_tolerance(chunk: int | None) -> None:
    explain = jax.jit(shapley_sampling(play, samples=300, tolerance=0.1, chunk=chunk, info=True))
    table = np.random.default_rng(0).normal(size=64)
    found, info = explain(np.ones(6), table, key=KEY)
    expected, used = until(table, 0.1, 300)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert int(info.evaluations) == used * 5 + 2 and 16 < used < 300
    assert bool(info.converged) and np.max(info.standard_error) <= 0.1
    batch = jax.jit(jax.vmap(functools.partial(explain, key=KEY)))
    tables = np.stack([table, 0.3 * table, 0 * table])
    found, info = batch(np.ones((3, 6)), tables)
    for i, own in enumerate(tables):
        expected, used = until(own, 0.1, 300)
        np.testing.assert_allclose(found[i], expected, atol=1e-12)
        assert int(info.evaluations[i]) == used * 5 + 2


def test_rounds_that_are_not_needed_cost_nothing() -> None:
    """Evaluations are counted as they happen, for a batch."""
    seen = []

    def f(x: Any, scale: Any) -> Any:
        jax.debug.callback(lambda value: seen.append(value), x[0])
        return scale * jnp.prod(x)

    explain = shapley_sampling(f, samples=2000, tolerance=0.12, antithetic=False, info=True)
    scales = np.array([1.0, 0.1])
    mapped = jax.jit(jax.vmap(functools.partial(explain, key=KEY)))
    _, info = jax.block_until_ready(mapped(np.ones((2, 3)), scales))
    jax.effects_barrier()
    longest = int(np.max(info.evaluations))
    assert int(info.evaluations[1]) < longest < 500
    assert len(seen) <= 2 * (longest + 16)


def test_missed_tolerance_is_told() -> None:
    table = draw(size=64)
    explain = jax.jit(shapley_sampling(play, samples=20, tolerance=1e-6, info=True))
    _, info = explain(np.ones(6), table, key=KEY)
    assert not bool(info.converged) and int(info.evaluations) == 20 * 5 + 2
    with pytest.warns(RuntimeWarning, match="after 20 orders the largest standard error is"):
        jax.jit(shapley_sampling(play, samples=20, tolerance=1e-6))(np.ones(6), table, key=KEY)
        jax.effects_barrier()


def test_tolerance_is_differentiable() -> None:
    weights = draw(size=(5, 5))

    def f(x: Any) -> Any:
        return jnp.sum(jnp.tanh(x @ weights) ** 2)

    explain = shapley_sampling(f, samples=400, tolerance=0.05, chunk=10, info=True)
    x, direction, step = draw(size=5), draw(size=5), 1e-6

    def loss(x: Any) -> Any:
        found, info = explain(x, key=KEY)
        return jnp.sum(found**2), info.evaluations

    slopes, used = jax.jit(jax.grad(loss, has_aux=True))(x)
    value = jax.jit(loss)
    ends = [value(x + s * direction) for s in (step, -step)]
    assert int(used) == int(ends[0][1]) == int(ends[1][1]) > 2 + 16 * 4
    slope = float(ends[0][0] - ends[1][0]) / (2 * step)
    np.testing.assert_allclose(np.sum(slopes * direction), slope, rtol=1e-6)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: shapley_sampling(play, samples=5), ValueError, "samples=5 is odd.*samples=6"),
    (lambda: shapley_sampling(play, samples=1), ValueError, "samples=1 is not a whole number"),
    (lambda: shapley_sampling(play, samples=2, info=True), ValueError, "at least 4.*two samples"),
    (lambda: shapley_sampling(play, tolerance=-1.0), ValueError, "tolerance=-1.0"),
    (lambda: shapley_sampling(play, chunk=0), ValueError, "chunk=0"),
    (lambda: shapley_sampling(jnp.sum)(np.ones(3)), TypeError, "pass key="),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
