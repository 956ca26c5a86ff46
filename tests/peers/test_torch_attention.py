"""A small transformer in PyTorch, with the attention weights and their gradients taken there."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the peers extra: "jaxplain[peers]"')

from jaxplain import attention_maps, attention_rollout, attention_x_grad, select  # noqa: E402

HEADS, WIDTH, TOKENS, LAYERS = 2, 6, 5, 3
draw = np.random.default_rng(8).normal
WEIGHTS = [
    {
        "qkv": draw(size=(WIDTH, 3 * WIDTH)),
        "out": draw(size=(WIDTH, WIDTH)),
        "up": draw(size=(WIDTH, 8)),
        "down": draw(size=(8, WIDTH)) / 2,
    }
    for _ in range(LAYERS)
]
HEAD, X = draw(size=(WIDTH, 3)), draw(size=(TOKENS, WIDTH))


class Block(torch.nn.Module):
    """A pre-norm block that keeps its attention weights."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x: Any) -> Any:
        y = torch.nn.functional.layer_norm(x, (WIDTH,)) @ self.qkv
        query, key, value = y.reshape(TOKENS, 3, HEADS, -1).permute(1, 2, 0, 3)
        self.attention = torch.softmax(query @ key.transpose(1, 2) / WIDTH**0.5, dim=-1)
        self.attention.retain_grad()
        mixed = (self.attention @ value).transpose(0, 1).reshape(TOKENS, WIDTH)
        x = x + mixed @ self.out
        y = torch.nn.functional.layer_norm(x, (WIDTH,))
        return x + torch.relu(y @ self.up) @ self.down


@functools.cache
def theirs(k: int) -> tuple[list[Any], list[Any]]:
    """Attention weights of each layer, and the gradient of one logit by them."""
    blocks = torch.nn.Sequential(*(Block(weights) for weights in WEIGHTS))
    logits = blocks(torch.tensor(X, requires_grad=True))[0] @ torch.tensor(HEAD)
    logits[k].backward()
    return [b.attention.detach() for b in blocks], [b.attention.grad for b in blocks]


def logits(x: jax.Array) -> jax.Array:
    """The same network."""

    def norm(x: jax.Array) -> jax.Array:
        return jax.nn.standardize(x, axis=-1, epsilon=1e-5)

    for i, layer in enumerate(WEIGHTS):
        with jax.named_scope(f"block_{i}"):
            y = (norm(x) @ layer["qkv"]).reshape(TOKENS, 3, HEADS, -1)
            query, key, value = jnp.transpose(y, (1, 2, 0, 3))
            attention = jax.nn.softmax(query @ jnp.swapaxes(key, 1, 2) / WIDTH**0.5)
            mixed = jnp.swapaxes(attention @ value, 0, 1).reshape(TOKENS, WIDTH)
            x = x + mixed @ layer["out"]
            x = x + jax.nn.relu(norm(x) @ layer["up"]) @ layer["down"]
    return x[0] @ HEAD


def test_maps() -> None:
    found = jax.jit(attention_maps(logits))(X)
    assert list(found) == [f"block_{i}:attention" for i in range(LAYERS)]
    for weights, expected in zip(found.values(), theirs(0)[0], strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-10)


@pytest.mark.parametrize("residual", [0.0, 0.5])
def test_rollout(residual: float) -> None:
    """The product as it is usually computed: identity added, rows scaled, matrices multiplied."""
    expected = torch.eye(TOKENS, dtype=torch.float64)
    for weights in theirs(0)[0]:
        eye = torch.eye(TOKENS, dtype=torch.float64)
        joint = weights.mean(0) + residual / (1 - residual) * eye
        expected = (joint / joint.sum(-1, keepdim=True)) @ expected
    found = jax.jit(attention_rollout(logits, residual=residual))(X)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("k", [0, 1])
def test_attention_x_grad(k: int) -> None:
    expected = torch.eye(TOKENS, dtype=torch.float64)
    for weights, gradient in zip(*theirs(k), strict=True):
        expected = expected + (gradient * weights).clamp(min=0).mean(0) @ expected
    found = jax.jit(attention_x_grad(select(logits)), static_argnums=1)(X, k)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
