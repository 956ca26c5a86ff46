r"""Would random examples have given the same score? Permutation test, and the usual t-test.

Both are about the mean score over random counterparts. The t-test takes the counterparts for
independent repetitions of the experiment. They are not: all share the same concept examples, and
any few examples give a direction that leans somewhere. The permutation test repeats the whole
experiment with other examples in the concept's place.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._tree import precision


def middle(statistic: str) -> float:
    """What random labels give in the mean: exchange both sides, and the vector turns around."""
    return 0.5 if statistic == "sign" else 0.0


def permutation_p_value(observed: jax.Array, permuted: jax.Array) -> jax.Array:
    """The share of labelings, the observed one included, that reach the observed value.

    Under the null hypothesis the observed value is one more of the permuted ones, so at most a
    share p of experiments gives a value of p or less. Values that are equal but for rounding count
    as reached.
    """
    slack = 64 * precision(observed.dtype).eps * jnp.maximum(jnp.abs(observed), 1e-30)
    reached = jnp.sum(permuted >= observed - slack.astype(observed.dtype))
    return (1 + reached.astype(observed.dtype)) / (1 + len(permuted))


def welch_p_value(first: jax.Array, second: jax.Array) -> jax.Array:
    r"""Welch's two-sided t-test of equal means, $p = I_{\nu / (\nu + t^2)}(\nu / 2, 1 / 2)$."""

    def moments(values: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.mean(values), jnp.var(values, ddof=1) / len(values)

    (mean1, var1), (mean2, var2) = moments(first), moments(second)
    variance = var1 + var2
    safe = jnp.where(variance > 0, variance, 1)
    # Shares of the variance, not squares of it, which underflow.
    share1, share2 = var1 / safe, var2 / safe
    spread = share1**2 / (len(first) - 1) + share2**2 / (len(second) - 1)
    freedom = 1 / jnp.where(spread > 0, spread, 1)
    squared = (mean1 - mean2) ** 2 / safe
    half = jnp.asarray(0.5, variance.dtype)
    p = jax.scipy.special.betainc(freedom / 2, half, freedom / (freedom + squared))
    return jnp.where(variance > 0, p, (mean1 == mean2).astype(p.dtype))
