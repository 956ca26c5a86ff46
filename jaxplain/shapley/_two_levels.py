"""The coalitions of a coalition structure: whole unions, and beside them a part of one more."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Chunk
from ..perturb._game import Game
from ._coalitions import unpack
from ._lattice import by_size, gains, shapley_values, shapley_weights
from ._unions import Unions


@dataclasses.dataclass(frozen=True)
class TwoLevels:
    """The coalitions by number: first all sets of unions, then for each union its true parts.

    A true part, neither nothing nor the whole, is counted with every set of the other unions. The
    number of the part, less one since the empty one is left out, runs fastest.
    """

    unions: Unions

    @property
    def sets(self) -> int:
        """How many sets of unions there are."""
        return 1 << self.unions.count

    @property
    def parts(self) -> list[int]:
        """How many true parts each union has."""
        return [2 ** int(size) - 2 for size in self.unions.sizes]

    @property
    def ends(self) -> list[int]:
        """Where the numbers of the sets end, and those of the parts of each union."""
        others = self.sets // 2
        return list(itertools.accumulate([self.sets, *(others * part for part in self.parts)]))

    @property
    def evaluations(self) -> int:
        """How many coalitions there are."""
        return self.ends[-1]

    def values(self, game: Game, chunk: Chunk) -> jax.Array:
        """The value of each coalition, by number."""
        ends = jnp.asarray(self.ends[:-1], jnp.uint32)
        parts = jnp.asarray(self.parts, jnp.uint32)
        owner = jnp.asarray(self.unions.of_feature, jnp.int32)
        ranks = jnp.asarray(self.unions.ranks, jnp.uint32)
        one = jnp.uint32(1)

        def coalition(number: jax.Array) -> jax.Array:
            # -1 for the sets; unions without true parts end where they begin.
            union = jnp.sum(number >= ends, dtype=jnp.int32) - 1
            others, part = jnp.divmod(number - ends[union], jnp.maximum(parts[union], 1))
            # The set of the others has no place for the union itself: make one.
            place = jnp.maximum(union, 0).astype(jnp.uint32)
            low = others & ((one << place) - 1)
            chosen = jnp.where(union < 0, number, low | ((others - low) << 1))
            own = ((part + 1) >> ranks) & 1
            return jnp.where(owner == union, own == 1, unpack(chosen[None], len(parts))[owner])

        return game.values(coalition, jnp.arange(self.evaluations, dtype=jnp.uint32), chunk=chunk)

    def shares(self, values: jax.Array) -> jax.Array:
        """The Owen value of each feature, from the values of all coalitions."""
        weights = shapley_weights(self.unions.count)
        whole, factors = values[: self.sets], by_size(weights, values.dtype)
        found = gains(whole, weights)[self.unions.of_feature]
        for union, part in enumerate(self.parts):
            if not part:
                continue  # a union of one feature, which has the union's value
            inner = values[self.ends[union] : self.ends[union + 1]].reshape(-1, part)
            without, joined = jnp.moveaxis(whole.reshape(-1, 2, 2**union), 1, 0).reshape(2, -1, 1)
            table = jnp.concatenate([without, inner, joined], axis=1)
            # The game within the union, in which the others have joined at random.
            own = shapley_values(jnp.sum(factors[:, None] * table, axis=0))
            found = found.at[np.flatnonzero(self.unions.of_feature == union)].set(own)
        return found
