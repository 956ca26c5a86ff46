"""Global surrogates against NumPy and scikit-learn, and on functions that are known."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import black_box, surrogate
from jaxplain.plot._tree import tree as draw_tree

KEY = jax.random.key(3)
draw = np.random.default_rng(5).normal
SCALE, SHIFT = np.array([1.0, 40.0, 0.02]), np.array([0.0, 300.0, -5.0])
X = draw(size=(60, 3)) * SCALE + SHIFT
SLOPE, CLASS_SLOPES = np.array([2.0, -0.05, 0.0]), draw(size=(3, 4)) / SCALE[:, None]
CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]] * 10)


def linear(x: Any) -> Any:
    return x @ SLOPE + 7.0


def wavy(x: Any) -> Any:
    return linear(x) + jnp.sin(3 * x[0]) + x[2] ** 2


def logits(x: Any) -> Any:
    return (x - SHIFT) @ CLASS_SLOPES


def xor(x: Any) -> Any:
    return x[0] * x[1]


def parts(count: int, held: int) -> tuple[np.ndarray, np.ndarray, int]:
    """What a key gives: places to fit, places held out, and a seed."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(KEY)))
    order = random.permutation(count)
    return order[held:], order[:held], int(random.integers(2**31))


# ----------------------------------------------------------------------------------- linear models


def test_a_linear_model_is_found() -> None:
    report = surrogate(linear, X, key=KEY)
    np.testing.assert_allclose(report.coefficients, SLOPE, atol=1e-12)
    np.testing.assert_allclose(report.standardised, SLOPE * X.std(axis=0), atol=1e-12)
    np.testing.assert_allclose(report.fitted.intercept, 7.0, rtol=1e-9)
    assert report.fidelity == pytest.approx(1) and report.fidelity_fitted == pytest.approx(1)
    assert report.faithful and report.sizes == (42, 18) and report.rules == ""
    np.testing.assert_allclose(jax.jit(jax.grad(report))(X[0]), SLOPE, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(report)(X), linear(X), rtol=1e-10)


def test_least_squares_and_its_fidelity_by_hand() -> None:
    report = surrogate(wavy, X, key=KEY, held_out=0.25, least_fidelity=0.1)
    scores = np.asarray(jax.jit(jax.vmap(wavy))(X))
    fit, held, _ = parts(60, 15)
    design = np.concatenate([X, np.ones((60, 1))], axis=1)
    found = np.linalg.lstsq(design[fit], scores[fit])[0]
    np.testing.assert_allclose(report.coefficients, found[:3], rtol=1e-7)
    for part, fidelity in ((held, report.fidelity), (fit, report.fidelity_fitted)):
        missed = np.sum((scores[part] - design[part] @ found) ** 2)
        away = np.sum((scores[part] - scores[part].mean()) ** 2)
        assert fidelity == pytest.approx(1 - missed / away, rel=1e-9)


def test_text_of_a_linear_surrogate() -> None:
    report = surrogate(linear, X, key=KEY, names=("age", "dose", "pH"), units=("years", "mg", ""))
    lines = str(report).splitlines()
    assert lines[0] == "linear surrogate of linear: R² 1 on 18 held-out inputs, 1 on the 42 fitted."
    assert lines[1].split() == ["feature", "per", "unit", "per", "deviation"]
    assert [line.split()[0] for line in lines[2:]] == ["age", "dose", "pH", "intercept"]
    deviation = f"{(SLOPE * X.std(axis=0))[1]:+.4g}"
    assert lines[3].split() == ["dose", "(mg)", "-0.05", deviation]


