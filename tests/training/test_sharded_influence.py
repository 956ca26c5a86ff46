"""A training set that is spread over devices stays where it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxplain.training._influence import influence

MOVING = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def loss(params: dict[str, jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    with jax.named_scope("output"):
        h = jnp.tanh(x @ params["low"]) @ params["high"]
    return (h - y) ** 2 / 2 + 0.01 * (jnp.sum(params["low"] ** 2) + jnp.sum(params["high"] ** 2))


@pytest.mark.parametrize("curvature", ["hessian", "gauss_newton"])
def test_only_sums_cross_between_devices(curvature: str) -> None:
    assert jax.device_count() == 8
    rng = np.random.default_rng(0)
    params = {"low": rng.normal(size=(3, 4)), "high": rng.normal(size=4)}
    params = jax.tree.map(jnp.asarray, params)
    train = jnp.asarray(rng.normal(size=(32, 3))), jnp.asarray(rng.normal(size=32))
    options = {"outputs": "output"} if curvature == "gauss_newton" else {}
    x, y = train[0][3], train[1][3]

    mesh = Mesh(np.array(jax.devices()), ("examples",))
    spread = jax.device_put(train, NamedSharding(mesh, PartitionSpec("examples")))
    x, y, everywhere = jax.device_put((x, y, params), NamedSharding(mesh, PartitionSpec()))

    def explain(params, train, x, y):  # type: ignore[no-untyped-def]
        return influence(
            loss, params, train, curvature=curvature, damping=5.0, info=True, **options
        )(x, y)

    single, info = jax.jit(explain)(params, train, np.asarray(x), np.asarray(y))
    assert info.converged
    compiled = jax.jit(explain).lower(everywhere, spread, x, y).compile()
    scores, info = compiled(everywhere, spread, x, y)
    np.testing.assert_allclose(scores, single, rtol=1e-8)
    assert info.converged
    assert scores.sharding.is_equivalent_to(spread[1].sharding, 1)
    # Called without jit, too.
    eager = influence(
        loss, everywhere, spread, curvature=curvature, damping=5.0, info=True, **options
    )(x, y)[0]
    np.testing.assert_allclose(eager, single, rtol=1e-8)
    assert eager.sharding.is_equivalent_to(spread[1].sharding, 1)

    program = compiled.as_text()
    assert "all-reduce" in program
    assert not [name for name in MOVING if name in program]
