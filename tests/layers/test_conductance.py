"""Conductance, of layers and of neurons, and internal influence: formulas and laws."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import layer_references as reference
import numpy as np
import pytest
import references
from layer_references import NAMES, Net

from jaxplain import (
    conductance,
    cut,
    integrated_grad,
    internal_influence,
    names,
    neuron_conductance,
    path_integrated_grad,
)

from models import ZOO

X, BASELINE = np.random.default_rng(1).normal(size=(2, 4))
each_layer = pytest.mark.parametrize("at", NAMES)

# ------------------------------------------------------------------------------- by their formulas


@each_layer
@pytest.mark.parametrize("rule", ["trapezoid", "left", "right"])
@pytest.mark.parametrize("around", [0.0, 1.0])
def test_conductance(at: str, rule: str, around: float) -> None:
    f = reference.net(around)
    expected = reference.conductance(f, at, X, BASELINE, 7, rule)
    explain = jax.jit(conductance(f, at=at, steps=7, rule=rule))
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-11)


@each_layer
@pytest.mark.parametrize("rule", ["gauss_legendre", "middle", "trapezoid", "left", "right"])
def test_internal_influence(at: str, rule: str) -> None:
    f, nodes = reference.net(1.0), references.quadrature(rule, 6)
    expected = reference.internal_influence(f, at, X, BASELINE, *nodes)
    explain = jax.jit(internal_influence(f, at=at, steps=6, rule=rule))
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-11)


@each_layer
@pytest.mark.parametrize("rule", ["gauss_legendre", "trapezoid"])
def test_neuron_conductance(at: str, rule: str) -> None:
    f, nodes = reference.net(1.0), references.quadrature(rule, 6)
    expected = reference.neuron_conductance(f, at, 2, X, BASELINE, *nodes)
    explain = jax.jit(neuron_conductance(f, at=at, index=2, steps=6, rule=rule))
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-11)


def test_baselines_are_zeros_unless_given() -> None:
    f = reference.net()
    for method in (conductance, internal_influence, functools.partial(neuron_conductance, index=0)):
        explain = jax.jit(method(f, at="low", steps=3))
        for given in (0.0, np.zeros(4)):
            np.testing.assert_array_equal(explain(X), explain(X, baseline=given))


def test_several_layers_share_what_flows() -> None:
    """A unit gets what flows through it and through no later layer: `low` the way by its side."""
    f = reference.net(1.0)
    found, info = jax.jit(conductance(f, at=["low", "high"], steps=400, info=True))(
        X, baseline=BASELINE
    )
    ours, theirs = f.layers(X), f.layers(BASELINE)
    np.testing.assert_allclose(found["low"], f.side * (ours["low"] - theirs["low"]), rtol=1e-10)
    expected = f.readout * (ours["high"] - theirs["high"])
    np.testing.assert_allclose(found["high"], expected, rtol=1e-10)
    np.testing.assert_allclose(
        info.bypass, (np.sin(X) - np.sin(BASELINE)) @ f.direct, rtol=1e-4
    )  # a sum over the path, not exact as the others are


# ------------------------------------------------------------------------------------ completeness


def attention_block(x: Any) -> Any:
    """Attention and an MLP, each beside its residual, on tokens that are embedded first."""
    weights = iter(np.random.default_rng(2).normal(size=(7, 4, 4)) / 2)
    scope = jax.named_scope
    with scope("embed"):
        x = jnp.sin(x @ next(weights))
    with scope("attn"):
        q, k, v = (x @ next(weights) for _ in range(3))
        y = jax.nn.softmax(q @ k.T, axis=-1) @ v
    with scope("mixed"):
        x = x + y
    with scope("mlp"):
        y = jax.nn.gelu(x @ next(weights)) @ next(weights)
    with scope("out"):
        x = jnp.tanh(x + y)
    with scope("pool"):
        x = jnp.mean(x, axis=0)
    return jnp.sum(x**2 * next(weights)[0])


def resnet() -> tuple[Callable[[Any], Any], Any]:
    f, x = next(model for model in ZOO if model.name == "resnet_basic").make(np.float64)
    return lambda x: f(x)[1], x[::2, ::2]


TOKENS = np.random.default_rng(3).normal(size=(3, 4))
BLOCK = "ResNetBasic/BasicBlock_0"
# Of all places those that everything goes through, and some that it can go around.
SEPARATING = {
    "attention_block": {
        *("embed", "embed:in", "mixed", "out", "pool", "pool:in"),
        *("mixed:in*", "out:in*"),
    },
    "resnet": {
        *("ResNetBasic/Conv_0", "ResNetBasic/BatchNorm_0", BLOCK, f"{BLOCK}:in"),
        *("ResNetBasic/BasicBlock_1", "ResNetBasic/Dense_0", "ResNetBasic/Dense_0:in"),
    },
}
AROUND = {
    "attention_block": {"attn", "attn:in", "attn:attention", "mlp", "mlp:in"},
    "resnet": {f"{BLOCK}/Conv_0", f"{BLOCK}/BatchNorm_1", "ResNetBasic/BasicBlock_1/Conv_2"},
}
NETWORKS = {"attention_block": lambda: (attention_block, TOKENS), "resnet": resnet}
# Every kink of a ReLU on the path costs an error that falls as slowly as the steps.
STEPS = {"attention_block": (48, 1e-3), "resnet": (768, 1e-2)}
# The tests' quick compilation makes plain loops of convolutions in a scan, fifty times slower.
OPTIMIZED = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


@pytest.mark.parametrize("name", NETWORKS)
def test_conductance_sums_to_the_difference(name: str) -> None:
    """At a place that separates; elsewhere with what goes around it."""
    f, x = NETWORKS[name]()
    steps, tolerance = STEPS[name]
    places = sorted(SEPARATING[name] | AROUND[name])

    def at_all(x: Any) -> Any:
        found = {}
        for at in places:
            # A glob that fits several places cuts at all of them.
            where = [at] if "*" in at else at
            found[at] = conductance(f, at=where, steps=steps, chunk=96, info=True)(x)
        return found, f(x) - f(jnp.zeros_like(x))

    found, difference = jax.jit(at_all, compiler_options=OPTIMIZED)(x)
    for at, (attribution, info) in found.items():
        total = sum(float(np.sum(part)) for part in jax.tree.leaves(attribution))
        separates = at in SEPARATING[name]
        assert (float(info.bypass) == 0) == separates, at
        np.testing.assert_allclose(
            total + float(info.bypass), difference, rtol=tolerance, err_msg=at
        )
        np.testing.assert_allclose(
            info.residual, total + info.bypass - difference, atol=1e-12, err_msg=at
        )
        if not separates:
            assert abs(total - difference) > 0.02 * abs(difference), at


def test_all_separating_places_of_the_block_are_tried() -> None:
    """By the derivative: `top` of such a place does not depend on the input any more."""
    listed = [at for at in names(attention_block)(TOKENS) if ":in" not in at]

    def around(x: Any) -> Any:
        found = {}
        for at in listed:
            bottom, top = cut(attention_block, at=at)
            found[at] = jax.grad(top, argnums=1)(bottom(x), x)
        return found

    separating = {at for at, slope in jax.jit(around)(TOKENS).items() if not np.any(slope)}
    assert separating == {at for at in SEPARATING["attention_block"] if ":in" not in at}


def test_more_steps_are_nearer() -> None:
    """The trapezoid's error falls as the square of the steps."""
    f = reference.net()

    def residual(steps: int) -> float:
        explain = conductance(f, at="low", steps=steps, info=True)
        return float(jax.jit(explain)(X, baseline=BASELINE)[1].residual)

    assert residual(40) / residual(20) == pytest.approx(1 / 4, rel=0.02)
    assert abs(residual(40)) > 1e-9


