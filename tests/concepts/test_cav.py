"""Concept activation vectors: the classifier is the right one, and the derivative is too."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression

from jaxplain import CAV, concept_sensitivity, fit_cav
from jaxplain.concepts._cav import binomial_tail
from jaxplain.concepts._logistic import fit_logistic

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(3, 4, 5)) / 2
HEAD = RNG.normal(size=(2, 4, 5))
KEY = jax.random.key(1)


def network(x: Any, k: Any = 0) -> Any:
    """A hidden layer of shape (4, 5), and two scores that are not linear in it."""
    weights, head = jnp.asarray(WEIGHTS, x.dtype), jnp.asarray(HEAD, x.dtype)
    with jax.named_scope("hidden"):
        h = jnp.tanh(jnp.tensordot(x, weights, 1))
    return jnp.sum(h**2 * head[k] + h)


def identity(x: Any) -> Any:
    return x


def sides(concept: int, random: int, dim: int, *, shift: float = 1.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(concept, dim)) + shift / dim**0.5, rng.normal(size=(random, dim))


def regression(z: np.ndarray, y: np.ndarray, l2: float) -> LogisticRegression:
    """Scikit-learn's fit of the same problem."""
    options = {"class_weight": "balanced", "tol": 1e-10, "max_iter": 10_000}
    return LogisticRegression(C=1 / (len(z) * l2), **options).fit(z, y)


# ----------------------------------------------------------------------------------- the classifier


@pytest.mark.parametrize("counts", [(9, 9), (6, 15)])
@pytest.mark.parametrize("l2", [1e-3, 1e-2, 1.0])
def test_fit_is_that_of_scikit_learn(l2: float, counts: tuple[int, int]) -> None:
    z = np.concatenate(sides(*counts, 7)) / 7**0.5
    y = np.repeat([1.0, -1.0], counts)
    share = np.repeat([0.5 / counts[0], 0.5 / counts[1]], counts)
    fit = _fit(z, y, share, np.asarray(l2))
    expected = regression(z, y, l2)
    assert bool(fit.converged)
    np.testing.assert_allclose(fit.weights, expected.coef_[0], atol=2e-6)
    np.testing.assert_allclose(fit.intercept, expected.intercept_[0], atol=2e-6)


_fit = jax.jit(fit_logistic)


@pytest.mark.parametrize("dim", [3, 200])
def test_vector_is_that_of_scikit_learn_for_some_split(dim: int) -> None:
    """One example of either side is held out: which, the fit that agrees tells."""
    concept, random = sides(6, 7, dim, shift=2.0)
    cav = fit_cav(identity, concept, random, l2=0.05, test_share=0.1, key=KEY)
    assert cav.sizes == (5, 6, 1, 1)
    assert float(jnp.linalg.norm(cav.direction)) == pytest.approx(1, abs=1e-12)

    together = np.concatenate([concept, random])
    scale = np.sqrt(np.mean(np.sum((together - together.mean(0)) ** 2, axis=1)))
    z = (together - together.mean(0)) / scale
    y = np.repeat([1, -1], [6, 7])
    matches = []
    for pair in itertools.product(range(6), range(6, 13)):
        kept = np.delete(np.arange(13), pair)
        model = regression(z[kept], y[kept], 0.05)
        direction = model.coef_[0] / np.linalg.norm(model.coef_)
        if np.allclose(direction, cav.direction, atol=1e-6):
            matches.append((pair, model))
    ((pair, model),) = matches
    assert float(cav.accuracy) == model.score(z[list(pair)], y[list(pair)])
    margin = together @ np.asarray(cav.direction) + float(cav.intercept)
    expected = model.decision_function(z) * scale / np.linalg.norm(model.coef_)
    np.testing.assert_allclose(margin, expected, atol=1e-5)


def test_vector_points_to_the_concept_in_the_shape_of_the_layer() -> None:
    concept, random = sides(20, 30, 12, shift=6.0)
    cav = fit_cav(lambda x, s: s * x.reshape(3, 4), concept, random, 2.0, key=KEY)
    assert cav.direction.shape == (3, 4)
    cosine = float(jnp.sum(cav.direction)) / 12**0.5
    assert cosine > 0.9
    assert float(cav.accuracy) == 1
    assert float(cav.chance) == pytest.approx((10 / 17) ** 17)
    margin = np.tensordot(2 * concept, np.ravel(cav.direction), 1) + float(cav.intercept)
    assert np.all(margin > 0)


def test_units_and_offset_of_the_layer_do_not_matter() -> None:
    concept, random = sides(8, 9, 5)
    plain = fit_cav(identity, concept, random, key=KEY)
    other = fit_cav(lambda x: 1e4 * x + 300.0, concept, random, key=KEY, chunk=3)
    np.testing.assert_allclose(other.direction, plain.direction, atol=1e-8)
    np.testing.assert_allclose(other.accuracy, plain.accuracy)


