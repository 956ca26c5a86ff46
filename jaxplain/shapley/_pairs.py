"""Second differences of a game: what two players add together beyond what each adds alone.

An estimate is a mean of independent samples. A sample is an array of coalitions, made by number
from one random permutation, and what follows for every pair and every player from their values.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import nested
from .._types import Chunk
from ..perturb._game import Game
from ._coalitions import unpack
from ._lattice import pair_gains, players, shapley_values

# What is known of a game's pairs, and of its players alone.
Pairs = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """An unbiased estimator: what samples share has been evaluated, `sample(key)` is one sample."""

    sample: Callable[[jax.Array], Pairs]
    empty: jax.Array
    full: jax.Array
    live: Chunk  # how many samples are live at once


def enumerate_sii(values: jax.Array) -> Pairs:
    """Shapley interaction indices and Shapley values from the values of all coalitions."""
    n = players(values)
    weights = [1 / ((n - 1) * math.comb(n - 2, s)) for s in range(n - 1)]
    return pair_gains(values, np.array(weights)), shapley_values(values)


def enumerate_stii(values: jax.Array) -> Pairs:
    """Shapley-Taylor indices of order 2: of pairs, and of each player alone."""
    n = players(values)
    weights = [2 / (n * math.comb(n - 1, s)) for s in range(n - 1)]
    alone = values[2 ** np.arange(n)] - values[0]
    return pair_gains(values, np.array(weights)), alone


def all_values(game: Game, chunk: Chunk) -> jax.Array:
    """The value of each coalition, by number."""
    numbers = jnp.arange(2**game.count, dtype=jnp.uint32)[:, None]
    return game.values(lambda bits: unpack(bits, game.count), numbers, chunk=chunk)


def sii_evaluations(n: int) -> tuple[int, int]:
    """How many evaluations the samples share, and how many each of them has."""
    return 2, 2 * n * (n - 1)


def sii_sampler(game: Game, chunk: Chunk) -> Sampler:
    """Pairs that are neighbours in a permutation, as the second of them joins and leaves.

    A sample is not one permutation but n of them, rotations of a zigzag: in these each pair is
    adjacent exactly twice, after s and after n - 2 - s others, and each player has each place once.
    """
    n = game.count
    live, chunk = nested(chunk, sii_evaluations(n)[1])
    empty, full = _values_of_few(game, np.array([-1, n]), chunk)
    places, slots = _zigzag(n)
    rows, columns = np.triu_indices(n, 1)
    # The players before some place, and those with the one after next but not the next.
    sizes = np.concatenate([np.arange(1, n), np.arange(n - 1)])
    extra = np.concatenate([np.full(n - 1, -1), np.arange(1, n)])
    nodes = _integers(np.repeat(np.arange(n), len(sizes)), np.tile(sizes, n), np.tile(extra, n))

    def sample(key: jax.Array) -> Pairs:
        labels = jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))

        def place(rotation: Any) -> jax.Array:
            found: jax.Array = jnp.asarray(places)[(labels - rotation) % n]
            return found

        def coalition(node: Any) -> jax.Array:
            rotation, size, also = node
            own = place(rotation)
            mask: jax.Array = (own < size) | (own == also)
            return mask

        values = game.values(coalition, nodes, chunk=chunk).reshape(n, -1)
        start, end = (jnp.full((n, 1), value) for value in (empty, full))
        path, skipped = jnp.hstack([start, values[:, : n - 1], end]), values[:, n - 1 :]
        gains = jnp.diff(path, axis=1)
        second = gains[:, 1:] - (skipped - path[:, : n - 1])
        found = jnp.mean(second.ravel()[slots], axis=1)
        upper = jnp.zeros((n, n), values.dtype).at[rows, columns].set(found)
        rotations = jnp.arange(n, dtype=jnp.int32)
        own = jnp.take_along_axis(gains, jax.vmap(place)(rotations), axis=1)
        return (upper + upper.T)[labels[:, None], labels], jnp.mean(own, axis=0)

    return Sampler(sample, empty, full, live)


def stii_evaluations(n: int) -> tuple[int, int]:
    """How many evaluations the samples share, and how many each of them has."""
    return n + 2, n * (n - 1) - 2


def stii_sampler(game: Game, chunk: Chunk) -> Sampler:
    """Every pair in one permutation, after those that come before both of them.

    A sample is a permutation and its reverse, in which those come first that came last.
    """
    n = game.count
    live, chunk = nested(chunk, stii_evaluations(n)[1])
    few = _values_of_few(game, np.arange(-1, n + 1), chunk)
    empty, alone, full = few[0], few[1:-1], few[-1]
    # The first players up to some place, and another one; these are not at an end of the table.
    sizes, extra = np.triu_indices(n)
    inner = (sizes > 0) & (sizes < n - 1)
    sizes, extra = sizes[inner], extra[inner]
    nodes = _integers(np.repeat(np.arange(2), len(sizes)), np.tile(sizes, 2), np.tile(extra, 2))

    def second_differences(place: jax.Array, values: jax.Array) -> jax.Array:
        table = jnp.zeros((n, n), values.dtype).at[sizes, extra].set(values)
        table = table.at[0].set(alone[jnp.argsort(place)]).at[n - 1, n - 1].set(full)
        path = jnp.concatenate([empty[None], jnp.diagonal(table)[:-1]])
        gains = table - path[:, None]
        second = jnp.triu(gains[1:] - gains[:-1], 1)
        upper = jnp.concatenate([second, jnp.zeros((1, n), values.dtype)])
        return (upper + upper.T)[place[:, None], place]

    def sample(key: jax.Array) -> Pairs:
        order = jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))
        places = jnp.stack([order, n - 1 - order])

        def coalition(node: Any) -> jax.Array:
            way, size, also = node
            mask: jax.Array = (places[way] < size) | (places[way] == also)
            return mask

        values = game.values(coalition, nodes, chunk=chunk).reshape(2, -1)
        return jnp.mean(jax.vmap(second_differences)(places, values), axis=0), alone - empty

    return Sampler(sample, empty, full, live)


def _values_of_few(game: Game, numbers: np.ndarray, chunk: Chunk) -> jax.Array:
    """The value of one player alone, of none (-1), or of all (as many as there are)."""
    players = jnp.arange(game.count, dtype=jnp.int32)
    return game.values(
        lambda number: (players == number) | (number == game.count),
        *_integers(numbers),
        chunk=chunk,
    )


def _integers(*arrays: np.ndarray) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(array, jnp.int32) for array in arrays)


@functools.lru_cache(maxsize=16)
def _zigzag(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each label stands in the zigzag 0, 1, -1, 2, -2, ... (mod n), and each pair's slots.

    Rotation r adds r to every label of the zigzag. Its neighbours number k and k + 1 differ by
    k + 1, so over all n rotations each pair of labels meets twice. The slots are the numbers
    r (n - 1) + k of these meetings, (pairs, 2), with pairs in the order of `np.triu_indices`.
    """
    steps = np.arange(n)
    order = np.where(steps % 2, (steps + 1) // 2, -(steps // 2)) % n
    rotated = (order + np.arange(n)[:, None]) % n
    low = np.minimum(rotated[:, :-1], rotated[:, 1:])
    high = np.maximum(rotated[:, :-1], rotated[:, 1:])
    slots = np.argsort((low * n + high).ravel(), kind="stable").reshape(-1, 2)
    return np.argsort(order).astype(np.int32), slots
