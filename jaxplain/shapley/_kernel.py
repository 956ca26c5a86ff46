"""Kernel SHAP: Shapley values as a weighted least squares fit to sampled coalitions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._batch import stack
from .._call import name_of, named
from .._errors import check_chunk, check_count
from .._keys import checked_key
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._coalitions import Design, kernel_design, least_pairs, pairs_of, unpack
from ._constrained import BLOCK, Pairs, fit_pairs, jackknife_variance
from ._precise import root


def kernel_shap(
    f: Model,
    *,
    samples: int = 2048,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Shapley values from a weighted linear fit to the scores of coalitions.

    $\phi = \arg\min_\phi \sum_z w(z) \big(v(z) - v(0) - \sum_j z_j \phi_j\big)^2$ under $\sum_j
    \phi_j = v(1) - v(0)$, where $v(z)$ is the score of $x$ with all but the features in $z$ at
    their baseline, and $w(z) = \frac{M - 1}{\binom{M}{|z|} |z| (M - |z|)}$. Over all $2^M - 2$
    masks $z$ that are neither empty nor full, the minimum is at the Shapley values.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        samples: how many coalitions are evaluated, beside the empty and the full one: pairs of a
            coalition and its complement. Sizes 1 and M - 1, 2 and M - 2 and so on are enumerated
            while the kernel would draw at least as many of them; the rest are drawn. From
            $2^M - 2$ on all are enumerated, and the values are exact.
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
        info: also return an `Info` with `values`, `standard_error`, `evaluations` and `residual`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros), `groups=` (if none were given here) and `key=`, that returns a pytree like `x`,
        in which each element has its feature's value, or `(attribution, Info)`. Sampled pair `i`
        uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid, or both `groups` and `along` are given; when called, fewer
            samples than determine the values (2 M + 4, or all $2^M - 2$), an axis that `x` does not
            have, groups that do not broadcast to `x`, or a baseline of another shape.
        TypeError: `groups` are not integers, or traced without `features`; when called, without a
            key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> explain = jaxplain.kernel_shap(f)
        >>> explain(jnp.array([2.0, 3.0, 4.0]), key=jax.random.key(0)).round(4)
        Array([3., 3., 4.], dtype=float32)

    Notes:
        No feature is left out: values of unimportant features are small, not zero. The sum is that
        of the formula to rounding, whatever the samples, and scores in which at most two features
        interact at a time are explained exactly. Sampled values are consistent, not
        unbiased: they are a ratio of averages, with a bias of the order of one over `samples`,
        under the standard error. That error is a jackknife over the sampled pairs, and zero where
        all are enumerated; its estimate is rough while `samples` is under some ten times the number
        of features. The average over a set of backgrounds is
        `jaxplain.over_baselines(jaxplain.kernel_shap(f))`. With one key for all, a `jax.vmap` over
        the class of `jaxplain.select` evaluates the model once for all classes.

    References:
        Lundberg and Lee 2017, A unified approach to interpreting model predictions,
        arXiv:1705.07874. Covert and Lee 2021, Improving KernelSHAP: practical Shapley value
        estimation via linear regression, arXiv:2012.01536.
    """
    check_count("samples", samples)
    check_chunk(chunk)
    partition = Partition.checked(groups, along, features)

    def explain(
        *args: Any,
        baseline: PyTree | None = None,
        groups: PyTree | None = None,
        key: jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        key = checked_key(key, f"kernel_shap({name_of(f)})")
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        count = game.count
        design = kernel_design(count, _checked_pairs(count, samples, f))
        nobody = jnp.zeros(count, bool)
        total = game.value(~nobody) - game.value(nobody)
        if count < 2:
            values, error, number = jnp.full(count, total), jnp.zeros(count, total.dtype), 0
        else:
            words, number = _coalitions(design, key), 2 * (len(design.words) + design.sampled)
            scores = game.values(
                lambda bits: unpack(bits, count), jnp.concatenate([words, ~words]), chunk=chunk
            )
            halves = (scores[: number // 2] - scores[number // 2 :]) / 2
            values, error = _solve(design, words, halves, total, info=info)
        if not info:
            return game.spread(values)
        return game.spread(values), Info(
            values=values,
            standard_error=game.spread(error),
            evaluations=jnp.asarray(number + 2),
            residual=jnp.sum(values) - total,
        )

    return named(explain, "kernel_shap", f, random=True)


def _checked_pairs(count: int, samples: int, f: Model) -> int:
    """How many pairs of coalitions are affordable; raise if they do not determine the values."""
    least = least_pairs(count)
    if samples // 2 < least:
        raise ValueError(
            f"kernel_shap({name_of(f)}) with samples={samples} cannot determine the values of "
            f"{count} features: give at least samples={2 * least}, or explain fewer features, with "
            "groups= or along=."
        )
    return min(samples // 2, pairs_of(count))


def _coalitions(design: Design, key: jax.Array) -> jax.Array:
    """The smaller coalition of each pair, as words: the enumerated ones, then those drawn."""
    words = jnp.asarray(design.words)
    if not design.sampled:
        return words
    numbers = jnp.arange(design.sampled)
    drawn = stack(lambda number: design.draw(key, number), numbers, chunk=BLOCK)
    return jnp.concatenate([words, drawn])


def _solve(
    design: Design, words: jax.Array, halves: jax.Array, total: jax.Array, *, info: bool
) -> tuple[jax.Array, jax.Array]:
    """The values, and their standard errors if these are wanted."""
    each = design.left / max(design.sampled, 1)
    drawn = jnp.full(design.sampled, each, halves.dtype)
    weights = jnp.concatenate([jnp.asarray(design.weights, halves.dtype), drawn])
    pairs = Pairs(words, weights, halves)
    fit = fit_pairs(pairs, total, design.count)
    if not info or not design.sampled:
        return fit.values, jnp.zeros_like(fit.values)
    sampled = Pairs(*(part[len(design.words) :] for part in pairs))
    return fit.values, root(jackknife_variance(fit, sampled, design.count))
