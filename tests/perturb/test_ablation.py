"""Feature ablation against a loop over features in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import ablation

draw = np.random.default_rng(4).normal
X, BASE, WEIGHTS = draw(size=(3, 4, 2)), draw(size=(3, 4, 2)), draw(size=(3, 4, 2))


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * WEIGHTS)) + x[0, 0, 0] * x[1, 1, 1] * x[2, 3, 1]


def by_hand(labels: np.ndarray, x: np.ndarray, base: np.ndarray) -> np.ndarray:
    """One feature after the other is put to its baseline."""
    score = jax.jit(f)
    lost = np.zeros(x.shape)
    for label in set(labels.ravel().tolist()):
        changed = x.copy()
        changed[labels == label] = base[labels == label]
        lost[labels == label] = float(score(x)) - float(score(changed))
    return lost


ELEMENTS = np.arange(24).reshape(3, 4, 2)
GROUPS = np.array([[7, -2, 7, 0], [0, 0, -2, 7], [5, 5, 5, 5]])
FEATURES: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "elements": ({}, ELEMENTS),
    "channels": ({"along": -1}, np.broadcast_to(np.arange(2), X.shape)),
    "pixels": ({"along": (0, -2)}, np.broadcast_to(ELEMENTS[..., :1], X.shape)),
    "rows": ({"along": 0}, np.broadcast_to(np.arange(3)[:, None, None], X.shape)),
    "everything": ({"along": ()}, np.zeros(X.shape, int)),
    "groups": ({"groups": GROUPS[..., None]}, np.broadcast_to(GROUPS[..., None], X.shape)),
    "groups of the last axis": (
        {"groups": jnp.array([3, 1])},
        np.broadcast_to(np.array([3, 1]), X.shape),
    ),
}


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("features", FEATURES)
def test_each_feature_in_turn(features: str, chunk: int | None) -> None:
    options, labels = FEATURES[features]
    explain = jax.jit(ablation(f, chunk=chunk, **options))
    np.testing.assert_allclose(
        explain(X, baseline=BASE), by_hand(labels, X, BASE), rtol=1e-9, atol=1e-12
    )


def test_baselines() -> None:
    explain = jax.jit(ablation(f))
    np.testing.assert_allclose(explain(X), by_hand(ELEMENTS, X, 0 * X), rtol=1e-9, atol=1e-12)
    number = explain(X, baseline=0.3)
    np.testing.assert_allclose(
        number, by_hand(ELEMENTS, X, np.full_like(X, 0.3)), rtol=1e-9, atol=1e-12
    )
    with pytest.raises(ValueError, match="never broadcast"):
        explain(X, baseline=X[0])


def test_groups_across_leaves() -> None:
    tree = {"a": X, "b": X[0, 0]}

    def g(tree: Any) -> Any:
        return f(tree["a"]) * jnp.sum(tree["b"] ** 2)

    groups = {"a": np.array(1), "b": np.array([1, 2])}
    found = jax.jit(ablation(g, groups=groups))(tree)
    whole, score = float(jax.jit(g)(tree)), jax.jit(g)
    both = whole - float(score({"a": 0 * X, "b": X[0, 0] * [0, 1]}))
    alone = whole - float(score({"a": X, "b": X[0, 0] * [1, 0]}))
    np.testing.assert_allclose(found["a"], np.full(X.shape, both), rtol=1e-12)
    np.testing.assert_allclose(found["b"], [both, alone], rtol=1e-12)
    separate = jax.jit(ablation(g, along=-1))(tree)
    assert separate["a"].shape == X.shape and separate["b"].shape == (2,)
    np.testing.assert_allclose(separate["b"][1], alone, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_kept(dtype: str) -> None:
    x = jnp.asarray(X, dtype)
    found = jax.jit(ablation(lambda x: jnp.sum(x**2)))(x)
    assert found.dtype == dtype
    size = float(jnp.finfo(dtype).eps) * np.sum(X**2)  # the scores' rounding
    np.testing.assert_allclose(np.asarray(found, float), X**2, atol=2 * size)


def test_vmap_and_derivative() -> None:
    explain = ablation(f, along=0, chunk=2)
    mapped = jax.jit(jax.vmap(explain))(np.stack([X, BASE]))
    np.testing.assert_allclose(mapped[1], jax.jit(explain)(BASE), rtol=1e-12, atol=1e-13)
    direction, step = draw(size=X.shape), 1e-6
    loss = jax.jit(lambda x: jnp.sum(explain(x) ** 2))
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-7)


def test_argnums_and_other_arguments() -> None:
    def g(scale: Any, x: Any, power: int) -> Any:
        return scale * jnp.sum(x**power)

    found = jax.jit(ablation(g, argnums=1), static_argnums=2)(3.0, X, 2)
    np.testing.assert_allclose(found, 3 * X**2, rtol=1e-9, atol=1e-12)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: ablation(f, groups=GROUPS, along=0), ValueError, "give one of them"),
    (lambda: ablation(f, groups=WEIGHTS), TypeError, "groups has dtype float64"),
    (lambda: ablation(f, chunk=0), ValueError, "chunk=0"),
    (lambda: ablation(f, along=3)(X), ValueError, r"names axis 3, but x has shape \(3, 4, 2\)"),
    (lambda: ablation(f, groups=GROUPS)(X), ValueError, r"shape \(3, 4\), which does not broad"),
    (lambda: ablation(f, groups=ELEMENTS[None])(X), ValueError, "does not broadcast"),
    (lambda: ablation(f, groups=(GROUPS,))(X), ValueError, "groups has the tree"),
    (
        lambda: jax.jit(lambda g: ablation(f, groups=g)(X))(ELEMENTS),
        TypeError,
        "groups is traced",
    ),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
