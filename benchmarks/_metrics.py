"""The metrics that are measured: ours, the passes they cannot do without, and those of Quantus."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from torch import nn

from jaxplain import evaluate, features
from jaxplain.evaluate._dataset import call

from ._contest import Size
from ._harness import Run
from ._models import Model, model

EXAMPLES, CLASSES, STEPS = 32, 10, 28
SAMPLES, NEARBY, SEGMENTS = 100, 10, 49

LAYERS = {
    "MLP": ("*/Dense_0/*", "*/Dense_1/*", "*/Dense_2/*"),
    "CNN": ("*/Conv_0/*", "*/Conv_1/*", "*/Dense_0/*", "*/Dense_1/*"),
}
"""The parameters of each layer, from the input to the output."""

PER_LAYER = -1

HIDDEN = {"MLP": "MLP/Dense_0", "CNN": "CNN/Conv_1"}
"""Whose output is the representation."""


@dataclass(frozen=True)
class Subject:
    """A model, its batch, the gradients as explanations that are there before, and an object."""

    model: Model
    relevance: jax.Array
    mask: np.ndarray[Any, Any]

    def score(self, x: Any, k: Any, relevance: Any) -> jax.Array:
        """The logit; `relevance` is what the attribution returns."""
        del relevance
        return self.model.score(x, k)

    def chance(self, x: Any, k: Any, relevance: Any) -> jax.Array:
        """The probability of the class, which is above zero."""
        del relevance
        return jax.nn.softmax(self.outputs(x))[k]

    def right(self, x: Any, k: Any, relevance: Any) -> jax.Array:
        """Whether the class is the one that the model sees."""
        del relevance
        return (jnp.argmax(self.outputs(x)) == k).astype(x.dtype)

    def outputs(self, x: Any) -> jax.Array:
        """All logits."""
        return self.model.apply(self.model.variables, x[None])[0]

    def gradient(self, variables: Any) -> Callable[..., jax.Array]:
        """The gradient of the model with these parameters."""

        def score(x: Any, k: Any) -> jax.Array:
            return self.model.apply(variables, x[None])[0, k]

        def explain(x: Any, k: Any, relevance: Any) -> jax.Array:
            del relevance
            return jax.grad(score)(x, k)

        return explain

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.model.name


def given(x: Any, k: Any, relevance: Any) -> Any:
    """An explanation that was there before."""
    del x, k
    return relevance


@functools.cache
def subject(name: str) -> Subject:
    """The MLP or the CNN with a batch of pictures."""
    m = model("CNN of 32") if name == "CNN" else _of_pictures(model("MLP"))
    relevance = jax.jit(jax.vmap(jax.grad(m.score)))(m.x, m.labels)
    mask = np.zeros((EXAMPLES, 28, 28, 1), bool)
    mask[:, 7:21, 7:21] = True
    return Subject(m, relevance, mask)


def _of_pictures(m: Model) -> Model:
    """The same network, of pictures that it flattens."""
    x = jax.random.normal(jax.random.key(1), (EXAMPLES, 28, 28, 1))

    def apply(variables: Any, x: jax.Array) -> jax.Array:
        return m.apply(variables, x.reshape(len(x), -1))

    labels = jnp.argmax(apply(m.variables, x), axis=-1)
    twin = nn.Sequential(nn.Flatten(), m.twin).eval()
    return replace(m, apply=apply, twin=twin, x=x, labels=labels)


Make = Callable[[Subject, Size], Callable[..., Any]]


@dataclass(frozen=True)
class Case:
    """A metric of ours, and what it is measured against.

    Attributes:
        ours: From a subject and a chunk to the metric of one example.
        forward: How many forward passes it takes of each example at least.
        gradients: How many gradients; for a test of layers, one for each layer and one more.
        quantus: The name of its class in Quantus, if it has one.
        options: The options of that class; those that are functions take the subject.
        data: What the call brings beside: masks of objects, or segments.
    """

    ours: Make
    forward: int = 0
    gradients: int = 0
    quantus: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()


def _alone(metric: Callable[..., Any], **options: Any) -> Make:
    """A metric of explanations that are there before, which needs no chunk."""
    return lambda s, size: metric(s.score, given, **options)


def _forward(metric: Callable[..., Any], **options: Any) -> Make:
    """A metric that asks the model for its score."""
    return lambda s, size: metric(s.score, given, chunk=size, **options)


def _nearby(metric: Callable[..., Any], **options: Any) -> Make:
    """A metric that asks the method at other inputs."""
    return lambda s, size: metric(
        s.score, s.gradient(s.model.variables), samples=NEARBY, chunk=size, **options
    )


def _stable(metric: Callable[..., Any]) -> Make:
    """One that leaves inputs of another class out."""
    return lambda s, size: _nearby(metric, outputs=s.outputs)(s, size)


def _classes(metric: Callable[..., Any]) -> Make:
    def make(s: Subject, size: Size) -> Callable[..., Any]:
        chunk = {} if metric is evaluate.random_logit else {"chunk": size}
        gradient = s.gradient(s.model.variables)
        return metric(s.score, gradient, classes=CLASSES, **chunk)

    return make


def _road(s: Subject, size: Size) -> Callable[..., Any]:
    return evaluate.road(s.right, given, percentages=range(1, 100, 2), chunk=size)


def _irof(s: Subject, size: Size) -> Callable[..., Any]:
    groups = features.patches(s.model.x[0], 4, (0, 1))
    return evaluate.irof(s.chance, given, groups=groups, chunk=size)


def _randomization(s: Subject, size: Size) -> Callable[..., Any]:
    test = evaluate.parameter_randomization(
        s.gradient,
        s.model.variables,
        layers=LAYERS[s.name],
        draw="normal",  # as new as the numbers of Quantus, and not learned ones in another order
        absolute=True,
        chunk=size,
    )
    return functools.partial(test, key=jax.random.key(3))


def _efficient(s: Subject, size: Size) -> Callable[..., Any]:
    test = evaluate.efficient_mprt(s.gradient, s.model.variables, absolute=True)
    return functools.partial(test, key=jax.random.key(3))


def _representation(s: Subject, size: Size) -> Callable[..., Any]:
    metric = evaluate.relative_representation_stability
    return _nearby(metric, outputs=s.outputs, at=HIDDEN[s.name])(s, size)


ROWS: dict[str, Any] = {"along": 0}  # the features are the 28 rows of a picture
STEP = {"features_in_step": STEPS}
PATCH = {"patch": 4}
AROUND = {"nr_samples": NEARBY}
NEAR = AROUND | {"lower_bound": 0.02}
SIZES_N = (1, 40, 200, 600)

CASES: dict[str, Case] = {
    "pixel_flipping": Case(
        _forward(evaluate.pixel_flipping, steps=STEPS), STEPS + 1, 0, "PixelFlipping", STEP
    ),
    "abpc": Case(_forward(evaluate.abpc, steps=STEPS), 2 * (STEPS + 1)),
    "monotonicity": Case(
        _forward(evaluate.monotonicity, steps=STEPS), STEPS + 1, 0, "Monotonicity", STEP
    ),
    "region_perturbation": Case(
        _forward(evaluate.region_perturbation, regions=20, removal=None, **PATCH),
        21,
        0,
        "RegionPerturbation",
        {"patch_size": 4, "regions_evaluation": 20},
    ),
    "selectivity": Case(
        _forward(evaluate.selectivity, **PATCH), 50, 0, "Selectivity", {"patch_size": 4}
    ),
    "irof": Case(_irof, SEGMENTS + 1, 0, "IROF"),
    "road": Case(_road, 50, 0, "ROAD"),
    "faithfulness_correlation": Case(
        _forward(evaluate.faithfulness_correlation, subset=224, samples=SAMPLES),
        SAMPLES,
        0,
        "FaithfulnessCorrelation",
        {"nr_runs": SAMPLES},
    ),
    "faithfulness_estimate": Case(
        _forward(evaluate.faithfulness_estimate, **ROWS), STEPS, 0, "FaithfulnessEstimate", STEP
    ),
    "monotonicity_correlation": Case(
        _forward(evaluate.monotonicity_correlation, samples=NEARBY, **ROWS),
        NEARBY * STEPS + 1,
        0,
        "MonotonicityCorrelation",
        STEP | AROUND,
    ),
    "sensitivity_n": Case(
        _forward(evaluate.sensitivity_n, sizes=SIZES_N, samples=7), 28, 0, "SensitivityN", STEP
    ),
    "infidelity": Case(
        _forward(
            evaluate.infidelity, perturbation=evaluate.square_perturbation(4), samples=SAMPLES
        ),
        SAMPLES + 1,
        0,
        "Infidelity",
        {"perturb_patch_sizes": [4], "n_perturb_samples": 2},
    ),
    "comprehensiveness": Case(_forward(evaluate.comprehensiveness), 6),
    "sensitivity_a": Case(_forward(evaluate.sensitivity_a, **ROWS), STEPS + 1),
    "non_sensitivity": Case(_forward(evaluate.non_sensitivity, **ROWS), STEPS + 1),
    "max_sensitivity": Case(
        _nearby(evaluate.max_sensitivity), 0, NEARBY + 1, "MaxSensitivity", NEAR
    ),
    "avg_sensitivity": Case(
        _nearby(evaluate.avg_sensitivity), 0, NEARBY + 1, "AvgSensitivity", NEAR
    ),
    "local_lipschitz": Case(
        _nearby(evaluate.local_lipschitz), 0, NEARBY + 1, "LocalLipschitzEstimate", AROUND
    ),
    "continuity": Case(
        lambda s, size: evaluate.continuity(
            s.score, s.gradient(s.model.variables), shifts=5, chunk=size
        ),
        0,
        11,
        "Continuity",
        {"nr_steps": 11},
    ),
    "relative_input_stability": Case(
        _stable(evaluate.relative_input_stability),
        0,
        NEARBY + 1,
        "RelativeInputStability",
        AROUND,
    ),
    "relative_output_stability": Case(
        _stable(evaluate.relative_output_stability),
        0,
        NEARBY + 1,
        "RelativeOutputStability",
        AROUND,
    ),
    "relative_representation_stability": Case(
        _representation,
        0,
        NEARBY + 1,
        "RelativeRepresentationStability",
        AROUND | {"layer_indices": [0]},
    ),
    "random_logit": Case(
        _classes(evaluate.random_logit), 0, 2, "RandomLogit", {"num_classes": CLASSES}
    ),
    "class_sensitivity": Case(_classes(evaluate.class_sensitivity), 0, CLASSES),
    "parameter_randomization": Case(_randomization, 0, PER_LAYER, "MPRT"),
    "efficient_mprt": Case(_efficient, 0, 2, "EfficientMPRT", {"abs": True}),
    "complexity": Case(_alone(evaluate.complexity), quantus="Complexity"),
    "sparseness": Case(_alone(evaluate.sparseness), quantus="Sparseness"),
    "pointing_game": Case(_alone(evaluate.pointing_game), quantus="PointingGame", data=("mask",)),
    "relevance_mass_accuracy": Case(
        _alone(evaluate.relevance_mass_accuracy), quantus="RelevanceMassAccuracy", data=("mask",)
    ),
    "relevance_rank_accuracy": Case(
        _alone(evaluate.relevance_rank_accuracy), quantus="RelevanceRankAccuracy", data=("mask",)
    ),
    "top_k_intersection": Case(
        _alone(evaluate.top_k_intersection, k=100),
        quantus="TopKIntersection",
        options={"k": 100},
        data=("mask",),
    ),
    "localization_auc": Case(_alone(evaluate.localization_auc), quantus="AUC", data=("mask",)),
    "attribution_localization": Case(
        _alone(evaluate.attribution_localization),
        quantus="AttributionLocalisation",
        data=("mask",),
    ),
}


def passes(case: Case, s: Subject) -> tuple[int, int]:
    """The forward passes and the gradients of each example."""
    gradients = 1 + len(LAYERS[s.name]) if case.gradients == PER_LAYER else case.gradients
    return case.forward, gradients


def ours(case: Case, s: Subject, size: Size) -> Run:
    """The compiled metric of a batch."""
    metric = case.ours(s, size)
    data = {"mask": jnp.asarray(s.mask)} if "mask" in case.data else {}

    def of_example(args: Any, data: Any, key: jax.Array) -> Any:
        return call(metric, args, data, key)

    arguments = (
        (s.model.x, s.model.labels, s.relevance),
        data,
        jax.random.split(jax.random.key(2), EXAMPLES),
    )
    return functools.partial(jax.jit(jax.vmap(of_example)).lower(*arguments).compile(), *arguments)
