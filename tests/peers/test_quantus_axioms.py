"""The same numbers as Quantus where its formula is the paper's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers.zennit_import import import_zennit

import jaxplain
from jaxplain.evaluate._classes import random_logit
from jaxplain.evaluate._dependence import non_sensitivity
from jaxplain.evaluate._efficient_mprt import histogram_entropy
from jaxplain.evaluate._similarity import similarity_of

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
import_zennit()  # Quantus imports it, and with it torchvision
quantus = pytest.importorskip("quantus", reason=REASON)

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(2, 64))
WEIGHTS[:, ::3] = 0  # the model does not look at these
IMAGES = RNG.uniform(0.1, 1, size=(4, 1, 8, 8))
LABELS = np.array([0, 1, 1, 0])


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    """tanh of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(64, 2, bias=False).double()
        self.linear.weight.data = torch.tensor(WEIGHTS)

    def forward(self, x: Any) -> Any:
        return torch.tanh(self.linear(x.double().flatten(1)))


def logits(x: jax.Array) -> jax.Array:
    return jnp.tanh(jnp.asarray(WEIGHTS, x.dtype) @ x.ravel())


f = jaxplain.select(logits)


def explain_torch(model: Any, inputs: Any, targets: Any, **kwargs: Any) -> np.ndarray:
    del kwargs
    x = torch.tensor(np.asarray(inputs), dtype=torch.float64, requires_grad=True)
    scores = model(x)[torch.arange(len(x)), torch.as_tensor(np.asarray(targets))]
    return np.asarray(torch.autograd.grad(scores.sum(), x)[0].numpy())


def test_non_sensitivity() -> None:
    relevance = np.abs(RNG.normal(size=IMAGES.shape)) * (RNG.uniform(size=IMAGES.shape) > 0.3)
    metric = quantus.NonSensitivity(
        eps=1e-5, abs=False, normalise=False, perturb_baseline=0.0, disable_warnings=True
    )
    theirs = metric(
        model=Net().eval(), x_batch=IMAGES, y_batch=LABELS, a_batch=relevance, softmax=False
    )

    def ours(x: jax.Array, k: jax.Array, given: jax.Array) -> jax.Array:
        return non_sensitivity(f, lambda x, k: given)(x, k)

    found = jax.jit(jax.vmap(ours))(IMAGES, LABELS, relevance)
    np.testing.assert_array_equal(found, np.asarray(theirs, float))
    assert np.min(found) > 0


def test_random_logit_with_one_other_class() -> None:
    ours = random_logit(f, jax.grad(f), classes=2)
    keys = jax.random.split(jax.random.key(0), 4)
    found = jax.jit(jax.vmap(ours))(IMAGES, LABELS, key=keys)
    metric = quantus.RandomLogit(
        similarity_func=quantus.similarity_func.correlation_spearman,
        num_classes=2,
        abs=False,
        normalise=False,
        disable_warnings=True,
    )
    theirs = metric(
        model=Net().eval(),
        x_batch=IMAGES,
        y_batch=LABELS,
        a_batch=None,
        explain_func=explain_torch,
    )
    np.testing.assert_allclose(found, theirs, rtol=1e-5)


def test_ssim() -> None:
    left, right = RNG.normal(size=(2, 3, 12, 9))
    right = left + right
    found = jax.jit(jax.vmap(similarity_of("ssim", absolute=False)))(left, right)
    theirs = [quantus.similarity_func.ssim(*pair) for pair in zip(left, right, strict=True)]
    np.testing.assert_allclose(found, theirs, rtol=1e-9)


def test_entropy_of_the_histogram() -> None:
    values = RNG.normal(size=500)
    theirs = quantus.complexity_func.discrete_entropy(values, values, n_bins=30)
    np.testing.assert_allclose(jax.jit(histogram_entropy, static_argnums=1)(values, 30), theirs)
