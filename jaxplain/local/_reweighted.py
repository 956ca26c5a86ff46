"""Logistic regression on probabilities, as a sequence of weighted ridge regressions."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import is_concrete
from .._tree import precision
from .._types import Scalar
from ._moments import Design, Moments, dot, moments
from ._ridge import System

MAX_STEPS = 100
STRIDES = 0.5 ** np.arange(8)  # shares of a Newton step, the first that lowers the loss is taken


class Working(NamedTuple):
    """The ridge regression whose solution is the next Newton step."""

    scores: jax.Array  # (samples,), log-odds that the tangent line asks for
    weights: jax.Array  # (samples,)


class Logistic(NamedTuple):
    """Coefficients and intercept in log-odds, and the last ridge regression."""

    coefficients: jax.Array  # (features,)
    intercept: jax.Array  # ()
    working: Working
    found: Moments
    system: System
    converged: jax.Array  # (), bool


def check_probabilities(scores: jax.Array) -> jax.Array:
    """The scores; those that are no probabilities raise, or turn into NaN where traced."""
    inside = jnp.all((scores >= 0) & (scores <= 1))
    if is_concrete(inside) and not inside:
        raise ValueError(
            "solver='logistic' fits probabilities, but the model returned scores from "
            f"{float(jnp.min(scores)):g} to {float(jnp.max(scores)):g}: explain jax.nn.sigmoid of "
            "the score or jax.nn.softmax of the logits, or use solver='ridge'."
        )
    return jnp.where(inside, scores, jnp.nan)


def logistic(
    design: Design, scores: jax.Array, weights: jax.Array, penalty: Scalar, used: jax.Array
) -> Logistic:
    r"""Minimise the weighted cross-entropy of $p_n$, the sigmoid of $b + \beta z_n$.

    $-\sum_n \pi_n (y_n \log p_n + (1 - y_n) \log (1 - p_n)) + \frac\lambda2 |\beta|^2$. Newton's
    method finds the solution. Two more steps from there, the only ones that are differentiated,
    have the derivative of the solution, and of the last ridge regression.
    """
    scores = check_probabilities(scores)
    fixed = jax.lax.stop_gradient((scores, weights, jnp.asarray(penalty, scores.dtype)))
    coefficients, intercept, converged = _newton(design, *fixed, used)
    for _ in range(2):
        odds = intercept + design.predict(coefficients)
        working = _working(odds, scores, weights)
        found = moments(design, *working)
        system = System.of(found.gram, penalty, used)
        coefficients = system.solve(found.cross)
        intercept = found.score - dot(coefficients, found.row)
    return Logistic(coefficients, intercept, working, found, system, converged)


def _working(odds: jax.Array, scores: jax.Array, weights: jax.Array) -> Working:
    probability = jax.nn.sigmoid(odds)
    slope = jnp.maximum(
        probability * jax.nn.sigmoid(-odds), precision(odds.dtype).eps
    )  # where the sigmoid is flat, steps would be infinite
    return Working(odds + (scores - probability) / slope, weights * slope)


def _newton(
    design: Design, scores: jax.Array, weights: jax.Array, penalty: jax.Array, used: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Newton's method that never goes uphill: coefficients, intercept, whether it converged."""
    dtype = scores.dtype
    strides = jnp.asarray(STRIDES, dtype)
    # Steps are squared near the solution, and more follow.
    close = precision(dtype).eps ** 0.75

    def loss(odds: jax.Array, coefficients: jax.Array) -> jax.Array:
        # -y log p - (1 - y) log (1 - p), without ever taking the logarithm of zero.
        each = jax.nn.softplus(odds) - scores * odds
        return jnp.sum(weights * each) + penalty / 2 * jnp.sum(coefficients**2)

    def unfinished(carry: Any) -> jax.Array:
        *_, change, count = carry
        going: jax.Array = (count < MAX_STEPS) & (change > close)
        return going

    def advance(carry: Any) -> Any:
        coefficients, intercept, odds, _, count = carry
        found = moments(design, *_working(odds, scores, weights))
        step = System.of(found.gram, penalty, used).solve(found.cross) - coefficients
        target = found.score - dot(coefficients + step, found.row)
        shift = target - intercept
        moved = design.predict(step) + shift

        def tried(share: jax.Array) -> jax.Array:
            return loss(odds + share * moved, coefficients + share * step)

        share = strides[jnp.argmin(jax.vmap(tried)(strides))]
        largest = jnp.max(jnp.abs(share * moved)) / (1 + jnp.max(jnp.abs(odds)))
        return (
            coefficients + share * step,
            intercept + share * shift,
            odds + share * moved,
            largest,
            count + 1,
        )

    nothing = jnp.zeros((), dtype)
    start = (
        jnp.zeros(len(used), dtype),
        nothing,
        jnp.zeros(design.count, dtype),
        jnp.ones((), dtype),
        jnp.zeros((), jnp.int32),
    )
    coefficients, intercept, _, change, _ = jax.lax.while_loop(unfinished, advance, start)
    return coefficients, intercept, change <= close
