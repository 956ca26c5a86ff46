"""Grouping goes by structure: however a layer is spelled, it is one site of its kind."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from replaying import grouped, kinds, sites

from jaxplain import Kind, Site, lrp, rules

Function = Callable[[jax.Array], Any]
lax = jax.lax

X = jnp.array([[0.31, -0.72, 0.55, 1.3], [-0.84, 0.23, 0.47, 0.6]])
IMAGE = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 2)))
W = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)))
SLOPE = jnp.array([0.1, 0.2, 0.3, 0.4])
MASK = jnp.array([True, True, False, True])
B = jnp.array([0.5, -1.0, 2.0])


def row(values: jax.Array) -> jax.Array:
    return values[None]


# Activations

ACTIVATIONS: dict[str, Function] = {
    "relu": jax.nn.relu,
    "relu, maximum": lambda x: jnp.maximum(x, 0),
    "relu, where": lambda x: jnp.where(x > 0, x, 0.0),
    "relu, product": lambda x: x * (x > 0).astype(x.dtype),
    "relu, absolute value": lambda x: (x + jnp.abs(x)) / 2,
    "relu6": jax.nn.relu6,
    "relu6, clip": lambda x: jnp.clip(x, 0, 6),
    "leaky": jax.nn.leaky_relu,
    "leaky, maximum": lambda x: jnp.maximum(x, 0.01 * x),
    "prelu": lambda x: jnp.where(x >= 0, x, row(SLOPE) * x),
    "prelu, sum": lambda x: jnp.maximum(x, 0) + row(SLOPE) * jnp.minimum(x, 0),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu, tanh": jax.nn.gelu,
    "gelu, erf": lambda x: x * 0.5 * (1.0 + lax.erf(x / np.sqrt(2.0))),
    "gelu, power": lambda x: 0.5 * x * (1 + jnp.tanh(0.8 * (x + 0.044 * jnp.power(x, 3)))),
    "quick gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "silu": jax.nn.silu,
    "silu, quotient": lambda x: x / (1 + jnp.exp(-x)),
    "swish with a parameter": lambda x: x * jax.nn.sigmoid(row(SLOPE) * x),
    "hard swish": jax.nn.hard_swish,
    "hard swish, spelled": lambda x: x * jnp.clip(x + 3, 0, 6) / 6,
    "hard sigmoid": jax.nn.hard_sigmoid,
    "hard tanh": jax.nn.hard_tanh,
    "softplus": jax.nn.softplus,
    "softplus, naive": lambda x: jnp.log(1 + jnp.exp(x)),
    "softplus, stable": lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))),
    "elu": jax.nn.elu,
    "elu, where": lambda x: jnp.where(x > 0, x, jnp.exp(x) - 1),
    "celu": jax.nn.celu,
    "selu": jax.nn.selu,
    "mish": jax.nn.mish,
    "mish, spelled": lambda x: x * jnp.tanh(jnp.log1p(jnp.exp(x))),
    "log sigmoid": jax.nn.log_sigmoid,
    "log sigmoid, spelled": lambda x: -jnp.log1p(jnp.exp(-x)),
    "squareplus": jax.nn.squareplus,
    "squareplus, spelled": lambda x: 0.5 * (x + jnp.sqrt(x**2 + 4.0)),
    "soft sign": jax.nn.soft_sign,
    "sigmoid": jax.nn.sigmoid,
    "sigmoid, spelled": lambda x: 1 / (1 + jnp.exp(-x)),
    "sparse plus": jax.nn.sparse_plus,
    "square": lambda x: x * x,
    "linen prelu": lambda x: nn.PReLU(param_dtype=float).apply(
        {"params": {"negative_slope": jnp.asarray(0.3)}}, x
    ),
    "nnx prelu": nnx.PReLU(param_dtype=float),
}
WRAPPED: dict[str, Callable[[Function], Function]] = {
    "as it is": lambda f: f,
    "vmap": jax.vmap,
    "jit": jax.jit,
}


# A chain of steps with one value between them: relevance passes each of them unchanged.
CHAINS: dict[str, list[str]] = {
    "relu, absolute value": ["ELEMENTWISE", "SCALE"],
    "relu6": ["ELEMENTWISE", "ELEMENTWISE"],
    "relu6, clip": ["ELEMENTWISE", "ELEMENTWISE"],
    "hard swish, spelled": ["ELEMENTWISE", "SCALE"],
    "selu": ["ELEMENTWISE", "SCALE"],
    "squareplus, spelled": ["ELEMENTWISE", "SCALE"],
    "sigmoid, spelled": ["SCALE", "ELEMENTWISE"],
    "log sigmoid, spelled": ["SCALE", "ELEMENTWISE", "ELEMENTWISE", "SCALE"],
    "square": ["PRODUCT"],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_one_site(name: str) -> None:
    f = ACTIVATIONS[name]
    expected = CHAINS.get(name, ["ELEMENTWISE"])
    assert kinds(f, X) == expected
    assert kinds(jax.vmap(f), X[None]) == expected
    assert kinds(jax.jit(f), X) in (expected, ["ELEMENTWISE"])  # what is jitted is one unit
    # The shift and the scale of a hard sigmoid fold into the layers around it.
    if name not in CHAINS and name != "hard sigmoid":
        dense = kinds(lambda x: f(x @ W @ W.T) @ W, X)
        assert dense == ["DENSE", "DENSE", "ELEMENTWISE", "DENSE"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_relevance_passes_activations_unchanged(name: str) -> None:
    f = ACTIVATIONS[name]
    relevance = lrp(lambda x: jnp.sum(f(x)), rules.epsilon(0.0))(X)
    np.testing.assert_allclose(relevance, f(X), rtol=1e-12, atol=1e-12)


def test_two_activations_in_a_row_are_two_sites_or_one() -> None:
    """A cluster ends at values that everything passes through."""
    assert set(kinds(lambda x: jnp.tanh(jax.nn.gelu(x)), X)) == {"ELEMENTWISE"}


def test_a_function_of_two_values_is_no_activation() -> None:
    assert kinds(lambda x: x * jax.nn.sigmoid(x[:, ::-1]), X) == ["ELEMENTWISE", "PRODUCT"]
    assert kinds(lambda x: jnp.maximum(x, x[:, ::-1]), X) == ["MAX"]


def test_an_activation_that_is_looked_at_inside_is_still_itself() -> None:
    def f(x: jax.Array) -> Any:
        gate = jax.nn.sigmoid(x)
        return gate, x * gate

    assert kinds(f, X) == ["ELEMENTWISE", "ELEMENTWISE"]


# Softmax


def hand_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    e = jnp.exp(x)
    return e / e.sum(axis, keepdims=True)


def stable_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    e = jnp.exp(x - x.max(axis, keepdims=True))
    return e / jnp.sum(e, axis, keepdims=True)


def stopped_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    e = jnp.exp(x - lax.stop_gradient(jnp.max(x, axis, keepdims=True)))
    return e / e.sum(axis, keepdims=True)


def broadcast_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    e = jnp.exp(x - jnp.expand_dims(x.max(axis), axis))
    return e / jnp.expand_dims(jnp.sum(e, axis), axis)


def hand_log_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    shifted = x - x.max(axis, keepdims=True)
    return shifted - jnp.log(jnp.exp(shifted).sum(axis, keepdims=True))


def naive_log_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    return x - jnp.log(jnp.exp(x).sum(axis, keepdims=True))


def difference_log_softmax(x: jax.Array, axis: int = -1) -> jax.Array:
    return x - jax.nn.logsumexp(x, axis, keepdims=True)


def hand_logsumexp(x: jax.Array, axis: int = -1) -> jax.Array:
    maximum = x.max(axis, keepdims=True)
    return jnp.squeeze(maximum, axis) + jnp.log(jnp.exp(x - maximum).sum(axis))


def naive_logsumexp(x: jax.Array, axis: int = -1) -> jax.Array:
    return jnp.log(jnp.sum(jnp.exp(x), axis))


EXPONENTIALS: dict[str, tuple[str, Callable[..., jax.Array]]] = {
    "jax.nn.softmax": ("SOFTMAX", jax.nn.softmax),
    "softmax by hand": ("SOFTMAX", hand_softmax),
    "softmax less the maximum": ("SOFTMAX", stable_softmax),
    "softmax less a constant maximum": ("SOFTMAX", stopped_softmax),
    "softmax with new axes": ("SOFTMAX", broadcast_softmax),
    "jax.nn.log_softmax": ("LOG_SOFTMAX", jax.nn.log_softmax),
    "log-softmax by hand": ("LOG_SOFTMAX", hand_log_softmax),
    "log-softmax without a maximum": ("LOG_SOFTMAX", naive_log_softmax),
    "jax.nn.logsumexp": ("LOGSUMEXP", jax.nn.logsumexp),
    "logsumexp by hand": ("LOGSUMEXP", hand_logsumexp),
    "logsumexp without a maximum": ("LOGSUMEXP", naive_logsumexp),
}
PLACES: dict[str, Callable[[Callable[..., jax.Array]], Function]] = {
    "last axis": lambda f: f,
    "first axis": lambda f: lambda x: f(x, axis=0),
    "vmap": jax.vmap,
    "jit": jax.jit,
    "one row": lambda f: lambda x: f(x[0]),
    "masked by -inf": lambda f: lambda x: f(jnp.where(row(MASK), x, -jnp.inf)),
    "checkpoint": jax.checkpoint,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EXPONENTIALS)
def test_softmax_however_spelled(name: str, place: str) -> None:
    kind, f = EXPONENTIALS[name]
    found = [k for k in kinds(PLACES[place](f), X) if k != "CALL"]
    assert found == [kind]


@pytest.mark.parametrize("name", EXPONENTIALS)
def test_softmax_with_a_mask_that_is_added(name: str) -> None:
    kind, f = EXPONENTIALS[name]
    bias = row(jnp.where(MASK, 0.0, -1e9))
    assert kinds(lambda x: f(x + bias), X) == ["SHIFT", kind]


@pytest.mark.parametrize(
    "f", [jax.nn.softmax, jax.nn.log_softmax, jax.nn.logsumexp, stable_softmax, hand_log_softmax]
)
def test_softmax_over_several_axes(f: Any) -> None:
    (site,) = (s for s in sites(lambda x: f(x, axis=(0, 1)), X) if s.kind is not Kind.MOVEMENT)
    assert site.kind in Kind.SOFTMAX | Kind.LOG_SOFTMAX | Kind.LOGSUMEXP
    assert tuple(site.form.axes) == (0, 1)  # type: ignore[union-attr]


def test_softmax_between_layers() -> None:
    f = lambda x: jax.nn.softmax((x @ W + row(B)) / 2.0, axis=-1) @ W.T  # noqa: E731
    assert kinds(f, X) == ["DENSE", "SOFTMAX", "DENSE"]


def test_attention() -> None:
    found = kinds(lambda x: nn.dot_product_attention(x[:, None], x[:, None], x[:, None]), X)
    assert found.count("SOFTMAX") == 1 and found.count("PRODUCT") == 2
    assert not set(found) - {"SOFTMAX", "PRODUCT", "SCALE"}


def test_a_quotient_of_different_exponentials_is_no_softmax() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.exp(x) / jnp.exp(2 * x).sum(-1, keepdims=True)

    assert "SOFTMAX" not in kinds(f, X)


# Normalisation


def apply(module: nn.Module, x: jax.Array = X) -> Function:
    with jax.numpy_dtype_promotion("standard"):  # Flax's normalisation mixes dtypes
        variables = module.init(jax.random.key(0), x)
    return lambda x: module.apply(variables, x)


def by_hand(x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * row(SLOPE) + 1.0


NORMALIZATIONS: dict[str, tuple[Function, jax.Array]] = {
    "linen LayerNorm": (apply(nn.LayerNorm()), X),
    "linen LayerNorm, slow": (apply(nn.LayerNorm(use_fast_variance=False)), X),
    "linen LayerNorm, bare": (apply(nn.LayerNorm(use_bias=False, use_scale=False)), X),
    "linen LayerNorm, no bias": (apply(nn.LayerNorm(use_bias=False)), X),
    "linen RMSNorm": (apply(nn.RMSNorm()), X),
    "linen GroupNorm": (apply(nn.GroupNorm(1), IMAGE), IMAGE),
    "linen GroupNorm of two": (apply(nn.GroupNorm(2), IMAGE), IMAGE),
    "linen GroupNorm, slow": (apply(nn.GroupNorm(1, use_fast_variance=False), IMAGE), IMAGE),
    "linen InstanceNorm": (apply(nn.InstanceNorm(), IMAGE), IMAGE),
    "nnx LayerNorm": (nnx.LayerNorm(4, rngs=nnx.Rngs(0)), X),
    "nnx RMSNorm": (nnx.RMSNorm(4, rngs=nnx.Rngs(0)), X),
    "nnx GroupNorm": (nnx.GroupNorm(2, 1, rngs=nnx.Rngs(0)), IMAGE),
    "nnx InstanceNorm": (nnx.InstanceNorm(2, rngs=nnx.Rngs(0)), IMAGE),
    "by hand": (by_hand, X),
    "rsqrt": (lambda x: (x - x.mean()) * lax.rsqrt(x.var() + 1e-5), X),
    "std": (lambda x: (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True), X),
    "power": (lambda x: x * ((x**2).mean(-1, keepdims=True) + 1e-5) ** -0.5, X),
    "unit vector": (lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True), X),
    "unit vector of all": (lambda x: x / jnp.linalg.norm(x), X),
    "unit vector, dot": (lambda x: x / jnp.sqrt(x @ x), X[0]),
    "unit vector, bounded": (lambda x: x / jnp.maximum(jnp.linalg.norm(x), 1e-6), X),
    "scale with an offset": (lambda x: (x - x.mean()) / (x.std() + 1e-5), X),
}


@pytest.fixture
def mixed() -> Any:
    """Flax's normalisation mixes dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalisation_is_one_site(name: str, wrapper: str) -> None:
    f, x = NORMALIZATIONS[name]
    x = x[None] if wrapper == "vmap" else x
    assert kinds(WRAPPED[wrapper](f), x) == ["NORMALIZATION"]


