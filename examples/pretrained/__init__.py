"""Trained networks and photographs for the examples, all from pip packages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from . import efficientnet_lite0, squeezenet
from .images import SAMPLES as SAMPLES
from .images import Units as Units
from .images import center_crop as center_crop
from .images import labels as labels
from .images import read_image as read_image
from .images import sample_image as sample_image


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained image classifier together with everything needed to use it.

    Attributes:
        name: The name it was loaded by.
        module: The Flax linen module; it takes a batch.
        variables: The module's trained variables.
        size: The side of the square picture it takes.
        units: How it wants its pixels.
    """

    name: str
    module: nn.Module
    variables: Mapping[str, Any] = field(repr=False)
    size: int
    units: Units

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """Crop RGB pixels (`uint8`, any size) and turn them into the model's units."""
        return self.units.encode(center_crop(image, self.size))

    def to_display(self, x: np.ndarray) -> np.ndarray:
        """Turn a preprocessed picture back into RGB from 0 to 1, for plotting."""
        return self.units.decode(x)

    def logits(self, x: jax.Array) -> jax.Array:
        """Return the 1000 logits of one preprocessed picture of shape (size, size, 3)."""
        return self.module.apply(self.variables, x[None])[0]

    @property
    def low(self) -> np.ndarray:
        """The model's value of a black pixel, per channel in the model's order."""
        return self.units.encode(np.zeros(3))

    @property
    def high(self) -> np.ndarray:
        """The model's value of a white pixel, per channel in the model's order."""
        return self.units.encode(np.full(3, 255))


def load(name: str) -> Pretrained:
    """Load `"squeezenet"` or `"efficientnet_lite0"`, both trained on ImageNet."""
    if name not in _LOADERS:
        raise ValueError(f"There is no model {name!r}. Choose one of: {', '.join(_LOADERS)}.")
    return _LOADERS[name](name)


def _load_squeezenet(name: str) -> Pretrained:
    variables = {"params": squeezenet.read_params()}
    module = squeezenet.SqueezeNet()
    return Pretrained(name, module, variables, squeezenet.SIZE, squeezenet.UNITS)


def _load_efficientnet_lite0(name: str) -> Pretrained:
    variables = efficientnet_lite0.read_variables()
    module = efficientnet_lite0.EfficientNetLite0()
    return Pretrained(name, module, variables, efficientnet_lite0.SIZE, efficientnet_lite0.UNITS)


_LOADERS: dict[str, Callable[[str], Pretrained]] = {
    "squeezenet": _load_squeezenet,
    "efficientnet_lite0": _load_efficientnet_lite0,
}
