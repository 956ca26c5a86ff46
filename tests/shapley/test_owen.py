"""Owen values against their definitions: enumerated, and on average where sampled."""

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
from shapley_references import by_subsets, of_order, play

from jaxplain import over_baselines, owen, select

Array = np.ndarray

draw = np.random.default_rng(9).normal
WEIGHTS = draw(size=(6, 3))
X, BASE = draw(size=(2, 6))
KEY = jax.random.key(0)
UNIONS = np.array([5, 2, 5, 5, 7, 2])  # of three, two and one


def by_definition(table: Array, unions: Array) -> Array:
    """The double sum over sets of other unions and parts of the own one."""
    names = sorted(set(unions.tolist()))
    of = {name: sum(1 << int(i) for i in np.flatnonzero(unions == name)) for name in names}
    values = np.zeros(len(unions))
    for i, own in enumerate(unions.tolist()):
        others = [name for name in names if name != own]
        mates = [j for j in np.flatnonzero(unions == own).tolist() if j != i]
        for chosen, part in itertools.product(subsets(others), subsets(mates)):
            members = sum(of[name] for name in chosen) + sum(1 << j for j in part)
            weight = 1 / len(names) / math.comb(len(others), len(chosen))
            weight *= 1 / (len(mates) + 1) / math.comb(len(mates), len(part))
            values[i] += weight * (table[members | 1 << i] - table[members])
    return values


def subsets(names: list[int]) -> list[tuple[int, ...]]:
    sizes = range(len(names) + 1)
    return [part for size in sizes for part in itertools.combinations(names, size)]


def by_orders(table: Array, unions: Array) -> Array:
    """The mean over all orders in which unions stay together."""
    found = []
    for order in itertools.permutations(range(len(unions))):
        runs = [name for name, _ in itertools.groupby(unions[list(order)])]
        if len(runs) == len(set(runs)):
            found.append(of_order(table, np.array(order)))
    return np.mean(found, axis=0)


@functools.cache
def exact(unions: tuple[int, ...]) -> Callable[..., Any]:
    """Any game of so many features."""
    explain = jax.jit(owen(play, unions=np.array(unions), chunk=9, info=True))
    return functools.partial(explain, np.ones(len(unions)))


# -------------------------------------------------------------------------------- the definition


def test_is_the_definition() -> None:
    for _ in range(2):
        table = draw(size=64)
        found, info = exact(tuple(UNIONS))(table)
        np.testing.assert_allclose(found, by_definition(table, UNIONS), atol=1e-13)
        np.testing.assert_allclose(found, by_orders(table, UNIONS), atol=1e-13)
        np.testing.assert_array_equal(info.values, found)
        assert int(info.evaluations) == 8 + 4 * (6 + 2) and abs(float(info.residual)) < 1e-13
        assert not np.any(info.standard_error)


@pytest.mark.parametrize("unions", [(0, 1, 2, 3, 4), (3, 3, 3, 3, 3)])
def test_alone_or_all_together_are_shapley_values(unions: tuple[int, ...]) -> None:
    table = draw(size=32)
    found, info = exact(unions)(table)
    np.testing.assert_allclose(found, by_subsets(table), atol=1e-13)
    assert int(info.evaluations) == 32


def test_unions_get_what_they_would_as_features() -> None:
    table = draw(size=64)
    members = np.arange(8)[:, None] >> np.array([1, 0, 1, 1, 2, 0]) & 1
    quotient = by_subsets(table[members @ (1 << np.arange(6))])
    found = exact(tuple(UNIONS))(table)[0]
    sums = [np.sum(found[name == UNIONS]) for name in (2, 5, 7)]
    np.testing.assert_allclose(sums, quotient, atol=1e-13)


def test_who_does_nothing_gets_exactly_nothing() -> None:
    table = draw(size=64)
    bits = np.arange(64)
    for feature in (0, 4):
        found = exact(tuple(UNIONS))(table[bits & ~(1 << feature)])[0]
        assert found[feature] == 0 and np.all(found[np.arange(6) != feature] != 0)


def test_symmetry_and_linearity() -> None:
    first, second = draw(size=(2, 64))
    game = exact(tuple(UNIONS))
    together, apart = game(2 * first - second)[0], 2 * game(first)[0] - game(second)[0]
    np.testing.assert_allclose(together, apart, atol=1e-12)
    order = np.array([3, 5, 2, 0, 4, 1])  # each stays in its union
    numbers = (np.arange(64)[:, None] >> order & 1) @ (1 << np.arange(6))
    np.testing.assert_allclose(game(first[numbers])[0], game(first)[0][order], atol=1e-13)


