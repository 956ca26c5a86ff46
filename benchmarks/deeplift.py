"""DeepLIFT against its gradient, and against Captum."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import captum.attr
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

import jaxplain

from ._harness import Effort, Run, take_turns
from ._layers import Mean, Residual, batch_norm, conv, linear
from ._models import Model, Variables, model
from ._networks import Conv, Dense
from ._report import Row, Topic, milliseconds, ratio
from ._twins import Fire

WRONG = 1e-2  # in float32, where one unit's tiny difference may decide on which side it is

WIDTHS = (32, 32, 64, 128)  # of the residual blocks; each wider one halves the picture
NORM_EPSILON = 1e-3


# ----------------------------------------------------------------------------- a residual network


class Block(linen.Module):
    """Two convolutions beside a shortcut, which is a convolution where the shape changes.

    Attributes:
        width: Channels of the result.
    """

    width: int

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, H / stride, W / stride, width)."""
        norm = functools.partial(linen.BatchNorm, use_running_average=True, epsilon=NORM_EPSILON)
        stride = 1 if x.shape[-1] == self.width else 2
        y = linen.relu(norm(name="norm1")(Conv(self.width, (3, 3), stride, name="conv1")(x)))
        y = norm(name="norm2")(Conv(self.width, (3, 3), name="conv2")(y))
        if stride > 1:
            x = Conv(self.width, (1, 1), stride, name="shortcut")(x)
        return linen.relu(x + y)


class ResNet(linen.Module):
    """A stem, four basic blocks and a dense layer, for pictures of 32 x 32."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map pictures (N, 32, 32, 3) to logits (N, 10)."""
        x = linen.relu(Conv(WIDTHS[0], (3, 3))(x))
        for width in WIDTHS:
            x = Block(width)(x)
        return Dense(10)(x.mean((1, 2)))


class TorchBlock(nn.Module):
    """The twin of `Block`."""

    def __init__(self, params: Any, statistics: Any) -> None:
        super().__init__()
        stride = 2 if "shortcut" in params else 1
        self.branch = nn.Sequential(
            conv(params["conv1"], stride),
            batch_norm(params["norm1"], statistics["norm1"]),
            nn.ReLU(),
            conv(params["conv2"]),
            batch_norm(params["norm2"], statistics["norm2"]),
        )
        shortcut = conv(params["shortcut"], stride) if "shortcut" in params else nn.Identity()
        self.shortcut, self.relu = shortcut, nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, width, H / stride, W / stride)."""
        return self.relu(self.shortcut(x) + self.branch(x))


def torch_resnet(variables: Variables) -> nn.Module:
    """The twin of `ResNet`."""
    params, statistics = variables["params"], variables["batch_stats"]
    names = [f"Block_{i}" for i in range(len(WIDTHS))]
    return nn.Sequential(
        conv(params["Conv_0"]),
        nn.ReLU(),
        *(TorchBlock(params[name], statistics[name]) for name in names),
        Mean(2, 3),
        linear(params["Dense_0"]),
    )


@functools.cache
def resnet() -> Model:
    """With random weights, for one random picture."""
    x = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    network = ResNet()
    variables = jax.jit(network.init)(jax.random.key(0), x)
    module = torch_resnet(variables).eval().requires_grad_(False)
    return Model("ResNet", network.apply, variables, module, x, jnp.zeros(1, int))


# ---------------------------------------------------------------------------- batches, and helping


@functools.cache
def batch_of(subject: str) -> Model:
    """A model, named before " of ", with as many examples: shifted copies of those it has."""
    name, _, size = subject.partition(" of ")
    m = resnet() if name == "ResNet" else model(f"{name} of 1" if name == "VGG" else name)
    shifted = [jnp.roll(m.x[i % len(m.x)], i, axis=0) for i in range(int(size))]
    x = jnp.stack(shifted)
    labels = jnp.argmax(jax.jit(functools.partial(m.apply, m.variables))(x), axis=-1)
    return dataclasses.replace(m, x=x, labels=labels)


class Copy(nn.Module):
    """What keeps Captum's hooks of two modules apart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A new tensor of the same numbers."""
        return x.clone()


