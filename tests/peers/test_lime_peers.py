"""Side by side with lime and Captum, on the samples that they draw."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import lime_settings, table_statistics
from jaxplain.baselines import segment_mean
from jaxplain.local._kernels import DISTANCES, INPUT_DISTANCES, weigh
from jaxplain.local._model import LocalFit, LocalModel
from jaxplain.local._moments import Design

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'

rng = np.random.default_rng(1)
SEGMENTS = np.arange(64).reshape(8, 8) // 8
PICTURE = rng.random((8, 8, 3))
WEIGHTS = rng.normal(size=(8, 8, 3))


def chances(batch: Any) -> Any:
    """Two classes of pictures, neither of them linear."""
    score = np.tanh(batch * WEIGHTS).sum(axis=(1, 2, 3)) / 4 + batch[:, 0, 0, 0] * batch[:, 7, 7, 0]
    chance = 1 / (1 + np.exp(-score))
    return np.stack([1 - chance, chance], axis=1)


def fitted(rows: Any, scores: Any, width: float, distance: Any, **options: Any) -> LocalFit:
    """Our weights, our choice of features and our fit, on given samples."""
    settings = {"solver": "ridge", "penalty": None, "selection": "auto", "keep": None} | options

    @jax.jit
    def fit(rows: Any, scores: Any) -> Any:
        measure = DISTANCES[distance] if isinstance(distance, str) else distance
        weights = weigh(jax.vmap(lambda row: measure(row, rows[0]))(rows), "lime", width)
        return LocalModel.checked(**settings).fit(Design.given(rows), scores, weights)

    return fit(jnp.asarray(rows, float), jnp.asarray(scores, float))


def same_as(theirs: Any, ours: LocalFit, label: int = 1) -> None:
    """Coefficients, intercept, prediction and R² of an explanation by lime."""
    expected = np.zeros(len(ours.values))
    for feature, value in theirs.local_exp[label]:
        expected[feature] = value
    np.testing.assert_allclose(ours.values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.intercept, theirs.intercept[label], rtol=1e-6)
    np.testing.assert_allclose(ours.prediction, np.ravel(theirs.local_pred)[0], rtol=1e-6)
    np.testing.assert_allclose(ours.fidelity, theirs.score, rtol=1e-6)


class Recorder:
    """Keeps what a fit of lime is called with."""

    def __init__(self, base: Any) -> None:
        self.call: tuple[Any, ...] = ()
        original = base.explain_instance_with_data

        @functools.wraps(original)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            self.call = args
            return original(*args, **kwargs)

        base.explain_instance_with_data = recorded


SELECTIONS = {
    "none": ("none", 100),
    "forward_selection": ("forward", 3),
    "highest_weights": ("highest_weights", 4),
    "lasso_path": ("lasso_path", 3),
    "auto": ("auto", 7),
}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_image(selection: str) -> None:
    lime_image = pytest.importorskip("lime.lime_image", reason=REASON)
    ours, keep = SELECTIONS[selection]
    explainer = lime_image.LimeImageExplainer(feature_selection=selection, random_state=0)
    recorder, hidden = Recorder(explainer.base), []

    def model(batch: Any) -> Any:
        hidden.append(batch)
        return chances(batch)

    theirs = explainer.explain_instance(
        PICTURE, model, labels=(1,), top_labels=None, num_samples=120, num_features=keep,
        segmentation_fn=lambda image: SEGMENTS,
    )  # fmt: skip
    rows, scores, distances, *_ = recorder.call
    assert rows.shape == (120, 8)
    changed = np.concatenate(hidden)
    means = np.asarray(segment_mean(PICTURE, SEGMENTS[..., None]))
    kept = rows[:, SEGMENTS][..., None] == 1
    np.testing.assert_allclose(changed, np.where(kept, PICTURE, means), rtol=1e-12)
    width = lime_settings("image")["kernel_width"]
    options = {} if ours == "none" else {"keep": keep}
    found = fitted(rows, scores[:, 1], width, "cosine", selection=ours, **options)
    same_as(theirs, found)
    measured = jax.vmap(lambda row: DISTANCES["cosine"](row, jnp.ones(8)))(rows.astype(float))
    np.testing.assert_allclose(measured, distances, atol=1e-12)


def test_text() -> None:
    lime_text = pytest.importorskip("lime.lime_text", reason=REASON)
    effect = {"good": 2.0, "bad": -3.0, "not": -1.0, "film": 0.3, "very": 0.5}

    def model(texts: list[str]) -> Any:
        score = np.array([sum(effect.get(word, 0.0) for word in text.split()) for text in texts])
        negated = np.array(["not" in text and "bad" in text for text in texts])
        chance = 1 / (1 + np.exp(-score - 4 * negated))
        return np.stack([1 - chance, chance], axis=1)

    explainer = lime_text.LimeTextExplainer(random_state=0)
    recorder = Recorder(explainer.base)
    theirs = explainer.explain_instance(
        "this film was not bad at all very good in fact", model, num_features=5, num_samples=300
    )
    rows, scores, distances, *_ = recorder.call
    settings = lime_settings("text")
    assert settings["sampling"] == "sizes" and rows.min(axis=0).max() == 0
    found = fitted(rows, scores[:, 1], settings["kernel_width"], "cosine", keep=5)
    same_as(theirs, found)
    # A hundred times the distance, and of the width.
    measured = jax.vmap(lambda row: DISTANCES["cosine"](row, jnp.ones(rows.shape[1])))(rows)
    np.testing.assert_allclose(100 * measured, distances, atol=1e-9)


TABLE = np.column_stack(
    [rng.normal(size=300), rng.exponential(size=300), rng.integers(0, 3, size=300), rng.random(300)]
)


def table_model(batch: Any) -> Any:
    chance = 1 / (1 + np.exp(-batch[:, 0] - (batch[:, 2] == 1) * batch[:, 1] + batch[:, 3]))
    return np.stack([1 - chance, chance], axis=1)


@pytest.mark.parametrize("discretize", ["quartile", "decile", None])
def test_tabular(discretize: str | None) -> None:
    lime_tabular = pytest.importorskip("lime.lime_tabular", reason=REASON)
    explainer = lime_tabular.LimeTabularExplainer(
        TABLE, categorical_features=[2], discretize_continuous=discretize is not None,
        discretizer=discretize or "quartile", random_state=0,
    )  # fmt: skip
    recorder = Recorder(explainer.base)
    theirs = explainer.explain_instance(TABLE[5], table_model, num_features=10, num_samples=400)
    rows, scores, *_ = recorder.call
    same_as(theirs, fitted(rows, scores[:, 1], 0.75 * 4**0.5, "euclidean", keep=10))

    ours = table_statistics(TABLE, categorical=[2], discretize=discretize)
    for column in range(4):
        if discretize is None and column != 2:
            np.testing.assert_allclose(ours.mean[column], explainer.scaler.mean_[column])
            np.testing.assert_allclose(ours.scale[column], explainer.scaler.scale_[column])
            continue
        shares = explainer.feature_frequencies[column]
        np.testing.assert_allclose(ours.frequencies[column, : len(shares)], shares)
        if column == 2:
            continue
        for part, expected in (
            (ours.low, explainer.discretizer.mins), (ours.high, explainer.discretizer.maxs),
            (ours.means, explainer.discretizer.means),
            (ours.deviations, explainer.discretizer.stds),
        ):  # fmt: skip
            np.testing.assert_allclose(part[column], expected[column], rtol=1e-9)


def test_captum() -> None:
    torch = pytest.importorskip("torch", reason=REASON)
    captum = pytest.importorskip("captum.attr", reason=REASON)
    settings = lime_settings("captum")
    samples, rows, scores, changed = 80, [], [], []

    def forward(batch: Any) -> Any:
        changed.append(batch.numpy().astype(float)[0])
        score = torch.tensor(chances(batch.numpy().astype(float))[:, 1] * 5).float()
        scores.append(float(score[0]))
        return score

    def perturb(original: Any, **kwargs: Any) -> Any:
        row = (rng.random((1, kwargs["num_interp_features"])) < 0.5).astype(int)
        rows.append(row[0])
        return torch.tensor(row)

    x = torch.tensor(PICTURE[None]).float()
    mask = torch.tensor(np.broadcast_to(SEGMENTS[..., None], PICTURE.shape)[None].copy())
    models = pytest.importorskip("captum._utils.models.linear_model", reason=REASON)
    # By default its solver stops at 1e-4.
    solver = models.SkLearnLasso(alpha=settings["penalty"], tol=1e-6)
    theirs = captum.Lime(forward, interpretable_model=solver, perturb_func=perturb).attribute(
        x, feature_mask=mask, n_samples=samples, return_input_shape=False
    )
    # Captum tries the model before, to learn what it returns.
    inputs, scores = np.stack(changed[-samples:]).reshape(samples, -1), np.array(scores[-samples:])

    @jax.jit
    def fit(rows: Any, scores: Any, inputs: Any) -> Any:
        distance = INPUT_DISTANCES[settings["distance"]]
        distances = jax.vmap(lambda row: distance(row, jnp.asarray(PICTURE.ravel())))(inputs)
        weights = weigh(distances, "lime", settings["kernel_width"])
        surrogate = LocalModel.checked(
            settings["solver"], settings["penalty"], settings["selection"], None
        )
        return surrogate.fit(Design.given(rows), scores, weights)

    ours = fit(np.array(rows, float), scores, inputs)
    assert 0 < np.sum(np.asarray(ours.values) != 0) <= len(rows[0])
    np.testing.assert_allclose(ours.values, theirs.numpy()[0], atol=2e-6)
