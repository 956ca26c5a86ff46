"""Relevance is neither lost nor made: on every network of the zoo, under the presets."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import rules

from models import TWINS, ZOO, Model

pytestmark = pytest.mark.thorough

PRESETS = {
    "epsilon": rules.epsilon(),
    "epsilon_plus_flat": rules.epsilon_plus_flat(),
    "epsilon_alpha2_beta1": rules.epsilon_alpha2_beta1(),
    "epsilon_gamma_box": rules.epsilon_gamma_box(-4.0, 4.0),
    "excitation_backprop": rules.excitation_backprop(),
    "deep_taylor": rules.deep_taylor(),
    "attn_lrp": rules.attn_lrp(),
    "cp_lrp": rules.cp_lrp(),
}
# Tracing and compiling a preset takes a second or more. These two have rules of every sort: signed,
# positive and flat ones, constant attention and gates. All the others run on models that between
# them have every kind of site.
EVERYWHERE = ("epsilon_plus_flat", "cp_lrp")
FOR_TWINS = ("epsilon",)
WITH_ALL_PRESETS = ("mlp_nnx", "resnet_basic", "unet", "bert", "llama", "gru", "mixture_of_experts")
LINEAR = ("DENSE", "CONV", "SUM", "SCALE", "SHIFT", "ADD")


class Explained(NamedTuple):
    """Relevance and ledger of one model under one preset."""

    relevance: Any
    ledger: jaxplain.Ledger

    @property
    def size(self) -> float:
        """The sum of absolute relevance, of the inputs or at the site where it is largest.

        Each sum in the ledger is rounded in proportion to its absolute terms. Where signed
        contributions cancel on the way, relevance inside is larger than at either end.
        """
        leaves = [np.sum(np.abs(leaf)) for leaf in jax.tree.leaves(self.relevance)]
        return float(max(np.max(self.ledger.size), sum(leaves)))


def presets_of(model: Model) -> tuple[str, ...]:
    if model.name in WITH_ALL_PRESETS:
        return tuple(PRESETS)
    twins = {twin.name for pair in TWINS for twin in pair}
    return (*EVERYWHERE, *FOR_TWINS) if model.name in twins else EVERYWHERE


@functools.cache
def explained(model: Model) -> dict[str, Explained]:
    """Explanations of the highest logit: a score far from zero, as one would explain.

    All presets are compiled together, which shares the forward pass among them.
    """
    f, x = model.make(jnp.float32)

    @jax.jit
    def run(x: Any) -> Any:
        # The class is a number of the call: which one is highest does not depend on rounding.
        k = jnp.argmax(f(x))
        score = jaxplain.select(f)
        return {
            name: jaxplain.lrp(score, PRESETS[name], info=True)(x, k) for name in presets_of(model)
        }

    found = jax.tree.map(np.asarray, run(x))
    return {name: Explained(relevance, info.ledger) for name, (relevance, info) in found.items()}


@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_the_ledger_closes(model: Model) -> None:
    for name, found in explained(model).items():
        ledger = found.ledger
        chex.assert_tree_all_finite(found.relevance)
        assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(found.relevance)), name
        assert np.abs(ledger.residual) <= 1e-5 * found.size, name
        for i, row in enumerate(ledger.rows):
            if row.kind in LINEAR:
                # What a linear site takes goes to inputs, additive terms and the stabiliser.
                assert np.abs(ledger.rule[i]) <= 1e-5 * ledger.size[i], (name, row)


# Without additive parameters these conserve all. Of the others, softmax absorbs by its expansion
# (all transformers), `1 - z` and `x + 1e-3` add constants (gru, raw, the position biases of t5),
# and half of a gate's relevance goes to a branch of zeros that has nobody to hand it on to
# (mobilenet_v3). Products, normalisation and tanh conserve like everything linear.
CONSERVING = (
    "mlp",
    "mlp_nnx",
    "mlp_mixer",
    "graph",
    "deep_sets",
    "siamese",
    "lenet",
    "vgg",
    "vgg_batchnorm",
    "resnet_basic",
    "resnet_bottleneck",
    "densenet",
    "squeezenet",
    "inception",
    "mobilenet_v2",
    "efficientnet",
    "unet",
    "convnext",
    "wavenet",
    "groupnorm",
    "mamba",
    "lstm",
)


@pytest.mark.parametrize(
    "model", [model for model in ZOO if model.name in CONSERVING], ids=lambda model: model.name
)
def test_nothing_is_absorbed_where_nothing_can_be(model: Model) -> None:
    f, x = model.make(jnp.float32, bias=False)

    @jax.jit
    def run(x: Any) -> Any:
        k = jnp.argmax(f(x))
        return jaxplain.lrp(jaxplain.select(f), rules.epsilon(1e-9))(x, k), f(x)[k]

    relevance, score = jax.tree.map(np.asarray, run(x))
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(relevance)]
    total, size = sum(map(np.sum, leaves)), sum(np.sum(np.abs(leaf)) for leaf in leaves)
    assert np.abs(total - score) <= 1e-5 * size
    assert size > 1e-2


@pytest.mark.parametrize("pair", TWINS, ids=lambda pair: f"{pair[0].name}-{pair[1].name}")
def test_twins_get_the_same_relevance(pair: tuple[Model, Model]) -> None:
    """Loops, scans over layers and fused attention: one function written in two ways.

    Under presets that do not ask for the first layer: a site inside a scan is one site, the same in
    its first step as in the others.
    """
    for name in ("epsilon", "cp_lrp"):
        left, right = (explained(model)[name].relevance for model in pair)
        # Sums in another order, and small outputs divided by: three of float32's seven digits.
        np.testing.assert_allclose(left, right, atol=1e-4 * np.max(np.abs(left)), err_msg=name)
