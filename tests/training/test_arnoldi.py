"""Low-rank inverses of a curvature, against dense linear algebra."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain._keys import normal_like
from jaxplain.training._arnoldi import LowRank, fit_arnoldi
from jaxplain.training._curvature import Curvature
from jaxplain.training._parameters import choose
from jaxplain.training._training import Arrays, Batches, Training

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
PARAMS = {"b": np.zeros(()), "m": np.zeros((2, 2)), "w": np.zeros(3)}
X, Y = RNG.normal(size=(13, 7)), RNG.normal(size=13)
V = {"b": RNG.normal(), "m": RNG.normal(size=(2, 2)), "w": RNG.normal(size=3)}


def affine(params: Any, x: Any, y: Any) -> Any:
    """A squared error whose Hessian is that of the features (1, x)."""
    m, w = x[:4].reshape(2, 2), x[4:]
    return (params["b"] + jnp.sum(params["m"] * m) + params["w"] @ w - y) ** 2 / 2


def along_axes(params: Any, bend: Any) -> Any:
    """A loss whose Hessian is diagonal: the mean of the examples."""
    return jnp.sum(bend * params**2) / 2


def flat(v: Any) -> np.ndarray:
    return np.concatenate([np.ravel(v[path]) for path in ("b", "m", "w")])


FEATURES = np.concatenate([np.ones((13, 1)), X], axis=1)
HESSIAN = FEATURES.T @ FEATURES / 13
TREE = {path: jnp.asarray(leaf) for path, leaf in V.items()}


def fitted(
    loss: Any, params: Any, training: Training, *, dimension: int, rank: int, damping: float
) -> LowRank:
    curvature = Curvature(loss, choose(params))
    options: Any = {"dimension": dimension, "rank": rank, "damping": damping}
    if isinstance(training, Batches):
        return fit_arnoldi(curvature, training, params, KEY, **options)
    assert isinstance(training, Arrays)
    chunk = training.chunk
    fit = jax.jit(lambda p, e: fit_arnoldi(curvature, Arrays(e, chunk), p, KEY, **options))
    return fit(params, training.examples)


def diagonal(values: Any, *, dimension: int, rank: int, damping: float) -> LowRank:
    """The fit to a diagonal Hessian."""
    values = jnp.asarray(values, float)
    training = Arrays((jnp.stack([values + 1, values - 1]),))
    params = jnp.ones_like(values)
    return fitted(along_axes, params, training, dimension=dimension, rank=rank, damping=damping)


@pytest.mark.parametrize("dimension", [8, 50])
def test_full_dimension_is_the_dense_inverse(dimension: int) -> None:
    found = fitted(affine, PARAMS, Arrays((X, Y)), dimension=dimension, rank=8, damping=0.1)
    expected = np.linalg.solve(HESSIAN + 0.1 * np.eye(8), flat(V))
    np.testing.assert_allclose(flat(found.solve(TREE)), expected, rtol=1e-11)
    np.testing.assert_allclose(found.square(TREE), expected @ flat(V), rtol=1e-11)
    rows = np.stack([flat({p: leaf[i] for p, leaf in found.directions.items()}) for i in range(8)])
    np.testing.assert_allclose(rows @ rows.T, np.eye(8), atol=1e-13)
    np.testing.assert_allclose(found.project(TREE), rows @ flat(V), rtol=1e-12)
    assert found.definite


def test_low_rank_is_the_truncation_to_the_largest_eigenvalues() -> None:
    found = fitted(affine, PARAMS, Arrays((X, Y)), dimension=8, rank=3, damping=0.1)
    values, vectors = np.linalg.eigh(HESSIAN)
    values, vectors = values[:-4:-1], vectors[:, :-4:-1]
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-11)
    expected = vectors @ (vectors.T @ flat(V) / (values + 0.1))
    np.testing.assert_allclose(flat(found.solve(TREE)), expected, rtol=1e-9)


def test_few_products_are_the_krylov_space_of_the_start() -> None:
    """Within the span of b, Hb, H²b the best that can be known of H is its restriction."""
    found = fitted(affine, PARAMS, Arrays((X, Y)), dimension=3, rank=3, damping=0.1)
    start = flat(normal_like(jax.random.split(KEY)[1], jax.tree.map(jnp.asarray, PARAMS)))
    krylov = np.stack([start, HESSIAN @ start, HESSIAN @ HESSIAN @ start], axis=1)
    basis = np.linalg.qr(krylov)[0]
    within = basis.T @ HESSIAN @ basis
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(within)[::-1], rtol=1e-10)
    expected = basis @ np.linalg.solve(within + 0.1 * np.eye(3), basis.T @ flat(V))
    np.testing.assert_allclose(flat(found.solve(TREE)), expected, rtol=1e-9)


def test_largest_eigenvalues_come_first_from_few_products() -> None:
    values = 0.5 ** np.arange(60.0)
    found = diagonal(values, dimension=16, rank=4, damping=0.0)
    np.testing.assert_allclose(found.eigenvalues, values[:4], rtol=1e-10)


@pytest.mark.parametrize("values", [(2, 2, 2, 1, 1, 5), (3,) * 6], ids=["some", "all"])
def test_equal_eigenvalues_are_all_found(values: tuple[float, ...]) -> None:
    """Products with one start see a single direction of each eigenvalue."""
    found = diagonal(values, dimension=6, rank=6, damping=0.5)
    v = jnp.asarray(RNG.normal(size=6))
    np.testing.assert_allclose(
        found.solve({"params": v})["params"], v / (np.array(values) + 0.5), rtol=1e-11
    )
    # A space that is exhausted early costs nothing of what was found.
    few = diagonal(values, dimension=4, rank=2, damping=0.5)
    np.testing.assert_allclose(few.eigenvalues, sorted(values)[:-3:-1], rtol=1e-11)


def test_zero_eigenvalues_are_dropped_without_damping() -> None:
    found = diagonal([4, 0, 1, 0], dimension=4, rank=4, damping=0.0)
    v = {"params": jnp.array([1.0, 2.0, 3.0, 4.0])}
    np.testing.assert_allclose(found.solve(v)["params"], [0.25, 0, 3, 0], atol=1e-12)
    assert found.definite
    damped = diagonal([4, 0, 1, 0], dimension=4, rank=4, damping=1.0)
    np.testing.assert_allclose(damped.solve(v)["params"], [0.2, 2, 1.5, 4], rtol=1e-12)


def test_no_curvature_at_all() -> None:
    nothing = diagonal([0, 0, 0], dimension=3, rank=2, damping=0.0)
    assert np.all(np.asarray(nothing.solve({"params": jnp.ones(3)})["params"]) == 0)
    damped = diagonal([0, 0, 0], dimension=3, rank=3, damping=2.0)
    np.testing.assert_allclose(damped.solve({"params": jnp.ones(3)})["params"], [0.5] * 3)


def test_negative_eigenvalues_are_dropped_and_told() -> None:
    v = {"params": jnp.ones(3)}
    found = diagonal([3, -2, 1], dimension=3, rank=2, damping=0.5)
    np.testing.assert_allclose(found.eigenvalues, [3, -2], rtol=1e-12)  # by absolute value
    np.testing.assert_allclose(found.solve(v)["params"], [1 / 3.5, 0, 0], atol=1e-12)
    assert not found.definite
    enough = diagonal([3, -2, 1], dimension=3, rank=3, damping=2.5)
    np.testing.assert_allclose(enough.solve(v)["params"], [1 / 5.5, 2, 1 / 3.5], rtol=1e-11)
    assert enough.definite


def test_stream_and_chunks_are_as_arrays_at_once() -> None:
    whole = fitted(affine, PARAMS, Arrays((X, Y)), dimension=5, rank=3, damping=0.1)
    chunked = fitted(affine, PARAMS, Arrays((X, Y), 4), dimension=5, rank=3, damping=0.1)
    batches = Batches([(X[:6], Y[:6]), (X[6:12], Y[6:12]), (X[12:], Y[12:])])
    stream = fitted(affine, PARAMS, batches, dimension=5, rank=3, damping=0.1)
    for other in (chunked, stream):
        np.testing.assert_allclose(other.eigenvalues, whole.eigenvalues, rtol=1e-11)
        np.testing.assert_allclose(flat(other.solve(TREE)), flat(whole.solve(TREE)), rtol=1e-9)


def test_single_precision_stays_and_is_close() -> None:
    small, x, y = jax.tree.map(lambda leaf: leaf.astype(np.float32), (PARAMS, X, Y))
    found = fitted(affine, small, Arrays((x, y)), dimension=8, rank=8, damping=0.1)
    solution = found.solve(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), TREE))
    assert {leaf.dtype for leaf in jax.tree.leaves((found, solution))} == {
        jnp.dtype("float32"),
        jnp.dtype("bool"),
    }
    expected = np.linalg.solve(HESSIAN + 0.1 * np.eye(8), flat(V))
    np.testing.assert_allclose(flat(solution), expected, rtol=1e-4)


def test_errors() -> None:
    with pytest.raises(ValueError, match="rank=9 eigenvectors cannot come from dimension=8"):
        fitted(affine, PARAMS, Arrays((X, Y)), dimension=8, rank=9, damping=0.1)
    with pytest.raises(ValueError, match="dimension=0 is not a whole number"):
        fitted(affine, PARAMS, Arrays((X, Y)), dimension=0, rank=0, damping=0.1)
