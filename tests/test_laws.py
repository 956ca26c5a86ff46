"""Laws that every method obeys, whatever it computes."""

from __future__ import annotations

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods import METHODS, Method

import jaxplain

WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)))
X = jnp.asarray(np.random.default_rng(1).normal(size=5))


def net(x: Any, k: Any = 0, scale: Any = 1.0) -> Any:
    """A smooth two-layer network of one example; `scale` stands for a parameter."""
    weights = WEIGHTS.astype(x.dtype)
    with jax.named_scope("hidden"):
        hidden = jnp.tanh(x @ (weights * jnp.asarray(scale, x.dtype)))
    return jax.nn.softplus(hidden @ jnp.roll(weights[:4], k, axis=0))[1] * 3


def tree_net(x: Any, k: Any = 0) -> Any:
    return net(jnp.concatenate([x["a"], x["b"][0].ravel()]), k)


@functools.cache
def compiled(method: Method, **options: Any) -> Any:
    """One compiled explanation of `net` for all the laws that need one."""
    return jax.jit(method.explain(net, **options))


BY_LEAF = {"blur_integrated_grad", "occlusion", "rise"}
"""Blur, windows and grids know neighbours, which a leaf has in itself; so has noise."""

each = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
chunked = pytest.mark.parametrize(
    "method", [m for m in METHODS if m.chunked], ids=lambda method: method.name
)


@each
def test_jit_equals_eager(method: Method) -> None:
    extra = method.keywords(X)
    eager = method.explain(net)(X, 1, **extra)
    chex.assert_trees_all_close(compiled(method)(X, 1, **extra), eager, rtol=1e-12, atol=1e-13)


@each
def test_vmap_equals_loop(method: Method) -> None:
    xs = jnp.stack([X, -X, 0.5 * X])
    ks = jnp.arange(3)
    calls = [method.keywords(x, seed=i) for i, x in enumerate(xs)]
    extra = jax.tree.map(lambda *leaves: jnp.stack(leaves), *calls)
    mapped = jax.jit(jax.vmap(method.explain(net)))(xs, ks, **extra)
    each_call = [compiled(method)(x, k, **call) for x, k, call in zip(xs, ks, calls, strict=True)]
    looped = jnp.stack(each_call)
    chex.assert_trees_all_close(mapped, looped, rtol=1e-11, atol=1e-13)


@each
def test_pytree_inputs_equal_the_flat_input(method: Method) -> None:
    tree = {"a": X[:3], "b": (X[3:][None],)}
    attribution = jax.jit(method.explain(tree_net))(tree, 1, **method.keywords(tree))
    if method.of_layer:
        flat = compiled(method)(X, 1, **method.keywords(X))
        chex.assert_trees_all_close(attribution, flat, rtol=1e-12)
        return
    chex.assert_trees_all_equal_shapes_and_dtypes(attribution, tree)
    if method.name in BY_LEAF or "smooth" in method.name:
        return  # only the tree can be compared
    flat = compiled(method)(X, 1, **method.keywords(X))
    joined = jnp.concatenate([attribution["a"], attribution["b"][0].ravel()])
    chex.assert_trees_all_close(joined, flat, rtol=1e-12)


# In bfloat16 the scores themselves are too coarse for the tolerance asked for, and that is told.
@pytest.mark.filterwarnings("ignore:The path integral did not converge")
@each
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64], ids=str)
def test_dtype_is_kept_and_results_agree(method: Method, dtype: Any) -> None:
    x = X.astype(dtype)
    extra = method.keywords(x)
    attribution = compiled(method)(x, 1, **extra)
    assert attribution.dtype == dtype
    if method.random and dtype != jnp.float64:
        return  # other noise is drawn for another dtype
    wide = {k: v if k == "key" else v.astype(jnp.float64) for k, v in extra.items()}
    exact = compiled(method)(x.astype(jnp.float64), 1, **wide)
    # bfloat16 keeps 8 bits and the network itself runs in it; float32 keeps 24.
    tolerance = {jnp.bfloat16: 0.06, jnp.float32: 2e-5, jnp.float64: 1e-12}[dtype]
    chex.assert_trees_all_close(
        attribution.astype(jnp.float64), exact, atol=tolerance * float(jnp.max(jnp.abs(exact)))
    )


