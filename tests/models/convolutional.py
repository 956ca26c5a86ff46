"""Convolutional networks, from LeNet to ConvNeXt, in linen and in nnx."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from ._zoo import Model, from_nnx, linen

batch_norm = partial(nn.BatchNorm, use_running_average=True)


class LeNet(nn.Module):
    """Two convolutions with average pools, then three dense layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.tanh(nn.Conv(4, (5, 5))(x))
        x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = nn.tanh(nn.Conv(6, (5, 5), padding="VALID")(x))
        x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.tanh(nn.Dense(16)(x))
        x = nn.tanh(nn.Dense(12)(x))
        return nn.Dense(4)(x)


class VGG(nn.Module):
    """Stacks of 3x3 convolutions and max pools, with or without batch normalization."""

    norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (6, 8):
            for _ in range(2):
                x = nn.Conv(width, (3, 3), use_bias=not self.norm)(x)
                if self.norm:
                    x = batch_norm()(x)
                x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(16)(x))
        x = nn.Dropout(0.5, deterministic=True)(x)
        return nn.Dense(4)(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    width: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        y = nn.Conv(self.width, (3, 3), strides, use_bias=False)(x)
        y = nn.relu(batch_norm()(y))
        y = nn.Conv(self.width, (3, 3), use_bias=False)(y)
        y = batch_norm()(y)
        if x.shape != y.shape:
            x = nn.Conv(self.width, (1, 1), strides, use_bias=False)(x)
            x = batch_norm()(x)
        return nn.relu(x + y)


class ResNetBasic(nn.Module):
    """A stem with an overlapping max pool, one plain block and one that strides."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(6, (3, 3), use_bias=False)(x)
        x = nn.relu(batch_norm()(x))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        x = BasicBlock(6)(x)
        x = BasicBlock(8, stride=2)(x)
        return nn.Dense(4)(jnp.mean(x, axis=(1, 2)))


class Bottleneck(nnx.Module):
    """Convolutions 1x1, 3x3 and 1x1 beside a shortcut."""

    def __init__(self, inputs: int, width: int, outputs: int, *, rngs: nnx.Rngs):
        norm = partial(nnx.BatchNorm, use_running_average=True, rngs=rngs)
        self.conv1 = nnx.Conv(inputs, width, (1, 1), use_bias=False, rngs=rngs)
        self.norm1 = norm(width)
        self.conv2 = nnx.Conv(width, width, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm2 = norm(width)
        self.conv3 = nnx.Conv(width, outputs, (1, 1), use_bias=False, rngs=rngs)
        self.norm3 = norm(outputs)
        self.shortcut = nnx.Conv(inputs, outputs, (1, 1), strides=2, use_bias=False, rngs=rngs)
        self.shortcut_norm = norm(outputs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = nnx.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return nnx.relu(y + self.shortcut_norm(self.shortcut(x)))


class ResNetBottleneck(nnx.Module):
    """A stem and two bottleneck blocks."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 6, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(6, use_running_average=True, rngs=rngs)
        self.block1 = Bottleneck(6, 4, 8, rngs=rngs)
        self.block2 = Bottleneck(8, 4, 12, rngs=rngs)
        self.head = nnx.Linear(12, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.stem(x)))
        x = self.block2(self.block1(x))
        return self.head(x.mean(axis=(1, 2)))


class DenseNet(nn.Module):
    """Normalization, relu, convolution: each layer sees all maps before it."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(6, (3, 3), use_bias=False)(x)
        for block in range(2):
            for _ in range(2):
                y = nn.Conv(8, (1, 1), use_bias=False)(nn.relu(batch_norm()(x)))
                y = nn.Conv(4, (3, 3), use_bias=False)(nn.relu(batch_norm()(y)))
                x = jnp.concatenate([x, y], axis=-1)
            if block == 0:
                x = nn.Conv(8, (1, 1), use_bias=False)(nn.relu(batch_norm()(x)))
                x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(batch_norm()(x))
        return nn.Dense(4)(jnp.mean(x, axis=(1, 2)))


class SqueezeNet(nn.Module):
    """Fire modules, and a last convolution whose maps are the classes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(6, (3, 3), strides=(2, 2))(x))
        for width in (4, 6):
            squeezed = nn.relu(nn.Conv(width // 2, (1, 1))(x))
            narrow = nn.relu(nn.Conv(width, (1, 1))(squeezed))
            wide = nn.relu(nn.Conv(width, (3, 3))(squeezed))
            x = jnp.concatenate([narrow, wide], axis=-1)
        x = nn.relu(nn.Conv(4, (1, 1))(x))
        return nn.avg_pool(x, x.shape[1:3]).squeeze((1, 2))


class InceptionBlock(nn.Module):
    """Four parallel branches, one of them an average pool, side by side."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def conv(x: jax.Array, width: int, size: int) -> jax.Array:
            x = nn.Conv(width, (size, size), use_bias=False)(x)
            return nn.relu(batch_norm(epsilon=1e-3)(x))

        pooled = nn.avg_pool(x, (3, 3), padding="SAME")
        branches = (
            conv(x, 3, 1),
            conv(conv(x, 3, 1), 4, 3),
            conv(conv(conv(x, 2, 1), 3, 3), 3, 3),
            conv(pooled, 2, 1),
        )
        return jnp.concatenate(branches, axis=-1)


class Inception(nn.Module):
    """Two inception blocks around a max pool."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = InceptionBlock()(x)
        x = nn.max_pool(x, (3, 3), strides=(2, 2))
        x = InceptionBlock()(x)
        return nn.Dense(4)(jnp.mean(x, axis=(1, 2)))


MODELS: list[Model] = [
    linen("lenet", "convolutional", LeNet(), (16, 16, 1)),
    linen("vgg", "convolutional", VGG(), (12, 12, 3)),
    linen("vgg_batchnorm", "convolutional", VGG(norm=True), (12, 12, 3)),
    linen("resnet_basic", "convolutional", ResNetBasic(), (16, 16, 3)),
    from_nnx(
        "resnet_bottleneck", "convolutional", lambda rngs: ResNetBottleneck(rngs=rngs), (12, 12, 3)
    ),
    linen("densenet", "convolutional", DenseNet(), (12, 12, 3)),
    linen("squeezenet", "convolutional", SqueezeNet(), (12, 12, 3)),
    linen("inception", "convolutional", Inception(), (12, 12, 3)),
]
