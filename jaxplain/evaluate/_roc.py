"""How well the relevance tells the object from what is beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Argnums, Model, PyTree
from ._masks import RANK_SIGNS, Located
from ._norms import ratio
from ._subjects import Attributions


def localization_auc(
    f: Model,
    attribution: Attributions,
    *,
    sign: str = "signed",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The area under the ROC curve of the relevance as a classifier of the object's features.

    The probability that a random feature of the object is more relevant than a random one beside
    it; equal ones count half. A constant explanation gives 1/2.

    Args:
        f: as for `pointing_game`.
        attribution: as for `pointing_game`.
        sign: as for `pointing_game`.
        groups: as for `pointing_game`.
        along: as for `pointing_game`.
        features: as for `pointing_game`.
        argnums: as for `pointing_game`.

    Returns:
        A function as that of `pointing_game`.

    Raises:
        ValueError: as for `pointing_game`.
        TypeError: as for `pointing_game`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> x, mask = jnp.array([3.0, 5.0, 2.0, 0.0]), jnp.array([False, True, True, False])
        >>> evaluate.localization_auc(f, lambda x: x)(x, mask=mask)
        Array(0.75, dtype=float32)

    Notes:
        As for `pointing_game`.

    References:
        Fawcett 2006, An introduction to ROC analysis, Pattern Recognition Letters.
    """
    located = Located.checked(sign, RANK_SIGNS, groups, along, features, argnums)
    return located.metric(f, attribution, _area_under_roc, "localization_auc")


def _area_under_roc(relevance: jax.Array, inside: jax.Array) -> jax.Array:
    """By ranks: counts are whole numbers, so no digits are lost however many features there are."""
    order = jnp.argsort(relevance)
    values, outside = relevance[order], ~inside[order]
    before = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(outside, dtype=jnp.int32)])
    below = before[jnp.searchsorted(values, values, side="left")]
    upto = before[jnp.searchsorted(values, values, side="right")]
    beaten = jnp.where(outside, 0, (below + upto).astype(relevance.dtype) / 2)
    return ratio(jnp.sum(ratio(beaten, jnp.sum(outside))), jnp.sum(inside))
