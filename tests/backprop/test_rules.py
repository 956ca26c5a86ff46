"""Each rule of relevance propagation against its formula, on layers of all shapes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax.ad_checkpoint import checkpoint_name
from references import Shared

import jaxplain
from jaxplain import Kind, rules
from jaxplain.rules import Composite, Propagated, Rule

pytestmark = pytest.mark.thorough

Array = np.ndarray


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


# ------------------------------------------------------------------------------ layers and rules


@dataclasses.dataclass(frozen=True)
class Receive(Rule):
    """Start relevance here: a layer's output receives these numbers, whatever comes after it."""

    relevance: Any

    kinds = Kind.NAME

    def propagate(self, call: Any, relevances: Any) -> Propagated:
        return Propagated((self.relevance,))


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A layer, affine in `x` and linear in its kernel, and the shape of its input."""

    name: str
    apply: Callable[[Any, Any], Any]  # (kernel, x) -> output
    kernel: Any
    shape: tuple[int, ...]
    kind: Kind = Kind.AFFINE

    @property
    def x(self) -> Array:
        return draw(*self.shape, seed=7)

    @functools.cached_property
    def relevance(self) -> Array:
        return draw(*np.shape(self.apply(self.kernel, self.x)), seed=8)

    def explain(self, rule: Rule, kernel: Any, x: Any, relevance: Any, **options: Any) -> Any:
        """Relevance of `x`, given that of the layer's output."""

        def score(x: Any) -> Any:
            return jnp.sum(checkpoint_name(self.apply(kernel, x), "output"))

        pairs = [("**output", Receive(relevance)), (self.kind, rule)]
        return jaxplain.lrp(score, Composite(pairs), **options)(x)


def _conv(**options: Any) -> Callable[[Any, Any], Any]:
    def apply(kernel: Any, x: Any) -> Any:
        spatial = "HW"[: x.ndim - 2]
        numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
        given = {"window_strides": (1,) * len(spatial), "padding": "SAME", **options}
        return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **given)

    return apply


def _biased(apply: Callable[[Any, Any], Any], channels: int) -> Callable[[Any, Any], Any]:
    bias = jnp.asarray(draw(channels, seed=3))

    def biased(kernel: Any, x: Any) -> Any:
        y = apply(kernel, x)
        return y + jnp.broadcast_to(bias, y.shape)

    return biased


