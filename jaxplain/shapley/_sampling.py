"""Shapley values from random orders in which the features join."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._call import name_of, named
from .._errors import check_chunk, check_real, warn_unless
from .._keys import checked_key
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree, Scalar
from ..perturb._features import Partition
from ..perturb._game import Game
from ._orders import Orders, check_orders


def shapley_sampling(
    f: Model,
    *,
    samples: int = 100,
    tolerance: Scalar | None = None,
    antithetic: bool = True,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Shapley values as the mean of what features add in random orders.

    $\phi_j = \frac1n \sum_k \big(v(P_{kj} \cup \{j\}) - v(P_{kj})\big)$, where $P_{kj}$ are the
    features before $j$ in random order $k$, and $v(S)$ is the score of $x$ with all but the
    features in $S$ at their baseline. Unbiased for any number of orders, and each order's values
    sum to $f(x) - f(x^0)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        samples: number of orders; with `tolerance`, the most that are drawn. An order of M features
            takes M - 1 evaluations, beside those of the input and the baseline.
        tolerance: if given, orders are drawn until the largest standard error is not above it, in
            units of `f`.
        antithetic: use each order forwards and backwards, which cancels the noise of all that two
            features do together; then `samples` is even.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        features: how many features there are, for `groups` that are data of the call and traced,
            such as the superpixels of each picture of a batch: then groups are numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all (with `tolerance`: for those of a few orders).
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `values`, `standard_error`, `evaluations`, `residual` and
            `converged`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros), `groups=` (if none were given here) and `key=`, that returns a pytree like `x`,
        in which each element has its feature's value, or `(attribution, Info)`. Order `i`, with its
        reverse if `antithetic`, uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid, or both `groups` and `along` are given; when called, an
            axis that `x` does not have, groups that do not broadcast to `x`, or a baseline of
            another shape.
        TypeError: `groups` are not integers, or traced without `features`; when called, without a
            key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> explain = jaxplain.shapley_sampling(f, samples=10)
        >>> explain(jnp.array([2.0, 3.0, 4.0]), key=jax.random.key(0)).round(4)
        Array([3., 3., 4.], dtype=float32)

    Notes:
        Explanations that miss the tolerance warn with a `RuntimeWarning`, also from compiled code;
        under `info=True` it is told by `info.converged`. The error is looked at every eight orders
        (pairs of them if `antithetic`). The average over a set of backgrounds is
        `jaxplain.over_baselines(jaxplain.shapley_sampling(f))`. With one key for all, a `jax.vmap`
        over the class of `jaxplain.select` evaluates the model once for all classes.

    References:
        Castro et al. 2009, Polynomial calculation of the Shapley value based on sampling. Mitchell
        et al. 2022, Sampling permutations for Shapley value estimation, arXiv:2104.12199.
    """
    ways = 2 if antithetic else 1
    check_orders(samples, ways, noisy=info or tolerance is not None)
    if tolerance is not None:
        check_real("tolerance", tolerance, low=0)
    check_chunk(chunk)
    partition = Partition.checked(groups, along, features)

    def explain(
        *args: Any,
        baseline: PyTree | None = None,
        groups: PyTree | None = None,
        key: jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        key = checked_key(key, f"shapley_sampling({name_of(f)})")
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        orders = Orders(game, key, ways)
        found = orders.average(samples // ways, tolerance, chunk, noisy=info)
        if info:
            total = orders.last - orders.first
            return game.spread(found.mean), Info(
                values=found.mean,
                standard_error=game.spread(found.standard_error),
                evaluations=2 + found.samples * orders.each,
                residual=jnp.sum(found.mean) - total,
                converged=found.converged,
            )
        if tolerance is not None:
            warn_unless(
                found.converged,
                "shapley_sampling did not reach its tolerance of {tolerance}: after {samples} "
                "orders the largest standard error is {error}. Raise samples= or tolerance=, or "
                "ask for info=True.",
                tolerance=jnp.asarray(tolerance),
                samples=ways * found.samples,
                error=jnp.max(found.standard_error),
            )
        return game.spread(found.mean)

    return named(explain, "shapley_sampling", f, random=True)
