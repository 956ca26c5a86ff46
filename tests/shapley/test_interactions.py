"""Shapley interactions against their definitions: enumerated, and on average where sampled."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapley_references import by_subsets, features_of, play

from jaxplain import over_baselines, select, shapley_interactions
from jaxplain.shapley._pairs import _zigzag

Array = np.ndarray
INDICES = ("k-SII", "SII", "STII")
each_index = pytest.mark.parametrize("index", INDICES)

draw = np.random.default_rng(8).normal
WEIGHTS = draw(size=(6, 3))
X, BASE = draw(size=(2, 6))
KEY = jax.random.key(0)


def by_definition(table: Array, index: str) -> Array:
    """Second differences over all coalitions without the pair, by the papers' formulas."""
    n = features_of(table)
    pairs = np.zeros((n, n))
    for i, j in itertools.permutations(range(n), 2):
        for members in range(len(table)):
            if members >> i & 1 or members >> j & 1:
                continue
            both, first, second = (members | extra for extra in (1 << i | 1 << j, 1 << i, 1 << j))
            size = members.bit_count()
            if index == "STII":
                weight = 2 / n / math.comb(n - 1, size)
            else:
                weight = math.factorial(size) * math.factorial(n - size - 2) / math.factorial(n - 1)
            pairs[i, j] += weight * (table[both] - table[first] - table[second] + table[members])
    if index == "SII":
        return pairs + np.diag(by_subsets(table))
    if index == "k-SII":
        return pairs / 2 + np.diag(by_subsets(table) - pairs.sum(axis=1) / 2)
    return pairs / 2 + np.diag([table[1 << i] - table[0] for i in range(n)])


@functools.cache
def exact(index: str) -> Callable[..., Any]:
    """Five features of any game."""
    explain = jax.jit(shapley_interactions(play, index=index, chunk=7, info=True))
    return functools.partial(explain, np.ones(5))


@functools.cache
def sampled(index: str, features: int, keys: int = 1500) -> Callable[..., Any]:
    """One estimate for each of many keys, of any game."""
    explain = shapley_interactions(play, index=index, samples=1)

    def estimates(table: Any) -> Any:
        each = jax.vmap(lambda key: explain(np.ones(features), table, key=key))
        return each(jax.random.split(jax.random.key(1), keys))

    return jax.jit(estimates)


# ------------------------------------------------------------------------------- the definitions


@each_index
def test_is_the_definition(index: str) -> None:
    for _ in range(2):
        table = draw(size=32)
        found, info = exact(index)(table)
        np.testing.assert_allclose(found, by_definition(table, index), atol=1e-13)
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_allclose(info.values, by_subsets(table), atol=1e-13)
        assert int(info.evaluations) == 32 and abs(float(info.residual)) < 1e-13
        assert not np.any(info.standard_error)


@pytest.mark.parametrize("index", ["k-SII", "STII"])
def test_rows_sum_to_shapley_values(index: str) -> None:
    table = draw(size=32)
    found = exact(index)(table)[0]
    np.testing.assert_allclose(found.sum(axis=1), by_subsets(table), atol=1e-13)
    np.testing.assert_allclose(found.sum(), table[-1] - table[0], atol=1e-13)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_products(size: int) -> None:
    """A score that is there only when all of the first few features are."""
    members = np.arange(32)
    everyone = (1 << size) - 1
    table = np.where(members & everyone == everyone, 1.0, 0.0)
    inside = np.zeros((5, 5))
    inside[:size, :size] = 1 - np.eye(size)
    pairs = {"SII": 1 / (size - 1), "k-SII": 0.5 / (size - 1), "STII": 0.5 / math.comb(size, 2)}
    for index, pair in pairs.items():
        found = exact(index)(table)[0]
        np.testing.assert_allclose(found - np.diag(np.diag(found)), pair * inside, atol=1e-15)


@each_index
def test_who_does_nothing_together_gets_exactly_nothing(index: str) -> None:
    """Features 1 and 3 only add their own, whole numbers: all differences are without rounding."""
    members = np.arange(32)
    bits = members[:, None] >> np.arange(5) & 1
    rest = np.round(16 * draw(size=8))[bits[:, [0, 2, 4]] @ [1, 2, 4]]
    found = exact(index)(rest + 3.0 * bits[:, 1] - 5.0 * bits[:, 3])[0]
    alone, others = found[[1, 3], [1, 3]], ~np.eye(5, dtype=bool)[[1, 3]]
    np.testing.assert_array_equal(found[np.array([1, 3])][others], 0)
    np.testing.assert_allclose(alone, [3, -5], rtol=1e-15)


