"""Attention maps, rollout and attention × gradient, on networks written in several ways."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attention_references as references
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import attention_maps, attention_rollout, attention_x_grad, select

from models import ZOO

METHODS: dict[str, Callable[..., Any]] = {
    "attention_maps": attention_maps,
    "attention_rollout": attention_rollout,
    "attention_x_grad": attention_x_grad,
}
READ = ("attention_rollout", "attention_x_grad")
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
each_reading = pytest.mark.parametrize("method", [METHODS[name] for name in READ], ids=READ)

NET = references.transformer()
STACKED = {name: np.stack([layer[name] for layer in NET.layers]) for name in NET.layers[0]}
X, DIRECTION, *OTHERS = np.random.default_rng(6).normal(size=(5, 4, 4))
ZEROS = [np.zeros((2, 4, 4))] * len(NET.layers)


def normalized(x: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + jnp.asarray(1e-6, x.dtype))


def block(x: jax.Array, layer: Any) -> jax.Array:
    """One block of the reference, all heads at once."""
    layer = jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), layer)
    with jax.named_scope("attention"):
        query, key, value = (
            jnp.einsum("td,hdc->htc", x, layer[name]) for name in ("query", "key", "value")
        )
        weights = jax.nn.softmax(jnp.einsum("hqc,hkc->hqk", query, key), axis=-1)
        mixed = jnp.einsum("hqk,hkc,hcd->qd", weights, value, layer["out"])
    x = normalized(x + mixed)
    return normalized(x + jnp.tanh(x @ layer["dense"]))


def unrolled(x: jax.Array, k: int = 0) -> jax.Array:
    for i, layer in enumerate(NET.layers):
        with jax.named_scope(f"layer_{i}"):
            x = block(x, layer)
    return (x[0] @ jnp.asarray(NET.head, x.dtype))[k]


def scanned(x: jax.Array, k: int = 0) -> jax.Array:
    def step(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
        return block(x, layer), None

    x, _ = jax.lax.scan(step, x, STACKED)
    return (x[0] @ jnp.asarray(NET.head, x.dtype))[k]


@functools.cache
def compiled(method: Callable[..., Any], f: Callable[..., Any], **options: Any) -> Any:
    return jax.jit(method(f, **options), static_argnums=1)


def zoo(name: str) -> tuple[Callable[[Any], jax.Array], jax.Array]:
    return next(model for model in ZOO if model.name == name).make(np.float64)


# ------------------------------------------------------------------------------- a written-out net


@pytest.mark.parametrize(
    ("f", "paths"),
    [
        (unrolled, ["layer_0/attention:attention", "layer_1/attention:attention"]),
        (scanned, ["attention:attention[0]", "attention:attention[1]"]),
    ],
)
def test_maps(f: Callable[..., Any], paths: list[str]) -> None:
    _, maps = NET(X, ZEROS)
    found = compiled(attention_maps, f)(X)
    assert list(found) == paths
    for weights, expected in zip(found.values(), maps, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-12)


@pytest.mark.parametrize("f", [unrolled, scanned])
@pytest.mark.parametrize("heads", ["mean", "max", "min"])
def test_rollout(f: Callable[..., Any], heads: str) -> None:
    _, maps = NET(X, ZEROS)
    found = compiled(attention_rollout, f, heads=heads, residual=0.3)(X)
    expected = references.rollout(maps, 0.3, heads)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("f", [unrolled, scanned])
@pytest.mark.parametrize("k", [0, 2])
def test_attention_x_grad(f: Callable[..., Any], k: int) -> None:
    _, maps = NET(X, ZEROS)
    gradients = references.slopes(NET, X, k)
    expected = references.transformer_relevance(maps, gradients)
    found = compiled(attention_x_grad, f)(X, k)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    # The derivative with the later attention held would be another one.
    assert np.abs(expected - held_later(maps, k)).max() > 1e-3


def held_later(maps: list[np.ndarray], k: int) -> np.ndarray:
    """The same, had attention of the second layer no part in the gradient by the first."""

    def score(weights: list[jax.Array]) -> jax.Array:
        x = jnp.asarray(X)
        for layer, some in zip(NET.layers, weights, strict=True):
            value = jnp.einsum("td,hdc->htc", x, layer["value"])
            x = normalized(x + jnp.einsum("hqk,hkc,hcd->qd", some, value, layer["out"]))
            x = normalized(x + jnp.tanh(x @ layer["dense"]))
        return (x[0] @ NET.head)[k]

    gradients = jax.jit(jax.grad(score))([jnp.asarray(weights) for weights in maps])
    return references.transformer_relevance(maps, [np.asarray(g) for g in gradients])


def test_classes_differ() -> None:
    first, second = (np.asarray(compiled(attention_x_grad, unrolled)(X, k)) for k in (0, 2))
    assert np.abs(first - second).max() > 0.01


def test_residual() -> None:
    """All residual is the identity; none is the bare product of the matrices."""
    _, maps = NET(X, ZEROS)
    found = compiled(attention_rollout, unrolled, residual=1)(X)
    np.testing.assert_array_equal(found, np.eye(4))
    found = compiled(attention_rollout, unrolled, residual=0)(X)
    np.testing.assert_allclose(found, maps[1].mean(axis=0) @ maps[0].mean(axis=0), rtol=1e-12)


def test_traced_residual() -> None:
    def rolled(residual: Any) -> jax.Array:
        return attention_rollout(unrolled, residual=residual)(jnp.asarray(X))

    found = jax.jit(jax.vmap(rolled))(jnp.array([0.0, 0.3, 1.0]))
    _, maps = NET(X, ZEROS)
    for share, flow in zip((0.0, 0.3, 1.0), found, strict=True):
        np.testing.assert_allclose(flow, references.rollout(maps, share), rtol=1e-12, atol=1e-15)


def in_turns(x: jax.Array, k: int = 0) -> jax.Array:
    """Two blocks in each step of a loop, and a last block after it."""

    def step(x: jax.Array, pair: Any) -> tuple[jax.Array, None]:
        for i in range(2):
            with jax.named_scope(f"part_{i}"):
                x = block(x, jax.tree.map(lambda leaf: leaf[i], pair))  # noqa: B023
        return x, None

    pairs = jax.tree.map(lambda leaf: np.stack([leaf, leaf[::-1]]), STACKED)
    x, _ = jax.lax.scan(step, x, pairs, reverse=True)
    return (block(x, NET.layers[0])[0] @ jnp.asarray(NET.head, x.dtype))[k]


@pytest.mark.parametrize("at", ["**:attention", ("part_1/**:attention", "**:attention")])
def test_order(at: Any) -> None:
    """Layers are multiplied in the order of computation, not in that of their names."""
    first, second = NET.layers
    net = references.Transformer([second, first, first, second, first], NET.head)
    zeros = [ZEROS[0]] * 5
    _, maps = net(X, zeros)
    found = compiled(attention_maps, in_turns, at=at)(X)
    for weights, expected in zip(found.values(), maps, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-10)
    rolled = compiled(attention_rollout, in_turns, at=at)(X)
    np.testing.assert_allclose(rolled, references.rollout(maps), rtol=1e-10)
    expected = references.transformer_relevance(maps, references.slopes(net, X, 0))
    found = compiled(attention_x_grad, in_turns, at=at)(X)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_chosen_layers() -> None:
    """A glob, a list of paths, and one step of a loop."""
    _, maps = NET(X, ZEROS)
    gradients = references.slopes(NET, X, 0)
    for f, at in (
        (unrolled, "layer_1/**:attention"),
        (unrolled, ("layer_1/attention:attention",)),
        (scanned, "attention:attention[-1]"),
    ):
        found = compiled(attention_rollout, f, at=at)(X)
        np.testing.assert_allclose(found, references.rollout(maps[1:]), rtol=1e-12)
        found = compiled(attention_x_grad, f, at=at)(X)
        expected = references.transformer_relevance(maps[1:], gradients[1:])
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


# ---------------------------------------------------------------------------------- real spellings


def watched(
    monkeypatch: pytest.MonkeyPatch, f: Callable[[Any], jax.Array], x: jax.Array
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Flax's own attention weights, and the derivative of the first logit by them.

    Shifts are added where Flax computes weights, so that the derivative is the total one.
    """
    original = nn.attention.dot_product_attention_weights

    def score(shifts: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        seen: list[jax.Array] = []

        def shifted(*args: Any, **kwargs: Any) -> jax.Array:
            seen.append(original(*args, **kwargs) + shifts[len(seen)])
            return seen[-1]

        with monkeypatch.context() as patch:
            patch.setattr(nn.attention, "dot_product_attention_weights", shifted)
            return f(x)[0], seen

    size = 5 if x.ndim == 3 else len(x)
    zeros = [jnp.zeros((1, 2, size, size))] * 2
    gradients, maps = jax.jit(jax.grad(score, has_aux=True))(zeros)
    return [np.asarray(a[0]) for a in maps], [np.asarray(g[0]) for g in gradients]


@pytest.mark.parametrize("name", ["vit", "gpt", "mixture_of_experts"])
def test_linen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches and a class token; a causal mask; and a router whose softmax is no attention."""
    f, x = zoo(name)
    score = select(f)
    maps, gradients = watched(monkeypatch, f, x)
    assert max(np.abs(g).max() for g in gradients) > 1e-3
    found = compiled(attention_maps, f)(x)
    assert len(found) == 2
    for weights, expected in zip(found.values(), maps, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-10, atol=1e-15)
    rolled = compiled(attention_rollout, f)(x)
    np.testing.assert_allclose(rolled, references.rollout(maps), rtol=1e-10, atol=1e-15)
    relevance = compiled(attention_x_grad, score)(x, 0)
    expected = references.transformer_relevance(maps, gradients)
    np.testing.assert_allclose(relevance, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("twin", "error"), [("gpt_scanned", 1e-12), ("gpt_fused", 1e-6)])
def test_twins(twin: str, error: float) -> None:
    """A scan over the layers, and one call of `jax.nn.dot_product_attention`, float32 inside."""
    (plain, x), (other, _) = zoo("gpt"), zoo(twin)
    for method, f, g, args in (
        (attention_maps, plain, other, ()),
        (attention_rollout, plain, other, ()),
        (attention_x_grad, select(plain), select(other), (1,)),
    ):
        expected = jax.tree.leaves(compiled(method, f)(x, *args))
        for a, b in zip(jax.tree.leaves(compiled(method, g)(x, *args)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=error, atol=error)


@pytest.mark.parametrize(("name", "shape"), [("bert", (2, 7, 7)), ("t5", (2, 7, 7))])
def test_written_out(name: str, shape: tuple[int, ...]) -> None:
    """Padding has no weight, with a mask that is added and a bias for each distance."""
    f, x = zoo(name)
    maps = compiled(attention_maps, f)(x)
    assert [weights.shape for weights in maps.values()] == [shape] * 2
    for weights in maps.values():
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-12)
        assert np.all(weights >= 0)
        if name == "bert":
            np.testing.assert_array_equal(weights[:, :, -2:], 0)
    assert np.all(np.isfinite(compiled(attention_x_grad, select(f))(x, 0)))


def test_masks_stay() -> None:
    """No token comes from a later one, or from itself through others only."""
    f, x = zoo("gpt")
    for found in (compiled(attention_rollout, f)(x), compiled(attention_x_grad, select(f))(x, 0)):
        np.testing.assert_array_equal(np.triu(found, 1), 0)
        assert np.all(np.diag(found) > 0)


def test_softmax_is_not_always_attention() -> None:
    """The class probabilities, and a gate that scales features, weigh no other tokens."""

    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("body"):
            gated = jax.nn.softmax(x @ np.ones((4, 4))) * x
            h = jax.nn.softmax(gated @ gated.T) @ gated
        with jax.named_scope("classes"):
            return jnp.log(jax.nn.softmax(h @ np.eye(4)[:, :3])[0, 1])

    assert list(compiled(attention_maps, f)(X)) == ["body:attention"]


# ------------------------------------------------------------------------------------------- errors


@every_method
def test_no_attention(method: Callable[..., Any]) -> None:
    def dense(x: jax.Array) -> jax.Array:
        with jax.named_scope("dense"):
            h = jnp.tanh(x @ np.ones((4, 2)))
        return jnp.sum(h)

    with pytest.raises(ValueError, match=r"No value is named '\*\*:attention'.*'dense") as caught:
        jax.eval_shape(method(dense), X)
    assert "names(f)(x)" in str(caught.value)


@each_reading
def test_cross_attention(method: Callable[..., Any]) -> None:
    """Layers that look at other tokens than their own do not multiply."""

    def decoder(x: jax.Array) -> jax.Array:
        with jax.named_scope("self"):
            x = jax.nn.softmax(x @ x.T) @ x
        with jax.named_scope("cross"):
            y = x[:3] * 2
            return jnp.sum(jax.nn.softmax(y @ x.T) @ x)

    message = r"'self:attention' has 4 queries and 4 keys and 'cross:attention' has 3 queries and 4"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(method(decoder), X)
    found = jax.jit(method(decoder, at="self:attention"))(X)
    assert found.shape == (4, 4)
    maps = compiled(attention_maps, decoder)(X)
    assert {path: weights.shape for path, weights in maps.items()} == {
        "self:attention": (1, 4, 4),
        "cross:attention": (1, 3, 4),
    }


@each_reading
def test_cross_attention_alone(method: Callable[..., Any]) -> None:
    def pooled(x: jax.Array) -> jax.Array:
        with jax.named_scope("pool"):
            return jnp.sum(jax.nn.softmax(x[:2] @ x.T) @ x)

    with pytest.raises(ValueError, match=r"but 'pool:attention' has 2 queries and 4 keys\."):
        jax.eval_shape(method(pooled), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": "sum"}, r"heads='sum'.*mean, max, min"),
        ({"residual": -0.1}, "residual=-0.1"),
        ({"residual": 1.5}, "residual=1.5"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention_rollout(unrolled, **options)


def test_scores_are_scalar() -> None:
    f, x = zoo("gpt")
    with pytest.raises(TypeError, match="select"):
        jax.eval_shape(attention_x_grad(f), x)


def test_vectors_are_no_attention() -> None:
    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("scores"):
            scores = x[0]
        return jnp.sum(scores)

    with pytest.raises(ValueError, match=r"'scores' has shape \(4,\).*queries and keys"):
        jax.eval_shape(attention_rollout(f, at="scores"), X)


# --------------------------------------------------------------------------------------------- laws


@every_method
def test_vmap_is_a_loop(method: Callable[..., Any]) -> None:
    batch = np.stack(OTHERS)
    found = jax.jit(jax.vmap(method(scanned)))(batch)
    for i, x in enumerate(batch):
        expected = compiled(method, scanned)(x)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-11, atol=1e-13)


@each_reading
@pytest.mark.parametrize("f", [unrolled, scanned])
def test_gradient_of_the_explanation(method: Callable[..., Any], f: Callable[..., Any]) -> None:
    """The derivative of one number of the explanation, by finite differences."""

    def number(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(method(f)(x)) * DIRECTION)

    slope = np.sum(np.asarray(jax.jit(jax.grad(number))(X)) * DIRECTION)
    value, step = jax.jit(number), 1e-6
    difference = float(value(X + step * DIRECTION) - value(X - step * DIRECTION)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6)
    assert abs(slope) > 1e-3


@every_method
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtypes(method: Callable[..., Any], dtype: Any) -> None:
    """Maps have the model's dtype; what is computed from them at least float32."""
    expected = compiled(method, unrolled)(X)
    found = compiled(method, unrolled)(jnp.asarray(X, dtype))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == (dtype if method is attention_maps else jnp.float32)
        tolerance = 0.1 if dtype == jnp.bfloat16 else 1e-4
        np.testing.assert_allclose(np.asarray(a, np.float64), b, rtol=tolerance, atol=tolerance)


@each_reading
def test_zeros(method: Callable[..., Any]) -> None:
    """No NaN where all tokens are zero, and so all weights equal; also not in the derivative."""

    def number(x: jax.Array) -> jax.Array:
        return jnp.sum(method(unrolled)(x) ** 2)

    value, slope = jax.jit(jax.value_and_grad(number))(np.zeros((4, 4)))
    assert np.isfinite(value) and np.all(np.isfinite(slope))


def test_a_softmax_over_queries_is_no_attention() -> None:
    """Its rows do not sum to one, and rollout would be wrong without a word."""

    def f(x: Any) -> Any:
        return jax.nn.softmax(x @ x.T, axis=0).T @ x

    with pytest.raises(ValueError, match="attention"):
        attention_maps(f)(jnp.eye(3))


def test_gates_of_experts_are_no_attention() -> None:
    def f(x: Any) -> Any:
        gates = jax.nn.softmax(x @ jnp.ones((3, 2)))
        experts = jnp.tanh(jnp.einsum("tf,feg->teg", x, jnp.ones((3, 2, 4))))
        return jnp.einsum("te,teg->tg", gates, experts)

    with pytest.raises(ValueError, match="attention"):
        attention_maps(f)(jnp.eye(3))
