"""Nearest examples against sorting the distances to all examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.exemplars._nearest import Neighbors, nearest_examples
from jaxplain.rules import Composite, Flat, epsilon, last

EXAMPLES, POSITIONS, CHANNELS = 13, 2, 5
rng = np.random.default_rng(4)
DATA = rng.normal(size=(EXAMPLES, POSITIONS, 3))
QUERIES = rng.normal(size=(4, POSITIONS, 3))
MIX, HEAD = rng.normal(size=(3, CHANNELS)), rng.normal(size=(2, POSITIONS, CHANNELS))


def network(x: Any, k: Any = 0) -> Any:
    with jax.named_scope("hidden"):
        h = jax.nn.relu(x @ jnp.asarray(MIX, x.dtype))
    return jnp.sum(h * jnp.asarray(HEAD, x.dtype)[k])


def vectors(x: np.ndarray, by: str = "activation", k: int = 0) -> np.ndarray:
    """What is compared, (n, positions, channels): behind the layer ε-LRP is activation × weight."""
    h = np.maximum(x @ MIX, 0)
    if by == "activation":
        return h
    total = (h * HEAD[k]).sum(axis=(1, 2), keepdims=True)
    relevance: np.ndarray = h * HEAD[k] * total / (total + 1e-6 * np.where(total >= 0, 1, -1))
    return relevance


def distances(known: np.ndarray, here: np.ndarray, metric: str) -> np.ndarray:
    """All distances (queries, n), one by one."""
    out = np.zeros((len(here), len(known)))
    for i, j in np.ndindex(*out.shape):
        a, b = here[i].ravel(), known[j].ravel()
        if metric == "euclidean":
            out[i, j] = np.linalg.norm(a - b)
        else:
            size = np.linalg.norm(a) * np.linalg.norm(b)
            out[i, j] = 1 - a @ b / size if size else 1.0
    return out


def check(found: Neighbors, expected: np.ndarray, count: int, rtol: float = 1e-9) -> None:
    order = np.argsort(expected, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(found.indices, order)
    here = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(found.distances, here, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("by", ["activation", "relevance"])
def test_brute_force(metric: str, by: str) -> None:
    find = nearest_examples(network, DATA, at="hidden", count=6, metric=metric, by=by)
    found = jax.jit(jax.vmap(find))(QUERIES)
    expected = distances(vectors(DATA, by), vectors(QUERIES, by), metric)
    check(found, expected, 6)
    assert found.indices.dtype == jnp.int32 and found.distances.dtype == jnp.float64
    single = find(QUERIES[0])
    np.testing.assert_array_equal(single.indices, found.indices[0])
    np.testing.assert_allclose(single.distances, found.distances[0], rtol=1e-12)


def split(sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The data in batches of these sizes, to be read once."""
    yield from np.split(DATA, np.cumsum(sizes)[:-1])


def test_streams_equal_arrays() -> None:
    seen: list[int] = []
    streamed = nearest_examples(network, split((5, 5, 3)), at="hidden", progress=seen.append)
    listed = nearest_examples(network, list(split((10, 3))), at="hidden", chunk=4)
    expected = distances(vectors(DATA), vectors(QUERIES), "cosine")
    check(jax.jit(jax.vmap(streamed))(QUERIES), expected, 8)
    check(jax.jit(jax.vmap(listed))(QUERIES), expected, 8)
    assert seen == [5, 10, 13]


def test_arguments_are_passed_on() -> None:
    find = nearest_examples(network, DATA, 1, at="hidden", count=3, by="relevance")
    known = vectors(DATA, "relevance", 1)
    for k in range(2):
        found = jax.jit(jax.vmap(lambda x, k=k: find(x, k)))(QUERIES)
        check(found, distances(known, vectors(QUERIES, "relevance", k), "cosine"), 3)


def test_rules() -> None:
    """A rule that shares evenly leaves one direction, forwards or backwards by the score's sign."""
    composite = Composite([(last(), Flat())]) | epsilon()

    def f(x: Any) -> Any:
        with jax.named_scope("hidden"):
            h = jax.nn.relu(x)
        return h.ravel() @ HEAD[0].ravel()[:6]

    find = nearest_examples(f, DATA, at="hidden", count=3, by="relevance", rules=composite)
    found = jax.jit(jax.vmap(find))(QUERIES)
    assert np.all(np.isclose(found.distances, 0, atol=1e-9) | np.isclose(found.distances, 2))
    plain = nearest_examples(f, DATA, at="hidden", count=3, by="relevance")
    assert jax.jit(jax.vmap(plain))(QUERIES).distances.min() > 1e-4


def test_what_is_compared() -> None:
    """Means over positions instead of the value."""
    find = nearest_examples(
        network, DATA, at="hidden", count=4, metric="euclidean", of=lambda h: h.mean(axis=0)
    )
    expected = distances(vectors(DATA).mean(1), vectors(QUERIES).mean(1), "euclidean")
    check(jax.jit(jax.vmap(find))(QUERIES), expected, 4)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_ties_and_examples_of_the_data(metric: str) -> None:
    """An example finds itself and its copies first, in order, at a distance of zero."""
    data = np.concatenate([DATA[:4]] * 4).astype(np.float32)
    find = nearest_examples(network, data, at="hidden", count=5, metric=metric)
    found = jax.jit(jax.vmap(find))(data[:4])
    np.testing.assert_array_equal(found.indices[:, :4], np.arange(4)[:, None] + 4 * np.arange(4))
    np.testing.assert_allclose(found.distances[:, :4], 0, atol=1e-6)
    assert np.all(found.distances[:, 4] > 1e-3)


def hidden(x: Any) -> Any:
    with jax.named_scope("hidden"):
        h = 1 * x
    return h.sum()


