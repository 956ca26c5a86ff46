"""The networks without trained weights, in Flax linen. Each takes a batch.

Biases are drawn at random: without them these networks would be linear on every line from zero,
and all steps of integrated gradients would see the same gradient.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax

EPSILON = 1e-6
"""What LayerNorm adds to the variance."""

_bias = nn.initializers.normal(0.1)
Dense = functools.partial(nn.Dense, bias_init=_bias)
Conv = functools.partial(nn.Conv, bias_init=_bias)


class MLP(nn.Module):
    """Dense layers with ReLU in between.

    Attributes:
        widths: Units of each layer.
    """

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, features) to logits (N, widths[-1])."""
        *hidden, last = self.widths
        for width in hidden:
            x = nn.relu(Dense(width)(x))
        return Dense(last)(x)


class CNN(nn.Module):
    """Two convolutions, one max pooling and two dense layers: a usual network for MNIST."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map pictures (N, 28, 28, 1) to logits (N, 10)."""
        x = nn.relu(Conv(32, (3, 3), padding="VALID")(x))
        x = nn.relu(Conv(64, (3, 3), padding="VALID")(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2)).reshape(len(x), -1)
        x = nn.relu(Dense(128)(x))
        return Dense(10)(x)


class VGG(nn.Module):
    """Three stages of two convolutions and a max pooling, then two dense layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map pictures (N, 32, 32, 3) to logits (N, 10)."""
        for width in (32, 64, 128):
            for _ in range(2):
                x = nn.relu(Conv(width, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(Dense(256)(x.reshape(len(x), -1)))
        return Dense(10)(x)


class EncoderLayer(nn.Module):
    """Self-attention and two dense layers, each behind a LayerNorm and beside a residual.

    Attributes:
        heads: Heads of the attention.
    """

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map tokens (N, tokens, width) to the same shape."""
        h = nn.LayerNorm(EPSILON)(x)
        x = x + nn.MultiHeadDotProductAttention(self.heads, bias_init=_bias)(h)
        h = nn.LayerNorm(EPSILON)(x)
        h = nn.gelu(Dense(4 * x.shape[-1])(h), approximate=False)
        return x + Dense(x.shape[-1])(h)


class Encoder(nn.Module):
    """A transformer encoder with a classifier on the mean of its tokens.

    Attributes:
        layers: Number of encoder layers.
        heads: Heads of each attention.
    """

    layers: int
    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map embedded tokens (N, tokens, width) to logits (N, 10)."""
        for _ in range(self.layers):
            x = EncoderLayer(self.heads)(x)
        x = nn.LayerNorm(EPSILON)(x).mean(axis=-2)
        return Dense(10)(x)