@each_index
def test_symmetry_and_linearity(index: str) -> None:
    first, second = draw(size=(2, 32))
    together = exact(index)(2 * first - second)[0]
    apart = 2 * exact(index)(first)[0] - exact(index)(second)[0]
    np.testing.assert_allclose(together, apart, atol=1e-12)
    # The same game with features 0 and 3 exchanged.
    order = np.array([3, 1, 2, 0, 4])
    numbers = (np.arange(32)[:, None] >> order & 1) @ (1 << np.arange(5))
    moved = exact(index)(first[numbers])[0]
    np.testing.assert_allclose(moved, exact(index)(first)[0][np.ix_(order, order)], atol=1e-13)


@each_index
@pytest.mark.parametrize("count", [1, 2])
def test_few_features(index: str, count: int) -> None:
    table = draw(size=2**count)
    explain = jax.jit(shapley_interactions(play, index=index, samples=1))
    found = explain(np.ones(count), table, key=KEY)
    np.testing.assert_allclose(found, by_definition(table, index), atol=1e-14)


# ------------------------------------------------------------------------------------- estimates


@pytest.mark.parametrize("count", range(2, 10))
def test_zigzag_meets_each_pair_twice(count: int) -> None:
    places, slots = _zigzag(count)
    orders = [
        np.argsort(places[(np.arange(count) - rotation) % count]) for rotation in range(count)
    ]
    met = [frozenset(pair) for order in orders for pair in itertools.pairwise(order.tolist())]
    before = [size for _ in orders for size in range(count - 1)]
    pairs = list(itertools.combinations(range(count), 2))
    assert len(met) == slots.size
    for pair, (one, other) in zip(pairs, slots, strict=True):
        assert met[one] == met[other] == frozenset(pair)
        assert before[one] + before[other] == count - 2
    np.testing.assert_array_equal(np.sort(np.stack(orders), axis=0).T, [range(count)] * count)


@pytest.mark.parametrize(("index", "features"), [("k-SII", 7), ("SII", 6), ("STII", 6)])
def test_is_right_on_average(index: str, features: int) -> None:
    table = draw(size=2**features)
    found = np.asarray(sampled(index, features)(table))
    truth = by_definition(table, index)
    error = found.std(axis=0) / math.sqrt(len(found))
    varies = error > 1e-14
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - truth)[varies], 4.5 * error[varies])
    np.testing.assert_allclose(found.mean(axis=0)[~varies], truth[~varies], atol=1e-13)
    np.testing.assert_array_equal(varies, ~np.eye(features, dtype=bool) | (index != "STII"))
    shares = found * np.eye(features) if index == "SII" else found
    np.testing.assert_allclose(shares.sum(axis=(1, 2)), table[-1] - table[0], atol=1e-12)


@pytest.mark.parametrize("index", ["k-SII", "STII"])
def test_a_quadratic_score_has_no_error(index: str) -> None:
    """Second differences are the same after all coalitions, up to rounding."""
    bits = np.arange(64)[:, None] >> np.arange(6) & 1
    table = np.einsum("ni,ij,nj->n", bits, draw(size=(6, 6)), bits)
    found = sampled(index, 6)(table)
    truth = np.broadcast_to(by_definition(table, index), found.shape)
    np.testing.assert_allclose(found, truth, atol=1e-13)


def test_standard_error() -> None:
    table, samples = jnp.asarray(draw(size=128)), 2
    explain = shapley_interactions(play, index="STII", samples=samples, info=True)

    def both(key: Any) -> Any:
        found, info = explain(np.ones(7), table, key=key)
        return found, info.standard_error, info.evaluations

    keys = jax.random.split(KEY, 600)
    found, error, evaluations = jax.jit(jax.vmap(both))(keys)
    assert np.all(evaluations == 9 + samples * 40)
    spread = np.var(found, axis=0, ddof=1).mean()
    np.testing.assert_allclose(np.mean(error**2), spread, rtol=0.1)


@pytest.mark.parametrize(("index", "chunk"), [("k-SII", 10), ("STII", 110)])
def test_chunks_change_nothing(index: str, chunk: int) -> None:
    """Parts of a sample of 112 evaluations, and two of three samples of 54 at once."""
    table, samples = draw(size=2**8), {"k-SII": 2, "STII": 3}[index]
    found = [
        jax.jit(shapley_interactions(play, index=index, samples=samples, chunk=live))(
            np.ones(8), table, key=KEY
        )
        for live in (None, chunk)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-14)


