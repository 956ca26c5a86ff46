"""Features as players: the score of the input in which only some of the features are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from .._baselines import checked_baseline
from .._batch import stack
from .._call import Score, bind
from .._tree import widen
from .._types import Argnums, Chunk, Model, PyTree
from ._features import Features, Partition


@dataclasses.dataclass(frozen=True)
class Game:
    """A call's score as a function of the features that are kept; all others are at the baseline.

    A coalition is a mask of shape (count,): truth values, or numbers in [0, 1] that mix input and
    baseline.
    """

    score: Score
    x: PyTree
    baseline: PyTree
    features: Features

    @staticmethod
    def of(
        f: Model,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Argnums,
        *,
        partition: Partition,
        baseline: PyTree | None,
        groups: PyTree | None,
    ) -> Game:
        """The game of a call, checked. The input may hold integers: nothing is differentiated."""
        score, x = bind(f, args, kwargs, argnums, floating=False)
        return Game(score, x, checked_baseline(baseline, x), partition.of(x, groups))

    @property
    def count(self) -> int:
        """How many features there are."""
        return self.features.count

    def value(self, coalition: jax.Array) -> jax.Array:
        """The score with those features only, in at least float32."""
        kept = self.features.restrict(self.x, self.baseline, coalition)
        score: jax.Array = widen(self.score(kept))
        return score

    def values(
        self,
        coalition: Callable[[Any], jax.Array],
        nodes: PyTree,
        *,
        chunk: Chunk,
    ) -> jax.Array:
        """The value of `coalition(node)` for each node, at most `chunk` evaluations live at once.

        Nodes should be small, such as numbers: then memory does not grow with their count.
        """
        found: jax.Array = stack(lambda node: self.value(coalition(node)), nodes, chunk=chunk)
        return found

    def spread(self, values: jax.Array) -> PyTree:
        """A pytree like the input in which each element has the value of its feature."""
        return self.features.spread(values, self.x)
