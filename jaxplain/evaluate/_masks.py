"""What metrics with a mask have in common: which features belong to the object."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice, is_concrete
from .._tree import path_name, same_tree
from .._types import Argnums, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._norms import ratio
from ._subjects import Attributions, Call, Subject

RANK_SIGNS = ("signed", "absolute")
Compare = Callable[[jax.Array, jax.Array], jax.Array]

SIGNS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "signed": lambda values: values,
    "positive": functools.partial(jnp.maximum, 0),
    "absolute": jnp.abs,
}


@dataclasses.dataclass(frozen=True)
class Located:
    """What metrics with a mask have in common."""

    call: Call
    sign: str

    @staticmethod
    def checked(
        sign: str,
        signs: tuple[str, ...],
        groups: PyTree | None,
        along: int | tuple[int, ...] | None,
        features: int | None,
        argnums: Argnums,
    ) -> Located:
        """Raise unless the options are valid."""
        check_choice("sign", sign, signs)
        return Located(Call(Partition.checked(groups, along, features), argnums), sign)

    def metric(
        self, f: Model, attribution: Attributions, compare: Compare, name: str
    ) -> Callable[..., Any]:
        """`compare(relevance, inside)` as a metric; NaN where no number is right."""

        def measure(subject: Subject, key: Any) -> jax.Array:
            del key
            inside = features_inside(subject.game, subject.data["mask"], name)
            relevance = SIGNS[self.sign](subject.relevance)
            known = jnp.any(inside) & ~jnp.all(inside) & ~jnp.any(jnp.isnan(relevance))
            return jnp.where(known, compare(relevance, inside), jnp.nan)

        return self.call.metric(f, attribution, measure, name=name, data=("mask",))


def over_size(share: jax.Array, inside: jax.Array) -> jax.Array:
    """A share of relevance per share of features."""
    return ratio(share * len(inside), jnp.sum(inside))


def features_inside(game: Game, mask: PyTree, name: str) -> jax.Array:
    """Whether more than half of a feature's elements lie in the object, (features,)."""
    if not same_tree(mask, game.x):
        raise ValueError(
            f"mask has the tree {jax.tree.structure(mask)}, but the input has "
            f"{jax.tree.structure(game.x)}: give one array of truth values for each leaf."
        )
    fitted = jax.tree_util.tree_map_with_path(_fitting, mask, game.x)
    _check_both_sides(fitted, name)
    sizes = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.float32), game.x)
    inside = jax.tree.map(
        lambda part, leaf: jnp.broadcast_to(jnp.asarray(part, jnp.float32), leaf.shape),
        fitted,
        game.x,
    )
    return 2 * game.features.sums(inside) > game.features.sums(sizes)


def _fitting(path: Any, mask: Any, leaf: jax.Array) -> Any:
    """The mask of a leaf with as many axes as the leaf."""
    where, shape = path_name(path, "mask"), np.shape(mask)
    dtype = mask.dtype if hasattr(mask, "dtype") else np.asarray(mask).dtype
    if np.dtype(dtype).kind != "b":
        raise TypeError(f"{where} has dtype {dtype}, but a mask holds truth values: mask > 0.")
    # NumPy where it can be: under an outer jit even concrete values would be traced.
    mask = np.asarray(mask) if is_concrete(mask) else mask
    if len(shape) == leaf.ndim and all(n in (1, m) for n, m in zip(shape, leaf.shape, strict=True)):
        return mask
    if shape == leaf.shape[:-1]:
        return mask[..., None]
    raise ValueError(
        f"{where} has shape {shape}, but {path_name(path)} has shape {leaf.shape}: give a mask of "
        "that shape, or of that shape without channels, or with axes of size 1."
    )


def _check_both_sides(mask: PyTree, name: str) -> None:
    parts = jax.tree.leaves(mask)
    if not all(map(is_concrete, parts)):
        return
    if all(part.all() for part in parts) or not any(part.any() for part in parts):
        kind = "empty" if not any(part.any() for part in parts) else "full"
        raise ValueError(
            f"{name} got a mask that is {kind}: it asks whether the relevance lies in the object "
            "or beside it, so there must be both. Leave such examples out."
        )
