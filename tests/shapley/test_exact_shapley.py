"""Exact Shapley values against their definition, and the laws of all three ways to find them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapley_references import by_orders, by_subsets, play

from jaxplain import exact_shapley, kernel_shap, over_baselines, select, shapley_sampling

draw = np.random.default_rng(3).normal
WEIGHTS = draw(size=(6, 3))
X, BASE = draw(size=(2, 6))
KEY = jax.random.key(0)

# All are exact, or sampled by one key: then equal numbers mean equal coalitions and weights.
WAYS: dict[str, Callable[..., Any]] = {
    "exact": exact_shapley,
    "kernel": functools.partial(kernel_shap, samples=40),
    "orders": functools.partial(shapley_sampling, samples=6),
}


def keyed(way: str) -> dict[str, Any]:
    return {} if way == "exact" else {"key": KEY}


def logits(x: Any) -> Any:
    return jnp.tanh(x @ jnp.asarray(WEIGHTS, x.dtype)) ** 3 + x[:3] * x[3:]


def f(x: Any) -> Any:
    return jnp.sum(logits(x) * jnp.asarray([1.0, 2.0, -1.0], x.dtype))


# --------------------------------------------------------------------------------- the definition


def test_is_the_definition() -> None:
    explain = jax.jit(exact_shapley(play, chunk=5, info=True))
    for _ in range(3):
        table = draw(size=32)
        found, info = explain(np.ones(5), table)
        np.testing.assert_allclose(found, by_subsets(table), atol=1e-13)
        np.testing.assert_allclose(found, by_orders(table), atol=1e-13)
        assert int(info.evaluations) == 32 and abs(float(info.residual)) < 1e-13
        np.testing.assert_array_equal(info.values, found)


@pytest.mark.parametrize("count", [1, 2])
def test_few_features(count: int) -> None:
    table = draw(size=2**count)
    for way, make in WAYS.items():
        found, info = jax.jit(make(play, info=True))(np.ones(count), table, **keyed(way))
        np.testing.assert_allclose(found, by_subsets(table), atol=1e-13, err_msg=way)
        if way != "exact":
            np.testing.assert_array_equal(info.standard_error, 0, err_msg=way)


def test_float32_sums_of_many_terms() -> None:
    table = (1e3 + draw(size=2**16)).astype("float32")
    found, info = jax.jit(exact_shapley(play, chunk=4096, info=True))(np.ones(16, "f"), table)
    exact = jax.jit(exact_shapley(play, chunk=4096))(np.ones(16), table.astype(float))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, exact, atol=2e-6)
    assert abs(float(info.residual)) < 1e-5


# --------------------------------------------------------------- axioms, which hold for every way


@pytest.mark.parametrize("way", WAYS)
def test_axioms(way: str) -> None:
    """Efficiency and linearity hold for any samples, by construction."""
    explain = jax.jit(WAYS[way](play))
    one, other = draw(size=(2, 64))
    values = explain(np.ones(6), one, **keyed(way))
    np.testing.assert_allclose(np.sum(values), one[-1] - one[0], atol=1e-12)
    both = explain(np.ones(6), 2 * one - 3 * other, **keyed(way))
    apart = 2 * values - 3 * explain(np.ones(6), other, **keyed(way))
    np.testing.assert_allclose(both, apart, atol=1e-12)
    added = draw(size=6)
    additive = np.array([sum(added[j] for j in range(6) if n >> j & 1) for n in range(64)]) + 0.7
    np.testing.assert_allclose(explain(np.ones(6), additive, **keyed(way)), added, atol=1e-12)


@pytest.mark.parametrize("way", ["exact", "orders"])
def test_dummy(way: str) -> None:
    """A feature that adds the same to every coalition gets that, also from single orders."""
    table = draw(size=64)
    table[32:] = table[:32] + 0.25
    found = jax.jit(WAYS[way](play))(np.ones(6), table, **keyed(way))
    np.testing.assert_allclose(found[5], 0.25, atol=1e-12)


def test_symmetry() -> None:
    table = draw(size=64).reshape([2] * 6)
    table = (table + table.swapaxes(1, 4)).ravel()  # bits 4 and 1
    found = jax.jit(exact_shapley(play))(np.ones(6), table)
    np.testing.assert_allclose(found[1], found[4], atol=1e-13)
    assert len(np.unique(np.round(found, 10))) == 5


# ---------------------------------------------------------------------- calls, dtypes, transforms


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_kept(way: str, dtype: str) -> None:
    x = jnp.asarray(X, dtype)
    found, info = jax.jit(WAYS[way](f, info=True))(x, **keyed(way))
    assert found.dtype == dtype and info.values.dtype == "float32"
    wide = jax.jit(WAYS[way](f))(x.astype("float64"), **keyed(way))
    rounding = float(jnp.finfo(dtype).eps) * 8  # of scores of the order of one
    np.testing.assert_allclose(np.asarray(found, float), wide, atol=rounding)
    ends = jax.jit(f)(x), jax.jit(f)(0 * x)
    total = float(ends[0]) - float(ends[1])  # what is there in bfloat16 is exact in float32
    np.testing.assert_allclose(np.sum(info.values), total, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_chunks_and_transforms(way: str) -> None:
    """Chunks, jax.jit and jax.vmap change nothing."""
    xs, extra = np.stack([X, BASE, X - BASE]), keyed(way)
    explain = WAYS[way](f)
    alone = np.stack([jax.jit(explain)(x, baseline=0.1, **extra) for x in xs])
    for chunk in (1, 7):
        chunked = functools.partial(WAYS[way](f, chunk=chunk), baseline=0.1, **extra)
        np.testing.assert_allclose(jax.jit(jax.vmap(chunked))(xs), alone, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_derivative_of_the_explanation(way: str) -> None:
    explain, extra = WAYS[way](f, chunk=8), keyed(way)
    direction, step = draw(size=6), 1e-6

    def loss(x: Any, base: Any) -> Any:
        return jnp.sum(explain(x, baseline=base, **extra) ** 2)

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1)))(X, BASE)
    slope = np.sum(direction * (slopes[0] - slopes[1]))
    value = jax.jit(loss)
    ends = [float(value(X + s * direction, BASE - s * direction)) for s in (step, -step)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


EMBEDDING = draw(size=(9, 2))
TREE = {"ids": np.array([3, 8, 1, 5]), "picture": draw(size=(2, 3))}
TREE_BASE = {"ids": np.full(4, 7), "picture": np.ones((2, 3))}
LABELS = {"ids": np.array([0, 1, 2, 3]), "picture": np.array([[0, 0, 4], [4, 5, 5]])}


def of_tree(tree: Any) -> Any:
    """A score of token ids and a picture."""
    seen = jnp.asarray(EMBEDDING)[tree["ids"]]
    return jnp.sum(jnp.tanh(seen[:, 0] * seen[::-1, 1])) * jnp.sum(tree["picture"] ** 2)


@functools.cache
def table_of_tree() -> np.ndarray:
    """The score of each coalition of the groups."""
    kept = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(bool)
    parts = {
        name: np.where(kept[:, LABELS[name]], TREE[name][None], TREE_BASE[name][None])
        for name in TREE
    }
    return np.asarray(jax.jit(jax.vmap(of_tree))(parts))


@pytest.mark.parametrize("way", WAYS)
def test_groups_trees_and_integers(way: str) -> None:
    """Superpixels come with the call, and one holds a token too."""
    explain = jax.jit(WAYS[way](of_tree, features=6))
    found = explain(TREE, baseline=TREE_BASE, groups=LABELS, **keyed(way))
    values = jax.jit(WAYS[way](play))(np.ones(6), table_of_tree(), **keyed(way))
    for name in TREE:
        np.testing.assert_allclose(found[name], np.asarray(values)[LABELS[name]], atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_sets_of_backgrounds(way: str) -> None:
    backgrounds = draw(size=(3, 6))
    found = jax.jit(over_baselines(WAYS[way](f)))(X, baseline=backgrounds, **keyed(way))
    explain, total = jax.jit(WAYS[way](f)), np.zeros(6)
    for i, base in enumerate(backgrounds):
        extra = {} if way == "exact" else {"key": jax.random.fold_in(KEY, i)}
        total += explain(X, baseline=base, **extra)
    np.testing.assert_allclose(found, total / 3, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_classes_share_evaluations(way: str) -> None:
    """Mapped over the class, the network is traced for as many coalitions as for one class."""
    explain = functools.partial(WAYS[way](select(logits)), **keyed(way))
    mapped = jax.vmap(explain, in_axes=(None, 0))
    sizes = [
        sorted(_sizes(jax.make_jaxpr(function)(X, classes).jaxpr))
        for function, classes in ((explain, 0), (mapped, np.arange(3)))
    ]
    assert sizes[0] == sizes[1] and max(sizes[0]) >= 3 * 30
    one = jax.jit(explain)(X, 1)
    np.testing.assert_allclose(jax.jit(mapped)(X, np.arange(3))[1], one, atol=1e-12)


def _sizes(jaxpr: Any) -> list[int]:
    """How many numbers each tanh gives."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "tanh":
            found.append(equation.outvars[0].aval.size)
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "jaxpr")
        ):
            found += _sizes(inner.jaxpr) if hasattr(inner, "jaxpr") else []
    return found


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: exact_shapley(f, chunk=0), ValueError, "chunk=0"),
    (lambda: exact_shapley(f, groups=WEIGHTS), TypeError, "groups has dtype float64"),
    (
        lambda: exact_shapley(f)(np.ones(21)),
        ValueError,
        "21 features have 2.21.*at most 20.*kernel_shap.*shapley_sampling",
    ),
    (lambda: exact_shapley(f)(X, key=KEY), TypeError, "key= was given to a method"),
    (lambda: exact_shapley(logits)(X), TypeError, "must return one real number"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
