"""Which parameter of a method gives the best explanations, and is that sure?"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import nested, stack
from .._errors import check_choice, check_chunk, check_count
from .._keys import checked_key
from .._tree import count_examples
from .._types import Attribution, PyTree, Scalar
from ._dataset import as_number, call, checked_examples, key_of
from ._resampling import resampled_means
from ._statistics import Summary, summarize

Family = Callable[[Any], Attribution]
BETTER = ("higher", "lower")


@dataclasses.dataclass(frozen=True)
class Selection:
    """A metric for each parameter of a method, over a data set.

    Args:
        parameters: the P parameters that were tried.
        values: the metric for each parameter and example, (P, examples).
        summary: the means and their intervals, each (P,), as from `summarize`.
        index: the place of the best mean.
        shares: in which share of data sets drawn with replacement each parameter is the best,
            (P,); they sum to 1, and parameters that are equal divide theirs.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> values = jnp.array([[1.0, 2.0, 1.0], [3.0, 3.0, 4.0]])
        >>> summary = evaluate.summarize(values.T, key=jax.random.key(0))
        >>> shares = jnp.array([0.0, 1.0])
        >>> evaluate.Selection((0.1, 0.2), values, summary, 1, shares).best
        0.2
    """

    parameters: Any
    values: jax.Array
    summary: Summary
    index: int
    shares: jax.Array

    @property
    def best(self) -> Any:
        """The parameter with the best mean."""
        if isinstance(self.parameters, list | tuple):
            return self.parameters[self.index]
        return jax.tree.map(lambda leaf: leaf[self.index], self.parameters)

    @property
    def confidence(self) -> float:
        """The share of data sets drawn with replacement in which it is the best."""
        return float(self.shares[self.index])


def select_explanation(
    family: Family,
    parameters: PyTree,
    metric: Callable[[Attribution], Callable[..., Any]],
    xs: PyTree,
    *args: Any,
    key: jax.Array,
    better: str = "higher",
    static: bool = False,
    level: Scalar = 0.95,
    resamples: int = 1000,
    chunk: int | None = None,
) -> Selection:
    r"""The parameter of a method whose explanations a metric likes best, over a data set.

    $\arg\max_p \frac1n \sum_i m(A_p)(x_i)$, all parameters and examples in one compiled call.

    Args:
        family: gives the attribution for a parameter, `family(p)`: a gamma, a noise scale, the
            width of a kernel.
        parameters: the parameters to try: an array with a leading axis, or a pytree of them for
            several at once; with `static`, a sequence of anything.
        metric: gives the metric of an attribution, such as `functools.partial(evaluate.abpc, f)`;
            of a curve the area counts.
        xs: the examples, an array or a pytree with a leading axis.
        *args: further arguments of the model, one for each example, as with `jax.vmap`.
        key: a random key: same key, same numbers. All parameters get the same.
        better: whether `"higher"` or `"lower"` values of the metric are better.
        static: whether a parameter must be known while the method is built, as a number of steps
            must: then each is compiled on its own, one after the other.
        level: of the intervals, as for `summarize`.
        resamples: as for `summarize`.
        chunk: at most this many pairs of a parameter and an example are live at once; None for all.

    Returns:
        A `Selection`, the best parameter in it.

    Raises:
        ValueError: an option is invalid, lengths differ, or the metric is not finite somewhere.
        TypeError: the metric is not a number or a curve, or there is no key.

    Example:
        >>> import functools, jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(jnp.tanh(x) ** 2)
        >>> family = lambda power: lambda x: jnp.abs(x) ** power
        >>> xs = jax.random.normal(jax.random.key(0), (20, 4))
        >>> found = evaluate.select_explanation(
        ...     family, jnp.array([-1.0, 0.0, 1.0]), functools.partial(evaluate.abpc, f), xs,
        ...     key=jax.random.key(1))
        >>> float(found.best), found.confidence
        (1.0, 1.0)

    Notes:
        The mean of the best of many is too good: report it on examples that took no part in the
        choice. What a metric prefers is not what is true of the model. Where two parameters are
        best in about equal shares, the data cannot tell them apart.

    References:
        Pahde et al. 2023, Optimizing explanations by network canonization and hyperparameter
        search, arXiv:2211.17174. Efron and Tibshirani 1993, An introduction to the bootstrap.
    """
    check_choice("better", better, BETTER)
    check_chunk(chunk)
    check_count("resamples", resamples, least=2)
    checked_examples(xs, args, {})
    measure, draw = jax.random.split(checked_key(key, "select_explanation"))
    nodes = jax.tree.map(jnp.asarray, (xs, *args))
    if static:
        parameters = _as_sequence(parameters)
        values = _one_by_one(family, parameters, metric, nodes, measure, chunk)
    else:
        parameters = jax.tree.map(jnp.asarray, parameters)
        values = _all_at_once(family, parameters, metric, nodes, measure, chunk)
    _check_finite(values, parameters)
    summary = summarize(values.T, key=draw, level=level, resamples=resamples)
    sign = 1 if better == "higher" else -1
    shares = _shares_best(sign * values, draw, resamples)
    return Selection(parameters, values, summary, int(jnp.argmax(sign * summary.mean)), shares)


def _all_at_once(
    family: Family, parameters: PyTree, metric: Any, nodes: Any, key: jax.Array, chunk: int | None
) -> jax.Array:
    count = count_examples(parameters, "parameters")
    for place in range(count):  # options are checked where their numbers are known
        with _hint():
            metric(family(jax.tree.map(lambda leaf, place=place: leaf[place], parameters)))
    outer, inner = nested(chunk, count)

    def sweep(parameters: PyTree, nodes: Any, key: jax.Array) -> jax.Array:
        def of_example(node: Any) -> jax.Array:
            place, args = node

            # What does not depend on the parameter is not mapped over: it is computed once.
            def of_parameter(parameter: PyTree) -> jax.Array:
                with _hint():
                    return _value(metric, family(parameter), args, key_of(key, place))

            of_all: jax.Array = stack(of_parameter, parameters, chunk=inner)
            return of_all

        places = jnp.arange(count_examples(nodes, "the examples"))
        values: jax.Array = stack(of_example, (places, nodes), chunk=outer)
        return values.T

    values: jax.Array = jax.jit(sweep)(parameters, nodes, key)
    return values


def _one_by_one(
    family: Family,
    parameters: Sequence[Any],
    metric: Any,
    nodes: Any,
    key: jax.Array,
    chunk: int | None,
) -> jax.Array:
    places = jnp.arange(count_examples(nodes, "the examples"))

    def over_examples(parameter: Any) -> jax.Array:
        attribution = family(parameter)

        def sweep(nodes: Any, key: jax.Array) -> jax.Array:
            def of_example(node: Any) -> jax.Array:
                return _value(metric, attribution, node[1], key_of(key, node[0]))

            values: jax.Array = stack(of_example, (places, nodes), chunk=chunk)
            return values

        values: jax.Array = jax.jit(sweep)(nodes, key)
        return values

    return jnp.stack([over_examples(parameter) for parameter in parameters])


@contextlib.contextmanager
def _hint() -> Iterator[None]:
    """Add to an error what may be behind it."""
    try:
        yield
    except Exception as error:
        error.add_note(
            "family was called with an array, later a traced one. For a parameter that must be a "
            "Python number, such as a number of steps, pass static=True."
        )
        raise


def _value(metric: Any, attribution: Attribution, args: Any, key: jax.Array) -> jax.Array:
    return as_number(call(metric(attribution), args, {}, key), metric)


def _shares_best(values: jax.Array, key: jax.Array, resamples: int) -> jax.Array:
    """How often each row has the highest mean; equal ones divide the draw among them."""
    means = resampled_means(values.T, key, resamples)
    highest = (means == jnp.max(means, axis=1, keepdims=True)).astype(values.dtype)
    return jnp.mean(highest / jnp.sum(highest, axis=1, keepdims=True), axis=0)


def _as_sequence(parameters: Any) -> tuple[Any, ...]:
    if isinstance(parameters, str) or not isinstance(parameters, Sequence) or not parameters:
        raise TypeError(
            f"With static=True parameters={parameters!r} must be a sequence of at least one "
            "parameter, such as (8, 16, 32)."
        )
    return tuple(parameters)


def _check_finite(values: jax.Array, parameters: Any) -> None:
    wrong = np.argwhere(~np.isfinite(np.asarray(values)))
    if len(wrong):
        place, example = wrong[0]
        raise ValueError(
            f"The metric is {values[place, example]} for parameter {place} of {parameters!r} and "
            f"example {example}: leave the parameter out, or find out what it does there."
        )
