"""Side by side with Quantus, where its formulas are those of the papers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from zennit_import import import_zennit

from jaxplain.evaluate._faithfulness import (
    faithfulness_correlation,
    faithfulness_estimate,
    subset_of,
)
from jaxplain.evaluate._monotonicity import monotonicity_correlation

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
import_zennit()  # Quantus imports it, and with it torchvision
quantus = pytest.importorskip("quantus", reason=REASON)
pytestmark = pytest.mark.filterwarnings("ignore")

rng = np.random.default_rng(8)
BATCH, SIDE, HIDDEN = 3, 6, 9
PIXELS = SIDE * SIDE
X = rng.uniform(size=(BATCH, 1, SIDE, SIDE)).astype(np.float32).astype(np.float64)
X[:, 0, 0, 0] = 0  # Quantus's black is the least value of all examples: make it 0
W1, W2 = rng.normal(size=(HIDDEN, PIXELS)), rng.normal(size=(2, HIDDEN))
A = rng.normal(size=X.shape)
KEY = jax.random.key(1)
SAMPLES, SUBSET = 10, 8


def logits(x: Any) -> Any:
    return W2 @ jnp.tanh(W1 @ x.ravel())


def f(x: Any, explanation: Any) -> Any:
    del explanation
    return logits(x)[1]


def given(x: Any, explanation: Any) -> Any:
    """An attribution that was computed elsewhere."""
    del x
    return explanation


class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Quantus hands over single precision; all else is in double."""

    def forward(self, x: Any) -> Any:
        hidden = torch.tanh(x.double().flatten(1) @ torch.tensor(W1).T)
        return hidden @ torch.tensor(W2).T


def theirs(metric: Any) -> Any:
    return metric(
        model=Network().eval(),
        x_batch=X,
        y_batch=np.ones(BATCH, int),
        a_batch=A,
        device="cpu",
        channel_first=True,
        softmax=False,
    )


def ours(measure: Callable[..., Any], **options: Any) -> Any:
    bound = functools.partial(measure, **options)
    return jax.jit(jax.vmap(bound))(X, A)


def members(sample: int) -> np.ndarray:
    return np.flatnonzero(subset_of(jax.random.fold_in(KEY, sample), PIXELS, SUBSET))


def test_faithfulness_correlation(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=SAMPLES,
        subset_size=SUBSET,
        return_aggregate=False,
        disable_warnings=True,
        display_progressbar=False,
    )
    subsets = iter([members(i) for i in range(SAMPLES) for _ in range(BATCH)])
    monkeypatch.setattr(np.random, "choice", lambda *args, **kwargs: next(subsets))
    measure = faithfulness_correlation(f, given, subset=SUBSET, samples=SAMPLES)
    np.testing.assert_allclose(theirs(metric), ours(measure, key=KEY), rtol=1e-5)


def test_faithfulness_estimate() -> None:
    metric = quantus.FaithfulnessEstimate(disable_warnings=True, display_progressbar=False)
    measure = faithfulness_estimate(f, given)
    np.testing.assert_allclose(theirs(metric), ours(measure), rtol=1e-5)


def test_monotonicity_correlation() -> None:
    """Without chance: what every feature becomes is one number."""
    metric = quantus.MonotonicityCorrelation(
        nr_samples=1, perturb_baseline=0.25, disable_warnings=True, display_progressbar=False
    )
    measure = monotonicity_correlation(
        f, given, draw=lambda key, x: jnp.full_like(x, 0.25), samples=1
    )
    np.testing.assert_allclose(theirs(metric), ours(measure, key=KEY), rtol=1e-5)
