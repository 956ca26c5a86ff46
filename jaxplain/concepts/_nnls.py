r"""Non-negative least squares, $\min_{u \ge 0} |a - u W|^2$, by an active set.

At the minimum some entries of $u$ are held at zero, and the others are those of ordinary least
squares without them. So the minimum is exact as soon as it is known which are held: it takes some
exchanges, however close to each other the directions are.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._tree import precision

EXCHANGES = 10
"""At most so many exchanges for each direction; mostly a few in all are enough."""


class _State(NamedTuple):
    u: jax.Array  # (count,): feasible, and never worse than before
    free: jax.Array  # (count,): which entries are not held at zero
    done: jax.Array
    steps: jax.Array


def solve_nnls(products: jax.Array, gram: jax.Array, start: jax.Array) -> jax.Array:
    """The minimum for one $a$: `products` is $W a$, `gram` $W W'$, `start` a feasible guess.

    Its derivative is that of least squares with the same entries held at zero.
    """
    held = jax.lax.stop_gradient
    last = _exchange(held(products), held(gram), held(start))
    free = jnp.where(last.done, last.free, last.u > 0)
    best = jax.nn.relu(_least_squares(products, gram, free))
    # Of a search that was cut short, the last point is feasible; only the derivative is missing.
    return jnp.where(last.done, best, last.u + best - held(best))


def _exchange(products: jax.Array, gram: jax.Array, start: jax.Array) -> _State:
    """Lawson and Hanson's method, from a guess instead of zero."""
    rounding = 16 * precision(products.dtype).eps * jnp.max(jnp.abs(products))

    def unfinished(state: _State) -> jax.Array:
        return ~state.done & (state.steps < EXCHANGES * len(gram))

    def exchange(state: _State) -> _State:
        best = _least_squares(products, gram, state.free)
        blocked = state.free & (best <= 0)
        at_best = ~jnp.any(blocked)
        # On the way there, stop where the first entry comes to zero, and hold it.
        falls = jnp.where(blocked, state.u - best, 1)
        rooms = jnp.where(blocked, state.u / jnp.where(falls > 0, falls, 1), 1)
        room = jnp.min(rooms)
        on_the_way = jax.nn.relu(state.u + room * (best - state.u))
        left = state.free & ~(blocked & (rooms <= room))
        # There, let go of the entry whose rise lowers the error most.
        slope = jnp.where(state.free, -jnp.inf, products - gram @ best)
        entry = jnp.argmax(slope)
        done = at_best & ~(slope[entry] > rounding)
        freed = state.free | ((jnp.arange(len(gram)) == entry) & ~done)
        return _State(
            jnp.where(at_best, best, jnp.where(left, on_the_way, 0)),
            jnp.where(at_best, freed, left),
            done,
            state.steps + 1,
        )

    first = _State(start, start > 0, jnp.bool_(False), jnp.int32(0))
    last: _State = jax.lax.while_loop(unfinished, exchange, first)
    return last


def _least_squares(products: jax.Array, gram: jax.Array, free: jax.Array) -> jax.Array:
    """The minimum without bounds of the free entries, zero for the others."""
    both = free[:, None] & free[None, :]
    # So little on the diagonal that it matters for equal directions alone, which it tells apart.
    ridge = 4 * precision(gram.dtype).eps * jnp.max(jnp.diagonal(gram))
    diagonal = jnp.where(free, ridge, 1)
    system = jnp.where(both, gram, 0) + jnp.diag(diagonal)
    solution: jax.Array = jnp.linalg.solve(system, jnp.where(free, products, 0))
    return jnp.where(free, solution, 0)
