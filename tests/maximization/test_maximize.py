"""Activation maximization against loops written out, and problems whose optimum is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

from jaxplain import parametrizations, penalties, transforms
from jaxplain.maximization._maximize import Ascent, maximize_activation

rng = np.random.default_rng(0)
W, V = rng.normal(size=(4, 5)), rng.normal(size=4)
START = rng.normal(size=5)
KEY = jax.random.key(3)


def f(x: Any, scale: Any = 1.0) -> Any:
    return scale * jnp.sum(jnp.asarray(V, x.dtype) * jnp.tanh(jnp.asarray(W, x.dtype) @ x))


def noise(key: Any, x: Any) -> Any:
    return x + 0.3 * jax.random.normal(key, x.shape, x.dtype)


# ------------------------------------------------------------------------------------ the algorithm


def test_is_projected_gradient_ascent() -> None:
    steps, rate, weight, towards = 9, 0.3, 0.05, 0.2
    x = np.clip(START, -0.5, 0.6)
    objective, penalty = [], []
    for _ in range(steps):
        h = np.tanh(W @ x)
        objective.append(2 * V @ h)
        penalty.append(weight * np.sum((x - towards) ** 2))
        slope = 2 * W.T @ (V * (1 - h**2)) - 2 * weight * (x - towards)
        x = np.clip(x + rate * slope, -0.5, 0.6)
    assert np.any(x == 0.6) and np.any(x == -0.5) and np.any(np.abs(x) < 0.5)

    maximize = maximize_activation(
        f,
        optimizer=optax.sgd(rate),
        steps=steps,
        parametrization=parametrizations.pixels((-0.5, 0.6)),
        penalties=[penalties.l2(weight, towards)],
        info=True,
    )
    found, ascent = jax.jit(maximize)(START, 2.0)
    assert isinstance(ascent, Ascent)
    np.testing.assert_allclose(found, x, rtol=1e-12)
    np.testing.assert_allclose(ascent.objective, objective, rtol=1e-12)
    np.testing.assert_allclose(ascent.penalty, penalty, rtol=1e-12)
    np.testing.assert_allclose(ascent.value, f(jnp.asarray(found), 2.0), rtol=1e-12)
    np.testing.assert_array_equal(ascent.code, found)


@pytest.mark.parametrize("samples", [1, 3])
def test_draws_are_the_ones_promised(samples: int) -> None:
    """The default optimizer, random transforms and two penalties, one step after another."""
    maximize = maximize_activation(
        f,
        steps=4,
        penalties=[penalties.l2(0.1), lambda x: jnp.sum(x**4)],
        transforms=(noise, lambda key, x: x * jax.random.uniform(key, (), x.dtype)),
        samples=samples,
    )
    optimizer = optax.adam(0.05)

    def loss(x: Any, step: Any) -> Any:
        total = 0.0
        for j in range(samples):
            key = jax.random.fold_in(jax.random.fold_in(KEY, step), j)
            first, second = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
            total += f(noise(first, x) * jax.random.uniform(second, (), x.dtype))
        return jnp.sum(0.1 * x**2 + x**4) - total / samples

    @jax.jit
    def advance(x: Any, state: Any, step: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            update, state = optimizer.update(jax.grad(loss)(x, step), state)
        return x + update, state

    x, state = jnp.asarray(START), optimizer.init(jnp.asarray(START))
    for step in range(4):
        x, state = advance(x, state, step)
    np.testing.assert_allclose(jax.jit(maximize)(START, key=KEY), x, rtol=1e-12)


def test_another_key_gives_another_result() -> None:
    maximize = jax.jit(maximize_activation(f, steps=2, transforms=noise))
    first = maximize(START, key=KEY)
    np.testing.assert_array_equal(first, maximize(START, key=KEY))
    assert np.all(first != maximize(START, key=jax.random.key(4)))


def test_optimizers_that_search_along_a_line() -> None:
    maximize = maximize_activation(
        f, optimizer=optax.lbfgs(), steps=30, penalties=[penalties.l2(0.2)], info=True
    )
    found, ascent = jax.jit(maximize)(START)
    slope = jax.grad(lambda x: f(x) - 0.2 * jnp.sum(x**2))(found)
    np.testing.assert_allclose(slope, 0, atol=1e-7)
    assert ascent.value - ascent.penalty[-1] > ascent.objective[0] - ascent.penalty[0]


# ------------------------------------------------------------- the three variants of the tutorial

P = np.diag([1.0, 2.0, 0.5]) + 0.1  # the precision of a Gaussian
MU = np.array([1.0, -1.0, 0.5])
LINEAR = np.array([2.0, -1.0, 3.0])


def log_odds(x: Any) -> Any:
    return x @ LINEAR + 0.7


def gaussian(x: Any) -> Any:
    return -(x - MU) @ P @ (x - MU) / 2


def ascend(score: Any, start: Any, **options: Any) -> np.ndarray:
    maximize = maximize_activation(score, optimizer=optax.sgd(0.2), steps=300, **options)
    return np.asarray(jax.jit(maximize)(start))


def test_simple() -> None:
    weight = 0.3
    found = ascend(log_odds, np.zeros(3), penalties=[penalties.l2(weight)])
    np.testing.assert_allclose(found, LINEAR / (2 * weight), rtol=1e-10)


def test_simple_with_a_class_probability() -> None:
    """log p saturates: the optimum is along the weights, and its length solves an equation."""
    weight = 0.3
    norm = LINEAR @ LINEAR

    def balance(t: float) -> float:
        return 1 / (1 + np.exp(t * norm + 0.7)) - 2 * weight * t

    length = scipy.optimize.brentq(balance, 0, 10, xtol=1e-14)
    found = ascend(
        lambda x: jax.nn.log_sigmoid(log_odds(x)), np.zeros(3), penalties=[penalties.l2(weight)]
    )
    np.testing.assert_allclose(found, length * LINEAR, rtol=1e-10)


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_expert(weight: float) -> None:
    found = ascend(log_odds, np.zeros(3), penalties=[penalties.expert(gaussian, weight)])
    np.testing.assert_allclose(found, MU + np.linalg.solve(weight * P, LINEAR), rtol=1e-9)


def test_expert_and_norm() -> None:
    found = ascend(log_odds, np.zeros(3), penalties=[penalties.expert(gaussian), penalties.l2(0.4)])
    expected = np.linalg.solve(P + 0.8 * np.eye(3), LINEAR + P @ MU)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_code_of_a_generator() -> None:
    weight, matrix = 0.5, np.array([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.2]])
    maximize = maximize_activation(
        log_odds,
        optimizer=optax.sgd(0.2),
        steps=300,
        parametrization=parametrizations.code(lambda z: matrix @ z + MU),
        penalties=[penalties.on_code(penalties.l2(weight))],
        info=True,
    )
    found, ascent = jax.jit(maximize)(np.ones(2))
    z = matrix.T @ LINEAR / (2 * weight)
    np.testing.assert_allclose(ascent.code, z, rtol=1e-10)
    np.testing.assert_allclose(found, matrix @ z + MU, rtol=1e-10)
    np.testing.assert_allclose(ascent.penalty[-1], weight * z @ z, rtol=1e-8)


def test_sweep_over_traced_weights_is_one_call() -> None:
    weights = np.array([0.3, 0.5, 1.0])

    @jax.jit
    @jax.vmap
    def sweep(weight: Any) -> Any:
        options: Any = {"optimizer": optax.sgd(0.2), "steps": 300}
        costs = [penalties.l2(weight), penalties.expert(lambda x: -jnp.sum(x**2), weight)]
        return maximize_activation(log_odds, penalties=costs, **options)(jnp.zeros(3))

    np.testing.assert_allclose(sweep(weights), LINEAR / (4 * weights[:, None]), rtol=1e-10)


# --------------------------------------------------------------------------------------- transforms


def scans(jaxpr: Any) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("scan", "while"):
            yield eqn
        for value in eqn.params.values():
            for part in value if isinstance(value, tuple) else (value,):
                inner = getattr(part, "jaxpr", part)
                yield from scans(inner) if hasattr(inner, "eqns") else ()


def test_all_steps_are_one_loop() -> None:
    traced = []

    def counted(x: Any) -> Any:
        traced.append(x.shape)
        return f(x)

    def jaxpr(steps: int) -> Any:
        return jax.make_jaxpr(maximize_activation(counted, steps=steps))(START).jaxpr

    lengths = [[eqn.params["length"] for eqn in scans(jaxpr(steps))] for steps in (3, 300)]
    assert lengths == [[3], [300]]
    assert len(traced) <= 2 * 3


def test_many_starts_are_a_batch() -> None:
    starts, keys = rng.normal(size=(3, 5)), jax.random.split(KEY, 3)
    maximize = maximize_activation(f, steps=5, transforms=[noise], samples=2)
    single = jax.jit(maximize)
    found = jax.jit(jax.vmap(maximize))(starts, key=keys)
    expected = [single(start, key=key) for start, key in zip(starts, keys, strict=True)]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12)


def test_pytrees_and_argnums() -> None:
    def g(weight: Any, x: Any, y: Any) -> Any:
        return (
            weight @ (x["a"] + y)
            - jnp.sum(x["a"] ** 2)
            - jnp.sum((x["b"] - 2) ** 2)
            - jnp.sum(y**2)
        )

    options: Any = {"optimizer": optax.sgd(0.3), "steps": 60}
    start = {"a": np.zeros(3), "b": np.zeros((2, 2))}
    found = jax.jit(maximize_activation(g, argnums=1, **options))(LINEAR, start, np.ones(3))
    np.testing.assert_allclose(found["a"], LINEAR / 2, rtol=1e-10)
    np.testing.assert_allclose(found["b"], np.full((2, 2), 2.0), rtol=1e-10)
    both = jax.jit(maximize_activation(g, argnums=(1, 2), **options))(LINEAR, start, np.ones(3))
    np.testing.assert_allclose(both[1], LINEAR / 2, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_dtypes(dtype: str) -> None:
    maximize = maximize_activation(
        f,
        steps=3,
        penalties=[penalties.l2(0.1), penalties.expert(lambda x: -jnp.sum(x**2), 0.1)],
        transforms=[noise],
        samples=2,
        info=True,
    )
    found, ascent = jax.jit(maximize)(jnp.asarray(START, dtype), key=KEY)
    assert found.dtype == ascent.code.dtype == dtype
    wide = "float64" if dtype == "float64" else "float32"
    assert {ascent.objective.dtype, ascent.penalty.dtype} == {jnp.dtype(wide)}
    tolerance = {"bfloat16": 0.02, "float32": 1e-5, "float64": 1e-12}[dtype]
    expected = jax.jit(maximize_activation(lambda x: -jnp.sum((x - 2) ** 2), steps=3))(START)
    again = jax.jit(maximize_activation(lambda x: -jnp.sum((x - 2) ** 2), steps=3))
    near = np.asarray(again(jnp.asarray(START, dtype)), np.float64)
    np.testing.assert_allclose(near, expected, rtol=tolerance, atol=tolerance)


def test_steps_too_small_for_bfloat16_add_up() -> None:
    maximize = maximize_activation(jnp.sum, optimizer=optax.sgd(1e-4), steps=100)
    found = jax.jit(maximize)(jnp.ones(2, jnp.bfloat16))
    np.testing.assert_array_equal(np.asarray(found, np.float64), 1 + 2**-7)


def test_derivative_of_the_result() -> None:
    """x* = w / 2λ, so its derivative by w is 1 / 2λ, also with reports on the way."""
    maximize = maximize_activation(
        lambda x, w: x @ w,
        optimizer=optax.sgd(0.2),
        steps=100,
        penalties=[penalties.l2(0.4)],
        progress=lambda done: None,
    )
    found = jax.jit(jax.jacobian(maximize, argnums=1))(jnp.zeros(3), jnp.asarray(LINEAR))
    np.testing.assert_allclose(found, np.eye(3) / 0.8, atol=1e-7)


# ----------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize("steps", [7, 20, 256])
def test_progress(steps: int) -> None:
    done: list[int] = []
    jax.jit(maximize_activation(f, steps=steps, progress=done.append))(START)
    jax.effects_barrier()
    every = -(-steps // 20)
    assert done == sorted({*range(every, steps + 1, every), steps})
    assert len(done) <= 20


def test_progress_of_a_batch_is_reported_once() -> None:
    done: list[int] = []
    maximize = maximize_activation(f, steps=40, transforms=[noise], progress=done.append)
    starts, keys = rng.normal(size=(3, 5)), jax.random.split(KEY, 3)
    jax.jit(jax.vmap(maximize))(starts, key=keys)
    jax.effects_barrier()
    assert done == list(range(2, 41, 2))


def test_progress_bar_of_an_ascent(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    maximize = jax.jit(maximize_activation(f, steps=40, progress=True))
    for _ in range(2):
        maximize(START)
        jax.effects_barrier()
    shown = capsys.readouterr().err
    assert shown.count("maximize_activation(f): 100%") == 2 and "40/40" in shown


def test_progress_bar_of_an_ascent_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxplain\[progress\]'"):
        maximize_activation(f, progress=True)


# ------------------------------------------------------------------------------------------- errors


def test_ascent_to_infinity_warns() -> None:
    maximize = maximize_activation(
        lambda x: jnp.sum(x**4), optimizer=optax.sgd(1.0), steps=20, info=True
    )
    start = jnp.full(2, 10.0, jnp.float32)
    with pytest.warns(RuntimeWarning, match="was finite for 2 of 20 steps"):
        _, ascent = jax.jit(maximize)(start)
        jax.effects_barrier()
    assert np.sum(np.isfinite(ascent.objective)) == 2


def test_start_must_be_finite() -> None:
    with pytest.raises(ValueError, match=r"x\[1\] is nan"):
        maximize_activation(f)(np.array([0.0, np.nan, 1.0, 1.0, 1.0]))


def test_optax_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxplain\[optax\]'"):
        maximize_activation(f)


OPTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no steps": ({"steps": 0}, ValueError, "steps=0 is not a whole number of at least 1"),
    "samples": ({"samples": 2}, ValueError, "samples=2 draws of no transforms"),
    "optimizer": ({"optimizer": optax.adam}, TypeError, "must be an Optax optimizer"),
    "uncalled": ({"parametrization": parametrizations.fourier}, TypeError, r"Call it: fourier\("),
    "generator": ({"parametrization": jnp.tanh}, TypeError, r"parametrizations.code\(g\)\.$"),
    "other": ({"parametrization": "pixels"}, TypeError, "must be a Parametrization, such as"),
    "penalties": ({"penalties": [0.1]}, TypeError, r"penalties=\[0.1\] must be functions"),
    "transforms": ({"transforms": 3}, TypeError, "transforms=3 must be functions"),
    "progress": ({"progress": 3}, TypeError, "progress=3 must be True"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_options(name: str) -> None:
    options, error, message = OPTIONS[name]
    with pytest.raises(error, match=message):
        maximize_activation(f, **options)


CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any], str]] = {
    "not scalar": (jnp.tanh, {}, {}, "must return one real number to explain"),
    "no key": (f, {"transforms": noise}, {}, r"pass key=jax.random.key\(0\)"),
    "useless key": (f, {}, {"key": KEY}, "has no transforms"),
    "vector": (f, {"penalties": [jnp.square]}, {}, "square must return one real number, but"),
    "uncalled": (f, {"penalties": [penalties.l2]}, {}, "returned a function. Call it with its"),
    "expert": (f, {"penalties": [penalties.expert(jnp.tanh)]}, {}, "tanh must return one real"),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_calls(name: str) -> None:
    score, options, given, message = CALLS[name]
    with pytest.raises(TypeError, match=message):
        maximize_activation(score, **options)(START, **given)


def test_transforms_are_marked_random() -> None:
    shaken = maximize_activation(f, transforms=[transforms.jitter(1)])
    assert getattr(shaken, "__needs_key__", False)
    assert not getattr(maximize_activation(f), "__needs_key__", False)
