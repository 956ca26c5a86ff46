"""Side by side with Captum: occlusion, and features exchanged within a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from jaxplain import ablation, occlusion

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.attr", reason=REASON)

rng = np.random.default_rng(0)
SHAPES = {"picture": (7, 9, 3), "sequence": (11, 2)}
X = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
BASE = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}


@functools.cache
def network(name: str) -> tuple[Callable[[Any], Any], Any]:
    """A convolution and a head, in JAX and in PyTorch."""
    torch.manual_seed(0)
    nn = torch.nn
    *sizes, channels = SHAPES[name]
    layer = nn.Conv2d if name == "picture" else nn.Conv1d
    flat = 4 * int(np.prod([size - 2 for size in sizes]))
    module = nn.Sequential(
        layer(channels, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(flat, 1)
    ).double()
    w = {key: value.detach().numpy() for key, value in module.state_dict().items()}

    def score(x: Any) -> Any:
        h = jax.lax.conv(
            jax.numpy.moveaxis(x, -1, 0)[None], w["0.weight"], (1,) * len(sizes), "VALID"
        )
        h = jax.numpy.tanh(h + w["0.bias"].reshape(1, -1, *(1,) * len(sizes)))
        return (w["3.weight"] @ h.ravel() + w["3.bias"])[0]

    return score, module


def to_torch(example: np.ndarray) -> Any:
    return torch.tensor(np.moveaxis(example, -1, 0).copy())[None]


def from_torch(batch: Any) -> np.ndarray:
    return np.moveaxis(batch.detach().numpy()[0], 0, -1)


WINDOWS: dict[str, tuple[str, Any, Any, Any, Any]] = {
    "patches": ("picture", (3, 3), None, (3, 3, 3), (3, 3, 3)),
    "overlapping": ("picture", (3, 4), (2, 3), (3, 3, 4), (3, 2, 3)),
    "two channels": ("picture", (2, 4, 2), (2, 3, 1), (2, 2, 4), (1, 2, 3)),
    "a sequence": ("sequence", (4,), 3, (2, 4), (2, 3)),
    "one channel of a sequence": ("sequence", (5, 1), (2, 1), (1, 5), (1, 2)),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_occlusion(case: str) -> None:
    name, window, stride, sizes, strides = WINDOWS[case]
    score, module = network(name)
    there = captum.Occlusion(module).attribute(
        to_torch(X[name]),
        sliding_window_shapes=sizes,
        strides=strides,
        baselines=to_torch(BASE[name]),
        perturbations_per_eval=4,
    )
    explain = jax.jit(occlusion(score, window=window, stride=stride, chunk=4))
    found = explain(X[name], baseline=BASE[name])
    # Captum divides by the number of windows in float32.
    np.testing.assert_allclose(found, from_torch(there), rtol=2e-7)


def test_feature_permutation() -> None:
    """The same exchange of features within a batch is ablation with others as baselines."""
    score, module = network("sequence")
    xs, order = rng.normal(size=(5, 11, 2)), np.array([3, 0, 4, 2, 1])
    groups = np.arange(11)[:, None] // 4
    method = captum.FeaturePermutation(
        module, perm_func=lambda x, mask: torch.where(mask, x[order], x)
    )
    there = method.attribute(
        torch.tensor(np.moveaxis(xs, -1, 1).copy()),
        feature_mask=torch.tensor(np.broadcast_to(groups.T, (1, 2, 11)).copy()),
    )
    found = jax.jit(jax.vmap(ablation(score, groups=groups)))(xs, baseline=xs[order])
    np.testing.assert_allclose(found, np.moveaxis(there.numpy(), 1, -1), rtol=1e-9, atol=1e-12)
