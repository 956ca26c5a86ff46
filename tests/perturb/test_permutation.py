"""Permutation importance against a loop over examples, closed forms, and fresh data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import permutation_importance
from jaxplain.perturb._permutation import _partners

rng = np.random.default_rng(6)
N, REPEATS = 7, 3
XS, YS = rng.normal(size=(N, 2, 3)), rng.normal(size=N)
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.0, 0.3, 1.0]])
KEY = jax.random.key(8)


def f(x: Any, y: Any, scale: Any = 1.0) -> Any:
    return -scale * (y - jnp.sum(x * WEIGHTS) + x[0, 0] * x[1, 1]) ** 2


def score(x: np.ndarray, y: float) -> float:
    return float(-((y - np.sum(x * WEIGHTS) + x[0, 0] * x[1, 1]) ** 2))


def partners(key: Any, count: int, repeats: int) -> list[np.ndarray]:
    return [np.asarray(_partners(key, count, jnp.asarray(r))) for r in range(repeats)]


def by_hand(labels: np.ndarray, key: Any) -> tuple[np.ndarray, np.ndarray]:
    """One feature, one round, one example after the other."""
    labels = np.broadcast_to(labels, (2, 3))
    lost, error = np.zeros((2, 3)), np.zeros((2, 3))
    for label in np.unique(labels):
        got, gave = np.zeros(N), np.zeros(N)
        for order in partners(key, N, REPEATS):
            for n in range(N):
                x = np.where(labels == label, XS[order[n]], XS[n])
                fall = score(XS[n], YS[n]) - score(x, YS[n])
                got[n] += fall / REPEATS
                gave[order[n]] += fall / REPEATS
        lost[labels == label] = np.mean(got)
        error[labels == label] = np.std(got + gave, ddof=1) / np.sqrt(N)
    return lost, error


ELEMENTS = np.arange(6).reshape(2, 3)
FEATURES: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "elements": ({}, ELEMENTS),
    "groups": ({"groups": np.array([[4, 4, 1], [1, 1, 1]])}, np.array([[4, 4, 1], [1, 1, 1]])),
    "rows, in chunks": ({"along": 0, "chunk": 4}, np.array([[0], [1]])),
}


@pytest.mark.parametrize("features", FEATURES)
def test_loop(features: str) -> None:
    options, labels = FEATURES[features]
    explain = permutation_importance(f, repeats=REPEATS, info=True, **options)
    found, info = jax.jit(explain)(XS, YS, key=KEY)
    lost, error = by_hand(labels, KEY)
    np.testing.assert_allclose(found, lost, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(info.standard_error, error, rtol=1e-9, atol=1e-12)
    count = len(np.unique(labels))
    assert info.values.shape == (count,) and info.evaluations == N * (REPEATS * count + 1)


def test_every_example_gets_another_s_feature() -> None:
    seen = np.zeros((4, 4))
    for order in np.asarray(jax.vmap(lambda r: _partners(KEY, 4, r))(jnp.arange(600))):
        assert sorted(order) == [0, 1, 2, 3]
        seen[np.arange(4), order] += 1
    assert not np.diag(seen).any()
    off = seen[~np.eye(4, dtype=bool)]
    assert np.all(np.abs(off - 200) < 4.5 * np.sqrt(600 * 2 / 9))


def test_closed_form_and_standard_error() -> None:
    """For a linear model feature u costs 2 w² Var(x); fresh data spread as the error says."""
    weights = np.array([1.0, 0.5, 0.0])

    def importance(key: Any) -> Any:
        first, second, third = jax.random.split(key, 3)
        x = jax.random.normal(first, (60, 3))
        y = x @ weights + 0.3 * jax.random.normal(second, (60,))
        score = lambda x, y: -((y - x @ weights) ** 2)  # noqa: E731
        explain = permutation_importance(score, repeats=2, info=True)
        found, info = explain(x, y, key=third)
        return found, info.standard_error

    found, error = jax.jit(jax.vmap(importance))(jax.random.split(KEY, 300))
    spread = np.std(found, axis=0, ddof=1)
    excess = np.abs(np.mean(found, axis=0) - 2 * weights**2)
    assert np.all(excess <= 4 * spread / np.sqrt(300))
    claimed = np.sqrt(np.mean(np.asarray(error) ** 2, axis=0))
    # The noise of the exchanges themselves is counted twice: a little too much, never too little.
    assert np.all(claimed[:2] > 0.9 * spread[:2]) and np.all(claimed[:2] < 1.3 * spread[:2])
    np.testing.assert_array_equal(found[:, 2], 0)
    np.testing.assert_array_equal(error[:, 2], 0)


def test_shared_arguments_keywords_trees_and_integers() -> None:
    table = rng.normal(size=(5, 2))
    ids = rng.integers(0, 5, size=(N, 4))

    def g(table: Any, batch: Any, *, shift: Any) -> Any:
        return jnp.sum(table[batch["ids"]]) * batch["scale"] + shift

    explain = permutation_importance(g, repeats=1, in_axes=(None, 0), argnums=1)
    batch, shift = {"ids": ids, "scale": np.arange(N) + 1.0}, rng.normal(size=N)
    found = jax.jit(explain)(table, batch, shift=shift, key=KEY)
    (order,) = partners(KEY, N, 1)
    sums = table.sum(axis=1)[ids]
    expected = np.mean(
        (sums - sums[order])[:, :] * batch["scale"][:, None],
        axis=0,
    )
    np.testing.assert_allclose(found["ids"], expected, rtol=1e-9)
    assert found["ids"].shape == (4,) and found["scale"].shape == ()
    scaled = np.mean(sums.sum(axis=1) * (batch["scale"] - batch["scale"][order]))
    np.testing.assert_allclose(found["scale"], scaled, rtol=1e-9)


def test_axis_of_other_arguments_and_derivative() -> None:
    explain = permutation_importance(f, repeats=2, in_axes=(0, 1, None))
    turned = jax.jit(lambda scale: explain(XS, np.stack([YS])[:, :], scale, key=KEY))
    with pytest.raises(TypeError, match="must return one real number"):
        turned(2.0)
    usual = permutation_importance(f, repeats=2, in_axes=(0, 0, None))
    single = jax.jit(lambda scale: usual(XS, YS, scale, key=KEY))
    np.testing.assert_allclose(single(2.0), 2 * single(1.0), rtol=1e-9)
    slope = jax.jit(jax.grad(lambda scale: usual(XS, YS, scale, key=KEY)[0, 1]))(2.0)
    np.testing.assert_allclose(slope, single(1.0)[0, 1], rtol=1e-9)


def test_dtype_is_kept() -> None:
    explain = permutation_importance(lambda x: jnp.sum(x**2), repeats=1, info=True)
    found, info = jax.jit(explain)(jnp.asarray(XS, jnp.bfloat16), key=KEY)
    assert found.dtype == info.standard_error.dtype == jnp.bfloat16
    assert info.values.dtype == jnp.float32


PAIR = permutation_importance(f)
Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: permutation_importance(f, repeats=0), ValueError, "repeats=0"),
    (lambda: permutation_importance(f, groups=ELEMENTS, along=0), ValueError, "one of them"),
    (lambda: PAIR(XS, YS), TypeError, "jax.random.key"),
    (lambda: PAIR(XS, YS[:-1], key=KEY), ValueError, r"\[6, 7\] examples"),
    (lambda: PAIR(XS[:1], YS[:1], key=KEY), ValueError, "at least two"),
    (lambda: PAIR(XS, YS, 2.0, key=KEY), ValueError, r"in_axes=\(0, 0, None\)"),
    (lambda: PAIR(XS, YS, key=KEY, baseline=XS), TypeError, "leave it out"),
    (
        lambda: permutation_importance(f, in_axes=(1, 0))(XS, YS, key=KEY),
        ValueError,
        "must be 0 for the explained",
    ),
    (
        lambda: permutation_importance(f, in_axes=(0,))(XS, YS, key=KEY),
        ValueError,
        "each of the 2 positional",
    ),
    (
        lambda: permutation_importance(f, groups=np.zeros(5, int))(XS, YS, key=KEY),
        ValueError,
        "does not broadcast",
    ),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
