"""Newton's method for a smooth convex function of many variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse import linalg

from .._tree import precision

SOLVING = 200  # conjugate gradients in a step, at most
HALVINGS = 30
ROUNDING = 100
solve: Callable[..., Any] = linalg.cg


class _State(NamedTuple):
    x: jax.Array
    gradient: jax.Array
    steps: jax.Array
    stuck: jax.Array


def newton(
    f: Callable[[jax.Array], jax.Array],
    start: jax.Array,
    enough: Callable[[jax.Array, jax.Array], jax.Array],
    iterations: int,
) -> jax.Array:
    """Go down `f` until `enough(x, gradient)`, or until rounding errors hide the way.

    Each step solves for the zero of the linearised gradient by conjugate gradients, no more
    precisely than is of use yet. A step is halved until `f` or its gradient is smaller: near a
    minimum rounding hides the change of `f` long before that of the gradient.
    """
    grad = jax.grad(f)

    def going(state: _State) -> jax.Array:
        result: jax.Array = (
            ~enough(state.x, state.gradient) & (state.steps < iterations) & ~state.stuck
        )
        return result

    def step(state: _State) -> _State:
        x, gradient = state.x, state.gradient
        size = jnp.linalg.norm(gradient)

        def product(v: jax.Array) -> jax.Array:
            tangent: jax.Array = jax.jvp(grad, (x,), (v,))[1]
            return tangent

        forcing = jnp.minimum(0.1, jnp.sqrt(size)).astype(size.dtype)
        ahead: jax.Array = solve(product, -gradient, tol=forcing, maxiter=SOLVING)[0]
        value = f(x)
        rounding = ROUNDING * precision(x.dtype).eps * jnp.abs(value)

        def better(length: jax.Array) -> jax.Array:
            new = x + length * ahead
            found = f(new)
            flatter = jnp.linalg.norm(grad(new)) < size
            result: jax.Array = (found < value) | (flatter & (found <= value + rounding))
            return result

        length = jax.lax.while_loop(
            lambda length: ~better(length) & (length > 0.5**HALVINGS),
            lambda length: length / 2,
            jnp.ones((), x.dtype),
        )
        found = better(length)
        new = jnp.where(found, x + length * ahead, x)
        return _State(new, grad(new), state.steps + 1, ~found)

    first = _State(start, grad(start), jnp.asarray(0), jnp.asarray(False))
    return jax.lax.while_loop(going, step, first).x
