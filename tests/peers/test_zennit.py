"""Side by side with zennit: the same networks and weights, every one of its LRP composites.

What its composites do, which the presets here repeat:

- s(z) = z + 1e-6 sgn(z), sgn(0) = 1, is the denominator of every rule, also of sums and means:
  a residual sum and a mean pooling share out by epsilon, the mean by its value and not by its sum;
- an activation passes relevance on, a max pooling gives it to the first of the largest inputs;
- convolutions (1x1 ones too) and dense layers are told apart: epsilon is for the dense ones;
- the bias keeps its share, clamped like the weights; flat leaves it out and counts only those
  inputs of a convolution that are no padding; in the box rule it cancels;
- "first" is the first module in the order of definition, in these networks the first one computed.

Batch normalisation is merged into the convolution before it, here by `SequentialMergeBatchNorm`
and in jaxplain always. Without that step zennit passes relevance through it unchanged, but takes
the convolution's own weights: another explanation, and not one that is compared here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the peers extra: "jaxplain[peers]"')

import twins  # noqa: E402
from twins import Pair, relative_error, zennit  # noqa: E402

import jaxplain  # noqa: E402

LABELS = np.array([2, 3])  # of the two images; every network has a negative score
PAIRS = [twins.vgg, twins.vgg_with_norms, twins.resnet]
Make = Callable[[], Pair]

with_every_pair = pytest.mark.parametrize("make", PAIRS, ids=lambda make: make.__name__)


# -------------------------------------------------------------------------------------- both sides


def attribute(pair: Pair, composite: Any, *, seed: str) -> np.ndarray:
    """zennit's relevance of one logit, which starts as the logit itself or as one."""
    x = pair.to_torch()
    with composite.context(pair.module) as module:
        logits = module(x)
        start = torch.nn.functional.one_hot(torch.tensor(LABELS), twins.CLASSES).double()
        if seed == "score":
            start = start * logits.detach()
        (relevance,) = torch.autograd.grad(logits, x, grad_outputs=start)
    return pair.from_torch(relevance)


def composite_of(name: str, **options: Any) -> Any:
    merge = zennit.canonizers.SequentialMergeBatchNorm()
    return getattr(zennit.composites, name)(canonizers=[merge], **options)


@functools.cache
def theirs(make: Make, name: str, *, seed: str = "score") -> np.ndarray:
    """A composite with its defaults; the box is that of the images."""
    options = {"low": -2.0, "high": 2.0} if name == "EpsilonGammaBox" else {}
    return attribute(twins.pair(make), composite_of(name, **options), seed=seed)


def ours(make: Make, transform: Callable[[Any], Any]) -> Any:
    pair = twins.pair(make)
    explain = transform(jaxplain.select(pair.logits))
    return jax.jit(jax.vmap(explain))(pair.images, LABELS)


# ----------------------------------------------------------------------------------------- zennit


@with_every_pair
def test_twins_are_one_network(make: Make) -> None:
    pair = twins.pair(make)
    expected = pair.module(pair.to_torch()).detach().numpy()
    found = jax.jit(jax.vmap(pair.logits))(pair.images)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@with_every_pair
def test_merging_keeps_the_network(make: Make) -> None:
    """True because of a tiny eps: zennit's merged normalisations divide by sqrt(1 + eps)."""
    pair = twins.pair(make)
    plain = pair.module(pair.to_torch()).detach().numpy()
    with composite_of("EpsilonPlus").context(pair.module) as module:
        merged = module(pair.to_torch()).detach().numpy()
    np.testing.assert_allclose(merged, plain, rtol=1e-10)


@pytest.mark.parametrize(
    "name",
    [
        "EpsilonPlus",
        "EpsilonPlusFlat",
        "EpsilonAlpha2Beta1",
        "EpsilonAlpha2Beta1Flat",
        "EpsilonGammaBox",
    ],
)
def test_theirs_conserves_relevance(name: str) -> None:
    """Without biases only the stabiliser absorbs: so the peer does here what its formulas say."""
    pair = twins.pair(twins.vgg_without_biases)
    logits = pair.module(pair.to_torch()).detach().numpy()
    total = theirs(twins.vgg_without_biases, name).sum((1, 2, 3))
    np.testing.assert_allclose(total, logits[np.arange(2), LABELS], rtol=2e-5)


@with_every_pair
def test_their_epsilon_towards_zero(make: Make) -> None:
    """In a network of ReLUs that is the input times the gradient: the pairs fit end to end."""
    rules, types = zennit.rules, zennit.types
    layers = [((types.AvgPool, zennit.layer.Sum), rules.Norm(1e-12))]
    composite = composite_of(
        "EpsilonPlus", layer_map=[*layers, (types.Linear, rules.Epsilon(1e-12))]
    )
    expected = attribute(twins.pair(make), composite, seed="score")
    found = ours(make, jaxplain.input_x_grad)
    assert relative_error(found, expected) < 1e-8


# ----------------------------------------------------------------------------- relevance of a logit


@with_every_pair
def test_epsilon_plus(make: Make) -> None:
    """The same rules: z+ for convolutions, epsilon for dense layers."""
    found = ours(make, lambda f: jaxplain.lrp(f, jaxplain.rules.epsilon_plus()))
    assert relative_error(found, theirs(make, "EpsilonPlus")) < 1e-5