def test_info_counts() -> None:
    _, info = jax.jit(conductance(reference.net(), at="low", steps=9, info=True))(X)
    assert (int(info.steps), int(info.evaluations)) == (9, 12)  # ten gradients, and both ends


@each_layer
def test_neurons_of_a_layer_sum_to_integrated_gradients(at: str) -> None:
    """Everything flows through `low`; `high` is gone around, by `low`'s other way."""
    f = reference.net()
    units = 5 if at == "low" else 3

    def both(x: Any) -> Any:
        parts = [neuron_conductance(f, at=at, index=i, steps=8)(x) for i in range(units)]
        whole = neuron_conductance(f, at=at, index=..., steps=8)(x)
        return sum(parts), whole, integrated_grad(f, steps=8)(x)

    parts, whole, integrated = jax.jit(both)(X)
    np.testing.assert_allclose(parts, whole, rtol=1e-11)
    if at == "low":
        np.testing.assert_allclose(parts, integrated, rtol=1e-11)
    else:
        assert np.max(np.abs(parts - integrated)) > 0.1


@each_layer
def test_inputs_of_a_neuron_sum_to_its_conductance(at: str) -> None:
    f = reference.net(1.0)

    def both(x: Any) -> Any:
        units = range(f.layers(X)[at].size)
        neurons = [neuron_conductance(f, at=at, index=i, steps=20)(x).sum() for i in units]
        return jnp.stack(neurons), conductance(f, at=at, steps=2000, chunk=500)(x)

    neurons, layer = jax.jit(both)(X)
    np.testing.assert_allclose(neurons, layer, rtol=1e-6, atol=1e-7)


