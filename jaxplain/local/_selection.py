"""Which features a local fit uses: the ways of choosing that LIME has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._tree import precision
from ._moments import Moments, dot
from ._ridge import System, ridge

SELECTIONS = ("none", "forward", "highest_weights", "lasso_path", "auto")
FEW = 6  # up to here "auto" is forward selection


def select_features(found: Moments, origin: jax.Array, selection: str, keep: int) -> jax.Array:
    """Which `keep` features to use, (features,) of bool. The choice has no derivative."""
    found, origin = jax.lax.stop_gradient((found, origin))
    if selection == "none" or keep >= len(origin):
        return jnp.ones(len(origin), bool)
    if selection == "auto":
        selection = "forward" if keep <= FEW else "highest_weights"
    match selection:
        case "forward":
            return forward(found, keep)
        case "highest_weights":
            return highest_weights(found, origin, keep)
        case _:
            return lasso_path(found, keep)


def forward(found: Moments, keep: int) -> jax.Array:
    """One feature after the other: the one that lowers the squared residuals most."""
    variances = jnp.diag(found.gram)
    smallest = len(variances) * precision(variances.dtype).eps * variances

    def add(_: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        gram, cross, used = carry
        own = jnp.diag(gram)
        regular = own > smallest  # otherwise those in use already determine it
        gain = jnp.where(regular, cross**2 / jnp.where(regular, own, 1), 0)
        best = jnp.argmax(jnp.where(used, -1, gain))
        # What the new one explains is taken out of all others.
        share = jnp.where(regular[best], gram[best] / jnp.where(regular[best], own[best], 1), 0)
        cross = cross - share * cross[best]
        return gram - jnp.outer(share, gram[best]), cross, used.at[best].set(True)

    start = (found.gram, found.cross, jnp.zeros(len(variances), bool))
    used: jax.Array = jax.lax.fori_loop(0, keep, add, start)[2]
    return used


def highest_weights(found: Moments, origin: jax.Array, keep: int) -> jax.Array:
    """The features of the largest |coefficient x value|, in a fit to all with a small penalty."""
    everything = jnp.ones(len(origin), bool)
    effects = jnp.abs(ridge(found, 0.01, everything) * origin)
    return jnp.zeros(len(origin), bool).at[jax.lax.top_k(effects, keep)[1]].set(True)


def lasso_path(found: Moments, keep: int) -> jax.Array:
    """The last set of at most `keep` features on the path of the lasso, by least angles.

    As the penalty falls, coefficients move on straight lines until one joins them or one of them
    becomes zero. The path is followed from one such corner to the next.
    """
    size = len(found.cross)
    rounding = 64 * precision(found.cross.dtype).eps
    largest = jnp.max(jnp.abs(found.cross))
    numbers = jnp.arange(size, dtype=jnp.int32)

    def unfinished(carry: Any) -> jax.Array:
        *_, penalty, _, _, count = carry
        going: jax.Array = (penalty > rounding * largest) & (count < 8 * size + 8)
        return going

    def corner(carry: Any) -> Any:
        coefficients, used, penalty, last, chosen, count = carry
        left = found.cross - dot(found.gram, coefficients)
        signs = jnp.where(used, jnp.sign(left), 0)
        direction = System.of(found.gram, 0.0, used).solve(signs)
        falls = dot(found.gram, direction)
        # One that has just left is still at the border on its side, and may join on the other.
        above = jnp.where((numbers == last) & (left > 0), jnp.inf, penalty - left)
        below = jnp.where((numbers == last) & (left < 0), jnp.inf, penalty + left)
        joins = jnp.minimum(_until(above, 1 - falls, rounding), _until(below, 1 + falls, rounding))
        joins = jnp.where(used, jnp.inf, joins)
        leaves = jnp.where(used, _until(-coefficients, direction, 0.0), jnp.inf)
        # A coefficient that has only just joined is at zero, and does not leave.
        leaves = jnp.where(leaves > 0, leaves, jnp.inf)
        step = jnp.minimum(penalty, jnp.minimum(jnp.min(joins), jnp.min(leaves)))
        coefficients = coefficients + step * direction
        dropped = (leaves <= step) & used
        coefficients = jnp.where(dropped, 0, coefficients)
        joined = (joins <= step) & ~jnp.any(dropped)
        chosen = jnp.where(jnp.sum(coefficients != 0) <= keep, coefficients != 0, chosen)
        last = jnp.where(jnp.any(dropped), jnp.argmax(dropped).astype(jnp.int32), -1)
        return coefficients, (used & ~dropped) | joined, penalty - step, last, chosen, count + 1

    none = jnp.zeros(size, bool)
    first = none.at[jnp.argmax(jnp.abs(found.cross))].set(True)
    nobody, count = jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.int32)
    start = (jnp.zeros(size, largest.dtype), first, largest, nobody, none, count)
    chosen: jax.Array = jax.lax.while_loop(unfinished, corner, start)[4]
    return chosen


def _until(distance: jax.Array, speed: jax.Array, least: float) -> jax.Array:
    """The step after which a distance is closed; infinite if it does not become smaller."""
    closing = jnp.abs(speed) > least if least == 0.0 else speed > least
    step = distance / jnp.where(closing, speed, 1)
    return jnp.where(closing, jnp.maximum(step, 0), jnp.inf)