@pytest.mark.usefixtures("mixed")
def test_normalisation_with_its_scale_constant_is_affine() -> None:
    for name, (f, x) in NORMALIZATIONS.items():
        steps = grouped(f, x)
        (site,) = (s for s in steps.sites if s.kind is Kind.NORMALIZATION)
        assert site.form is not None and site.depth == 0, name


@pytest.mark.usefixtures("mixed")
def test_layers_around_a_normalisation() -> None:
    norm = apply(nn.LayerNorm(), jnp.ones((2, 3)))
    found = kinds(lambda x: jax.nn.relu(norm(x @ W)) @ W.T, X)
    assert found == ["DENSE", "NORMALIZATION", "ELEMENTWISE", "DENSE"]


class Squeeze(nn.Module):
    """Squeeze and excitation: channels multiplied by a gate made of their means."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = nn.relu(nn.Dense(2, param_dtype=float)(x.mean((1, 2))))
        return x * nn.sigmoid(nn.Dense(2, param_dtype=float)(h))[:, None, None]


def test_gates_are_products() -> None:
    found = kinds(apply(Squeeze(), IMAGE), IMAGE)
    assert found == ["SUM", "DENSE", "ELEMENTWISE", "DENSE", "ELEMENTWISE", "PRODUCT"]
    assert "NORMALIZATION" not in kinds(
        lambda x: x * jnp.sqrt(jax.nn.sigmoid(x.mean(1, keepdims=True) @ W[:1, :1])), X
    )


# Affine sites


def view_of(f: Function, x: jax.Array, kind: Kind) -> Site:
    """The only site of these kinds, its linear view checked: a linear map plus a bias."""
    steps = grouped(f, x)
    (site,) = (s for s in steps.sites if s.kind in kind)
    random = np.random.default_rng(2)

    def draw(value: Any) -> jax.Array:
        return jnp.asarray(random.uniform(0.5, 1.5, size=value.shape)).astype(value.aval.dtype)

    assert all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in site.operands)
    inputs, operands = tuple(map(draw, site.inputs)), tuple(map(draw, site.operands))
    view = site.linear(inputs, operands)
    value = view.linear(view.inputs, view.weights)
    bias = 0.0 if view.bias is None else view.bias
    (expected,) = site(inputs, operands)
    np.testing.assert_allclose(value + bias, expected, rtol=1e-12, atol=1e-12)
    for data, weights in (((3, 1)), ((1, 3)), ((-1, 1)), ((1, -1))):
        scaled = view.linear(
            tuple(data * x for x in view.inputs), tuple(weights * w for w in view.weights)
        )
        np.testing.assert_allclose(scaled, data * weights * value, rtol=1e-12, atol=1e-12)
    zeros = tuple(jnp.zeros_like(x) for x in inputs)
    np.testing.assert_allclose(
        jnp.broadcast_to(bias, expected.shape), site(zeros, operands)[0], atol=1e-12
    )
    return site


def conv(x: jax.Array, channels: int = 3, **options: Any) -> jax.Array:
    kernel = jnp.cos(jnp.arange(3 * 3 * 2.0 * channels)).reshape(3, 3, 2, channels)
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


def channels(values: jax.Array) -> jax.Array:
    return values[None, None, None]


AFFINE: dict[str, tuple[Function, jax.Array, list[str]]] = {
    "dense": (lambda x: x @ W, X, ["DENSE"]),
    "dense, transposed": (lambda x: W.T @ x.T, X, ["DENSE"]),
    "bias": (lambda x: x @ W + row(B), X, ["DENSE"]),
    "bias first": (lambda x: row(B) - x @ W, X, ["DENSE"]),
    "bias after": (lambda x: (x @ W).reshape(1, 2, 3) + B[None, None], X, ["DENSE"]),
    "bias after a transpose": (lambda x: (x @ W).T + B[:, None], X, ["DENSE"]),
    "scale": (lambda x: (x @ W) * row(B) + 1.0, X, ["DENSE"]),
    "scale after a reshape": (lambda x: (x @ W).reshape(2, 1, 3) * B[None, None], X, ["DENSE"]),
    "scale after a transpose": (lambda x: (x @ W).T * B[:, None], X, ["DENSE"]),
    "quotient": (lambda x: (x @ W - 1.0) / row(B), X, ["DENSE"]),
    "negated": (lambda x: -(1.0 - x @ W) * 2.0, X, ["DENSE"]),
    "normalised input": (lambda x: ((x - row(SLOPE)) / 2.0) @ W, X, ["DENSE"]),
    "batch norm before": (
        lambda x: (jnp.tanh(x) * row(SLOPE) + 0.3) @ W + row(B),
        X,
        ["ELEMENTWISE", "DENSE"],
    ),
    "normalised image": (
        lambda x: conv((x - channels(B[:2])) / channels(B[1:])),
        IMAGE,
        ["CONV"],
    ),
    "input used twice": (lambda x: (x * 2.0) @ W, X, ["DENSE"]),
    "batch norm after": (
        lambda x: (x @ W - row(B)) * (lax.rsqrt(row(B) ** 2 + 1e-5) * 0.5) + 0.3,
        X,
        ["DENSE"],
    ),
    "scale by position": (lambda x: (x @ W) * X[:, :3] + 1.0, X, ["DENSE", "SHIFT"]),
    "bias by position": (lambda x: x @ W + X[:, :3], X, ["DENSE"]),
    "einsum": (lambda x: jnp.einsum("nd,de->en", x, W) * B[:, None], X, ["DENSE"]),
    "einsum, weights first": (lambda x: jnp.einsum("de,nd->en", W, x) * B[:, None], X, ["DENSE"]),
    "einsum, two axes": (
        lambda x: jnp.einsum("ndh,dhe->ne", x.reshape(2, 2, 2), W.reshape(2, 2, 3)) + row(B),
        X,
        ["DENSE"],
    ),
    "einsum, batched weights": (
        lambda x: jnp.einsum("nd,nde->ne", x, jnp.stack([W, 2 * W])) * row(B) + 1.0,
        X,
        ["DENSE"],
    ),
    "conv": (conv, IMAGE, ["CONV"]),
    "conv, bias": (lambda x: conv(x) + channels(B), IMAGE, ["CONV"]),
    "conv, batch norm": (
        lambda x: (conv(x) + channels(B) - 0.3) * channels(B) + 1.0,
        IMAGE,
        ["CONV"],
    ),
    "conv, grouped": (
        lambda x: conv(jnp.concatenate([x, x], -1), 4, feature_group_count=2) * 2.0 + 1.0,
        IMAGE,
        ["CONV"],
    ),
    "conv, scale by position": (
        lambda x: conv(x) * IMAGE[..., :1],
        IMAGE,
        ["CONV", "SCALE"],
    ),
    "sum": (lambda x: x.sum(1), X, ["SUM"]),
    "mean": (lambda x: x.mean(1) * 2.0 + 1.0, X, ["SUM"]),
    "avg_pool": (lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
        / 4.0, IMAGE, ["SUM"]),
    "cumsum": (lambda x: jnp.cumsum(x, axis=1) * row(SLOPE) + 1.0, X, ["SUM"]),
    "scale alone": (lambda x: x * row(SLOPE), X, ["SCALE"]),
    "shift alone": (lambda x: (x - row(SLOPE)) * 2.0, X, ["SHIFT"]),
    "mixed precision": (
        lambda x: (x.astype(jnp.float32) @ W.astype(jnp.float32)).astype(jnp.float64) + row(B),
        X,
        ["DENSE"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("name", AFFINE)
def test_affine_steps_fold_into_their_layer(name: str, wrapper: str) -> None:
    f, x, expected = AFFINE[name]
    if (name, wrapper) == ("normalised image", "vmap"):
        pytest.xfail("a batched convolution reshapes between the shift and the convolution")
    x = x[None] if wrapper == "vmap" else x
    assert kinds(WRAPPED[wrapper](f), x) == expected


@pytest.mark.parametrize("name", [name for name in AFFINE if name != "mixed precision"])
def test_linear_views(name: str) -> None:
    f, x, expected = AFFINE[name]
    for kind in expected:
        if Kind[kind] in Kind.LINEAR:
            view_of(f, x, Kind[kind])


def test_a_value_that_is_used_elsewhere_ends_a_layer() -> None:
    def f(x: jax.Array) -> Any:
        z = x @ W
        return z + row(B), jnp.sum(z)

    assert sorted(kinds(f, X)) == ["DENSE", "SHIFT", "SUM"]


def test_two_layers_in_a_row_are_two() -> None:
    assert kinds(lambda x: (x @ W * 2.0 + row(B)) @ W.T + 1.0, X) == ["DENSE", "DENSE"]


def test_dense_general_and_linen_layers() -> None:
    for module in (
        nn.DenseGeneral((2, 3), param_dtype=float),
        nn.DenseGeneral(3, axis=(-2, -1), param_dtype=float),
        nn.Dense(3, use_bias=False, param_dtype=float),
    ):
        assert kinds(apply(module), X) == ["DENSE"]
    for module in (
        nn.Conv(3, (2, 2), param_dtype=float),
        nn.ConvTranspose(3, (2, 2), param_dtype=float),
    ):
        assert kinds(apply(module, IMAGE), IMAGE) == ["CONV"]


class Stack(nn.Module):
    """A convolution, BatchNorm and ReLU, pooling and a dense layer that is called twice."""

    def setup(self) -> None:
        self.conv = nn.Conv(3, (2, 2), param_dtype=float)
        self.norm = nn.BatchNorm(use_running_average=True, param_dtype=float)
        self.dense = nn.Dense(3, param_dtype=float)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = nn.relu(self.norm(self.conv(x)))
        h = nn.avg_pool(h, (2, 2), (2, 2)).mean((1, 2))
        return self.dense(nn.relu(self.dense(h)))


@pytest.fixture
def stack() -> list[Site]:
    with jax.numpy_dtype_promotion("standard"):
        found = sites(apply(Stack(), IMAGE), IMAGE)
    return [site for site in found if site.kind is not Kind.MOVEMENT]


def test_a_network_is_its_layers(stack: list[Site]) -> None:
    assert [site.kind.name for site in stack] == [
        "CONV", "ELEMENTWISE", "SUM", "SUM", "DENSE", "ELEMENTWISE", "DENSE",
    ]  # fmt: skip


def test_what_comes_first_and_last(stack: list[Site]) -> None:
    assert [site.depth for site in stack] == [0, 1, 1, 1, 1, 2, 2]
    affine = [site for site in stack if site.kind in Kind.AFFINE]
    assert [site.first for site in affine] == [True, False, False]
    assert [site.last for site in affine] == [False, False, True]


def test_what_is_known_to_be_nonnegative(stack: list[Site]) -> None:
    assert [site.nonnegative for site in stack] == [
        (False,), (False,), (True,), (True,), (True,), (False,), (True,),
    ]  # fmt: skip
    for f, expected in (
        (lambda x: jnp.exp(x) @ W, True),
        (lambda x: (jax.nn.softmax(x, axis=-1) + x**2) @ W, True),
        (lambda x: jnp.clip(x, 0, 1) @ W, True),
        (lambda x: jnp.where(x > 0, x**2, jnp.abs(x)) @ W, True),
        (lambda x: (jax.nn.relu(x) + 0.1) @ W, True),
        (lambda x: jnp.tanh(jax.nn.relu(x) - 0.1) @ W, False),
        (lambda x: jax.nn.leaky_relu(x) @ W, False),
        (lambda x: jnp.pad(jax.nn.relu(x), 1, constant_values=-1.0)[1:-1, 1:-1] @ W, False),
        (lambda x: jnp.clip(x, -1, 1) @ W, False),
        (lambda x: (x**3) @ W, False),
    ):
        (site,) = (s for s in sites(f, X) if s.kind is Kind.DENSE)
        assert all(site.nonnegative) is expected


def positive_shares(h: jax.Array, w: jax.Array) -> jax.Array:
    """Relevance of the factors `h` of `h @ w` by z+, as the formula says."""
    positive = jnp.maximum(h * w, 0)
    total = positive.sum()
    return jnp.where(total > 0, positive / jnp.where(total > 0, total, 1), 0) * (h @ w)


@pytest.mark.parametrize(
    "change",
    [lambda h, s: -h, lambda h, s: h * -2.0, lambda h, s: h / -2.0, lambda h, s: h * s],
    ids=["negated", "scaled", "divided", "signs"],
)
def test_what_is_scaled_before_a_layer_may_be_negative(change: Any) -> None:
    signs = jnp.array([1, -1, 1, -1])

    def f(x: jax.Array, signs: jax.Array) -> jax.Array:
        return change(jax.nn.relu(x), signs.astype(float).reshape(2, 2).reshape(4)) @ W[:, 0]

    plus = rules.Composite([(Kind.DENSE, rules.ZPlus(0.0))])
    for x in X:
        expected = positive_shares(change(jax.nn.relu(x), signs.astype(float)), W[:, 0])
        relevance = jax.jit(lrp(f, plus))(x, signs)
        np.testing.assert_allclose(relevance, expected, rtol=1e-12, atol=1e-12)


def test_whole_numbers_are_of_unknown_sign() -> None:
    def f(x: jax.Array, signs: jax.Array) -> jax.Array:
        return jnp.reshape(jax.nn.relu(x) * signs.astype(float), (2, 2)).T.reshape(4) @ W[:, 0]

    plus = rules.Composite([(Kind.DENSE, rules.ZPlus(0.0))])
    signs, order = jnp.array([1, -1, 1, -1]), jnp.array([0, 2, 1, 3])
    expected = positive_shares((jax.nn.relu(X[0]) * signs.astype(float))[order], W[:, 0])[order]
    relevance = jax.jit(lrp(f, plus))(X[0], signs)
    np.testing.assert_allclose(relevance, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", [rules.Epsilon(), rules.Gamma(), rules.ZPlus()])
def test_layers_behind_a_cast(rule: Any) -> None:
    """What is cast and scaled before a layer is computed in the layer's precision."""
    weights = W.astype(jnp.float32)

    def f(x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32) * SLOPE.astype(jnp.float32)
        return jnp.sum(wide @ weights)

    relevance, info = lrp(f, rule, info=True)(X[0].astype(jnp.bfloat16))
    assert relevance.dtype == jnp.bfloat16
    assert abs(float(info.ledger.residual)) < 1e-2  # the input's relevance is rounded


