"""Occlusion against a loop over windows in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import occlusion, over_baselines

draw = np.random.default_rng(3).normal
X, BASE, WEIGHTS = draw(size=(5, 6, 2)), draw(size=(5, 6, 2)), draw(size=(5, 6, 2))


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * WEIGHTS)) + x[0, 0, 0] * x[1, 2, 1] * x[4, 5, 1]


SCORE = jax.jit(f)


def by_hand(
    score: Callable[[np.ndarray], Any],
    x: np.ndarray,
    base: np.ndarray,
    window: tuple[int, ...],
    stride: tuple[int, ...],
) -> tuple[np.ndarray, list[float]]:
    """One window after the other, and the mean over those that cover an element."""
    total, covered, lost = np.zeros(x.shape), np.zeros(x.shape), []
    starts = []
    for size, span, step in zip(x.shape, window, stride, strict=True):
        along = [0]
        while along[-1] + span < size:
            along.append(along[-1] + step)
        starts.append(along)
    for corner in itertools.product(*starts):
        inside = tuple(slice(a, a + span) for a, span in zip(corner, window, strict=True))
        changed = x.copy()
        changed[inside] = base[inside]
        lost.append(float(score(x)) - float(score(changed)))
        total[inside] += lost[-1]
        covered[inside] += 1
    return total / covered, lost


WINDOWS: dict[str, tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = {
    "patches that are cut off": ({"window": (2, 4)}, (2, 4, 2), (2, 4, 2)),
    "overlapping": ({"window": (3, 4), "stride": (2, 3)}, (3, 4, 2), (2, 3, 2)),
    "one stride": ({"window": (2, 3), "stride": 1}, (2, 3, 2), (1, 1, 2)),
    "channels apart": ({"window": (2, None, 1)}, (2, 6, 1), (2, 6, 1)),
    "everything": ({"window": (), "stride": 7}, (5, 6, 2), (7, 7, 7)),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_each_window_in_turn(case: str) -> None:
    options, window, stride = WINDOWS[case]
    expected, lost = by_hand(SCORE, X, BASE, window, stride)
    found, info = jax.jit(occlusion(f, info=True, **options))(X, baseline=BASE)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(info.values, lost, rtol=1e-9, atol=1e-12)
    assert info.evaluations == len(lost) + 1


def test_chunks() -> None:
    options, window, stride = WINDOWS["overlapping"]
    found = jax.jit(occlusion(f, chunk=3, **options))(X)
    np.testing.assert_allclose(
        found, by_hand(SCORE, X, 0 * X, window, stride)[0], rtol=1e-9, atol=1e-12
    )


def test_windows_of_each_leaf() -> None:
    tree, base = {"a": X, "b": X[0, :, 0]}, {"a": BASE, "b": BASE[0, :, 0]}

    def g(tree: Any) -> Any:
        return f(tree["a"]) * jnp.sum(tree["b"] ** 2)

    score = jax.jit(g)
    explain = occlusion(g, window={"a": (3, 3), "b": 2}, stride={"a": 2, "b": None}, info=True)
    found, info = jax.jit(explain)(tree, baseline=base)
    first, lost = by_hand(lambda a: score(tree | {"a": a}), X, BASE, (3, 3, 2), (2, 2, 2))
    second, more = by_hand(lambda b: score(tree | {"b": b}), tree["b"], base["b"], (2,), (2,))
    np.testing.assert_allclose(found["a"], first, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["b"], second, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(info.values, lost + more, rtol=1e-9, atol=1e-12)


def test_token_ids_and_several_arguments() -> None:
    table = draw(size=(9, 4))

    def g(ids: Any, x: Any) -> Any:
        return jnp.sum(jnp.tanh(jnp.asarray(table)[ids])[:, 0]) * jnp.sum(x**2)

    ids = np.array([3, 8, 1, 4, 4], np.int32)
    explain = occlusion(g, window=2, stride=1, argnums=(0, 1))
    mask = (np.zeros_like(ids), np.zeros(3))
    found, other = jax.jit(explain)(ids, X[0, :3, 0], baseline=mask)
    expected = by_hand(lambda i: jax.jit(g)(i, X[0, :3, 0]), ids, mask[0], (2,), (1,))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.dtype == other.dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_kept(dtype: str) -> None:
    x = jnp.asarray(X[..., 0], dtype)
    found = jax.jit(occlusion(lambda x: jnp.sum(x**2), window=(1, 1)))(x)
    assert found.dtype == dtype
    size = float(jnp.finfo(dtype).eps) * np.sum(X[..., 0] ** 2)
    np.testing.assert_allclose(np.asarray(found, float), X[..., 0] ** 2, atol=2 * size)


def test_linear_model() -> None:
    """Windows of one element give weight times change; others the mean of their sums."""
    weights = draw(size=7)
    x = draw(size=7)
    explain = occlusion(lambda x: jnp.sum(x * weights), window=1)
    np.testing.assert_allclose(jax.jit(explain)(x), x * weights, rtol=1e-9, atol=1e-12)


def test_batches_sets_of_baselines_and_derivatives() -> None:
    explain = occlusion(f, window=(3, 3), stride=2, chunk=2)
    single = jax.jit(explain)
    mapped = jax.jit(jax.vmap(explain))(np.stack([X, BASE]))
    np.testing.assert_allclose(mapped[1], single(BASE), rtol=1e-12, atol=1e-13)
    averaged = jax.jit(over_baselines(explain))(X, baseline=np.stack([BASE, 0 * X]))
    apart = (single(X, baseline=BASE) + single(X)) / 2
    np.testing.assert_allclose(averaged, apart, rtol=1e-9, atol=1e-12)
    direction, step = draw(size=X.shape), 1e-6
    loss = jax.jit(lambda x: jnp.sum(explain(x, baseline=BASE) ** 2))
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-7)


def test_all_classes_share_the_evaluations() -> None:
    """The model's layers see windows, not windows times classes."""
    weights = draw(size=(60, 4))

    def g(x: Any, k: Any) -> Any:
        return (jnp.tanh(x.reshape(-1)) @ weights)[k]

    explain = jax.vmap(occlusion(g, window=(5, 3)), in_axes=(None, 0))
    jaxpr = str(jax.make_jaxpr(explain)(X, jnp.arange(4)))
    assert ":f64[2,60]" in jaxpr and "f64[4,2,60]" not in jaxpr and "f64[2,4,60]" not in jaxpr
    one = jax.jit(occlusion(g, window=(5, 3)))(X, 2)
    np.testing.assert_allclose(jax.jit(explain)(X, jnp.arange(4))[2], one, rtol=1e-12)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: occlusion(f, window=2)(X), ValueError, r"such as window=\(2, 2\)"),
    (lambda: occlusion(f, window=(6, 2))(X), ValueError, "larger than x.* at most 5, or None"),
    (lambda: occlusion(f, window=(1, 1, 1, 1))(X), ValueError, "at most 3 integers"),
    (lambda: occlusion(f, window=None)(X), ValueError, "window=None does not fit"),
    (lambda: occlusion(f, window=(0, 2))(X), ValueError, "window=0"),
    (lambda: occlusion(f, window=(2.5, 2))(X), ValueError, "window="),
    (lambda: occlusion(f, window="ab")(X), TypeError, "must hold integers"),
    (lambda: occlusion(f, window={"a": (2,)})(X), ValueError, "has the tree"),
    (lambda: occlusion(f, window=(2, 2), stride=3)(X), ValueError, "would have no value"),
    (lambda: occlusion(f, window=(2, 2), stride=(1, 1, 1, 1))(X), ValueError, "more numbers"),
    (lambda: occlusion(f, window=(2, 2), stride=0)(X), ValueError, "stride=0"),
    (lambda: occlusion(f, window=(2, 2), chunk=0), ValueError, "chunk=0"),
    (lambda: occlusion(f, window=(2, 2))(X, baseline=X[0]), ValueError, "never broadcast"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
