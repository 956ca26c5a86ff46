"""A metric over a data set: its mean, how sure that is, and whether another one is higher."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_chunk, check_count, check_real
from .._keys import checked_key
from .._tree import count_examples, describe, first_nonfinite, same_tree, widen
from .._types import PyTree, Scalar
from ._resampling import bounds, sign_flips


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Summary:
    """The mean of a metric over a data set, and how sure it is.

    Args:
        mean: the mean over the examples; like one value, a number or a pytree of arrays.
        low: the lower end of the confidence interval of the mean, like `mean`.
        high: its upper end, like `mean`.
        standard_error: the standard deviation of the values over the root of their number, like
            `mean`.
        count: the number of examples.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> found = evaluate.summarize(jnp.array([1.0, 2.0, 6.0]), key=jax.random.key(0))
        >>> float(found.mean), found.count
        (3.0, 3)
    """

    mean: Any
    low: Any
    high: Any
    standard_error: Any
    count: int = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Comparison:
    """The difference of two metrics on the same examples.

    Args:
        difference: a `Summary` of the first minus the second.
        p: p-value of the two-sided test that the differences lie symmetrically around zero,
            between 0 and 1, like one value.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> first, second = jnp.array([2.0, 3.0, 4.0]), jnp.array([1.0, 1.0, 1.0])
        >>> float(evaluate.compare(first, second, key=jax.random.key(0)).p)
        0.25
    """

    difference: Summary
    p: Any


def summarize(
    values: PyTree,
    *,
    key: jax.Array,
    level: Scalar = 0.95,
    resamples: int = 1000,
    chunk: int | None = None,
) -> Summary:
    r"""The mean over a data set with its bootstrap confidence interval.

    The interval is the bias-corrected and accelerated one (BCa): the quantiles $\Phi(z_0 + \frac{
    z_0 + z_\alpha}{1 - a (z_0 + z_\alpha)})$ of the means of data sets drawn with replacement, with
    $z_0$ the normal quantile of the share of them below the mean and $a = \frac{\sum_i d_i^3}{6
    (\sum_i d_i^2)^{3/2}}$ from the deviations $d_i$ of the values from their mean.

    Args:
        values: one value for each example, an array or a pytree of arrays, such as the curves of
            several attributions, with a leading axis of at least two examples.
        key: a random key: same key, same examples drawn, for all arrays of the tree.
        level: the share of data sets whose interval should hold the true mean, in (0, 1).
        resamples: the number of data sets drawn.
        chunk: at most this many of them are live at once, each an integer for each example; None
            for all.

    Returns:
        A `Summary`, whose fields are like the values without their leading axis.

    Raises:
        ValueError: a value is NaN or infinite, there are fewer than two, their lengths differ, or
            an option is invalid.
        TypeError: there is no key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> values = jnp.arange(100.0)
        >>> found = evaluate.summarize(values, key=jax.random.key(0))
        >>> bool(found.low < 49.5), bool(found.high > 49.5), round(float(found.standard_error), 2)
        (True, True, 2.9)

    Notes:
        Of fewer than about 20 examples the interval is too short, of a skewed metric of fewer than
        about 50. It speaks of other examples, not of other keys of a random metric. Ends of curves
        are intervals for each place on its own, not for the curve as a whole.

    References:
        Efron 1987, Better bootstrap confidence intervals, Journal of the American Statistical
        Association.
    """
    _check_options(level, resamples, chunk)
    values, count = _checked(values, "values")
    key = checked_key(key, "summarize")
    measure = functools.partial(bounds, key=key, level=level, resamples=resamples, chunk=chunk)
    mean, low, high, error = _each_column(measure, values)
    return Summary(mean, low, high, error, count)


def compare(
    first: PyTree,
    second: PyTree,
    *,
    key: jax.Array,
    level: Scalar = 0.95,
    resamples: int = 1000,
    permutations: int = 9999,
    chunk: int | None = None,
) -> Comparison:
    r"""Whether one metric is higher than another on the same examples: a paired permutation test.

    If both are alike, the sign of each difference $d_i$ is a toss of a coin: $p$ is the share of
    sign patterns $s$ whose $|\frac1n \sum_i s_i d_i|$ reaches the observed $|\frac1n \sum_i d_i|$,
    the observed one included.

    Args:
        first: one value for each example, as for `summarize`.
        second: as many, in the same order of the examples.
        key: a random key: same key, same draws.
        level: of the interval of the difference, as for `summarize`.
        resamples: the number of data sets drawn for the interval.
        permutations: the number of sign patterns drawn. If there are no more than that beside the
            observed one, all of them are looked at, and p is exact.
        chunk: at most this many data sets or sign patterns are live at once; None for all.

    Returns:
        A `Comparison` with the difference, its interval and the p-value.

    Raises:
        ValueError: the two are not alike, or as for `summarize`.
        TypeError: there is no key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> first = jnp.array([5.0, 6.0, 7.0, 8.0, 9.0, 9.0])
        >>> found = evaluate.compare(first, first - 2, key=jax.random.key(0))
        >>> float(found.difference.mean), float(found.p)  # 2 of 2**6 patterns
        (2.0, 0.03125)

    Notes:
        With n examples p is at least $2^{1 - n}$. A test of many pairs finds differences by chance:
        divide the level by their number.

    References:
        Fisher 1935, The design of experiments, section 21. Phipson and Smyth 2010, Permutation
        p-values should never be zero, arXiv:1603.05766.
    """
    _check_options(level, resamples, chunk)
    check_count("permutations", permutations)
    first, count = _checked(first, "first")
    second, _ = _checked(second, "second")
    if not same_tree(first, second) or _shapes(first) != _shapes(second):
        raise ValueError(
            f"compare got {describe(first, 'first')} and {describe(second, 'second')}: both must "
            "be of the same examples, with the same shapes and dtypes."
        )
    draw, toss = jax.random.split(checked_key(key, "compare"))
    differences = jax.tree.map(jnp.subtract, first, second)
    summary = summarize(differences, key=draw, level=level, resamples=resamples, chunk=chunk)
    test = functools.partial(sign_flips, key=toss, permutations=permutations, chunk=chunk)
    return Comparison(summary, _each_column(lambda d: (test(d),), differences)[0])


def _each_column(measure: Callable[[jax.Array], Any], values: PyTree) -> list[PyTree]:
    """What `measure` says of (examples, columns), for each array, as trees like one value."""
    leaves, structure = jax.tree.flatten(values)
    found = [
        [part.reshape(leaf.shape[1:]) for part in measure(leaf.reshape(len(leaf), -1))]
        for leaf in leaves
    ]
    return [jax.tree.unflatten(structure, parts) for parts in zip(*found, strict=True)]


def _checked(values: PyTree, name: str) -> tuple[PyTree, int]:
    """The values as finite floating arrays, and the number of examples."""
    count = count_examples(values, name)
    if count < 2:
        raise ValueError(f"{name} holds one example, of whose mean nothing is known: give two.")
    if (where := first_nonfinite(values, name)) is not None:
        raise ValueError(f"{where}: a mean over it would be, too. Find out why before averaging.")
    return widen(jax.tree.map(_floating, values)), count


def _floating(leaf: Any) -> jax.Array:
    array = jnp.asarray(leaf)
    real = jnp.issubdtype(array.dtype, jnp.floating)
    return array if real else array.astype(jnp.result_type(float))  # hits and counts


def _shapes(tree: PyTree) -> list[tuple[Any, Any]]:
    return [(np.shape(leaf), leaf.dtype) for leaf in jax.tree.leaves(tree)]


def _check_options(level: Any, resamples: int, chunk: int | None) -> None:
    check_real("level", level, low=float(np.finfo(np.float32).tiny), high=1 - 1e-6)
    check_count("resamples", resamples, least=2)
    check_chunk(chunk)
