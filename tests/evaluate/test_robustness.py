"""Sensitivity, stability and continuity against loops over inputs in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain.evaluate._continuity import continuity
from jaxplain.evaluate._nearby import Nearby
from jaxplain.evaluate._norms import distance, norm
from jaxplain.evaluate._sensitivity import avg_sensitivity, local_lipschitz, max_sensitivity
from jaxplain.evaluate._stability import (
    relative_input_stability,
    relative_output_stability,
    relative_representation_stability,
)

Array = np.ndarray
draw = np.random.default_rng(7).normal
WEIGHTS, X, KEY = draw(size=(4, 6)), draw(size=6), jax.random.key(3)
X[2] = 0.0
RADIUS, SAMPLES, FLOOR = 0.3, 7, 1e-3


def logits(x: Any) -> Any:
    with jax.named_scope("hidden"):
        h = jnp.tanh(jnp.asarray(WEIGHTS, x.dtype) @ x)
    return h


def f(x: Any) -> Any:
    return jnp.max(logits(x)) + jnp.sum(x**3)


def gradient(x: Any) -> Any:
    return jax.grad(f)(x)


def product(x: Any) -> Any:
    return x * jax.grad(f)(x)


METHODS: dict[str, Callable[..., Any]] = {"gradient": gradient, "product": product}
NEAR: dict[str, Any] = {"radius": RADIUS, "samples": SAMPLES}
STABLE: dict[str, Any] = NEAR | {"floor": FLOOR}
METRICS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "max": (max_sensitivity, NEAR),
    "absolute": (max_sensitivity, NEAR | {"relative": False}),
    "avg": (avg_sensitivity, NEAR),
    "normal": (avg_sensitivity, NEAR | {"noise": "normal"}),
    "lipschitz": (local_lipschitz, NEAR),
    "input": (relative_input_stability, STABLE),
    "same class": (relative_input_stability, STABLE | {"outputs": logits}),
    "output": (relative_output_stability, STABLE),
    "outputs": (relative_output_stability, STABLE | {"outputs": logits}),
    "hidden": (relative_representation_stability, STABLE | {"at": "hidden"}),
}


@functools.cache
def measured(chunk: int | None = None) -> Callable[..., Any]:
    """All metrics of all methods in one program."""
    made = {
        name: metric(f, METHODS, chunk=chunk, **options)
        for name, (metric, options) in METRICS.items()
    }
    return jax.jit(lambda x, key: {name: metric(x, key=key) for name, metric in made.items()})


@functools.cache
def found() -> Any:
    return measured()(X, KEY)


# ------------------------------------------------------------------------------ the formulas


def inputs(noise: str = "uniform") -> list[Array]:
    """What the documentation says of sample `i`."""
    keys = [jax.random.fold_in(KEY, i) for i in range(SAMPLES)]
    if noise == "normal":
        return [X + RADIUS * np.asarray(jax.random.normal(k, X.shape)) for k in keys]
    return [X + RADIUS * np.asarray(jax.random.uniform(k, X.shape, minval=-1)) for k in keys]


def root(values: Array) -> float:
    return float(np.sqrt(np.sum(values**2)))


def percent(new: Array, old: Array) -> float:
    return root(np.array([(n - o) / (o if o else FLOOR) for n, o in zip(new, old, strict=True)]))


@functools.cache
def at(name: str) -> Callable[[Array], Array]:
    every: dict[str, Callable[..., Any]] = METHODS | {"f": f, "logits": logits}
    return jax.jit(every[name])


def by_hand(metric: str, method: str) -> float:
    A = at(method)
    here, h, y = np.asarray(A(X)), np.asarray(at("logits")(X)), float(at("f")(X))
    values = []
    for x in inputs("normal" if metric == "normal" else "uniform"):
        there, hx, yx = np.asarray(A(x)), np.asarray(at("logits")(x)), float(at("f")(x))
        if metric in ("same class", "outputs") and np.argmax(hx) != np.argmax(h):
            continue
        change, relative = root(there - here), percent(there, here)
        values.append(
            {
                "max": change / root(here),
                "absolute": change,
                "avg": change / root(here),
                "normal": change / root(here),
                "lipschitz": change / root(x - X),
                "input": relative / max(percent(x, X), FLOOR),
                "same class": relative / max(percent(x, X), FLOOR),
                "output": relative / max(abs(yx - y), FLOOR),
                "outputs": relative / max(root(hx - h), FLOOR),
                "hidden": relative / max(percent(hx, h), FLOOR),
            }[metric]
        )
    return float(np.mean(values) if metric in ("avg", "normal") else np.max(values))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", METRICS)
def test_formula(metric: str, method: str) -> None:
    np.testing.assert_allclose(found()[metric][method], by_hand(metric, method), rtol=1e-9)


def test_samples_of_another_class_are_left_out() -> None:
    """Both kinds of samples are among those that the formulas were tested on."""
    label = np.argmax(at("logits")(X))
    assert {bool(np.argmax(at("logits")(x)) == label) for x in inputs()} == {True, False}
    never = relative_input_stability(
        f, gradient, outputs=lambda x: jnp.where(jnp.all(x == X), jnp.eye(2)[0], jnp.eye(2)[1])
    )
    assert np.isnan(jax.jit(never)(X, key=KEY))


# ------------------------------------------------------------------------------------ laws


def test_chunks_and_batches_change_nothing() -> None:
    xs, keys = jnp.stack([X, 2 * X]), jnp.stack([KEY, jax.random.key(4)])
    batch = jax.jit(jax.vmap(measured(3)))(xs, keys)
    for leaf, one in zip(jax.tree.leaves(batch), jax.tree.leaves(found()), strict=True):
        np.testing.assert_allclose(leaf[0], one, rtol=1e-10)
    for leaf, one in zip(
        jax.tree.leaves(batch), jax.tree.leaves(measured()(xs[1], keys[1])), strict=True
    ):
        np.testing.assert_allclose(leaf[1], one, rtol=1e-10)


def test_one_attribution_needs_no_dictionary() -> None:
    alone = jax.jit(max_sensitivity(f, product, **NEAR))(X, key=KEY)
    np.testing.assert_allclose(alone, found()["max"]["product"], rtol=1e-12)
    other = jax.jit(max_sensitivity(f, product, **NEAR))(X, key=jax.random.key(4))
    assert abs(float(other - alone)) > 1e-6


def test_dtype() -> None:
    single = measured()(jnp.asarray(X, jnp.float32), KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(found())} == {jnp.dtype("float64")}


def test_a_random_attribution_keeps_its_key() -> None:
    noisy = jaxplain.smooth(jnp.ones_like, samples=2, sigma=0.1)
    assert float(jax.jit(max_sensitivity(f, noisy, **NEAR))(X, key=KEY)) == 0
    spread = jaxplain.smooth(lambda x: x, samples=2, sigma=0.1)
    change = jax.jit(max_sensitivity(f, spread, relative=False, **NEAR))(X, key=KEY)
    np.testing.assert_allclose(change, max(root(x - X) for x in inputs()), rtol=1e-9)


def test_zeros_and_constants_have_numbers_and_slopes() -> None:
    methods: dict[str, Callable[..., Any]] = {"zero": jnp.zeros_like, "one": jnp.ones_like}
    metrics = [
        max_sensitivity(f, methods, **NEAR),
        local_lipschitz(f, methods, **NEAR),
        relative_input_stability(f, methods, **NEAR),
    ]

    def everything(x: Any) -> Any:
        return sum(sum(metric(x, key=KEY).values()) for metric in metrics)

    value, slope = jax.jit(jax.value_and_grad(everything))(jnp.zeros(6))
    assert float(value) == 0 and np.array_equal(slope, np.zeros(6))


def test_derivative() -> None:
    metric = max_sensitivity(f, gradient, **NEAR)
    loss = jax.jit(lambda x: metric(x, key=KEY))
    slope = np.asarray(jax.jit(jax.grad(loss))(X))
    direction, step = draw(size=6), 1e-6
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope @ direction, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


def test_norm_keeps_small_and_large_numbers() -> None:
    small = jnp.asarray([3e-30, 4e-30], jnp.float32)
    np.testing.assert_allclose(norm(small), 5e-30, rtol=1e-6)
    np.testing.assert_allclose(norm({"a": small, "b": 1e30 * small}), 5.0, rtol=1e-6)
    np.testing.assert_allclose(distance(jnp.full(4, 1e200), jnp.zeros(4)), 2e200, rtol=1e-12)
    assert np.isnan(norm(jnp.array([1.0, jnp.nan]))) and norm(jnp.zeros(0)) == 0


def test_several_arguments_are_moved_independently() -> None:
    near = Nearby.checked(0.5, 100, "uniform", None)
    x = (jnp.zeros(3), jnp.ones((2, 2)))
    points = jax.jit(lambda: near.values(lambda y: y, x, KEY))()
    moves = np.concatenate([points[0], np.asarray(points[1] - 1).reshape(100, 4)], axis=1)
    assert np.abs(moves).max() <= 0.5 and np.abs(moves).max(axis=0).min() > 0.45
    assert np.abs(np.corrcoef(moves.T) - np.eye(7)).max() < 0.4


# ------------------------------------------------------------------------------- continuity


PICTURE = draw(size=(3, 5, 2))


def g(x: Any) -> Any:
    return jnp.sum(jnp.sin(x) * jnp.asarray(np.arange(30.0).reshape(3, 5, 2), x.dtype) / 10)


def moved(x: Array, shift: int, axis: int, fill: float) -> Array:
    result = np.full_like(x, fill)
    for i in range(x.shape[axis]):
        if 0 <= i - shift < x.shape[axis]:
            place: list[Any] = [slice(None)] * x.ndim
            source = place.copy()
            place[axis], source[axis] = i, i - shift
            result[tuple(place)] = x[tuple(source)]
    return result


@pytest.mark.parametrize(("axis", "shifts", "fill"), [(-2, 3, 0.0), (0, 1, 0.7)])
def test_continuity(axis: int, shifts: int, fill: float) -> None:
    A = jax.jit(jax.grad(g))
    expected = []
    for shift in [s for s in range(-shifts, shifts + 1) if s]:
        x = moved(PICTURE, shift, axis, fill)
        change = np.abs(np.asarray(A(x)) - np.asarray(A(PICTURE))).sum()
        expected.append(change / root(x - PICTURE))
    measure = continuity(g, jax.grad(g), shifts=shifts, axis=axis, fill=fill, chunk=2)
    np.testing.assert_allclose(jax.jit(measure)(PICTURE), max(expected), rtol=1e-10)


def test_continuity_of_what_does_not_move() -> None:
    measure = jax.jit(continuity(g, {"a": jax.grad(g), "b": jnp.ones_like}, shifts=2))
    assert measure(jnp.zeros((3, 5, 2))) == {"a": 0, "b": 0}
    assert measure(jnp.asarray(PICTURE, jnp.float32))["a"].dtype == jnp.float32


# ---------------------------------------------------------------------------------- mistakes


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: max_sensitivity(f, gradient, radius=0), ValueError, "radius=0 leaves"),
    (lambda: max_sensitivity(f, gradient, radius=-1), ValueError, "radius=-1"),
    (lambda: avg_sensitivity(f, gradient, samples=0), ValueError, "samples=0"),
    (lambda: local_lipschitz(f, gradient, noise="pink"), ValueError, "uniform, normal"),
    (lambda: local_lipschitz(f, gradient, chunk=0), ValueError, "chunk=0"),
    (lambda: max_sensitivity(f, {}), TypeError, "or a dictionary of several"),
    (lambda: max_sensitivity(f, gradient)(X), TypeError, "needs a key"),
    (lambda: max_sensitivity(f, lambda x: x)(jnp.arange(3), key=KEY), TypeError, "int"),
    (lambda: max_sensitivity(f, lambda x: jnp.arange(3))(X, key=KEY), TypeError, "info=True"),
    (lambda: relative_input_stability(f, gradient, floor=0), ValueError, "floor=0"),
    (
        lambda: relative_input_stability(f, gradient, outputs=f)(X, key=KEY),
        ValueError,
        "one score for each class",
    ),
    (
        lambda: relative_representation_stability(f, gradient, at="nothing")(X, key=KEY),
        ValueError,
        "nothing",
    ),
    (lambda: continuity(g, gradient, shifts=0), ValueError, "shifts=0"),
    (lambda: continuity(f, gradient)(X), ValueError, "axis=-2 is no axis of x"),
    (lambda: continuity(f, gradient, axis=0, shifts=6)(X), ValueError, "at most 5"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
