"""Criticisms and the witness against NumPy with the whole kernel matrix."""

from __future__ import annotations

from typing import Any

import exemplar_references as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.exemplars._criticisms import criticisms
from jaxplain.exemplars._kernels import rbf_kernel
from jaxplain.exemplars._prototypes import prototypes
from jaxplain.exemplars._witness import witness

N = 40
RNG = np.random.default_rng(5)
DATA = {
    "few entries": RNG.normal(size=(N, 3)),
    "many entries": RNG.normal(size=(N, 24)) + 3,
    "skewed": RNG.exponential(size=(N, 2)) ** 2,
}
LABELS = RNG.integers(0, 3, size=N)
PLACES = [7, 30, 2, 11]


@pytest.mark.parametrize("regularize", [True, False])
@pytest.mark.parametrize("labels", [None, LABELS], ids=["", "labels"])
@pytest.mark.parametrize("name", DATA)
def test_choice_is_that_of_the_whole_matrix(name: str, labels: Any, regularize: bool) -> None:
    X = DATA[name]
    K = reference.gaussian(X, X, reference.median_gamma(X))
    if labels is not None:
        K = reference.local(K, labels)
    expected = reference.criticisms(K, PLACES, 9, regularize)
    found = criticisms(X, PLACES, 9, labels=labels, regularize=regularize, chunk=16)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, expected)


def test_determinant_matters() -> None:
    """With a wide kernel criticisms are alike unless they are kept apart."""
    X = DATA["few entries"]
    K = reference.gaussian(X, X, 0.05)
    both = [reference.criticisms(K, PLACES, 9, regularize) for regularize in (True, False)]
    assert set(both[0]) != set(both[1])
    for regularize, expected in zip((True, False), both, strict=True):
        found = criticisms(X, PLACES, 9, kernel=rbf_kernel(0.05), regularize=regularize)
        np.testing.assert_array_equal(found, expected)


def test_own_kernels_whose_examples_differ_in_length() -> None:
    X = DATA["many entries"]
    expected = reference.criticisms(X @ X.T, PLACES, 9, True)
    np.testing.assert_array_equal(criticisms(X, PLACES, 9, kernel="linear"), expected)


def test_single_precision_chooses_the_same() -> None:
    for X in DATA.values():
        exact = criticisms(X, PLACES, 9)
        np.testing.assert_array_equal(criticisms(X.astype(np.float32), PLACES, 9), exact)


def test_what_no_prototype_is_from_is_criticised() -> None:
    own = np.repeat(range(3), [16, 16, 8])
    X = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])[own] + 0.1 * DATA["few entries"][:, :2]
    places = prototypes(X, 2)
    assert own[np.asarray(places)].tolist() in ([0, 1], [1, 0])
    assert own[criticisms(X, places, 1)[0]] == 2
    w = np.asarray(jax.vmap(witness(X, places))(X))
    assert np.all(w[own == 2] > 0.1) and np.all(w[own < 2] < 0)