# ------------------------------------------------------------------------------------- estimates


@pytest.fixture(scope="module")
def estimates() -> tuple[Array, Array, Array]:
    """A game of eight features, and of many keys the estimates with their standard errors."""
    table, unions = jnp.asarray(draw(size=256)), np.array([0, 0, 0, 1, 2, 2, 1, 1])
    explain = owen(play, unions=unions, samples=4, info=True)

    def estimate(key: Any) -> Any:
        found, info = explain(np.ones(8), table, key=key)
        return found, info.standard_error, info.evaluations

    keys = jax.random.split(jax.random.key(1), 1500)
    found, error, evaluations = map(np.asarray, jax.jit(jax.vmap(estimate))(keys))
    assert np.all(evaluations == 2 + 4 * 7)
    np.testing.assert_allclose(found.sum(axis=1), table[-1] - table[0], atol=1e-12)
    return found, error, by_definition(np.asarray(table), unions)


def test_is_right_on_average(estimates: tuple[Array, Array, Array]) -> None:
    found, _, truth = estimates
    error = found.std(axis=0) / math.sqrt(len(found))
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - truth), 4 * error)


def test_standard_error(estimates: tuple[Array, Array, Array]) -> None:
    found, error, _ = estimates
    np.testing.assert_allclose(np.mean(error**2), found.var(axis=0).mean(), rtol=0.08)


