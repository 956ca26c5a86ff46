"""The greatest sensitivity as Captum measures it, on the same random inputs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.evaluate._sensitivity import max_sensitivity

torch = pytest.importorskip("torch", reason='needs the peers extra: "jaxplain[peers]"')
metrics = pytest.importorskip("captum.metrics", reason='needs the peers extra: "jaxplain[peers]"')

generator = np.random.default_rng(3)
WEIGHTS, XS = generator.normal(size=(5, 8)), generator.normal(size=(3, 8))
RADIUS, SAMPLES = 0.1, 9


def test_sensitivity_max() -> None:
    keys = jax.random.split(jax.random.key(1), len(XS))

    def f(x: Any) -> Any:
        return jnp.sum(jnp.tanh(WEIGHTS @ x) ** 3)

    def moves(key: Any) -> Any:
        each = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(SAMPLES))
        return jax.vmap(lambda k: jax.random.uniform(k, (8,), minval=-1))(each) * RADIUS

    noise = torch.tensor(np.asarray(jax.vmap(moves)(keys)).reshape(-1, 8))
    weights = torch.tensor(WEIGHTS)

    def gradient(xs: tuple[Any]) -> Any:
        hidden = torch.tanh(xs[0] @ weights.T)
        return ((3 * hidden**2 * (1 - hidden**2)) @ weights,)

    theirs = metrics.sensitivity_max(
        gradient, torch.tensor(XS), lambda x: (x + noise,), n_perturb_samples=SAMPLES
    )
    measure = max_sensitivity(f, jax.grad(f), radius=RADIUS, samples=SAMPLES, chunk=4)
    ours = jax.jit(jax.vmap(measure))(XS, key=keys)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9)