def _transposed(kernel: Any, x: Any) -> Any:
    return jax.lax.conv_transpose(x, kernel, (2,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"))


def norm(y: Any, *, seed: int) -> Any:
    """Batch normalisation as it is at test time; half of its scales are negative."""
    mean, shift = (jnp.asarray(draw(y.shape[-1], seed=seed + i)) for i in (0, 1))
    scale = jnp.asarray(draw(y.shape[-1], seed=seed + 2)) + 0.1
    expand = (None,) * (y.ndim - 1)
    centered = y - mean[expand]
    return centered * (jax.lax.rsqrt(0.3 + mean**2) * scale)[expand] + shift[expand]


def _after(kernel: Any, x: Any) -> Any:
    return norm(_conv()(kernel, x), seed=20)


def _before(kernel: Any, x: Any) -> Any:
    return _conv()(kernel, norm(x, seed=30)) + 0.3


def _both(kernel: Any, x: Any) -> Any:
    return 2.0 - norm(norm(x, seed=30) @ kernel + 0.5, seed=20) / jnp.asarray([0.5, -2.0, 4.0])


def _pixels(kernel: Any, x: Any) -> Any:
    mean, deviation = jnp.asarray([0.4, 0.5, 0.6]), jnp.asarray([0.2, 0.3, 0.25])
    return _conv(padding="VALID")(kernel, (x / 255.0 - mean[None, None]) / deviation[None, None])


def _heads(kernel: Any, x: Any) -> Any:
    """Projected, split into heads, and biased and scaled there."""
    y = (x @ kernel).reshape(x.shape[0], 2, -1).transpose(1, 0, 2)
    return (y + jnp.asarray(draw(2, 1, 3, seed=4))) * -0.5


LAYERS = [
    Layer("x @ w + b", _biased(lambda w, x: x @ w, 4), draw(5, 4), (5,)),
    Layer("w @ x", lambda w, x: w @ x, draw(4, 5), (5,)),
    Layer("rows @ w + b", _biased(lambda w, x: x @ w, 4), draw(5, 4), (3, 5)),
    Layer("w @ columns + b", _biased(lambda w, x: w @ x, 3), draw(4, 5), (5, 3)),
    Layer("two axes", lambda w, x: jnp.einsum("tij,jik->kt", x, w), draw(3, 2, 4), (2, 2, 3)),
    Layer("a batch axis", lambda w, x: jnp.einsum("bi,bij->bj", x, w), draw(2, 3, 4), (2, 3)),
    Layer("heads", _heads, draw(4, 6), (3, 4)),
    Layer("conv 1-D, strided", _conv(window_strides=(2,)), draw(3, 2, 3), (1, 7, 2)),
    Layer(
        "conv 1-D, dilated, biased",
        _biased(_conv(rhs_dilation=(2,)), 3),
        draw(3, 2, 3),
        (1, 7, 2),
    ),
    Layer("conv 2-D", _conv(), draw(3, 3, 2, 3), (1, 4, 4, 2)),
    Layer(
        "conv 2-D, valid, strided, biased",
        _biased(_conv(window_strides=(2, 1), padding="VALID"), 3),
        draw(2, 3, 2, 3),
        (1, 5, 4, 2),
    ),
    Layer("conv grouped", _biased(_conv(feature_group_count=2), 4), draw(2, 2, 4), (1, 5, 4)),
    Layer(
        "conv depthwise", _biased(_conv(feature_group_count=3), 6), draw(3, 3, 1, 6), (1, 3, 3, 3)
    ),
    Layer("conv transposed", _biased(_transposed, 3), draw(3, 2, 3), (1, 4, 2)),
    Layer("norm after", _after, draw(3, 2, 4), (1, 5, 2)),
    Layer("norm before, padded", _before, draw(3, 2, 4), (1, 5, 2)),
    Layer("norm before and after", _both, draw(4, 3), (4,)),
    Layer("pixels", _pixels, draw(2, 3, 2), (1, 5, 3)),
]


def _mean(_: Any, x: Any) -> Any:
    return jnp.mean(x, axis=0) * 2.0 + 0.3


def _average_pool(_: Any, x: Any) -> Any:
    return nn.avg_pool(x, (2, 2), strides=(1, 2), padding="SAME", count_include_pad=False)


def _segments(_: Any, x: Any) -> Any:
    return jax.ops.segment_sum(x, np.array([2, 0, 2, 2]), num_segments=3)


def _onto_constants(_: Any, x: Any) -> Any:
    return jnp.asarray(draw(4, 2, seed=6)).at[np.array([1, 3, 1])].add(x)


SUMS = [
    Layer("sum", lambda _, x: jnp.sum(x, axis=1), None, (3, 4), Kind.SUM),
    Layer("scaled mean", _mean, None, (3, 4), Kind.SUM),
    Layer("average pooling", _average_pool, None, (3, 4, 2), Kind.SUM),
    Layer("cumulative sum", lambda _, x: jnp.cumsum(x), None, (4,), Kind.SUM),
    Layer("segment sum", _segments, None, (4, 2), Kind.SUM),
    Layer("scatter-add onto constants", _onto_constants, None, (3, 2), Kind.SUM),
    Layer("a + b", lambda _, x: x[0] + x[1], None, (2, 4), Kind.ADD),
    Layer("a - b", lambda _, x: x[0] - x[1], None, (2, 4), Kind.ADD),
]

LOW, HIGH = -1.5, 2.0
Reference = Callable[[Array, Array, Array, Array], Shared]
RULES: dict[str, tuple[Rule, Reference]] = {
    "epsilon": (rules.Epsilon(0.1), functools.partial(references.lrp_epsilon, epsilon=0.1)),
    "z_plus": (rules.ZPlus(), references.lrp_z_plus),
    "alpha_beta": (rules.AlphaBeta(), references.lrp_alpha_beta),
    "gamma": (rules.Gamma(), references.lrp_gamma),
    "interpolated": (
        rules.Interpolated(0.3, 0.1),
        functools.partial(references.lrp_interpolated, gamma=0.3, epsilon=0.1),
    ),
    "z_box": (
        rules.ZBox(LOW, HIGH),
        lambda x, w, b, r: references.lrp_z_box(x, w, b, r, LOW + 0 * x, HIGH + 0 * x),
    ),
    "w_square": (rules.WSquare(0.01), functools.partial(references.lrp_w_square, epsilon=0.01)),
    "flat": (rules.Flat(), references.lrp_flat),
}
MORE_RULES: dict[str, tuple[Rule, Reference]] = {
    "zero": (rules.Zero(), references.lrp_zero),
    "norm": (rules.Norm(), references.lrp_epsilon),
    "z_plus, stabilised": (
        rules.ZPlus(0.1),
        functools.partial(references.lrp_z_plus, epsilon=0.1),
    ),
    "alpha1.5 beta0.5": (
        rules.AlphaBeta(1.5, 0.5, 0.1),
        functools.partial(references.lrp_alpha_beta, alpha=1.5, beta=0.5, epsilon=0.1),
    ),
    "gamma2, stabilised": (
        rules.Gamma(2.0, 0.1),
        functools.partial(references.lrp_gamma, gamma=2.0, epsilon=0.1),
    ),
    "z_box, stabilised": (
        rules.ZBox(LOW, HIGH, 0.1),
        lambda x, w, b, r: references.lrp_z_box(x, w, b, r, LOW + 0 * x, HIGH + 0 * x, 0.1),
    ),
    "flat, stabilised": (rules.Flat(0.1), functools.partial(references.lrp_flat, epsilon=0.1)),
}
ALL_RULES = RULES | MORE_RULES


@functools.cache
def explained(layer: Layer, names: tuple[str, ...], rectified: bool) -> dict[str, Any]:
    """What each rule makes of a layer, and its report; compiled together."""

    def apply(kernel: Any, x: Any) -> Any:
        return layer.apply(kernel, jax.nn.relu(x) if rectified else x)

    behind = dataclasses.replace(layer, apply=apply)

    @jax.jit
    def run(kernel: Any, x: Any, relevance: Any) -> Any:
        return {
            name: behind.explain(ALL_RULES[name][0], kernel, x, relevance, info=True)
            for name in names
        }

    return jax.tree.map(np.asarray, run(layer.kernel, layer.x, layer.relevance))


@functools.cache
def unrolled(layer: Layer) -> tuple[Array, Array]:
    return references.unrolled(jax.jit(lambda x: layer.apply(layer.kernel, x)), layer.shape)


def expected(layer: Layer, name: str, x: Array) -> Shared:
    w, b = unrolled(layer)
    return ALL_RULES[name][1](x.ravel(), w, b, layer.relevance.ravel())


def check(layer: Layer, name: str, names: Iterable[str], *, rectified: bool = False) -> None:
    """The relevance and every column of the ledger against the formula."""
    relevance, info = explained(layer, tuple(names), rectified)[name]
    shared = expected(layer, name, np.maximum(layer.x, 0) if rectified else layer.x)
    np.testing.assert_allclose(relevance.ravel(), shared.inputs, rtol=1e-9, atol=1e-12)
    ledger = info.ledger
    row = next(i for i, site in enumerate(ledger.rows) if Kind[site.kind] in layer.kind)
    np.testing.assert_allclose(info.relevance[ledger.rows[row].name], layer.relevance, rtol=1e-12)
    columns = {
        "received": np.sum(layer.relevance),
        "size": np.sum(np.abs(layer.relevance)),
        "distributed": np.sum(shared.inputs),
        "bias": np.sum(shared.bias),
        "stabilizer": np.sum(shared.stabilizer),
        "rule": 0,
    }
    scale = np.sum(np.abs(shared.weights)) + np.sum(np.abs(shared.bias))
    for column, value in columns.items():
        found = getattr(ledger, column)[row]
        np.testing.assert_allclose(found, value, atol=1e-12 * scale, err_msg=column)


each_rule = pytest.mark.parametrize("name", RULES)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@each_rule
def test_rules_on_layers(layer: Layer, name: str) -> None:
    check(layer, name, RULES)


@pytest.mark.parametrize("layer", SUMS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("name", [name for name in RULES if name != "z_box"])
def test_rules_on_sums(layer: Layer, name: str) -> None:
    check(layer, name, [name for name in RULES if name != "z_box"])


@pytest.mark.parametrize("index", [0, 14])
@pytest.mark.parametrize("name", MORE_RULES)
def test_other_numbers_in_rules(index: int, name: str) -> None:
    check(LAYERS[index], name, MORE_RULES)


# Inputs known to be non-negative need half of the work, unless a norm comes between.
BEHIND_RELU = ("x @ w + b", "conv 2-D", "norm before, padded")


@pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if layer.name in BEHIND_RELU], ids=lambda layer: layer.name
)
@each_rule
def test_rules_behind_a_relu(layer: Layer, name: str) -> None:
    check(layer, name, RULES, rectified=True)


# ------------------------------------------------------------------------- relevance of weights


@pytest.mark.parametrize(
    "layer",
    [LAYERS[i] for i in (1, 2, 4, 9, 11, 14, 15)],
    ids=lambda layer: layer.name,
)
@each_rule
def test_relevance_of_the_weights(layer: Layer, name: str) -> None:
    """What passes through a weight on all its ways, those of the folded kernel."""
    _, info = explained(layer, tuple(RULES), False)[name]
    (found,) = info.weights.values()
    through = expected(layer, name, layer.x).weights
    places = np.eye(layer.kernel.size).reshape(-1, *layer.kernel.shape)
    apply = jax.jit(layer.apply)
    wanted = []
    for place in places:
        w, _ = references.unrolled(lambda x, place=place: apply(place, x), layer.shape)
        wanted.append(np.sum(through[w != 0]))
    assert found.shape == layer.kernel.shape
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-9, atol=1e-12)


