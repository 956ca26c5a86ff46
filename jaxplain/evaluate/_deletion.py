"""Deletion and insertion: how much of the input, most relevant first, breaks or makes the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Partition
from ._curves import Curve
from ._flipping import Flips
from ._removal import Removal
from ._subjects import Attributions, Subject


def deletion(
    f: Model,
    attribution: Attributions,
    *,
    steps: int | None = None,
    removal: Removal | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The score while features are taken away, the most relevant first.

    $f(x^{(k)})$ where the $k$ most relevant features of $x$ are gone, for $k$ from 0 to all: pixel
    flipping under another name. The smaller the area under it, the better the explanation.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        steps: as for `pixel_flipping`.
        removal: as for `pixel_flipping`.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        As for `pixel_flipping`; `.area` of the `Curve` is the score of the explanation.

    Raises:
        ValueError: as for `pixel_flipping`.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0])
        >>> float(evaluate.deletion(f, jax.grad(f))(jnp.ones(3)).area.round(4))
        2.5

    Notes:
        The paper puts pixels to the zero baseline, several in a step, and its score is the
        probability of the class: let `f` return that.

    References:
        Petsiuk et al. 2018, RISE: randomized input sampling for explanation of black-box models,
        arXiv:1806.07421.
    """
    flips = Flips.checked(steps, chunk, removal)
    partition = Partition.checked(groups, along, features)

    def measure(subject: Subject, key: Any) -> Curve:
        return flips.curve(subject, key)

    return flips.metric(f, attribution, measure, partition, argnums, name="deletion")


def insertion(
    f: Model,
    attribution: Attributions,
    *,
    steps: int | None = None,
    removal: Removal | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The score while features are put back, the most relevant first.

    $f(x_{(k)})$ where all but the $k$ most relevant features of $x$ are gone, for $k$ from 0 to
    all. The larger the area under it, the better the explanation.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        steps: as for `pixel_flipping`.
        removal: as for `pixel_flipping`. The paper starts with the blurred picture:
            `evaluate.blur_removal(5.0)`.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        As for `pixel_flipping`, but `.shares` of the `Curve` are the shares of the features that
        are there, from 0 to 1; its `.area` is the score of the explanation.

    Raises:
        ValueError: as for `pixel_flipping`.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0])
        >>> evaluate.insertion(f, jax.grad(f))(jnp.ones(3)).scores
        Array([0., 4., 6., 7.], dtype=float32)

    Notes:
        Not the least relevant first curve of `pixel_flipping` read backwards where relevances are
        equal: of equal ones the first goes first in both.

    References:
        Petsiuk et al. 2018, RISE: randomized input sampling for explanation of black-box models,
        arXiv:1806.07421.
    """
    flips = Flips.checked(steps, chunk, removal)
    partition = Partition.checked(groups, along, features)

    def measure(subject: Subject, key: Any) -> Curve:
        return flips.curve(subject, key, insert=True)

    return flips.metric(f, attribution, measure, partition, argnums, name="insertion")
