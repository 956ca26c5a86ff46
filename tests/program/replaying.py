"""Replay functions through the program engine, with no rules or with rules that change nothing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxplain.program._flow import annotate
from jaxplain.program._group import group
from jaxplain.program._ops import Kind
from jaxplain.program._run import Call, replay
from jaxplain.program._sites import Grouped, Site
from jaxplain.program._trace import trace

Function = Callable[..., Any]


@jax.tree_util.register_static
class Identity:
    """A rule that changes nothing: the site's own pullback, computed in the backward pass."""

    linearize = False

    def backward(self, call: Call, cotangents: Any, tap: Any) -> tuple[tuple[Any, ...], Any]:
        _, pullback = jax.vjp(lambda *xs: call.site(xs, call.operands), *call.inputs)
        return pullback(cotangents), tap


@jax.tree_util.register_static
class Linearized:
    """The same from the pullback that the forward pass kept, where nothing is held constant."""

    linearize = True

    def backward(self, call: Call, cotangents: Any, tap: Any) -> tuple[tuple[Any, ...], Any]:
        assert call.pullback is not None
        return call.pullback(cotangents), tap


def grouped(f: Function, x: Any, opened: frozenset[int] | None = None) -> Grouped:
    """The annotated sites of a function at `x`."""
    return annotate(group(trace(f, x).program(opened)))


def sites(f: Function, x: Any) -> list[Site]:
    """The sites of a function, those inside loops included."""
    return grouped(f, x).all_sites()


def kinds(f: Function, x: Any) -> list[str]:
    """The kinds of a function's sites, movement left out."""
    return [str(site.kind.name) for site in sites(f, x) if site.kind is not Kind.MOVEMENT]


def replayed(f: Function, rule: Any = None, opened: frozenset[int] | None = None) -> Function:
    """The function, traced, grouped and evaluated again, the same rule at all its sites."""

    def again(x: Any) -> Any:
        traced = trace(f, x)
        steps = annotate(group(traced.program(opened)))
        rules = {}
        for site in steps.all_sites():
            if rule is not None and site.kind is not Kind.CALL:
                held = site.kind is Kind.NORMALIZATION and rule.linearize
                rules[site] = Identity() if held else rule
        return traced.restore(replay(steps, jax.tree.leaves(x), rules))

    return again


def score(f: Function) -> Function:
    """A scalar of all outputs in which no two elements count the same."""

    def scalar(x: Any) -> jax.Array:
        total = jnp.zeros(())
        for i, leaf in enumerate(jax.tree.leaves(f(x))):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                weights = jnp.cos(jnp.arange(float(leaf.size)) + 0.5 * i).reshape(leaf.shape)
                total = total + jnp.sum(leaf.astype(jnp.float64) * weights)
        return total

    return scalar


def laws(f: Function, x: Any, *, thorough: bool = False) -> dict[str, Any]:
    """What a function and its derivatives are in a batch, or under each transformation."""
    scalar = score(f)

    def pulled(x: Any) -> jax.Array:
        y, pullback = jax.vjp(scalar, x)
        (relevance,) = pullback(y)
        return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(relevance)), jnp.zeros(()))

    def step(carry: jax.Array, x: Any) -> tuple[jax.Array, None]:
        return carry + scalar(x), None

    def scanned(xs: Any) -> jax.Array:
        return jax.lax.scan(step, jnp.zeros(()), xs)[0]

    def derivatives(x: Any) -> Any:
        return f(x), jax.grad(scalar)(x), jax.grad(pulled)(x)

    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.9 * leaf + 0.01]), x)
    found = {"vmap": jax.vmap(derivatives)(batch)}
    if thorough:
        found |= {
            "gradient": derivatives(x),
            "checkpoint": jax.grad(jax.checkpoint(scalar))(x),
            "scan": jax.value_and_grad(scanned)(batch),
        }
    return found


def assert_close(actual: Any, expected: Any, message: str = "") -> None:
    """Equal to rounding, and finite."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected), message
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype and a.shape == e.shape, message
        if jnp.issubdtype(e.dtype, jnp.inexact):
            assert np.all(np.isfinite(np.asarray(e, np.float64))), f"{message}: not finite"
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-11, err_msg=message)


def assert_identical(
    f: Function, x: Any, *, opened: frozenset[int] | None = None, thorough: bool = False
) -> None:
    """Replayed, a function is what it was, with no rules and with rules that change nothing."""
    functions = {
        "the function": f,
        "no rules": replayed(f, None, opened),
        "identity": replayed(f, Identity(), opened),
    }
    if not thorough:  # what compiles in one go
        del functions["no rules"]
    found = jax.jit(lambda x: [laws(g, x, thorough=thorough) for g in functions.values()])(x)
    for name, actual in zip(functions, found, strict=True):
        for law, value in actual.items():
            assert_close(value, found[0][law], f"{law}, {name}")
    if thorough:
        for name, g in functions.items():
            assert_close((g(x), jax.grad(score(g))(x)), (f(x), jax.grad(score(f))(x)), name)