def test_relevance_of_weights_of_a_network() -> None:
    """A layer's weights carry what its inputs receive, and the biases the rest."""
    _, info = jax.jit(jaxplain.lrp(network, rules.Zero(), info=True))(POINT, W1, W2)
    ledger = info.ledger
    assert len(info.weights) == 2
    for name, weights in info.weights.items():
        row = [site.name for site in ledger.rows].index(name)
        np.testing.assert_allclose(np.sum(weights), ledger.distributed[row], rtol=1e-12)
        np.testing.assert_allclose(
            np.sum(weights) + ledger.bias[row], ledger.received[row], rtol=1e-12
        )


# ------------------------------------------------------------------------------ a small network

W1, W2 = jnp.asarray(draw(4, 6, seed=40)), jnp.asarray(draw(6, 3, seed=41))
B1, B2 = jnp.asarray(draw(6, seed=42)), jnp.asarray(draw(3, seed=43))
POINT = jnp.asarray(draw(4, seed=44))


def network(x: Any, w1: Any = W1, w2: Any = W2) -> Any:
    """Two dense layers with biases, a relu between them; the second of three logits."""
    b1, b2 = B1.astype(x.dtype), B2.astype(x.dtype)
    hidden = jax.nn.relu(x @ w1.astype(x.dtype) + b1)
    return (hidden @ w2.astype(x.dtype) + b2)[1]


@pytest.mark.parametrize("name", ALL_RULES)
def test_two_layers_are_the_formula_twice(name: str) -> None:
    rule, reference = ALL_RULES[name]
    composite = rules.Composite([(jaxplain.Kind.DENSE, rule)])
    found, info = jax.jit(jaxplain.lrp(network, composite, info=True))(POINT)
    hidden = np.maximum(POINT @ W1 + B1, 0)
    logits = np.asarray(hidden @ W2 + B2)
    above = reference(hidden, np.asarray(W2), np.asarray(B2), logits * np.eye(3)[1])
    below = reference(np.asarray(POINT), np.asarray(W1), np.asarray(B1), above.inputs)
    np.testing.assert_allclose(found, below.inputs, rtol=1e-9)
    np.testing.assert_allclose(info.ledger.seed, logits[1], rtol=1e-12)
    np.testing.assert_allclose(info.ledger.inputs, np.sum(below.inputs), rtol=1e-9)
    np.testing.assert_allclose(info.ledger.residual, 0, atol=1e-12)
    dense, activation = (info.relevance[info.ledger.rows[i].name] for i in (0, 1))
    np.testing.assert_allclose(dense, above.inputs, rtol=1e-9)
    np.testing.assert_allclose(activation, above.inputs, rtol=1e-9)


