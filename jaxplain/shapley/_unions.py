"""Which features belong together: a coalition structure, and the coalitions that respect it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .._errors import is_concrete
from .._types import PyTree
from ..perturb._features import Features, Partition


@dataclasses.dataclass(frozen=True)
class Unions:
    """The union that each feature is in, numbered from 0 to `count` - 1."""

    of_feature: np.ndarray
    count: int

    @property
    def sizes(self) -> np.ndarray:
        """How many features each union has."""
        return np.bincount(self.of_feature, minlength=self.count)

    @property
    def ranks(self) -> np.ndarray:
        """The place of each feature among those of its union."""
        own = self.of_feature[:, None] == self.of_feature
        before: np.ndarray = np.sum(np.tril(own, -1), axis=1)
        return before


def checked_unions(unions: PyTree) -> Partition:
    """Raise unless `unions` are concrete integers."""
    with _said_of_unions():
        return Partition.checked(unions, None)


def unions_of(features: Features, x: PyTree, unions: Partition) -> Unions:
    """The unions of a call's features, from those of the elements."""
    if not all(map(is_concrete, jax.tree.leaves(features.labels))):
        raise TypeError(
            "owen got traced groups, but it must know which features are in one union: give "
            "concrete groups=, where the method is made or in the call."
        )
    with _said_of_unions():
        named = unions.of(x)
    pairs = [
        np.stack([part.ravel() for part in np.broadcast_arrays(label, union)], axis=1)
        for label, union in zip(
            jax.tree.leaves(features.labels), jax.tree.leaves(named.labels), strict=True
        )
    ]
    found = np.unique(np.concatenate(pairs), axis=0)
    owners, times = np.unique(found[:, 0], return_counts=True)
    if (times > 1).any():
        first = int(owners[times > 1][0])
        raise ValueError(
            f"Feature {first} (counted from 0, in the order of their numbers) lies in "
            f"{times.max()} unions, but each feature belongs to one: give unions= that are equal "
            "on all elements of a group."
        )
    # A feature without elements changes nothing, in whatever union it is.
    of_feature = np.zeros(features.count, np.int32)
    names, of_feature[found[:, 0]] = np.unique(found[:, 1], return_inverse=True)
    return Unions(of_feature, len(names))


@contextlib.contextmanager
def _said_of_unions() -> Iterator[None]:
    """Unions are given like groups: so are the messages about them."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message: Any = str(error).replace("groups", "unions").replace("one feature", "one union")
        raise type(error)(message) from None
