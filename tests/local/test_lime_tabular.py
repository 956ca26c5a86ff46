"""LIME for tables: statistics of the data, samples drawn from them, and the fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lime_references as reference
import numpy as np
import pytest
from scipy import stats

from jaxplain import TableStatistics, lime_tabular, table_statistics
from jaxplain.local._lime_tabular import _Sampler

rng = np.random.default_rng(2)
ROWS = 200
DATA = np.column_stack(
    [
        rng.normal(size=ROWS),
        rng.choice([2.0, 5.0, 7.0], size=ROWS, p=[0.5, 0.3, 0.2]),
        rng.exponential(size=ROWS) * 3 + 10,
        np.full(ROWS, 4.0),
        rng.integers(0, 3, size=ROWS).astype(float),
    ]
)
NAMES = [1]
X = np.array([0.4, 5.0, 12.0, 4.0, 1.0])
KEY = jax.random.key(3)
TABLE = table_statistics(DATA, categorical=NAMES)


def f(x: Any) -> Any:
    return jax.nn.sigmoid(x[0] + jnp.where(x[1] == 5, x[2] / 10, 0) + 0.3 * x[4] - 1.5)


@jax.jit
def drawn(keys: Any) -> Any:
    """Inputs and rows, with bins and without."""
    plain = table_statistics(DATA, categorical=NAMES, discretize=None)
    binned = jax.vmap(_Sampler(TABLE, jnp.asarray(X), "mean").draw)(keys)
    around = jax.vmap(_Sampler(plain, jnp.asarray(X), "input").draw)(keys)
    return binned, around, jax.vmap(_Sampler(plain, jnp.asarray(X), "mean").draw)(keys)


COUNT = 4000
SAMPLES = jax.tree.map(np.asarray, drawn(jax.random.split(KEY, COUNT)))


def bin_of(column: int, values: np.ndarray) -> np.ndarray:
    edges = np.unique(np.percentile(DATA[:, column], [25, 50, 75]))
    return np.array([np.sum(value > edges) for value in values])


def test_statistics() -> None:
    for column in (0, 2, 3, 4):
        bins = bin_of(column, DATA[:, column])
        for k in range(TABLE.frequencies.shape[1]):
            inside = DATA[bins == k, column]
            np.testing.assert_allclose(TABLE.frequencies[column, k], len(inside) / ROWS)
            if len(inside):
                np.testing.assert_allclose(TABLE.means[column, k], inside.mean())
                np.testing.assert_allclose(TABLE.deviations[column, k], inside.std(), atol=2e-11)
                assert TABLE.low[column, k] <= inside.min() <= inside.max()
                assert inside.max() <= TABLE.high[column, k]
    np.testing.assert_allclose(TABLE.mean, DATA.mean(axis=0))
    np.testing.assert_array_equal(TABLE.scale[3], 1)
    np.testing.assert_array_equal(TABLE.values[1, :3], [2, 5, 7])
    shares = [np.mean(DATA[:, 1] == value) for value in (2, 5, 7)]
    np.testing.assert_allclose(TABLE.frequencies[1], [*shares, 0])
    deciles = table_statistics(DATA, discretize="decile")
    np.testing.assert_allclose(deciles.edges[0], np.percentile(DATA[:, 0], range(10, 100, 10)))
    given = table_statistics(DATA, discretize=[[0.0], [], [11.0, 13.0], [], [0.5]])
    np.testing.assert_array_equal(given.edges[2], [11, 13])
    np.testing.assert_allclose(given.frequencies[0, :2], [np.mean(DATA[:, 0] <= 0),
                                                          np.mean(DATA[:, 0] > 0)])  # fmt: skip


def test_rows_say_whether_the_bin_is_that_of_the_input() -> None:
    values, rows = SAMPLES[0]
    for column in (0, 2, 3, 4):
        same = bin_of(column, values[:, column]) == bin_of(column, X[column : column + 1])
        np.testing.assert_array_equal(rows[:, column], same)
    np.testing.assert_array_equal(rows[:, 1], values[:, 1] == 5)
    np.testing.assert_array_equal(values[:, 3], 4)  # a column of equal values stays what it is


def test_samples_are_distributed_as_the_statistics_say() -> None:
    values, _ = SAMPLES[0]
    for column in (0, 2):
        bins = bin_of(column, values[:, column])
        for k in range(4):
            inside = values[bins == k, column]
            noise = 4 * np.sqrt(0.25 * 0.75 / COUNT)
            np.testing.assert_allclose(len(inside) / COUNT, 0.25, atol=noise)
            mean, deviation = TABLE.means[column, k], TABLE.deviations[column, k]
            ends = (TABLE.low[column, k] - mean) / deviation, (TABLE.high[column, k] - mean)
            cut = stats.truncnorm(ends[0], ends[1] / deviation, mean, deviation)
            assert stats.kstest(inside, cut.cdf).pvalue > 1e-4
    for value, share in zip((2, 5, 7), TABLE.frequencies[1], strict=False):
        np.testing.assert_allclose(np.mean(values[:, 1] == value), share, atol=0.035)


def test_samples_without_bins() -> None:
    for (values, rows), centre in zip(SAMPLES[1:], (X, DATA.mean(axis=0)), strict=True):
        for column in (0, 2, 4):
            own = stats.norm(centre[column], DATA[:, column].std())
            assert stats.kstest(values[:, column], own.cdf).pvalue > 1e-4
            standard = (values[:, column] - DATA[:, column].mean()) / DATA[:, column].std()
            np.testing.assert_allclose(rows[:, column], standard, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(rows[:, 1], values[:, 1] == 5)


CASES: dict[str, dict[str, Any]] = {
    "bins": {},
    "no bins": {"discretize": None, "around": "input", "keep": 3, "chunk": 33},
    "logistic": {"solver": "logistic", "penalty": 0.2, "kernel_width": 1.0},
}


@pytest.mark.parametrize("case", CASES)
def test_definition(case: str) -> None:
    """What is drawn for the samples' keys, fitted by hand."""
    options, samples = CASES[case], 120
    explain = lime_tabular(f, DATA, categorical=NAMES, samples=samples, info=True, **options)
    found, info = jax.jit(explain)(X, key=KEY)
    discretize = options.get("discretize", "quartile")
    statistics = table_statistics(DATA, categorical=NAMES, discretize=discretize)
    sampler = _Sampler(statistics, jnp.asarray(X), options.get("around", "mean"))
    keys = jax.vmap(lambda number: jax.random.fold_in(KEY, number))(jnp.arange(samples))
    values, rows = (np.array(part) for part in jax.jit(jax.vmap(sampler.draw))(keys))
    values[0], rows[0] = X, 1
    if discretize is None:
        standard = (X - DATA.mean(axis=0)) / statistics.scale
        rows[0] = np.where(np.arange(5) == 1, 1, standard)
    y = np.array(jax.jit(jax.vmap(f))(values))
    width = options.get("kernel_width", 0.75 * 5**0.5)
    apart = [reference.distance("euclidean", row, rows[0]) for row in rows]
    w = np.array([reference.kernel("lime", d, width) for d in apart])
    keep = options.get("keep", 10)
    used = reference.forward(rows, y, w, keep) if keep < 5 else None
    fit = options.get("solver", "ridge"), options.get("penalty", 1.0)
    expected = reference.local_model(rows, y, w, *fit, used)
    np.testing.assert_allclose(found, expected[0], rtol=1e-7, atol=1e-10)
    told = [float(part) for part in (info.intercept, info.prediction, info.fidelity)]
    np.testing.assert_allclose(told, expected[1:], rtol=1e-8)
    assert info.evaluations == samples and info.standard_error.shape == (5,)


