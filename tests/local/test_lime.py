"""LIME against its definition in NumPy, and what it promises."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lime_references as reference
import numpy as np
import pytest

import jaxplain
from jaxplain import lime, lime_path, lime_settings
from jaxplain.local._reweighted import check_probabilities

draw = np.random.default_rng(4).normal
X, BASE, WEIGHTS = draw(size=(3, 4)), draw(size=(3, 4)), draw(size=(3, 4))
GROUPS = np.array([[7, -2, 7, 0], [0, 0, -2, 7], [5, 5, 5, 3]])
NAMES = np.unique(GROUPS)
KEY = jax.random.key(5)


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * WEIGHTS)) + 2 * x[0, 0] * x[2, 3]


@functools.cache
def masks(samples: int, count: int, sampling: str = "independent", p: float = 0.5) -> np.ndarray:
    """What the key draws; the first sample keeps everything."""

    @jax.jit
    @jax.vmap
    def drawn(number: Any) -> Any:
        key = jax.random.fold_in(KEY, number)
        if sampling == "independent":
            return jax.random.bernoulli(key, p, (count,))
        size, order = jax.random.split(key)
        missing = jax.random.randint(size, (), 1, count + 1)
        return jax.random.permutation(order, count) >= missing

    return np.concatenate([np.ones((1, count)), drawn(jnp.arange(1, samples))]).astype(float)


def by_hand(samples: int, **options: Any) -> tuple[np.ndarray, float, float, float]:
    """The samples one after another, and a fit to them."""
    settings = {
        "kernel_width": 0.25, "distance": "cosine", "kernel": "lime", "solver": "ridge",
        "penalty": 1.0, "sampling": "independent", "keep_probability": 0.5,
    } | options  # fmt: skip
    z = masks(samples, len(NAMES), settings["sampling"], settings["keep_probability"])
    score, scores, weights = jax.jit(f), [], []
    for row in z:
        kept = np.where(row[np.searchsorted(NAMES, GROUPS)] == 1, X, BASE)
        scores.append(float(score(kept)))
        ends = (kept.ravel(), X.ravel()) if "input" in settings["distance"] else (row, z[0])
        d = reference.distance(settings["distance"], *ends)
        weights.append(reference.kernel(settings["kernel"], d, settings["kernel_width"]))
    y, w = np.array(scores), np.array(weights)
    if settings["solver"] == "logistic":
        y = 1 / (1 + np.exp(-y))
    used, keep = None, settings.get("keep")
    if keep is not None:
        choose = reference.forward if keep <= 6 else reference.highest_weights
        used = choose(z, y, w, keep)
    return reference.local_model(z, y, w, settings["solver"], settings["penalty"], used)


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "wide, euclidean": {"kernel_width": 2.0, "distance": "euclidean", "kernel": "exponential"},
    "hamming, more kept": {"distance": "hamming", "keep_probability": 0.8, "keep": 2},
    "sizes": {"sampling": "sizes", "penalty": 0.3},
    "lasso": {"solver": "lasso", "penalty": 0.05, "distance": "input_cosine"},
    "logistic": {"solver": "logistic", "penalty": 0.5, "distance": "input_euclidean",
                 "kernel_width": 4.0},
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_definition(case: str) -> None:
    options = OPTIONS[case]
    chunk = 7 if case in ("defaults", "sizes") else None
    model = (lambda x: jax.nn.sigmoid(f(x))) if case == "logistic" else f
    explain = jax.jit(lime(model, samples=60, groups=GROUPS, chunk=chunk, info=True, **options))
    found, info = explain(X, baseline=BASE, key=KEY)
    values, intercept, prediction, fidelity = by_hand(60, **options)
    np.testing.assert_allclose(info.values, values, rtol=1e-8, atol=1e-11)
    np.testing.assert_array_equal(found, np.asarray(info.values)[np.searchsorted(NAMES, GROUPS)])
    told = [float(part) for part in (info.intercept, info.prediction, info.fidelity)]
    np.testing.assert_allclose(told, [intercept, prediction, fidelity], rtol=1e-8, atol=1e-11)
    assert info.evaluations == 60 and info.converged
    assert info.standard_error.shape == X.shape and np.isfinite(info.standard_error).all()


def test_own_distance_and_kernel() -> None:
    """Functions stand for names."""
    same = jax.jit(
        lime(
            f,
            samples=60,
            groups=GROUPS,
            distance=lambda z, ones: jnp.sqrt(jnp.sum((z - ones) ** 2)),
            kernel=lambda d, width: jnp.exp(-((d / width) ** 2)),
            kernel_width=2.0,
            info=True,
        )
    )(X, baseline=BASE, key=KEY)[1]
    values = by_hand(60, **OPTIONS["wide, euclidean"])[0]
    np.testing.assert_allclose(same.values, values, rtol=1e-9, atol=1e-12)


def test_additive_scores_are_recovered() -> None:
    """Without a penalty exactly, whatever the samples; each element is a feature."""

    def additive(x: Any) -> Any:
        return jnp.sum(WEIGHTS * x) + 3

    found, info = jax.jit(lime(additive, samples=40, penalty=0.0, info=True))(
        X, baseline=BASE, key=KEY
    )
    np.testing.assert_allclose(found, WEIGHTS * (X - BASE), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(info.intercept, additive(BASE), rtol=1e-9)
    np.testing.assert_allclose(info.prediction, additive(X), rtol=1e-9)
    np.testing.assert_allclose(info.fidelity, 1, rtol=1e-12)
    assert np.max(info.standard_error) < 1e-10


def test_constant_scores() -> None:
    found, info = jax.jit(lime(lambda x: 0 * x[0, 0] + 2, samples=30, info=True))(X, key=KEY)
    assert not found.any() and info.fidelity == 1 and info.intercept == 2
    assert not info.standard_error.any()


def test_one_sweep_over_widths_runs_the_model_once() -> None:
    """So do penalties, and a path of the lasso: the samples do not depend on them."""
    counted = []

    def counting(x: Any) -> Any:
        jax.debug.callback(counted.append, x[0, 0])
        return f(x)

    def explain(width: Any, penalty: Any) -> Any:
        explain = lime(counting, samples=60, groups=GROUPS, kernel_width=width, penalty=penalty)
        return explain(X, baseline=BASE, key=KEY)

    widths, penalties = jnp.array([0.1, 0.25, 2.0]), jnp.array([0.1, 1.0, 5.0])
    found = jax.jit(jax.vmap(explain))(widths, penalties)
    jax.effects_barrier()
    assert len(counted) == 60
    for row, width, penalty in zip(found, widths.tolist(), penalties.tolist(), strict=True):
        values = by_hand(60, kernel_width=width, penalty=penalty)[0]
        np.testing.assert_allclose(row, values[np.searchsorted(NAMES, GROUPS)], rtol=1e-8)
    path = lime_path(counting, np.array([1.0, 0.1, 0.01]), samples=60, groups=GROUPS)
    jax.jit(path)(X, baseline=BASE, key=KEY)
    jax.effects_barrier()
    assert len(counted) == 120


def test_path_of_the_lasso() -> None:
    """Features and fidelity of the local models from simple to faithful."""
    penalties = np.array([10.0, 0.5, 0.1, 0.01, 0.0])
    path = jax.jit(lime_path(f, penalties, samples=60, groups=GROUPS, chunk=16))
    found = path(X, baseline=BASE, key=KEY)
    assert found.complexity[0] == 0 and found.complexity[-1] == len(NAMES)
    np.testing.assert_array_equal(found.complexity, np.sum(np.asarray(found.values) != 0, axis=1))
    assert (np.diff(found.fidelity) >= 0).all() and found.fidelity[0] == 0
    for penalty, values, fidelity in zip(penalties, found.values, found.fidelity, strict=True):
        expected = by_hand(60, solver="lasso", penalty=float(penalty))
        np.testing.assert_allclose(values, expected[0], atol=1e-9)
        np.testing.assert_allclose(fidelity, expected[3], atol=1e-9)


def test_standard_errors_are_honest() -> None:
    """They are the deviation over keys, though each has one sample in common: the input."""
    explain = lime(f, samples=150, groups=GROUPS, info=True)
    run = jax.jit(jax.vmap(functools.partial(explain, X, baseline=BASE)))
    values, info = run(key=jax.random.split(jax.random.key(0), 300))
    ratio = np.mean(info.standard_error, axis=0) / np.std(values, axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_classes_share_the_model() -> None:
    """One key for all classes: the network runs once for all of them."""
    counted = []

    def logits(x: Any) -> Any:
        jax.debug.callback(counted.append, x[0, 0])
        return jnp.tanh(WEIGHTS @ x.ravel()[:4])

    explain = lime(jaxplain.select(logits), samples=50)
    found = jax.jit(jax.vmap(lambda k: explain(X, k, key=KEY)))(jnp.arange(3))
    jax.effects_barrier()
    assert len(counted) == 50
    single = jax.jit(lime(lambda x: logits(x)[2], samples=50))(X, key=KEY)
    np.testing.assert_allclose(found[2], single, rtol=1e-10, atol=1e-14)


def test_batches() -> None:
    """A key, a baseline and superpixels for each example; then the average over baselines."""
    explain = lime(f, samples=30, features=5)
    groups = np.stack([np.searchsorted(NAMES, GROUPS), np.arange(12).reshape(3, 4) // 3])
    keys, xs, bases = jax.random.split(KEY, 2), np.stack([X, BASE]), np.stack([BASE, 0 * X])
    run, single = jax.jit(jax.vmap(explain)), jax.jit(explain)
    mapped = run(xs, baseline=bases, groups=groups, key=keys)
    for n in range(2):
        alone = single(xs[n], baseline=bases[n], groups=groups[n], key=keys[n])
        np.testing.assert_allclose(mapped[n], alone, rtol=1e-9, atol=1e-13)
    averaged = jax.jit(jaxplain.over_baselines(lime(f, samples=30)))
    single = jax.jit(lime(f, samples=30))
    each = [
        single(X, baseline=base, key=jax.random.fold_in(KEY, n)) for n, base in enumerate(bases)
    ]
    np.testing.assert_allclose(averaged(X, baseline=bases, key=KEY), np.mean(each, 0), rtol=1e-9)


def test_trees_tokens_and_dtypes() -> None:
    """Features across leaves; ids with a mask token; single and lower precision."""
    tree = {"a": jnp.asarray(X, jnp.float32), "ids": jnp.array([3, 1, 3, 2])}
    table = jnp.array([0.0, 1.0, 2.0, -1.5], jnp.float32)

    def g(tree: Any) -> Any:
        return jnp.sum(tree["a"]) + jnp.sum(table[tree["ids"]])

    groups = {"a": np.array(0), "ids": np.array([1, 2, 1, 3])}
    explain = jax.jit(lime(g, samples=40, groups=groups, penalty=0.0))
    baseline = {"a": jnp.zeros_like(tree["a"]), "ids": jnp.zeros(4, tree["ids"].dtype)}
    found = explain(tree, baseline=baseline, key=KEY)
    np.testing.assert_allclose(found["a"], np.full(X.shape, X.sum()), rtol=1e-5)
    np.testing.assert_allclose(found["ids"], [-3, 1, -3, 2], rtol=1e-5)
    assert found["a"].dtype == np.float32

    single = jax.jit(lime(lambda x: jnp.sum(x**2), samples=40))
    low = single(jnp.asarray(X, jnp.bfloat16), key=KEY)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(low, float), single(X, key=KEY), atol=0.1)


def test_derivatives() -> None:
    """By the input, with distances of inputs, where the weights have derivatives too."""
    explain = lime(f, samples=40, groups=GROUPS, distance="input_euclidean", kernel_width=3.0,
                   chunk=9)  # fmt: skip
    loss = jax.jit(lambda x, base: jnp.sum(explain(x, baseline=base, key=KEY) ** 2))
    direction, step = draw(size=X.shape), 1e-6
    slope = np.sum(jax.jit(jax.grad(loss))(X, BASE) * direction)
    ends = loss(X + step * direction, BASE), loss(X - step * direction, BASE)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)
    # Where input and baseline meet there is nothing to tell apart, and no direction to go.
    assert np.isfinite(jax.jit(jax.grad(loss))(X, X)).all()


def test_memory_does_not_grow_with_samples() -> None:
    """But for a few numbers each: scores, distances, weights."""

    def needed(samples: int) -> int:
        x = jnp.ones((8, 4000))
        explain = jax.jit(lime(jnp.sum, samples=samples, chunk=5, along=0, info=True))
        compiled = explain.lower(x, key=KEY).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    few, many = needed(100), needed(1100)
    assert 5 * 8 * 4000 * 8 <= few <= many <= few + 1000 * 64


def test_settings() -> None:
    options = lime_settings("text")
    options["keep"] = None
    assert options is not lime_settings("text") and lime_settings("text")["keep"] == 10
    with pytest.raises(ValueError, match="name='words' is unknown: choose one of image, text"):
        lime_settings("words")


def test_kernels_too_narrow_are_told() -> None:
    explain = jax.jit(lime(f, samples=30, kernel_width=1e-3))
    with pytest.warns(RuntimeWarning, match=r"leave 1\.00 effective samples"):
        jax.block_until_ready(explain(X, key=KEY))
        jax.effects_barrier()
    info = jax.jit(lime(f, samples=30, kernel_width=1e-3, info=True))(X, key=KEY)[1]
    assert not info.converged


def test_scores_that_are_no_probabilities() -> None:
    with pytest.raises(ValueError, match=r"but the model returned scores from 0\.5 to 1\.5"):
        check_probabilities(jnp.array([0.5, 1.5]))
    explain = jax.jit(lime(lambda x: x[0, 0] ** 2 + 1, samples=5, solver="logistic", info=True))
    assert np.isnan(explain(X, key=KEY)[0]).all()


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: lime(f, samples=1), ValueError, "samples=1 is not a whole number of at least 2"),
    (lambda: lime(f, kernel_width=0), ValueError, "kernel_width=0 leaves no weight"),
    (lambda: lime(f, kernel_width=-1), ValueError, "kernel_width=-1 must be a number"),
    (lambda: lime(f, distance="l2"), ValueError, "distance='l2' is unknown: choose one of cosine"),
    (lambda: lime(f, kernel="rbf"), ValueError, "kernel='rbf' is unknown"),
    (lambda: lime(f, solver="svm"), ValueError, "solver='svm' is unknown"),
    (lambda: lime(f, penalty=-0.1), ValueError, "penalty=-0.1 must be a number at least 0"),
    (lambda: lime(f, selection="best"), ValueError, "selection='best' is unknown"),
    (lambda: lime(f, selection="none", keep=3), ValueError, "selection='none' keeps all"),
    (lambda: lime(f, keep=0), ValueError, "keep=0 is not a whole number"),
    (lambda: lime(f, sampling="all"), ValueError, "sampling='all' is unknown"),
    (lambda: lime(f, keep_probability=1.5), ValueError, "between 0 and 1"),
    (lambda: lime(f, chunk=0), ValueError, "chunk=0"),
    (lambda: lime(f)(X), TypeError, "pass key=jax.random.key"),
    (lambda: lime(f, samples=12, penalty=0.0)(X, key=KEY), ValueError, "cannot determine 12 coef"),
    (lambda: lime_path(f, [0.1], penalty=1.0), TypeError, "lime_path sets penalty itself"),
    (lambda: lime_path(f, 0.1), ValueError, r"penalties has shape \(\)"),
    (lambda: lime_path(f, [-0.1]), ValueError, "must be a number at least 0"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
