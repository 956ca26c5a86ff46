"""Kernel SHAP against the weighted least squares of its definition, and its sampling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapley_references import (
    all_masks,
    by_least_squares,
    by_subsets,
    kernel,
    numbers_of,
    play,
)

from jaxplain import kernel_shap
from jaxplain.shapley._coalitions import (
    half_of_subsets,
    kernel_design,
    least_pairs,
    pack,
    pairs_of,
    random_subset,
    unpack,
)

draw = np.random.default_rng(6).normal
KEY = jax.random.key(0)
KEYS = jax.random.split(jax.random.key(1), 300)

# -------------------------------------------------------------------------------- the coalitions


@pytest.mark.parametrize("count", [2, 5, 6, 40])
def test_enumerated_pairs(count: int) -> None:
    """Each pair of a subset and its complement is there once."""
    for size in range(1, min(count // 2, 3) + 1):
        words = half_of_subsets(count, size)
        masks = np.asarray(jax.jit(functools.partial(unpack, count=count))(jnp.asarray(words)))
        assert masks.shape == (pairs_of(count, size), count) and (masks.sum(1) == size).all()
        assert len(np.unique(np.concatenate([masks, ~masks]), axis=0)) == 2 * len(masks)
        np.testing.assert_array_equal(jax.jit(jax.vmap(pack))(masks), words)
    assert sum(pairs_of(count, size) for size in range(1, count // 2 + 1)) == pairs_of(count)


def test_subsets_are_uniform() -> None:
    """All 20 subsets of three of six features are as likely, within chance."""
    uniform = jax.random.uniform(KEY, (20000, 6), "float32")
    chosen = jax.jit(jax.vmap(lambda row: random_subset(row, jnp.asarray(3))))(uniform)
    assert (chosen.sum(1) == 3).all()
    numbers, counts = np.unique(numbers_of(np.asarray(chosen)), return_counts=True)
    assert len(numbers) == 20
    assert np.sum((counts - 1000) ** 2 / 1000) < 43.8  # chi-squared, 19 degrees, p = 0.001


@pytest.mark.parametrize("count", [6, 7])
def test_draws_follow_the_kernel(count: int) -> None:
    """The sampled sizes are as frequent as the kernel says."""
    design = kernel_design(count, least_pairs(count))
    assert len(design.words) == count and design.sampled == 2 and design.smallest == 2
    words = jax.jit(jax.vmap(lambda i: design.draw(KEY, i)))(np.arange(4000))
    sizes = np.asarray(jax.jit(functools.partial(unpack, count=count))(words)).sum(1)
    masses = {
        s: (1 if 2 * s == count else 2) * math.comb(count, s) * kernel(s, count) for s in (2, 3)
    }
    share = masses[2] / sum(masses.values())
    assert set(sizes) == {2, 3}
    assert abs(np.mean(sizes == 2) - share) < 4 * np.sqrt(share * (1 - share) / 4000)


@pytest.mark.parametrize(("count", "pairs"), [(4, 6), (8, 60), (12, 400), (20, 1024), (500, 3500)])
def test_design_spends_the_budget(count: int, pairs: int) -> None:
    design = kernel_design(count, pairs)
    assert len(design.words) + design.sampled == pairs and design.sampled >= 2
    np.testing.assert_allclose(np.sum(design.weights) + design.left, 1)
    np.testing.assert_allclose(design.chances[-1], 1)
    weights = np.array([kernel(1, count), kernel(2, count)])
    sizes = [design.weights[:count], design.weights[count : count + 1]]
    if len(design.words) > count:
        np.testing.assert_allclose(sizes[1][0] / sizes[0][0], weights[1] / weights[0])


# ------------------------------------------------------------------------------- the definition


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_exact_when_all_is_enumerated(count: int) -> None:
    table = draw(size=2**count)
    explain = jax.jit(kernel_shap(play, samples=2**count - 2, chunk=16, info=True))
    found, info = explain(np.ones(count), table, key=KEY)
    np.testing.assert_allclose(found, by_subsets(table), atol=1e-12)
    masks = all_masks(count)
    weights = np.array([kernel(int(z.sum()), count) for z in masks])
    scores, ends = table[numbers_of(masks)], (table[0], table[-1])
    np.testing.assert_allclose(found, by_least_squares(masks, weights, scores, ends), atol=1e-12)
    assert int(info.evaluations) == 2**count and abs(float(info.residual)) < 1e-12
    np.testing.assert_array_equal(info.standard_error, 0)
    other = jax.jit(kernel_shap(play, samples=10**6))(np.ones(count), table, key=KEYS[0])
    np.testing.assert_allclose(other, found, atol=1e-12)


@pytest.mark.parametrize(("count", "samples"), [(6, 40), (9, 101)])
def test_fit_of_the_same_samples(count: int, samples: int) -> None:
    """The weighted least squares of all evaluated coalitions, by NumPy."""
    table = draw(size=2**count)
    found, info = jax.jit(kernel_shap(play, samples=samples, info=True))(
        np.ones(count), table, key=KEY
    )
    masks, weights = evaluated(count, samples, KEY)
    assert int(info.evaluations) == len(masks) + 2 == samples // 2 * 2 + 2
    fit = functools.partial(by_least_squares, ends=(table[0], table[-1]))
    np.testing.assert_allclose(found, fit(masks, weights, table[numbers_of(masks)]), atol=1e-11)

    # The standard error: each sampled pair is left out in turn.
    pairs = samples // 2
    without = []
    for i in range(len(kernel_design(count, pairs).words), pairs):
        keep = np.arange(len(masks)) % pairs != i
        without.append(fit(masks[keep], weights[keep], table[numbers_of(masks[keep])]))
    number = len(without)
    variance = np.var(without, axis=0, ddof=1) * number
    np.testing.assert_allclose(info.standard_error, np.sqrt(variance), rtol=1e-9)


def evaluated(count: int, samples: int, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """All coalitions that kernel SHAP evaluates, and their weights: first ones, complements."""
    design = kernel_design(count, samples // 2)
    draws = jax.jit(jax.vmap(lambda i: design.draw(key, i)))(np.arange(design.sampled))
    words = jnp.concatenate([jnp.asarray(design.words), draws])
    masks = np.asarray(jax.jit(functools.partial(unpack, count=count))(words))
    weights = np.append(
        design.weights, np.full(design.sampled, design.left / max(design.sampled, 1))
    )
    return np.concatenate([masks, ~masks]), np.tile(weights, 2)


# ------------------------------------------------------------------------------------ statistics


@pytest.mark.parametrize(("count", "samples"), [(6, 40), (9, 100)])
def test_errors_are_honest(count: int, samples: int) -> None:
    """The mean over keys is near the truth, and values are as far from it as they say."""
    table = draw(size=2**count)
    explain = functools.partial(
        kernel_shap(play, samples=samples, info=True), np.ones(count), jnp.asarray(table)
    )
    found, info = jax.jit(jax.vmap(lambda key: explain(key=key)))(KEYS)
    off = np.asarray(found) - by_subsets(table)
    bias, error = np.mean(off, axis=0), np.sqrt(np.mean(info.standard_error**2, axis=0))
    assert np.all(np.abs(bias) < error)
    scores = off / info.standard_error
    assert 0.7 < np.mean(scores**2) < 1.4
    assert 0.7 < np.mean(np.var(off, axis=0) / error**2) < 1.4


def test_more_samples_are_nearer() -> None:
    """Ten times the samples bring the bias and the error down."""
    table = draw(size=2**8)
    sizes = []
    for samples in (22, 220):
        explain = functools.partial(
            kernel_shap(play, samples=samples), np.ones(8), jnp.asarray(table)
        )
        off = np.asarray(jax.jit(jax.vmap(lambda key, e=explain: e(key=key)))(KEYS))
        off = off - by_subsets(table)
        sizes.append((np.linalg.norm(np.mean(off, axis=0)), np.linalg.norm(np.std(off, axis=0))))
    assert sizes[1][0] < sizes[0][0] / 5 and sizes[1][1] < sizes[0][1] / 3


# ---------------------------------------------------------------------------- sizes, and numerics


@pytest.mark.parametrize("samples", [1004, 2048, 8000])
def test_many_features_in_float32(samples: int) -> None:
    """Additive games are fitted to rounding, also with the fewest samples, and far from zero."""
    weights = draw(size=500).astype("float32")
    explain = kernel_shap(lambda x: x @ weights + 100, samples=samples, chunk=512, info=True)
    found, info = jax.jit(explain)(np.ones(500, "float32"), key=KEY)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, weights, atol=1e-3)
    np.testing.assert_allclose(np.sum(np.asarray(found, float)), np.sum(weights), atol=1e-3)
    if samples > 1004:  # there two pairs are sampled, which say nothing of the noise
        assert np.all(np.asarray(info.standard_error) < 1e-3)


def test_memory_is_flat() -> None:
    """Ten times the coalitions need a few words more for each, not a row of the matrix."""

    def needed(samples: int) -> int:
        explain = kernel_shap(
            lambda x: jnp.sum(jnp.tanh(x)), samples=samples, chunk=1000, info=True
        )
        compiled = jax.jit(explain).lower(np.ones(32), key=KEY).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    growth = (needed(100_000) - needed(10_000)) / 90_000
    assert growth < 40  # bytes; a row of 32 numbers has 256


@pytest.mark.parametrize("count", range(2, 12))
def test_least_samples(count: int) -> None:
    """The fewest that are taken determine the values of any game; one pair less raises."""
    least = 2 * least_pairs(count)
    masks, _ = evaluated(count, least, KEY)
    assert len(masks) == least
    assert np.linalg.matrix_rank(masks - masks.mean(1, keepdims=True)) == count - 1
    with pytest.raises(ValueError, match=f"{count} features: give at least samples={least}"):
        kernel_shap(jnp.sum, samples=max(least - 1, 1))(np.ones(count), key=KEY)


def test_sampled_pairs_alone_determine_the_values() -> None:
    """Where the budget is too small to enumerate, there are enough draws to tell features apart."""
    assert len(kernel_design(40, 99).words) == 40
    assert len(kernel_design(40, 100).words) == 0
    for key in KEYS[:3]:
        masks, _ = evaluated(40, 200, key)
        assert np.linalg.matrix_rank(masks - masks.mean(1, keepdims=True)) == 39


def test_pairs_of_features_are_exact() -> None:
    """Coalitions come with their complements, which cancels all that two features do together."""
    couplings = draw(size=(9, 9))
    explain = jax.jit(kernel_shap(lambda x: x @ couplings @ x + 3, samples=22))
    found = explain(np.ones(9), key=KEY)
    np.testing.assert_allclose(found, (couplings + couplings.T).sum(0) / 2, atol=1e-11)


def test_constant_game() -> None:
    found, info = jax.jit(kernel_shap(lambda x: jnp.sum(0 * x), samples=40, info=True))(
        np.ones(9), key=KEY
    )
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(info.standard_error, 0)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: kernel_shap(play, samples=0), ValueError, "samples=0"),
    (lambda: kernel_shap(play, chunk=0), ValueError, "chunk=0"),
    (lambda: kernel_shap(jnp.sum)(np.ones(3)), TypeError, "pass key="),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
