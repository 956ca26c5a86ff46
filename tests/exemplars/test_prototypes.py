"""Prototypes against the greedy choice with the whole kernel matrix, and on clusters."""

from __future__ import annotations

from typing import Any

import exemplar_references as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.exemplars._kernels import Rbf, cosine_kernel, rbf_kernel
from jaxplain.exemplars._points import Points, _all_means
from jaxplain.exemplars._protodash import protodash
from jaxplain.exemplars._prototypes import prototypes
from jaxplain.program._cut import cut

N, CENTRES = 40, np.array([[0.0, 0.0, 1.0], [5.0, 1.0, 0.0], [-1.0, 6.0, 2.0], [4.0, -5.0, 3.0]])


def clusters(seed: int, count: int = N, spread: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """A mixture of Gaussians of unequal shares, and which of them each point is from."""
    rng = np.random.default_rng(seed)
    own = rng.choice(4, size=count, p=[0.4, 0.3, 0.2, 0.1])
    own[:4] = range(4)
    return CENTRES[own] + spread * rng.normal(size=(count, 3)), own


def wide(seed: int) -> np.ndarray:
    """Vectors of so many entries that their distances come from products."""
    return np.random.default_rng(seed).normal(size=(N, 24)) + 3


DATA = {
    "clusters": clusters(0)[0],
    "clusters again": clusters(1)[0],
    "wide": wide(2),
    "wide again": wide(3),
}


# ------------------------------------------------------------------------------- the greedy choice


@pytest.mark.parametrize("name", DATA)
def test_choice_is_that_of_the_whole_matrix(name: str) -> None:
    X = DATA[name]
    gamma = reference.median_gamma(X)
    K = reference.gaussian(X, X, gamma)
    expected = reference.prototypes(K, 10)
    places, info = prototypes(X, 10, chunk=16, info=True)
    assert places.dtype == jnp.int32
    np.testing.assert_array_equal(places, expected)
    heads = [expected[:size] for size in range(1, 11)]
    np.testing.assert_allclose(info.gamma, gamma, rtol=1e-10)
    np.testing.assert_allclose(
        info.objective, [reference.objective(K, head) for head in heads], atol=1e-10
    )
    np.testing.assert_allclose(
        info.mmd2, [reference.squared_mmd(K, head) for head in heads], atol=1e-10
    )


@pytest.mark.parametrize("seed", [4, 5])
def test_labels_give_each_class_prototypes_of_its_own(seed: int) -> None:
    X, own = clusters(seed, spread=3.0)
    K = reference.local(reference.gaussian(X, X, 0.05), own)
    places = np.asarray(prototypes(X, 10, kernel=rbf_kernel(0.05), labels=own, chunk=16))
    np.testing.assert_array_equal(places, reference.prototypes(K, 10))
    assert set(own[places]) == set(range(4))
    names = np.array(["ape", "bee", "cat", "dog"])[own]
    np.testing.assert_array_equal(
        prototypes(X, 10, kernel=rbf_kernel(0.05), labels=names, chunk=16), places
    )


def test_largest_marginal_is_not_what_is_taken() -> None:
    """The reference differs from a greedy choice that forgets how many there are."""
    X = DATA["clusters"]
    K = reference.gaussian(X, X, reference.median_gamma(X))
    stale: list[int] = []
    for _ in range(10):
        gain = 2 * K.mean(axis=0) - (2 * K[stale].sum(axis=0) + K.diagonal()) / max(len(stale), 1)
        gain[stale] = -np.inf
        stale.append(int(np.argmax(gain)))
    assert stale != reference.prototypes(K, 10)


def laplace(x: Any, y: Any) -> Any:
    return jnp.exp(-jnp.sum(jnp.abs(x - y)) / 4)


KERNELS = {
    "linear": ("linear", lambda X: X @ X.T),
    "cosine": (cosine_kernel, lambda X: X @ X.T / np.outer(*2 * (np.linalg.norm(X, axis=1),))),
    "own": (laplace, lambda X: np.exp(-np.abs(X[:, None] - X[None]).sum(axis=-1) / 4)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_other_kernels(name: str) -> None:
    kernel, matrix = KERNELS[name]
    X = DATA["clusters again"]
    places, info = prototypes(X, 6, kernel=kernel, info=True)
    expected = reference.prototypes(matrix(X), 6)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(info.mmd2[-1], reference.squared_mmd(matrix(X), expected))
    assert info.gamma is None


@pytest.mark.parametrize("seed", [6, 7, 8])
def test_each_cluster_gets_as_many_as_its_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = rng.permutation(np.repeat(range(4), [20, 20, 20, 40]))
    X = CENTRES[own] + 0.5 * rng.normal(size=(100, 3))
    places = np.asarray(prototypes(X, 10, kernel=rbf_kernel(0.1)))
    assert sorted(own[places[:5]]) == [0, 1, 2, 3, 3]
    assert sorted(own[places]) == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3]


def test_all_of_the_data_are_like_the_data() -> None:
    X = DATA["wide"]
    places, info = prototypes(X, N, info=True)
    assert sorted(places.tolist()) == list(range(N))
    assert abs(info.mmd2[-1]) < 1e-14


def test_of_equal_examples_the_first() -> None:
    X = np.repeat(DATA["clusters"][:10], 4, axis=0)
    K = reference.gaussian(X, X, 0.1)
    places = np.asarray(prototypes(X, 8, kernel=rbf_kernel(0.1)))
    assert np.all(places[:4] % 4 == 0)
    np.testing.assert_array_equal(places, reference.prototypes(K.round(12), 8))


# ---------------------------------------------------------------------------- features and numbers


def network(x: Any) -> Any:
    with jax.named_scope("hidden"):
        h = jnp.tanh(x["a"] @ jnp.ones((3, 5), x["a"].dtype)) * x["b"]
    return h.sum()


def test_features_of_a_layer() -> None:
    rng = np.random.default_rng(0)
    X = {"a": 0.3 * rng.normal(size=(N, 2, 3)), "b": rng.normal(size=(N, 2, 5))}
    h = np.stack([np.tanh(a @ np.ones((3, 5))) * b for a, b in zip(X["a"], X["b"], strict=True)])
    flat = h.reshape(N, -1)
    bottom = cut(network, at="hidden")[0]
    expected = reference.prototypes(reference.gaussian(flat, flat, 0.3), 5)
    places = prototypes(X, 5, features=bottom, kernel=rbf_kernel(0.3), chunk=16)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(prototypes(h, 5, kernel=rbf_kernel(0.3)), expected)
    with pytest.raises(TypeError, match=r"X is not one array but X\['a'\].*features="):
        prototypes(X, 5)


def test_single_precision_chooses_the_same() -> None:
    """Also far from zero, or with clusters far from each other, where squares are large."""
    near, far = clusters(9, count=300)[0], 1e4 * np.eye(3)[np.arange(300) % 3]
    sets = [(near + 100, None), (wide(10) + 100, None), (near + far, rbf_kernel(0.3))]
    for X, kernel in sets:
        single = X.astype(np.float32)
        exact, wanted = prototypes(single.astype(float), 20, kernel=kernel, info=True)
        places, info = prototypes(single, 20, kernel=kernel, info=True)
        assert info.objective.dtype == info.mmd2.dtype == jnp.float32
        np.testing.assert_array_equal(places, exact)
        np.testing.assert_allclose(info.objective, wanted.objective, rtol=1e-5)
        np.testing.assert_allclose(info.gamma, wanted.gamma, rtol=1e-5)


def test_bytes_are_numbers_and_half_precision_is_widened() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(N, 4, 4, 2), dtype=np.uint8)
    expected = prototypes(pixels.astype(float), 5)
    np.testing.assert_array_equal(prototypes(pixels, 5), expected)
    low = jnp.asarray(pixels, jnp.bfloat16)
    _, info = prototypes(low, 5, info=True)
    assert info.mmd2.dtype == jnp.float32
    np.testing.assert_array_equal(prototypes(low, 5), prototypes(low.astype(jnp.float32), 5))


def test_column_means_take_no_matrix() -> None:
    """Beyond the data, rows of one chunk: not the square of the number of examples."""
    count, chunk = 10_000, 64
    like: Any = jax.ShapeDtypeStruct((count, 2), jnp.float32)
    points = Points(like, None, Rbf(0.1))
    memory = _all_means.lower(points, points, chunk).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * 4 * chunk * count < 4 * count**2 / 20


# ------------------------------------------------------------------------- transforms and progress


def test_within_compiled_code() -> None:
    X = np.stack([DATA["clusters"], DATA["clusters again"]])
    own = np.stack([clusters(0)[1], clusters(1)[1]])

    @jax.jit
    @jax.vmap
    def choose(X: Any, own: Any) -> Any:
        return prototypes(X, 5, labels=own, info=True)

    places, info = choose(X, own)
    for i in range(2):
        alone, wanted = prototypes(X[i], 5, labels=own[i], info=True)
        np.testing.assert_array_equal(places[i], alone)
        np.testing.assert_allclose(info.mmd2[i], wanted.mmd2, atol=1e-12)
    X[1] = 0  # no distances, so no width
    places, _ = choose(X, own)
    assert np.all(places[1] == -1) and np.all(places[0] >= 0)


def test_widths_in_one_call() -> None:
    X = DATA["clusters"]
    widths = jnp.array([0.01, 0.1, 1.0])
    both = jax.jit(jax.vmap(lambda gamma: prototypes(X, 5, kernel=rbf_kernel(gamma))))(widths)
    for gamma, places in zip(widths.tolist(), both, strict=True):
        K = reference.gaussian(X, X, gamma)
        np.testing.assert_array_equal(places, reference.prototypes(K, 5))
    own = jax.jit(lambda c: prototypes(X, 5, kernel=lambda x, y: c + jnp.vdot(x, y)))(2.0)
    np.testing.assert_array_equal(own, reference.prototypes(2 + X @ X.T, 5))


def test_discrepancy_can_be_differentiated() -> None:
    X = jnp.asarray(DATA["clusters"])

    @jax.jit
    def last(step: Any) -> Any:
        return prototypes(X + step * jnp.sin(X * 9), 5, info=True)[1].mmd2[-1]

    slope = (last(1e-5) - last(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.jit(jax.grad(last))(0.0), slope, rtol=1e-5)
    assert abs(slope) > 1e-4


def test_progress_counts_rows_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    X, seen = DATA["wide"][:37], []
    places = prototypes(X, 4, chunk=14, progress=seen.append)
    assert seen == [13, 26, 37, 38, 39, 40, 41]
    np.testing.assert_array_equal(places, prototypes(X, 4))
    with pytest.raises(ValueError, match="leave progress out"):
        jax.jit(lambda X: prototypes(X, 4, progress=seen.append))(X)
    np.testing.assert_array_equal(prototypes(X, 4, chunk=14, progress=True), places)
    assert "41/41" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ errors


def one_way(x: Any, y: Any) -> Any:
    return jnp.sum(jnp.maximum(x - y, 0))


X0 = DATA["clusters"]
ERRORS: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "too many": (X0[:5], {"n": 6}, ValueError, "n=6 prototypes.* there are 5 examples"),
    "none": (X0, {"n": 0}, ValueError, "n=0 is not a whole number of at least 1"),
    "no data": (X0[:0], {}, ValueError, "leading axis of length 0"),
    "no entries": (X0[:, :0], {}, ValueError, "vectors without entries"),
    "nan": (np.where(X0[3, 1] == X0, np.nan, X0), {}, ValueError, r"X\[3, 1\] is nan"),
    "constant": (np.ones((9, 3)), {}, ValueError, r"median .* 9 examples is 0.*rbf_kernel\(gamma"),
    "alone": (X0[:1], {"n": 1}, ValueError, "X is alone"),
    "labels": (X0, {"labels": [0, 1]}, ValueError, r"labels has shape \(2,\), but .* 40 examples"),
    "no label": (X0[:2], {"labels": [0, np.nan]}, ValueError, r"labels\[1\] is NaN"),
    "name": (X0, {"kernel": "rbf"}, ValueError, "kernel='rbf' is unknown: choose one of linear"),
    "no kernel": (X0, {"kernel": 3}, TypeError, "must be a function"),
    "vector": (X0, {"kernel": lambda x, y: x * y}, TypeError, "must return one real number"),
    "one way": (X0, {"kernel": one_way}, ValueError, r"one_way is not symmetric: k\(X\["),
    "infinite": (
        X0,
        {"kernel": lambda x, y: jnp.log(x[0] * y[0])},
        ValueError,
        "with the other examples is nan in the mean",
    ),
    "features": (X0, {"features": lambda x: jnp.log(x)}, ValueError, "features .* not finite"),
    "chunk": (X0, {"chunk": 0}, ValueError, "chunk=0"),
    "bar": (X0, {"progress": 3}, TypeError, "progress=3"),
    "complex": (X0 + 1j, {}, TypeError, "complex"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    X, options, error, message = ERRORS[name]
    with pytest.raises(error, match=message):
        prototypes(X, **{"n": 2} | options)


@pytest.mark.parametrize("gamma", [0.0, -1.0, np.inf, np.nan, "wide", np.ones(2)])
def test_width_is_a_positive_number(gamma: Any) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        rbf_kernel(gamma)


def test_one_example_stands_for_itself() -> None:
    assert prototypes(np.ones((1, 3)), 1, kernel="cosine").tolist() == [0]


def test_cosine_of_zero_tiny_and_huge_vectors() -> None:
    zero, x, y = jnp.zeros(2), jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0])
    assert cosine_kernel(zero, x) == 0
    np.testing.assert_allclose(cosine_kernel(1e-300 * x, 1e300 * y), 0.8)
    np.testing.assert_array_equal(jax.grad(cosine_kernel)(zero, x), x / jnp.sqrt(5.0))


# --------------------------------------------------------------------------------------- ProtoDash


@pytest.mark.parametrize("name", DATA)
def test_protodash_is_that_of_the_whole_matrix(name: str) -> None:
    X = DATA[name]
    K = reference.gaussian(X, X, reference.median_gamma(X))
    expected, weights = reference.protodash(K, K.mean(axis=0), 8)
    places, found = protodash(X, 8, chunk=16)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(found, weights, atol=1e-8)
    assert places.dtype == jnp.int32 and np.min(found) >= 0


def test_protodash_of_a_target() -> None:
    """Examples of all clusters stand for one; those of others get no weight."""
    X, own = clusters(11)
    target = clusters(12)[0][:7] + 0.2
    gamma = 0.3
    means = reference.gaussian(X, target, gamma).mean(axis=1)
    expected, weights = reference.protodash(reference.gaussian(X, X, gamma), means, 8)
    places, found = protodash(X, 8, target=target, kernel=rbf_kernel(gamma), chunk=16)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(found, weights, atol=1e-8)
    seen: list[int] = []
    again, _ = protodash(
        X, 8, target=target, kernel=rbf_kernel(gamma), chunk=30, progress=seen.append
    )
    np.testing.assert_array_equal(again, expected)
    assert seen == [20, 40, *range(41, 49)]


def test_protodash_with_a_linear_kernel_holds_weights_at_zero() -> None:
    X = np.random.default_rng(2).normal(size=(N, 20))
    K = X @ X.T
    expected, weights = reference.protodash(K, K.mean(axis=0), 8)
    assert np.any(weights == 0) and np.any(weights > 0)
    places, found = protodash(X, 8, kernel="linear")
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(found, weights, atol=1e-8)


def test_weights_of_duplicates_are_shares() -> None:
    X = np.array([[0.0], [0.0], [0.0], [9.0]])
    places, weights = protodash(X, 4, kernel=rbf_kernel(1.0))
    assert places[:2].tolist() == [0, 3]
    assert np.sum(weights[np.asarray(places) < 3]) == pytest.approx(0.75)
    assert np.sum(weights) == pytest.approx(1)


def test_weights_within_compiled_code_and_their_derivative() -> None:
    X = jnp.asarray(DATA["clusters"])

    @jax.jit
    def first(step: Any) -> Any:
        _, weights = protodash(X + step * jnp.sin(X * 9), 5)
        return weights[0]

    np.testing.assert_allclose(first(0.0), protodash(X, 5)[1][0], rtol=1e-12)
    slope = (first(1e-5) - first(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.jit(jax.grad(first))(0.0), slope, rtol=1e-5)


def test_errors_of_protodash() -> None:
    with pytest.raises(ValueError, match="vectors of 2 entries, but those of X have 3"):
        protodash(X0, 2, target=X0[:, :2])
    with pytest.raises(ValueError, match=r"not finite: target\[0, 0\] is nan"):
        protodash(X0, 2, target=np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="n=41 prototypes.* there are 40"):
        protodash(X0, 41)


def test_other_kernels_within_jit_and_vmap() -> None:
    X = jnp.asarray(np.random.default_rng(5).normal(size=(20, 3)))
    for kernel in ("linear", "cosine"):
        compiled = jax.jit(lambda: prototypes(X, 3, kernel=kernel))()  # noqa: B023
        np.testing.assert_array_equal(compiled, prototypes(X, 3, kernel=kernel))

    def chosen(gamma: Any) -> jax.Array:
        return prototypes(X, 3, kernel=lambda x, y: jnp.exp(-gamma * jnp.sum(jnp.abs(x - y))))

    gammas = jnp.array([0.1, 1.0])
    mapped = jax.vmap(chosen)(gammas)
    np.testing.assert_array_equal(mapped, [chosen(gamma) for gamma in gammas])
