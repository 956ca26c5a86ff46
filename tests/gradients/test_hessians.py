"""Integrated Hessians against the double integral of the paper, and polynomials by hand."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import integrated_grad, over_baselines
from jaxplain.gradients._hessians import integrated_hessians
from jaxplain.gradients._log_quadrature import log_quadrature

Array = np.ndarray

draw = np.random.default_rng(6).normal
INNER, OUTER = draw(size=(4, 5)), draw(size=5)
X, BASE = draw(size=(2, 4))


def f(x: Any) -> Any:
    hidden = jnp.tanh(x @ jnp.asarray(INNER, x.dtype))
    return jnp.sum(jnp.asarray(OUTER, x.dtype) * hidden) + x[0] * x[1] * x[2]


@functools.cache
def derivatives() -> Callable[[Array], tuple[Array, Array]]:
    """Gradients and Hessians at many points."""
    return jax.jit(jax.vmap(lambda x: (jax.grad(f)(x), jax.hessian(f)(x))))


def double_integral(nodes: Array, weights: Array) -> Array:
    """The paper's formula: one rule for alpha, and the same for beta."""
    products = np.outer(nodes, nodes).ravel()
    shares = np.outer(weights, weights).ravel()
    way = X - BASE
    gradients, hessians = derivatives()(BASE + products[:, None] * way)
    pairs = np.einsum("n,nij->ij", shares * products, hessians) * np.outer(way, way)
    return pairs + np.diag(way * (shares @ np.asarray(gradients)))


def gauss(count: int) -> Array:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return double_integral((nodes + 1) / 2, weights / 2)


def grid(count: int) -> Array:
    """The evenly spaced points of the paper's discrete sum, of which it takes all pairs."""
    return double_integral(np.arange(1, count + 1) / count, np.full(count, 1 / count))


@functools.cache
def explain(steps: int = 40, chunk: int | None = None) -> Callable[..., Any]:
    return jax.jit(integrated_hessians(f, steps=steps, chunk=chunk, info=True))


# ------------------------------------------------------------------------------------ quadrature


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 60, 200])
def test_quadrature_is_exact_for_polynomials(steps: int) -> None:
    nodes, weights = log_quadrature(steps)
    powers = np.arange(2 * steps)
    np.testing.assert_allclose(
        weights @ nodes[:, None] ** powers, 1 / (powers + 1) ** 2, atol=1e-14
    )
    assert np.all((nodes > 0) & (nodes < 1) & (weights > 0))


def test_quadrature_by_hand() -> None:
    """One node is the mean of the density; two are the roots of 252 t^2 - 180 t + 17."""
    nodes, weights = log_quadrature(1)
    np.testing.assert_allclose((nodes, weights), [[0.25], [1]], rtol=1e-15)
    nodes, weights = log_quadrature(2)
    roots = (180 + np.array([-1, 1]) * math.sqrt(180**2 - 4 * 252 * 17)) / (2 * 252)
    np.testing.assert_allclose(nodes, roots, rtol=1e-14)
    np.testing.assert_allclose(weights @ nodes, 0.25, rtol=1e-14)


# -------------------------------------------------------------------------------- the definition


def test_is_the_double_integral() -> None:
    found, info = explain()(X, baseline=BASE)
    np.testing.assert_allclose(found, gauss(40), atol=1e-12)
    np.testing.assert_allclose(found, found.T, atol=1e-14)
    assert abs(float(info.residual)) < 1e-12
    assert int(info.steps) == 40 and int(info.evaluations) == 40 * 5 + 2


def test_rows_sum_to_integrated_gradients() -> None:
    found, _ = explain()(X, baseline=BASE)
    slopes = jax.jit(integrated_grad(f))(X, baseline=BASE)
    np.testing.assert_allclose(found.sum(axis=1), slopes, atol=1e-12)


def test_needs_few_hessians() -> None:
    """Ten are nearer than ten thousand on the paper's grid, by four orders of magnitude."""
    truth = gauss(40)
    found, _ = explain(10)(X, baseline=BASE)
    assert 1e4 * np.abs(found - truth).max() < np.abs(grid(100) - truth).max()


@pytest.mark.parametrize("powers", [(1, 1), (2, 0), (3, 2), (0, 1)])
def test_monomials(powers: tuple[int, int]) -> None:
    """For a monomial of degree d from zero, entry (i, j) is its value times p_i p_j / d^2."""

    def monomial(x: Any) -> Any:
        return x[0] ** powers[0] * x[1] ** powers[1]

    x = np.array([1.5, -2.0])
    found = jax.jit(integrated_hessians(monomial, steps=3))(x)
    shares = np.outer(powers, powers) / sum(powers) ** 2
    np.testing.assert_allclose(found, float(monomial(x)) * shares, atol=1e-14)


