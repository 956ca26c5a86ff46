"""Total Sobol indices against closed forms and the estimator written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats.qmc

from jaxplain.perturb._sobol import total_indices

WEIGHTS = np.array([3.0, -2.0, 0.5, 0.0])


def ishigami(mask: Any, a: float = 7.0, b: float = 0.1) -> Any:
    """The function by Ishigami and Homma, of angles from -π to π."""
    x = np.pi * (2 * mask - 1)
    return jnp.sin(x[0]) + a * jnp.sin(x[1]) ** 2 + b * x[2] ** 4 * jnp.sin(x[0])


def by_hand(f: Callable[[np.ndarray], float], count: int, designs: int) -> np.ndarray:
    """Jansen's estimator, one evaluation after another."""
    net = scipy.stats.qmc.Sobol(2 * count, scramble=False).random(designs) + 0.5 / designs
    a, b = net[:, :count], net[:, count:]
    scores = [f(row) for row in a] + [f(row) for row in b]
    variance = sum((s - np.mean(scores)) ** 2 for s in scores) / len(scores)
    indices = np.zeros(count)
    for i in range(count):
        for n in range(designs):
            mixed = a[n].copy()
            mixed[i] = b[n, i]
            indices[i] += (f(a[n]) - f(mixed)) ** 2 / (2 * designs * variance)
    return indices


def test_ishigami() -> None:
    """The variance of each term is an integral of sines and powers."""
    a, b = 7.0, 0.1
    first = (1 + b * np.pi**4 / 5) ** 2 / 2
    second = a**2 / 8
    both = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    expected = np.array([first + both, second, both]) / (first + second + both)
    found = jax.jit(lambda: total_indices(ishigami, 3, designs=8192))()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_additive() -> None:
    """Without interactions the indices are shares of the variance, and sum to one."""
    find = jax.jit(lambda w: total_indices(lambda m: jnp.sum(w * m) - 5, 4, designs=4096))
    expected = WEIGHTS**2 / np.sum(WEIGHTS**2)
    np.testing.assert_allclose(find(WEIGHTS), expected, atol=2e-3)
    assert find(WEIGHTS)[3] == 0


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("designs", [2, 16])
def test_estimator(designs: int, chunk: int | None) -> None:
    def f(m: Any) -> Any:
        return (m @ WEIGHTS) * m[2] + m[0] ** 2

    found = jax.jit(lambda: total_indices(f, 4, designs=designs, chunk=chunk))()
    np.testing.assert_allclose(found, by_hand(f, 4, designs), rtol=1e-10)


def test_scale_and_offset_do_not_matter() -> None:
    @jax.jit
    def find(scale: Any, offset: Any) -> Any:
        return total_indices(lambda m: scale * (m @ WEIGHTS) + offset, 4, designs=16)

    expected = find(1.0, 0.0)
    for scale, offset in ((1e-200, 0.0), (1e200, 0.0), (-3.0, 1e4)):
        np.testing.assert_allclose(find(scale, offset), expected, rtol=1e-8)


def test_constant_scores_have_no_parts() -> None:
    """Nor have those that vary by rounding alone, whichever mask the rounding is of."""

    @jax.jit
    def find(scale: Any) -> Any:
        return total_indices(lambda m: (1e7 + scale * m[0]).astype(m.dtype), 2, designs=16)

    np.testing.assert_array_equal(find(0.0), 0)
    np.testing.assert_array_equal(find(1e-9), 0)
    assert find(1.0)[0] > 0.5
    slope = jax.jit(jax.grad(lambda scale: find(scale).sum()))(0.0)
    assert np.isfinite(slope)
    assert np.isnan(jax.jit(lambda: total_indices(lambda m: m[0] * np.nan, 2, designs=2))()).all()


def test_batches_and_dtypes() -> None:
    """One set of masks serves all examples of a batch; low precision is widened."""

    def find(w: Any) -> Any:
        return total_indices(lambda m: jnp.sum(w * m.astype(w.dtype)), 4, designs=16)

    batch = np.stack([WEIGHTS, WEIGHTS[::-1]])
    found = jax.jit(jax.vmap(find))(batch)
    np.testing.assert_allclose(found[0], jax.jit(find)(WEIGHTS), rtol=1e-12)
    for dtype in ("float32", "bfloat16"):
        low = jax.jit(find)(jnp.asarray(WEIGHTS, dtype))
        assert low.dtype == jnp.float32
        np.testing.assert_allclose(low, found[0], atol=1e-6 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize("designs", [1, 48, 2.0])
def test_designs_are_powers_of_two(designs: Any) -> None:
    with pytest.raises(ValueError, match=r"designs=48 .* give 32 or 64|whole number of at least 2"):
        total_indices(jnp.sum, 3, designs=designs)
