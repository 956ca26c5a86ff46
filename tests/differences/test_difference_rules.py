"""Each rule against the definition it stands for, computed slowly."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import rules

lax = jax.lax
_draw = np.random.default_rng(3)
X, B, V = (jnp.asarray(_draw.normal(size=5)) for _ in range(3))
W = jnp.asarray(_draw.normal(size=(5, 5)))


def multipliers(f: Any, x: Any = X, baseline: Any = B, **options: Any) -> np.ndarray[Any, Any]:
    explain = jax.jit(jaxplain.deeplift(f, multipliers=True, **options))
    return np.asarray(explain(x, baseline=baseline))


def contributions(f: Any, x: Any, baseline: Any) -> np.ndarray[Any, Any]:
    return np.asarray(jax.jit(jaxplain.deeplift(f))(x, baseline=baseline))


def shapley(f: Callable[[jax.Array], jax.Array], x: Any, b: Any) -> Any:
    """Average over all orders in which the elements go from the reference to the input."""
    count = len(x)
    corners = np.array(list(itertools.product([False, True], repeat=count)))
    points = jnp.asarray(np.where(corners, x[None], b[None]))
    scores = dict(zip(map(tuple, corners), np.asarray(jax.vmap(f)(points)), strict=True))
    values = np.zeros(count)
    for order in itertools.permutations(range(count)):
        reached = [False] * count
        for i in order:
            before = scores[tuple(reached)]
            reached[i] = True
            values[i] += scores[tuple(reached)] - before
    return values / math.factorial(count)


SHAPLEY: dict[str, tuple[Callable[[jax.Array], jax.Array], int]] = {
    "product": (lambda x: x[0] * x[1], 2),
    "product of five": (lambda x: jnp.prod(x), 5),
    "quotient": (lambda x: x[0] / (x[1] + 4), 2),
    "power": (lambda x: jnp.exp(x[0]) ** x[1], 2),
    "where": (lambda x: jnp.where(x[0] > x[1], x[2], x[3]), 4),
    "where twice": (lambda x: jnp.where((x[0] > 0) & (x[1] > 0), x[2], x[3]), 4),
    "clip": (lambda x: lax.clamp(x[0] - 1, x[1], x[2] + 1), 3),
}


@pytest.mark.parametrize("name", SHAPLEY)
def test_functions_of_several_values_by_shapley(name: str) -> None:
    f, count = SHAPLEY[name]
    xs, bs = np.random.default_rng(5).normal(size=(2, 6, count))
    explain = jax.jit(jax.vmap(jaxplain.deeplift(f)))
    given = explain(jnp.asarray(xs), baseline=jnp.asarray(bs))
    expected = [shapley(f, x, b) for x, b in zip(xs, bs, strict=True)]
    np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-12)


def test_a_matrix_product_is_pulled_back_at_the_midpoint() -> None:
    def f(x: jax.Array) -> jax.Array:
        return (jnp.outer(x, x) @ (W * x[None])) @ V @ V

    def midpoint(x: jax.Array, b: jax.Array) -> np.ndarray[Any, Any]:
        left, right = jnp.outer(x, x), W * x[None]
        left_b, right_b = jnp.outer(b, b), W * b[None]
        seed = jnp.outer(V, V)
        up_left = seed @ ((right + right_b) / 2).T
        up_right = ((left + left_b) / 2).T @ seed
        mean = (x + b) / 2
        return np.asarray((up_left + up_left.T) @ mean + (up_right * W).sum(0))

    np.testing.assert_allclose(multipliers(f), midpoint(X, B), rtol=1e-10)


# Softmax


def log_mean(p: Any, q: Any) -> Any:
    return np.where(p == q, p, (p - q) / np.where(p == q, 1, np.log(p) - np.log(q)))


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_by_logarithmic_means(axis: int) -> None:
    x, b = (jnp.asarray(_draw.normal(size=(3, 4))) for _ in range(2))
    seed = _draw.normal(size=(3, 4))
    means = log_mean(*(np.asarray(jax.nn.softmax(v, axis)) for v in (x, b)))
    shares = means / means.sum(axis, keepdims=True)
    expected = seed * means - shares * (seed * means).sum(axis, keepdims=True)
    given = multipliers(lambda x: jnp.sum(jax.nn.softmax(x, axis) * seed), x, b)
    np.testing.assert_allclose(given, expected, rtol=1e-9)
    expected = seed - shares * seed.sum(axis, keepdims=True)
    given = multipliers(lambda x: jnp.sum(jax.nn.log_softmax(x, axis) * seed), x, b)
    np.testing.assert_allclose(given, expected, rtol=1e-9)
    given = multipliers(lambda x: jnp.sum(jax.nn.logsumexp(x, axis)), x, b)
    np.testing.assert_allclose(given, shares, rtol=1e-9)


SHIFTED: dict[str, Callable[[jax.Array], jax.Array]] = {
    "softmax": lambda x: jax.nn.softmax(x) @ V,
    "log-softmax": lambda x: jax.nn.log_softmax(x) @ V,
    "standardize": lambda x: jax.nn.standardize(x) @ V,
    "layer norm": lambda x: layer_norm(x),
}


@pytest.mark.parametrize("name", SHIFTED)
def test_what_is_added_to_all_has_no_part(name: str) -> None:
    f = SHIFTED[name]
    plain = multipliers(f)
    np.testing.assert_allclose(plain.sum(), 0, atol=1e-12)
    np.testing.assert_allclose(multipliers(f, X + 100.0, B - 7.0), plain, rtol=1e-4, atol=1e-7)


def test_saturated_softmax_stays_moderate() -> None:
    x, b = jnp.array([200.0, 0.0, -300.0]), jnp.array([0.0, 90.0, 0.0])
    f = lambda x: jax.nn.softmax(x) @ jnp.array([1.0, 2.0, 3.0])  # noqa: E731
    given = contributions(f, x, b)
    np.testing.assert_allclose(given.sum(), f(x) - f(b), rtol=1e-12)
    assert np.abs(given).max() < 3


def layer_norm(x: jax.Array) -> jax.Array:
    centred = x - x.mean()
    return centred / jnp.sqrt((centred**2).mean() + 1e-6) @ V


def test_normalisation_by_mean_scales() -> None:
    x, b = np.asarray(X), np.asarray(B)
    c, c0 = x - x.mean(), b - b.mean()
    s, s0 = np.sqrt((c**2).mean() + 1e-6), np.sqrt((c0**2).mean() + 1e-6)
    mean_y, mean_s, mean_c = (c / s + c0 / s0) / 2, (s + s0) / 2, (c + c0) / 2
    seed = np.asarray(V)
    pulled = (seed - (seed @ mean_y) * mean_c / (len(x) * mean_s)) / mean_s
    np.testing.assert_allclose(multipliers(layer_norm), pulled - pulled.mean(), rtol=1e-9)
    np.testing.assert_allclose(
        multipliers(lambda x: jax.nn.standardize(x, epsilon=1e-6) @ V), multipliers(layer_norm)
    )


def test_normalisation_from_a_constant_reference_stays_moderate() -> None:
    """There the scale at the reference is a thousandth, its inverse a thousand."""
    given, info = jax.jit(jaxplain.deeplift(layer_norm, info=True))(X)
    assert np.abs(given).sum() < 20
    assert abs(float(info.residual)) < 1e-12


# Maxima


def pooled(x: jax.Array, window: Any, strides: Any, padding: Any, low: bool) -> jax.Array:
    if low:
        return lax.reduce_window(x, jnp.inf, lax.min, window, strides, padding)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def cross_maximum(x: Any, b: Any, seed: Any, window: Any, strides: Any, padding: Any) -> Any:
    """Window by window: the rise to the first winner at the input, the fall to that at b."""
    x, b = np.asarray(x), np.asarray(b)
    due = np.zeros_like(x)
    starts = [
        range(-low, x.shape[i] + high - window[i] + 1, strides[i])
        for i, (low, high) in enumerate(padding)
    ]
    for number, start in enumerate(itertools.product(*starts)):
        cells = [
            cell
            for cell in itertools.product(
                *(range(s, s + w) for s, w in zip(start, window, strict=True))
            )
            if all(0 <= c < n for c, n in zip(cell, x.shape, strict=True))
        ]
        winner, other = max(cells, key=lambda c: x[c]), max(cells, key=lambda c: b[c])
        top = max(x[winner], b[other])
        due[winner] += seed.ravel()[number] * (top - b[other])
        due[other] += seed.ravel()[number] * (x[winner] - top)
    return due


WINDOWS: dict[str, tuple[Any, Any, Any]] = {
    "tiles": ((2, 2), (2, 2), ((0, 0), (0, 0))),
    "overlapping": ((3, 3), (2, 2), ((0, 0), (0, 0))),
    "padded": ((3, 3), (2, 2), ((1, 1), (0, 1))),
    "with gaps": ((2, 1), (3, 2), ((0, 0), (0, 0))),
    "large": ((6, 7), (1, 1), ((2, 2), (3, 0))),
}


@pytest.mark.parametrize("low", [False, True], ids=["max", "min"])
@pytest.mark.parametrize("name", WINDOWS)
def test_pooled_maxima(name: str, low: bool) -> None:
    window, strides, padding = WINDOWS[name]
    x, b = (jnp.asarray(_draw.normal(size=(7, 8))) for _ in range(2))
    shape = pooled(x, window, strides, padding, low).shape
    seed = _draw.normal(size=shape)
    f = lambda x: jnp.sum(pooled(x, window, strides, padding, low) * seed)  # noqa: E731
    given = contributions(f, x, b)
    expected = cross_maximum(*((-x, -b) if low else (x, b)), seed, window, strides, padding)
    np.testing.assert_allclose(given, -expected if low else expected, atol=1e-12)


def test_where_nothing_changed_a_maximum_has_its_derivative() -> None:
    x = jnp.asarray(_draw.normal(size=(6, 6)))
    for window, strides in (((2, 2), (2, 2)), ((3, 3), (1, 1))):
        f = lambda x: jnp.sum(pooled(x, window, strides, "VALID", False) ** 2)  # noqa: B023, E731
        np.testing.assert_allclose(multipliers(f, x, x), jax.grad(f)(x), rtol=1e-12)
    np.testing.assert_allclose(multipliers(jnp.max, X, X), jax.grad(jnp.max)(X))


def test_ties_are_shared_or_taken_first() -> None:
    x = jnp.array([2.0, 2.0, 0.0])
    np.testing.assert_allclose(contributions(jnp.max, x, 0.0), [1.0, 1.0, 0.0])
    window = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (3,), (1,), "VALID")[0]  # noqa: E731
    np.testing.assert_allclose(contributions(window, x, 0.0), [2.0, 0.0, 0.0])


# Sorting


@pytest.mark.parametrize("name", ["sort", "descending", "top_k"])
def test_sorting_is_its_integrated_gradient(name: str) -> None:
    def f(x: jax.Array) -> jax.Array:
        if name == "top_k":
            return lax.top_k(x, 3)[0] @ V[:3]
        return jnp.sort(x, descending=name == "descending") @ V

    steps = jnp.linspace(0, 1, 20001)
    path = jax.vmap(lambda t: jax.grad(f)(B + t * (X - B)))(steps)
    np.testing.assert_allclose(multipliers(f), path.mean(0), atol=2e-3)


# Small differences


SMOOTH: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": lambda x: jnp.tanh(x @ W) @ V,
    "attention": lambda x: jax.nn.softmax(jnp.outer(x, x)) @ x @ V,
    "gelu and norm": lambda x: jax.nn.gelu(jax.nn.standardize(x) @ W) @ V,
    "sqrt": lambda x: jnp.sqrt(x**2 + 1).sum() + jnp.log(2 + jnp.cos(x)).sum(),
    "relu": lambda x: jax.nn.relu(x @ W) @ V,
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("preset", [rules.rescale(), rules.reveal_cancel()], ids=["rescale", "rc"])
def test_at_the_baseline_multipliers_are_the_gradient(name: str, preset: Any) -> None:
    f = SMOOTH[name]
    np.testing.assert_allclose(
        multipliers(f, X, X, rules=preset), jax.grad(f)(X), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", ["tanh", "attention", "gelu and norm", "sqrt"])
def test_multipliers_approach_the_gradient(name: str) -> None:
    """No digits are lost on the way, whatever the distance."""
    f = SMOOTH[name]
    away = jnp.logspace(-12, -1, 12)
    points = X[None] + away[:, None] * V[None]
    explain = jax.vmap(functools.partial(jaxplain.deeplift(f, multipliers=True), baseline=X))
    given = jax.jit(explain)(points)
    middles = jax.jit(jax.vmap(jax.grad(f)))((X[None] + points) / 2)
    errors = np.abs(given - middles).max(1)
    np.testing.assert_array_less(errors, 40 * away**2 + 1e-8)


def test_a_kink_between_close_points_is_not_smoothed_over() -> None:
    f = lambda x: 1e3 * jax.nn.relu(x[0]) + (x[1] > 0).astype(x.dtype)  # noqa: E731
    x, b = jnp.array([1e-7, 1e-9]), jnp.array([-1e-9, -1e-9])
    np.testing.assert_allclose(contributions(f, x, b), [1e-4, 1.0], rtol=1e-9)


def test_derivatives_of_the_explanation_at_the_baseline() -> None:
    for name, f in SMOOTH.items():
        explain = jaxplain.deeplift(f, multipliers=True)
        pull = jax.jit(jax.grad(lambda x, explain=explain: explain(x, baseline=X) @ V))(X)
        assert np.isfinite(pull).all(), name
        if name != "relu":
            # At the baseline the multiplier moves half as fast as the gradient.
            hessian = jax.hessian(f)(X) @ V / 2
            np.testing.assert_allclose(pull, hessian, rtol=1e-6, atol=1e-9, err_msg=name)


def test_singular_slopes_do_no_harm() -> None:
    f = lambda x: jnp.sqrt(x[0]) + jnp.log(x[1]) + x[2] ** 0.5  # noqa: E731
    x, b = jnp.array([4.0, 1.0, 0.0]), jnp.array([0.0, 2.0, 0.0])
    np.testing.assert_allclose(contributions(f, x, b), [2.0, -np.log(2), 0.0], atol=1e-12)
    g = lambda x: jnp.sqrt(x[0]) + jnp.log(x[1])  # noqa: E731
    pull = jax.jit(jax.grad(lambda x: jaxplain.deeplift(g)(x, baseline=b[:2]).sum()))(x[:2])
    np.testing.assert_allclose(pull, jax.grad(g)(x[:2]))  # the sum is the change of g


def test_an_authors_derivative_counts_where_nothing_changes() -> None:
    relu = multipliers(lambda x: jax.nn.relu(x).sum(), jnp.zeros(3), jnp.zeros(3))
    np.testing.assert_array_equal(relu, np.zeros(3))  # as jax.grad(jax.nn.relu)(0.0) has it
    spelled = multipliers(lambda x: jnp.maximum(x, 0).sum(), jnp.zeros(3), jnp.zeros(3))
    np.testing.assert_array_equal(spelled, np.full(3, 0.5))


def test_an_authors_derivative_of_several_steps() -> None:
    @jax.custom_jvp
    def gated(x: jax.Array) -> jax.Array:
        return jnp.where(x > 1, x * x, jnp.tanh(x))

    gated.defjvp(lambda primals, tangents: (gated(*primals), 7 * tangents[0]))
    x = jnp.array([2.0, 2.0])
    np.testing.assert_allclose(multipliers(lambda x: gated(x).sum(), x, x), [7.0, 7.0])
    rise = (4 - np.tanh(-2.0)) / 4
    np.testing.assert_allclose(multipliers(lambda x: gated(x).sum(), x, -x), [rise, rise])


@pytest.mark.parametrize("preset", [rules.rescale(), rules.reveal_cancel()], ids=["rescale", "rc"])
def test_an_authors_backward_pass(preset: Any) -> None:
    """The true function is compared; the derivative counts where nothing changes."""

    @jax.custom_vjp
    def act(x: jax.Array) -> jax.Array:
        return jnp.tanh(x)

    act.defvjp(lambda x: (act(x), None), lambda _, g: (3 * g,))
    f = lambda x: act(x @ W).sum()  # noqa: E731
    plain = lambda x: jnp.tanh(x @ W).sum()  # noqa: E731
    expected = multipliers(plain, rules=preset)
    np.testing.assert_allclose(multipliers(f, rules=preset), expected, rtol=1e-12)
    np.testing.assert_allclose(multipliers(f, X, X, rules=preset), 3 * W.sum(1), rtol=1e-12)
