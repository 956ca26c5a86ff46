"""SqueezeNet 1.1 (Iandola et al., 2016), trained on ImageNet, as a Flax linen module.

Convolutions, ReLU, max pooling, concatenation and a mean: no BatchNorm and no dense layer.
The weights lie beside this file; `PROVENANCE.md` says where they come from.
"""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from .images import Units

SIZE = 227
"""The side of the square picture the network takes."""

UNITS = Units(mean=(103.939, 116.779, 123.68), bgr=True)
"""Blue, green and red from 0 to 255, less the mean colour of ImageNet."""

FIRES: dict[str, tuple[int, int]] = {
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}
"""Each fire module's channels after squeezing and after either expansion."""

POOLED = ("conv1", "fire3", "fire5")
"""The layers that max pooling follows."""

WEIGHTS = Path(__file__).with_name("squeezenet1_1.npz")
"""The converted weights, in half precision."""


class Fire(nn.Module):
    """Few channels first, then many from two kernel sizes side by side.

    Attributes:
        squeeze: Channels after the squeezing convolution.
        expand: Channels after each of the two expanding convolutions.
    """

    squeeze: int
    expand: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H, W, 2 * expand)."""
        x = nn.relu(nn.Conv(self.squeeze, (1, 1), name="squeeze1x1")(x))
        small = nn.relu(nn.Conv(self.expand, (1, 1), name="expand1x1")(x))
        large = nn.relu(nn.Conv(self.expand, (3, 3), name="expand3x3")(x))
        return jnp.concatenate([small, large], axis=-1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 for the 1000 classes of ImageNet."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map pictures (N, H, W, 3) in `UNITS` to logits (N, 1000)."""
        x = nn.relu(nn.Conv(64, (3, 3), strides=2, name="conv1")(x))
        x = max_pool(x)
        for name, (squeeze, expand) in FIRES.items():
            x = Fire(squeeze, expand, name=name)(x)
            x = max_pool(x) if name in POOLED else x
        x = nn.Conv(1000, (1, 1), name="conv10")(x)
        return x.mean(axis=(1, 2))


def max_pool(x: jax.Array) -> jax.Array:
    """Take the maximum of every second 3 x 3 window that lies inside `x`."""
    return nn.max_pool(x, (3, 3), strides=(2, 2))


def read_params() -> dict[str, Any]:
    """Read the trained parameters, in float32, as nested dictionaries by layer."""
    with np.load(WEIGHTS) as arrays:
        flat = {name: jnp.asarray(arrays[name].astype(np.float32)) for name in arrays.files}
    return unflatten_dict(flat, sep="/")
