"""Robustness, complexity and localisation side by side with Quantus, on the same explanations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zennit_import import import_zennit

from jaxplain.evaluate._complexity import complexity, sparseness
from jaxplain.evaluate._consistency import consistency
from jaxplain.evaluate._continuity import continuity
from jaxplain.evaluate._focus import focus, mosaic
from jaxplain.evaluate._mass import attribution_localization, relevance_mass_accuracy
from jaxplain.evaluate._roc import localization_auc
from jaxplain.evaluate._sensitivity import avg_sensitivity, local_lipschitz, max_sensitivity
from jaxplain.evaluate._stability import (
    relative_input_stability,
    relative_output_stability,
    relative_representation_stability,
)
from jaxplain.evaluate._top import pointing_game, relevance_rank_accuracy, top_k_intersection

Array = np.ndarray
generator = np.random.default_rng(2)
XS = generator.normal(size=(3, 2, 6, 6))  # Quantus wants channels first
MASKS = generator.random((3, 1, 6, 6)) < 0.4
WEIGHTS = generator.normal(size=(4, 72)) / 8
KEY, SAMPLES = jax.random.key(5), 6


@pytest.fixture(scope="module")
def quantus() -> Any:
    import_zennit()  # Quantus imports it, and that fails beside some versions of torchvision
    return pytest.importorskip("quantus", reason="pip install quantus")


def made(quantus: Any, name: str, **options: Any) -> Any:
    quiet = {"disable_warnings": True, "abs": False, "normalise": False}
    return getattr(quantus, name)(**quiet, **options)


def logits(x: Any) -> Any:
    """Of always the same class: where it changes, Quantus says NaN and ours takes the rest."""
    with jax.named_scope("hidden"):
        h = jnp.tanh(jnp.asarray(WEIGHTS, x.dtype) @ x.ravel())
    return h + jnp.array([0.0, 3.0, 0.0, 0.0])


def f(x: Any) -> Any:
    return logits(x)[1]


def itself(x: Any) -> Any:
    return x


explained = jax.jit(jax.vmap(jax.grad(f)))


# -------------------------------------------------------------- explanations alone, and masks

# Quantus hides a zero behind 1e-7 in the Gini index.
ALONE: dict[str, tuple[Callable[..., Any], float]] = {
    "Sparseness": (sparseness, 1e-5),
    "Complexity": (complexity, 1e-9),
}
MASKED: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "PointingGame": (pointing_game, {}),
    "RelevanceMassAccuracy": (relevance_mass_accuracy, {}),
    "RelevanceRankAccuracy": (relevance_rank_accuracy, {}),
    "TopKIntersection": (functools.partial(top_k_intersection, k=20), {"k": 20}),
    "AUC": (localization_auc, {}),
    "AttributionLocalisation": (attribution_localization, {"positive_attributions": True}),
}


@pytest.mark.parametrize("name", ALONE)
def test_complexity(quantus: Any, name: str) -> None:
    metric, tolerance = ALONE[name]
    theirs = made(quantus, name).evaluate_batch(x_batch=XS, a_batch=np.abs(XS))
    ours = jax.jit(jax.vmap(metric(f, itself)))(XS)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance)


@pytest.mark.parametrize("name", MASKED)
def test_localisation(quantus: Any, name: str) -> None:
    metric, options = MASKED[name]
    masks, maps = np.broadcast_to(MASKS, XS.shape), np.abs(XS)
    given = {"x_batch": XS, "a_batch": maps.copy(), "s_batch": masks}
    theirs = made(quantus, name, **options).evaluate_batch(**given)
    ours = jax.jit(jax.vmap(metric(f, itself)))(maps, mask=MASKS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_influence_of_the_size(quantus: Any) -> None:
    options = {"k": 20, "concept_influence": True}
    given = {"a_batch": XS.copy(), "s_batch": np.broadcast_to(MASKS, XS.shape)}
    theirs = made(quantus, "TopKIntersection", **options).evaluate_batch(x_batch=XS, **given)
    ours = jax.jit(jax.vmap(top_k_intersection(f, itself, k=20, influence=True)))(XS, mask=MASKS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_focus(quantus: Any) -> None:
    pictures, same = np.moveaxis(generator.normal(size=(4, 2, 3, 3)), 1, -1), [True, False] * 2
    x, mask = mosaic(pictures, np.array(same))
    given = {"a_batch": np.moveaxis(np.asarray(x), -1, 0)[None], "c_batch": np.array([same])}
    theirs = made(quantus, "Focus").evaluate_batch(**given)
    np.testing.assert_allclose(jax.jit(focus(f, itself))(x, mask=mask), theirs[0], rtol=1e-8)


def test_consistency(quantus: Any) -> None:
    maps = generator.normal(size=(20, 2))
    labels = generator.integers(0, 2, size=20)
    metric = made(quantus, "Consistency", discretise_func=lambda a: hash(bytes(np.sign(a))))
    codes = np.array([metric.discretise_func(a) for a in maps])
    given = {"a_label_batch": codes, "y_pred_classes": labels, "i_batch": np.arange(20)}
    theirs = metric.evaluate_batch(a_batch=maps, **given)
    ours = jax.jit(functools.partial(consistency, discretize=jnp.sign))(maps, labels)
    np.testing.assert_allclose(ours.shares, theirs, rtol=1e-8)


# -------------------------------------------------------------------------- inputs nearby


def keys() -> jax.Array:
    return jax.random.split(KEY, len(XS))


def noisy(step: int) -> Array:
    """Sample `step` of each example, as ours draws it."""

    def one(x: Any, key: Any) -> Any:
        return x + 0.2 * jax.random.uniform(jax.random.fold_in(key, step), x.shape, minval=-1)

    return np.asarray(jax.vmap(one)(jnp.asarray(XS), keys()))


class Model:
    """As much of a model as Quantus asks for."""

    def predict(self, x: Array) -> Array:
        return np.asarray(jax.jit(jax.vmap(logits))(x))

    def get_hidden_representations(self, x: Array, *_: Any) -> Array:
        return np.asarray(self.predict(x) - np.array([0.0, 3.0, 0.0, 0.0]))

    def shape_input(self, x: Array, *_: Any, **__: Any) -> Array:
        return x


def theirs(quantus: Any, name: str, **options: Any) -> Array:
    """A metric of robustness of Quantus on our samples."""
    metric = made(quantus, name, **options)
    steps = iter(range(SAMPLES))
    metric.perturb_func = lambda arr, indices: noisy(next(steps)).reshape(arr.shape)
    metric.explain_batch = lambda model, x, y: np.asarray(explained(x))
    given = {"x_batch": XS, "y_batch": np.ones(3, int), "a_batch": np.asarray(explained(XS))}
    return np.asarray(metric.evaluate_batch(model=Model(), **given))


NEAR: dict[str, Any] = {"radius": 0.2, "samples": SAMPLES}
NEARBY: dict[str, Callable[..., Any]] = {
    "MaxSensitivity": max_sensitivity,
    "AvgSensitivity": avg_sensitivity,
    "LocalLipschitzEstimate": local_lipschitz,
    "RelativeInputStability": functools.partial(relative_input_stability, outputs=logits),
    "RelativeOutputStability": functools.partial(relative_output_stability, outputs=logits),
    "RelativeRepresentationStability": functools.partial(
        relative_representation_stability, at="hidden"
    ),
}


@pytest.mark.parametrize("name", NEARBY)
def test_robustness(quantus: Any, name: str) -> None:
    ours = jax.jit(jax.vmap(NEARBY[name](f, jax.grad(f), **NEAR)))(XS, key=keys())
    expected = theirs(quantus, name, nr_samples=SAMPLES)
    np.testing.assert_allclose(ours, expected, rtol=1e-7)


def test_continuity(quantus: Any) -> None:
    """Eleven steps of one pixel; Quantus fills with the least value of a picture, here 0."""
    xs = XS - XS.min(axis=(1, 2, 3), keepdims=True)
    metric = made(quantus, "Continuity", nr_steps=11)
    metric.explain_batch = lambda model, x, y: np.asarray(explained(x))
    expected = metric.evaluate_batch(Model(), xs, np.ones(3, int))
    ours = jax.jit(jax.vmap(continuity(f, jax.grad(f), shifts=5, axis=-1)))(xs)
    np.testing.assert_allclose(ours, expected, rtol=1e-7)
