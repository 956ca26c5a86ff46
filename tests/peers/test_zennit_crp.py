"""Side by side with zennit-crp, and with zennit and a hook of our own.

zennit-crp multiplies the relevance at a module's output by a mask and lets nothing around the
module, as `crp` does. It asks for zennit 0.4.6 or older, but runs beside newer ones: install it
with `pip install --no-deps zennit-crp`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the peers extra: "jaxplain[peers]"')

import twins  # noqa: E402
from twins import Pair, relative_error, zennit  # noqa: E402

from jaxplain import crp, rules, select  # noqa: E402

LABEL = 2
CHANNELS = 6
Make = Callable[[], Pair]

# A network, the module that its relevance is masked at, and what Flax calls its output. Behind a
# convolution with BatchNorm that is the BatchNorm's, which zennit merges into the convolution.
CASES: dict[str, tuple[Make, str, str]] = {
    "dense": (twins.vgg, "hidden", "**/Dense_0"),
    "convolution": (twins.vgg, "features.3", "**/Conv_1"),
    "first": (twins.vgg, "features.0", "**/Conv_0"),
    "norm": (twins.vgg_with_norms, "features.4", "**/BatchNorm_1"),
    "block": (twins.resnet, "blocks.1.relu2", "**/Block_1"),
    "branch": (twins.resnet, "blocks.1.conv1", "**/Block_1/BatchNorm_0"),
    "end of a branch": (twins.resnet, "blocks.0.conv2", "**/Block_0/BatchNorm_1"),
}
PRESETS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "epsilon_plus_flat": ("EpsilonPlusFlat", {}, rules.epsilon_plus_flat()),
    "epsilon_gamma_box": (
        "EpsilonGammaBox",
        {"low": -2.0, "high": 2.0},
        rules.epsilon_gamma_box(-2.0, 2.0),
    ),
}
each_case = pytest.mark.parametrize("case", CASES)
PAIRS = [
    *((case, "epsilon_plus_flat") for case in CASES),
    *((case, "epsilon_gamma_box") for case in ("norm", "branch")),
]


def composite_of(preset: str) -> Any:
    name, options, _ = PRESETS[preset]
    merge = zennit.canonizers.SequentialMergeBatchNorm()
    return getattr(zennit.composites, name)(canonizers=[merge], **options)


@functools.cache
def ours(case: str, preset: str) -> np.ndarray:
    """The relevance through each channel, on a leading axis."""
    make, _, at = CASES[case]
    pair = twins.pair(make)
    f = select(pair.logits)

    def through(c: jax.Array) -> jax.Array:
        return crp(f, PRESETS[preset][2], at=at, channels=c)(pair.images[0], LABEL)

    return np.asarray(jax.jit(jax.vmap(through))(jnp.arange(CHANNELS)))


def one_image(pair: Pair) -> Any:
    return pair.to_torch()[:1].detach().requires_grad_()


@pytest.mark.parametrize(("case", "preset"), PAIRS)
def test_zennit_with_a_mask(case: str, preset: str) -> None:
    """The gradient at the module, which is relevance there, masked; then on from there alone."""
    make, name, _ = CASES[case]
    pair = twins.pair(make)
    x = one_image(pair)
    kept: list[Any] = []
    with composite_of(preset).context(pair.module) as module:
        handle = module.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: kept.append(output)
        )
        logits = module(x)
        handle.remove()
        start = torch.zeros_like(logits)
        start[0, LABEL] = logits[0, LABEL].detach()
        (relevance,) = torch.autograd.grad(logits, kept[0], start, retain_graph=True)
        channels = []
        for c in range(CHANNELS):
            mask = torch.zeros_like(relevance)
            mask[:, c] = 1
            (one,) = torch.autograd.grad(kept[0], x, relevance * mask, retain_graph=True)
            channels.append(pair.from_torch(one)[0])
    # Together: through a channel that is off for this image flows nothing.
    assert relative_error(ours(case, preset)[None], np.stack(channels)[None]) < 1e-9


@each_case
def test_zennit_crp(case: str) -> None:
    attribution = pytest.importorskip(
        "crp.attribution", reason="needs zennit-crp: pip install --no-deps zennit-crp"
    )
    make, name, _ = CASES[case]
    pair = twins.pair(make)
    attribute = attribution.CondAttribution(pair.module, no_param_grad=False)
    composite = composite_of("epsilon_plus_flat")
    for chosen in ([1], [0, 3, 5]):
        x = one_image(pair)
        attribute(x, [{"y": [LABEL], name: chosen}], composite)
        # Relevance is linear in the mask.
        found = ours(case, "epsilon_plus_flat")[chosen].sum(axis=0)
        assert relative_error(found[None], pair.from_torch(x.grad)) < 1e-9