def test_seeds() -> None:
    """Relevance starts from the score or from one, and all is proportional to it."""
    for rule in (rules.Epsilon(), rules.AlphaBeta(), rules.Gamma()):

        @jax.jit
        def both(x: Any, rule: Any = rule) -> Any:
            return [jaxplain.lrp(network, rule, seed=seed)(x) for seed in ("score", "one")]

        of_score, of_one = both(POINT)
        np.testing.assert_allclose(of_score, of_one * network(POINT), rtol=1e-12)


def test_z_plus_is_positive_whatever_the_weights() -> None:
    composites = [
        rules.excitation_backprop(),
        rules.interpolated(0.0),
        rules.deep_taylor(),
        rules.deep_taylor(-3.0, 3.0),
        rules.Flat(),
        rules.WSquare(),
    ]

    @jax.jit
    @jax.vmap
    def explained(x: Any) -> Any:
        return [jaxplain.lrp(network, rule, seed="one")(x) for rule in composites]

    for relevance in explained(jnp.asarray(draw(20, 4, seed=50))):
        assert np.all(relevance >= 0)
        assert np.all(np.sum(relevance, axis=-1) <= 1 + 1e-12)
        assert np.max(relevance) > 0.1


SPREAD = {
    "zero": rules.Zero(),
    "gamma": rules.Gamma(0.5, 0.0),
    "interpolated": rules.Interpolated(0.5, 0.0),
}


@pytest.mark.parametrize("name", SPREAD)
def test_spread_bias_conserves_relevance(name: str) -> None:
    """These rules absorb nothing else, so all of the score reaches the inputs."""
    composite = Composite([(Kind.LINEAR & ~Kind.SCALE, SPREAD[name])])
    layers = [
        layer
        for layer in LAYERS
        if layer.name in ("conv 2-D, valid, strided, biased", "norm after")
    ]

    @jax.jit
    def run() -> Any:
        found = [jaxplain.lrp(network, composite, bias="spread", info=True)(POINT)]
        for layer in layers:

            def score(x: Any, layer: Layer = layer) -> Any:
                return jnp.sum(jnp.tanh(layer.apply(layer.kernel, x)))

            found.append(jaxplain.lrp(score, composite, bias="spread", info=True)(layer.x))
        return found

    for relevance, info in run():
        np.testing.assert_allclose(np.sum(relevance), info.ledger.seed, rtol=1e-10)
        np.testing.assert_allclose(info.ledger.bias, 0, atol=1e-12)
        assert np.max(np.abs(relevance)) > 0.1


@pytest.mark.parametrize(
    "layer", [LAYERS[i] for i in (0, 10, 14, 15)], ids=lambda layer: layer.name
)
def test_spread_bias_is_even_over_the_inputs_of_each_unit(layer: Layer) -> None:
    """Those that its weights reach, so that none goes to the padding."""
    rule = rules.Epsilon(0.1)
    found = jax.jit(lambda x: layer.explain(rule, layer.kernel, x, layer.relevance, bias="spread"))(
        layer.x
    )
    shared = expected(layer, "epsilon", layer.x)
    connected = unrolled(layer)[0] != 0
    even = connected @ (shared.bias / np.sum(connected, axis=0))
    np.testing.assert_allclose(found.ravel(), shared.inputs + even, rtol=1e-9, atol=1e-12)


# -------------------------------------------------------------------------- dtypes and extremes


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_dtype_is_kept(dtype: Any) -> None:
    # Rules of ordinary size: cancelling contributions would say more about the network's rounding.
    names = ["z_plus", "interpolated", "w_square", "flat", "gamma2, stabilised"]

    @jax.jit
    def run(x: Any) -> Any:
        return {name: jaxplain.lrp(network, ALL_RULES[name][0], seed="one")(x) for name in names}

    found, exact = run(POINT.astype(dtype)), run(POINT)
    tolerance = {jnp.float32: 1e-6, jnp.bfloat16: 0.05}[dtype]
    for name in names:
        assert found[name].dtype == dtype
        np.testing.assert_allclose(
            found[name].astype(jnp.float64),
            exact[name],
            atol=tolerance * np.max(np.abs(exact[name])),
            err_msg=name,
        )


