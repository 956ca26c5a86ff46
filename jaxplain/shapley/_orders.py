"""Random orders of the features: each adds what the score changes by when it joins."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._batch import mean, nested
from .._errors import check_count
from .._types import Chunk, Scalar
from ..perturb._game import Game
from ._precise import Estimate, estimate
from ._unions import Unions


def check_orders(samples: int, ways: int, *, noisy: bool) -> None:
    """Raise unless orders come in pairs if antithetic, and are enough for a standard error."""
    least = ways * (2 if noisy else 1)
    hint = "A standard error, for info= and tolerance=, needs two samples." if noisy else ""
    check_count("samples", samples, least=least, hint=hint)
    if samples % ways:
        raise ValueError(
            f"samples={samples} is odd, but with antithetic=True each order is used forwards and "
            f"backwards: give samples={samples + 1}, or antithetic=False."
        )


class Orders:
    """What features add in random orders, one after the other."""

    def __init__(self, game: Game, key: jax.Array, ways: int) -> None:
        nobody = jnp.zeros(game.count, bool)
        self.game, self.key, self.ways = game, key, ways
        self.first, self.last = game.value(nobody), game.value(~nobody)
        self.each = ways * max(game.count - 1, 0)  # evaluations of one sample

    def average(
        self, samples: int, tolerance: Scalar | None, chunk: Chunk, *, noisy: bool
    ) -> Estimate:
        """The mean over samples, with its standard error where that is asked for."""
        if self.game.count < 2:  # one order
            values = jnp.full(self.game.count, self.last - self.first)
            none = jnp.zeros_like(values)
            return Estimate(values, none, jnp.asarray(samples), jnp.asarray(True))
        at_once, part = nested(chunk, self.each)

        def sample(number: jax.Array) -> jax.Array:
            return self.gains(number, part)

        if noisy or tolerance is not None:
            return estimate(sample, samples, tolerance=tolerance, chunk=at_once)
        values = mean(sample, jnp.arange(samples), chunk=at_once)
        return Estimate(values, jnp.zeros_like(values), jnp.asarray(samples), jnp.asarray(True))

    def places(self, key: jax.Array) -> jax.Array:
        """The place of each feature in a random order."""
        return jax.random.permutation(key, self.game.count)

    def gains(self, number: jax.Array, chunk: Chunk) -> jax.Array:
        """What each feature adds, the mean over one order and, if antithetic, its reverse."""
        count = self.game.count
        places = self.places(jax.random.fold_in(self.key, number))

        def coalition(size: jax.Array) -> jax.Array:
            """The first features of the order; for a negative size, of its reverse."""
            return jnp.where(size > 0, places < size, places >= count + size)

        sizes = jnp.arange(1, count)
        sizes = jnp.concatenate([sizes, -sizes][: self.ways])
        scores = self.game.values(coalition, sizes, chunk=chunk).reshape(self.ways, -1)
        start, end = (jnp.full((self.ways, 1), value) for value in (self.first, self.last))
        gains = jnp.diff(jnp.concatenate([start, scores, end], axis=1), axis=1)
        ranks = jnp.stack([places, count - 1 - places][: self.ways])
        return jnp.mean(jnp.take_along_axis(gains, ranks, axis=1), axis=0)


class UnionOrders(Orders):
    """Random orders in which no feature comes between two of another union."""

    def __init__(self, game: Game, key: jax.Array, ways: int, unions: Unions) -> None:
        super().__init__(game, key, ways)
        self.unions = unions

    def places(self, key: jax.Array) -> jax.Array:
        """The place of each feature in an order of the unions, and of the features in each."""
        outer, inner = jax.random.split(key)
        count = self.game.count
        union = jax.random.permutation(outer, self.unions.count)[self.unions.of_feature]
        order = jnp.argsort(union * count + jax.random.permutation(inner, count))
        return jnp.zeros(count, order.dtype).at[order].set(jnp.arange(count, dtype=order.dtype))
