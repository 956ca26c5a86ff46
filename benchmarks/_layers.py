"""Layers in torch, channels first, filled with the arrays of Flax ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ._networks import EPSILON

Params = Mapping[str, Any]


class SameConv(nn.Conv2d):
    """A convolution that pads as Flax does: where that is uneven, more after than before."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, features, H / stride, W / stride), sides rounded up."""
        size, kernel, stride = x.shape[-1], self.kernel_size[0], self.stride[0]
        missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = missing // 2, missing - missing // 2
        if before == after:
            return F.conv2d(x, self.weight, self.bias, stride, before, groups=self.groups)
        padded = F.pad(x, (before, after, before, after))
        return F.conv2d(padded, self.weight, self.bias, stride, groups=self.groups)


class Mean(nn.Module):
    """The mean over some axes."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Leave the axes out."""
        return x.mean(self.axes)


class Residual(nn.Sequential):
    """Modules one after the other, plus their input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `x` to the same shape."""
        return x + super().forward(x)


def fill(module: nn.Module, **arrays: Any) -> nn.Module:
    """Put `arrays` in the place of the parameters and buffers of `module` that they name."""
    for name, array in arrays.items():
        with torch.no_grad():
            getattr(module, name).copy_(torch.from_numpy(np.array(array)))
    return module


def linear(params: Params) -> nn.Module:
    """A dense layer."""
    kernel = np.asarray(params["kernel"])
    return fill(nn.Linear(*kernel.shape), weight=kernel.T, bias=params["bias"])


def conv(
    params: Params, stride: int = 1, groups: int = 1, kind: type[nn.Conv2d] = SameConv
) -> nn.Module:
    """A convolution, padded unless `kind` is torch's own."""
    kernel = np.asarray(params["kernel"])
    *size, inputs, outputs = kernel.shape
    module = kind(inputs * groups, outputs, size, stride, groups=groups, bias="bias" in params)
    bias = {"bias": params["bias"]} if "bias" in params else {}
    return fill(module, weight=kernel.transpose(3, 2, 0, 1), **bias)


def layer_norm(params: Params) -> nn.Module:
    """A LayerNorm over the last axis."""
    norm = nn.LayerNorm(len(params["scale"]), eps=EPSILON)
    return fill(norm, weight=params["scale"], bias=params["bias"])


def batch_norm(params: Params, statistics: Params) -> nn.Module:
    """A BatchNorm with the trained statistics, once its model is in evaluation mode."""
    return fill(
        nn.BatchNorm2d(len(params["scale"]), eps=1e-3),
        weight=params["scale"],
        bias=params["bias"],
        running_mean=statistics["mean"],
        running_var=statistics["var"],
    )


def encoder_layer(params: Params) -> nn.Module:
    """An encoder layer that normalises first; the heads' kernels become one matrix."""
    attention = params["MultiHeadDotProductAttention_0"]
    width, heads, _ = attention["query"]["kernel"].shape
    parts = [attention[part] for part in ("query", "key", "value")]
    inputs = [np.asarray(part["kernel"]).reshape(width, width).T for part in parts]
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, "gelu", EPSILON, batch_first=True, norm_first=True
    )
    layer.norm1, layer.norm2 = (layer_norm(params[f"LayerNorm_{i}"]) for i in range(2))
    layer.linear1, layer.linear2 = (linear(params[f"Dense_{i}"]) for i in range(2))
    fill(
        layer.self_attn,
        in_proj_weight=np.concatenate(inputs),
        in_proj_bias=np.concatenate([np.ravel(part["bias"]) for part in parts]),
    )
    out = attention["out"]
    fill(
        layer.self_attn.out_proj,
        weight=np.asarray(out["kernel"]).reshape(width, width).T,
        bias=out["bias"],
    )
    return layer
