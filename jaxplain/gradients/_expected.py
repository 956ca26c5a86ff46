"""Averages over a set of baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline_set
from .._batch import mean, mean_and_variance, stack
from .._call import (
    bind,
    bind_function,
    check_averageable,
    name_of,
    named,
)
from .._errors import check_choice, check_chunk, check_count
from .._keys import checked_key, needs_key
from .._tree import cast_like, map_wide, subtract, total, widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ._path import straight_line

REDUCTIONS = ("mean", "median", "none")


def expected_grad(
    f: Model,
    *,
    samples: int = 50,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Expected gradients (GradientSHAP): integrated gradients averaged over random baselines.

    $A_i = \frac1n \sum_k (x_i - b_i^{(k)}) \, \partial_i f\big(b^{(k)} + \alpha_k (x -
    b^{(k)})\big)$ with $b^{(k)}$ drawn from a set and $\alpha_k$ uniform in [0, 1]. Its expectation
    sums to $f(x)$ minus the mean score of the set.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        samples: number of gradients.
        chunk: at most this many gradients per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `steps`, `evaluations`, `standard_error` and `residual`
            (against the mean score of the set: sampling noise, which falls with `samples`).

    Returns:
        A function with the arguments of `f`, `baseline=` (a set: leading axis n, then the shape of
        `x`) and `key=`, that returns a pytree like `x`, or `(attribution, Info)`. Sample `i` uses
        `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid; when called, baselines of another shape than `x`.
        TypeError: when called, without a key or a set of baselines.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.expected_grad(lambda x: jnp.sum(x**2), samples=100)
        >>> explain(jnp.ones(2), baseline=jnp.zeros((5, 2)), key=jax.random.key(0)).shape
        (2,)

    Notes:
        The sum is exact only on average: ask for `info=True` to see the standard error. Under
        `jax.vmap` a shared set is bound with `functools.partial(explain, baseline=set)`.

    References:
        Erion et al. 2021, Improving performance of deep learning models with axiomatic attribution
        priors and expected gradients, arXiv:1906.10670. Lundberg and Lee 2017, arXiv:1705.07874.
    """
    check_count("samples", samples, least=2 if info else 1)
    check_chunk(chunk)

    def explain(
        *args: Any, baseline: PyTree | None = None, key: jax.Array | None = None, **kwargs: Any
    ) -> Any:
        key = checked_key(key, f"expected_grad({name_of(f)})")
        score, x = bind(f, args, kwargs, argnums)
        baselines, count = checked_baseline_set(baseline, x, "expected_grad")

        def sample(number: jax.Array) -> PyTree:
            choice, place = jax.random.split(jax.random.fold_in(key, number))
            chosen = jax.random.randint(choice, (), 0, count)
            b = _row(baselines, chosen)
            point = straight_line(jax.random.uniform(place), x, b)
            return map_wide(jnp.multiply, jax.grad(score)(point), subtract(x, b))

        numbers = jnp.arange(samples)
        if not info:
            return cast_like(mean(sample, numbers, chunk=chunk), x)
        average, variance = mean_and_variance(sample, numbers, chunk=chunk)
        error = jax.tree.map(lambda v: jnp.sqrt(v / samples), variance)
        expected = mean(lambda i: score(_row(baselines, i)), jnp.arange(count), chunk=chunk)
        end, start = widen((score(x), expected))
        return cast_like(average, x), Info(
            steps=jnp.asarray(samples),
            evaluations=jnp.asarray(samples + count + 1),
            residual=total(average) - (end - start),
            standard_error=error,
        )

    return named(explain, "expected_grad", f, random=True, baseline="set")


def over_baselines(
    attr: Attribution,
    *,
    reduce: str | Callable[[jax.Array], jax.Array] = "mean",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Attribution:
    r"""Explain against each baseline of a set, and average: $\frac1n\sum_k A(x;\, b^{(k)})$.

    Args:
        attr: any attribution that takes `baseline=`.
        reduce: `"mean"`, `"median"`, `"none"` (keep one attribution per baseline, stacked), or a
            function of the stacked attributions that removes their leading axis.
        chunk: at most this many baselines are live at once; "auto" for as many as run fast, None
            for all.
        argnums: the argument (or arguments) that `attr` explains.

    Returns:
        A function with the arguments of `attr`, whose `baseline=` is a set: a leading axis n, then
        the shape of `x`. If `attr` is random, baseline `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid; when called, baselines of another shape than `x`.
        TypeError: when called, without a set of baselines.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> attr = jaxplain.integrated_grad(lambda x: jnp.sum(x**2))
        >>> jaxplain.over_baselines(attr)(jnp.ones(2), baseline=jnp.array([[0.0, 0.0], [1.0, 1.0]]))
        Array([0.5, 0.5], dtype=float32)

    References:
        Lundberg and Lee 2017, A unified approach to interpreting model predictions,
        arXiv:1705.07874.
    """
    check_chunk(chunk)
    if not callable(reduce):
        check_choice("reduce", reduce, REDUCTIONS)

    def explain(
        *args: Any, baseline: PyTree | None = None, key: jax.Array | None = None, **kwargs: Any
    ) -> PyTree:
        _, x = bind_function(attr, args, kwargs, argnums)
        baselines, count = checked_baseline_set(baseline, x, "over_baselines")
        own = checked_key(key, f"over_baselines({name_of(attr)})") if random else None

        def against(number: jax.Array) -> PyTree:
            inner = {} if own is None else {"key": jax.random.fold_in(own, number)}
            value = attr(*args, baseline=_row(baselines, number), **inner, **kwargs)
            if reduce != "none":
                check_averageable(value, attr, "over_baselines")
            return value

        numbers = jnp.arange(count)
        if reduce == "mean":
            return mean(against, numbers, chunk=chunk)
        stacked = stack(against, numbers, chunk=chunk)
        if callable(reduce):
            return jax.tree.map(reduce, stacked)
        if reduce == "median":
            return jax.tree.map(lambda leaf: jnp.median(leaf, axis=0), stacked)
        return stacked

    random = needs_key(attr)
    return named(explain, "over_baselines", attr, random=random, baseline="set")


def _row(tree: PyTree, index: jax.Array) -> PyTree:
    """One element of a set."""
    return jax.tree.map(lambda leaf: leaf[index], tree)