@with_every_pair
def test_epsilon_plus_flat(make: Make) -> None:
    """The same rules; flat for the first convolution or dense layer, whichever it is."""
    found = ours(make, lambda f: jaxplain.lrp(f, jaxplain.rules.epsilon_plus_flat()))
    assert relative_error(found, theirs(make, "EpsilonPlusFlat")) < 1e-5


@with_every_pair
def test_epsilon_alpha2_beta1(make: Make) -> None:
    """The same rules; each of the two denominators holds the bias's part of its own sign."""
    found = ours(make, lambda f: jaxplain.lrp(f, jaxplain.rules.epsilon_alpha2_beta1()))
    assert relative_error(found, theirs(make, "EpsilonAlpha2Beta1")) < 1e-5


@with_every_pair
def test_epsilon_alpha2_beta1_flat(make: Make) -> None:
    found = ours(make, lambda f: jaxplain.lrp(f, jaxplain.rules.epsilon_alpha2_beta1_flat()))
    assert relative_error(found, theirs(make, "EpsilonAlpha2Beta1Flat")) < 1e-5


@with_every_pair
def test_epsilon_gamma_box(make: Make) -> None:
    """The same rules: gamma's generalised form, 0.25, and the box for the first convolution."""
    found = ours(make, lambda f: jaxplain.lrp(f, jaxplain.rules.epsilon_gamma_box(-2.0, 2.0)))
    assert relative_error(found, theirs(make, "EpsilonGammaBox")) < 1e-5


def test_a_box_with_bounds_of_each_pixel() -> None:
    """Arrays of the image's shape, theirs with a batch axis and channels first."""
    pair, rng = twins.pair(twins.vgg), np.random.default_rng(2)
    low, high = (s * rng.uniform(2, 3, size=pair.images.shape[1:]) for s in (-1, 1))
    bounds = [torch.tensor(np.transpose(b, (2, 0, 1)))[None] for b in (low, high)]
    composite = composite_of("EpsilonGammaBox", low=bounds[0], high=bounds[1])
    expected = attribute(pair, composite, seed="score")
    preset = jaxplain.rules.epsilon_gamma_box(low, high)
    found = ours(twins.vgg, lambda f: jaxplain.lrp(f, preset))
    assert relative_error(found, expected) < 1e-5


@with_every_pair
def test_excitation_backprop(make: Make) -> None:
    """z+ for all convolutions and dense layers, from a relevance of one on both sides.

    zennit leaves ReLU to its gradient. That is a pass all the same: where ReLU is off, z+ has
    handed no relevance to it.
    """
    preset = jaxplain.rules.excitation_backprop()
    found = ours(make, lambda f: jaxplain.lrp(f, preset, seed="one"))
    assert relative_error(found, theirs(make, "ExcitationBackprop", seed="one")) < 1e-5


# ------------------------------------------------------------------------------ one rule everywhere

# The rule of jaxplain, and zennit's with the options that make it the same.
RULES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "epsilon": (lambda: jaxplain.rules.Epsilon(0.1), lambda: zennit.rules.Epsilon(0.1)),
    "z_plus": (lambda: jaxplain.rules.ZPlus(), lambda: zennit.rules.ZPlus()),
    "alpha_beta": (lambda: jaxplain.rules.AlphaBeta(3, 2), lambda: zennit.rules.AlphaBeta(3, 2)),
    "gamma": (lambda: jaxplain.rules.Gamma(0.5), lambda: zennit.rules.Gamma(0.5)),
    # Here w2 and flat leave the bias out. zennit adds its square, unless it is told to zero it.
    "w_square": (
        lambda: jaxplain.rules.WSquare(),
        lambda: zennit.rules.WSquare(zero_params=["bias"]),
    ),
    "flat": (lambda: jaxplain.rules.Flat(), lambda: zennit.rules.Flat()),
}


def everywhere(rule: Any) -> Any:
    """A composite of one rule for all layers with weights."""
    base = zennit.composites.layer_map_base()
    merge = zennit.canonizers.SequentialMergeBatchNorm()
    layers = [*base, (zennit.types.Linear, rule)]
    return zennit.composites.LayerMapComposite(layers, canonizers=[merge])


@pytest.mark.parametrize("make", PAIRS[:2], ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", RULES)
def test_one_rule_everywhere(name: str, make: Make) -> None:
    """A bare rule is for all layers with weights.

    w2 and flat give relevance also to units that are off: ties of zeros reach the max poolings,
    and both sides take the first.
    """
    our_rule, their_rule = RULES[name]
    expected = attribute(twins.pair(make), everywhere(their_rule()), seed="score")
    found = ours(make, lambda f: jaxplain.lrp(f, our_rule()))
    assert relative_error(found, expected) < 1e-5


# ------------------------------------------------------------------------------- modified gradients


@with_every_pair
def test_guided_backprop(make: Make) -> None:
    """Both start from one: a gradient of the logit."""
    expected = theirs(make, "GuidedBackprop", seed="one")
    assert relative_error(ours(make, jaxplain.guided_backprop), expected) < 1e-5


@with_every_pair
def test_deconvnet(make: Make) -> None:
    """ReLU's own state is ignored: ties of zeros reach the max poolings, where the first wins."""
    expected = theirs(make, "DeconvNet", seed="one")
    assert relative_error(ours(make, jaxplain.deconvnet), expected) < 1e-5