HARSH = {
    "zero": rules.Zero(),
    "z_plus": rules.ZPlus(0.0),
    "alpha_beta": rules.AlphaBeta(2.0, 1.0, 0.0),
    "gamma": rules.Gamma(0.25, 0.0),
    "z_box": rules.ZBox(0.0, 1.0, 0.0),
    "w_square": rules.WSquare(0.0),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("name", HARSH)
def test_degenerate_inputs_give_finite_numbers(name: str, dtype: Any) -> None:
    """Without stabilisers: `0 / 0` is 0, in the relevance and in its derivative."""
    xs = jnp.stack([0 * POINT, -jnp.abs(POINT), 0 * POINT + 1.0, 1e-12 * POINT, 1e12 * POINT])

    def dead(x: Any) -> Any:
        """No bias, so zero stays zero, and negative inputs turn every unit off."""
        return jnp.sum(jax.nn.relu(x @ jnp.abs(W1).astype(x.dtype)) @ W2.astype(x.dtype))

    @jax.jit
    @jax.vmap
    def run(x: Any) -> Any:
        return (
            jaxplain.lrp(dead, HARSH[name])(x),
            jaxplain.lrp(network, HARSH[name], bias="spread")(x),
            jax.grad(lambda x: jnp.sum(jaxplain.lrp(dead, HARSH[name])(x)))(x),
        )

    found = run(xs.astype(dtype))
    chex.assert_tree_all_finite(found)
    if name not in ("z_box", "w_square"):
        np.testing.assert_array_equal(found[0][0].astype(jnp.float32), 0)


def test_units_without_contributions_of_the_right_sign_give_to_the_stabilizer() -> None:
    """All products negative: z+ has nobody to give to, and says so."""
    x, w = jnp.array([1.0, 2.0]), jnp.array([-1.0, -2.0])
    relevance, info = jax.jit(jaxplain.lrp(jnp.dot, rules.ZPlus(), info=True))(x, w)
    np.testing.assert_array_equal(relevance, 0)
    np.testing.assert_allclose(info.ledger.stabilizer, [-5.0])
    np.testing.assert_allclose(info.ledger.rule, [0.0], atol=1e-12)


# ------------------------------------------------------- traced numbers, derivatives of relevance

OWN = {
    "epsilon": (lambda value: rules.Epsilon(value), 0.3),
    "z_plus": (lambda value: rules.ZPlus(value), 0.3),
    "alpha_beta": (lambda value: rules.AlphaBeta(1 + value, value, 0.1), 0.7),
    "gamma": (lambda value: rules.Gamma(value, 0.1), 0.4),
    "interpolated": (lambda value: rules.Interpolated(value, 0.1), 0.4),
    "z_box": (lambda value: rules.ZBox(-value, 2 * value, 0.1), 1.5),
    "w_square": (lambda value: rules.WSquare(value), 0.3),
    "flat": (lambda value: rules.Flat(value), 0.3),
}
each_own = pytest.mark.parametrize("name", OWN)


@each_own
def test_gradient_of_relevance_is_finite_differences(name: str) -> None:
    """With respect to the input, the weights and the rule's own number."""
    make, value = OWN[name]
    direction = jnp.asarray(draw(4, seed=60))

    @jax.jit
    def loss(x: Any, w1: Any, w2: Any, value: Any) -> Any:
        relevance = jaxplain.lrp(network, make(value))(x, w1, w2)
        return jnp.sum(direction * relevance**2)

    point = (POINT, W1, W2, jnp.asarray(value))
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*point)
    step = 1e-5
    for place, gradient in enumerate(gradients):
        way = jnp.asarray(draw(*point[place].shape, seed=61))

        def moved(by: float, place: int = place, way: Any = way) -> Any:
            return loss(*(p + by * way if i == place else p for i, p in enumerate(point)))

        numeric = (moved(step) - moved(-step)) / (2 * step)
        scale = float(loss(*point)) + abs(float(numeric))
        np.testing.assert_allclose(
            np.sum(gradient * way), numeric, rtol=1e-6, atol=1e-8 * abs(scale)
        )


@each_own
def test_mapping_over_a_rule_is_a_loop(name: str) -> None:
    make, value = OWN[name]
    values = value * jnp.array([1.0, 0.5, 1.3])

    @jax.jit
    def mapped(values: Any) -> Any:
        return jax.vmap(lambda value: jaxplain.lrp(network, make(value))(POINT))(values)

    @jax.jit
    def looped(value: Any) -> Any:
        return jaxplain.lrp(network, make(value))(POINT)

    alone = [looped(value) for value in values]
    np.testing.assert_allclose(mapped(values), np.stack(alone), rtol=1e-11)
    assert not np.allclose(alone[0], alone[1], rtol=1e-3)


def test_bounds_of_a_box_are_arrays_and_can_be_mapped_over() -> None:
    """Number, array, traced array: in each case the bounds of every input for itself."""
    lows = jnp.asarray(-1 - np.abs(draw(3, 4, seed=62)))
    highs = jnp.asarray(1 + np.abs(draw(3, 4, seed=63)))
    composite = Composite([(rules.first(), rules.ZBox(0.0, 1.0))])

    @jax.jit
    def run(low: Any, high: Any) -> Any:
        box = Composite([(rules.first(), rules.ZBox(low, high))]) | rules.ZPlus()
        return jaxplain.lrp(network, box)(POINT)

    found = jax.jit(jax.vmap(run))(lows, highs)
    hidden = np.maximum(POINT @ W1 + B1, 0)
    for low, high, relevance in zip(lows, highs, found, strict=True):
        np.testing.assert_allclose(relevance, run(low, high), rtol=1e-11)
        seed = (hidden @ W2 + B2) * np.eye(3)[1]
        above = references.lrp_z_plus(hidden, np.asarray(W2), np.asarray(B2), seed)
        wanted = references.lrp_z_box(
            np.asarray(POINT), np.asarray(W1), np.asarray(B1), above.inputs, low, high
        )
        np.testing.assert_allclose(relevance, wanted.inputs, rtol=1e-9)
    assert composite.entries  # made outside of any trace


