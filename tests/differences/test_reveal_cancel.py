"""RevealCancel, Rescale and the genomics preset against their formulas, unit by unit in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import Layer

import jaxplain
from jaxplain import rules

Array = np.ndarray
TRACED: dict[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda x: x,
}
PRESETS = {"rescale": rules.rescale, "reveal_cancel": rules.reveal_cancel}
WIDTHS = {"two layers": (6, 9, 2), "three layers": (6, 9, 8, 2)}
LENGTH, CHANNELS, KERNEL, FEATURES = 12, 4, 5, 3

with_every_net = pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS.keys())
with_every_activation = pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
with_either_rule = pytest.mark.parametrize("rule", PRESETS)


def dense(widths: tuple[int, ...], activation: str, rule: str, seed: int = 0) -> list[Layer]:
    """A random dense network; its last layer has no activation."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(widths[:-1], widths[1:], strict=True))
    return [
        Layer(
            rng.normal(0, 1.5 * shape[0] ** -0.5, shape),
            rng.normal(0, 0.5, shape[1]),
            "identity" if place == len(shapes) - 1 else activation,
            rule,
        )
        for place, shape in enumerate(shapes)
    ]


def traced(layers: list[Layer]) -> Callable[[Any], Any]:
    def score(x: Any) -> Any:
        for layer in layers:
            x = TRACED[layer.activation](x @ layer.weights + layer.biases)
        return x[0]

    return score


def points(*shape: int, seed: int = 1) -> tuple[Array, Array]:
    """An input and a reference."""
    x, baseline = np.random.default_rng(seed).normal(size=(2, *shape))
    return x, baseline


def explainer(layers: list[Layer], rule: str) -> Callable[..., Any]:
    return jax.jit(jaxplain.deeplift(traced(layers), PRESETS[rule]()))


def assert_same(found: Any, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.max(np.abs(expected)))


@with_every_net
@with_every_activation
@with_either_rule
def test_dense_networks(widths: tuple[int, ...], activation: str, rule: str) -> None:
    layers = dense(widths, activation, rule)
    explain = explainer(layers, rule)
    for seed in range(5):
        x, baseline = points(widths[0], seed=seed)
        for start in (baseline, 0 * baseline):
            expected = reference.contributions(layers, x, start)
            assert_same(explain(x, baseline=start), expected)
            there, here = (reference.forward(layers, p)[-1][1][0] for p in (start, x))
            np.testing.assert_allclose(np.sum(expected), here - there, rtol=1e-9)


@with_every_net
@with_either_rule
def test_units_that_do_not_change(widths: tuple[int, ...], rule: str) -> None:
    """ReLUs that are off at both ends have parts that cancel, and get half of either multiplier.

    Biases far below zero make them the most; in the input, features stay as they are.
    """
    layers = [layer._replace(biases=layer.biases - 0.7) for layer in dense(widths, "relu", rule, 3)]
    explain, still = explainer(layers, rule), 0
    for seed in range(5):
        x, baseline = points(widths[0], seed=seed)
        x[:2] = baseline[:2]
        here, there = (reference.forward(layers, p)[0][1] for p in (x, baseline))
        still += int(np.sum(here == there))
        expected = reference.contributions(layers, x, baseline)
        assert_same(explain(x, baseline=baseline), expected)
    assert still > 5


def test_the_rules_differ_where_terms_cancel() -> None:
    """So that a reference of one of them could not pass for the other."""
    x, baseline = points(6)
    cancel, rescale = (
        reference.contributions(dense((6, 9, 8, 2), "relu", rule), x, baseline) for rule in PRESETS
    )
    assert np.max(np.abs(cancel - rescale)) > 0.05 * np.max(np.abs(rescale))


def test_the_minimum_of_two() -> None:
    """The paper's example, figure 2: min(i1, i2) = i1 - relu(i1 - i2) belongs to both inputs."""
    hidden = Layer(np.array([[1.0, 1.0], [0.0, -1.0]]), np.zeros(2), "relu", "reveal_cancel")
    last = Layer(np.array([[1.0], [-1.0]]), np.zeros(1), "identity", "reveal_cancel")
    x = np.array([3.0, 1.0])
    expected = reference.contributions([hidden, last], x, 0 * x)
    np.testing.assert_allclose(expected, [0.5, 0.5])
    assert_same(explainer([hidden, last], "reveal_cancel")(x, baseline=0 * x), expected)


@pytest.mark.parametrize("hidden", [(7,), (7, 5)], ids=["one dense", "two dense"])
@pytest.mark.parametrize("features", [1, FEATURES])
def test_genomics(hidden: tuple[int, ...], features: int) -> None:
    """Of a convolution on a sequence: Rescale behind it, RevealCancel behind dense layers."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 0.5, (KERNEL, CHANNELS, features))
    bias = rng.normal(0, 0.3, features)
    positions = LENGTH - KERNEL + 1
    above = dense((positions * features, *hidden, 2), "relu", "reveal_cancel", seed=1)
    weights = reference.unrolled(kernel, LENGTH)
    layers = [Layer(weights, np.tile(bias, positions), "relu", "rescale"), *above]

    def score(x: Any) -> Any:
        dims = ("NWC", "WIO", "NWC")
        y = jax.lax.conv_general_dilated(x[None], kernel, (1,), "VALID", dimension_numbers=dims)
        return traced(above)(jax.nn.relu(y[0] + bias[None]).ravel())

    explain = jax.jit(jaxplain.deeplift(score, rules.genomics()))
    for seed in range(3):
        x = np.eye(CHANNELS)[np.random.default_rng(seed).integers(0, CHANNELS, LENGTH)]
        for start in (np.full_like(x, 1 / CHANNELS), np.roll(x, 1, axis=0)):
            expected = reference.contributions(layers, x.ravel(), start.ravel())
            assert_same(explain(x, baseline=start), expected.reshape(x.shape))


def test_genomics_is_neither_rule_alone() -> None:
    """On a net of a dense layer behind an unrolled convolution, all three explanations differ."""
    kernel = np.random.default_rng(0).normal(0, 0.5, (KERNEL, CHANNELS, FEATURES))
    weights = reference.unrolled(kernel, LENGTH)
    above = dense((weights.shape[1], 7, 2), "relu", "reveal_cancel", seed=1)
    x, start = points(weights.shape[0])
    found = []
    for first, second in [("rescale",) * 2, ("rescale", "reveal_cancel"), ("reveal_cancel",) * 2]:
        layers = [
            Layer(weights, np.zeros(weights.shape[1]), "relu", first),
            *(layer._replace(rule=second) for layer in above),
        ]
        found.append(reference.contributions(layers, x, start))
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert np.max(np.abs(found[i] - found[j])) > 0.01 * np.max(np.abs(found[0]))