def test_networks_of_relus_have_no_second_derivative() -> None:
    def network(x: Any, rectify: Any) -> Any:
        return rectify(x[0] + x[1] - 1.0)

    x, explain = np.array([1.0, 1.0]), integrated_hessians(network, steps=60)
    kinked = jax.jit(lambda x: explain(x, jax.nn.relu))(x)
    assert kinked[0, 1] == kinked[1, 0] == 0
    # Half of the way is flat: the diagonal has the integral of -ln t over the other half, each.
    np.testing.assert_allclose(np.diag(kinked), (1 - math.log(2)) / 2, atol=0.01)
    # The second derivative is a peak at t = 1/2, which gives -t ln t / 2 to each entry.
    smooth = jax.jit(lambda x: explain(x, lambda y: jax.nn.softplus(10 * y) / 10))(x)
    np.testing.assert_allclose(smooth, kinked + math.log(2) / 4, atol=0.01)


# -------------------------------------------------------------------------------------- the house


@pytest.mark.parametrize("chunk", [3, 9])
def test_chunks_change_nothing(chunk: int) -> None:
    found, info = explain(7, chunk)(X, baseline=BASE)
    whole, _ = explain(7)(X, baseline=BASE)
    np.testing.assert_allclose(found, whole, atol=1e-14)
    assert int(info.evaluations) == 7 * 5 + 2


def test_trees_are_those_of_hessian() -> None:
    def g(tree: Any, power: Any) -> Any:
        return f(jnp.concatenate([tree["a"].ravel(), tree["b"]])) ** power

    tree = {"a": X[:2].reshape(1, 2), "b": X[2:]}
    base = {"a": BASE[:2].reshape(1, 2), "b": BASE[2:]}
    found = jax.jit(integrated_hessians(g, steps=40))(tree, 1, baseline=base)
    like = jax.eval_shape(jax.hessian(g), tree, 1)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(lambda leaf: leaf.shape, like)
    whole, _ = explain()(X, baseline=BASE)
    rows = [np.hstack([row[k].reshape(2, 2) for k in "ab"]) for row in (found["a"], found["b"])]
    np.testing.assert_allclose(np.vstack(rows), whole, atol=1e-13)
    both = jax.jit(integrated_hessians(lambda a, b: f(jnp.append(a, b)), argnums=(0, 1), steps=40))
    found = both(X[:3], X[3], baseline=(BASE[:3], BASE[3]))
    np.testing.assert_allclose(found[0][0], whole[:3, :3], atol=1e-13)
    np.testing.assert_allclose(found[1][0], whole[3, :3], atol=1e-13)
    assert found[1][1].shape == ()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtypes(dtype: str) -> None:
    x, base = jnp.asarray(X, dtype), jnp.asarray(BASE, dtype)
    found = jax.jit(integrated_hessians(f, steps=12))(x, baseline=base)
    assert found.dtype == dtype
    size = 16 * float(jnp.finfo(dtype).eps) * np.abs(gauss(20)).max()
    np.testing.assert_allclose(np.asarray(found, float), gauss(20), atol=size)


def test_nothing_changes_where_input_and_baseline_agree() -> None:
    found = explain(7)(X, baseline=np.where(np.arange(4) == 2, X, BASE))[0]
    assert not np.any(found[2]) and not np.any(found[:, 2]) and np.all(found[0, [0, 1, 3]] != 0)


def test_batches_baselines_and_derivatives() -> None:
    inner = integrated_hessians(f, steps=7, chunk=4)
    one = explain(7)(X, baseline=BASE)[0]
    batch = jax.jit(jax.vmap(inner))(np.stack([BASE, X]), baseline=np.stack([X, BASE]))
    np.testing.assert_allclose(batch[1], one, atol=1e-13)
    averaged = jax.jit(over_baselines(inner))(X, baseline=np.stack([BASE, X]))
    np.testing.assert_allclose(averaged, one / 2, atol=1e-13)
    weights, direction, step = draw(size=(4, 4)), draw(size=4), 1e-5
    loss = jax.jit(lambda x: jnp.sum(weights * inner(x, baseline=BASE)))
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-7)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: integrated_hessians(f, steps=0), ValueError, "steps=0"),
    (lambda: integrated_hessians(f, chunk=0), ValueError, "chunk=0"),
    (lambda: integrated_hessians(f)(np.arange(4)), TypeError, "only floating-point inputs"),
    (lambda: integrated_hessians(f)(X, baseline=BASE[:2]), ValueError, "never broadcast"),
    (lambda: integrated_hessians(jnp.tanh)(X), TypeError, "must return one real number"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
