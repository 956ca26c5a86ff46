"""Explanations of a transformer whose parameters are spread over the devices of a mesh."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxplain

WIDTH, HEADS, HIDDEN, TOKENS = 8, 4, 16, 5
RNG = np.random.default_rng(0)
# Heads and hidden units are spread, as it is usual: one all-reduce after attention and one after
# the dense layers.
SHAPES: dict[str, tuple[tuple[int, ...], Any]] = {
    "query": ((WIDTH, HEADS, 2), P(None, "model")),
    "key": ((WIDTH, HEADS, 2), P(None, "model")),
    "value": ((WIDTH, HEADS, 2), P(None, "model")),
    "out": ((HEADS, 2, WIDTH), P("model")),
    "up": ((WIDTH, HIDDEN), P(None, "model")),
    "up_bias": ((HIDDEN,), P("model")),
    "down": ((HIDDEN, WIDTH), P("model")),
    "head": ((WIDTH, 3), P()),
}
PARAMS = {name: jnp.asarray(RNG.normal(size=shape)) / 2 for name, (shape, _) in SHAPES.items()}
X = jnp.asarray(RNG.normal(size=(TOKENS, WIDTH)))


def normalized(x: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)


def transformer(params: dict[str, Any], x: Any, k: Any) -> Any:
    """One logit from the embeddings of the tokens."""
    y = normalized(x)
    query, key, value = (
        jnp.einsum("td,dhe->the", y, params[name]) for name in ("query", "key", "value")
    )
    weights = jax.nn.softmax(jnp.einsum("the,she->hts", query, key), axis=-1)
    x = x + jnp.einsum("hts,she,hed->td", weights, value, params["out"])
    hidden = jax.nn.relu(normalized(x) @ params["up"] + params["up_bias"][None])
    x = x + hidden @ params["down"]
    return (jnp.mean(x, axis=0) @ params["head"])[k]


METHODS: dict[str, Any] = {
    "input_x_grad": jaxplain.input_x_grad,
    "integrated_grad": lambda f: jaxplain.integrated_grad(f, steps=6, chunk=3),
    "lrp": lambda f: jaxplain.lrp(f, jaxplain.rules.attn_lrp()),
    "deeplift": jaxplain.deeplift,
    "ablation": lambda f: jaxplain.ablation(f, along=0),
}


@pytest.mark.parametrize("name", METHODS)
def test_sharded_parameters_give_the_single_device_numbers(name: str) -> None:
    mesh = Mesh(np.array(jax.devices()[:4]), ("model",))
    spread = {
        leaf: jax.device_put(PARAMS[leaf], NamedSharding(mesh, spec))
        for leaf, (_, spec) in SHAPES.items()
    }

    @jax.jit
    def explain(params: Any, x: Any) -> Any:
        return METHODS[name](lambda x, k: transformer(params, x, k))(x, 1)

    single = explain(PARAMS, X)
    x = jax.device_put(X, NamedSharding(mesh, P()))
    sharded = explain(spread, x)
    np.testing.assert_allclose(sharded, single, rtol=1e-10, atol=1e-12)
    assert float(jnp.sum(jnp.abs(single))) > 0.1

    # The parameters stay where they are: nothing is gathered to one device.
    program = explain.lower(spread, x).compile().as_text()
    assert "all-reduce" in program
    weights = WIDTH * HIDDEN  # elements of the largest parameter
    assert not [line for line in program.splitlines() if gathered(line) >= weights], name


def gathered(line: str) -> int:
    """How many elements an all-gather of the compiled program makes."""
    if " all-gather(" not in line:
        return 0
    shape = line.split(" = ")[1].split("[")[1].split("]")[0]
    return int(np.prod([int(n) for n in shape.split(",") if n]))
