"""Convolutional networks with depthwise, transposed and dilated convolutions."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from ._zoo import Model, from_nnx, linen

batch_norm = partial(nn.BatchNorm, use_running_average=True)


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two narrow ends."""

    width: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        wide = 2 * x.shape[-1]
        y = nn.Conv(wide, (1, 1), use_bias=False)(x)
        y = nn.relu6(batch_norm()(y))
        strides = (self.stride, self.stride)
        y = nn.Conv(wide, (3, 3), strides, feature_group_count=wide, use_bias=False)(y)
        y = nn.relu6(batch_norm()(y))
        y = nn.Conv(self.width, (1, 1), use_bias=False)(y)
        y = batch_norm()(y)
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """Inverted residuals with relu6."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu6(batch_norm()(nn.Conv(6, (3, 3), use_bias=False)(x)))
        x = InvertedResidual(6)(x)
        x = InvertedResidual(8, stride=2)(x)
        x = nn.relu6(batch_norm()(nn.Conv(12, (1, 1), use_bias=False)(x)))
        return nn.Dense(4)(jnp.mean(x, axis=(1, 2)))


class SqueezeExcite(nn.Module):
    """Channels scaled by what their means say."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gate = jnp.mean(x, axis=(1, 2), keepdims=True)
        gate = nn.swish(nn.Conv(3, (1, 1))(gate))
        return x * nn.sigmoid(nn.Conv(x.shape[-1], (1, 1))(gate))


class EfficientNet(nn.Module):
    """Depthwise convolutions with swish and squeeze-excite."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.swish(batch_norm()(nn.Conv(6, (3, 3), strides=(2, 2), use_bias=False)(x)))
        for _ in range(2):
            y = nn.swish(batch_norm()(nn.Conv(12, (1, 1), use_bias=False)(x)))
            y = nn.Conv(12, (5, 5), feature_group_count=12, use_bias=False)(y)
            y = SqueezeExcite()(nn.swish(batch_norm()(y)))
            x = x + batch_norm()(nn.Conv(6, (1, 1), use_bias=False)(y))
        x = nn.swish(batch_norm()(nn.Conv(10, (1, 1), use_bias=False)(x)))
        x = nn.Dropout(0.2, deterministic=True)(jnp.mean(x, axis=(1, 2)))
        return nn.Dense(4)(x)


class MobileNetV3(nnx.Module):
    """A depthwise convolution with hard swish, and a gate with hard sigmoid."""

    def __init__(self, *, rngs: nnx.Rngs):
        norm = partial(nnx.BatchNorm, use_running_average=True, rngs=rngs)
        self.stem, self.stem_norm = nnx.Conv(3, 6, (3, 3), strides=2, rngs=rngs), norm(6)
        self.expand, self.expand_norm = nnx.Conv(6, 12, (1, 1), rngs=rngs), norm(12)
        self.depthwise = nnx.Conv(12, 12, (3, 3), feature_group_count=12, rngs=rngs)
        self.depthwise_norm = norm(12)
        self.squeeze = nnx.Linear(12, 4, rngs=rngs)
        self.excite = nnx.Linear(4, 12, rngs=rngs)
        self.project, self.project_norm = nnx.Conv(12, 6, (1, 1), rngs=rngs), norm(6)
        self.hidden = nnx.Linear(6, 12, rngs=rngs)
        self.head = nnx.Linear(12, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.hard_swish(self.stem_norm(self.stem(x)))
        y = nnx.hard_swish(self.expand_norm(self.expand(x)))
        y = nnx.hard_swish(self.depthwise_norm(self.depthwise(y)))
        gate = nnx.relu(self.squeeze(jnp.mean(y, axis=(1, 2))))
        y = y * nnx.hard_sigmoid(self.excite(gate))[:, None, None, :]
        x = x + self.project_norm(self.project(y))
        return self.head(nnx.hard_swish(self.hidden(jnp.mean(x, axis=(1, 2)))))


class UNet(nn.Module):
    """Down, up again by transposed convolutions, with skips; the class maps' means."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        skips = []
        for width in (4, 6):
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            skips.append(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        for width, skip in zip((6, 4), reversed(skips), strict=True):
            x = nn.ConvTranspose(width, (2, 2), strides=(2, 2))(x)
            x = jnp.concatenate([x, skip], axis=-1)
            x = nn.relu(nn.Conv(width, (3, 3))(x))
        return jnp.mean(nn.Conv(4, (1, 1))(x), axis=(1, 2))


class ConvNeXt(nn.Module):
    """Depthwise convolution, layer normalization and a gelu MLP, scaled before it is added."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.LayerNorm(epsilon=1e-6)(nn.Conv(8, (2, 2), strides=(2, 2))(x))
        for layer in range(2):
            y = nn.Conv(8, (3, 3), feature_group_count=8)(x)
            y = nn.LayerNorm(epsilon=1e-6)(y)
            y = nn.gelu(nn.Dense(16)(y), approximate=False)
            y = nn.Dense(8)(y)
            gamma = self.param(f"gamma_{layer}", nn.initializers.constant(1e-6), (8,))
            x = x + gamma[None, None, None, :] * y
        x = nn.LayerNorm(epsilon=1e-6)(jnp.mean(x, axis=(1, 2)))
        return nn.Dense(4)(x)


class WaveNet(nn.Module):
    """Dilated causal convolutions of a signal, gated, with skips from each."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(8, (1,))(x)
        total = None
        for dilation in (1, 2, 4):
            conv = partial(nn.Conv, 8, (2,), kernel_dilation=dilation, padding="CAUSAL")
            y = nn.tanh(conv()(x)) * nn.sigmoid(conv()(x))
            x = x + nn.Conv(8, (1,))(y)
            skip = nn.Conv(6, (1,))(y)
            total = skip if total is None else total + skip
        x = nn.relu(nn.Conv(6, (1,))(nn.relu(total)))
        return nn.Dense(4)(x[:, -1])


class GroupNormNet(nn.Module):
    """Convolutions with group and instance normalization and a leaky relu."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.GroupNorm(num_groups=2)(nn.Conv(8, (3, 3))(x)))
        x = nn.Conv(8, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))(x)
        x = nn.leaky_relu(nn.InstanceNorm()(x), 0.2)
        x = nn.Conv(8, (3, 3), padding="CIRCULAR")(x)
        x = nn.elu(nn.GroupNorm(num_groups=None, group_size=2)(x))
        return nn.Dense(4)(jnp.mean(x, axis=(1, 2)))


MODELS: list[Model] = [
    linen("mobilenet_v2", "convolutional", MobileNetV2(), (12, 12, 3)),
    linen("efficientnet", "convolutional", EfficientNet(), (16, 16, 3)),
    from_nnx("mobilenet_v3", "convolutional", lambda rngs: MobileNetV3(rngs=rngs), (16, 16, 3)),
    linen("unet", "convolutional", UNet(), (16, 16, 3)),
    linen("convnext", "convolutional", ConvNeXt(), (16, 16, 3)),
    linen("wavenet", "convolutional", WaveNet(), (12, 3)),
    linen("groupnorm", "convolutional", GroupNormNet(), (12, 12, 3)),
]