# -------------------------------------------------------------------------------------- the house


def logits(x: Any) -> Any:
    return jnp.tanh(x @ jnp.asarray(WEIGHTS, x.dtype)) ** 3 + x[:3] * x[3:]


def f(x: Any) -> Any:
    return jnp.sum(logits(x) * jnp.asarray([1.0, 2.0, -1.0], x.dtype))


def table_of(x: Array, base: Array, labels: Array) -> Array:
    """The values of all coalitions of groups."""
    members = np.arange(2 ** len(set(labels.tolist())))[:, None] >> labels & 1
    return np.asarray(jax.jit(jax.vmap(f))(np.where(members == 1, x, base)))


def test_groups_and_batches() -> None:
    labels = np.array([2, 0, 0, 1, 2, 1])
    wanted = by_definition(table_of(X, BASE, labels), "k-SII")
    made = jax.jit(shapley_interactions(f, groups=labels - 7))
    np.testing.assert_allclose(made(X, baseline=BASE), wanted, atol=1e-13)
    called = jax.jit(jax.vmap(shapley_interactions(f, features=3)))
    groups, both = np.stack([labels, labels]), np.stack([X, BASE])
    found = called(both, baseline=both[::-1], groups=groups)
    np.testing.assert_allclose(found[0], wanted, atol=1e-13)
    across = jax.jit(shapley_interactions(lambda tree: f(jnp.concatenate(tree)), along=()))
    labels = np.array([0, 0, 1, 1, 1, 1])
    wanted = by_definition(table_of(X, BASE, labels), "k-SII")
    found = across((X[:2], X[2:]), baseline=(BASE[:2], BASE[2:]))
    np.testing.assert_allclose(found, wanted, atol=1e-13)


def test_dtypes() -> None:
    for dtype, digits in {"float32": 2e-6, "bfloat16": 0.1}.items():
        x = jnp.asarray(X, dtype)
        found = jax.jit(shapley_interactions(f))(x)
        assert found.dtype == "float32"
        wanted = by_definition(table_of(np.asarray(x, float), 0 * X, np.arange(6)), "k-SII")
        np.testing.assert_allclose(found, wanted, atol=digits)
    ids = jax.jit(shapley_interactions(lambda ids: jnp.prod(jnp.asarray(X)[ids])))
    found = ids(np.array([3, 1]), baseline=5)
    np.testing.assert_allclose(found.sum(), X[3] * X[1] - X[5] ** 2, atol=1e-14)


@pytest.mark.parametrize("samples", [None, 1])
def test_derivative(samples: int | None) -> None:
    keyword = {} if samples is None else {"key": KEY}
    weights = draw(size=(6, 6))

    @jax.jit
    def loss(x: Any) -> Any:
        explain = shapley_interactions(f, samples=samples, chunk=20, index="STII")
        return jnp.sum(weights * explain(x, baseline=BASE, **keyword))

    direction, step = draw(size=6), 1e-5
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-7)


def test_all_classes_and_all_baselines_at_once() -> None:
    baselines = np.stack([BASE, 0 * BASE])
    explain = over_baselines(shapley_interactions(select(logits), samples=1))
    bound = functools.partial(explain, baseline=baselines, key=KEY)
    found = jax.jit(lambda x: jax.vmap(lambda k: bound(x, k))(jnp.arange(3)))(X)
    score = jax.jit(jax.vmap(logits))
    wanted = score(X[None])[0] - score(baselines).mean(axis=0)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), wanted, atol=1e-13)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: shapley_interactions(f, index="sii"), ValueError, "choose one of k-SII, SII, STII"),
    (lambda: shapley_interactions(f, samples=0), ValueError, "samples=0"),
    (lambda: shapley_interactions(f, samples=1, info=True), ValueError, "at least 2"),
    (lambda: shapley_interactions(f, chunk=0), ValueError, "chunk=0"),
    (lambda: shapley_interactions(f, samples=2)(X), TypeError, "pass key="),
    (lambda: shapley_interactions(f)(X, key=KEY), TypeError, "takes none"),
    (
        lambda: shapley_interactions(jnp.sum)(np.ones(21)),
        ValueError,
        r"21 features, so all coalitions would be 2\*\*21 .* Give samples=",
    ),
    (lambda: shapley_interactions(logits)(X), TypeError, "must return one real number"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
