"""Axioms as numbers: against references in NumPy, and on models where the answer is known."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain.evaluate._completeness import completeness, conservation
from jaxplain.evaluate._dependence import non_sensitivity, sensitivity_a
from jaxplain.evaluate._equal_functions import equal_functions
from jaxplain.evaluate._invariance import implementation_invariance, input_invariance
from jaxplain.evaluate._linearity import linearity, symmetry

W = np.array([2.0, -1.0, 0.0, 0.5])
X = jnp.array([1.5, 0.7, -0.4, 2.0])
X0 = jnp.array([0.1, 0.2, 0.3, -0.5])


def f(x: jax.Array) -> jax.Array:
    """Saturates in the first, does not look at the third."""
    return jax.nn.relu(1 - x[0]) + x[1] * x[3] + jnp.tanh(x @ jnp.asarray(W, x.dtype))


def f_numpy(x: np.ndarray) -> float:
    return float(max(1 - x[0], 0) + x[1] * x[3] + np.tanh(x @ W))


def gradient_numpy(x: np.ndarray) -> np.ndarray:
    own = np.array([-float(x[0] < 1), x[3], 0, x[1]])
    return own + W * (1 - np.tanh(x @ W) ** 2)


def times_input(x: jax.Array) -> jax.Array:
    return x * jax.grad(f)(x)


def noisy(x: jax.Array) -> jax.Array:
    return jnp.sin(37 * x)


METHODS = {"gradient": jax.grad(f), "times_input": times_input, "noisy": noisy}
IN_NUMPY = {
    "gradient": gradient_numpy,
    "times_input": lambda x: x * gradient_numpy(x),
    "noisy": lambda x: np.sin(37 * x),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_completeness_is_the_difference_of_sums(dtype: str) -> None:
    x, x0 = X.astype(dtype), X0.astype(dtype)
    gaps = jax.jit(completeness(f, METHODS))(x, baseline=x0)
    change = f_numpy(np.asarray(X)) - f_numpy(np.asarray(X0))
    for name, gap in gaps.items():
        expected = abs(IN_NUMPY[name](np.asarray(X)).sum() - change)
        assert gap.absolute.dtype == gap.relative.dtype == dtype
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(gap.absolute, expected, rtol=tolerance)
        np.testing.assert_allclose(gap.relative, expected / abs(change), rtol=tolerance)


def test_integrated_gradients_are_complete_by_their_own_baseline_only() -> None:
    def smooth(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.tanh(x)) + x[0] * x[1]

    explain = functools.partial(jaxplain.integrated_grad(smooth, steps=30), baseline=X0)
    measure = jax.jit(completeness(smooth, explain))
    assert measure(X, baseline=X0).relative < 1e-9
    assert measure(X).relative > 0.01


def test_completeness_of_nothing_is_zero_and_of_something_from_nothing_infinite() -> None:
    zero = {"zeros": jnp.zeros_like, "ones": jnp.ones_like}
    gaps = jax.jit(completeness(lambda x: 0 * jnp.sum(x), zero))(X)
    assert gaps["zeros"].absolute == gaps["zeros"].relative == 0
    assert gaps["ones"].absolute == 4
    assert np.isposinf(gaps["ones"].relative)


def test_conservation_returns_both_sums_over_the_score() -> None:
    found = jax.jit(conservation(f, METHODS))(X)
    for name, each in found.items():
        relevance = IN_NUMPY[name](np.asarray(X))
        score = f_numpy(np.asarray(X))
        np.testing.assert_allclose(each.total, relevance.sum() / score)
        np.testing.assert_allclose(each.magnitude, np.abs(relevance).sum() / abs(score))


def test_conservation_of_a_score_of_zero_has_no_nan() -> None:
    zeros = {"zeros": jnp.zeros_like, "ones": jnp.ones_like}

    def zero(x: jax.Array) -> jax.Array:
        return 0 * jnp.sum(x)

    found = jax.jit(conservation(zero, zeros))(X)
    assert found["zeros"].total == found["zeros"].magnitude == 0
    assert np.isposinf(found["ones"].magnitude)
    slope = jax.jit(jax.grad(lambda x: conservation(zero, lambda x: 0 * x)(x).total))(X)
    np.testing.assert_array_equal(slope, 0)


def sensitivity_a_numpy(explain: Any, x: np.ndarray, x0: np.ndarray, tolerance: float) -> float:
    """Paper's axiom, one feature after the other."""
    missed, counted = 0, 0
    for i in range(len(x)):
        only = x0.copy()
        only[i] = x[i]
        if abs(f_numpy(only) - f_numpy(x0)) > tolerance:
            counted += 1
            missed += abs(explain(only)[i]) <= tolerance
    return missed / counted if counted else 0.0