def test_same_key_same_split_and_other_key_other_split() -> None:
    concept, random = sides(8, 9, 5)

    @jax.jit
    @jax.vmap
    def directions(key: Any) -> Any:
        return fit_cav(identity, concept, random, key=key).direction

    first, again, other = directions(jnp.stack([KEY, KEY, jax.random.key(2)]))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.max(jnp.abs(first - other))) > 1e-3
    alone = fit_cav(identity, concept, random, key=KEY).direction
    np.testing.assert_allclose(first, alone, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_kept(dtype: str) -> None:
    concept, random = (jnp.asarray(side, dtype) for side in sides(8, 9, 5, shift=3.0))
    cav = fit_cav(identity, concept, random, key=KEY)
    assert cav.direction.dtype == dtype
    assert cav.accuracy.dtype == jnp.float32
    exact = (np.asarray(side, np.float64) for side in (concept, random))
    expected = fit_cav(identity, *exact, key=KEY)
    tolerance = 1e-3 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(
        np.asarray(cav.direction, np.float64), expected.direction, atol=tolerance
    )


@pytest.mark.parametrize("trials", [1, 7, 20])
@pytest.mark.parametrize("share", [0.5, 0.7])
def test_chance_is_the_binomial_test(trials: int, share: float) -> None:
    successes = np.arange(trials + 1)
    tail = jax.jit(binomial_tail, static_argnums=(1, 2, 3))
    for k in successes:
        test = scipy.stats.binomtest(int(k), trials, share, alternative="greater")
        np.testing.assert_allclose(tail(jnp.asarray(float(k)), trials, share, float), test.pvalue)


# ----------------------------------------------------------------------------------- the derivative


def test_sensitivity_is_a_finite_difference() -> None:
    x, v = RNG.normal(size=3), RNG.normal(size=(4, 5))
    h = np.tanh(np.tensordot(x, WEIGHTS, 1))

    def head(h: np.ndarray, k: int) -> float:
        return float(np.sum(h**2 * HEAD[k] + h))

    for k in (0, 1):
        expected = (head(h + 1e-5 * v, k) - head(h - 1e-5 * v, k)) / 2e-5
        found = jax.jit(concept_sensitivity(network, "hidden", jnp.asarray(v)))(x, k)
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_sensitivity_to_a_vector_of_a_batch() -> None:
    v = RNG.normal(size=(4, 5))
    cav = CAV(jnp.asarray(v), 0.0, 1.0, 0.0, (6, 6, 3, 3))
    xs = RNG.normal(size=(4, 3))
    explain = concept_sensitivity(network, "hidden", cav)
    h = np.tanh(np.tensordot(xs, WEIGHTS, 1))
    expected = np.sum((2 * h * HEAD[1] + 1) * v, axis=(1, 2))
    found = jax.jit(jax.vmap(explain, (0, None)))(xs, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # and it can be differentiated like any function of x
    slope = jax.jit(jax.grad(explain))(xs[0], 1)
    expected = np.tensordot(WEIGHTS, 2 * HEAD[1] * (1 - h[0] ** 2) * v, 2)
    np.testing.assert_allclose(slope, expected, rtol=1e-10)


# ------------------------------------------------------------------------------------------- errors


def test_what_is_wrong_is_said() -> None:
    concept, random = sides(8, 9, 5)
    with pytest.raises(ValueError, match="concept has 5 examples, but at least 6"):
        fit_cav(identity, concept[:5], random, key=KEY)
    with pytest.raises(ValueError, match=r"float64\[8,5\].*float64\[9,4\].*resize"):
        fit_cav(identity, concept, random[:, :4], key=KEY)
    with pytest.raises(TypeError, match="only floating-point inputs"):
        fit_cav(identity, np.ones((8, 5), int), np.ones((8, 5), int), key=KEY)
    with pytest.raises(TypeError, match="<lambda> must give one floating-point array"):
        fit_cav(lambda x: {"h": x}, concept, random, key=KEY)
    with pytest.raises(ValueError, match="same activation for all 17 examples"):
        fit_cav(jnp.zeros_like, concept, random, key=KEY)
    with pytest.raises(ValueError, match=r"l2=0\.0 must be positive"):
        fit_cav(identity, concept, random, l2=0.0, key=KEY)
    with pytest.raises(ValueError, match="test_share=1 must be a number between 0 and 1"):
        fit_cav(identity, concept, random, test_share=1, key=KEY)
    with pytest.raises(ValueError, match="chunk=0"):
        fit_cav(identity, concept, random, chunk=0, key=KEY)
    with pytest.raises(TypeError, match="not a random key"):
        fit_cav(identity, concept, random, key=3)


def test_wrong_layers_and_directions_are_refused() -> None:
    x = jnp.ones(3)
    with pytest.raises(ValueError, match=r"direction: float64\[5\], but .*float64\[4,5\]"):
        concept_sensitivity(network, "hidden", jnp.ones(5))(x)
    with pytest.raises(ValueError, match="Nearest names: 'hidden'"):
        concept_sensitivity(network, "hiden", jnp.ones((4, 5)))(x)
    with pytest.raises(TypeError, match="must return one real number"):
        concept_sensitivity(lambda x: jax.named_scope("a")(jnp.tanh)(x), "a", jnp.ones(3))(x)


def test_optax_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxplain\[optax\]'"):
        fit_cav(identity, *sides(8, 9, 5), key=KEY)
