"""Side by side with Captum's LRP, where its rules are the same as here.

Captum runs the network with changed weights, each layer on the activations of the original one,
and differentiates: relevance is input times gradient over the layer's output, stabilised by 1e-9.
It agrees as follows.

- Epsilon: everywhere. Its max pooling is an epsilon rule as well: 1e-9 is all that differs.
  A batch normalisation is a layer of its own there and part of its convolution here: one more
  epsilon, between the two. They agree for tiny ones, and are far apart for one of 0.1.
- Gamma: only the weights are raised, the bias stays as it is, and a negative output is treated as
  a positive one. So it agrees on networks of ReLU without biases, for inputs that are not
  negative and scores that are positive.
- Alpha1-beta0: only the weights are clamped, the bias stays and negative inputs take part. The
  rule here is z+, and they agree without biases, for inputs that are not negative.

Its stabiliser is 1e-9 in the last two rules and 1e-6 here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

REASON = 'needs the peers extra: "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.attr", reason=REASON)
captum_rules = pytest.importorskip("captum.attr._utils.lrp_rules", reason=REASON)

import twins  # noqa: E402
from twins import Pair, relative_error  # noqa: E402

import jaxplain  # noqa: E402

LABELS = np.array([2, 4])  # of the two images
WEIGHTED = (torch.nn.Conv2d, torch.nn.Linear)


def theirs(pair: Pair, rule: Callable[[], Any]) -> np.ndarray:
    """Captum removes the rules from the layers after every call."""
    for layer in pair.module.modules():
        if isinstance(layer, WEIGHTED):
            layer.rule = rule()
    explain = captum.LRP(pair.module)
    return pair.from_torch(explain.attribute(pair.to_torch(), target=LABELS.tolist()))


def ours(pair: Pair, rule: Any) -> Any:
    explain = jaxplain.lrp(jaxplain.select(pair.logits), rule)
    return jax.jit(jax.vmap(explain))(pair.images, LABELS)


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_epsilon(epsilon: float) -> None:
    """The bias keeps its share on both sides, and relevance starts as the score."""
    pair = twins.pair(twins.vgg)
    expected = theirs(pair, lambda: captum_rules.EpsilonRule(epsilon))
    assert relative_error(ours(pair, jaxplain.rules.Epsilon(epsilon)), expected) < 1e-6


def test_epsilon_with_batch_normalisations() -> None:
    pair = twins.pair(twins.vgg_with_norms)
    expected = theirs(pair, lambda: captum_rules.EpsilonRule(1e-9))
    assert relative_error(ours(pair, jaxplain.rules.Epsilon(1e-9)), expected) < 1e-5


def test_gamma() -> None:
    pair = twins.pair(twins.vgg_without_biases)
    expected = theirs(pair, lambda: captum_rules.GammaRule(0.25))
    assert relative_error(ours(pair, jaxplain.rules.Gamma(0.25)), expected) < 2e-5


def test_alpha1_beta0() -> None:
    pair = twins.pair(twins.vgg_without_biases)
    expected = theirs(pair, captum_rules.Alpha1_Beta0_Rule)
    assert relative_error(ours(pair, jaxplain.rules.ZPlus()), expected) < 2e-5


MODIFIED = pytest.mark.filterwarnings(
    "ignore:Setting backward hooks on ReLU activations:UserWarning"  # Captum says so every time
)


@MODIFIED
@pytest.mark.parametrize(
    ("theirs_name", "ours_name"),
    [("GuidedBackprop", "guided_backprop"), ("Deconvolution", "deconvnet")],
)
@pytest.mark.parametrize(
    "make", [twins.vgg, twins.vgg_with_norms, twins.resnet], ids=lambda make: make.__name__
)
def test_modified_gradients(theirs_name: str, ours_name: str, make: Callable[[], Pair]) -> None:
    """ReLUs are modules of these networks: functional ones Captum leaves as they are, silently."""
    pair = twins.pair(make)
    there = getattr(captum, theirs_name)(pair.module)
    expected = pair.from_torch(there.attribute(pair.to_torch(), target=LABELS.tolist()))
    explain = getattr(jaxplain, ours_name)(jaxplain.select(pair.logits))
    found = jax.jit(jax.vmap(explain))(pair.images, LABELS)
    assert relative_error(found, expected) < 1e-9
