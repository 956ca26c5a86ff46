"""Iterative removal of features: segments go, and the score is compared with what it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import warn_unless
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Features, Partition
from ._flipping import Flips
from ._removal import Removal, mean_removal
from ._subjects import Attributions, Subject

MEAN_COLOUR = mean_removal()


def irof(
    f: Model,
    attribution: Attributions,
    *,
    groups: PyTree | None = None,
    features: int | None = None,
    steps: int | None = None,
    removal: Removal | None = MEAN_COLOUR,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The area over the relative score while segments lose what they show, most relevant first.

    $1 - \int f(x^{(s)}) / f(x) \, ds$ over the share $s$ of the segments that are gone: 1 where the
    first segment takes all of the score with it, 0 where nothing changes. The relevance of a
    segment is the mean over its elements.

    Args:
        f: the model, as for `pixel_flipping`, with a score above zero: a probability.
        attribution: as for `pixel_flipping`.
        groups: the segments, integers that broadcast to `x`, such as
            `features.slic(image, 50)`; or they come with the call.
        features: as for `pixel_flipping`.
        steps: as for `pixel_flipping`.
        removal: as for `pixel_flipping`, by default the mean colour of the picture. With None, the
            baseline of the call: the mean of the data set, say.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f`, `groups=` (if none were given here), `key=` (if an
        attribution or `removal` needs one) and `baseline=` (with `removal=None`) that returns a
        number, or a dictionary of them.

    Raises:
        ValueError: as for `pixel_flipping`.
        TypeError: as for `pixel_flipping`; when called, if there are no groups.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.mean(x[:, 0]) * 3 + jnp.mean(x[:, 1])
        >>> groups = jnp.array([[0, 1, 2, 3]])
        >>> measure = evaluate.irof(f, jax.grad(f), groups=groups, removal=None)
        >>> measure(jnp.ones((2, 4)))
        Array(0.8125, dtype=float32)

    Notes:
        A score of the input that is not above zero warns with a `RuntimeWarning`; where it is zero
        the result is 0, since nothing can be lost. The paper adds over segments, here is their
        mean: pictures with many segments do not count more.

    References:
        Rieger and Hansen 2020, IROF: a low resource evaluation metric for explanation methods,
        arXiv:2003.08747.
    """
    flips = Flips.checked(steps, chunk, removal)
    partition = _Segments.of_groups(groups, features)

    def measure(subject: Subject, key: Any) -> jax.Array:
        curve = flips.curve(_with_means(subject), key)
        start = curve.scores[0]
        warn_unless(start > 0, NOT_POSITIVE, start=start)
        lost = dataclasses.replace(curve, scores=start - curve.scores).area
        return jnp.where(start == 0, 0, lost / jnp.where(start == 0, 1, start))

    return flips.metric(f, attribution, measure, partition, argnums, name="irof")


NOT_POSITIVE = (
    "irof divides by the score of the input, but it is {start:.3g}: explain a score above zero, "
    "such as the probability of the class."
)


def _with_means(subject: Subject) -> Subject:
    """The relevance of a segment as the mean over its elements, whatever its size."""
    game = subject.game
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, subject.relevance.dtype), game.x)
    sizes = jnp.maximum(game.features.sums(ones), 1)
    return dataclasses.replace(subject, relevance=subject.relevance / sizes)


@dataclasses.dataclass(frozen=True)
class _Segments(Partition):
    """Features that somebody has to name: a pixel is no segment."""

    @staticmethod
    def of_groups(groups: PyTree | None, count: int | None) -> _Segments:
        """Raise unless the groups are integers."""
        valid = Partition.checked(groups, None, count)
        return _Segments(valid.groups, valid.along, valid.count)

    def of(self, x: PyTree, groups: PyTree | None = None) -> Features:
        """The segments of `x`, given here or there."""
        if groups is None and self.groups is None:
            raise TypeError(
                "irof takes segments away: give them with groups=, for instance "
                "groups=jaxplain.features.slic(image, 50), when the metric is made or with the "
                "call (then say how many there are with features=, if they are traced)."
            )
        return super().of(x, groups)
