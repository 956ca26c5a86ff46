"""Layer-wise relevance propagation against its gradient, and against zennit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import torch

import jaxplain
from jaxplain import rules

from ._harness import Effort, check_agreement, take_turns
from ._models import Model, model
from ._report import Row, Topic, milliseconds, ratio
from ._zennit import import_zennit

composites = import_zennit().composites

LOW, HIGH = -5.0, 5.0

# What we call it, ours, and zennit's.
METHODS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any] | None]] = {
    "ε": (lambda f: jaxplain.lrp(f, rules.epsilon()), None),
    "EpsilonPlus": (
        lambda f: jaxplain.lrp(f, rules.epsilon_plus()),
        composites.EpsilonPlus,
    ),
    "EpsilonPlusFlat": (
        lambda f: jaxplain.lrp(f, rules.epsilon_plus_flat()),
        composites.EpsilonPlusFlat,
    ),
    "EpsilonAlpha2Beta1": (
        lambda f: jaxplain.lrp(f, rules.epsilon_alpha2_beta1()),
        composites.EpsilonAlpha2Beta1,
    ),
    "EpsilonGammaBox": (
        lambda f: jaxplain.lrp(f, rules.epsilon_gamma_box(LOW, HIGH)),
        lambda: composites.EpsilonGammaBox(LOW, HIGH),
    ),
    "guided backprop": (jaxplain.guided_backprop, composites.GuidedBackprop),
}


def zennit(m: Model, composite: Any, *, seed_one: bool) -> Callable[[], torch.Tensor]:
    """One explanation of the batch; the composite stays registered, as its users can have it."""
    composite.register(m.twin)
    rows = torch.arange(len(m.target))

    def explain() -> torch.Tensor:
        x = m.inputs.detach().requires_grad_()
        logits = m.twin(x)
        chosen = logits[rows, m.target]
        seed = torch.zeros_like(logits)
        seed[rows, m.target] = 1.0 if seed_one else chosen.detach()
        (relevance,) = torch.autograd.grad(logits, x, seed)
        return relevance

    return explain


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Each method beside the compiled gradient, and beside zennit where it has the method."""
    m = model(name)
    gradient = jax.jit(jax.vmap(jax.grad(m.score))).lower(m.x, m.labels).compile()
    methods = dict(list(METHODS.items())[1:2]) if effort.quick else METHODS
    for method, (make, peer) in methods.items():
        ours = jax.jit(jax.vmap(make(m.score))).lower(m.x, m.labels).compile()
        runs = {
            "gradient": functools.partial(gradient, m.x, m.labels),
            "ours": functools.partial(ours, m.x, m.labels),
        }
        difference = "–"
        composite = peer() if peer else None
        if composite is not None:
            runs["zennit"] = zennit(m, composite, seed_one=method == "guided backprop")
            found = check_agreement(
                ours(m.x, m.labels), m.from_twin(runs["zennit"]()), tolerance=1e-3
            )
            difference = f"{found:.0e}"
        try:
            times = take_turns(runs, effort)
        finally:
            if composite is not None:
                composite.remove()
        yield (
            f"{m.title}, {method}",
            milliseconds(times["gradient"]),
            milliseconds(times["ours"]),
            f"**{ratio(times['ours'].median, times['gradient'].median)}**",
            milliseconds(times["zennit"]) if peer else "–",
            f"**{ratio(times['ours'].median, times['zennit'].median)}**" if peer else "–",
            difference,
        )


TOPIC = Topic(
    name="relevance",
    title="Relevance propagation against one gradient, and against zennit",
    about=(
        "Milliseconds for a batch: the compiled `jax.grad`, `jaxplain.lrp` with a preset (or "
        "`guided_backprop`), and zennit's composite of that name, registered once, on the same "
        "weights. The CNN is a usual one for MNIST; the VGG has six convolutions, three poolings "
        "and two dense layers on pictures of 32 x 32. Ratios below 1: ours is faster."
    ),
    columns=(
        "model, batch, method",
        "gradient",
        "jaxplain",
        "per gradient",
        "zennit",
        "per zennit",
        "difference",
    ),
    subjects=("CNN of 1", "VGG of 1", "CNN of 32", "VGG of 32"),
    measure=measure,
)