@pytest.mark.parametrize("spelling", ["None before", "None after", "division", "vmapped"])
def test_bounds_are_in_the_units_of_the_input(spelling: str) -> None:
    """Pixels from 0 to 255, scaled by the model before its first convolution."""
    pixels = jnp.asarray(np.random.default_rng(9).uniform(0, 255, size=(5, 3)))
    kernel = jnp.asarray(draw(2, 3, 2, seed=64))
    mean, deviation = jnp.array([0.4, 0.5, 0.6]), jnp.array([0.2, 0.3, 0.25])
    conv = _conv(padding="VALID")

    def normalised(x: Any) -> Any:
        return (x / 255.0 - mean[None]) / deviation[None]

    def apply(x: Any) -> Any:
        if spelling == "None before":
            return conv(kernel, (x[None] / 255.0 - mean[None, None]) / deviation[None, None])
        if spelling == "None after":
            return conv(kernel, normalised(x)[None])
        if spelling == "division":
            return conv(kernel, x[None] / 255.0)
        return conv(kernel, jax.vmap(normalised)(x[None]))

    layer = Layer(spelling, lambda _, x: apply(x), kernel, (5, 3))
    explain = jax.jit(lambda x: layer.explain(rules.ZBox(0.0, 255.0), kernel, x, layer.relevance))
    w, b = references.unrolled(jax.jit(apply), (5, 3))
    zero = np.zeros(15)
    wanted = references.lrp_z_box(
        np.ravel(pixels), w, b, np.ravel(layer.relevance), zero, zero + 255.0
    )
    np.testing.assert_allclose(np.ravel(explain(pixels)), wanted.inputs, rtol=1e-9)


def test_traced_numbers_in_inner_jit_and_scan() -> None:
    gammas = jnp.array([0.0, 0.3, 2.0])

    def explain(gamma: Any) -> Any:
        return jaxplain.lrp(network, rules.Gamma(gamma))(POINT)

    @jax.jit
    def everywhere(gammas: Any) -> Any:
        _, scanned = jax.lax.scan(lambda carry, gamma: (carry, explain(gamma)), 0.0, gammas)
        return jnp.stack([jax.jit(explain)(gamma) for gamma in gammas]), scanned

    alone = np.stack([jax.jit(explain)(gamma) for gamma in gammas])
    for found in everywhere(gammas):
        np.testing.assert_allclose(found, alone, rtol=1e-11)


def test_a_traced_number_reaches_sites_inside_loops() -> None:
    """In a scan over layers, mapped over and differentiated."""
    layers = jnp.stack([W1[:, :4], W1[:, 2:]])

    def deep(x: Any) -> Any:
        def step(x: Any, w: Any) -> Any:
            return jax.nn.relu(x @ w + 1.0), None

        return jnp.sum(jax.lax.scan(step, x, layers)[0])

    def unrolled(x: Any) -> Any:
        for w in layers:
            x = jax.nn.relu(x @ w + 1.0)
        return jnp.sum(x)

    @jax.jit
    def run(gammas: Any) -> Any:
        def total(f: Any, gamma: Any) -> Any:
            relevance = jaxplain.lrp(f, rules.gamma(gamma))(POINT)
            return jnp.sum(relevance**2), relevance

        return [
            jax.vmap(jax.value_and_grad(lambda g, f=f: total(f, g), has_aux=True))(gammas)
            for f in (deep, unrolled)
        ]

    in_loop, plain = run(jnp.array([0.1, 0.5]))
    chex.assert_trees_all_close(in_loop, plain, rtol=1e-10)
    assert np.all(np.abs(plain[1]) > 1e-3)


MADE_INSIDE = {
    "Epsilon": lambda: rules.Epsilon(0.1),
    "AlphaBeta": lambda: rules.AlphaBeta(2.0, 1.0),
    "epsilon_alpha2_beta1": lambda: rules.epsilon_alpha2_beta1(),
    "Gamma": lambda: rules.Gamma(1),
    "Interpolated": lambda: rules.Interpolated(0.5),
    "ZBox": lambda: rules.ZBox(np.zeros(1), np.ones(1)),
}


@pytest.mark.parametrize("name", MADE_INSIDE)
def test_rules_can_be_made_under_jit(name: str) -> None:
    make = MADE_INSIDE[name]
    outside = make()
    inside = jax.jit(lambda x: jaxplain.lrp(network, make())(x))(POINT)
    np.testing.assert_allclose(inside, jax.jit(jaxplain.lrp(network, outside))(POINT), rtol=1e-12)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="alpha - beta must be 1"):
        rules.AlphaBeta(2.0, 0.5)
    with pytest.raises(ValueError, match="low must not exceed high"):
        rules.ZBox(np.array([0.0, 2.0]), 1.0)
    for make in (rules.Epsilon, rules.ZPlus, rules.Gamma, rules.WSquare, rules.Flat, rules.Norm):
        with pytest.raises(ValueError, match="epsilon|gamma"):
            make(-0.1)
    with pytest.raises(ValueError, match="gamma"):
        rules.Interpolated(1.5)
    with pytest.raises(ValueError, match="both bounds"):
        rules.deep_taylor(0.0)
    for option in ("seed", "bias", "missing"):
        with pytest.raises(ValueError, match=f"{option}='twice' is unknown"):
            jaxplain.lrp(network, **{option: "twice"})


# --------------------------------------------------------------------- what is not linear


