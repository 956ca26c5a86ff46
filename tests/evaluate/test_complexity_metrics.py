"""Sparseness, complexity and consistency against their formulas in NumPy."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import visited

from jaxplain.evaluate._complexity import complexity, effective_complexity, sparseness
from jaxplain.evaluate._consistency import Consistency, consistency

Array = np.ndarray
generator = np.random.default_rng(5)
X, BASE = generator.normal(size=(3, 2)), generator.normal(size=(3, 2))
SLOPES = generator.normal(size=(3, 2)) * [[4.0, 0.1], [0.02, 2.0], [0.5, 0.001]]


def f(x: Any) -> Any:
    return jnp.tanh(jnp.sum(x * jnp.asarray(SLOPES, x.dtype)))


METHODS: dict[str, Callable[..., Any]] = {
    "product": lambda x: x * jnp.asarray(SLOPES, x.dtype),
    "wrong": lambda x: 1 / jnp.asarray(SLOPES, x.dtype),
    "constant": jnp.ones_like,
    "zero": jnp.zeros_like,
    "one": lambda x: jnp.zeros_like(x).at[1, 0].set(-2),
}
REFERENCES = generator.normal(size=(3, 3, 2))
TOLERANCE = 0.1
METRICS: dict[str, Callable[..., Any]] = {
    "gini": sparseness,
    "entropy": complexity,
    "rows": functools.partial(complexity, along=0),
    "effective": functools.partial(effective_complexity, tolerance=TOLERANCE),
    "references": functools.partial(
        effective_complexity, tolerance=TOLERANCE, references=REFERENCES
    ),
    "steps": functools.partial(effective_complexity, tolerance=TOLERANCE, steps=2),
}


@functools.cache
def measured(chunk: int | None = None) -> Callable[..., Any]:
    """All metrics of all methods in one program."""
    options = {name: {"chunk": chunk} if name in TAKE_CHUNKS else {} for name in METRICS}
    made = {name: metric(f, METHODS, **options[name]) for name, metric in METRICS.items()}

    def every(x: Any, base: Any) -> Any:
        base = {name: {"baseline": base} if name in TAKE_CHUNKS else {} for name in METRICS}
        return {name: metric(x, **base[name]) for name, metric in made.items()}

    return jax.jit(every)


TAKE_CHUNKS = ("effective", "references", "steps")


@functools.cache
def found() -> Any:
    return measured()(X, BASE)


def gini(values: Array) -> float:
    """Half the mean absolute difference, per mean."""
    values = np.abs(values).ravel()
    if not values.any():
        return 0.0
    return float(np.abs(values[:, None] - values).mean() / (2 * values.mean()))


def entropy(values: Array) -> float:
    whole = float(np.abs(values).sum())
    shares = [abs(float(v)) / whole for v in values.ravel() if v]
    return -sum(p * math.log(p) for p in shares)


def score(x: Array) -> float:
    return math.tanh(float(np.sum(x * SLOPES)))


def effective(relevance: Array, others: Array, counts: list[int]) -> int:
    order = np.argsort(-np.abs(relevance).ravel(), kind="stable")
    for count in counts:
        losses = []
        for other in others:
            mixed = other.ravel().copy()
            mixed[order[:count]] = X.ravel()[order[:count]]
            losses.append(abs(score(mixed.reshape(X.shape)) - score(X)))
        if np.mean(losses) <= TOLERANCE:
            return count
    raise AssertionError("all features suffice")


@pytest.mark.parametrize("method", METHODS)
def test_formulas(method: str) -> None:
    relevance = np.asarray(METHODS[method](jnp.asarray(X)))
    expected = {
        "gini": gini(relevance),
        "entropy": entropy(relevance),
        "rows": entropy(relevance.sum(-1)),
        "effective": effective(relevance, BASE[None], list(range(7))),
        "references": effective(relevance, REFERENCES, list(range(7))),
        "steps": effective(relevance, BASE[None], [0, 3, 6]),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found()[name][method], value, rtol=1e-12, atol=1e-15)


def test_extremes() -> None:
    assert found()["gini"]["constant"] == 0 and found()["entropy"]["one"] == 0
    np.testing.assert_allclose(found()["gini"]["one"], 5 / 6)
    np.testing.assert_allclose(found()["entropy"]["constant"], math.log(6))
    assert len({int(n) for n in found()["effective"].values()}) > 1
    exact = jax.jit(effective_complexity(f, jnp.ones_like, tolerance=0.0))
    assert exact(jnp.ones((3, 2))) == 6


def test_chunks_and_batches_change_nothing() -> None:
    xs, bases = np.stack([X, BASE]), np.stack([BASE, X])
    batch = jax.jit(jax.vmap(measured(4)))(xs, bases)
    for number in range(2):
        one = jax.tree.leaves(measured()(xs[number], bases[number]))
        several = [leaf[number] for leaf in jax.tree.leaves(batch)]
        np.testing.assert_allclose(several, one, rtol=1e-12, atol=1e-15)


def test_one_attribution_needs_no_dictionary() -> None:
    alone = jax.jit(sparseness(f, METHODS["product"]))(X)
    np.testing.assert_array_equal(alone, found()["gini"]["product"])


def test_the_model_is_evaluated_no_more_than_needed() -> None:
    def never(x: Any) -> Any:
        raise AssertionError("sparseness and complexity look at the explanation alone")

    for metric in (sparseness, complexity):
        assert np.isfinite(jax.jit(metric(never, METHODS))(X)["product"])
    make = functools.partial(effective_complexity, attribution=METHODS["product"], tolerance=0.1)
    assert len(visited(make, f, X)) == 7 + 1  # none to all features, and the input itself


def test_dtype() -> None:
    single = measured()(jnp.asarray(X, jnp.float32), jnp.asarray(BASE, jnp.float32))
    for name, values in single.items():
        assert {value.dtype for value in values.values()} == {jnp.dtype(jnp.float32)}, name


def test_derivatives() -> None:
    metrics = [sparseness(f, lambda x: x), complexity(f, lambda x: x)]
    loss = jax.jit(lambda x: metrics[0](x) + metrics[1](x))
    slope = jax.jit(jax.grad(loss))
    direction, step = generator.normal(size=X.shape), 1e-6
    ends = loss(X + step * direction), loss(X - step * direction)
    expected = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(np.sum(np.asarray(slope(X)) * direction), expected, rtol=1e-6)
    for x in (np.zeros((3, 2)), np.eye(3, 2)):
        assert np.isfinite(slope(x)).all()


# ------------------------------------------------------------------------------- consistency


def consistent(codes: list[Any], labels: Array) -> tuple[list[float], list[int]]:
    shares, partners = [], []
    for i, code in enumerate(codes):
        others = [j for j, other in enumerate(codes) if other == code and j != i]
        agree = [j for j in others if labels[j] == labels[i]]
        shares.append(len(agree) / len(others) if others else 0.0)
        partners.append(len(others))
    return shares, partners


LABELS = generator.integers(0, 2, size=30)
FOUND = generator.normal(size=(30, 2, 2)) + np.array([[3.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("top", [1, 2])
def test_consistency(top: int, chunk: int | None) -> None:
    codes = []
    for one in FOUND.reshape(30, 4):
        largest = set(np.argsort(-np.abs(one))[:top].tolist())
        codes.append({(place, np.sign(one[place])) for place in largest})
    shares, partners = consistent(codes, LABELS)
    result = jax.jit(functools.partial(consistency, top=top, chunk=chunk))(FOUND, LABELS)
    np.testing.assert_allclose(result.shares, shares, rtol=1e-12)
    np.testing.assert_array_equal(result.partners, partners)
    known = [share for share, count in zip(shares, partners, strict=True) if count]
    np.testing.assert_allclose(result.mean, np.mean(known), rtol=1e-12)


def test_consistency_of_what_one_likes() -> None:
    signs = jax.jit(lambda found, y: consistency({"a": found}, y, discretize=jnp.sign))
    shares, partners = consistent([np.sign(one).tolist() for one in FOUND], LABELS)
    np.testing.assert_allclose(signs(FOUND, LABELS).shares, shares, rtol=1e-12)
    np.testing.assert_array_equal(signs(FOUND, LABELS).partners, partners)
    alone = jax.jit(lambda x: consistency(x, jnp.arange(30), discretize=lambda v: v))(FOUND)
    assert np.isnan(alone.mean) and not np.any(alone.shares)
    stacked = Consistency(jnp.array([[1.0, 0.0]] * 2), jnp.array([[1, 0], [1, 1]]))
    np.testing.assert_array_equal(stacked.mean, [1.0, 0.5])


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: sparseness(f, jnp.ones_like, groups=BASE), TypeError, "groups has dtype"),
    (lambda: complexity(f, jnp.ones_like, along=2)(X), ValueError, "names axis 2"),
    (lambda: sparseness(f, jnp.sum)(X), ValueError, "shape of the input"),
    (lambda: effective_complexity(f, jnp.sum, tolerance=-1), ValueError, "tolerance=-1"),
    (lambda: effective_complexity(f, jnp.sum, tolerance=1, steps=0), ValueError, "steps=0"),
    (
        lambda: effective_complexity(f, jnp.ones_like, tolerance=1, references=X)(X),
        ValueError,
        "set of baselines",
    ),
    (lambda: consistency(FOUND, LABELS * 1.0), TypeError, "predicted classes, integers"),
    (lambda: consistency(FOUND[1:], LABELS), ValueError, "one leading axis of examples"),
    (lambda: consistency(FOUND, LABELS), ValueError, "top=5 is more than the 4"),
    (lambda: consistency(FOUND, LABELS, top=0), ValueError, "top=0"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
