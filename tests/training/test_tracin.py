"""TracIn, against gradients written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.training._tracin import self_tracin, tracin

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(11, 3)), RNG.normal(size=11)
TEST = RNG.normal(size=(4, 3)), RNG.normal(size=4)
RATES = [0.5, 0.25, 0.1]


def parameters() -> dict[str, np.ndarray]:
    return {"hidden": RNG.normal(size=(3, 5)), "out": RNG.normal(size=5)}


CHECKPOINTS = [parameters() for _ in RATES]


def loss(params: Any, x: Any, y: Any) -> Any:
    return (jnp.tanh(x @ params["hidden"]) @ params["out"] - y) ** 2 / 2


def gradients(params: Any, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Of each example in all parameters, by the chain rule, (n, 20)."""
    hidden = np.tanh(xs @ params["hidden"])
    wrong = hidden @ params["out"] - ys
    below = (wrong[:, None] * params["out"] * (1 - hidden**2))[:, None] * xs[:, :, None]
    return np.concatenate([below.reshape(len(xs), -1), wrong[:, None] * hidden], axis=1)


def reference(left: Any, right: Any, chosen: Any = slice(None)) -> np.ndarray:
    """Pruthi et al. 2020, TracInCP, for all pairs of examples."""
    return np.sum(
        [
            rate * gradients(p, *left)[:, chosen] @ gradients(p, *right)[:, chosen].T
            for p, rate in zip(CHECKPOINTS, RATES, strict=True)
        ],
        axis=0,
    )


class Loaded:
    """Checkpoints that are loaded one at a time."""

    def __init__(self, count: int = 3) -> None:
        self.count = count
        self.loaded = 0

    def __iter__(self) -> Iterator[Any]:
        for params in CHECKPOINTS[: self.count]:
            self.loaded += 1
            yield params


@pytest.mark.parametrize("chunk", [None, 4])
def test_is_the_formula(chunk: int | None) -> None:
    explain = tracin(loss, CHECKPOINTS, TRAIN, rates=RATES, chunk=chunk)
    np.testing.assert_allclose(jax.vmap(explain)(*TEST), reference(TEST, TRAIN), rtol=1e-11)
    one = TEST[0][0], TEST[1][0]
    expected = reference(TEST, TRAIN)[0]
    np.testing.assert_allclose(explain(*one), expected, rtol=1e-11)
    np.testing.assert_allclose(jax.jit(explain)(*one), expected, rtol=1e-11)


def test_is_symmetric_and_its_diagonal_is_self_tracin() -> None:
    pairs = jax.vmap(tracin(loss, CHECKPOINTS, TRAIN, rates=RATES))(*TRAIN)
    np.testing.assert_allclose(pairs, pairs.T, rtol=1e-11)
    for chunk in (None, 4):
        own = self_tracin(loss, CHECKPOINTS, TRAIN, rates=RATES, chunk=chunk)
        np.testing.assert_allclose(own, np.diag(pairs), rtol=1e-11)


def test_some_of_the_parameters() -> None:
    explain = tracin(loss, CHECKPOINTS, TRAIN, rates=RATES, parameters="out")
    expected = reference(TEST, TRAIN, slice(15, None))
    np.testing.assert_allclose(jax.vmap(explain)(*TEST), expected, rtol=1e-11)


def test_a_step_on_a_proponent_lowers_the_loss() -> None:
    """The sign, and to first order the size."""
    params, rate = CHECKPOINTS[0], 1e-6
    x, y = TEST[0][0], TEST[1][0]
    scores = tracin(loss, [params], TRAIN, rates=rate)(x, y)
    gradient = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))(params, *TRAIN)
    stepped = jax.tree.map(lambda p, g: p[None] - rate * g, params, gradient)
    lowered = loss(params, x, y) - jax.jit(jax.vmap(loss, (0, None, None)))(stepped, x, y)
    assert np.any(scores > 0) and np.any(scores < 0)
    np.testing.assert_allclose(scores, lowered, rtol=1e-3, atol=1e-11)


def test_stream_loader_and_progress() -> None:
    xs, ys = TRAIN
    batches = [(xs[:8], ys[:8]), (xs[8:], ys[8:])]
    read: list[int] = []
    loaded = Loaded()
    explain = tracin(loss, loaded, batches, rates=RATES, progress=read.append)
    x, y = TEST[0][1], TEST[1][1]
    assert loaded.loaded == 1
    for _ in range(2):
        np.testing.assert_allclose(explain(x, y), reference(TEST, TRAIN)[1], rtol=1e-11)
    assert read == [8, 11, 19, 22, 30, 33] * 2
    assert loaded.loaded == 1 + 2 * 3
    np.testing.assert_allclose(jax.vmap(explain)(*TEST), reference(TEST, TRAIN), rtol=1e-11)
    own = self_tracin(loss, Loaded(), batches, rates=RATES)
    np.testing.assert_allclose(own, np.diag(reference(TRAIN, TRAIN)), rtol=1e-11)
    cut = self_tracin(loss, Loaded(), TRAIN, rates=RATES, chunk=6, progress=read.append)
    np.testing.assert_allclose(cut, own, rtol=1e-12)
    assert read[-6:] == [6, 11, 17, 22, 28, 33]


