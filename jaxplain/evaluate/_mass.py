"""How much of the relevance lies in the object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Argnums, Model, PyTree
from ._masks import Located, over_size
from ._norms import ratio
from ._subjects import Attributions

MASS_SIGNS = ("positive", "absolute")


def relevance_mass_accuracy(
    f: Model,
    attribution: Attributions,
    *,
    sign: str = "positive",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The share of the relevance that lies in the object.

    $\sum_{i \in S} R_i / \sum_i R_i$ with $R_i$ the positive part of the relevance of feature $i$,
    and $S$ the object.

    Args:
        f: as for `pointing_game`.
        attribution: as for `pointing_game`.
        sign: `"positive"`, negative relevance counts as zero, or `"absolute"` for explanations
            whose sign means nothing.
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
        >>> x, mask = jnp.array([1.0, 5.0, 2.0, -3.0]), jnp.array([False, True, True, False])
        >>> evaluate.relevance_mass_accuracy(f, lambda x: x)(x, mask=mask)
        Array(0.875, dtype=float32)

    Notes:
        An explanation without (positive) relevance gives 0. Chance is the share of the picture
        that the object covers; `attribution_localization(weighted=True)` divides by that.

    References:
        Arras, Osman and Samek 2022, CLEVR-XAI: a benchmark dataset for the ground truth evaluation
        of neural network explanations, arXiv:2003.07258.
    """
    located = Located.checked(sign, MASS_SIGNS, groups, along, features, argnums)
    return located.metric(f, attribution, mass_inside, "relevance_mass_accuracy")


def attribution_localization(
    f: Model,
    attribution: Attributions,
    *,
    weighted: bool = False,
    sign: str = "positive",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The share of the positive relevance inside, if wanted per share of features inside.

    $\mu = R^+_{\mathrm{in}} / R^+_{\mathrm{tot}}$, or weighted
    $\mu_w = \mu \cdot S_{\mathrm{tot}} / S_{\mathrm{in}}$ with $S$ the number of features: then
    chance gives 1 whatever the size of the object.

    Args:
        f: as for `pointing_game`.
        attribution: as for `pointing_game`.
        weighted: whether to divide by the share of the features that lie in the object.
        sign: as for `relevance_mass_accuracy`.
        groups: as for `pointing_game`.
        along: as for `pointing_game`.
        features: as for `pointing_game`.
        argnums: as for `pointing_game`.

    Returns:
        A function as that of `pointing_game`; weighted, the number is at least 0.

    Raises:
        ValueError: as for `pointing_game`.
        TypeError: as for `pointing_game`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> x, mask = jnp.array([1.0, 3.0, 0.0, 0.0]), jnp.array([False, True, False, False])
        >>> evaluate.attribution_localization(f, lambda x: x, weighted=True)(x, mask=mask)
        Array(3., dtype=float32)

    Notes:
        Without `weighted` the number of `relevance_mass_accuracy`. Quantus multiplies by the share
        that the object covers where the paper divides by it.

    References:
        Kohlbrenner et al. 2020, Towards best practice in explaining neural network decisions with
        LRP, arXiv:1910.09840.
    """
    located = Located.checked(sign, MASS_SIGNS, groups, along, features, argnums)

    def share(relevance: jax.Array, inside: jax.Array) -> jax.Array:
        mass = mass_inside(relevance, inside)
        return over_size(mass, inside) if weighted else mass

    return located.metric(f, attribution, share, "attribution_localization")


def mass_inside(relevance: jax.Array, inside: jax.Array) -> jax.Array:
    return ratio(jnp.sum(jnp.where(inside, relevance, 0)), jnp.sum(relevance))
