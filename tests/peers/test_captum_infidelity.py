"""Side by side with Captum: infidelity on the same perturbations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.evaluate._infidelity import infidelity
from jaxplain.evaluate._perturbations import (
    Perturbation,
    gaussian_perturbation,
    square_perturbation,
)

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
metrics = pytest.importorskip("captum.metrics", reason=REASON)

rng = np.random.default_rng(9)
X, BASE, A = rng.normal(size=(3, 2, 5, 4))
W1, W2 = rng.normal(size=(6, 20)), rng.normal(size=6)
KEYS = jax.random.split(jax.random.key(2), 2)
SAMPLES = 7
PERTURBATIONS: dict[str, Perturbation] = {
    "noise": gaussian_perturbation(0.4),
    "squares": square_perturbation((2, 3)),
}


def f(x: Any, explanation: Any) -> Any:
    del explanation
    return W2 @ jnp.tanh(W1 @ x.ravel())


def given(x: Any, explanation: Any) -> Any:
    del x
    return explanation


def forward(x: Any) -> Any:
    return torch.tanh(x.flatten(1) @ torch.tensor(W1).T) @ torch.tensor(W2)


def drawn(perturbation: Perturbation) -> np.ndarray:
    """What is subtracted, sample by sample of the first example, then of the second."""

    def draw(x: Any, base: Any, key: Any, i: Any) -> Any:
        return perturbation(jax.random.fold_in(key, i), x, base)

    samples = jax.vmap(draw, in_axes=(None, None, None, 0))
    examples = jax.jit(jax.vmap(samples, in_axes=(0, 0, 0, None)))
    return np.asarray(examples(X, BASE, KEYS, jnp.arange(SAMPLES))).reshape(-1, *X.shape[1:])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("contributions", [False, True])
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_infidelity(name: str, contributions: bool, normalize: bool) -> None:
    removed = torch.tensor(drawn(PERTURBATIONS[name]).copy())

    def perturb(inputs: Any, baselines: Any) -> Any:
        parts = removed / (inputs - baselines) if contributions else removed
        return parts, inputs - removed

    expected = metrics.infidelity(
        forward,
        perturb,
        torch.tensor(X),
        torch.tensor(A),
        baselines=torch.tensor(BASE),
        n_perturb_samples=SAMPLES,
        normalize=normalize,
    )
    measure = infidelity(
        f,
        given,
        perturbation=PERTURBATIONS[name],
        samples=SAMPLES,
        contributions=contributions,
        normalize=normalize,
    )

    def with_data(x: Any, explanation: Any, base: Any, key: Any) -> Any:
        return measure(x, explanation, baseline=base, key=key)

    found = jax.jit(jax.vmap(with_data))(X, A, BASE, KEYS)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9)
