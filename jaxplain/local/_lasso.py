"""The lasso from moments: accelerated proximal steps, then one step that makes it exact."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._tree import precision
from .._types import Scalar
from ..backprop._rule import quotient
from ._moments import Moments, dot
from ._ridge import System

MAX_STEPS = 5000


class Lasso(NamedTuple):
    """The coefficients, and the linear system that those which are not zero solve."""

    coefficients: jax.Array  # (features,)
    system: System
    signs: jax.Array  # (features,)
    converged: jax.Array  # (), bool


def lasso(found: Moments, penalty: Scalar, used: jax.Array) -> Lasso:
    r"""Minimise $\frac{1}{2 \sum \pi} \sum_n \pi_n (y_n - b - \beta z_n)^2 + \alpha |\beta|_1$.

    FISTA finds which coefficients are not zero, and their signs. With these known the solution is
    that of a linear system: one Newton step gives it with all digits and the true derivative, the
    choice being constant.
    """
    threshold = jnp.asarray(penalty, found.gram.dtype) * found.weight
    start, converged = _fista(*jax.lax.stop_gradient((found, threshold)), used)
    signs = jnp.sign(start)
    system = System.of(found.gram, 0.0, signs != 0)
    slope = found.cross - dot(found.gram, start) - threshold * signs
    return Lasso(start + system.solve(slope), system, signs, converged)


def _fista(found: Moments, threshold: jax.Array, used: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Coefficients from proximal steps, in units that give all features the same spread."""
    dtype = found.gram.dtype
    spread = jnp.where(used, jnp.diag(found.gram), 0)
    unit = quotient(jnp.ones_like(spread), jnp.sqrt(jnp.maximum(spread, 0)), 0.0)
    gram = unit[:, None] * found.gram * unit[None, :]
    cross, limits = unit * found.cross, unit * threshold
    # The largest sum of a row bounds the largest eigenvalue.
    step = 1 / jnp.maximum(jnp.max(jnp.sum(jnp.abs(gram), axis=1)), 1)
    tolerance = 2 * precision(dtype).eps

    def unfinished(carry: tuple[jax.Array, ...]) -> jax.Array:
        coefficients, _, _, change, count = carry
        size = jnp.max(jnp.abs(coefficients))
        going: jax.Array = (count < MAX_STEPS) & (change > tolerance * size)
        return going

    def advance(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        old, ahead, momentum, _, count = carry
        moved = ahead + step * (cross - dot(gram, ahead))
        new = jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - step * limits, 0)
        # Momentum that points uphill is dropped, which makes the steps converge linearly.
        momentum = jnp.where(jnp.sum((ahead - new) * (new - old)) > 0, 1, momentum)
        following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - old)
        return new, ahead, following, jnp.max(jnp.abs(new - old)), count + 1

    zeros, one = jnp.zeros_like(cross), jnp.ones((), dtype)
    first = (zeros, zeros, one, one, jnp.zeros((), jnp.int32))
    # The first step is taken in any case: sizes of zero would end the loop before it.
    result = jax.lax.while_loop(unfinished, advance, advance(first))
    coefficients, _, _, change, _ = result
    close = precision(dtype).eps ** 0.75 * jnp.max(jnp.abs(coefficients))
    return unit * coefficients, change <= close