def test_sensitivity_a_is_the_share_of_features_that_are_missed() -> None:
    methods = {**METHODS, "saturated": lambda x: x.at[0].set(0), "zeros": jnp.zeros_like}
    references = {
        **IN_NUMPY,
        "saturated": lambda x: x * np.array([0, 1, 1, 1]),
        "zeros": np.zeros_like,
    }
    found = jax.jit(sensitivity_a(f, methods))(X, baseline=X0)
    for name, value in found.items():
        expected = sensitivity_a_numpy(references[name], np.asarray(X), np.asarray(X0), 1e-5)
        np.testing.assert_allclose(value, expected)
    assert found["zeros"] == 1
    assert 0 < found["saturated"] < 1


def test_sensitivity_a_chunks_and_batches() -> None:
    xs = jnp.stack([X, X0 + 1, X0])
    options: dict[str, Any] = {"along": 0}
    whole = jax.jit(jax.vmap(sensitivity_a(f, jnp.zeros_like, **options)))(xs)
    parts = jax.jit(sensitivity_a(f, jnp.zeros_like, chunk=2, **options))
    np.testing.assert_array_equal(whole, [parts(x) for x in xs])
    at_baseline = jax.jit(sensitivity_a(f, jnp.zeros_like))(X0, baseline=X0)
    assert at_baseline == 0  # no feature differs, the axiom says nothing


def test_sensitivity_a_of_gradient_fails_where_it_saturates() -> None:
    def saturating(x: jax.Array) -> jax.Array:
        return 1 - jax.nn.relu(1 - x[0])

    methods = {
        "gradient": jax.grad(saturating),
        "integrated": jaxplain.integrated_grad(saturating),
    }
    found = jax.jit(sensitivity_a(saturating, methods))(jnp.array([2.0]))
    assert found == {"gradient": 1, "integrated": 0}


def non_sensitivity_numpy(relevance: np.ndarray, x: np.ndarray, x0: np.ndarray) -> int:
    count = 0
    for i in range(len(x)):
        without = x.copy()
        without[i] = x0[i]
        unused = abs(f_numpy(without) - f_numpy(x)) <= 1e-5
        irrelevant = abs(relevance[i]) <= 1e-5
        count += (unused != irrelevant) and x[i] != x0[i]
    return count


@pytest.mark.parametrize("chunk", [None, 3])
def test_non_sensitivity_counts_disagreements(chunk: int | None) -> None:
    x = X.at[1].set(X0[1])  # at its baseline: not to be tested
    methods = {**METHODS, "ones": jnp.ones_like, "zeros": jnp.zeros_like}
    references = {**IN_NUMPY, "ones": np.ones_like, "zeros": np.zeros_like}
    found = jax.jit(non_sensitivity(f, methods, chunk=chunk))(x, baseline=X0)
    for name, value in found.items():
        relevance = references[name](np.asarray(x))
        expected = non_sensitivity_numpy(relevance, np.asarray(x), np.asarray(X0))
        assert float(value) == expected
    assert (found["ones"], found["zeros"]) == (1, 2)


def test_linearity_holds_for_gradients_and_not_for_magnitudes() -> None:
    def g(x: jax.Array) -> jax.Array:
        return x[0] * x[2]

    for make in (jax.grad, lambda f: jaxplain.smooth(jax.grad(f), samples=3, sigma=0.3)):
        random = make is not jax.grad
        key = {"key": jax.random.key(0)} if random else {}
        assert jax.jit(linearity(make, f, g))(X, **key).relative < 1e-12
    magnitude = functools.partial(jaxplain.saliency, absolute=True)
    gap = jax.jit(linearity(magnitude, f, g, weights=(3.0, -2.0)))(X)
    of_f, of_g = gradient_numpy(np.asarray(X)), np.array([X[2], 0, X[0], 0])
    left, right = np.abs(3 * of_f - 2 * of_g), 3 * np.abs(of_f) - 2 * np.abs(of_g)
    np.testing.assert_allclose(gap.absolute, np.linalg.norm(left - right))
    longer = max(np.linalg.norm(left), np.linalg.norm(right))
    np.testing.assert_allclose(gap.relative, np.linalg.norm(left - right) / longer)


def test_symmetry_compares_rearranged_explanations() -> None:
    def symmetric(x: jax.Array) -> jax.Array:
        return x[0] * x[1] + jnp.tanh(x[2])

    def swap(x: jax.Array) -> jax.Array:
        return x[jnp.array([1, 0, 2, 3])]

    methods = {"gradient": jax.grad(symmetric), "places": lambda x: jnp.arange(4.0) * x}
    found = jax.jit(symmetry(symmetric, methods, rearrange=swap))(X)
    assert found["gradient"].absolute == 0
    a, b = np.asarray(X)[:2]
    # places of T x: (0 b, 1 a); T of places of x: (1 b, 0 a)
    np.testing.assert_allclose(found["places"].absolute, np.hypot(b, a))