class HookedFire(nn.Module):
    """SqueezeNet's module with a module for each of its ReLUs."""

    def __init__(self, fire: Fire) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(fire.squeeze, nn.ReLU())
        self.small = nn.Sequential(fire.small, nn.ReLU())
        self.large = nn.Sequential(fire.large, nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, features, H, W)."""
        x = self.squeeze(x)
        return torch.cat([self.small(x), self.large(x)], dim=1)


def helped(module: nn.Module) -> nn.Module:
    """A chain of modules as Captum needs it: all ReLUs are modules, and no two hooks meet."""
    if not isinstance(module, nn.Sequential) or isinstance(module, Residual):
        return module
    steps: list[nn.Module] = []
    for step in module:
        steps += [Copy()] * isinstance(step, nn.MaxPool2d)
        steps.append(HookedFire(step) if isinstance(step, Fire) else step)
    return nn.Sequential(*steps)


# -------------------------------------------------------------------------------------- measuring


def compiled(function: Callable[..., Any], m: Model, reference: jax.Array) -> Run:
    """The function of the batch, its labels and the reference, which is no constant."""
    program = jax.jit(function).lower(m.x, m.labels, reference).compile()
    return functools.partial(program, m.x, m.labels, reference)


def contenders(m: Model, reference: jax.Array) -> dict[str, Run]:
    """Ours, and what it is made of at the least."""
    gradient, scores = jax.vmap(jax.grad(m.score)), jax.vmap(m.score)

    def with_forward(x: jax.Array, k: jax.Array, b: jax.Array) -> Any:
        return gradient(x, k), scores(jnp.broadcast_to(b, x.shape), k)

    def ours(x: jax.Array, k: jax.Array, b: jax.Array) -> Any:
        return jax.vmap(functools.partial(jaxplain.deeplift(m.score), baseline=b))(x, k)

    def alone(x: jax.Array, k: jax.Array, b: jax.Array) -> Any:
        return gradient(x, k)

    functions = {"gradient": alone, "with forward": with_forward, "ours": ours}
    return {name: compiled(function, m, reference) for name, function in functions.items()}


def by_captum(m: Model, module: nn.Module) -> Run:
    """Captum's explanation of the batch; its reference is zero."""
    explain = captum.attr.DeepLift(module)

    def run() -> torch.Tensor:
        return explain.attribute(m.inputs.detach().requires_grad_(), target=m.target)

    return run


def outcome(m: Model, run: Run) -> np.ndarray | Exception:
    """What Captum finds, or what it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return m.from_twin(run())
    except Exception as error:  # a row of the table
        return error


def missed(m: Model, found: np.ndarray, change: np.ndarray) -> float:
    """How much of the changes the sums of the contributions miss."""
    sums = np.sum(found, axis=tuple(range(1, found.ndim)), dtype=np.float64)
    return float(np.sum(np.abs(sums - change)) / np.sum(np.abs(change)))


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Their distance from ours, as a share of the norm of ours."""
    apart = float(np.linalg.norm(theirs - ours) / np.linalg.norm(ours))
    return f"{apart:.0e}" if apart <= WRONG else f"**{apart:.0%}**"


def share(value: float) -> str:
    """What sums miss; bold where that is no rounding."""
    return f"{value:.0e}" if value <= WRONG else f"**{value:.0%}**"


def measure(subject: str, effort: Effort) -> Iterator[Row]:
    """One batch of one model."""
    m = batch_of(subject)
    reference = jnp.zeros_like(m.x[0])
    runs = contenders(m, reference)
    found = np.asarray(runs["ours"]())
    scores = jax.jit(jax.vmap(m.score))
    change = np.asarray(scores(m.x, m.labels) - scores(jnp.zeros_like(m.x), m.labels))
    as_is = outcome(m, by_captum(m, m.twin))
    run = by_captum(m, helped(m.twin))
    theirs = outcome(m, run)
    if not isinstance(theirs, Exception):
        runs["captum"] = run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = take_turns(runs, effort)
    ours = times["ours"].median
    yield (
        m.title,
        *(milliseconds(times[name]) for name in ("gradient", "with forward", "ours")),
        f"**{ratio(ours, times['gradient'].median)}**",
        ratio(ours, times["with forward"].median),
        share(missed(m, found, change)),
        *_captum_cells(m, ours, times.get("captum"), found, theirs, as_is, change),
    )


def _captum_cells(
    m: Model, ours: float, time: Any, found: np.ndarray, theirs: Any, as_is: Any, change: np.ndarray
) -> Row:
    plain = _raised(as_is) if isinstance(as_is, Exception) else difference(found, as_is)
    if isinstance(theirs, Exception):
        return (_raised(theirs), "–", "–", "–", plain)
    return (
        milliseconds(time),
        f"**{ratio(ours, time.median)}**",
        share(missed(m, theirs, change)),
        difference(found, theirs),
        plain,
    )


def _raised(error: Exception) -> str:
    return f"raises {type(error).__name__}"


SIZES = (1, 8, 32)

TOPIC = Topic(
    name="deeplift",
    title="DeepLIFT against one gradient, and against Captum",
    about=(
        "Milliseconds for a batch: the compiled `jax.grad`, the same with one more forward pass "
        "(the least that DeepLIFT can be), `jaxplain.deeplift` from one reference of zeros, and "
        "Captum's `DeepLift` on the same weights. Sums miss: how much of f(x) - f(reference) the "
        "contributions do not add up to. Captum is helped: its network has a module for each ReLU, "
        "and a copy between a ReLU and a max pooling. The last two columns say how far it is from "
        "ours with that help, and as the network is. Wrong even then: max poolings that overlap "
        "(SqueezeNet) and ReLU6 (EfficientNet). Ratios below 1: ours is faster."
    ),
    columns=(
        "model, batch",
        "gradient",
        "gradient + forward",
        "jaxplain",
        "per gradient",
        "per gradient + forward",
        "sums miss",
        "Captum",
        "per Captum",
        "its sums miss",
        "its difference",
        "as it is",
    ),
    subjects=(
        *(f"{name} of {size}" for name in ("MLP", "CNN", "VGG", "ResNet") for size in SIZES),
        "SqueezeNet of 1",
        "SqueezeNet of 8",
        "EfficientNet-Lite0 of 1",
    ),
    measure=measure,
)
