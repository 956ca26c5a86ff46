"""Exact Shapley values: all coalitions of few features."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .._call import name_of, named
from .._errors import check_chunk
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._coalitions import unpack
from ._lattice import shapley_values

MOST = 20  # features: a million coalitions


def exact_shapley(
    f: Model,
    *,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Shapley values from all coalitions: what a feature adds, averaged over all orders.

    $\phi_j = \sum_{S \not\ni j} \frac{|S|! \, (M - |S| - 1)!}{M!} \, (v(S \cup \{j\}) - v(S))$,
    where $v(S)$ is the score of $x$ with all but the features in $S$ at their baseline. The values
    of the $M$ features sum to $f(x) - f(x^0)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        features: how many features there are, for `groups` that are data of the call and traced,
            such as the superpixels of each picture of a batch: then groups are numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `values`, `evaluations` and `residual`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros) and `groups=` (if none were given here), that returns a pytree like `x`, in which
        each element has its feature's value, or `(attribution, Info)`.

    Raises:
        ValueError: both `groups` and `along` are given; when called, more than 20 features, an axis
            that `x` does not have, groups that do not broadcast to `x`, or a baseline of another
            shape.
        TypeError: `groups` are not integers, or traced without `features`; when called, if `f` is
            not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> jaxplain.exact_shapley(f)(jnp.array([2.0, 3.0, 4.0]))
        Array([3., 3., 4.], dtype=float32)
        >>> jaxplain.exact_shapley(f, groups=jnp.array([0, 1, 1]))(jnp.array([2.0, 3.0, 4.0]))
        Array([3., 7., 7.], dtype=float32)

    Notes:
        There are $2^M$ evaluations: with more than ten features give a `chunk`. The value of a
        group is that of the group as a whole, not divided among its elements. The average over a
        set of backgrounds is `jaxplain.over_baselines(jaxplain.exact_shapley(f))`. A
        `jax.vmap` over the class of `jaxplain.select` evaluates the model once for all classes.

    References:
        Shapley 1953, A value for n-person games. Lundberg and Lee 2017, A unified approach to
        interpreting model predictions, arXiv:1705.07874.
    """
    check_chunk(chunk)
    partition = Partition.checked(groups, along, features)

    def explain(
        *args: Any, baseline: PyTree | None = None, groups: PyTree | None = None, **kwargs: Any
    ) -> Any:
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        count = game.count
        if count > MOST:
            raise ValueError(
                f"exact_shapley({name_of(f)}) evaluates all coalitions: {count} features have "
                f"2^{count}, and at most {MOST} features are possible. Estimate the values with "
                "jaxplain.kernel_shap or jaxplain.shapley_sampling, or explain fewer features, "
                "with groups= or along=."
            )
        numbers = jnp.arange(2**count, dtype=jnp.uint32)[:, None]
        scores = game.values(lambda bits: unpack(bits, count), numbers, chunk=chunk)
        values = shapley_values(scores)
        if not info:
            return game.spread(values)
        return game.spread(values), Info(
            values=values,
            evaluations=jnp.asarray(2**count),
            residual=jnp.sum(values) - (scores[-1] - scores[0]),
        )

    return named(explain, "exact_shapley", f)
