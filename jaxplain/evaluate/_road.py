"""Remove and debias: the score where pixels are filled in so well that nothing tells they went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._errors import check_choice, check_real
from .._types import Argnums, Chunk, Model, PyTree, Scalar
from ..perturb._features import Partition
from ._curves import Curve
from ._flipping import ORDERS, Flips
from ._imputation import noisy_linear_imputation
from ._subjects import Attributions, Subject


def road(
    f: Model,
    attribution: Attributions,
    *,
    percentages: Sequence[float] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
    order: str = "morf",
    noise: Scalar = 0.01,
    axes: tuple[int, int] = (0, 1),
    groups: PyTree | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The score where a share of the pixels is filled in from its surroundings.

    $f(x^{(p)})$ where $x^{(p)}$ is $x$ whose p percent most relevant pixels are imputed by
    `noisy_linear_imputation`, for each of the percentages. What is removed cannot be told from the
    shape of the mask, which other removals give away.

    Args:
        f: as for `pixel_flipping`. The paper's score is accuracy: `f` returns 1.0 where the class
            is right and 0.0 where not, and the mean over a data set is taken of the curves.
        attribution: as for `pixel_flipping`; the relevance of a pixel is the sum over channels.
        percentages: how much goes, in percent of the pixels, ascending, each from 0 to 100.
        order: as for `pixel_flipping`.
        noise: the standard deviation of the noise in units of the model's input, as for
            `noisy_linear_imputation`; with exactly 0 the metric is not random.
        axes: the two spatial axes, (0, 1) for HW and HWC; pixels are the positions on them.
        groups: features that are not pixels, patches for instance, as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f`, `key=` (unless nothing is random) and `groups=` (with
        `features`) that returns a `Curve` with one point for each percentage, or a dictionary of
        them.

    Raises:
        ValueError: as for `pixel_flipping`.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x[1, 1] + x[2, 2]
        >>> x = jnp.zeros((5, 5)).at[1, 1].set(1.0).at[2, 2].set(0.5)
        >>> measure = evaluate.road(f, jax.grad(f), percentages=(0, 4), noise=0)
        >>> [f"{score:.3f}" for score in measure(x).scores]
        ['1.500', '0.542']

    Notes:
        The noise is the same for all percentages and attributions. Percentages are rounded to whole
        numbers of pixels, and `.shares` say what is gone; `.area` is the mean from the first to the
        last of them. Each point of the curve costs a solve of linear equations, some twenty steps
        of conjugate gradients, beside the evaluation of `f`.

    References:
        Rong et al. 2022, A consistent and efficient evaluation strategy for attribution methods,
        arXiv:2202.00449.
    """
    check_choice("order", order, ORDERS)
    shares = _checked_shares(percentages)

    def counts(count: int) -> np.ndarray:
        return np.round(shares * count).astype(np.int32)

    flips = Flips.checked(counts, chunk, noisy_linear_imputation(noise, axes=axes))
    pixels = axes if groups is None and features is None else None
    partition = Partition.checked(groups, pixels, features)

    def measure(subject: Subject, key: Any) -> Curve:
        return flips.curve(subject, key, order=order)

    return flips.metric(f, attribution, measure, partition, argnums, name="road")


def _checked_shares(percentages: Sequence[float]) -> np.ndarray:
    check_real("percentages", percentages, low=0, high=100)
    shares = np.asarray(percentages, float) / 100
    if shares.ndim != 1 or not shares.size or np.any(np.diff(shares) < 0):
        raise ValueError(
            f"percentages={percentages!r} must be a sequence of ascending numbers from 0 to 100."
        )
    return shares