@pytest.mark.parametrize("compiled", [False, True])
def test_models_that_are_not_symmetric_warn(compiled: bool) -> None:
    test = symmetry(f, jnp.ones_like, rearrange=lambda x: x[::-1])
    with pytest.warns(RuntimeWarning, match="not symmetric here"):
        jax.block_until_ready((jax.jit(test) if compiled else test)(X))
        jax.effects_barrier()


@pytest.mark.parametrize("name", equal_functions())
def test_equal_functions_are_equal_and_so_are_their_gradients(name: str) -> None:
    functions = equal_functions()[name]
    points = jax.random.uniform(jax.random.key(0), (6, 2), minval=0.1, maxval=3.0)
    values = jax.jit(jax.vmap(lambda x: jnp.stack([f(x) for f in functions])))(points)
    np.testing.assert_allclose(values, values[:, :1] + 0 * values, rtol=1e-12)
    test = implementation_invariance(jax.grad, functions)
    assert jnp.max(jax.jit(jax.vmap(test))(points).relative) < 1e-12
    graphs = [jax.make_jaxpr(f)(points[0]) for f in functions]
    assert len({f"{graph} {graph.consts}" for graph in graphs}) == len(functions)


def test_implementation_invariance_finds_rules_that_depend_on_the_graph() -> None:
    functions = equal_functions()["maximum"][:3]
    make = lambda f: jaxplain.lrp(f, jaxplain.rules.ZPlus())  # noqa: E731
    gap = jax.jit(implementation_invariance(make, functions))(jnp.array([2.0, 1.0]))
    # (a - b)^+ + b^+ gives (1, 1); (b - a)^+ + a^+ gives (2, 0); the third gives (1.5, 0.5)
    np.testing.assert_allclose(gap.absolute, np.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(gap.relative, np.sqrt(2) / 2, rtol=1e-5)


def test_implementation_invariance_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="two or more"):
        implementation_invariance(jax.grad, [f])
    test = implementation_invariance(jax.grad, [f, lambda x: 2 * f(x)])
    with pytest.warns(RuntimeWarning, match="not equal here"):
        jax.block_until_ready(jax.jit(test)(X))
        jax.effects_barrier()


def test_input_invariance_of_gradients_and_of_products_with_the_input() -> None:
    assert jax.jit(input_invariance(jax.grad, f, shift=0.7))(X).absolute < 1e-12
    make = lambda f: lambda x: x * jax.grad(f)(x)  # noqa: E731
    gap = jax.jit(input_invariance(make, f, shift=-2.0))(X)
    np.testing.assert_allclose(
        gap.absolute, 2 * np.linalg.norm(gradient_numpy(np.asarray(X))), rtol=1e-9
    )
    by_element = jax.jit(input_invariance(make, f, shift=jnp.array([0.0, 1.0, 0.0, 0.0])))(X)
    np.testing.assert_allclose(by_element.absolute, abs(gradient_numpy(np.asarray(X))[1]))


def test_input_invariance_with_the_bias_adjusted() -> None:
    weights, bias = jnp.asarray(np.cos(np.arange(12.0)).reshape(4, 3)), jnp.array([0.1, -0.2, 0.3])

    def net(bias: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jax.nn.relu(x @ weights + bias))

    f = functools.partial(net, bias)
    moved = functools.partial(net, bias + jnp.sum(weights, axis=0))  # takes back a shift of -1
    test = input_invariance(jaxplain.integrated_grad, f, shift=-1.0, shifted=moved)
    by_composing = input_invariance(jaxplain.integrated_grad, f, shift=-1.0)
    own = jax.jit(test)(X)
    np.testing.assert_allclose(own.absolute, jax.jit(by_composing)(X).absolute, rtol=1e-9)
    assert own.relative > 0.1  # the method's own baseline stays at zero
    assert jax.jit(test)(X, baseline=X0).relative < 1e-12  # one that is shifted too


def test_axioms_batch_and_name_what_is_missing() -> None:
    xs = jnp.stack([X, X0])
    test = completeness(f, METHODS)
    whole = jax.jit(jax.vmap(test))(xs)
    one = jax.jit(test)
    for name in METHODS:
        np.testing.assert_allclose(whole[name].absolute, [one(x)[name].absolute for x in xs])
    alone = jax.jit(completeness(f, jax.grad(f)))(X)
    assert alone.absolute == one(X)["gradient"].absolute
    with pytest.raises(ValueError, match="like the input|shape of the input"):
        completeness(f, lambda x: x[:2])(X)
    with pytest.raises(ValueError, match="tolerance"):
        sensitivity_a(f, jax.grad(f), tolerance=-1.0)
    with pytest.raises(ValueError, match="shift="):
        input_invariance(jax.grad, f, shift=jnp.ones(2))(X)
    noise = jaxplain.smooth(jax.grad(f), samples=2, sigma=0.1)
    with pytest.raises(TypeError, match="needs a key"):
        sensitivity_a(f, noise)(X)