def received(
    apply: Callable[[Any], Any], x: Any, relevance: Any, *pairs: Any, **options: Any
) -> Any:
    """The relevance of `x` when that of `apply(x)` is given."""

    def score(x: Any) -> Any:
        return jnp.sum(checkpoint_name(apply(x), "output"))

    composite = Composite([("**output", Receive(relevance)), *pairs])
    return jax.jit(jaxplain.lrp(score, composite, **options))(x)


def test_products_share_evenly() -> None:
    x, relevance = draw(2, 3), draw(3, seed=1)
    found = received(lambda x: x[0] * x[1], x, relevance)
    np.testing.assert_allclose(found, references.lrp_product(x[0], x[1], relevance), rtol=1e-12)
    np.testing.assert_allclose(received(lambda x: x * x, x[0], relevance), relevance, rtol=1e-12)


MATRIX_PRODUCTS = {
    "matmul": lambda x: x["a"] @ x["b"],
    "einsum": lambda x: jnp.einsum("ik,kj->ij", x["a"], x["b"]),
    "transposed": lambda x: jax.lax.dot_general(x["a"], x["b"].T, (((1,), (1,)), ((), ()))),
}


@pytest.mark.parametrize("name", MATRIX_PRODUCTS)
def test_matrix_products_share_evenly(name: str) -> None:
    x, relevance = {"a": draw(2, 3), "b": draw(3, 4)}, draw(2, 4, seed=1)
    pair = (Kind.PRODUCT, rules.Product(epsilon=0.1))
    found, info = received(MATRIX_PRODUCTS[name], x, relevance, pair, info=True)
    to_a, to_b = references.lrp_matrix_product(x["a"], x["b"], relevance, 0.1)
    np.testing.assert_allclose(found["a"], to_a, rtol=1e-10)
    np.testing.assert_allclose(found["b"], to_b, rtol=1e-10)
    absorbed = np.sum(relevance) - np.sum(to_a) - np.sum(to_b)
    row = [site.kind for site in info.ledger.rows].index("PRODUCT")
    np.testing.assert_allclose(info.ledger.stabilizer[row], absorbed, rtol=1e-9)


def test_detached_factors_get_nothing() -> None:
    x, relevance = {"a": draw(2, 3), "b": draw(3, 4)}, draw(2, 4, seed=1)
    pair = (Kind.PRODUCT, rules.Product(detach=Kind.SOFTMAX))

    def attend(x: Any) -> Any:
        return jax.nn.softmax(x["a"]) @ x["b"]

    found = received(attend, x, relevance, pair)
    weights = np.asarray(jax.nn.softmax(x["a"]))
    _, half = references.lrp_matrix_product(weights, x["b"], relevance)
    np.testing.assert_allclose(found["b"], 2 * half, rtol=1e-10)
    np.testing.assert_array_equal(found["a"], 0)


def test_division_gives_to_the_numerator() -> None:
    x, relevance = np.abs(draw(2, 3)) + 0.1, draw(3, seed=1)
    for apply in (lambda x: x[0] / x[1], lambda x: x[0] ** x[1]):
        found = received(apply, x, relevance)
        np.testing.assert_allclose(found[0], relevance, rtol=1e-12)
        np.testing.assert_array_equal(found[1], 0)


SOFTMAXES = {
    "jax.nn": jax.nn.softmax,
    "written out": lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
    "written out, shifted": lambda x: jnp.exp(x - jnp.max(x)) / jnp.sum(jnp.exp(x - jnp.max(x))),
    "shared exponential": lambda x: (e := jnp.exp(x - jnp.max(x))) / e.sum(axis=-1, keepdims=True),
    "first axis of two": lambda x: jax.nn.softmax(x[:, None], axis=0)[:, 0],
}


@pytest.mark.parametrize("name", SOFTMAXES)
def test_softmax(name: str) -> None:
    x, relevance = draw(5), draw(5, seed=1)
    found, info = received(SOFTMAXES[name], x, relevance, info=True)
    wanted = references.lrp_softmax(x, relevance)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)
    row = [site.kind for site in info.ledger.rows].index("SOFTMAX")
    absorbed = np.sum(relevance) - np.sum(wanted)
    np.testing.assert_allclose(info.ledger.rule[row], absorbed, rtol=1e-10)


def test_masked_logits_of_a_softmax_get_nothing() -> None:
    x, relevance = draw(5), draw(5, seed=1)
    mask = np.array([True, True, False, True, False])
    found = received(lambda x: jax.nn.softmax(jnp.where(mask, x, -jnp.inf)), x, relevance)
    wanted = references.lrp_softmax(np.where(mask, x, -np.inf), relevance)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_array_equal(np.asarray(found)[~mask], 0)


LOG_SOFTMAXES = {
    "jax.nn": jax.nn.log_softmax,
    "written out": lambda x: x - jnp.log(jnp.sum(jnp.exp(x))),
}