def test_conductance_is_integrated_gradients_along_the_image_of_the_path() -> None:
    """On `top`, along the curve that the straight line of the input becomes."""
    f = reference.net()
    bottom, top = cut(f, at="low")

    def image(alpha: Any, h: Any, h0: Any) -> Any:
        return bottom(BASELINE + alpha * (X - BASELINE))

    expected = path_integrated_grad(lambda h: top(h, X), image, steps=30)(
        f.layers(X)["low"], baseline=f.layers(BASELINE)["low"]
    )
    found = jax.jit(conductance(f, at="low", steps=3000, chunk=500))(X, baseline=BASELINE)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_neuron_is_an_index_of_several_axes() -> None:
    """Channels, slices and integers, and units that are picked together."""

    def f(x: Any) -> Any:
        with jax.named_scope("maps"):
            maps = jnp.tanh(x[:, None] * jnp.arange(1.0, 4.0)[None])
        return jnp.sum(maps**2)

    def of(index: Any) -> Any:
        return jax.jit(neuron_conductance(f, at="maps", index=index, steps=5))(X)

    np.testing.assert_allclose(of((..., 1)), sum(of((i, 1)) for i in range(4)), rtol=1e-12)
    np.testing.assert_allclose(of((slice(0, 2), 1)), of((0, 1)) + of((1, 1)), rtol=1e-12)
    np.testing.assert_allclose(of((-1, -1)), of((3, 2)), rtol=1e-12)
    with pytest.raises(IndexError, match=r"The value at 'maps' has shape \(4, 3\), and no unit 4"):
        of(4)


# -------------------------------------------------------------------------------------------- laws

METHODS: dict[str, Callable[..., Any]] = {
    "conductance": functools.partial(conductance, at="low", steps=10),
    "internal_influence": functools.partial(internal_influence, at="low", steps=10),
    "neuron_conductance": functools.partial(neuron_conductance, at="low", index=1, steps=10),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@each_method
def test_compiled_and_batched(method: Callable[..., Any]) -> None:
    """jit is eager, vmap is a loop, and baselines are mapped with the inputs."""
    explain = method(reference.net(1.0))
    xs, baselines = np.stack([X, -X]), np.stack([BASELINE, 2 * BASELINE])
    batched = jax.jit(jax.vmap(explain))(xs, baseline=baselines)
    for x, baseline, found in zip(xs, baselines, batched, strict=True):
        expected = jax.jit(explain)(x, baseline=baseline)
        np.testing.assert_allclose(found, expected, rtol=1e-11)
    np.testing.assert_allclose(explain(X, baseline=BASELINE), batched[0], rtol=1e-11)


@each_method
@pytest.mark.parametrize("chunk", [1, 3, 4, 10, 99])
def test_chunks_change_nothing(method: Callable[..., Any], chunk: int) -> None:
    f = reference.net(1.0)
    explain, chunked = jax.jit(method(f)), jax.jit(method(f, chunk=chunk))
    expected = explain(X, baseline=BASELINE)
    np.testing.assert_allclose(chunked(X, baseline=BASELINE), expected, rtol=1e-11)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(method(f, chunk=chunk)(x) ** 2)))
    expected = jax.jit(jax.grad(lambda x: jnp.sum(method(f)(x) ** 2)))(X)
    np.testing.assert_allclose(slope(X), expected, rtol=1e-10)


