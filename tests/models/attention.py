"""Transformers that see: vision, shifted windows; and that read both ways: BERT, T5."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ._zoo import Model, linen


class VisionTransformer(nn.Module):
    """Patches and a class token through pre-norm blocks."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(8, (4, 4), strides=(4, 4), padding="VALID")(x)
        x = x.reshape((x.shape[0], -1, x.shape[-1]))
        token = self.param("class_token", nn.initializers.zeros, (1, 1, 8))
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        x = x + self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(2):
            y = nn.LayerNorm()(x)
            y = nn.MultiHeadDotProductAttention(num_heads=2, deterministic=True)(y, y)
            x = x + nn.Dropout(0.1, deterministic=True)(y)
            y = nn.gelu(nn.Dense(16)(nn.LayerNorm()(x)))
            x = x + nn.Dense(8)(y)
        return nn.Dense(4)(nn.LayerNorm()(x)[:, 0])


def partition(x: jax.Array, size: int) -> jax.Array:
    """Cut maps into windows: (batch, height, width, channels) to (windows, positions, channels)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, size * size, channels)


def unpartition(windows: jax.Array, size: int, height: int, width: int) -> jax.Array:
    """Put windows together into maps again."""
    channels = windows.shape[-1]
    x = windows.reshape(-1, height // size, width // size, size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


def relative_positions(size: int) -> np.ndarray:
    """Index the table of relative positions, one for each pair of positions in a window."""
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    places = places.reshape(-1, 2)
    offsets = places[:, None] - places[None, :] + size - 1
    return offsets[..., 0] * (2 * size - 1) + offsets[..., 1]


def shift_mask(height: int, width: int, size: int, shift: int) -> np.ndarray:
    """Tell in each window which pairs of positions were neighbors before the roll."""
    regions = np.zeros((height, width), int)
    slices = (slice(0, -size), slice(-size, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in slices for c in slices):
        regions[rows, columns] = number
    windows = regions.reshape(height // size, size, width // size, size)
    windows = windows.transpose(0, 2, 1, 3).reshape(-1, size * size)
    return windows[:, :, None] == windows[:, None, :]


class WindowAttention(nn.Module):
    """Self-attention in each window, with a learned bias for each relative position."""

    heads: int
    size: int

    @nn.compact
    def __call__(self, x: jax.Array, mask: np.ndarray | None) -> jax.Array:
        windows, positions, channels = x.shape
        qkv = nn.Dense(3 * channels)(x)
        qkv = qkv.reshape(windows, positions, 3, self.heads, channels // self.heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = (q * (channels // self.heads) ** -0.5) @ k.swapaxes(-2, -1)
        table_shape = ((2 * self.size - 1) ** 2, self.heads)
        table = self.param("relative_bias_table", nn.initializers.normal(0.02), table_shape)
        bias = table[relative_positions(self.size).reshape(-1)]
        bias = bias.reshape(positions, positions, self.heads).transpose(2, 0, 1)
        scores = scores + bias[None]
        if mask is not None:
            penalty = jnp.where(mask, 0.0, -100.0).astype(x.dtype)
            scores = scores.reshape(-1, len(mask), self.heads, positions, positions)
            scores = scores + penalty[None, :, None]
            scores = scores.reshape(windows, self.heads, positions, positions)
        x = (jax.nn.softmax(scores, axis=-1) @ v).swapaxes(1, 2)
        return nn.Dense(channels)(x.reshape(windows, positions, channels))


class Swin(nn.Module):
    """Attention in windows, then in windows shifted by half, then patches merged."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = 2
        x = nn.LayerNorm()(nn.Conv(8, (4, 4), strides=(4, 4))(x))
        batch, height, width, channels = x.shape
        for shift in (0, 1):
            y = nn.LayerNorm()(x)
            y = jnp.roll(y, (-shift, -shift), axis=(1, 2)) if shift else y
            mask = shift_mask(height, width, size, shift) if shift else None
            y = WindowAttention(heads=2, size=size)(partition(y, size), mask)
            y = unpartition(y, size, height, width)
            x = x + (jnp.roll(y, (shift, shift), axis=(1, 2)) if shift else y)
            x = x + nn.Dense(channels)(nn.gelu(nn.Dense(16)(nn.LayerNorm()(x))))
        corners = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        x = nn.Dense(12, use_bias=False)(nn.LayerNorm()(jnp.concatenate(corners, axis=-1)))
        return nn.Dense(4)(jnp.mean(nn.LayerNorm()(x), axis=(1, 2)))