def test_zeros_and_huge_numbers() -> None:
    """Zeros are at distance 1 of everything, themselves included, and nothing is NaN."""
    data = jnp.array([[0.0, 0.0], [-1e30, 0.0], [1e30, 1e30], [1e-30, 0.0]], jnp.float32)
    find = jax.jit(nearest_examples(hidden, data, at="hidden", count=4))
    found = find(jnp.array([1.0, 0.0], jnp.float32))
    np.testing.assert_array_equal(found.indices, [3, 2, 0, 1])
    np.testing.assert_allclose(found.distances, [0, 1 - 0.5**0.5, 1, 2], rtol=1e-6)
    found = find(jnp.zeros(2, jnp.float32))
    np.testing.assert_array_equal(found.indices, np.arange(4))
    np.testing.assert_array_equal(found.distances, 1)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_derivatives(metric: str) -> None:
    """Of the distances, by the input; finite where it is an example, or zero."""
    data = np.array([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0], [0.3, -1.0, 2.0]])
    find = nearest_examples(hidden, data, at="hidden", count=3, metric=metric)

    def total(x: Any) -> Any:
        return find(x).distances.sum()

    slope = jax.jit(jax.grad(total))
    for x in data:
        assert np.isfinite(slope(x)).all()
    x, step = np.array([0.4, 0.2, -0.7]), 1e-6
    numeric = [
        np.diff(distances(data, x + step * np.array([-e, e]), metric).sum(1))[0] / (2 * step)
        for e in np.eye(3)
    ]
    np.testing.assert_allclose(slope(x), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtypes(dtype: Any) -> None:
    find = nearest_examples(network, jnp.asarray(DATA, dtype), at="hidden", count=2)
    found = jax.jit(find)(jnp.asarray(DATA[3], dtype))
    assert found.distances.dtype == jnp.float32
    assert found.indices[0] == 3


def test_token_ids_and_pytrees() -> None:
    """Words have activations, but no relevance."""
    table = rng.normal(size=(7, 3))

    def f(x: dict[str, Any]) -> Any:
        with jax.named_scope("embedded"):
            h = jnp.asarray(table)[x["ids"]] * x["weight"][:, None]
        return h.sum()

    ids = rng.integers(0, 7, size=(6, 4))
    data = {"ids": ids, "weight": np.ones((6, 4))}
    find = nearest_examples(f, data, at="embedded", count=2, metric="euclidean")
    found = jax.jit(jax.vmap(find))(data)
    check(found, distances(table[ids], table[ids], "euclidean"), 2)
    with pytest.raises(TypeError, match="only floating-point inputs"):
        nearest_examples(f, data, at="embedded", count=2, by="relevance")
    with pytest.raises(TypeError, match="floating-point numbers, but at 'ids'"):
        nearest_examples(_of_ids, ids, at="ids", count=2)


def _of_ids(ids: Any) -> Any:
    with jax.named_scope("ids"):
        h = 2 * ids
    return h.sum().astype(float)


@pytest.mark.parametrize(
    ("data", "options", "error", "match"),
    [
        (DATA, {"count": 14}, ValueError, "count=14 of 13 examples"),
        (DATA, {"count": 0}, ValueError, "count=0"),
        (DATA, {"metric": "l1"}, ValueError, "metric='l1'"),
        (DATA, {"by": "size"}, ValueError, "by='size'"),
        (DATA, {"rules": True}, ValueError, "rules= are for by='relevance'"),
        (DATA, {"chunk": 0}, ValueError, "chunk=0"),
        (DATA, {"at": "hiden"}, ValueError, "Nearest names: 'hidden'"),
        (DATA, {"at": ["hidden"]}, TypeError, r"at=\['hidden'\]"),
        (DATA, {"of": lambda h: (h, h)}, TypeError, "<lambda> made"),
        ([DATA, DATA * np.inf], {}, ValueError, r"After 13 examples a batch is not finite"),
        ([DATA, DATA[:, :1]], {}, ValueError, "5 numbers for an example instead of 10"),
        (iter(()), {}, ValueError, "got no batch"),
        ({"a": DATA, "b": DATA[:3]}, {}, ValueError, "one common leading axis"),
        (3, {}, ValueError, "one common leading axis"),
    ],
)
def test_errors(data: Any, options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        nearest_examples(_of_any, data, **({"at": "hidden", "count": 1} | options))


def _of_any(x: Any) -> Any:
    with jax.named_scope("hidden"):
        h = x @ MIX
    return h.sum()


def test_what_is_asked_for_must_fit() -> None:
    find = nearest_examples(_of_any, DATA, at="hidden")
    with pytest.raises(ValueError, match="gives 5 numbers for this input, and gave 10"):
        find(DATA[0, :1])
    with pytest.raises(ValueError, match="not finite"):
        find(DATA[0] * np.nan)


def test_a_layer_that_is_not_finite() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("hidden"):
            h = jnp.log(x)
        return h.sum()

    data = np.array([[1.0], [2.0], [0.0]])
    with pytest.raises(ValueError, match="'hidden' of example 5 is not finite"):
        nearest_examples(f, [np.ones((3, 1)), data], at="hidden", count=1)


def test_relevance_is_of_a_score() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("hidden"):
            h = x @ MIX
        return h

    with pytest.raises(TypeError, match="must return one real number"):
        nearest_examples(f, DATA, at="hidden", by="relevance")


def test_compiled_once_for_each_size() -> None:
    """Not once for each batch: the model is traced no more often than for one."""
    traced: list[str] = []

    def f(x: Any) -> Any:
        traced.append("once more")
        return network(x)

    nearest_examples(f, [DATA], at="hidden", count=1)
    once = len(traced)
    nearest_examples(f, [DATA] * 5, at="hidden", count=1)
    assert len(traced) == 2 * once