def test_columns_that_are_collinear_or_constant() -> None:
    columns = np.concatenate([X[:, :1], 2 * X[:, :1], np.full((60, 1), 0.1)], axis=1)
    report = surrogate(lambda x: 3 * x[0] + x[2], columns, key=KEY)
    assert "Features are collinear" in str(report)
    assert report.fidelity == pytest.approx(1)
    # The smallest per standard deviation: equal shares of 3 deviations of x[0].
    np.testing.assert_allclose(report.coefficients, [1.5, 0.75, 0.0], rtol=1e-10, atol=1e-12)
    alone = surrogate(lambda x: 3 * x[0] + x[2], columns[:, [0, 2]].repeat(2, 1)[:, 1:], key=KEY)
    assert "collinear" not in str(alone)  # a column and two constants
    np.testing.assert_allclose(alone.coefficients, [3.0, 0.0, 0.0], rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------------ classes


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    report = surrogate(logits, X, kind="logistic", key=KEY, l2=0.01, least_fidelity=0.5)
    labels = np.argmax(logits(X), axis=1)
    fit, held, _ = parts(60, 18)
    mean, scale = X[fit].mean(axis=0), X[fit].std(axis=0)
    twin = sklearn.LogisticRegression(C=1 / (0.01 * len(fit)), tol=1e-10, max_iter=10000)
    twin.fit((X[fit] - mean) / scale, labels[fit])
    found = np.asarray(report.coefficients) * scale
    np.testing.assert_allclose(found, twin.coef_, rtol=1e-3, atol=1e-4)
    guesses = twin.predict((X - mean) / scale)
    assert report.fidelity == np.mean(guesses[held] == labels[held])
    assert report.fidelity_fitted == np.mean(guesses[fit] == labels[fit])
    frequent = np.argmax(np.bincount(labels[fit]))
    assert report.chance == np.mean(labels[held] == frequent)
    assert report.remarks == () and report.standardised.shape == (4, 3)
    np.testing.assert_allclose(np.sum(report.coefficients, axis=0), 0, atol=1e-9)


def test_classes_in_a_row_and_their_names() -> None:
    """The class in the middle has no line that parts it from both others."""
    xs = np.linspace(-3, 3, 90)[:, None]
    report = surrogate(
        lambda x: -((x - jnp.array([-2.0, 0.0, 2.0])) ** 2),
        xs,
        kind="logistic",
        key=KEY,
        classes=("low", "middle", "high"),
    )
    assert report.fidelity > 0.9 and report.faithful
    assert "middle per deviation" in str(report) and "agreement" in str(report)


def test_a_surrogate_no_better_than_one_class_is_refused() -> None:
    """Classes that no line can tell apart, of which one is frequent."""
    xs = np.array([[-1.0], [0.0], [0.0], [1.0], [0.0], [0.0], [0.0], [0.0], [0.0], [0.0]] * 10)

    def middle(x: Any) -> Any:
        return jnp.stack([1.5 * x[0] ** 2, 1 - x[0] ** 2])

    with pytest.warns(RuntimeWarning, match="the same answer for all"):
        report = surrogate(middle, xs, kind="logistic", key=KEY, least_fidelity=0.5)
    assert report.fidelity == report.chance > 0.5 and not report.faithful


# -------------------------------------------------------------------------------------------- trees


def test_xor_is_no_linear_model_but_a_tree() -> None:
    pytest.importorskip("sklearn")
    with pytest.warns(RuntimeWarning, match="no explanation of xor"):
        refused = surrogate(xor, CORNERS, key=KEY)
    assert refused.fidelity < 0.2 and not refused.faithful
    assert str(refused).startswith("NOT FAITHFUL: on 12 held-out inputs")
    assert f"R² {refused.fidelity:.3g}, less than least_fidelity=0.8" in str(refused)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = surrogate(xor, CORNERS, kind="tree", depth=2, key=KEY)
    assert report.fidelity == report.fidelity_fitted == 1 and report.refusal == ""
    assert report.coefficients is None and report.standardised is None
    np.testing.assert_array_equal(jax.jit(jax.vmap(report))(CORNERS), CORNERS.prod(axis=1))
    with pytest.warns(RuntimeWarning, match="NOT FAITHFUL"):
        assert surrogate(xor, CORNERS, kind="tree", depth=1, key=KEY).fidelity < 0.2


def test_trees_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.tree")
    fit, held, seed = parts(60, 18)
    report = surrogate(wavy, X, kind="tree", depth=4, key=KEY, least_fidelity=0.1)
    scores = np.asarray(jax.jit(jax.vmap(wavy))(X))
    twin = sklearn.DecisionTreeRegressor(max_depth=4, random_state=seed).fit(X[fit], scores[fit])
    np.testing.assert_allclose(jax.jit(jax.vmap(report))(X), twin.predict(X), rtol=1e-12)
    assert report.fidelity == pytest.approx(twin.score(X[held], scores[held]), rel=1e-9)
    # Classes, of which one does not occur.
    report = surrogate(
        lambda x: jnp.concatenate([jnp.full(1, -1e9), logits(x)]),
        X,
        kind="tree",
        key=KEY,
        least_fidelity=0.1,
    )
    labels = np.argmax(logits(X), axis=1)
    twin = sklearn.DecisionTreeClassifier(max_depth=3, random_state=seed).fit(X[fit], labels[fit])
    found = np.asarray(jax.jit(jax.vmap(report))(X))
    np.testing.assert_allclose(found[:, 0], 0)
    np.testing.assert_allclose(found[:, 1:][:, twin.classes_], twin.predict_proba(X), rtol=1e-12)
    assert report.fidelity == pytest.approx(twin.score(X[held], labels[held]))


def test_inputs_on_a_threshold_go_left() -> None:
    pytest.importorskip("sklearn")
    near = np.nextafter(np.float32(64), np.float32(99))
    xs = np.array([[64.0], [near]] * 10, np.float32)
    report = surrogate(lambda x: (x[0] > 64).astype(x.dtype), xs, kind="tree", depth=1, key=KEY)
    assert report.fidelity == 1


def test_rules_have_names_and_units() -> None:
    pytest.importorskip("sklearn")
    report = surrogate(
        lambda x: jnp.stack([30.0 - x[0], x[0] - 30.0, x[1] - 99.0]),
        np.array([[20.0, 1.0], [40.0, 2.0]] * 10),
        kind="tree",
        key=KEY,
        names=("age", "dose"),
        units=("years", ""),
        classes=("young", "old", "ill"),
        depth=1,
    )
    fit, *_ = parts(20, 6)
    young = int(np.sum(fit % 2 == 0))
    by_age = [
        f"age <= 30 years: young, 100%  ({young} inputs)",
        f"age > 30 years: old, 100%  ({14 - young} inputs)",
    ]
    by_dose = [line.replace("age", "dose").replace("30 years", "1.5") for line in by_age]
    assert report.rules.splitlines() in (by_age, by_dose)
    assert str(report).endswith(report.rules)


def test_a_tree_is_drawn() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    report = surrogate(xor, CORNERS, kind="tree", depth=2, key=KEY, names=("a $1", "b"))
    (axes,) = draw_tree(report, title="T").axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("yes") == texts.count("no") == 3
    leaves = [text for text in axes.texts if "input" in text.get_text()]
    assert [text.get_text().split("\n")[0] for text in leaves] == ["1", "-1", "-1", "1"]
    assert [text.get_position()[0] for text in leaves] == [0.5, 1.5, 2.5, 3.5]
    assert {text for text in texts if "<=" in text} == {"a $1 <= 0", "b <= 0"}
    with pytest.raises(TypeError, match="report is a linear; expected the surrogate"):
        draw_tree(surrogate(linear, X, key=KEY))


def test_a_picture_of_a_refused_tree_says_so() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    with pytest.warns(RuntimeWarning):
        report = surrogate(xor, CORNERS, kind="tree", depth=1, key=KEY)
    figure = draw_tree(report, title="a fine tree")
    assert figure.texts[0].get_text().startswith("NOT FAITHFUL")


# -------------------------------------------------------------------------------- models and inputs


def test_black_boxes_arguments_and_chunks() -> None:
    seen: list[int] = []

    def predict(rows: np.ndarray) -> np.ndarray:
        seen.append(len(rows))
        return rows[:, 0] * 2 + rows[:, 1]

    box = black_box(predict)
    report = surrogate(lambda x, scale: scale * box(x), X, 3.0, key=KEY, chunk=20)
    np.testing.assert_allclose(report.coefficients, [6.0, 3.0, 0.0], atol=1e-10)
    assert seen == [20, 20, 20]


def test_the_key_decides_and_dtypes_are_kept() -> None:
    first, again = (surrogate(wavy, X, key=KEY, least_fidelity=0) for _ in range(2))
    other = surrogate(wavy, X, key=jax.random.key(4), least_fidelity=0)
    assert (first.coefficients == again.coefficients).all() and first.fidelity == again.fidelity
    assert (first.coefficients != other.coefficients).any()
    table = jnp.asarray(X, jnp.float32)
    report = surrogate(lambda x: 2 * x[0], table, key=KEY)
    assert report.coefficients.dtype == report(table[0]).dtype == jnp.float32
    whole = np.arange(20)[:, None]
    report = surrogate(lambda x: 2 * x[0].astype(jnp.float32), whole, key=KEY)
    np.testing.assert_allclose(report(whole[3]), 6, rtol=1e-6)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: surrogate(logits, X, key=KEY), TypeError, "kind='linear' is for scores, but logits"),
    (
        lambda: surrogate(linear, X, kind="logistic", key=KEY),
        TypeError,
        "kind='logistic' is for classes",
    ),
    (lambda: surrogate(lambda x: x[:1], X, key=KEY), TypeError, r"output: float64\[1\]"),
    (lambda: surrogate(lambda x: 1, X, key=KEY), TypeError, "must return a score"),
    (lambda: surrogate(linear, X[0], key=KEY), ValueError, r"must be a table, \(n, F\)"),
    (lambda: surrogate(linear, X * np.nan, key=KEY), ValueError, "not finite"),
    (lambda: surrogate(linear, X[:4], key=KEY), ValueError, "leaves 3 to fit and 1 to measure"),
    (lambda: surrogate(lambda x: 0 * x[0], X, key=KEY), ValueError, "the same score for all 60"),
    (
        lambda: surrogate(lambda x: 0 * x, X, kind="logistic", key=KEY),
        ValueError,
        "the same class for all 60",
    ),
    (
        lambda: surrogate(lambda x: jnp.log(x[0]), X, key=KEY),
        ValueError,
        rf"returned nan for inputs\[{int(np.argmax(X[:, 0] < 0))}\]",
    ),
    (lambda: surrogate(linear, X, key=None), TypeError, "pass key="),  # type: ignore[arg-type]
    (lambda: surrogate(linear, X, key=KEY, kind="forest"), ValueError, "linear, logistic, tree"),
    (lambda: surrogate(linear, X, key=KEY, depth=2), ValueError, "option of kind='tree'"),
    (lambda: surrogate(linear, X, key=KEY, l2=2.0), ValueError, "option of kind='logistic'"),
    (lambda: surrogate(linear, X, key=KEY, kind="tree", depth=0), ValueError, "depth=0"),
    (lambda: surrogate(linear, X, key=KEY, held_out=1.5), ValueError, "held_out=1.5"),
    (lambda: surrogate(linear, X, key=KEY, least_fidelity=2.0), ValueError, "least_fidelity"),
    (lambda: surrogate(linear, X, key=KEY, names=("a",)), ValueError, "must hold 3 names"),
    (lambda: surrogate(linear, X, key=KEY, classes=("a",)), ValueError, "must hold 0 names"),
    (
        lambda: jax.jit(lambda xs: surrogate(linear, xs, key=KEY).fitted)(X),
        TypeError,
        "outside of jax.jit",
    ),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxplain\[surrogate\]'"):
        surrogate(xor, CORNERS, kind="tree", key=KEY)
