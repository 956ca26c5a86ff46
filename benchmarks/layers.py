"""Layer attributions against the same methods at the input, and against Captum."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import captum.attr
import jax
import numpy as np
from torch import Tensor

import jaxplain

from ._contest import TOLERANCE
from ._harness import Effort, Run, check_agreement, take_turns
from ._models import Model, model
from ._report import Row, Topic, milliseconds, ratio

STEPS = 20

Method = Callable[[Any], Any]


class Layer(NamedTuple):
    """A layer by its path, and its place in the twin where that is a chain with this layer."""

    path: str
    step: int | None = None


LAYERS: Mapping[str, tuple[Layer, Layer]] = {
    "CNN": (Layer("CNN/Conv_0", 0), Layer("CNN/Dense_0", 6)),
    "transformer": (Layer("Encoder/EncoderLayer_0"), Layer("Encoder/EncoderLayer_5")),
    "SqueezeNet": (Layer("SqueezeNet/conv1"), Layer("SqueezeNet/fire9")),
}
"""An early and a late layer of each model."""

integrated = functools.partial(jaxplain.integrated_grad, steps=STEPS)

AT_INPUT: Mapping[str, Method] = {
    "integrated_grad": integrated,
    "deeplift": jaxplain.deeplift,
    "lrp": jaxplain.lrp,
}


def at_layer(path: str) -> dict[str, tuple[Method, str]]:
    """The methods at a layer, each with what it is measured against at the input."""
    found = {
        f"layer({name})": (jaxplain.layer(method, at=path), name)
        for name, method in AT_INPUT.items()
    }
    options = {"at": path, "steps": STEPS}
    conductance = functools.partial(jaxplain.conductance, rule="left", **options)
    influence = functools.partial(jaxplain.internal_influence, **options)
    return found | {
        "conductance": (conductance, "integrated_grad"),
        "internal_influence": (influence, "integrated_grad"),
    }


def compiled(m: Model, method: Method) -> Run:
    """The compiled explanation of a model's batch."""
    program = jax.jit(jax.vmap(method(m.score))).lower(m.x, m.labels).compile()
    return functools.partial(program, m.x, m.labels)


def by_captum(m: Model, step: int) -> dict[str, Run]:
    """Captum's methods at a layer of the twin."""
    options = {"target": m.target, "n_steps": STEPS}
    place = m.twin[step]  # type: ignore[index]
    whole = captum.attr.LayerIntegratedGradients(m.twin, place)
    along = captum.attr.LayerConductance(m.twin, place)
    return {
        "layer(integrated_grad)": functools.partial(whole.attribute, m.inputs, **options),
        # Its default nodes leave out both ends of the path.
        "conductance": functools.partial(
            along.attribute, m.inputs, method="riemann_trapezoid", **options
        ),
    }


def difference(m: Model, ours: Run, theirs: Run) -> str:
    """How far apart both are, at most as far as is allowed."""
    result: Tensor = theirs()
    found = np.asarray(ours())[:, 0]  # the layer has the axis that `unbatch` has added
    return f"{check_agreement(found, m.from_twin(result), TOLERANCE):.0e}"


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """All methods at both layers, in turns with those at the input."""
    m = model(name)
    runs = {("", method): compiled(m, make) for method, make in AT_INPUT.items()}
    against: dict[tuple[str, str], str] = {}
    apart: dict[tuple[str, str], str] = {}
    for place in LAYERS[name]:
        for method, (make, base) in at_layer(place.path).items():
            runs[place.path, method] = compiled(m, make)
            against[place.path, method] = base
        if place.step is None:
            continue
        for method, run in by_captum(m, place.step).items():
            apart[place.path, method] = difference(m, runs[place.path, method], run)
            runs[place.path, f"Captum {method}"] = run
    times = take_turns(runs, effort)
    for (path, method), base in against.items():
        ours, there = times[path, method], times["", base]
        theirs = times.get((path, f"Captum {method}"))
        yield (
            m.title,
            path,
            method,
            milliseconds(there),
            milliseconds(ours),
            f"**{ratio(ours.median, there.median)}**",
            "–" if theirs is None else milliseconds(theirs),
            "–" if theirs is None else ratio(ours.median, theirs.median),
            apart.get((path, method), "–"),
        )


TOPIC = Topic(
    name="layers",
    title="Attributions of layers, against the same at the input and against Captum",
    about=(
        "Milliseconds for a batch, medians with their quartiles, taken in turns. A layer's "
        "attribution explains what follows from the layer; it is measured against the same method "
        f"at the input, conductance and internal influence against integrated gradients: {STEPS} "
        "steps, all at once (conductance has a gradient more, and keeps the layer's values). "
        "Captum's `LayerIntegratedGradients` and `LayerConductance` do the same with the same "
        f"weights; both agree to {TOLERANCE:.0%} before they are timed. Ratios below 1: the layer "
        "costs less than the input, and ours less than theirs."
    ),
    columns=(
        "model, batch",
        "layer",
        "method",
        "at the input, ms",
        "at the layer, ms",
        "**ratio**",
        "Captum, ms",
        "per Captum",
        "difference",
    ),
    subjects=tuple(LAYERS),
    measure=measure,
)
