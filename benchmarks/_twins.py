"""The same networks in torch, channels first, built from the variables of the Flax ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._imports import efficientnet_lite0, squeezenet
from ._layers import Mean, Params, Residual, batch_norm, conv, encoder_layer, layer_norm, linear

Variables = Mapping[str, Any]


def mlp(variables: Variables) -> nn.Module:
    """The twin of `MLP`."""
    params = variables["params"]
    *hidden, last = (linear(params[f"Dense_{i}"]) for i in range(len(params)))
    return nn.Sequential(*_with_relu(hidden), last)


def cnn(variables: Variables) -> nn.Module:
    """The twin of `CNN`; its first dense layer sees the channels before the pixels."""
    params = variables["params"]
    kernel = params["Dense_0"]["kernel"].reshape(12, 12, 64, 128)
    kernel = kernel.transpose(2, 0, 1, 3).reshape(-1, 128)
    return nn.Sequential(
        *_with_relu(conv(params[f"Conv_{i}"], kind=nn.Conv2d) for i in range(2)),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *_with_relu([linear({**params["Dense_0"], "kernel": kernel})]),
        linear(params["Dense_1"]),
    )


def vgg(variables: Variables) -> nn.Module:
    """The twin of `VGG`; its first dense layer sees the channels before the pixels."""
    params = variables["params"]
    kernel = params["Dense_0"]["kernel"].reshape(4, 4, 128, 256)
    kernel = kernel.transpose(2, 0, 1, 3).reshape(-1, 256)
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [conv(params[f"Conv_{i}"]), nn.ReLU(), *([nn.MaxPool2d(2)] if i % 2 else [])]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        *_with_relu([linear({**params["Dense_0"], "kernel": kernel})]),
        linear(params["Dense_1"]),
    )


def encoder(variables: Variables) -> nn.Module:
    """The twin of `Encoder`."""
    params = variables["params"]
    layers = [name for name in params if name.startswith("EncoderLayer")]
    return nn.Sequential(
        *(encoder_layer(params[f"EncoderLayer_{i}"]) for i in range(len(layers))),
        layer_norm(params["LayerNorm_0"]),
        Mean(1),
        linear(params["Dense_0"]),
    )


class Fire(nn.Module):
    """SqueezeNet's module: few channels first, then many from two kernel sizes."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.squeeze = conv(params["squeeze1x1"])
        self.small = conv(params["expand1x1"])
        self.large = conv(params["expand3x3"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, features, H, W)."""
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.small(x)), F.relu(self.large(x))], dim=1)


def squeeze_net(variables: Variables) -> nn.Module:
    """The twin of SqueezeNet 1.1."""
    params = variables["params"]
    layers = [conv(params["conv1"], stride=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for name in squeezenet.FIRES:
        layers.append(Fire(params[name]))
        layers += [nn.MaxPool2d(3, 2)] if name in squeezenet.POOLED else []
    return nn.Sequential(*layers, conv(params["conv10"]), Mean(2, 3))


def efficient_net(variables: Variables) -> nn.Module:
    """The twin of EfficientNet-Lite0."""
    params, statistics = variables["params"], variables["batch_stats"]
    layers = _conv_norm(params["stem"], statistics["stem"], stride=2)
    steps = (
        stage.stride if i == 0 else 1
        for stage in efficientnet_lite0.STAGES
        for i in range(stage.blocks)
    )
    for i, stride in enumerate(steps):
        layers.append(_inverted(params[f"Block_{i}"], statistics[f"Block_{i}"], stride))
    layers += _conv_norm(params["head"], statistics["head"])
    return nn.Sequential(*layers, Mean(2, 3), linear(params["classifier"]))


def _inverted(params: Params, statistics: Params, stride: int) -> nn.Module:
    """Expand the channels, filter each, project them back; a residual where the shapes agree."""
    width, features = (
        params[part]["conv"]["kernel"].shape[-1] for part in ("depthwise", "project")
    )
    inputs = params.get("expand", params["project"])["conv"]["kernel"].shape[-2]
    expand = _conv_norm(params["expand"], statistics["expand"]) if "expand" in params else []
    depthwise = _conv_norm(params["depthwise"], statistics["depthwise"], stride, groups=width)
    *project, _ = _conv_norm(params["project"], statistics["project"])
    kind = Residual if stride == 1 and inputs == features else nn.Sequential
    return kind(*expand, *depthwise, *project)


def _conv_norm(
    params: Params, statistics: Params, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    norm = batch_norm(params["norm"], statistics["norm"])
    return [conv(params["conv"], stride, groups), norm, nn.ReLU6()]


def _with_relu(layers: Iterable[nn.Module]) -> Iterable[nn.Module]:
    return (module for layer in layers for module in (layer, nn.ReLU()))
