"""Causal transformers: GPT in three ways of writing it, Llama, and a mixture of experts."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from ._zoo import Model, Weights, from_nnx, linen


class FusedAttention(nn.Module):
    """Causal self-attention in one call of `jax.nn.dot_product_attention`."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.heads, x.shape[-1] // self.heads)
        query = nn.DenseGeneral(shape, name="query")(x)
        key = nn.DenseGeneral(shape, name="key")(x)
        value = nn.DenseGeneral(shape, name="value")(x)
        x = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        return nn.DenseGeneral(shape[0] * shape[1], axis=(-2, -1), name="out")(x)


class GPTBlock(nn.Module):
    """A pre-norm block, in the form of a step of a scan."""

    fused: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, None]:
        y = nn.LayerNorm()(x)
        if self.fused:
            x = x + FusedAttention(heads=2, name="attention")(y)
        else:
            x = x + nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(y, mask=mask)
        y = nn.gelu(nn.Dense(16)(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(y), None


class GPT(nn.Module):
    """The next token's logits from embeddings, by a loop over the layers or a scan over them."""

    fused: bool = False
    scanned: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        mask = nn.make_causal_mask(jnp.ones(x.shape[:2], bool), dtype=bool)
        if self.scanned:
            layers = nn.scan(
                nn.remat(GPTBlock, prevent_cse=False),
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=nn.broadcast,
                length=2,
            )
            x, _ = layers(name="blocks")(x, mask)
        else:
            for layer in range(2):
                x, _ = GPTBlock(self.fused, name=f"block_{layer}")(x, mask)
        return nn.Dense(4, use_bias=False)(nn.LayerNorm()(x)[:, -1])


def stack_blocks(variables: Weights) -> Weights:
    """Stack the weights of the looped GPT's blocks, as the scanned one has them."""
    params = dict(variables["params"])
    blocks = [params.pop("block_0"), params.pop("block_1")]
    params["blocks"] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    return {"params": params}


def rotate(x: jax.Array) -> jax.Array:
    """Turn each pair of halves by an angle that grows with the position."""
    length, width = x.shape[1], x.shape[-1]
    frequencies = 10000.0 ** (-jnp.arange(0, width, 2, dtype=x.dtype) / width)
    angles = jnp.outer(jnp.arange(length, dtype=x.dtype), frequencies)
    cos, sin = jnp.cos(angles)[None, :, None, :], jnp.sin(angles)[None, :, None, :]
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class GroupedAttention(nnx.Module):
    """Causal attention whose pairs of query heads share a key and a value."""

    def __init__(self, width: int, heads: int, groups: int, *, rngs: nnx.Rngs):
        self.heads, self.groups = heads, groups
        size = width // heads
        self.query = nnx.Linear(width, heads * size, use_bias=False, rngs=rngs)
        self.key = nnx.Linear(width, groups * size, use_bias=False, rngs=rngs)
        self.value = nnx.Linear(width, groups * size, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(heads * size, width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, length, width = x.shape
        query = rotate(self.query(x).reshape(batch, length, self.heads, -1))
        key = rotate(self.key(x).reshape(batch, length, self.groups, -1))
        value = self.value(x).reshape(batch, length, self.groups, -1)
        key, value = (jnp.repeat(y, self.heads // self.groups, axis=2) for y in (key, value))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
        causal = jnp.tril(jnp.ones((length, length), bool))
        scores = jnp.where(causal[None, None], scores, jnp.finfo(x.dtype).min)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", nnx.softmax(scores, axis=-1), value)
        return self.out(mixed.reshape(batch, length, width))


class LlamaBlock(nnx.Module):
    """Grouped attention and SwiGLU, each after a root-mean-square normalization."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norm1, self.norm2 = nnx.RMSNorm(width, rngs=rngs), nnx.RMSNorm(width, rngs=rngs)
        self.attention = GroupedAttention(width, heads=4, groups=2, rngs=rngs)
        self.gate = nnx.Linear(width, 16, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(width, 16, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(16, width, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attention(self.norm1(x))
        y = self.norm2(x)
        return x + self.down(nnx.silu(self.gate(y)) * self.up(y))


class Llama(nnx.Module):
    """Two blocks on embeddings; the last position's logits. Nothing in it is additive."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.blocks = nnx.List([LlamaBlock(16, rngs=rngs) for _ in range(2)])
        self.norm = nnx.RMSNorm(16, rngs=rngs)
        self.head = nnx.Linear(16, 4, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))[:, -1]


class Experts(nn.Module):
    """Each token through the two experts that its router likes best."""

    number: int = 4
    chosen: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        gates = nn.softmax(nn.Dense(self.number, use_bias=False)(x))
        best, index = jax.lax.top_k(gates, self.chosen)
        best = best / jnp.sum(best, axis=-1, keepdims=True)
        one_hot = jax.nn.one_hot(index, self.number, dtype=x.dtype)
        shares = jnp.einsum("btk,btke->bte", best, one_hot)
        init: Any = nn.initializers.lecun_normal()
        up = self.param("expert_up", init, (self.number, width, 16))
        down = self.param("expert_down", init, (self.number, 16, width))
        hidden = nn.relu(jnp.einsum("btd,edh->bteh", x, up))
        return jnp.einsum("bteh,ehd,bte->btd", hidden, down, shares)


class MixtureOfExperts(nn.Module):
    """Attention, then experts in place of the MLP."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(2):
            x = x + nn.MultiHeadAttention(num_heads=2)(nn.LayerNorm()(x))
            x = x + Experts()(nn.LayerNorm()(x))
        return nn.Dense(4)(jnp.mean(nn.LayerNorm()(x), axis=1))


gpt, gpt_scanned, gpt_fused = (
    linen("gpt", "attention", GPT(), (6, 8)),
    linen(
        "gpt_scanned",
        "attention",
        GPT(scanned=True),
        (6, 8),
        drawn_for=("gpt", GPT()),
        convert=stack_blocks,
    ),
    linen("gpt_fused", "attention", GPT(fused=True), (6, 8), drawn_for=("gpt", GPT())),
)

MODELS: list[Model] = [
    gpt,
    gpt_scanned,
    gpt_fused,
    from_nnx("llama", "attention", lambda rngs: Llama(rngs=rngs), (6, 16)),
    linen("mixture_of_experts", "attention", MixtureOfExperts(), (5, 8)),
]
TWINS: list[tuple[Model, Model]] = [(gpt, gpt_scanned), (gpt, gpt_fused)]