@pytest.mark.parametrize("name", LOG_SOFTMAXES)
def test_log_softmax(name: str) -> None:
    x, relevance = draw(5), draw(5, seed=1)
    pair = (Kind.LOG_SOFTMAX, rules.Softmax(0.1))
    found = received(LOG_SOFTMAXES[name], x, relevance, pair)
    np.testing.assert_allclose(
        found, references.lrp_log_softmax(x, relevance, 0.1), rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize("name", ["jax.nn", "scipy"])
def test_logsumexp(name: str) -> None:
    apply = {"jax.nn": jax.nn.logsumexp, "scipy": jax.scipy.special.logsumexp}[name]
    x = draw(5)
    pair = (Kind.LOGSUMEXP, rules.Softmax(0.1))
    found = received(apply, x, np.float64(0.7), pair)
    np.testing.assert_allclose(found, references.lrp_logsumexp(x, 0.7, 0.1), rtol=1e-10)


def _flax(module: nn.Module) -> Callable[[Any, Any, Any], Any]:
    def apply(x: Any, scale: Any, shift: Any) -> Any:
        weights = {"scale": scale} | ({} if "RMS" in type(module).__name__ else {"bias": shift})
        with jax.numpy_dtype_promotion("standard"):
            return module.apply({"params": weights}, x)

    return apply


def _written_out(x: Any, scale: Any, shift: Any) -> Any:
    mean = x.mean()
    variance = ((x - mean) ** 2).mean()
    return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + shift


def _root_mean_square(x: Any, scale: Any, shift: Any) -> Any:
    return scale * (x * jax.lax.rsqrt(jnp.mean(x**2, keepdims=True) + 1e-5))


NORMS = {
    "linen LayerNorm": (_flax(nn.LayerNorm(epsilon=1e-5)), True),
    "LayerNorm written out": (_written_out, True),
    "linen RMSNorm": (_flax(nn.RMSNorm(epsilon=1e-5)), False),
    "RMSNorm written out": (_root_mean_square, False),
}


@pytest.mark.parametrize("name", NORMS)
def test_layer_norm(name: str) -> None:
    apply, center = NORMS[name]
    x, scale, relevance = draw(6), draw(6, seed=1), draw(6, seed=3)
    shift = draw(6, seed=2) if center else np.zeros(6)
    pair = (Kind.NORMALIZATION, rules.Epsilon(0.1))
    found, info = received(
        lambda x: apply(x, jnp.asarray(scale), jnp.asarray(shift)), x, relevance, pair, info=True
    )
    shared = references.lrp_layer_norm(x, scale, shift, relevance, 1e-5, 0.1, center=center)
    # linen takes the mean of the squares less the square of the mean.
    np.testing.assert_allclose(found, shared.inputs, rtol=1e-8)
    (row,) = [i for i, site in enumerate(info.ledger.rows) if site.kind == "NORMALIZATION"]
    np.testing.assert_allclose(info.ledger.bias[row], np.sum(shared.bias), rtol=1e-8, atol=1e-12)
    lost = np.sum(shared.stabilizer)
    np.testing.assert_allclose(info.ledger.stabilizer[row], lost, rtol=1e-8)
    np.testing.assert_allclose(info.ledger.rule[row], 0, atol=1e-12)


def test_group_norm_is_a_layer_norm_of_each_group() -> None:
    x, scale, shift, relevance = draw(3, 4), draw(4, seed=1), draw(4, seed=2), draw(3, 4, seed=3)
    module = nn.GroupNorm(num_groups=2, epsilon=1e-5)

    def apply(x: Any) -> Any:
        weights = {"scale": jnp.asarray(scale), "bias": jnp.asarray(shift)}
        with jax.numpy_dtype_promotion("standard"):
            return module.apply({"params": weights}, x[None])[0]

    found = received(apply, x, relevance, (Kind.NORMALIZATION, rules.Epsilon(0.1)))
    for group in (slice(0, 2), slice(2, 4)):
        scales, shifts = (np.tile(values[group], 3) for values in (scale, shift))
        shared = references.lrp_layer_norm(
            x[:, group].ravel(), scales, shifts, relevance[:, group].ravel(), 1e-5, 0.1
        )
        np.testing.assert_allclose(np.ravel(found[:, group]), shared.inputs, rtol=1e-8)


def test_maxima_go_to_the_winner_or_to_all() -> None:
    x = np.array([[1.0, 5.0, 2.0, 0.0], [3.0, -1.0, 4.0, 4.5]])

    def pooled(x: Any) -> Any:
        return nn.max_pool(x[None, :, :, None], (2, 2), strides=(2, 2))[0, 0, :, 0]

    relevance = np.array([1.0, -2.0])
    winners = received(pooled, x, relevance)
    np.testing.assert_allclose(winners, [[0, 1, 0, 0], [0, 0, 0, -2]], atol=1e-14)
    evenly = received(pooled, x, relevance, (Kind.MAX, rules.Uniform()))
    np.testing.assert_allclose(evenly, [[0.25, 0.25, -0.5, -0.5]] * 2, rtol=1e-12)
    columns = received(lambda x: x.max(axis=0), x, np.arange(4.0))
    np.testing.assert_allclose(columns, [[0, 1, 0, 0], [0, 0, 2, 3]], atol=1e-14)
    larger = received(
        lambda x: jnp.maximum(x[0], x[1]), x, np.arange(4.0), (Kind.MAX, rules.Uniform())
    )
    np.testing.assert_allclose(larger, [[0, 0.5, 1, 1.5]] * 2, rtol=1e-12)


@pytest.mark.parametrize(
    "rule",
    [rules.ZPlus(), rules.Flat(), rules.Gamma(), rules.Norm()],
    ids=lambda rule: type(rule).__name__,
)
def test_a_value_added_to_itself(rule: Rule) -> None:
    x, relevance = np.abs(draw(3)), draw(3, seed=1)
    found = received(lambda x: x + x, x, relevance, (Kind.ADD, rule))
    np.testing.assert_allclose(found, relevance, rtol=1e-5)
