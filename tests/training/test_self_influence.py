"""Self-influence, against dense linear algebra."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.training._influence import influence
from jaxplain.training._self_influence import self_influence

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
PARAMS = {
    "hidden": RNG.normal(size=(3, 2)),
    "out": RNG.normal(size=(2, 2)),
}
TRAIN = RNG.normal(size=(11, 3)), RNG.integers(0, 2, size=11)
P = 10


def logits(params: Any, x: Any) -> Any:
    return jnp.tanh(x @ params["hidden"]) @ params["out"]


def cross_entropy(params: Any, x: Any, y: Any) -> Any:
    with jax.named_scope("logits"):
        h = logits(params, x)
    return jax.nn.logsumexp(h) - h[y]


def flat_loss(flat: Any, x: Any, y: Any) -> Any:
    return cross_entropy({"hidden": flat[:6].reshape(3, 2), "out": flat[6:].reshape(2, 2)}, x, y)


FLAT = np.concatenate([PARAMS["hidden"].ravel(), PARAMS["out"].ravel()])
GRADIENTS = np.asarray(jax.jit(jax.vmap(jax.grad(flat_loss), (None, 0, 0)))(FLAT, *TRAIN))
HESSIAN = np.mean(jax.jit(jax.vmap(jax.hessian(flat_loss), (None, 0, 0)))(FLAT, *TRAIN), axis=0)


def gauss_newton() -> np.ndarray:
    """The mean of J' (diag p - p p') J."""

    def of_outputs(flat: Any, x: Any) -> Any:
        return logits({"hidden": flat[:6].reshape(3, 2), "out": flat[6:].reshape(2, 2)}, x)

    def both(x: Any) -> Any:
        return jax.jacrev(of_outputs)(jnp.asarray(FLAT), x), of_outputs(FLAT, x)

    total = np.zeros((P, P))
    for jacobian, h in zip(*map(np.asarray, jax.jit(jax.vmap(both))(TRAIN[0])), strict=True):
        p = np.exp(h) / np.exp(h).sum()
        total += jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian
    return total / len(TRAIN[0])


def expected(matrix: np.ndarray, damping: float, chosen: Any = slice(None)) -> np.ndarray:
    """g' (C + damping I)^-1 g of each example, with a dense matrix."""
    g, block = GRADIENTS[:, chosen], matrix[chosen][:, chosen]
    inverse = np.linalg.inv(block + damping * np.eye(len(block)))
    return np.einsum("ni,ij,nj->n", g, inverse, g)


FULL: dict[str, Any] = {"rank": P, "key": KEY}


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(
    "options", [FULL, {"solver": "cg", "tolerance": 1e-12}], ids=["full", "cg"]
)
def test_is_the_dense_form(options: dict[str, Any], chunk: int | None) -> None:
    found = self_influence(cross_entropy, PARAMS, TRAIN, damping=1.0, chunk=chunk, **options)
    np.testing.assert_allclose(found, expected(HESSIAN, 1.0), rtol=1e-9)


def test_is_minus_the_diagonal_of_influence() -> None:
    explain = influence(cross_entropy, PARAMS, TRAIN, damping=1.0, tolerance=1e-12)
    found = self_influence(cross_entropy, PARAMS, TRAIN, damping=1.0, **FULL)
    np.testing.assert_allclose(found, -np.diag(jax.vmap(explain)(*TRAIN)), rtol=1e-9)


def test_gauss_newton() -> None:
    found = self_influence(
        cross_entropy,
        PARAMS,
        TRAIN,
        curvature="gauss_newton",
        outputs="logits",
        damping=0.01,
        **FULL,
    )
    np.testing.assert_allclose(found, expected(gauss_newton(), 0.01), rtol=1e-9)


def test_some_of_the_parameters() -> None:
    found = self_influence(
        cross_entropy, PARAMS, TRAIN, parameters="out", damping=1.0, rank=4, key=KEY
    )
    np.testing.assert_allclose(found, expected(HESSIAN, 1.0, slice(6, None)), rtol=1e-9)


def test_stream_and_progress() -> None:
    """Read once to be counted, once for each product, and once for the gradients."""
    xs, ys = TRAIN
    batches = [(xs[:6], ys[:6]), (xs[6:], ys[6:])]
    read: list[int] = []
    options: dict[str, Any] = {"damping": 1.0, "rank": 3, "key": KEY}
    whole = self_influence(cross_entropy, PARAMS, TRAIN, **options)
    stream = self_influence(cross_entropy, PARAMS, batches, progress=read.append, **options)
    np.testing.assert_allclose(stream, whole, rtol=1e-9)
    assert read == [11 * i + j for i in range(6 + 1) for j in (6, 11)]
    cut = self_influence(cross_entropy, PARAMS, TRAIN, chunk=6, progress=read.append, **options)
    np.testing.assert_allclose(cut, whole, rtol=1e-9)
    assert read[-1] == 7 * 11