@pytest.mark.parametrize("rule", [rules.ZPlus(0.0), rules.Gamma(0.0, 0.0), rules.Epsilon(0.0)])
def test_a_value_added_to_itself(rule: Any) -> None:
    relevance = lrp(lambda x: jnp.sum(x + x), rules.Composite([(Kind.ADD, rule)]))(jnp.abs(X))
    np.testing.assert_allclose(relevance, 2 * jnp.abs(X), rtol=1e-4)


def test_whole_numbers_in_a_program() -> None:
    """Indices that depend on the input, clipped or counted, stand in the way of nothing."""

    def f(x: jax.Array) -> jax.Array:
        index = jnp.clip(jnp.argmax(x, axis=1), 0, 2)
        return x[jnp.arange(2), index] * lax.switch(index[0], [jnp.sin, jnp.cos, jnp.tanh], x[0, 0])

    assert "CALL" in kinds(f, X)


def test_depth_goes_through_loops_and_branches() -> None:
    square = W @ W.T

    def f(x: jax.Array) -> jax.Array:
        x = lax.scan(lambda c, _: (jnp.tanh(c @ square), None), x, None, length=3)[0]
        x = lax.cond(x[0, 0] > 0, lambda x: x @ square, lambda x: x, x)
        return x @ W

    dense = [site for site in sites(f, X) if site.kind is Kind.DENSE]
    assert [site.first for site in dense] == [False, False, False]
    assert [site.last for site in dense] == [False, False, True]
    assert [site.depth for site in dense] == [1, 2, 3]  # in a loop as deep as what comes around