def test_is_compiled_once_for_all_checkpoints_and_examples() -> None:
    traced: list[int] = []

    def counted(params: Any, x: Any, y: Any) -> Any:
        traced.append(1)
        return loss(params, x, y)

    explain = tracin(counted, CHECKPOINTS, TRAIN, rates=RATES)
    explain(TEST[0][0], TEST[1][0])
    once = len(traced)
    explain(TEST[0][1], TEST[1][1])
    assert len(traced) == once <= 4


def test_derivative_in_the_example() -> None:
    explain = tracin(loss, CHECKPOINTS[:1], TRAIN, rates=0.5)
    x, y, step = TEST[0][0], TEST[1][0], np.array([1e-5, 0, 0])
    slope = jax.jacobian(explain)(x, y)[:, 0]
    ends = explain(x + step, y) - explain(x - step, y)
    np.testing.assert_allclose(slope, ends / 2e-5, rtol=1e-6)


def test_single_precision_stays() -> None:
    small, x, y = jax.tree.map(lambda leaf: leaf.astype(np.float32), (CHECKPOINTS, *TRAIN))
    explain = tracin(loss, small, (x, y), rates=RATES)
    found = explain(x[0], y[0])
    assert found.dtype == jnp.float32
    assert self_tracin(loss, small, (x, y), rates=RATES).dtype == jnp.float32
    np.testing.assert_allclose(found, reference(TRAIN, TRAIN)[0], rtol=1e-4, atol=1e-5)


def test_finds_wrong_labels() -> None:
    """Two clouds, 60 points each, of which 12 carry the label of the other."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0.0, 1.0], 60)
    xs = rng.normal(size=(120, 4)) + 3 * (truth[:, None] - 0.5)
    xs = np.concatenate([xs, np.ones((120, 1))], axis=1)
    wrong = rng.choice(120, size=12, replace=False)
    ys = truth.copy()
    ys[wrong] = 1 - ys[wrong]
    w, checkpoints = np.zeros(5), []
    for step in range(100):
        w = w - 0.5 * xs.T @ (1 / (1 + np.exp(-xs @ w)) - ys) / len(xs)
        checkpoints += [w] if step % 20 == 19 else []

    def logistic(w: Any, x: Any, y: Any) -> Any:
        return jax.nn.softplus(x @ w) - y * (x @ w)

    scores = self_tracin(logistic, checkpoints, (xs, ys), rates=20 * 0.5)
    most = np.argsort(-scores)[: len(wrong)]
    assert np.isin(most, wrong).mean() >= 0.8


OTHER = {"hidden": np.zeros((3, 4)), "out": np.zeros(4)}


@pytest.mark.parametrize(
    ("checkpoints", "options", "error", "message"),
    [
        (CHECKPOINTS[0], {}, TypeError, r"looks like the parameters at one time.*\[params\]"),
        (np.zeros((3, 2)), {}, TypeError, r"give them as a list, \[params\]"),
        (iter(CHECKPOINTS), {}, TypeError, "list_iterator that cannot be read again"),
        (3, {}, TypeError, "is a int that cannot be read again and again"),
        ([], {}, ValueError, "There are no checkpoints"),
        (CHECKPOINTS[:2], {"rates": RATES}, ValueError, "There are 3 rates for 2 or more"),
        (Loaded(), {"rates": []}, ValueError, "There are 0 rates for 1 or more"),
        (CHECKPOINTS, {"rates": -1.0}, ValueError, "must be a number"),
        (CHECKPOINTS, {"rates": [[1.0]]}, ValueError, r"rates has shape \(1, 1\)"),
        ([CHECKPOINTS[0], OTHER], {}, ValueError, r"Checkpoint 1 has other.*'hidden' is of shape"),
        ([CHECKPOINTS[0], {"out": np.zeros(5)}], {}, ValueError, "'hidden' is missing"),
        ([{"w": np.array([np.nan])}], {}, ValueError, "Checkpoint 0: The parameters are not fin"),
        (CHECKPOINTS, {"parameters": "head"}, ValueError, "fits none of the 2 parameters"),
        (CHECKPOINTS, {"chunk": 0}, ValueError, "chunk=0 is not a whole number"),
    ],
)
def test_errors(
    checkpoints: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tracin(loss, checkpoints, TRAIN, **{"rates": 0.1, **options})


def test_errors_of_the_call() -> None:
    explain = tracin(loss, CHECKPOINTS, TRAIN, rates=0.1)
    with pytest.raises(ValueError, match="the one to explain is example: no arrays"):
        explain()
    with pytest.raises(ValueError, match="The example to explain is not finite"):
        explain(np.full(3, np.nan), np.zeros(()))
    with pytest.raises(ValueError, match="without a leading axis"):
        explain(*TEST)
    few = tracin(loss, Loaded(2), TRAIN, rates=RATES)
    with pytest.raises(ValueError, match="There are 3 rates for 2 or more checkpoints"):
        few(TEST[0][0], TEST[1][0])
    with pytest.raises(ValueError, match="chunk= is for arrays"):
        tracin(loss, CHECKPOINTS, [TRAIN], rates=0.1, chunk=3)
    with pytest.raises(TypeError, match="must return one real number"):
        tracin(lambda p, x, y: x, CHECKPOINTS, TRAIN, rates=0.1)(TEST[0][0], TEST[1][0])