def test_less_than_all_eigenvectors_give_less() -> None:
    scores = [
        self_influence(cross_entropy, PARAMS, TRAIN, damping=1.0, rank=r, dimension=P, key=KEY)
        for r in (2, P)
    ]
    assert np.all(scores[0] > 0) and np.all(scores[0] < scores[1])


def test_what_is_negative_is_told() -> None:
    assert np.linalg.eigvalsh(HESSIAN)[0] < -0.01
    with pytest.warns(RuntimeWarning, match="negative along some directions"):
        found = self_influence(cross_entropy, PARAMS, TRAIN, damping=1e-3, **FULL)
    assert np.all(found >= 0)
    with pytest.warns(RuntimeWarning, match=r"did not converge for \d+ examples"):
        self_influence(cross_entropy, PARAMS, TRAIN, damping=1e-3, solver="cg")


def flipped_gaussians() -> tuple[tuple[Any, Any], np.ndarray]:
    """Two clouds, 60 points each, of which 12 carry the label of the other."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0.0, 1.0], 60)
    xs = rng.normal(size=(120, 4)) + 3 * (truth[:, None] - 0.5)
    wrong = rng.choice(120, size=12, replace=False)
    ys = truth.copy()
    ys[wrong] = 1 - ys[wrong]
    return (np.concatenate([xs, np.ones((120, 1))], axis=1), ys), wrong


def logistic(w: Any, x: Any, y: Any) -> Any:
    return jax.nn.softplus(x @ w) - y * (x @ w) + 0.005 * jnp.sum(w**2)


def minimum(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Newton's method for logistic regression."""
    w = np.zeros(xs.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-xs @ w))
        hessian = (xs.T * p * (1 - p)) @ xs / len(xs) + 0.01 * np.eye(len(w))
        w -= np.linalg.solve(hessian, xs.T @ (p - ys) / len(xs) + 0.01 * w)
    return w


def test_finds_wrong_labels() -> None:
    train, wrong = flipped_gaussians()
    scores = self_influence(logistic, minimum(*train), train, damping=0.0, key=KEY)
    most = np.argsort(-scores)[: len(wrong)]
    assert np.isin(most, wrong).mean() >= 0.8


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"solver": "lissa"}, ValueError, "solver='lissa' is unknown: choose one of arnoldi, cg"),
        ({"curvature": "fisher"}, ValueError, "curvature='fisher' is unknown"),
        ({"curvature": "gauss_newton"}, ValueError, "needs the path of the network's outputs"),
        ({"outputs": "logits"}, ValueError, "Gauss-Newton, and only that"),
        ({}, TypeError, "self_influence with solver='arnoldi' is random"),
        (
            {"key": KEY, "tolerance": 1e-3},
            ValueError,
            "tolerance=0.001 is an option of solver='cg",
        ),
        ({"solver": "cg", "rank": 3}, ValueError, "rank=3 is an option of solver='arnoldi'"),
        ({"solver": "cg", "iterations": 0}, ValueError, "iterations=0 is not a whole number"),
        ({"solver": "cg", "tolerance": -1.0}, ValueError, "tolerance=-1.0 must be a number"),
        ({"solver": "cg", "progress": print}, TypeError, "give train as a tuple of arrays"),
        ({"key": KEY, "rank": 3, "dimension": 2}, ValueError, "rank=3 eigenvectors cannot come"),
        ({"key": KEY, "damping": -1.0}, ValueError, "damping=-1.0 must be a number at least 0"),
        ({"key": KEY, "parameters": "head"}, ValueError, "fits none of the 2 parameters"),
        ({"key": KEY, "chunk": 0}, ValueError, "chunk=0 is not a whole number"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        self_influence(cross_entropy, PARAMS, TRAIN, **options)


def test_conjugate_gradients_solve_one_system_at_a_time() -> None:
    """Memory that grew with the square of the number of examples would be 64 times as much."""

    def loss(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        score = jnp.sum(jnp.tanh(x[:, None] * w))
        return jax.nn.softplus(score) - y * score

    def scores(train: Any) -> jax.Array:
        w = jnp.ones((3, 32))
        return self_influence(loss, w, train, solver="cg", iterations=3, tolerance=1.0)

    def memory(count: int) -> int:
        like = (
            jax.ShapeDtypeStruct((count, 3), jnp.float64),
            jax.ShapeDtypeStruct((count,), jnp.float64),
        )
        stats = jax.jit(scores).lower(like).compile().memory_analysis()
        return int(stats.temp_size_in_bytes)

    assert memory(800) < 16 * memory(100)


def test_streams_are_not_for_compiled_code() -> None:
    def scores(damping: Any) -> jax.Array:
        return self_influence(cross_entropy, PARAMS, [TRAIN], damping=damping, key=KEY)

    with pytest.raises(TypeError, match="are read by Python"):
        jax.jit(scores)(jnp.array(0.1))
