"""Owen values: Shapley values of features that come in unions."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._call import name_of, named
from .._errors import check_chunk
from .._keys import checked_key
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._orders import UnionOrders, check_orders
from ._two_levels import TwoLevels
from ._unions import checked_unions, unions_of

MOST = 2**20  # evaluations of an enumeration


def owen(
    f: Model,
    *,
    unions: PyTree,
    samples: int | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Owen values: Shapley values in which features join union by union.

    With $v$ the score of the input in which only some features are kept and all others are at the
    baseline, with $m$ unions, and feature $i$ in a union $U$ of $n$ features,

    $\phi_i = \sum_{H \not\ni U} \sum_{S \subseteq U \setminus i} \frac{h! (m - h - 1)!}{m!}
    \frac{s! (n - s - 1)!}{n!} \left[ v(Q_H \cup S \cup i) - v(Q_H \cup S) \right]$,

    where $H$ are $h$ other unions, $Q_H$ their features, and $S$ are $s$ features of $U$. It is the
    mean of what $i$ adds over all orders in which no feature comes between two of another union.
    The values sum to $f(x) - f(x^0)$, those of a union to the Shapley value of the union as one
    feature. With every feature in a union of its own, or all in one, they are the Shapley values.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        unions: which elements belong to one union: integers that broadcast to `x`, or a pytree of
            them for a pytree. A union is made of whole features.
        samples: None to enumerate the coalitions of whole unions and part of one; otherwise the
            even number of orders of an unbiased estimate, each used forwards and backwards. An
            order has as many evaluations as there are features, less one. Where enumeration needs
            no more evaluations than that, it takes its place.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        features: how many features there are; groups are then numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `values` (of the features, (features,)), `evaluations`,
            `standard_error` and `residual`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros), `groups=` (if none were given here) and, with `samples`, `key=`, that returns a
        pytree like `x`, or `(attribution, Info)`. The pair of orders `i` uses
        `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid; when called, a feature in two unions, more than a million
            evaluations without `samples`, or whatever `ablation` raises for features and baselines.
        TypeError: `unions` are not concrete integers; when called, traced groups, no key although
            `samples` are drawn, or if `f` is not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] * x[2]
        >>> explain = jaxplain.owen(f, unions=jnp.array([0, 0, 1]))
        >>> explain(jnp.array([1.0, 2.0, 4.0]))
        Array([2., 2., 4.], dtype=float32)

    Notes:
        Enumeration takes $2^m + 2^{m - 1} \sum_U (2^{n_U} - 2)$ evaluations: 20 features in 5
        unions of 4 take 1152, where all coalitions would be a million. Unions are part of the
        question, not a means to answer it faster: with others the values are others. Averages over
        a set of baselines are `over_baselines(owen(f, unions=...))`.

    References:
        Owen 1977, Values of games with a priori unions. Lopez and Saboya 2009, On the relationship
        between Shapley and Owen values.
    """
    check_chunk(chunk)
    if samples is not None:
        check_orders(samples, 2, noisy=info)
    partition, coarse = Partition.checked(groups, along, features), checked_unions(unions)

    def explain(
        *args: Any,
        baseline: PyTree | None = None,
        groups: PyTree | None = None,
        key: jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        if samples is not None:
            key = checked_key(key, f"owen({name_of(f)})")
        elif key is not None:
            kwargs["key"] = key  # which is then refused, as by all methods that are not random
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        structure = unions_of(game.features, game.x, coarse)
        levels, drawn = TwoLevels(structure), 2 + (samples or 0) * (game.count - 1)
        if key is None or levels.evaluations <= min(drawn, MOST):
            found = _enumerated(game, levels, chunk)
        else:
            found = _sampled(
                game, UnionOrders(game, key, 2, structure), samples or 0, chunk, info=info
            )
        if not info:
            return game.spread(found.values)
        return game.spread(found.values), Info(
            values=found.values,
            standard_error=game.spread(found.error),
            evaluations=jnp.asarray(found.evaluations),
            residual=jnp.sum(found.values) - found.difference,
        )

    return named(explain, "owen", f, random=samples is not None)


class _Found(NamedTuple):
    """The values of the features, their standard error, f(x) - f(x0), and the effort."""

    values: jax.Array
    error: jax.Array
    difference: jax.Array
    evaluations: int


def _enumerated(game: Game, levels: TwoLevels, chunk: Chunk) -> _Found:
    if levels.evaluations > MOST:
        sizes = ", ".join(map(str, levels.unions.sizes))
        raise ValueError(
            f"The input has {game.count} features in {levels.unions.count} unions (of {sizes}), "
            f"which would take {levels.evaluations} evaluations; at most {MOST} are enumerated. "
            "Give samples=, the number of orders of an estimate (and key= in the call), or fewer "
            "features with groups= or along=."
        )
    scores = levels.values(game, chunk)
    values = levels.shares(scores)
    difference = scores[levels.sets - 1] - scores[0]
    return _Found(values, jnp.zeros_like(values), difference, levels.evaluations)


def _sampled(game: Game, orders: UnionOrders, samples: int, chunk: Chunk, *, info: bool) -> _Found:
    found = orders.average(samples // 2, None, chunk, noisy=info)
    evaluations = 2 + samples * max(game.count - 1, 0)
    return _Found(found.mean, found.standard_error, orders.last - orders.first, evaluations)
