"""Small networks twice: a PyTorch module and a JAX function of one image, with the same weights.

The modules are spelled so that zennit sees all of their steps (a residual sum is a module of its
own, a batch normalisation stands right behind its convolution); the JAX side is ordinary Flax.

zennit merges a batch normalisation into its convolution and leaves behind one that divides by
sqrt(1 + eps): with the usual 1e-5 its network is another one by 5e-6 a layer. So eps is 1e-12.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import torch
from zennit_import import import_zennit

zennit = import_zennit()

EPS = 1e-12
CLASSES = 5
STAGES = ((8, 1), (12, 2), (12, 1))  # width and stride of each residual block

Tree = dict[str, Any]


class Pair(NamedTuple):
    """One network twice, and two images: height, width, channels."""

    module: Any  # of a batch (example, channels, height, width), in PyTorch
    logits: Callable[[Any], Any]  # of one image, in JAX
    images: np.ndarray

    def to_torch(self) -> Any:
        return torch.tensor(np.transpose(self.images, (0, 3, 1, 2))).requires_grad_()

    @staticmethod
    def from_torch(batch: Any) -> np.ndarray:
        return np.transpose(batch.detach().numpy(), (0, 2, 3, 1))


# -------------------------------------------------------------------------------------- in PyTorch


class TorchVgg(torch.nn.Module):
    """Three times convolution, ReLU and max pooling, then two dense layers; every step a module."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        steps: list[Any] = []
        for inner, outer in ((3, 6), (6, 8), (8, 8)):
            steps.append(torch.nn.Conv2d(inner, outer, 3, padding=1))
            steps += [torch.nn.BatchNorm2d(outer, eps=EPS)] * norm
            steps += [torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        self.features = torch.nn.Sequential(*steps)
        self.hidden = torch.nn.Linear(32, 10)
        self.relu = torch.nn.ReLU()
        self.readout = torch.nn.Linear(10, CLASSES)

    def forward(self, x: Any) -> Any:
        x = torch.flatten(self.features(x), 1)
        return self.readout(self.relu(self.hidden(x)))


class TorchBlock(torch.nn.Module):
    """A basic block: two convolutions, and a projected shortcut where the shape changes."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(outer, eps=EPS)
        self.relu1 = torch.nn.ReLU()
        self.conv2 = torch.nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.norm2 = torch.nn.BatchNorm2d(outer, eps=EPS)
        self.shortcut = torch.nn.Sequential()
        if stride > 1 or inner != outer:
            self.shortcut.append(torch.nn.Conv2d(inner, outer, 1, stride, bias=False))
            self.shortcut.append(torch.nn.BatchNorm2d(outer, eps=EPS))
        self.add = zennit.layer.Sum(dim=-1)  # a plain + would be an unmodified gradient
        self.relu2 = torch.nn.ReLU()

    def forward(self, x: Any) -> Any:
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(self.add(torch.stack([self.shortcut(x), y], dim=-1)))


class TorchResNet(torch.nn.Module):
    """A stem, three basic blocks, the mean over all positions and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        width = STAGES[0][0]
        self.conv = torch.nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(width, eps=EPS)
        self.relu = torch.nn.ReLU()
        self.pool = torch.nn.MaxPool2d(3, 2, padding=1)
        self.blocks = torch.nn.Sequential()
        for outer, stride in STAGES:
            self.blocks.append(TorchBlock(width, outer, stride))
            width = outer
        self.mean = torch.nn.AdaptiveAvgPool2d(1)
        self.readout = torch.nn.Linear(width, CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.blocks(self.pool(self.relu(self.norm(self.conv(x)))))
        return self.readout(torch.flatten(self.mean(x), 1))


# ------------------------------------------------------------------------------------------ in Flax


class Vgg(nn.Module):
    norm: bool

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for width in (6, 8, 8):
            x = nn.Conv(width, (3, 3))(x)
            if self.norm:
                x = nn.BatchNorm(use_running_average=True, epsilon=EPS)(x)
            x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(10)(x.reshape((len(x), -1))))
        return nn.Dense(CLASSES)(x)


class Block(nn.Module):
    width: int
    stride: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        conv = functools.partial(nn.Conv, self.width, padding=1, use_bias=False)
        norm = functools.partial(nn.BatchNorm, use_running_average=True, epsilon=EPS)
        y = nn.relu(norm()(conv((3, 3), strides=self.stride)(x)))
        y = norm()(conv((3, 3))(y))
        if x.shape != y.shape:
            x = norm()(conv((1, 1), strides=self.stride, padding=0)(x))
        return nn.relu(x + y)


class ResNet(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Conv(STAGES[0][0], (3, 3), use_bias=False)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, epsilon=EPS)(x))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for width, stride in STAGES:
            x = Block(width, stride)(x)
        return nn.Dense(CLASSES)(x.mean((1, 2)))


# -------------------------------------------------------------------------- from one to the other


