"""The models that are measured, each a function of one example with its torch twin beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from torch import Tensor, from_numpy
from torch.nn import Module

import jaxplain

from . import _twins
from ._imports import load, sample_image
from ._networks import CNN, MLP, VGG, Encoder

MODELS = ("MLP", "CNN", "transformer", "SqueezeNet", "EfficientNet-Lite0")
"""The models of most tables, the smallest first."""

Variables = Mapping[str, Any]
Twin = Callable[[Variables], Module]


@dataclass(frozen=True)
class Model:
    """A model of one example, its torch twin, and the batch that is explained.

    Attributes:
        name: What it is called in the tables.
        apply: From variables and a batch to logits.
        variables: The weights.
        twin: The same, in torch, of a batch whose channels come first.
        x: The batch, channels last.
        labels: The class each example is explained for: the one it is given.
    """

    name: str
    apply: Callable[..., jax.Array]
    variables: Variables
    twin: Module
    x: jax.Array
    labels: jax.Array

    @property
    def title(self) -> str:
        """The name and the number of examples."""
        return f"{self.name}, {len(self.x)}"

    @property
    def score(self) -> Callable[..., jax.Array]:
        """The model as jaxplain takes it: `(x, k) -> scalar`."""
        return jaxplain.select(jaxplain.unbatch(functools.partial(self.apply, self.variables)))

    @functools.cached_property
    def inputs(self) -> Tensor:
        """`x` for the twin."""
        array = np.array(self.x)
        return from_numpy(np.moveaxis(array, -1, 1).copy() if array.ndim == 4 else array)

    @functools.cached_property
    def target(self) -> Tensor:
        """`labels` for the twin."""
        return from_numpy(np.array(self.labels))

    def from_twin(self, attribution: Tensor) -> np.ndarray:
        """What was computed for the twin, with the channels last."""
        array = attribution.detach().numpy()
        return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


@functools.cache
def model(name: str) -> Model:
    """One of `MODELS`, or the tiny MLP."""
    match name:
        case "tiny MLP":
            return _random(name, MLP((32, 3)), _twins.mlp, (1, 16))
        case "MLP":
            return _random(name, MLP((256, 256, 10)), _twins.mlp, (8, 784))
        case "CNN":
            return _random(name, CNN(), _twins.cnn, (8, 28, 28, 1))
        case "CNN of 1" | "CNN of 32":
            return _random("CNN", CNN(), _twins.cnn, (int(name.split()[-1]), 28, 28, 1))
        case "VGG of 1" | "VGG of 32":
            return _random("VGG", VGG(), _twins.vgg, (int(name.split()[-1]), 32, 32, 3))
        case "transformer":
            return _random(name, Encoder(layers=6, heads=6), _twins.encoder, (1, 128, 384))
        case "SqueezeNet":
            return _trained(name, "squeezenet", _twins.squeeze_net)
        case "EfficientNet-Lite0":
            return _trained(name, "efficientnet_lite0", _twins.efficient_net)
    raise ValueError(f"There is no model {name!r}.")


def _random(name: str, network: nn.Module, twin: Twin, shape: tuple[int, ...]) -> Model:
    """A network with random weights, and a random batch."""
    x = jax.random.normal(jax.random.key(1), shape)
    variables = jax.jit(network.init)(jax.random.key(0), x)
    return _pair(name, network, variables, twin, x)


def _trained(name: str, example: str, twin: Twin) -> Model:
    """A network trained on ImageNet, and a picture of a cat."""
    trained = load(example)
    x = jnp.asarray(trained.preprocess(sample_image("chelsea"))[None])
    return _pair(name, trained.module, trained.variables, twin, x)


def _pair(name: str, network: nn.Module, variables: Variables, twin: Twin, x: jax.Array) -> Model:
    labels = jnp.argmax(jax.jit(network.apply)(variables, x), axis=-1)
    module = twin(variables).eval().requires_grad_(False)
    return Model(name, network.apply, variables, module, x, labels)
