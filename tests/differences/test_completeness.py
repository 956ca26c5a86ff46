"""Contributions, and what is left unattributed, sum to the change of the score: on any function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import rules

from models import ZOO, Model

Function = Callable[[jax.Array], jax.Array]
lax, nn = jax.lax, jax.nn

_draw = np.random.default_rng(0)
W, M = (jnp.asarray(_draw.normal(size=(6, 6))) for _ in range(2))
V, X, B = (jnp.asarray(_draw.normal(size=6)) for _ in range(3))


def _loop(x: jax.Array) -> jax.Array:
    def step(h: jax.Array, row: jax.Array) -> Any:
        h = jnp.tanh(h @ W + row)
        return h, h.sum()

    h, rows = lax.scan(step, x, x[None] * M)
    return h @ V + rows.sum()


def _branch_in_a_loop(x: jax.Array) -> jax.Array:
    def step(h: jax.Array, row: jax.Array) -> Any:
        return lax.cond(row > 0, jnp.tanh, jnp.sin, h) + row, h

    return lax.scan(step, x.sum(), x)[0]


# Everything that an input decides here is decided element by element, or by rank.
COMPLETE: dict[str, Function] = {
    "leaky relu": lambda x: nn.leaky_relu(x @ W) @ V,
    "elu": lambda x: nn.elu(x @ W) @ V,
    "celu, silu, gelu, mish": lambda x: (nn.celu(x) * nn.silu(x @ W) + nn.gelu(x @ M)) @ nn.mish(V),
    "where(a > b, c, d)": lambda x: jnp.where(x @ W > x, x * x, jnp.tanh(x)) @ V,
    "where(a & b, c, d)": lambda x: jnp.where((x @ W > 0) & (x < 1), x, -x) @ V,
    "mask": lambda x: ((x @ W > 0).astype(x.dtype) * x) @ V,
    "step": lambda x: (x > 0.2).astype(x.dtype).sum(),
    "rounding": lambda x: jnp.round(3 * x) @ V + jnp.sign(x @ W) @ V,
    "whole numbers": lambda x: (3 * x).astype(int).astype(x.dtype) @ V,
    "straight through": lambda x: (x + lax.stop_gradient(jnp.round(x) - x)) @ V,
    "stop_gradient": lambda x: (lax.stop_gradient(jnp.tanh(x)) * x) @ V,
    "clip by values": lambda x: jnp.clip(x, -jnp.abs(x @ W), 0.3) @ V,
    "sort": lambda x: jnp.sort(x @ W) @ V,
    "sort, descending": lambda x: jnp.sort(x @ W, descending=True) @ V,
    "sort of rows": lambda x: jnp.sort(x[None] * M, axis=0).sum(1) @ V,
    "median, quantile": lambda x: jnp.median(x @ W) + jnp.quantile(x @ M, 0.3),
    "values of the top": lambda x: lax.top_k(x @ W, 3)[0] @ V[:3],
    "maximum, minimum": lambda x: (jnp.maximum(x, x @ W) - jnp.minimum(x, x @ M)) @ V,
    "max, min": lambda x: jnp.max(x @ W) - jnp.min(x @ M),
    "cumulative": lambda x: (lax.cummax(x @ W) + jnp.cumsum(x) + lax.cumlogsumexp(x)) @ V,
    "pooling": lambda x: nn_pool(x @ W) @ V[:4],
    "product": lambda x: jnp.prod(x @ W) + jnp.cumprod(x) @ V,
    "square, einsum": lambda x: (x * x) @ V + jnp.einsum("i,j,ij->", x, jnp.tanh(x), W),
    "matrix product": lambda x: (jnp.outer(x, x) @ jnp.outer(jnp.tanh(x), V)).sum(),
    "quotient": lambda x: (x / (2 + jnp.tanh(x @ W))) @ V,
    "power": lambda x: (jnp.abs(x) ** jnp.abs(x @ W)) @ V,
    "angle, remainder": lambda x: jnp.arctan2(x, x @ W) @ V + jnp.mod(x @ W, 1.0) @ V,
    "softmax": lambda x: nn.softmax(3 * x @ W) @ V,
    "log-softmax, logsumexp": lambda x: nn.log_softmax(x @ W) @ V + nn.logsumexp(x @ M),
    "masked softmax": lambda x: nn.softmax(jnp.where(V > 0, x @ W, -jnp.inf)) @ V,
    "layer norm": lambda x: nn.standardize(x @ W) @ V,
    "root mean square": lambda x: (x / jnp.sqrt(jnp.mean(x**2) + 1e-6)) @ V,
    "variance": lambda x: jnp.var(x @ W),
    "loop": _loop,
    "checkpoint": lambda x: jax.checkpoint(lambda x: jnp.tanh(x @ W) @ V)(x),
    "custom derivative": lambda x: nn.relu(x @ W) @ V + nn.softplus(x) @ V,
    "reused layer": lambda x: nn.relu(nn.relu(nn.relu(x @ W) @ W) @ W + x) @ V,
}
# Here a choice is made for all elements at once, and its share is unattributed.
CHOOSING: dict[str, Function] = {
    "argmax": lambda x: (x @ W)[jnp.argmax(x)],
    "one-hot of argmax": lambda x: nn.one_hot(jnp.argmax(x), 6, dtype=x.dtype) @ (x @ W),
    "sorted by others": lambda x: (x @ W)[jnp.argsort(x)] @ V,
    "taken along": lambda x: lax.sort((x, x @ W), num_keys=1)[1] @ V,
    "slice": lambda x: lax.dynamic_slice(x @ W, (jnp.argmax(x),), (2,)).sum(),
    "branch": lambda x: lax.cond(x.sum() > 0, lambda v: jnp.tanh(v) @ V, lambda v: v @ v, x @ W),
    "branch in a loop": _branch_in_a_loop,
    "one condition for all": lambda x: jnp.where(x.sum() > 0, x * x, jnp.tanh(x)) @ V,
    "count": lambda x: (x > 0.2).sum().astype(x.dtype) * x.sum(),
    "experts": lambda x: lax.top_k(x, 2)[0] @ (x @ W)[lax.top_k(x, 2)[1]],
}
REFERENCES = {
    "zeros": jnp.zeros(6),
    "random": B,
    "the input": X,
    "one pixel away": X.at[2].add(1.0),
}


def nn_pool(x: jax.Array) -> jax.Array:
    windows = lax.reduce_window(x, -jnp.inf, lax.max, (3,), (1,), "VALID")
    return windows.astype(x.dtype)


def bound(f: Function, x: Any, reference: Any, contributions: Any) -> float:
    size = sum(float(jnp.sum(jnp.abs(leaf))) for leaf in jax.tree.leaves(contributions))
    return max(1.0, abs(float(f(x))), abs(float(f(reference))), size)


def explained(f: Function, x: jax.Array) -> Callable[[jax.Array], Any]:
    explain = jax.jit(jaxplain.deeplift(f, info=True))
    return lambda reference: explain(x, baseline=reference)


@pytest.mark.parametrize("name", COMPLETE)
def test_every_step_is_complete(name: str) -> None:
    f = COMPLETE[name]
    explain = explained(f, X)
    for reference in REFERENCES.values():
        contributions, info = explain(reference)
        change = f(X) - f(reference)
        allowed = 1e-10 * bound(f, X, reference, contributions)
        np.testing.assert_allclose(contributions.sum(), change, rtol=0, atol=allowed)
        assert float(info.unattributed) == 0
        np.testing.assert_allclose(info.residual, 0, atol=allowed)


@pytest.mark.parametrize("name", COMPLETE)
def test_every_step_in_single_precision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for parameter in ("W", "M", "V"):
        monkeypatch.setitem(globals(), parameter, globals()[parameter].astype(jnp.float32))
    f, x = COMPLETE[name], X.astype(jnp.float32)

    explain = explained(f, x)
    for reference in REFERENCES.values():
        reference = reference.astype(jnp.float32)
        contributions, _ = explain(reference)
        allowed = 1e-5 * bound(f, x, reference, contributions)
        change = float(f(x)) - float(f(reference))
        np.testing.assert_allclose(float(contributions.sum()), change, rtol=0, atol=allowed)
        assert contributions.dtype == jnp.float32


@pytest.mark.parametrize("name", CHOOSING)
def test_what_is_chosen_for_all_is_unattributed(name: str) -> None:
    f = CHOOSING[name]
    explain = explained(f, X)
    shares = []
    for reference in REFERENCES.values():
        contributions, info = explain(reference)
        allowed = 1e-10 * bound(f, X, reference, contributions)
        total = contributions.sum() + info.unattributed
        np.testing.assert_allclose(total, f(X) - f(reference), rtol=0, atol=allowed)
        np.testing.assert_allclose(info.ledger.unattributed.sum(), info.unattributed, atol=allowed)
        shares.append(abs(float(info.unattributed)))
    assert max(shares) > 1e-3  # some reference is chosen otherwise
    assert shares[list(REFERENCES).index("the input")] == 0


def test_an_unattributed_share_warns() -> None:
    f = CHOOSING["argmax"]
    with pytest.warns(RuntimeWarning, match="due to choices.*test_completeness"):
        jaxplain.deeplift(f)(X)
    with pytest.warns(RuntimeWarning, match="info=True"):
        jax.block_until_ready(jax.jit(jaxplain.deeplift(f))(X))
        jax.effects_barrier()


def test_the_data_of_a_choice_get_the_mean_of_both() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.where(x[0] > 0, 2 * x[1], 4 * x[1]) + 0 * x[0]  # element by element: attributed

    def g(x: jax.Array) -> jax.Array:
        return lax.cond(x[0] > 0, lambda v: 2 * v, lambda v: 4 * v, x[1])

    x, reference = jnp.array([1.0, 3.0]), jnp.array([-1.0, 1.0])
    np.testing.assert_allclose(explained(f, x)(reference)[0], [-4.0, 6.0])
    contributions, info = explained(g, x)(reference)
    np.testing.assert_allclose(contributions, [0.0, 6.0])
    np.testing.assert_allclose(info.unattributed, -4.0)


# Its attention is computed in single precision whatever it is given.
SINGLE = ("gpt_fused",)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=str)
@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_completeness_over_the_zoo(model: Model, dtype: Any) -> None:
    forward, x = model.make(dtype)
    draw = np.random.default_rng(1)
    references = {
        "zeros": jax.tree.map(jnp.zeros_like, x),
        "random": jax.tree.map(lambda v: jnp.asarray(draw.normal(size=v.shape), dtype), x),
        "data": jax.tree.map(lambda v: jnp.asarray(draw.permuted(np.asarray(v)), dtype), x),
    }
    score = jaxplain.select(forward)

    @jax.jit
    def run(x: Any, reference: Any) -> Any:
        contributions, info = jaxplain.deeplift(score, info=True)(x, 1, baseline=reference)
        return contributions, info, score(x, 1), score(reference, 1)

    for reference in references.values():
        contributions, info, y, y_reference = run(x, reference)
        leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(contributions)]
        size = sum(np.abs(leaf).sum() for leaf in leaves)
        single = dtype == jnp.float32 or model.name in SINGLE
        ends = abs(float(y)), abs(float(y_reference))
        allowed = (1e-5 if single else 1e-10) * max(1.0, *ends, size)
        total = sum(leaf.sum() for leaf in leaves) + float(info.unattributed)
        np.testing.assert_allclose(total, float(y) - float(y_reference), rtol=0, atol=allowed)
        if model.name != "mixture_of_experts":
            assert float(info.unattributed) == 0


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["lenet", "resnet_basic", "vgg_batchnorm", "mlp", "lstm", "vit"])
def test_completeness_with_parts_kept_apart(name: str) -> None:
    (model,) = (model for model in ZOO if model.name == name)
    forward, x = model.make(jnp.float64)
    score = jaxplain.select(forward)
    for preset in (rules.genomics(), rules.reveal_cancel()):
        explain = jax.jit(jaxplain.deeplift(score, preset, info=True))
        contributions, info = explain(x, 1, baseline=jax.tree.map(lambda v: 0.3 * jnp.cos(v), x))
        size = sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(contributions))
        assert abs(float(info.residual)) <= 1e-10 * max(1.0, size)
    assert "RevealCancel" in {row.rule for row in info.ledger.rows}