class BertAttention(nn.Module):
    """Self-attention with an additive mask, written out."""

    heads: int = 2

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        width = x.shape[-1] // self.heads

        def split(x: jax.Array) -> jax.Array:
            return x.reshape((*x.shape[:2], self.heads, width))

        query, key, value = (split(nn.Dense(x.shape[-1])(x)) for _ in range(3))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / jnp.sqrt(width).astype(x.dtype)
        weights = nn.softmax(scores + mask, axis=-1)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
        return nn.Dense(x.shape[-1])(mixed.reshape(x.shape))


class Bert(nn.Module):
    """Post-norm blocks on embeddings whose last ones are padding; a pooler on the first."""

    padding: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        attended = jnp.arange(x.shape[1]) < x.shape[1] - self.padding
        mask = (1.0 - attended.astype(x.dtype)[None, None, None, :]) * -1e9
        x = x + self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        x = nn.LayerNorm(epsilon=1e-12)(x)
        for _ in range(2):
            x = nn.LayerNorm(epsilon=1e-12)(x + BertAttention()(x, mask))
            y = nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(16)(x), approximate=False))
            x = nn.LayerNorm(epsilon=1e-12)(x + y)
        pooled = nn.tanh(nn.Dense(x.shape[-1])(x[:, 0]))
        return nn.Dense(4)(pooled)


class RMSNorm(nn.Module):
    """Scale to a root mean square of one, without a mean taken off."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
        return x * jnp.expand_dims(scale, range(x.ndim - 1))


def relative_buckets(length: int, buckets: int, furthest: int) -> jax.Array:
    """Number the distance of each pair of positions: exactly if near, by its logarithm if far."""
    positions = jnp.arange(length)
    offset = positions[None, :] - positions[:, None]
    half = buckets // 2
    bucket = jnp.where(offset > 0, half, 0)
    distance = jnp.abs(offset)
    exact = half // 2
    ratio = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact)
    far = exact + (ratio / math.log(furthest / exact) * (half - exact)).astype(distance.dtype)
    far = jnp.minimum(far, half - 1)
    return bucket + jnp.where(distance < exact, distance, far)


class T5(nn.Module):
    """Pre-norm blocks without biases: a position bias shared by the layers, and a gated MLP."""

    heads: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        length, width = x.shape[1:]
        buckets = relative_buckets(length, buckets=8, furthest=16)
        bias = nn.Embed(8, self.heads, name="relative_bias")(buckets).transpose(2, 0, 1)[None]
        for _ in range(2):
            y = RMSNorm()(x)
            q, k, v = (
                nn.DenseGeneral((self.heads, width // self.heads), use_bias=False)(y)
                for _ in range(3)
            )
            weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) + bias)
            y = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
            x = x + nn.DenseGeneral(width, axis=(-2, -1), use_bias=False)(y)
            y = RMSNorm()(x)
            y = nn.gelu(nn.Dense(16, use_bias=False)(y)) * nn.Dense(16, use_bias=False)(y)
            x = x + nn.Dense(width, use_bias=False)(y)
        return nn.Dense(4)(jnp.mean(RMSNorm()(x), axis=1))


MODELS: list[Model] = [
    linen("vit", "attention", VisionTransformer(), (8, 8, 3)),
    linen("swin", "attention", Swin(), (16, 16, 3)),
    linen("bert", "attention", Bert(), (7, 8)),
    linen("t5", "attention", T5(), (7, 8)),
]
