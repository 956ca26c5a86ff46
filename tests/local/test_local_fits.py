"""Weighted local fits against NumPy, scikit-learn where it is there, and what they promise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import lime_references as reference
import numpy as np
import pytest

from jaxplain.local._model import LocalFit, LocalModel
from jaxplain.local._moments import Design, moments
from jaxplain.local._selection import select_features

rng = np.random.default_rng(3)
SAMPLES, COUNT = 90, 7
ROWS = (rng.random((SAMPLES, COUNT)) < 0.5).astype(float)
ROWS[0] = 1
WEIGHTS = rng.random(SAMPLES)
SLOPES = np.array([2.0, -1.0, 0.5, 0.02, -0.7, 0.01, 1.0])
SCORES = 5 + ROWS @ SLOPES + 2 * ROWS[:, 0] * ROWS[:, 1] + 0.3 * rng.normal(size=SAMPLES)
CHANCES = 1 / (1 + np.exp(5 - SCORES))


@jax.jit
def fits(rows: Any, scores: Any, weights: Any, penalty: Any) -> dict[str, LocalFit]:
    """Every solver, in one compiled function."""
    design, chance = Design.given(rows), jax.nn.sigmoid(scores - 5)
    return {
        solver: LocalModel(solver, penalty).fit(
            design, chance if solver == "logistic" else scores, weights, errors=True
        )
        for solver in ("ridge", "lasso", "logistic")
    }


FOUND = {penalty: fits(ROWS, SCORES, WEIGHTS, penalty) for penalty in (0.05, 2.0)}


@pytest.mark.parametrize("penalty", FOUND)
@pytest.mark.parametrize("solver", ["ridge", "lasso", "logistic"])
def test_fits(solver: str, penalty: float) -> None:
    fit = FOUND[penalty][solver]
    scores = CHANCES if solver == "logistic" else SCORES
    values, *rest = reference.local_model(ROWS, scores, WEIGHTS, solver, penalty)
    np.testing.assert_allclose(fit.values, values, rtol=1e-9, atol=1e-11)
    found = [float(part) for part in (fit.intercept, fit.prediction, fit.fidelity)]
    np.testing.assert_allclose(found, rest, rtol=1e-9, atol=1e-12)
    assert fit.sound
    np.testing.assert_allclose(fit.effective, WEIGHTS.sum() ** 2 / np.sum(WEIGHTS**2))


@pytest.mark.parametrize("penalty", FOUND)
def test_scikit_learn(penalty: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    model = linear.Ridge(alpha=penalty).fit(ROWS, SCORES, sample_weight=WEIGHTS)
    fit = FOUND[penalty]["ridge"]
    np.testing.assert_allclose(fit.values, model.coef_, rtol=1e-9)
    np.testing.assert_allclose(fit.fidelity, model.score(ROWS, SCORES, WEIGHTS), rtol=1e-10)

    model = linear.Lasso(alpha=penalty, tol=1e-13, max_iter=100000)
    model.fit(ROWS, SCORES, sample_weight=WEIGHTS)
    fit = FOUND[penalty]["lasso"]
    np.testing.assert_allclose(fit.values, model.coef_, atol=1e-8)
    np.testing.assert_array_equal(np.asarray(fit.values) == 0, model.coef_ == 0)

    model = linear.LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-10)
    twice = np.concatenate([np.ones(SAMPLES), np.zeros(SAMPLES)])
    shares = np.concatenate([WEIGHTS * CHANCES, WEIGHTS * (1 - CHANCES)])
    model.fit(np.concatenate([ROWS, ROWS]), twice, sample_weight=shares)
    np.testing.assert_allclose(FOUND[penalty]["logistic"].values, model.coef_[0], atol=1e-8)


def test_blocks_change_nothing() -> None:
    """Sums over blocks of seven, the last one filled up, are those over all samples."""

    @jax.jit
    def in_blocks(scores: Any, weights: Any) -> Any:
        design = Design(lambda number: jnp.asarray(ROWS)[number], SAMPLES, 7)
        fit = LocalModel("ridge", 2.0).fit(design, scores, weights, errors=True)
        chances = jax.nn.sigmoid(scores - 5)
        return fit, LocalModel("logistic", 2.0).fit(design, chances, weights, errors=True)

    found = in_blocks(jnp.asarray(SCORES), jnp.asarray(WEIGHTS))
    for fit, solver in zip(found, ("ridge", "logistic"), strict=True):
        for part, whole in zip(fit, FOUND[2.0][solver], strict=True):
            np.testing.assert_allclose(part, whole, rtol=1e-9, atol=1e-12)


def test_standard_errors() -> None:
    for penalty, found in FOUND.items():
        expected = reference.ridge_errors(ROWS, SCORES, WEIGHTS, penalty)
        np.testing.assert_allclose(found["ridge"].standard_error, expected, rtol=1e-8)
    # Without a penalty on those that it keeps, the lasso would be the ridge without penalty.
    small = fits(ROWS, SCORES, WEIGHTS, 1e-13)
    expected = reference.ridge_errors(ROWS, SCORES, WEIGHTS, 0.0)
    np.testing.assert_allclose(small["lasso"].standard_error, expected, rtol=1e-6)
    none = np.asarray(FOUND[0.05]["lasso"].values) == 0
    assert none.any() and not np.asarray(FOUND[0.05]["lasso"].standard_error)[none].any()


@pytest.mark.parametrize("solver", ["ridge", "lasso", "logistic"])
def test_standard_errors_are_honest(solver: str) -> None:
    """Over many sets of samples, they are the deviation of the coefficients."""
    count, samples = 4, 250
    surrogate = LocalModel(solver, {"ridge": 1.0, "lasso": 0.02, "logistic": 1.0}[solver])

    @jax.jit
    @jax.vmap
    def draw(key: Any) -> Any:
        rows = jax.random.bernoulli(key, 0.5, (samples, count)).astype(float)
        score = 3 * rows[:, 0] - rows[:, 1] + 4 * rows[:, 2] * rows[:, 3] * rows[:, 0]
        score = jax.nn.sigmoid(score - 2) if solver == "logistic" else score
        weights = jnp.exp(-jnp.sum(1 - rows, axis=1) / 2)
        fit = surrogate.fit(Design.given(rows), score, weights, errors=True)
        return fit.values, fit.standard_error

    values, errors = draw(jax.random.split(jax.random.key(1), 400))
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def compared(selection: str, keep: int, rows: Any, scores: Any) -> set[int]:
    @jax.jit
    def choose(rows: Any, scores: Any, weights: Any) -> Any:
        found = moments(Design.given(rows), scores, weights)
        return select_features(found, rows[0], selection, keep)

    return set(np.flatnonzero(choose(rows, scores, jnp.asarray(WEIGHTS))).tolist())


@pytest.mark.parametrize("keep", [2, 5])
def test_forward_and_highest_weights(keep: int) -> None:
    rows = rng.normal(size=(SAMPLES, COUNT)) @ (np.eye(COUNT) + 0.5)
    expected = reference.forward(rows, SCORES, WEIGHTS, keep)
    assert compared("forward", keep, rows, SCORES) == expected
    assert compared("auto", keep, rows, SCORES) == expected
    expected = reference.highest_weights(rows, SCORES, WEIGHTS, keep)
    assert compared("highest_weights", keep, rows, SCORES) == expected


def test_auto_changes_over_at_seven() -> None:
    rows = rng.normal(size=(SAMPLES, 9)) @ (np.eye(9) + rng.normal(size=(9, 9)))
    scores = rows @ rng.normal(size=9) + rng.normal(size=SAMPLES)
    assert compared("auto", 6, rows, scores) == reference.forward(rows, scores, WEIGHTS, 6)
    expected = reference.highest_weights(rows, scores, WEIGHTS, 7)
    assert expected != reference.forward(rows, scores, WEIGHTS, 7)
    assert compared("auto", 7, rows, scores) == expected


def test_lasso_path_is_that_of_least_angles() -> None:
    """Also where coefficients leave, and come back on the other side."""
    linear = pytest.importorskip("sklearn.linear_model")
    size = 8
    choose = jax.jit(
        jax.vmap(
            lambda rows, scores, keep: jnp.stack(
                [
                    select_features(
                        moments(Design.given(rows), scores, jnp.asarray(WEIGHTS)),
                        rows[0],
                        "lasso_path",
                        k,
                    )
                    for k in (3, size - 1)
                ]
            ),
            in_axes=(0, 0, None),
        )
    )
    draws = np.random.default_rng(0)
    mixed = np.eye(size) + 0.9 * draws.normal(size=(60, size, size))
    rows = np.einsum("nsi,nij->nsj", draws.normal(size=(60, SAMPLES, size)), mixed)
    scores = np.einsum("nsj,nj->ns", rows, draws.normal(size=(60, size)))
    scores += 3 * draws.normal(size=scores.shape)
    found, came_back = np.asarray(choose(rows, scores, 0)), 0
    root = np.sqrt(WEIGHTS)
    for number in range(60):
        x = root[:, None] * (rows[number] - np.average(rows[number], axis=0, weights=WEIGHTS))
        y = root * (scores[number] - np.average(scores[number], weights=WEIGHTS))
        path = linear.lars_path(x, y, method="lasso")[2].T
        came_back += len(path) > size + 2
        for place, keep in enumerate((3, size - 1)):
            few = [knot for knot in path[1:] if np.sum(knot != 0) <= keep][-1]
            np.testing.assert_array_equal(found[number, place], few != 0)
    assert came_back > 5


@pytest.mark.parametrize("solver", ["ridge", "lasso", "logistic"])
def test_derivatives(solver: str) -> None:
    """By the scores, the weights and the penalty: also of what an iteration found."""
    design, start = Design.given(jnp.asarray(ROWS)), (CHANCES, WEIGHTS, np.float64(0.03))

    @jax.jit
    def loss(scores: Any, weights: Any, penalty: Any) -> Any:
        fit = LocalModel(solver, penalty, "auto", 5).fit(design, scores, weights, errors=True)
        return jnp.sum(fit.values**3) + fit.intercept + fit.fidelity + fit.standard_error[0]

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*start)
    assert slopes[2] != 0
    for place, slope in enumerate(slopes):
        way, step = rng.normal(size=np.shape(start[place])), 1e-6
        ends = []
        for sign in (1, -1):
            moved = list(start)
            moved[place] = start[place] + sign * step * way
            ends.append(float(loss(*moved)))
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(slope * way), expected, rtol=2e-6, atol=1e-8)


def test_degenerate_fits() -> None:
    """Constant scores, columns that never change or come twice, samples that weigh nothing."""
    constant = fits(ROWS, np.full(SAMPLES, 3.0), WEIGHTS, 0.05)
    for fit in constant.values():
        np.testing.assert_allclose(fit.values, 0, atol=1e-14)
        assert np.isfinite(fit.fidelity) and fit.converged
    assert constant["ridge"].fidelity == 1 and constant["ridge"].intercept == 3
    assert not np.asarray(constant["ridge"].standard_error).any()

    rows = ROWS.copy()
    rows[:, 1], rows[:, 2] = rows[:, 0], 1
    for penalty in (0.0, 0.1):
        for solver, fit in fits(rows, SCORES, WEIGHTS, penalty).items():
            assert np.isfinite(np.asarray(fit.values)).all(), solver
            np.testing.assert_allclose(fit.values[2], 0, atol=1e-12)
            if solver != "lasso":
                np.testing.assert_allclose(fit.values[0], fit.values[1], rtol=1e-5)

    alone = fits(ROWS, SCORES, np.eye(SAMPLES)[0], 0.05)
    for fit in alone.values():
        np.testing.assert_array_equal(fit.values, 0)
        assert fit.effective == 1 and not fit.sound
    nothing = fits(ROWS, SCORES, np.zeros(SAMPLES), 0.05)["ridge"]
    assert not np.asarray(nothing.values).any() and not nothing.sound


def test_scale_does_not_matter() -> None:
    for scale in (1e-200, 1e150):
        fit = fits(ROWS, SCORES * scale, WEIGHTS, 0.05)["ridge"]
        np.testing.assert_allclose(fit.values, FOUND[0.05]["ridge"].values * scale, rtol=1e-10)
        np.testing.assert_allclose(fit.fidelity, FOUND[0.05]["ridge"].fidelity, rtol=1e-10)
    far = fits(ROWS, SCORES + 1e8, WEIGHTS, 0.05)["ridge"]
    np.testing.assert_allclose(far.fidelity, FOUND[0.05]["ridge"].fidelity, rtol=1e-6)


def test_single_precision() -> None:
    low = [np.float32(part) for part in (ROWS, SCORES, WEIGHTS, 0.05)]
    for solver, fit in fits(*low).items():
        assert fit.values.dtype == np.float32
        np.testing.assert_allclose(fit.values, FOUND[0.05][solver].values, atol=2e-5)
        np.testing.assert_allclose(
            fit.standard_error, FOUND[0.05][solver].standard_error, rtol=1e-3
        )
        assert fit.sound