def test_origins_are_seen_through_movement_and_scaling() -> None:
    def f(x: jax.Array) -> jax.Array:
        gate = jax.nn.sigmoid(x @ W).T * 2.0
        return gate * jax.nn.softmax(x @ W, axis=-1).T.reshape(3, 2)

    (product,) = (site for site in sites(f, X) if site.kind is Kind.PRODUCT)
    assert product.origins == (Kind.ELEMENTWISE, Kind.SOFTMAX)


# Names


def test_paths_are_those_of_linen(stack: list[Site]) -> None:
    affine = [site.path for site in stack if site.kind in Kind.AFFINE]
    assert affine == ["Stack/conv", "Stack/dense#0", "Stack/dense#1"]


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_scopes_name_sites(wrapper: str) -> None:
    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("outer"):
            with jax.named_scope("inner"):
                x = x @ W
            return checkpoint_name(jnp.tanh(x), "bent")

    x = X[None] if wrapper == "vmap" else X
    found = [site.path for site in sites(WRAPPED[wrapper](f), x)]
    assert found == ["outer/inner", "outer", "outer/bent"]


def test_names_inside_loops_go_on_from_those_outside() -> None:
    def step(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
        with jax.named_scope("step"):
            return jnp.tanh(carry @ W @ W.T), None

    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("loop"):
            return lax.scan(step, x, None, length=2)[0]

    paths = [site.path for site in sites(f, X) if site.kind is not Kind.CALL]
    assert paths == ["loop/step"] * 3


def test_a_module_that_is_called_three_times() -> None:
    class Shared(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            dense = nn.Dense(4, param_dtype=float, name="d")
            return dense(jnp.tanh(dense(jnp.tanh(dense(x)))))

    f = apply(Shared())
    for g, x in ((f, X), (jax.vmap(f), X[None]), (jax.jit(f), X)):
        paths = [site.path for site in sites(g, x) if site.kind is Kind.DENSE]
        assert paths == ["Shared/d#0", "Shared/d#1", "Shared/d#2"]
