"""Representer points: the sum holds, and the closed form of a ridge regression."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.training._newton import newton
from jaxplain.training._representers import Representers, representer_points

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(3, 6))
XS = RNG.normal(size=(40, 3))
NEW = RNG.normal(size=(5, 3))
LABELS = (XS[:, 0] > 0).astype(int) + (XS[:, 1] > 0.5)
ZEROS = np.zeros((7, 3))


def features(x: Any) -> Any:
    """Six hidden units, and a constant for the bias."""
    return jnp.append(jnp.tanh(x @ MIXING), 1.0)


def squared(logits: Any, target: Any) -> Any:
    return jnp.sum((logits - target) ** 2) / 2


def cross_entropy(logits: Any, label: Any) -> Any:
    return jax.nn.logsumexp(logits) - logits[label]


INPUTS = np.concatenate([np.tanh(XS @ MIXING), np.ones((40, 1))], axis=1)


def classifier(**options: Any) -> Representers:
    return representer_points(
        features, cross_entropy, (XS, LABELS), **{"start": ZEROS, "l2": 1e-3, **options}
    )


def test_ridge_regression_in_closed_form() -> None:
    """W = (F'F/n + 2λ)^-1 F'y/n, and α is the residual over 2λn."""
    targets = RNG.normal(size=(40, 2))
    fitted = representer_points(
        features, squared, (XS, targets), start=RNG.normal(size=(7, 2)), l2=0.05
    )
    weights = np.linalg.solve(INPUTS.T @ INPUTS / 40 + 0.1 * np.eye(7), INPUTS.T @ targets / 40)
    alphas = (targets - INPUTS @ weights) / (0.1 * 40)
    np.testing.assert_allclose(fitted.weights, weights, rtol=1e-8)
    np.testing.assert_allclose(fitted.alphas, alphas, rtol=1e-7)
    new = np.append(np.tanh(NEW[0] @ MIXING), 1.0)
    np.testing.assert_allclose(fitted.values(NEW[0]), alphas * (INPUTS @ new)[:, None], rtol=1e-7)


def test_contributions_add_up_to_the_logits_and_are_by_definition() -> None:
    fitted = classifier()
    values, logits = jax.jit(jax.vmap(lambda x: (fitted.values(x), fitted.logits(x))))(NEW)
    np.testing.assert_allclose(values.sum(1), logits, atol=1e-8)
    new = np.concatenate([np.tanh(NEW @ MIXING), np.ones((5, 1))], axis=1)
    np.testing.assert_allclose(logits, new @ fitted.weights, rtol=1e-12)
    h = INPUTS @ np.asarray(fitted.weights)
    p = np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.alphas, (np.eye(3)[LABELS] - p) / (2e-3 * 40), rtol=1e-9)
    assert fitted.converged and fitted.residual < 1e-8 and fitted.gradient < 1e-10
    sums = INPUTS @ (INPUTS.T @ np.asarray(fitted.alphas))
    np.testing.assert_allclose(fitted.residual, np.max(np.abs(sums - h)), rtol=1e-2, atol=1e-14)


@pytest.mark.parametrize("l2", [10.0, 1e-6])
def test_little_and_much_penalty(l2: float) -> None:
    """From far away: nearly no weights, and weights that separate the classes."""
    fitted = classifier(l2=l2, start=RNG.normal(size=(7, 3)))
    assert fitted.converged
    np.testing.assert_allclose(INPUTS.T @ np.asarray(fitted.alphas), fitted.weights, rtol=1e-6)


def test_stream_and_chunks() -> None:
    whole = classifier()
    read: list[int] = []
    batches = [(XS[:25], LABELS[:25]), (XS[25:], LABELS[25:])]
    stream = representer_points(
        features, cross_entropy, batches, start=ZEROS, l2=1e-3, progress=read.append
    )
    assert read == [25, 40]
    for other in (stream, classifier(chunk=7)):
        np.testing.assert_allclose(other.weights, whole.weights, rtol=1e-7)
        np.testing.assert_allclose(other.inputs, whole.inputs, rtol=1e-12)


def test_start_is_where_it_starts() -> None:
    """From the minimum there is no way to go; from elsewhere the way ends there too."""
    whole = classifier()
    again = classifier(start=whole.weights, iterations=1)
    np.testing.assert_allclose(again.weights, whole.weights, rtol=1e-9)
    far = classifier(start=5 * RNG.normal(size=(7, 3)))
    np.testing.assert_allclose(far.weights, whole.weights, rtol=1e-7)


def test_single_precision() -> None:
    xs = XS.astype(np.float32)
    fitted = representer_points(
        lambda x: jnp.append(jnp.tanh(x @ MIXING.astype(np.float32)), jnp.float32(1)),
        cross_entropy,
        (xs, LABELS),
        start=ZEROS.astype(np.float32),
        l2=1e-3,
    )
    assert fitted.values(xs[0]).dtype == fitted.logits(xs[0]).dtype == jnp.float32
    np.testing.assert_allclose(fitted.weights, classifier().weights, rtol=1e-2, atol=1e-2)


def test_unfinished_work_is_told() -> None:
    with pytest.warns(RuntimeWarning, match="did not converge: contributions differ"):
        fitted = classifier(iterations=1)
    assert not fitted.converged


def test_newton_halves_steps_that_go_too_far() -> None:
    """A full step from here goes away from the minimum at 0, ever farther."""

    def steep(x: Any) -> Any:
        return jnp.sum(jnp.sqrt(1 + x**2))

    found = jax.jit(
        lambda x: newton(steep, x, lambda _, g: jnp.max(jnp.abs(g)) < 1e-10, iterations=50)
    )(jnp.array([5.0, -2.0]))
    np.testing.assert_allclose(found, 0, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": ZEROS.T}, r"start has shape \(3, 7\), but .* 7 entries.*transposed: start.T"),
        ({"start": np.zeros(7)}, r"start has shape \(7,\)"),
        ({"start": np.full((7, 3), np.nan)}, r"Not finite: start\[0, 0\] is nan"),
        ({"l2": 0.0}, "l2=0.0 must be positive"),
        ({"l2": -1.0}, "l2=-1.0 must be a number at least 0"),
        ({"tolerance": 0}, "tolerance=0 must be positive"),
        ({"iterations": 0}, "iterations=0 is not a whole number"),
        ({"chunk": 0}, "chunk=0 is not a whole number"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(**options)


def test_errors_of_the_functions() -> None:
    with pytest.raises(ValueError, match=r"one vector .* but gave features: float64\[3,3\]"):
        representer_points(lambda x: jnp.eye(3), cross_entropy, (XS, LABELS), start=ZEROS)
    with pytest.raises(TypeError, match="must return one real number"):
        representer_points(features, lambda h, y: h, (XS, LABELS), start=ZEROS)
    with pytest.raises(ValueError, match=r"not finite: train\[0\]\[1, 2\] is inf"):
        bad = XS.copy()
        bad[1, 2] = np.inf
        representer_points(features, cross_entropy, (bad, LABELS), start=ZEROS)