def test_witness_of_any_point() -> None:
    X, x = DATA["few entries"], np.array([0.3, -1.0, 2.0])
    w = jax.jit(witness(X, PLACES))
    gamma = reference.median_gamma(X)
    row = reference.gaussian(X, x[None], gamma)[:, 0]
    np.testing.assert_allclose(w(x), row.mean() - row[PLACES].mean(), atol=1e-14)
    K = reference.gaussian(X, X, gamma)
    np.testing.assert_allclose(jax.vmap(w)(X), reference.witness(K, PLACES), atol=1e-14)
    slope = (w(x + np.eye(3)[0] * 1e-6) - w(x - np.eye(3)[0] * 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(w)(x)[0], slope, rtol=1e-6)


def test_witness_within_classes_and_of_features() -> None:
    X, own = DATA["few entries"], LABELS + 5

    def features(x: Any) -> Any:
        return x["only"][:2]

    w = witness({"only": X}, PLACES, kernel="linear", features=features, labels=own)
    K = reference.local(X[:, :2] @ X[:, :2].T, own)
    found = jax.jit(jax.vmap(w))({"only": X}, own)
    np.testing.assert_allclose(found, reference.witness(K, PLACES), atol=1e-13)
    with pytest.raises(TypeError, match=r"function of \(x, label\)"):
        w({"only": X[0]})
    with pytest.raises(TypeError, match=r"a function of \(x\)"):
        witness(X, PLACES)(X[0], 1)
    with pytest.raises(TypeError, match="vector of 120 entries"):
        witness(X, PLACES)(X)
    with pytest.raises(TypeError, match=r"must be integers.*numpy.unique"):
        witness(X, PLACES, labels=np.array(["a", "b"] * 20))


def test_within_compiled_code() -> None:
    X = np.stack([DATA["few entries"], DATA["few entries"][::-1]])

    @jax.jit
    @jax.vmap
    def both(X: Any) -> Any:
        places = prototypes(X, 4)
        return places, criticisms(X, places, 3)

    places, found = both(X)
    for i in range(2):
        np.testing.assert_array_equal(places[i], prototypes(X[i], 4))
        np.testing.assert_array_equal(found[i], criticisms(X[i], places[i], 3))


def test_progress_counts_rows_and_changes_nothing() -> None:
    X = DATA["skewed"]
    for regularize, last in (True, [41, 42, 43]), (False, []):
        seen: list[int] = []
        found = criticisms(X, PLACES, 3, regularize=regularize, chunk=20, progress=seen.append)
        assert seen == [20, 40, *last]
        np.testing.assert_array_equal(found, criticisms(X, PLACES, 3, regularize=regularize))


def test_of_examples_that_are_the_same_one_is_taken() -> None:
    X = np.repeat(DATA["few entries"][:5], 3, axis=0)
    found = criticisms(X, [0], 5, kernel=rbf_kernel(0.2))
    assert sorted(np.asarray(found) // 3) == [0, 1, 2, 3, 4]
    assert sorted(np.asarray(found) % 3) == [0, 0, 0, 0, 1]
    with pytest.raises(ValueError, match=r"Only 5 criticisms .*regularize=False"):
        criticisms(X, [0], 6, kernel=rbf_kernel(0.2))
    traced = jax.jit(lambda X: criticisms(X, [0], 7, kernel=rbf_kernel(0.2)))(X)
    np.testing.assert_array_equal(traced, [*found, -1, -1])
    assert len(set(criticisms(X, [0], 14, regularize=False).tolist())) == 14


def test_rank_of_a_linear_kernel_is_the_limit() -> None:
    X = DATA["few entries"]
    assert len(criticisms(X, PLACES, 3, kernel="linear")) == 3
    with pytest.raises(ValueError, match="Only 3 criticisms can be told apart"):
        criticisms(X, PLACES, 4, kernel="linear")


X0 = DATA["few entries"]
ERRORS: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "vectors": (X0[:2], {}, TypeError, "must be their places in X"),
    "nested": ([PLACES], {}, ValueError, r"shape \(1, 4\)"),
    "none": (np.zeros(0, int), {}, ValueError, r"one or more places in X, \(m,\)"),
    "outside": ([1, 40], {}, ValueError, "has place 40, but X has 40 examples"),
    "negative": ([-1], {}, ValueError, "has place -1"),
    "twice": ([3, 3], {}, ValueError, "a place twice"),
    "too many": (PLACES, {"n": 37}, ValueError, "there are 36 examples beside the 4 prototypes"),
    "labels": (PLACES, {"labels": LABELS[:3]}, ValueError, r"labels has shape \(3,\)"),
    "kernel": (PLACES, {"kernel": "rbf"}, ValueError, "choose one of linear, cosine"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    places, options, error, message = ERRORS[name]
    with pytest.raises(error, match=message):
        criticisms(X0, places, **{"n": 2} | options)
