"""Side by side with Captum: feature ablation, Grad-CAM and guided Grad-CAM."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from jaxplain import ablation, grad_cam, guided_grad_cam

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.attr", reason=REASON)


X, BASE = np.random.default_rng(0).normal(size=(2, 8, 12, 3))
GROUPS = np.arange(8 * 12).reshape(8, 12, 1) // 20


@functools.cache
def network() -> tuple[Callable[[Any], Any], Any]:
    """Two convolutions, the second named, and a head: in JAX and in PyTorch."""
    torch.manual_seed(0)
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 2, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(96, 1),
    ).double()  # fmt: skip
    w = {name: value.numpy() for name, value in module.state_dict().items()}

    def convolve(x: Any, name: str, stride: int, padding: int) -> Any:
        layout, pads = ("NHWC", "OIHW", "NHWC"), [(padding, padding)] * 2
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        return bias[None, None, None] + jax.lax.conv_general_dilated(
            x, weight, (stride, stride), pads, dimension_numbers=layout
        )

    def score(x: Any) -> Any:
        h = jax.nn.relu(convolve(x[None], "0", 1, 1))
        with jax.named_scope("layer"):
            h = convolve(h, "2", 2, 0)
        h = jax.nn.relu(h)[0].transpose(2, 0, 1).ravel()
        return (w["5.weight"] @ h + w["5.bias"])[0]

    return score, module


def to_torch(example: np.ndarray) -> Any:
    return torch.tensor(np.transpose(example, (2, 0, 1)))[None].requires_grad_()


def from_torch(batch: Any) -> np.ndarray:
    return np.transpose(batch.detach().numpy()[0], (1, 2, 0))


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["elements", "groups"])
def test_feature_ablation(groups: np.ndarray | None) -> None:
    score, module = network()
    mask = None if groups is None else torch.tensor(np.transpose(groups, (2, 0, 1)))[None]
    there = captum.FeatureAblation(module).attribute(
        to_torch(X), baselines=to_torch(BASE), feature_mask=mask, perturbations_per_eval=16
    )
    here = jax.jit(ablation(score, groups=groups, chunk=16))(X, baseline=BASE)
    np.testing.assert_allclose(here, from_torch(there), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("relu", [False, True])
def test_grad_cam(relu: bool) -> None:
    score, module = network()
    there = captum.LayerGradCam(module, module[2]).attribute(to_torch(X), relu_attributions=relu)
    here = jax.jit(grad_cam(score, "layer", relu=relu, resize=None))(X)
    np.testing.assert_allclose(here, from_torch(there)[..., 0], rtol=1e-9, atol=1e-13)
    assert (from_torch(there) < 0).any() != relu


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU:UserWarning")
@pytest.mark.parametrize(("resize", "theirs"), [("nearest", "nearest"), ("linear", "bilinear")])
def test_guided_grad_cam(resize: str, theirs: str) -> None:
    score, module = network()
    options = {} if theirs == "nearest" else {"interpolate_mode": theirs}
    there = captum.GuidedGradCam(module, module[2]).attribute(to_torch(X), **options)
    here = jax.jit(guided_grad_cam(score, "layer", resize=resize))(X)
    np.testing.assert_allclose(here, from_torch(there), rtol=1e-9, atol=1e-13)
