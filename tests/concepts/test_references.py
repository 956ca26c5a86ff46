"""Reference examples against sorting the scores of all examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import References, layer, lrp, reference_examples, rules, select

from models import ZOO

EXAMPLES, POSITIONS, CHANNELS = 11, 4, 5
rng = np.random.default_rng(9)
DATA = rng.normal(size=(EXAMPLES, POSITIONS, 3))
MIX, HEAD = rng.normal(size=(3, CHANNELS)), rng.normal(size=(2, POSITIONS, CHANNELS))


def network(x: jax.Array, k: int = 0) -> jax.Array:
    with jax.named_scope("hidden"):
        h = jax.nn.relu(x @ jnp.asarray(MIX, x.dtype))
    return jnp.sum(h * jnp.asarray(HEAD[k], x.dtype))


def scores(by: str, over: str, axis: int = -1, k: int = 0) -> np.ndarray:
    """Scores (examples, channels) in NumPy; behind the layer ε-LRP is activation × weight."""
    h = np.maximum(DATA @ MIX, 0)
    if by == "relevance":
        total = (h * HEAD[k]).sum(axis=(1, 2), keepdims=True)
        h = h * HEAD[k] * total / (total + 1e-6 * np.where(total >= 0, 1, -1))
    others = 1 if axis in (-1, 1) else 2
    return h.sum(axis=others) if over == "sum" else h.max(axis=others)


def split(sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The data in batches of these sizes, to be read once."""
    yield from np.split(DATA, np.cumsum(sizes)[:-1])


def check(found: References, expected: np.ndarray, count: int) -> None:
    """The same places and scores as by a stable sort of all examples."""
    order = np.argsort(-expected, axis=0, kind="stable")[:count].T
    np.testing.assert_array_equal(found.indices, order)
    here = np.take_along_axis(expected.T, order, axis=1)
    np.testing.assert_allclose(found.scores, here, rtol=1e-9, atol=1e-12)
    assert found.examples == len(expected)


@pytest.mark.parametrize("by", ["relevance", "activation"])
@pytest.mark.parametrize("over", ["sum", "max"])
@pytest.mark.parametrize("axis", [-1, -2])
def test_scores(by: str, over: str, axis: int) -> None:
    found = reference_examples(network, [DATA], at="hidden", by=by, over=over, axis=axis, count=3)
    check(found, scores(by, over, axis), 3)


@pytest.mark.parametrize("sizes", [(4, 4, 3), (1, 10), (6, 5)])
def test_batches(sizes: tuple[int, ...]) -> None:
    """Batches of unequal sizes, smaller than what is kept, from an iterator that is read once."""
    seen: list[int] = []
    found = reference_examples(network, split(sizes), at="hidden", count=5, progress=seen.append)
    check(found, scores("relevance", "sum"), 5)
    assert seen == list(np.cumsum(sizes))


def test_arguments_are_passed_on() -> None:
    found = reference_examples(network, [DATA], 1, at="hidden", count=2)
    check(found, scores("relevance", "sum", k=1), 2)


def test_fewer_examples_than_places() -> None:
    found = reference_examples(network, split((6, 5)), at="hidden", count=14)
    check(jax.tree.map(lambda leaf: leaf[:, :EXAMPLES], found), scores("relevance", "sum"), 14)
    np.testing.assert_array_equal(found.indices[:, EXAMPLES:], -1)
    np.testing.assert_array_equal(found.scores[:, EXAMPLES:], -np.inf)


def test_ties() -> None:
    """Of equal examples the first comes first, also across batches."""
    doubled = np.concatenate([DATA[:3], DATA[:3], DATA[:3]])
    batches = [doubled[:2], doubled[2:7], doubled[7:]]
    found = reference_examples(network, batches, at="hidden", by="activation", count=9)
    expected = np.concatenate([scores("activation", "sum")[:3]] * 3)
    order = np.argsort(-expected, axis=0, kind="stable").T
    np.testing.assert_array_equal(found.indices, order)


def test_pytrees_and_dtypes() -> None:
    """Inputs in several parts, and scores in the dtype of the layer."""

    def f(x: dict[str, jax.Array]) -> jax.Array:
        return network(x["a"] + x["b"])

    parts = {"a": np.float32(DATA / 4), "b": np.float32(3 * DATA / 4)}
    found = reference_examples(f, [parts], at="hidden", by="activation", count=2)
    assert found.scores.dtype == jnp.float32
    assert found.indices.dtype == jnp.int32
    expected = scores("activation", "sum")
    order = np.argsort(-expected, axis=0)[:2].T
    np.testing.assert_array_equal(found.indices, order)


def test_rules_and_networks() -> None:
    """A convolutional network whose first layer has a rule of its own: not the layer after."""
    f, x = next(model for model in ZOO if model.name == "vgg").make(np.float64)
    preset, score = rules.epsilon_plus_flat(), select(f)
    data = np.asarray(x) + np.random.default_rng(0).normal(size=(5, *x.shape))
    inside = rules.epsilon_plus()
    explain = jax.jit(layer(lrp, at="**/Conv_2", rules=inside)(score), static_argnums=1)
    expected = np.stack([explain(one, 0).sum((0, 1, 2)) for one in data])
    found = reference_examples(
        score, [data[:3], data[3:]], 0, at="**/Conv_2", rules=preset, count=2
    )
    order = np.argsort(-expected, axis=0, kind="stable")[:2].T
    np.testing.assert_array_equal(found.indices, order)
    largest = np.take_along_axis(expected.T, order, axis=1)
    np.testing.assert_allclose(found.scores, largest, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"by": "size"}, ValueError, "by='size'"),
        ({"over": "mean"}, ValueError, "over='mean'"),
        ({"count": 0}, ValueError, "count"),
        ({"at": "hiden"}, ValueError, r"'hiden'.*Nearest names: 'hidden'"),
        ({"axis": 2}, IndexError, r"axis=2 for 'hidden', which has shape \(4, 5\)"),
        ({"at": ["hidden"]}, TypeError, r"at=\['hidden'\]"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        reference_examples(network, [DATA], **({"at": "hidden"} | options))


def test_batches_are_finite() -> None:
    """NaN would count as the largest score of all."""
    with pytest.raises(ValueError, match="After 11 examples a batch is not finite"):
        reference_examples(network, [DATA, np.full_like(DATA, np.nan)], at="hidden")


def test_a_step_of_a_loop() -> None:
    """One step, by its number, or all of them together."""
    weights = np.random.default_rng(1).normal(size=(3, 3, 3))

    def recurrent(x: jax.Array) -> jax.Array:
        def step(h: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
            with jax.named_scope("cell"):
                h = jnp.tanh(h @ w)
            return h, None

        return jnp.sum(jax.lax.scan(step, x[0], weights)[0])

    steps = [
        np.asarray(jax.jit(jax.vmap(layer(lrp, at=f"cell[{k}]")(recurrent)))(DATA))
        for k in range(3)
    ]
    found = reference_examples(recurrent, [DATA], at="cell[1]", count=4)
    check(found, steps[1], 4)
    assert np.abs(steps[0] - steps[1]).max() > 0.01
    found = reference_examples(recurrent, [DATA], at="cell", count=4)
    check(found, sum(steps), 4)


def test_no_batch() -> None:
    with pytest.raises(ValueError, match="got no batch"):
        reference_examples(network, iter(()), at="hidden")
