"""How alike two explanations are: one table of similarities, for every metric that compares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice
from .._tree import describe, widen
from .._types import PyTree
from ._correlation import mean_ranks, pearson
from ._norms import norm, ratio

WINDOW = 7
"""The side of the squares that structural similarity looks at."""


@dataclasses.dataclass(frozen=True)
class Similarity:
    """How alike two explanations are: what is made of each of them, and of both.

    Where one is compared with many, its own part is done once.
    """

    prepare: Callable[[PyTree], jax.Array]
    compare: Callable[[jax.Array, jax.Array], jax.Array]

    def __call__(self, left: PyTree, right: PyTree) -> jax.Array:
        """The similarity of two pytrees of arrays."""
        return self.compare(self.prepare(left), self.prepare(right))


def similarity_of(name: str, *, absolute: bool) -> Similarity:
    """The similarity of two pytrees of arrays, of their magnitudes if `absolute`."""
    check_choice("similarity", name, _SIMILARITIES)
    similarity = _SIMILARITIES[name]

    def prepare(tree: PyTree) -> jax.Array:
        return similarity.prepare(widen(jax.tree.map(jnp.abs, tree) if absolute else tree))

    return dataclasses.replace(similarity, prepare=prepare)


def vector(tree: PyTree) -> jax.Array:
    """All elements of all leaves, one after the other."""
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def _direction(tree: PyTree) -> jax.Array:
    """The vector of length 1: a product of small numbers would be none."""
    return ratio(vector(tree), norm(tree))


def _ssim(first: jax.Array, second: jax.Array) -> jax.Array:
    """Structural similarity (Wang et al. 2004) with square windows that lie in the picture.

    The range of values is that of both pictures together; channels are averaged.
    """
    both = jnp.stack([first, second])
    spread = jnp.max(both) - jnp.min(both)
    spread = jnp.where(spread > 0, spread, 1)  # of two equal constants: they are alike
    stable = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    means = _windows(first), _windows(second)
    pixels = WINDOW**2
    unbiased = pixels / (pixels - 1)

    def covariance(i: int, j: int) -> jax.Array:
        return unbiased * (_windows(both[i] * both[j]) - means[i] * means[j])

    brightness = (2 * means[0] * means[1] + stable[0]) / (means[0] ** 2 + means[1] ** 2 + stable[0])
    structure = (2 * covariance(0, 1) + stable[1]) / (
        covariance(0, 0) + covariance(1, 1) + stable[1]
    )
    return jnp.mean(brightness * structure)


def _picture(tree: PyTree) -> jax.Array:
    """The one leaf as (height, width, channels)."""
    leaves = jax.tree.leaves(tree)
    shape = leaves[0].shape
    if len(leaves) != 1 or len(shape) not in (2, 3) or min(shape[:2]) < WINDOW:
        raise ValueError(
            f"similarity='ssim' compares pictures of shape (height, width) or (height, width, "
            f"channels) of at least {WINDOW} pixels a side, but the attribution is "
            f"{describe(tree, 'attribution')}: choose 'spearman', 'pearson' or 'cosine'."
        )
    picture: jax.Array = leaves[0]
    return picture.reshape(*shape[:2], -1)


def _windows(picture: jax.Array) -> jax.Array:
    """The mean over every window, for each channel."""
    window = (WINDOW, WINDOW, 1)
    zero = np.zeros((), picture.dtype)  # a constant, or JAX does not see that this is a sum
    sums: jax.Array = jax.lax.reduce_window(picture, zero, jax.lax.add, window, (1, 1, 1), "valid")
    return sums / WINDOW**2


_SIMILARITIES: dict[str, Similarity] = {
    "spearman": Similarity(lambda tree: mean_ranks(vector(tree)), pearson),
    "pearson": Similarity(vector, pearson),
    "cosine": Similarity(_direction, jnp.vdot),
    "ssim": Similarity(_picture, _ssim),
}
