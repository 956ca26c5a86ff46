"""Do the most relevant features lie in the object?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import check_count
from .._types import Argnums, Model, PyTree
from ._masks import RANK_SIGNS, Located, over_size
from ._norms import ratio
from ._subjects import Attributions


def pointing_game(
    f: Model,
    attribution: Attributions,
    *,
    sign: str = "signed",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""Whether the most relevant feature lies in the object: 1 or 0.

    Of several that are equally relevant the share that lies in it, so that a constant explanation
    gets what chance would give.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example. It is not evaluated.
        attribution: a function with the arguments of `f` that returns a pytree like `x`, or a
            dictionary of several. Their own baselines are bound with `functools.partial`.
        sign: `"signed"`, or `"absolute"` for explanations whose sign means nothing.
        groups: which elements are one feature, as for `ablation`; its relevance is the sum. It is
            of the object if more than half of its elements are.
        along: an axis or several, the positions on which are the features: `along=(0, 1)` for the
            pixels of a picture with channels.
        features: how many features there are, for `groups` that are data of the call.
        argnums: the argument (or arguments) that was explained.

    Returns:
        A function with the arguments of `f`, `mask=`, `groups=` (if none were given here) and
        `key=` (if an attribution needs one), that returns a number in [0, 1], or a dictionary of
        them. The mask holds truth values, True in the object, in the shape of `x`, or that shape
        without channels or with axes of size 1.

    Raises:
        ValueError: an option is invalid; when called, if the mask does not fit, or is empty or
            full.
        TypeError: when called, without a mask, or with one that holds no truth values.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> x, mask = jnp.array([1.0, 5.0, 2.0, 0.0]), jnp.array([False, True, True, False])
        >>> methods = {"itself": lambda x: x, "constant": jnp.ones_like}
        >>> evaluate.pointing_game(f, methods)(x, mask=mask)
        {'itself': Array(1., dtype=float32), 'constant': Array(0.5, dtype=float32)}

    Notes:
        Whether a mask is empty or full cannot be seen inside `jax.jit` and `jax.vmap`: there it
        gives NaN. The paper forgives misses of up to 15 pixels: widen the mask for that.

    References:
        Zhang et al. 2018, Top-down neural attention by excitation backprop, arXiv:1608.00507.
    """
    located = Located.checked(sign, RANK_SIGNS, groups, along, features, argnums)

    def hit(relevance: jax.Array, inside: jax.Array) -> jax.Array:
        first = relevance == jnp.max(relevance)
        return jnp.mean(inside, where=first, dtype=relevance.dtype)

    return located.metric(f, attribution, hit, "pointing_game")


def relevance_rank_accuracy(
    f: Model,
    attribution: Attributions,
    *,
    sign: str = "signed",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""Of the $K$ most relevant features, the share that lies in the object of $K$ features.

    $|P_{\mathrm{top} K} \cap S| / K$ with $K = |S|$. Of features that are equally relevant at the
    edge of the top a part counts, what a random choice among them would give on average.

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
        >>> evaluate.relevance_rank_accuracy(f, lambda x: x)(x, mask=mask)
        Array(0.5, dtype=float32)

    Notes:
        As for `pointing_game`.

    References:
        Arras, Osman and Samek 2022, CLEVR-XAI: a benchmark dataset for the ground truth evaluation
        of neural network explanations, arXiv:2003.07258.
    """
    located = Located.checked(sign, RANK_SIGNS, groups, along, features, argnums)

    def share(relevance: jax.Array, inside: jax.Array) -> jax.Array:
        return _share_of_top(relevance, inside, jnp.sum(inside))

    return located.metric(f, attribution, share, "relevance_rank_accuracy")


def top_k_intersection(
    f: Model,
    attribution: Attributions,
    *,
    k: int,
    influence: bool = False,
    sign: str = "signed",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""Of the `k` most relevant features, the share that lies in the object.

    $|P_{\mathrm{top} k} \cap S| / k$; with `influence` divided by the share of all features that
    the object has, so that chance gives 1 whatever its size. Of features that are equally relevant
    at the edge of the top a part counts, as for `relevance_rank_accuracy`.

    Args:
        f: as for `pointing_game`.
        attribution: as for `pointing_game`.
        k: how many features are the top.
        influence: divide by the share of the features that lie in the object.
        sign: as for `pointing_game`.
        groups: as for `pointing_game`.
        along: as for `pointing_game`.
        features: as for `pointing_game`.
        argnums: as for `pointing_game`.

    Returns:
        A function as that of `pointing_game`; with `influence` the number is at least 0.

    Raises:
        ValueError: as for `pointing_game`, or when called if there are fewer than `k` features.
        TypeError: as for `pointing_game`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> x, mask = jnp.array([3.0, 5.0, 2.0, 0.0]), jnp.array([False, True, True, False])
        >>> evaluate.top_k_intersection(f, lambda x: x, k=1)(x, mask=mask)
        Array(1., dtype=float32)
        >>> evaluate.top_k_intersection(f, lambda x: x, k=1, influence=True)(x, mask=mask)
        Array(2., dtype=float32)

    Notes:
        An object of fewer than `k` features cannot reach 1.

    References:
        Theiner, Mueller-Budack and Ewerth 2022, Interpretable semantic photo geolocation,
        arXiv:2104.14995.
    """
    check_count("k", k)
    located = Located.checked(sign, RANK_SIGNS, groups, along, features, argnums)

    def share(relevance: jax.Array, inside: jax.Array) -> jax.Array:
        if k > len(relevance):
            raise ValueError(f"k={k} is more than the {len(relevance)} features of the input.")
        found = _share_of_top(relevance, inside, k)
        return over_size(found, inside) if influence else found

    return located.metric(f, attribution, share, "top_k_intersection")


def _share_of_top(relevance: jax.Array, inside: jax.Array, count: Any) -> jax.Array:
    """The share of the `count` most relevant that lies inside, on average over ties."""

    def number(flags: jax.Array) -> jax.Array:
        return jnp.sum(flags, dtype=relevance.dtype)

    # An empty object has no number: what is computed then does not matter.
    edge = jnp.sort(relevance)[len(relevance) - jnp.maximum(count, 1)]
    above, level = relevance > edge, relevance == edge
    wanted = jnp.asarray(count, relevance.dtype)
    part = ratio(wanted - number(above), number(level))
    return ratio(number(above & inside) + part * number(level & inside), wanted)