@each_method
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtypes(method: Callable[..., Any], dtype: str) -> None:
    explain = jax.jit(method(reference.net(1.0)))
    expected = explain(X, baseline=BASELINE)
    found = explain(jnp.asarray(X, dtype), baseline=jnp.asarray(BASELINE, dtype))
    assert (found.dtype, expected.dtype) == (dtype, np.float64)
    tolerance = {"float32": 1e-5, "bfloat16": 0.05}[dtype] * np.max(np.abs(expected))
    np.testing.assert_allclose(found.astype(np.float64), expected, atol=tolerance, rtol=0)


def test_bfloat16_is_summed_in_float32() -> None:
    """Many small parts: a sum in bfloat16 would stop growing long before its end."""

    def f(x: Any) -> Any:
        with jax.named_scope("low"):
            h = x * jnp.asarray(1.0, x.dtype)
        return jnp.sum(h)

    x = jnp.ones(1, jnp.bfloat16)
    for explain in (
        conductance(f, at="low", steps=128),
        internal_influence(f, at="low", steps=600, rule="middle"),
    ):
        found = jax.jit(explain)(x)
        assert (found.dtype, float(found[0])) == (jnp.bfloat16, 1.0)


@each_method
def test_derivatives_of_the_explanation(method: Callable[..., Any]) -> None:
    """By the input, by the baseline and by a weight of the network, as finite differences."""
    direct = np.random.default_rng(5).normal(size=(5, 3))

    def loss(x: Any, baseline: Any, second: Any) -> Any:
        f: Net = reference.net(1.0)
        object.__setattr__(f, "second", second)
        return jnp.sum(jnp.sin(method(f)(x, baseline=baseline)))

    at = (X, BASELINE, direct)
    slopes = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*at)
    value = jax.jit(loss)
    rng = np.random.default_rng(6)
    for i, slope in enumerate(slopes):
        way = rng.normal(size=np.shape(slope))
        ends = [
            value(*(a + sign * 1e-5 * way if i == j else a for j, a in enumerate(at)))
            for sign in (1, -1)
        ]
        np.testing.assert_allclose(np.sum(slope * way), (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


@each_method
def test_argnums_and_pytrees(method: Callable[..., Any]) -> None:
    f = reference.net(1.0)

    def two(scale: Any, x: Any) -> Any:
        return f(scale * jnp.concatenate([x["a"], x["b"]]))

    x, base = ({"a": v[:2], "b": v[2:]} for v in (X, BASELINE))
    found = jax.jit(method(two, argnums=1))(1.0, x, baseline=base)
    expected = jax.jit(method(f))(X, baseline=BASELINE)
    if isinstance(found, dict):
        found = np.concatenate([found["a"], found["b"]])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_layers_that_are_constant_get_zero() -> None:
    """Saturated units and an input that is its baseline: zeros, not 0/0, also in derivatives."""

    def f(x: Any) -> Any:
        with jax.named_scope("low"):
            h = jax.nn.relu(x - 100)
        return jnp.sum(jnp.sqrt(1 + h**2))

    for method in METHODS.values():
        explain = method(f)
        for baseline in (BASELINE, X):
            np.testing.assert_array_equal(jax.jit(explain)(X, baseline=baseline), np.zeros(4))
        slope = jax.jit(jax.grad(lambda x, explain=explain: jnp.sum(explain(x))))(X)
        assert np.all(np.isfinite(slope))


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"rule": "simpson"}, "rule='simpson'.*trapezoid"),
        ({"chunk": 0}, "chunk=0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    for method in (conductance, internal_influence):
        with pytest.raises(ValueError, match=message):
            method(reference.net(), at="low", **options)


def test_wrong_rule_of_a_neuron_raises_before_the_call() -> None:
    for options in ({"steps": 0}, {"rule": "simpson"}, {"chunk": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            neuron_conductance(reference.net(), at="low", index=0, **options)


@each_method
def test_wrong_calls(method: Callable[..., Any]) -> None:
    f = reference.net()
    with pytest.raises(ValueError, match=r"baseline.*float64\[3\]|\(3,\)"):
        method(f)(X, baseline=np.zeros(3))
    with pytest.raises(TypeError, match="int64"):
        method(f)(np.arange(4))
    with pytest.raises(TypeError, match="must return one real number"):
        method(lambda x: (f(x), x)[1])(X)
    with pytest.raises(ValueError, match="No value is named 'wol'. Nearest names: 'low'"):
        method.func(f, **{**method.keywords, "at": "wol"})(X)  # type: ignore[attr-defined]
