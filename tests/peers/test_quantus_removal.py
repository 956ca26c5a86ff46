"""Side by side with Quantus: what takes the place of features that are gone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zennit_import import import_zennit

from jaxplain.evaluate._flipping import pixel_flipping
from jaxplain.evaluate._imputation import noisy_linear_imputation
from jaxplain.evaluate._irof import irof
from jaxplain.evaluate._regions import region_perturbation, selectivity
from jaxplain.evaluate._road import road

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
import_zennit()  # Quantus imports it, and with it torchvision
quantus = pytest.importorskip("quantus", reason=REASON)

rng = np.random.default_rng(2)
PICTURES = rng.normal(size=(3, 1, 10, 10)).astype(np.float32)
RELEVANCES = rng.normal(size=PICTURES.shape).astype(np.float32)
WEIGHTS = (rng.normal(size=(100, 4)) / 4).astype(np.float32)
CLASSES = np.argmax(np.tanh(PICTURES.reshape(3, 100)) @ WEIGHTS, axis=-1)


class Network(torch.nn.Module):  # type: ignore[name-defined,misc]
    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor(WEIGHTS))

    def forward(self, x: Any) -> Any:
        return torch.tanh(x.reshape(len(x), -1)) @ self.weights


def chance(x: Any, label: Any, relevance: Any) -> Any:
    """The probability of a class; `relevance` is what the attribution returns."""
    del relevance
    return jax.nn.softmax(jnp.tanh(x.ravel()) @ WEIGHTS)[label]


def hit(x: Any, label: Any, relevance: Any) -> Any:
    """Whether the network is right."""
    del relevance
    return (jnp.argmax(jnp.tanh(x.ravel()) @ WEIGHTS) == label).astype(x.dtype)


def given(x: Any, label: Any, relevance: Any) -> Any:
    del x, label
    return relevance


def theirs(metric: Any) -> Any:
    return metric(
        model=Network().eval(),
        x_batch=PICTURES,
        y_batch=CLASSES,
        a_batch=RELEVANCES,
        device="cpu",
        softmax=True,
        channel_first=True,
    )


def ours(metric: Any) -> Any:
    return jax.jit(jax.vmap(metric))(PICTURES, CLASSES, RELEVANCES)


QUIET = {"disable_warnings": True, "normalise": False, "return_aggregate": False}
pytestmark = pytest.mark.filterwarnings("ignore")


def test_imputation() -> None:
    picture = rng.random((3, 9, 12))
    gone = rng.permutation(108)[:90]
    expected = quantus.functions.perturb_func.noisy_linear_imputation(picture, gone, noise=0.0)
    kept = np.ones(108, bool)
    kept[gone] = False
    fill = jax.jit(noisy_linear_imputation(noise=0, axes=(1, 2)))
    np.testing.assert_allclose(fill(picture, kept.reshape(1, 9, 12)), expected, atol=1e-11)


def test_road() -> None:
    percentages = list(range(5, 100, 10))
    metric = quantus.ROAD(
        percentages=percentages, perturb_func_kwargs={"noise": 0.0}, disable_warnings=True
    )
    expected = theirs(metric)
    found = ours(road(hit, given, percentages=percentages, noise=0, axes=(1, 2))).scores
    np.testing.assert_allclose(found.mean(axis=0), [expected[p] for p in percentages], rtol=1e-6)
    assert len(np.unique(found)) == 2


def test_selectivity() -> None:
    expected = theirs(quantus.Selectivity(patch_size=5, perturb_baseline=0.5, **QUIET))
    metric = selectivity(chance, given, patch=5, axes=(1, 2))
    found = jax.jit(jax.vmap(metric))(
        PICTURES, CLASSES, RELEVANCES, baseline=np.full_like(PICTURES, 0.5)
    )
    np.testing.assert_allclose(found.scores[:, 1:], expected, rtol=1e-5)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation(order: str) -> None:
    """Its drops, summed over the steps, the first of which drops nothing."""
    options = {"patch_size": 2, "order": order, "regions_evaluation": 12}
    drops = theirs(quantus.RegionPerturbation(perturb_baseline=0.0, **options, **QUIET))
    metric = region_perturbation(
        chance, given, patch=2, axes=(1, 2), order=order, regions=12, removal=None
    )
    np.testing.assert_allclose(ours(metric), np.sum(drops, axis=1) / 13, rtol=1e-4)


def test_pixel_flipping() -> None:
    expected = theirs(quantus.PixelFlipping(perturb_baseline=0.0, features_in_step=4, **QUIET))
    found = ours(pixel_flipping(chance, given, steps=25)).scores
    np.testing.assert_allclose(found[:, 1:], expected, rtol=1e-5)


def test_irof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantus leaves the first point out of the area; the paper does not."""
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # NumPy 2 renamed it
    metric = quantus.IROF(perturb_baseline=0.0, **QUIET)
    segment = quantus.helpers.utils.get_superpixel_segments
    expected = theirs(metric)
    for x, label, relevance, area in zip(PICTURES, CLASSES, RELEVANCES, expected, strict=True):
        labels = segment(img=np.moveaxis(x, 0, -1).astype("double"), segmentation_method="slic")
        count = labels.max() + 1
        means = [relevance[0][labels == n].mean() for n in range(count)]
        first = np.where(labels == np.argmax(means), 0, x).astype(np.float32)
        ratio = chance(first, label, None) / chance(x, label, None)
        value = jax.jit(irof(chance, given, groups=labels[None], removal=None))(x, label, relevance)
        np.testing.assert_allclose(count * float(value) + (1 + float(ratio)) / 2, area, rtol=1e-4)