def draw_weights(module: Any, *, biases: bool) -> Any:
    """Weights and statistics of NumPy's, which no version of PyTorch changes, in float64.

    Some scales of batch normalisations are negative: they turn a weight's sign.
    """
    rng = np.random.default_rng(0)
    for layer in leaves_of(module):
        shape = layer.weight.shape
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.data = torch.tensor(rng.uniform(0.5, 1.5, shape) * signs(rng, shape))
            layer.running_mean.data = torch.tensor(rng.normal(0, 0.5, shape))
            layer.running_var.data = torch.tensor(rng.uniform(0.5, 2, shape))
        else:
            scale = (2 / np.prod(shape[1:])) ** 0.5
            layer.weight.data = torch.tensor(rng.normal(0, scale, shape))
        if layer.bias is not None:
            layer.bias.data = torch.tensor(biases * rng.normal(0, 0.3, layer.bias.shape))
    return module.double().eval()


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.2, -1.0, 1.0)


def leaves_of(module: Any) -> Iterator[Any]:
    """The layers with weights, in their order."""
    kinds = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d)
    return (layer for layer in module.modules() if isinstance(layer, kinds))


def convert(module: Any) -> Tree:
    """Flax's variables of a plain chain of layers and of the blocks among them."""
    tree: dict[str, Tree] = {"params": {}, "batch_stats": {}}
    counts: dict[str, int] = {}

    def store(kind: str, found: Tree) -> None:
        name = f"{kind}_{counts.setdefault(kind, 0)}"
        counts[kind] += 1
        for collection, value in found.items():
            tree[collection][name] = value

    for child in flat_children(module):
        if isinstance(child, TorchBlock):
            store("Block", convert(child))
        elif isinstance(child, torch.nn.BatchNorm2d):
            store("BatchNorm", convert_norm(child))
        elif isinstance(child, torch.nn.Conv2d):
            store("Conv", convert_affine(child, (2, 3, 1, 0)))
        elif isinstance(child, torch.nn.Linear):
            store("Dense", convert_affine(child, (1, 0)))
    return tree


def flat_children(module: Any) -> Iterator[Any]:
    for child in module.children():
        if isinstance(child, torch.nn.Sequential):
            yield from flat_children(child)
        else:
            yield child


def convert_affine(layer: Any, axes: tuple[int, ...]) -> Tree:
    params = {"kernel": np.transpose(layer.weight.detach().numpy(), axes)}
    if layer.bias is not None:
        params["bias"] = layer.bias.detach().numpy()
    return {"params": params}


def convert_norm(layer: Any) -> Tree:
    return {
        "params": {"scale": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy()},
        "batch_stats": {"mean": layer.running_mean.numpy(), "var": layer.running_var.numpy()},
    }


def reorder_flattened(kernel: np.ndarray, side: int) -> np.ndarray:
    """PyTorch flattens channels, height, width; Flax height, width, channels."""
    inputs, outputs = kernel.shape
    kernel = kernel.reshape(inputs // side**2, side, side, outputs)
    return np.transpose(kernel, (1, 2, 0, 3)).reshape(inputs, outputs)


# --------------------------------------------------------------------------------------- the pairs


def pair_of(module: Any, twin: nn.Module, variables: Tree, *, positive: bool = False) -> Pair:
    images = np.random.default_rng(1).uniform(0 if positive else -2, 2, size=(2, 16, 16, 3))
    variables = {name: tree for name, tree in variables.items() if tree}
    held = jax.tree.map(np.ascontiguousarray, variables)

    def logits(image: Any) -> Any:
        return twin.apply(held, image[None])[0]

    return Pair(module, logits, images)


def make_vgg(*, norm: bool = False, biases: bool = True, positive: bool = False) -> Pair:
    module = draw_weights(TorchVgg(norm=norm), biases=biases)
    variables = convert(module)
    dense = variables["params"]["Dense_0"]
    dense["kernel"] = reorder_flattened(dense["kernel"], side=2)
    return pair_of(module, Vgg(norm), variables, positive=positive)


def vgg() -> Pair:
    return make_vgg()


def vgg_with_norms() -> Pair:
    return make_vgg(norm=True)


def vgg_without_biases() -> Pair:
    """And with images of positive pixels: what older formulas ask for."""
    return make_vgg(biases=False, positive=True)


def resnet() -> Pair:
    module = draw_weights(TorchResNet(), biases=True)
    variables = convert(module)
    return pair_of(module, ResNet(), variables)


@functools.cache
def pair(make: Callable[[], Pair]) -> Pair:
    return make()


def relative_error(found: Any, expected: np.ndarray) -> float:
    """The largest difference, in units of the largest relevance of each example."""
    axes = tuple(range(1, expected.ndim))
    size = np.max(np.abs(expected), axis=axes)
    return float(np.max(np.max(np.abs(np.asarray(found) - expected), axis=axes) / size))