def test_order_and_reverse_leave_no_error_of_pairs() -> None:
    """In a quadratic game an order and its reverse add up to the mean."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    table = np.einsum("ni,ij,nj->n", bits, draw(size=(8, 8)), bits)
    unions = np.array([0, 0, 0, 1, 2, 2, 1, 1])
    found = jax.jit(owen(play, unions=unions, samples=2))(np.ones(8), table, key=KEY)
    np.testing.assert_allclose(found, by_subsets(table), atol=1e-12)


def test_chunks_change_nothing() -> None:
    table, unions = draw(size=256), np.array([0, 0, 0, 1, 2, 2, 1, 1])
    found = [
        jax.jit(owen(play, unions=unions, samples=6, chunk=chunk))(np.ones(8), table, key=KEY)
        for chunk in (3, 30)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-14)


def test_few_are_enumerated() -> None:
    table = draw(size=64)
    explain = jax.jit(owen(play, unions=UNIONS, samples=8, info=True))
    found, info = explain(np.ones(6), table, key=KEY)
    np.testing.assert_allclose(found, by_definition(table, UNIONS), atol=1e-13)
    assert int(info.evaluations) == 40  # and not 42
    alone = jax.jit(owen(lambda x: 3 * jnp.sum(x), unions=0, samples=2, along=()))
    np.testing.assert_array_equal(alone(np.ones(2), key=KEY), [6, 6])


# -------------------------------------------------------------------------------------- the house


def logits(x: Any) -> Any:
    return jnp.tanh(x @ jnp.asarray(WEIGHTS, x.dtype)) ** 3 + x[:3] * x[3:]


def f(x: Any) -> Any:
    return jnp.sum(logits(x) * jnp.asarray([1.0, 2.0, -1.0], x.dtype))


def table_of(x: Array, base: Array, labels: Array) -> Array:
    """The values of all coalitions of groups."""
    members = np.arange(2 ** len(set(labels.tolist())))[:, None] >> labels & 1
    return np.asarray(jax.jit(jax.vmap(f))(np.where(members == 1, x, base)))


def test_groups_in_unions() -> None:
    labels, unions = np.array([2, 0, 0, 1, 2, 3]), np.array([4, 1, 1, 4, 4, 1])
    wanted = by_definition(table_of(X, BASE, labels), np.array([1, 4, 4, 1]))[labels]
    wanted_base = by_definition(table_of(BASE, X, labels), np.array([1, 4, 4, 1]))[labels]
    called = jax.jit(
        jax.vmap(functools.partial(owen(f, unions=unions, features=4), groups=labels), axis_size=2)
    )
    found = called(np.stack([X, BASE]), baseline=np.stack([BASE, X]))
    np.testing.assert_allclose(found, np.stack([wanted, wanted_base]), atol=1e-13)


def test_unions_of_a_tree_and_of_axes() -> None:
    picture = draw(size=(2, 3, 2))

    def g(tree: Any) -> Any:
        return f(jnp.sum(tree["a"] ** 2, axis=-1).ravel()) * jnp.sum(tree["b"])

    tree = {"a": picture, "b": np.array([0.3, 0.7])}
    # Pixels of the first row, those of the second, and the two others.
    explain = jax.jit(
        owen(
            g,
            unions={"a": np.arange(2)[:, None, None], "b": 9},
            groups={"a": np.arange(6).reshape(2, 3, 1), "b": np.array([6, 7])},
        )
    )
    found = explain(tree)
    squares = np.sum(picture**2, axis=-1).ravel()
    halves = table_of(squares, np.zeros(6), np.arange(6))
    zero = float(halves[0])
    table = np.concatenate([(halves * share) for share in (0.0, 0.3, 0.7, 1.0)])
    assert zero == 0
    wanted = by_definition(table, np.array([0, 0, 0, 1, 1, 1, 2, 2]))
    pixels = np.broadcast_to(wanted[:6].reshape(2, 3, 1), (2, 3, 2))
    np.testing.assert_allclose(found["a"], pixels, atol=1e-12)
    np.testing.assert_allclose(found["b"], wanted[6:], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtypes(dtype: str) -> None:
    x = jnp.asarray(X, dtype)
    found = jax.jit(owen(f, unions=UNIONS))(x)
    assert found.dtype == dtype
    wanted = by_definition(table_of(np.asarray(x, float), 0 * X, np.arange(6)), UNIONS)
    tolerance = 8 * float(jnp.finfo(dtype).eps) * np.abs(X).max() ** 2
    np.testing.assert_allclose(np.asarray(found, float), wanted, atol=tolerance)


@pytest.mark.parametrize("samples", [None, 2])
def test_derivative(samples: int | None) -> None:
    keyword = {} if samples is None else {"key": KEY}
    weights = draw(size=6)

    @jax.jit
    def loss(x: Any) -> Any:
        explain = owen(f, unions=UNIONS, samples=samples, chunk=8)
        return jnp.sum(weights * explain(x, baseline=BASE, **keyword))

    direction, step = draw(size=6), 1e-5
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-7)


def test_all_classes_and_all_baselines_at_once() -> None:
    baselines = np.stack([BASE, 0 * BASE])
    explain = over_baselines(owen(select(logits), unions=UNIONS, samples=2))
    bound = functools.partial(explain, baseline=baselines, key=KEY)
    found = jax.jit(lambda x: jax.vmap(lambda k: bound(x, k))(jnp.arange(3)))(X)
    score = jax.jit(jax.vmap(logits))
    wanted = score(X[None])[0] - score(baselines).mean(axis=0)
    np.testing.assert_allclose(found.sum(axis=1), wanted, atol=1e-13)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: owen(f, unions=WEIGHTS), TypeError, "unions has dtype float64, but unions are int"),
    (lambda: owen(f, unions=UNIONS, samples=3), ValueError, "give samples=4"),
    (lambda: owen(f, unions=UNIONS, samples=0), ValueError, "samples=0"),
    (lambda: owen(f, unions=UNIONS, samples=2, info=True), ValueError, "at least 4"),
    (lambda: owen(f, unions=UNIONS, chunk=0), ValueError, "chunk=0"),
    (lambda: owen(f, unions=UNIONS[:4])(X), ValueError, r"unions has shape \(4,\), which does"),
    (lambda: owen(f, unions=(UNIONS,))(X), ValueError, "unions has the tree"),
    (
        lambda: owen(f, unions=UNIONS, groups=np.array([0, 0, 1, 1, 2, 3]))(X),
        ValueError,
        "Feature 0 .* lies in 2 unions",
    ),
    (lambda: owen(f, unions=UNIONS, samples=2)(X), TypeError, "pass key="),
    (lambda: owen(f, unions=UNIONS)(X, key=KEY), TypeError, "takes none"),
    (
        lambda: owen(jnp.sum, unions=np.arange(40) // 20)(np.ones(40)),
        ValueError,
        r"40 features in 2 unions \(of 20, 20\), .* Give samples=",
    ),
    (
        lambda: jax.jit(lambda unions: owen(f, unions=unions)(X))(UNIONS),
        TypeError,
        "unions is traced",
    ),
    (
        lambda: jax.jit(lambda g: owen(f, unions=UNIONS, features=6)(X, groups=g))(np.arange(6)),
        TypeError,
        "traced groups",
    ),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
