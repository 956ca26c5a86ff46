"""Mosaics of pictures: does the explanation of a class keep to the pictures of that class?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._types import Argnums, Model
from ._masks import Located
from ._mass import MASS_SIGNS, mass_inside
from ._subjects import Attributions


def focus(
    f: Model,
    attribution: Attributions,
    *,
    along: int | tuple[int, ...] | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The share of the positive relevance that lies in the quadrants of the explained class.

    $\sum_{i \in Q} R^+_i / \sum_i R^+_i$ for a mosaic of four pictures, $Q$ those of the class that
    is explained.

    Args:
        f: the model, `f(x, *args) -> scalar` of one mosaic. It is not evaluated.
        attribution: a function with the arguments of `f`, or a dictionary of several.
        along: the axes whose positions have the relevance: `along=(0, 1)` sums over channels first,
            as maps without channels need, those of Grad-CAM for instance; None for each element.
        argnums: the argument that was explained.

    Returns:
        A function with the arguments of `f`, `mask=` (that of `mosaic`), and `key=` if an
        attribution needs one, that returns a number in [0, 1], or a dictionary of them.

    Raises:
        ValueError: when called, if the mask does not fit, or is empty or full.
        TypeError: when called, without a mask, or with one that holds no truth values.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> pictures = jnp.stack([jnp.full((2, 2, 1), level) for level in (3.0, 1.0, 4.0, 2.0)])
        >>> x, mask = evaluate.mosaic(pictures, [True, False, True, False])
        >>> f = lambda x: jnp.sum(x)
        >>> evaluate.focus(f, lambda x: x)(x, mask=mask)
        Array(0.7, dtype=float32)

    Notes:
        With two quadrants of four chance gives 1/2. The model sees a picture of twice the size: it
        has to take that, or the pictures have to be made smaller before.

    References:
        Arias-Duart et al. 2022, Focus! Rating XAI methods and finding biases, arXiv:2109.15035.
    """
    located = Located.checked("positive", MASS_SIGNS, None, along, None, argnums)
    return located.metric(f, attribution, mass_inside, "focus")


def mosaic(pictures: Any, same: Any) -> tuple[jax.Array, jax.Array]:
    """Four pictures as one, and where those of the explained class are.

    Args:
        pictures: four of equal size, (4, height, width) or (4, height, width, channels): top left,
            top right, bottom left, bottom right.
        same: which of them are of the class to be explained, (4,) truth values; usually two.

    Returns:
        `(x, mask)`: the mosaic, (2 height, 2 width) or with channels, and the mask of the quadrants
        of the class, (2 height, 2 width) truth values.

    Raises:
        ValueError: there are not four pictures, or not four truth values.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> x, mask = evaluate.mosaic(jnp.zeros((4, 5, 6, 3)), [True, False, False, True])
        >>> x.shape, mask.shape, int(mask.sum())
        ((10, 12, 3), (10, 12), 60)

    References:
        Arias-Duart et al. 2022, Focus! Rating XAI methods and finding biases, arXiv:2109.15035.
    """
    pictures, same = jnp.asarray(pictures), jnp.asarray(same)
    if pictures.ndim not in (3, 4) or len(pictures) != 4:
        raise ValueError(
            f"mosaic got pictures of shape {pictures.shape}: give four, (4, height, width) or "
            "(4, height, width, channels)."
        )
    if same.shape != (4,) or same.dtype != bool:
        raise ValueError(
            f"mosaic got same of shape {same.shape} and dtype {same.dtype}: give four truth "
            "values, one for each picture."
        )
    height, width = pictures.shape[1:3]
    mask = jnp.broadcast_to(same[:, None, None], (4, height, width))
    return _two_by_two(pictures), _two_by_two(mask)


def _two_by_two(parts: jax.Array) -> jax.Array:
    rows = [jnp.concatenate([parts[i], parts[i + 1]], axis=1) for i in (0, 2)]
    return jnp.concatenate(rows, axis=0)
