"""The same SqueezeNet 1.1 as in `squeezenet.py`, as a Flax nnx module with the same weights."""

import jax
import jax.numpy as jnp
from flax import nnx

from .squeezenet import FIRES, POOLED, max_pool, read_params


class Fire(nnx.Module):
    """Few channels first, then many from two kernel sizes side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int, *, rngs: nnx.Rngs) -> None:
        """Make the three convolutions for `inputs` channels."""
        self.squeeze1x1 = nnx.Conv(inputs, squeeze, (1, 1), rngs=rngs)
        self.expand1x1 = nnx.Conv(squeeze, expand, (1, 1), rngs=rngs)
        self.expand3x3 = nnx.Conv(squeeze, expand, (3, 3), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, inputs) to (N, H, W, 2 * expand)."""
        x = nnx.relu(self.squeeze1x1(x))
        return jnp.concatenate([nnx.relu(self.expand1x1(x)), nnx.relu(self.expand3x3(x))], axis=-1)


class SqueezeNet(nnx.Module):
    """SqueezeNet 1.1 for the 1000 classes of ImageNet."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        """Make the network with random weights; `load_squeezenet_nnx` gives the trained one."""
        self.conv1 = nnx.Conv(3, 64, (3, 3), strides=2, rngs=rngs)
        channels = 64
        for name, (squeeze, expand) in FIRES.items():
            setattr(self, name, Fire(channels, squeeze, expand, rngs=rngs))
            channels = 2 * expand
        self.conv10 = nnx.Conv(channels, 1000, (1, 1), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map pictures (N, H, W, 3) in `squeezenet.UNITS` to logits (N, 1000)."""
        x = max_pool(nnx.relu(self.conv1(x)))
        for name in FIRES:
            x = getattr(self, name)(x)
            x = max_pool(x) if name in POOLED else x
        return self.conv10(x).mean(axis=(1, 2))


def load_squeezenet_nnx() -> SqueezeNet:
    """Return the trained network."""
    # Only the shapes are made, so that no random numbers are drawn for weights nobody sees.
    graph, state = nnx.split(nnx.eval_shape(lambda: SqueezeNet(rngs=nnx.Rngs(0))))
    nnx.replace_by_pure_dict(state, read_params())
    return nnx.merge(graph, state)
