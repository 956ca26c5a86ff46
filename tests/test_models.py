"""The zoo itself: each model runs, at both precisions, and answers to its input and biases."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import TWINS, ZOO, Model

pytestmark = pytest.mark.thorough

models = pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)

# Written without biases, means or position embeddings.
WITHOUT_BIAS = {"llama"}


def test_the_zoo_is_wide() -> None:
    names = [model.name for model in ZOO]
    assert len(set(names)) == len(names) >= 26
    assert {model.family for model in ZOO} == {"convolutional", "attention", "recurrent", "other"}


@models
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_logits_and_gradients(model: Model, dtype: type) -> None:
    f, x = model.make(dtype)
    chex.assert_tree_all_finite(x)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(x))

    def highest_logit(x: chex.ArrayTree) -> tuple[jax.Array, jax.Array]:
        logits = f(x)
        return jnp.max(logits), logits

    gradient, logits = jax.jit(jax.grad(highest_logit, has_aux=True))(x)
    assert logits.dtype == dtype
    assert logits.shape == (4,)
    assert len(np.unique(logits)) == 4
    chex.assert_tree_all_finite((gradient, logits))
    for leaf in jax.tree.leaves(gradient):
        assert leaf.dtype == dtype
        assert jnp.any(leaf != 0)


@models
def test_biases_matter(model: Model) -> None:
    (f, x), (g, y) = model.make(jnp.float64), model.make(jnp.float64, bias=False)
    chex.assert_trees_all_equal(x, y)
    logits, unbiased = jax.jit(lambda x: (f(x), g(x)))(x)
    chex.assert_tree_all_finite(unbiased)
    assert bool(jnp.max(jnp.abs(logits - unbiased)) > 1e-3) == (model.name not in WITHOUT_BIAS)


@models
def test_each_model_is_made_once(model: Model) -> None:
    assert model.make(jnp.float64)[0] is model.make(np.dtype("float64"), bias=True)[0]


@pytest.mark.parametrize(("first", "second"), TWINS, ids=lambda model: model.name)
def test_twins_agree(first: Model, second: Model) -> None:
    (f, x), (g, y) = first.make(jnp.float64), second.make(jnp.float64)
    chex.assert_trees_all_equal(x, y)
    left, right = jax.jit(lambda x: (f(x), g(x)))(x)
    # JAX computes the softmax of its fused attention in float32 whatever it is given.
    rtol = 1e-6 if second.name == "gpt_fused" else 1e-12
    np.testing.assert_allclose(left, right, rtol=rtol)