@each
def test_linear_model_gives_weights_times_difference(method: Method) -> None:
    if method.linear is None:
        pytest.skip("the method's answer for a linear model depends on its random baselines")
    weights = jnp.array([1.0, -2.0, 0.5, 3.0, 0.0])
    extra = method.keywords(X)
    attribution = jax.jit(method.explain(lambda x: jnp.dot(weights, x) + 7))(X, **extra)
    factor = {"1": jnp.ones(5), "x": X}.get(method.linear)
    if factor is None:
        factor = X - extra["baseline"]
    chex.assert_trees_all_close(attribution, weights * factor, rtol=1e-10, atol=1e-14)


@each
def test_completeness_where_promised(method: Method) -> None:
    if not method.complete:
        pytest.skip("the method does not promise completeness on every call")
    extra = method.keywords(X)
    attribution = compiled(method)(X, 1, **extra)
    extra.pop("key", None)
    delta = jaxplain.convergence_delta(net, attribution, X, 1, **extra)
    assert abs(delta) < 1e-6 * abs(net(X, 1))


@each
def test_smooth_composes(method: Method) -> None:
    explain = jax.jit(jaxplain.smooth(method.explain(net), samples=3, sigma=0.01))
    extra = method.keywords(X)
    extra["key"] = jax.random.key(5)
    attribution = explain(X, 1, **extra)
    if not method.of_layer:
        chex.assert_trees_all_equal_shapes_and_dtypes(attribution, X)
    extra["key"] = jax.random.key(6)
    assert not np.allclose(attribution, explain(X, 1, **extra), rtol=1e-9, atol=0)


@each
def test_same_key_same_numbers(method: Method) -> None:
    explain, extra = compiled(method), method.keywords(X)
    first, second = explain(X, 1, **extra), explain(X, 1, **extra)
    np.testing.assert_array_equal(first, second)
    if method.random:
        other = explain(X, 1, **method.keywords(X, seed=1))
        assert not np.allclose(first, other, rtol=1e-6)


@chunked
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_chunk_changes_nothing(method: Method, chunk: int) -> None:
    extra = method.keywords(X)
    whole = compiled(method)(X, 1, **extra)
    parts = compiled(method, chunk=chunk)(X, 1, **extra)
    chex.assert_trees_all_close(parts, whole, rtol=1e-10, atol=1e-13)


@each
@pytest.mark.parametrize("chunk", [None, 3])
def test_gradient_of_the_explanation_is_finite_differences(
    method: Method, chunk: int | None
) -> None:
    """With respect to a parameter, through the forward and the backward pass of the method."""
    if chunk is not None and not method.chunked:
        pytest.skip("the method has no chunks")
    explain = compiled(method, **({} if chunk is None else {"chunk": chunk}))
    extra = method.keywords(X)

    def loss(scale: Any) -> Any:
        attribution = explain(X, 1, scale, **extra)
        return jnp.sum(jnp.arange(1.0, attribution.size + 1) * attribution**2)

    step = 1e-5
    numeric = (loss(1.0 + step) - loss(1.0 - step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(1.0), numeric, rtol=2e-6)


@each
def test_argnums_choose_the_argument(method: Method) -> None:
    if method.name == "grad":
        pytest.skip("jax.grad itself")

    def swapped(k: Any, x: Any) -> Any:
        return net(x, k)

    extra = method.keywords(X)
    inner = method.name in ("times_input", "over_baselines") or "smooth" in method.name
    if inner:
        pytest.skip("a combinator over a method with argnums: see its own tests")
    direct = compiled(method)(X, 1, **extra)
    by_number = jax.jit(method.explain(swapped, argnums=1))(1, X, **extra)
    chex.assert_trees_all_close(by_number, direct)
    if "baseline" in extra:
        extra["baseline"] = (extra["baseline"],)
    attribution = jax.jit(method.explain(swapped, argnums=(1,)))(1, X, **extra)
    chex.assert_trees_all_close(attribution if method.of_layer else attribution[0], direct)
