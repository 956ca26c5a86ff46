"""Rationales: the score without the tokens that are said to matter most, and with only them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import check_chunk, check_real
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Partition
from ._flipping import ranks
from ._subjects import Attributions, Call, Subject

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)


def comprehensiveness(
    f: Model,
    attribution: Attributions,
    *,
    shares: Sequence[float] = SHARES,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""By how much the score falls without the features of most relevance: high is good.

    $\frac{1}{|R|} \sum_{r \in R} f(x) - f(x \setminus x_{r})$ where $x_r$ are the share $r$ of the
    features with the most relevance, which are put to the baseline.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example: in the paper the probability of the
            class that it predicts.
        attribution: as for `pixel_flipping`; the most relevant are the largest, with their signs.
        shares: the shares $r$, numbers from 0 to 1; each is rounded up to whole features.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`: `along=0` for the tokens of embeddings (tokens, width).
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function as that of `pixel_flipping`, of a number in units of `f`, or a dictionary of
        them. With token ids, `baseline=` is the id that stands for none.

    Raises:
        ValueError: as for `pixel_flipping`, or a share is not between 0 and 1.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0, 1.0])
        >>> evaluate.comprehensiveness(f, jax.grad(f), shares=(0.25, 0.5))(jnp.ones(4))
        Array(5., dtype=float32)

    Notes:
        An evaluation for each share and one for the input. The paper takes tokens out of the text,
        which gets shorter; here they are put to the baseline, which keeps every program of one
        shape: give a mask or padding token, whose choice matters. Padding counts as features: leave
        it out by cutting the text, or by `groups` that make it one of them.

    References:
        DeYoung et al. 2020, ERASER: a benchmark to evaluate rationalized NLP models,
        arXiv:1911.03429.
    """
    shares = _checked_shares(shares)
    check_chunk(chunk)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        places = ranks(-subject.relevance)
        return mean_drop(subject, lambda most: places >= most, shares, chunk)

    return call.metric(f, attribution, measure, name="comprehensiveness")


def sufficiency(
    f: Model,
    attribution: Attributions,
    *,
    shares: Sequence[float] = SHARES,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""By how much the score falls if there are only the features of most relevance: low is good.

    $\frac{1}{|R|} \sum_{r \in R} f(x) - f(x_{r})$ where $x_r$ are the share $r$ of the features
    with the most relevance; all others are put to the baseline.

    Args:
        f: as for `comprehensiveness`.
        attribution: as for `comprehensiveness`.
        shares: as for `comprehensiveness`.
        groups: as for `comprehensiveness`.
        along: as for `comprehensiveness`.
        features: as for `comprehensiveness`.
        chunk: as for `comprehensiveness`.
        argnums: as for `comprehensiveness`.

    Returns:
        A function as that of `comprehensiveness`.

    Raises:
        ValueError: as for `comprehensiveness`.
        TypeError: as for `comprehensiveness`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0, 1.0])
        >>> evaluate.sufficiency(f, jax.grad(f), shares=(0.25, 0.5))(jnp.ones(4))
        Array(3., dtype=float32)

    Notes:
        As for `comprehensiveness`. The sufficiency of Quantus is another quantity: how often
        examples with similar explanations are predicted alike.

    References:
        DeYoung et al. 2020, ERASER: a benchmark to evaluate rationalized NLP models,
        arXiv:1911.03429.
    """
    shares = _checked_shares(shares)
    check_chunk(chunk)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        places = ranks(-subject.relevance)
        return mean_drop(subject, lambda most: places < most, shares, chunk)

    return call.metric(f, attribution, measure, name="sufficiency")


def mean_drop(
    subject: Subject,
    kept: Callable[[Any], jax.Array],
    shares: Sequence[float],
    chunk: Chunk,
) -> jax.Array:
    """The mean fall of the score over shares; `kept` is the coalition for a number of features."""
    game = subject.game
    most = jnp.asarray([rounded_up(share, game.count) for share in shares], jnp.int32)
    whole = game.value(jnp.ones(game.count, bool))
    return jnp.mean(whole - game.values(kept, most, chunk=chunk))


def rounded_up(share: float, count: int) -> int:
    """How many features are a share of `count`, rounded up."""
    return math.ceil(round(share * count, 6))  # 0.07 * 100 is a little more than 7


def _checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    if not isinstance(shares, Sequence) or not shares:
        raise ValueError(f"shares={shares!r}: give shares of the features, such as (0.1, 0.5).")
    for share in shares:
        check_real("shares", share, low=0, high=1)
    return tuple(float(share) for share in shares)