def test_batches_statistics_and_dtypes() -> None:
    """One example after another; statistics instead of the data; single precision."""
    explain = lime_tabular(f, TABLE, samples=60)
    keys, xs = jax.random.split(KEY, 2), np.stack([X, DATA[0]])
    mapped = jax.jit(jax.vmap(explain))(xs, key=keys)
    for n in range(2):
        alone = lime_tabular(f, DATA, categorical=NAMES, samples=60)
        np.testing.assert_allclose(mapped[n], jax.jit(alone)(xs[n], key=keys[n]), rtol=1e-9)
    low = jax.jit(explain)(jnp.asarray(X, jnp.float32), key=KEY)
    assert low.dtype == jnp.float32
    assert np.isfinite(low).all()


def test_unknown_categories() -> None:
    """They are unlike all samples, which says nothing about them."""
    x = np.where(np.arange(5) == 1, 6.0, X)
    found = jax.jit(lime_tabular(f, TABLE, samples=60))(x, key=KEY)
    assert np.isfinite(found).all()


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: lime_tabular(f, DATA[0]), ValueError, r"\(rows, features\), but have shape \(5,\)"),
    (lambda: lime_tabular(f, DATA * [1, 1, np.nan, 1, 1]), ValueError, "row 0 has nan in column 2"),
    (lambda: lime_tabular(f, DATA, categorical=[5]), ValueError, "names column 5, but the data"),
    (lambda: lime_tabular(f, DATA, discretize="entropy"), ValueError, "choose one of quartile, d"),
    (lambda: lime_tabular(f, DATA, discretize=[[1.0]]), ValueError, "the edges of 1 columns"),
    (lambda: lime_tabular(f, TABLE, categorical=[1]), ValueError, "give them to table_statistics"),
    (lambda: lime_tabular(f, DATA, around="input"), ValueError, "give discretize=None too"),
    (lambda: lime_tabular(f, DATA, around="x"), ValueError, "around='x' is unknown"),
    (lambda: lime_tabular(f, DATA, distance="input_cosine"), ValueError, "distance='input_cosine'"),
    (lambda: lime_tabular(f, DATA, samples=5, penalty=0.0), ValueError, "cannot determine 5 coeff"),
    (lambda: lime_tabular(f, DATA)(X[:4], key=KEY), ValueError, "row of 5 features"),
    (lambda: lime_tabular(f, DATA)(X), TypeError, "pass key=jax.random.key"),
    (lambda: lime_tabular(f, DATA)(X, key=KEY, baseline=X), TypeError, "baseline= was given"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    assert isinstance(TABLE, TableStatistics)
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
