"""Explanations of a batch that is spread over devices."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from methods import METHODS, Method
from test_laws import WEIGHTS, net

import jaxplain

COLLECTIVES = ("all-gather", "all-to-all", "collective-permute", "all-reduce", "reduce-scatter")


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    assert jax.device_count() == 8
    return Mesh(np.array(jax.devices()), ("batch",))


def batch(method: Method, count: int = 16) -> tuple[tuple[Any, ...], dict[str, Any]]:
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(count, len(WEIGHTS))))
    calls = [method.keywords(x, seed=i) for i, x in enumerate(xs)]
    extra = jax.tree.map(lambda *leaves: jnp.stack(leaves), *calls)
    return (xs, jnp.arange(count) % 3), extra


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_sharded_batch_gives_the_single_device_numbers(method: Method, mesh: Mesh) -> None:
    arguments, extra = batch(method)
    explain = jax.jit(jax.vmap(method.explain(net)))
    single = explain(*arguments, **extra)

    spread = NamedSharding(mesh, PartitionSpec("batch"))
    sharded_arguments, sharded_extra = jax.device_put((arguments, extra), spread)
    sharded = explain(*sharded_arguments, **sharded_extra)
    assert sharded.sharding.is_equivalent_to(spread, sharded.ndim)
    np.testing.assert_allclose(sharded, single, rtol=1e-11, atol=1e-13)

    program = explain.lower(*sharded_arguments, **sharded_extra).compile().as_text()
    found = {name for name in COLLECTIVES if name in program}
    # A loop runs until the last example is done, and a warning is for any: that question is one
    # bit, reduced over devices.
    warns = "tolerance" in method.name or method.name == "lime"
    allowed = {"all-reduce"} if warns or "guided" in method.name else set()
    if warns:
        allowed.add("collective-permute")  # a few numbers of each example, for the warning
    assert found <= allowed, f"the compiled program moves data between devices: {found}"


def test_a_sharded_batch_shares_one_bound_key_and_baseline(mesh: Mesh) -> None:
    explain = jaxplain.smooth(jaxplain.integrated_grad(net, steps=4), samples=3, sigma=0.1)
    shared = partial(explain, key=jax.random.key(0), baseline=0.5)
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(8, len(WEIGHTS))))
    spread = jax.device_put(xs, NamedSharding(mesh, PartitionSpec("batch")))
    mapped = jax.jit(jax.vmap(shared, (0, None)))
    np.testing.assert_allclose(mapped(spread, 1), mapped(xs, 1), rtol=1e-11, atol=1e-13)
