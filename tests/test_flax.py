"""Flax models as functions: evaluation mode, names in nnx, and the user's model left alone."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxplain.flax
from jaxplain.rules import Composite, Flat

F64: dict[str, Any] = {"param_dtype": jnp.float64, "dtype": jnp.float64}


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x: Any, train: bool = True) -> Any:
        x = nn.Dense(4, **F64)(x)
        x = nn.BatchNorm(use_running_average=not train, dtype=x.dtype, param_dtype=x.dtype)(x)
        return nn.Dense(3, **F64)(nn.Dropout(0.5, deterministic=not train)(nn.relu(x)))


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(4, 4, rngs=rngs, **F64)
        self.norm = nnx.BatchNorm(4, rngs=rngs, **F64)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return x + self.drop(nnx.relu(self.norm(self.dense(x))))


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List([Block(rngs) for _ in range(2)])
        self.shared = nnx.Linear(4, 4, rngs=rngs, **F64)

    def __call__(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.shared(jnp.tanh(self.shared(x)))


X = jnp.asarray(np.random.default_rng(0).normal(size=4))


@jax.numpy_dtype_promotion("standard")  # Flax's BatchNorm is not made for strict promotion
def test_linen_in_evaluation_mode() -> None:
    model = Linen()
    variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, X[None])
    logits = jaxplain.flax.function(model, variables)
    np.testing.assert_allclose(logits(X), model.apply(variables, X[None], train=False)[0])
    assert jax.jit(jaxplain.lrp(jaxplain.select(logits)))(X, 1).shape == X.shape


def test_linen_without_a_batch_axis_and_with_options() -> None:
    model = nn.Dense(3, **F64)
    variables = model.init(jax.random.key(0), X)
    np.testing.assert_allclose(
        jaxplain.flax.function(model, variables, batched=False)(X), model.apply(variables, X)
    )


def test_nnx_layers_have_names_and_the_model_is_left_alone() -> None:
    model = Model(nnx.Rngs(0))
    logits = jaxplain.flax.function(model)
    reference = Model(nnx.Rngs(0))
    reference.eval()
    np.testing.assert_allclose(logits(X), reference(X[None])[0], rtol=1e-12)
    assert not model.blocks[0].drop.deterministic, "the user's model is still in training mode"
    assert type(model.blocks[0]) is Block
    names = [row.name for row in jaxplain.show(jaxplain.select(logits))(X, 0).rows]
    dense = [name for name in names if name.endswith("dot_general")]
    assert dense == [
        "blocks/0/dense:dot_general",
        "blocks/1/dense:dot_general",
        "shared#0:dot_general",
        "shared#1:dot_general",
    ]


def test_rules_by_nnx_path() -> None:
    logits = jaxplain.flax.function(Model(nnx.Rngs(0)))
    composite = Composite([("blocks/1/**", Flat())])
    rows = jaxplain.show(jaxplain.select(logits), composite)(X, 0).rows
    assert [row.name for row in rows if row.rule == "Flat"] == ["blocks/1/dense:dot_general"]


def test_gradients_reach_the_parameters_of_an_nnx_model() -> None:
    model = Model(nnx.Rngs(0))
    graph, state = nnx.split(model)

    def loss(state: Any) -> Any:
        logits = jaxplain.flax.function(nnx.merge(graph, state))
        return jnp.sum(jaxplain.lrp(jaxplain.select(logits))(X, 1) ** 2)

    gradients = jax.grad(loss, allow_int=True)(state)
    kernel = gradients["blocks"][0]["dense"]["kernel"]
    assert float(jnp.abs(kernel[...]).max()) > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jaxplain.flax.function(Linen()), "needs its variables"),
        (lambda: jaxplain.flax.function(Model(nnx.Rngs(0)), {}), "leave variables out"),
        (lambda: jaxplain.flax.function(jnp.tanh), "needs no adapter"),
        (lambda: jaxplain.flax.named(Linen()), "named already"),
    ],
)
def test_mistakes(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()
