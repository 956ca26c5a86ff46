"""lrp as a transform: what it returns, under which transformations, and what info=True tells."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import rules

RNG = np.random.default_rng(0)
W = jnp.asarray(RNG.normal(size=(4, 4)))
B = jnp.asarray(0.3 * RNG.normal(size=4))
X = jnp.asarray(RNG.normal(size=4))


def logits(x: Any, scale: Any = 1.0) -> Any:
    return jnp.maximum(x @ (W * scale) + B, 0) @ W - B


score = jaxplain.select(logits)


def looped(x: Any, steps: int = 3) -> Any:
    def body(h: Any, _: Any) -> Any:
        with jax.named_scope("cell"):
            return jnp.tanh(h @ W + B), h.sum()

    h, sums = jax.lax.scan(body, x, None, length=steps)
    return h[0] + sums[-1]


def unrolled(x: Any, steps: int = 3) -> Any:
    h, last = x, x.sum()
    for _ in range(steps):
        with jax.named_scope("cell"):
            h, last = jnp.tanh(h @ W + B), h.sum()
    return h[0] + last


@pytest.mark.parametrize("preset", [rules.epsilon, rules.excitation_backprop, rules.deep_taylor])
def test_a_loop_is_its_unrolled_self(preset: Any) -> None:
    """Shared weights, in a scan or written out: the first layer of a loop is inside it, though."""
    inside = jax.jit(jaxplain.lrp(looped, preset()))(X)
    outside = jax.jit(jaxplain.lrp(unrolled, preset()))(X)
    if preset is rules.deep_taylor:
        # w² is for the first step alone, and a loop's body is one program for all its steps.
        outside = jax.jit(jaxplain.lrp(unrolled, rules.excitation_backprop()))(X)
    np.testing.assert_allclose(inside, outside, rtol=1e-9)


def test_reports_of_a_loop_have_an_axis_of_steps() -> None:
    _, info = jax.jit(jaxplain.lrp(looped, info=True))(X)
    assert info.weights["cell:dot_general"].shape == (3, 4, 4)
    assert info.relevance["cell:tanh"].shape == (3, 4)
    _, flat = jax.jit(jaxplain.lrp(unrolled, info=True))(X)
    by_step = [flat.weights[f"cell#{i}:dot_general"] for i in range(3)]
    np.testing.assert_allclose(info.weights["cell:dot_general"], jnp.stack(by_step), rtol=1e-9)
    np.testing.assert_allclose(info.ledger.residual, 0, atol=1e-12)


def test_relevance_of_weights_is_that_of_contributions() -> None:
    """In a linear model each weight's relevance is its contribution x_i w_ij R_j / z_j."""
    _, info = jaxplain.lrp(lambda x: (x @ W).sum(), rules.epsilon(0.0), info=True)(X)
    np.testing.assert_allclose(info.weights["dot_general"], X[:, None] * W, rtol=1e-9)


def test_info_under_vmap_gains_an_axis() -> None:
    explain = jax.jit(jax.vmap(jaxplain.lrp(score, rules.epsilon_plus(), info=True), (0, None)))
    relevance, info = explain(jnp.stack([X, -X]), 1)
    single, alone = jax.jit(jaxplain.lrp(score, rules.epsilon_plus(), info=True))(-X, 1)
    np.testing.assert_allclose(relevance[1], single, rtol=1e-9)
    np.testing.assert_allclose(info.ledger.received[1], alone.ledger.received, rtol=1e-9)
    assert info.ledger.rows == alone.ledger.rows
    assert "dot_general" in str(info.ledger), "a batch of ledgers prints its sites"


def test_under_checkpoint_and_scan() -> None:
    explain = jaxplain.lrp(score, rules.gamma(0.3))

    def loss(explain: Any) -> Any:
        return jax.jit(jax.grad(lambda scale: jnp.sum(explain(X, 1, scale) ** 2)))(1.3)

    np.testing.assert_allclose(loss(jax.checkpoint(explain)), loss(explain), rtol=1e-9)
    xs = jnp.stack([X, 2 * X, -X])
    scanned = jax.jit(lambda xs: jax.lax.map(lambda x: explain(x, 0), xs))(xs)
    np.testing.assert_allclose(scanned, jax.vmap(explain, (0, None))(xs, 0), rtol=1e-9)


def test_gamma_is_swept_in_one_call_and_differentiated() -> None:
    def relevance(gamma: Any) -> Any:
        return jaxplain.lrp(score, rules.gamma(gamma))(X, 1)

    gammas = jnp.array([0.0, 0.25, 1.0, 10.0])
    swept = jax.jit(jax.vmap(relevance))(gammas)
    np.testing.assert_allclose(swept, jnp.stack([relevance(g) for g in gammas]), rtol=1e-9)
    slope = jax.jit(jax.jacobian(relevance))(0.5)
    numeric = (relevance(0.5 + 1e-6) - relevance(0.5 - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-8)


def test_a_contrast_starts_both_classes_with_their_own_sign() -> None:
    contrast = jaxplain.contrast(logits)
    found = jaxplain.lrp(contrast, rules.epsilon(0.0))(X, 1, 2)
    one, other = (jaxplain.lrp(score, rules.epsilon(0.0))(X, k) for k in (1, 2))
    np.testing.assert_allclose(found, one - other, rtol=1e-8)


@pytest.mark.parametrize("preset", [rules.epsilon, rules.gamma, rules.excitation_backprop])
def test_spread_biases_absorb_nothing(preset: Any) -> None:
    relevance, info = jax.jit(jaxplain.lrp(score, preset(), bias="spread", info=True))(X, 1)
    np.testing.assert_allclose(info.ledger.bias, 0, atol=1e-12)
    np.testing.assert_allclose(info.ledger.residual, 0, atol=1e-12)
    np.testing.assert_allclose(relevance.sum(), score(X, 1), rtol=1e-4)


def test_seeds_differ_by_the_score() -> None:
    by_score = jaxplain.lrp(score)(X, 1)
    by_one = jaxplain.lrp(score, seed="one")(X, 1)
    np.testing.assert_allclose(by_score, by_one * score(X, 1), rtol=1e-9)


def test_several_arguments_and_keywords() -> None:
    def f(a: Any, flag: bool, b: Any, *, scale: Any) -> Any:
        return jnp.sum(a * b) * scale if flag else jnp.sum(a)

    a, b = jaxplain.lrp(f, argnums=(0, 2))(X, True, W[0], scale=2.0)
    np.testing.assert_allclose(a, X * W[0], rtol=1e-5)
    np.testing.assert_allclose(b, X * W[0], rtol=1e-5)


def test_zero_constant_and_huge_inputs_stay_finite() -> None:
    for x in (jnp.zeros(4), jnp.full(4, 1e30), jnp.full(4, -1e-30)):
        for preset in (rules.epsilon(0.0), rules.epsilon_plus_flat(), rules.gamma()):
            assert np.isfinite(jaxplain.lrp(score, preset)(x, 0)).all()
