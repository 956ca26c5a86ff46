"""Logistic regression with an L2 penalty, small and converged, so that thousands can be fitted."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._optax import import_optax
from .._tree import precision

MAX_ITERATIONS = 500

WHAT = "A concept activation vector"


class Fit(NamedTuple):
    """A linear classifier: positive where `features @ weights + intercept > 0`."""

    weights: jax.Array  # (d,)
    intercept: jax.Array  # ()
    converged: jax.Array  # (), bool


def fit_logistic(
    features: jax.Array, labels: jax.Array, importance: jax.Array, l2: jax.Array
) -> Fit:
    r"""Minimise $\sum_i c_i \log(1 + e^{-y_i (w \cdot z_i + b)}) + \frac{\lambda}{2} |w|^2$.

    Features `(m, d)` of about unit length, labels `(m,)` of ±1, importances `(m,)` that sum to 1.
    Converged means that all derivatives are small, compared to rounding errors.
    """
    optax = import_optax(WHAT)
    solver = optax.lbfgs(memory_size=10)
    dtype = features.dtype
    tolerance = jnp.asarray(8 * precision(dtype).eps ** 0.75, dtype)

    def loss(params: tuple[jax.Array, jax.Array]) -> jax.Array:
        weights, intercept = params
        margin = labels * (features @ weights + intercept)
        penalty = l2 / 2 * jnp.sum(weights**2)
        return jnp.sum(importance * jax.nn.softplus(-margin)) + penalty

    def unfinished(carry: Any) -> jax.Array:
        _, state, grad, count = carry
        del state
        going: jax.Array = (count < MAX_ITERATIONS) & (largest(grad) > tolerance)
        return going

    def step(carry: Any) -> Any:
        params, state, grad, count = carry
        value = loss(params)
        with jax.numpy_dtype_promotion("standard"):  # Optax adds integers of two sizes
            update, state = solver.update(
                grad, state, params, value=value, grad=grad, value_fn=loss
            )
        params = jax.tree.map(jnp.add, params, update)
        return params, state, jax.grad(loss)(params), count + 1

    start = jnp.zeros(features.shape[-1], dtype), jnp.zeros((), dtype)
    first = start, solver.init(start), jax.grad(loss)(start), jnp.asarray(0)
    (weights, intercept), _, grad, _ = jax.lax.while_loop(unfinished, step, first)
    return Fit(weights, intercept, largest(grad) <= tolerance)


def largest(grad: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.maximum(jnp.max(jnp.abs(grad[0])), jnp.abs(grad[1]))
