"""What a feature is, and the game that features play: labels, masks, traced groups, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import ablation
from jaxplain.perturb._features import Features, Partition
from jaxplain.perturb._game import Game

rng = np.random.default_rng(1)
X, BASE = rng.normal(size=(2, 2, 3))
LABELS = np.array([[2, 0, 0], [1, 1, 2]], np.int32)
TREE = {"a": X, "b": X[0]}


def of(x: Any, *call: Any, **options: Any) -> Features:
    return Partition.checked(
        options.get("groups"), options.get("along"), options.get("features")
    ).of(x, *call)


def test_labels_are_numbered_from_zero_across_leaves() -> None:
    elements = of(TREE)
    assert elements.count == 9
    np.testing.assert_array_equal(elements.labels["a"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(elements.labels["b"], [6, 7, 8])
    last = of(TREE, along=-1)
    assert last.count == 6 and last.labels["a"].shape == (1, 3)
    np.testing.assert_array_equal(last.labels["b"], [3, 4, 5])
    named = of(TREE, groups={"a": np.array([9, -4, 9]), "b": np.array(5)})
    assert named.count == 3
    np.testing.assert_array_equal(named.labels["a"], [[2, 0, 2]])
    np.testing.assert_array_equal(named.labels["b"], [1])
    counted = of(X, LABELS, features=7)
    assert counted.count == 7
    np.testing.assert_array_equal(counted.labels, LABELS)


def test_restrict() -> None:
    features = of(X, groups=LABELS)
    kept = features.restrict(jnp.asarray(X), jnp.asarray(BASE), jnp.array([True, False, True]))
    np.testing.assert_array_equal(kept, np.where(LABELS == 1, BASE, X))
    share = np.array([0.25, 0.0, 1.0])
    mixed = features.restrict(jnp.asarray(X), jnp.asarray(BASE), jnp.asarray(share))
    np.testing.assert_allclose(mixed, BASE + share[LABELS] * (X - BASE), rtol=1e-15)


def test_integers_are_exchanged_and_never_mixed() -> None:
    ids, mask = np.array([5, 8, 2], np.int32), np.array([0, 0, 1], np.int32)
    table = rng.normal(size=9)
    score = lambda ids: jnp.sum(jnp.asarray(table)[ids])  # noqa: E731
    found = jax.jit(ablation(score))(ids, baseline=mask)
    np.testing.assert_allclose(found, table[ids] - table[mask], rtol=1e-12)
    assert found.dtype == np.float64
    kept = of(ids).restrict(ids, mask, jnp.array([True, False, True]))
    np.testing.assert_array_equal(kept, [5, 0, 2])
    assert kept.dtype == np.int32


def test_traced_groups_give_the_numbers_of_concrete_ones() -> None:
    def f(x: Any) -> Any:
        return jnp.prod(jnp.tanh(x) + 2)

    concrete = jax.jit(ablation(f, groups=LABELS))
    traced = jax.jit(ablation(f, features=4))
    expected = concrete(X, baseline=BASE)
    np.testing.assert_allclose(traced(X, groups=LABELS, baseline=BASE), expected, rtol=1e-12)
    batch, labels = np.stack([X, BASE]), np.stack([LABELS, LABELS.T.reshape(2, 3)])
    mapped = jax.jit(jax.vmap(ablation(f, features=4, chunk=3)))(batch, groups=labels)
    for x, own, found in zip(batch, labels, mapped, strict=True):
        np.testing.assert_allclose(found, traced(x, groups=own), rtol=1e-12)


@pytest.mark.parametrize("wrong", [-1, 3, 100])
def test_traced_labels_out_of_range_poison_everything(wrong: int) -> None:
    """They could not be checked when the method was made, and must not pass in silence."""
    labels = LABELS.copy()
    labels[0, 1] = wrong
    explain = ablation(jnp.sum, features=3)
    assert np.isnan(jax.jit(explain)(X, groups=labels)).all()
    assert np.isfinite(jax.jit(explain)(X, groups=LABELS)).all()
    with pytest.raises(ValueError, match="between 0 and 2"):
        explain(X, groups=labels)


def test_game() -> None:
    """The score of a coalition; other arguments pass through, bfloat16 is widened."""

    def f(scale: Any, x: Any, *, offset: Any) -> Any:
        return scale * jnp.sum(x["a"]) + jnp.sum(x["b"] ** 2) + offset

    base = jax.tree.map(np.negative, TREE)
    game = Game.of(
        f, (3.0, TREE), {"offset": 0.5}, 1, partition=Partition.checked(None, (), None),
        baseline=base, groups=None,
    )  # fmt: skip
    assert game.count == 2
    values = game.values(
        lambda n: jnp.arange(2, dtype=jnp.int32) == n, jnp.arange(3, dtype=jnp.int32), chunk=2
    )
    total, square = np.sum(X), np.sum(X[0] ** 2)
    expected = [3 * total + square + 0.5, -3 * total + square + 0.5, -3 * total + square + 0.5]
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    spread = game.spread(jnp.array([7.0, 8.0]))
    np.testing.assert_array_equal(spread["a"], np.full((2, 3), 7.0))
    np.testing.assert_array_equal(spread["b"], np.full(3, 8.0))
    low = Game.of(
        jnp.sum, (jnp.asarray(X, jnp.bfloat16),), {}, 0, partition=Partition(), baseline=None,
        groups=None,
    )  # fmt: skip
    assert low.value(jnp.ones(6, bool)).dtype == jnp.float32
    assert low.spread(jnp.arange(6, dtype=jnp.float32)).dtype == jnp.bfloat16


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: of(X, groups=LABELS, along=0), ValueError, "give one of them"),
    (lambda: of(X, along=0, features=2), ValueError, "along= needs none"),
    (lambda: of(X, features=0), ValueError, "features=0"),
    (lambda: of(X, features=3), TypeError, "none were given"),
    (lambda: of(X, LABELS, groups=LABELS), TypeError, "features of its own"),
    (lambda: of(X, LABELS, along=0), TypeError, "features of its own"),
    (lambda: of(X, groups=LABELS, features=2), ValueError, "between 0 and 1"),
    (lambda: of(X, X), TypeError, "groups has dtype float64"),
    (lambda: of(TREE, {"a": LABELS}), ValueError, "groups has the tree"),
    (lambda: of(TREE, {"a": LABELS, "b": LABELS}), ValueError, r"groups\['b'\] has shape"),
    (lambda: of(TREE, along=1), ValueError, r"axis 1, but x\['b'\] has shape \(3,\)"),
    (lambda: jax.jit(lambda g: of(X, g).labels)(LABELS), TypeError, "with features="),
    (
        lambda: jax.jit(lambda g: of(X, groups=g).labels)(LABELS),
        TypeError,
        "when the method is made",
    ),
    (
        lambda: ablation(jnp.sum)(np.arange(3), baseline=np.zeros(3)),
        TypeError,
        "must hold integers too",
    ),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
