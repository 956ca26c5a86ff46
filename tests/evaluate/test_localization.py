"""Metrics with a mask against counting in NumPy, and scikit-learn's ROC."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import jaxplain
from jaxplain.evaluate._focus import focus, mosaic
from jaxplain.evaluate._mass import attribution_localization, relevance_mass_accuracy
from jaxplain.evaluate._roc import localization_auc
from jaxplain.evaluate._top import pointing_game, relevance_rank_accuracy, top_k_intersection

Array = np.ndarray
SHAPE = (4, 5, 3)
generator = np.random.default_rng(11)
X = generator.normal(size=SHAPE)
MASK = generator.random(SHAPE[:2]) < 0.4
TIED = np.round(X)


def f(x: Any) -> Any:
    return jnp.sum(x)


def itself(x: Any) -> Any:
    return x


METHODS: dict[str, Callable[..., Any]] = {
    "itself": itself,
    "rounded": jnp.round,
    "constant": jnp.ones_like,
    "zero": jnp.zeros_like,
    "negative": lambda x: -jnp.abs(x) - 1,
}
PIXELS = (0, 1)
METRICS: dict[str, Callable[..., Any]] = {
    "pointing": pointing_game,
    "pointing absolute": functools.partial(pointing_game, sign="absolute"),
    "mass": relevance_mass_accuracy,
    "mass absolute": functools.partial(relevance_mass_accuracy, sign="absolute"),
    "rank": relevance_rank_accuracy,
    "rank absolute": functools.partial(relevance_rank_accuracy, sign="absolute"),
    "top": functools.partial(top_k_intersection, k=6),
    "influence": functools.partial(top_k_intersection, k=6, influence=True),
    "auc": localization_auc,
    "auc absolute": functools.partial(localization_auc, sign="absolute"),
    "localization": attribution_localization,
    "weighted": functools.partial(attribution_localization, weighted=True),
}


@functools.cache
def measured(along: tuple[int, ...] | None = PIXELS) -> Callable[..., Any]:
    """All metrics of all methods in one program."""
    made = {name: metric(f, METHODS, along=along) for name, metric in METRICS.items()}
    return jax.jit(lambda x, mask: {name: metric(x, mask=mask) for name, metric in made.items()})


@functools.cache
def found() -> Any:
    return measured()(X, MASK)


# ------------------------------------------------------------------------------ the formulas


def chance_of_top(values: Array, inside: Array, count: int) -> float:
    """The mean share inside over all orders that agree with the values, one feature at a time."""
    total = 0.0
    for place in np.flatnonzero(inside):
        above = int(np.sum(values > values[place]))
        level = int(np.sum(values == values[place]))
        total += min(max(count - above, 0), level) / level
    return total / count


def share(above: float, below: float) -> float:
    return above / below if below else 0.0


def by_hand(metric: str, relevance: Array, inside: Array) -> float:
    name, _, sign = metric.partition(" ")
    values = np.abs(relevance) if sign else relevance
    if name in ("pointing", "rank", "top", "influence"):
        count = {"pointing": 1, "rank": int(inside.sum())}.get(name, 6)
        scale = len(inside) / inside.sum() if name == "influence" else 1
        return chance_of_top(values, inside, count) * scale
    if name == "auc":
        return float(roc_auc_score(inside, values))
    mass = np.maximum(values, 0)
    scale = len(inside) / inside.sum() if name == "weighted" else 1
    return share(mass[inside].sum(), mass.sum()) * scale


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", METRICS)
def test_formula(metric: str, method: str) -> None:
    relevance = np.asarray(METHODS[method](X)).sum(-1).ravel()
    expected = by_hand(metric, relevance, MASK.ravel())
    np.testing.assert_allclose(found()[metric][method], expected, rtol=1e-12)


def test_auc_of_many_features_loses_no_digits() -> None:
    values = np.round(generator.normal(size=60_000), 3).astype(np.float32)
    mask = generator.random(60_000) < 0.3
    measure = jax.jit(localization_auc(f, itself))
    np.testing.assert_allclose(measure(values, mask=mask), roc_auc_score(mask, values), rtol=1e-6)


# ------------------------------------------------------------------------------------ masks


def test_shapes_of_masks() -> None:
    """Elements as features: a mask without channels, with one, or with all."""
    one = measured(None)(X, MASK)
    for mask in (MASK[..., None], np.repeat(MASK[..., None], 3, axis=-1)):
        again = measured(None)(X, mask)
        np.testing.assert_array_equal(jax.tree.leaves(again), jax.tree.leaves(one))
    expected = by_hand("auc", X.ravel(), np.repeat(MASK.ravel(), 3))
    np.testing.assert_allclose(one["auc"]["itself"], expected, rtol=1e-12)


def test_features_of_the_object_are_mostly_in_it() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    mask = np.array([True, True, False, True, False, False, False, True])
    x = np.array([0.0, 0, 1, 9, 0, 0, 2, 0])
    measure = functools.partial(relevance_mass_accuracy, f, itself)
    np.testing.assert_allclose(jax.jit(measure(groups=groups))(x, mask=mask), 1 / 12)
    brought = jax.jit(measure(features=3))(x, mask=mask, groups=groups)
    np.testing.assert_allclose(brought, 1 / 12)


def test_tree_of_inputs() -> None:
    x, mask = {"a": X, "b": X[0, 0]}, {"a": MASK, "b": np.array([True, False, True])}
    both = jax.jit(relevance_mass_accuracy(lambda x: f(x["a"]), lambda x: x))(x, mask=mask)
    inside = np.concatenate([np.repeat(MASK.ravel(), 3), mask["b"]])
    values = np.concatenate([X.ravel(), X[0, 0]])
    np.testing.assert_allclose(both, by_hand("mass", values, inside), rtol=1e-12)


def test_no_number_where_none_is_right() -> None:
    """Inside a compiled function nobody can look at the mask, nor at the relevance."""
    for mask in (np.zeros_like(MASK), np.ones_like(MASK)):
        assert np.isnan(jax.tree.leaves(measured()(X, mask))).all()
    spoiled = X.copy()
    spoiled[1, 2, 0] = np.nan
    lost = jax.jit(lambda x: pointing_game(f, lambda _: x)(X, mask=MASK))(spoiled)
    assert np.isnan(lost)


# ------------------------------------------------------------------------------------- laws


def test_batches_are_loops() -> None:
    xs, masks = np.stack([X, TIED]), np.stack([MASK, ~MASK])
    batch = jax.jit(jax.vmap(measured()))(xs, masks)
    for number in range(2):
        one = jax.tree.leaves(measured()(xs[number], masks[number]))
        several = [leaf[number] for leaf in jax.tree.leaves(batch)]
        np.testing.assert_allclose(several, one, rtol=1e-12)


def test_one_attribution_needs_no_dictionary() -> None:
    alone = jax.jit(relevance_rank_accuracy(f, itself, along=PIXELS))(X, mask=MASK)
    np.testing.assert_array_equal(alone, found()["rank"]["itself"])


def test_dtype() -> None:
    single = measured()(jnp.asarray(X, jnp.float32), MASK)
    assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(found())} == {jnp.dtype("float64")}


def test_a_random_attribution_takes_a_key() -> None:
    noisy = jaxplain.smooth(itself, samples=3, sigma=1.0)
    measure = jax.jit(relevance_mass_accuracy(f, noisy, along=PIXELS))
    first, second = (measure(X, mask=MASK, key=jax.random.key(i)) for i in range(2))
    assert first == measure(X, mask=MASK, key=jax.random.key(0)) and first != second


def test_mass_has_a_derivative() -> None:
    metric = relevance_mass_accuracy(f, itself, sign="absolute")
    loss = jax.jit(lambda x: metric(x, mask=MASK))
    direction, step = generator.normal(size=SHAPE), 1e-6
    slope = np.sum(np.asarray(jax.jit(jax.grad(loss))(X)) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)
    assert np.isfinite(jax.jit(jax.grad(loss))(np.zeros(SHAPE))).all()


# ------------------------------------------------------------------------------------ focus


def test_focus_of_a_mosaic() -> None:
    pictures = generator.normal(size=(4, 2, 3, 2))
    x, mask = mosaic(pictures, np.array([False, True, True, False]))
    np.testing.assert_array_equal(x[:2, 3:], pictures[1])
    np.testing.assert_array_equal(x[2:, :3], pictures[2])
    np.testing.assert_array_equal(x[2:, 3:], pictures[3])
    positive = np.maximum(pictures, 0)
    expected = positive[1:3].sum() / positive.sum()
    np.testing.assert_allclose(jax.jit(focus(f, itself))(x, mask=mask), expected, rtol=1e-12)
    # Channels are summed first, so that a map without channels is another way to say the same.
    sums = np.maximum(pictures.sum(-1), 0)
    for attribution in (itself, lambda x: jnp.sum(x, axis=-1)):
        of_places = jax.jit(focus(f, attribution, along=(0, 1)))(x, mask=mask)
        np.testing.assert_allclose(of_places, sums[1:3].sum() / sums.sum(), rtol=1e-12)
    assert mosaic(pictures[..., 0], [True, False, False, False])[0].shape == (4, 6)


# ---------------------------------------------------------------------------------- mistakes


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: pointing_game(f, itself)(X), TypeError, "needs mask= with the call"),
    (lambda: pointing_game(f, itself)(X, mask=0 * MASK), TypeError, "mask > 0"),
    (lambda: pointing_game(f, itself)(X, mask=MASK & False), ValueError, "that is empty"),
    (lambda: focus(f, itself)(X, mask=MASK | True), ValueError, "focus got a mask that is full"),
    (lambda: pointing_game(f, itself)(X, mask=MASK[0]), ValueError, r"mask has shape \(5,\)"),
    (lambda: pointing_game(f, itself)(X, mask=MASK.T), ValueError, r"x has shape \(4, 5, 3\)"),
    (lambda: pointing_game(f, itself)(X, mask={"a": MASK}), ValueError, "mask has the tree"),
    (lambda: pointing_game(f, itself, sign="positive"), ValueError, "signed, absolute"),
    (lambda: relevance_mass_accuracy(f, itself, sign="signed"), ValueError, "positive, absolute"),
    (lambda: top_k_intersection(f, itself, k=0), ValueError, "k=0"),
    (lambda: top_k_intersection(f, itself, k=61)(X, mask=MASK), ValueError, "60 features"),
    (lambda: pointing_game(f, jnp.sum)(X, mask=MASK), ValueError, "shape of the input"),
    (
        lambda: jax.jit(lambda x: localization_auc(f, itself)(x, mask=MASK & False))(X),
        ValueError,
        "empty",
    ),
    (lambda: mosaic(X[:3], [True] * 4), ValueError, "give four"),
    (lambda: mosaic(X, [1, 0, 0, 1]), ValueError, "four truth values"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
