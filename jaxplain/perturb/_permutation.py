"""Permutation importance: what the mean score of a data set loses without a feature's pairing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import bind, explained, name_of, named
from .._errors import check_chunk, check_count
from .._keys import checked_key
from .._tree import widen
from .._types import Argnums, Chunk, Info, Model, PyTree
from ._features import Partition


def permutation_importance(
    f: Model,
    *,
    repeats: int = 5,
    in_axes: int | None | tuple[Any, ...] = 0,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Callable[..., Any]:
    r"""What the mean score over a data set loses when a feature is exchanged between examples.

    $A_u = \frac1N \sum_n f(x_n, y_n) - \frac{1}{R N} \sum_{r,n} f(x_{n,\,u \leftarrow
    x_{\pi_r(n)}}, y_n)$: each example gets feature $u$ of another, $\pi_r(n) \ne n$, and keeps its
    label. One importance per feature, for the whole data set.

    Args:
        f: how good the model is on one example, `f(x, y, *args) -> scalar`: the log-likelihood of
            the label, minus a squared error, or 1.0 where the prediction is right and else 0.0.
        repeats: number of rounds of exchange, $R$.
        in_axes: the axis over examples of each positional argument, as in `jax.vmap`: 0 for all of
            them, or a tuple with None for arguments that the examples share, such as parameters.
            The explained arguments have axis 0.
        groups: which elements are one feature: integers that broadcast to one example, or a pytree
            of them for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several of one example, the positions on which are the features. Without
            `groups` and `along`, every element is a feature.
        features: how many features there are, for `groups` that are data of the call and traced:
            then groups are numbered from 0.
        chunk: at most this many evaluations are live at once, all examples together; "auto" for as
            many as run fast, None for all.
        argnums: the argument (or arguments) whose features are exchanged, as in `jax.grad`.
        info: also return an `Info` with `values`, the importance of each feature, `evaluations` and
            `standard_error`.

    Returns:
        A function with the arguments of `f`, all examples at once, `key=` and `groups=` (if none
        were given here), that returns a pytree like one example, or `(importance, Info)`. Round
        `r` uses `jax.random.fold_in(key, r)`, the same exchange for all features.

    Raises:
        ValueError: an option is invalid; when called, fewer than two examples, or arguments with
            different numbers of them.
        TypeError: `groups` are not integers, or traced without `features`; when called, without a
            key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> accuracy = lambda x, y: jnp.where((x[0] > 0) == y, 1.0, 0.0)
        >>> x = jax.random.normal(jax.random.key(0), (200, 3))
        >>> explain = jaxplain.permutation_importance(accuracy)
        >>> importance = explain(x, x[:, 0] > 0, key=jax.random.key(1))
        >>> importance[0] > 0.4, importance[1:]
        (Array(True, dtype=bool), Array([0., 0.], dtype=float32))

    Notes:
        `N (repeats * features + 1)` evaluations. Measured on data that the model was not trained
        on, unless overfitting is the question. Features that stand in for each other share little
        importance, or none, and the exchange makes examples that cannot be: put correlated features
        into one group. The standard error is that of the importance in the population that the
        examples were drawn from, examples as receivers and as givers included.

        For one example, replacement by values of others is ablation with baselines:
        `jaxplain.over_baselines(jaxplain.ablation(f))` averages over a set, and
        `jax.vmap(jaxplain.ablation(f))(xs, baseline=xs[order])` exchanges within a batch, as
        Captum's `FeaturePermutation` does.

    References:
        Breiman 2001, Random forests. Fisher, Rudin and Dominici 2019, All models are wrong, but
        many are useful, arXiv:1801.01489.
    """
    check_count("repeats", repeats)
    check_chunk(chunk)
    partition = Partition.checked(groups, along, features)

    def explain(
        *args: Any, key: jax.Array | None = None, groups: PyTree | None = None, **kwargs: Any
    ) -> Any:
        key = checked_key(key, f"permutation_importance({name_of(f)})")
        xs = jax.tree.map(jnp.asarray, explained(args, argnums, f))
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        count = _count(args, kwargs, axes, argnums)
        parts = partition.of(jax.tree.map(lambda leaf: leaf[0], xs), groups)
        row = functools.partial(_row, args, kwargs, axes)
        partners = jax.vmap(functools.partial(_partners, key, count))(jnp.arange(repeats))

        def value(example: jax.Array, partner: jax.Array, feature: Any) -> jax.Array:
            own, keywords = row(example)
            score, x = bind(f, own, keywords, argnums, floating=False)
            other = jax.tree.map(lambda leaf: leaf[partner], xs)
            kept = parts.restrict(x, other, jnp.arange(parts.count) != feature)
            result: jax.Array = widen(score(kept))
            return result

        examples = jnp.arange(count)
        whole = stack(lambda n: value(n, n, -1), examples, chunk=chunk)

        def exchanged(feature: jax.Array) -> tuple[jax.Array, jax.Array | None]:
            nodes = (jnp.tile(examples, repeats), partners.reshape(-1))
            scores = stack(lambda node: value(node[0], node[1], feature), nodes, chunk=chunk)
            lost = whole[None] - scores.reshape(repeats, count)
            return jnp.mean(lost), _standard_error(lost, partners) if info else None

        # One feature after the other unless everything is wanted at once.
        numbers = jnp.arange(parts.count)
        lost, error = stack(exchanged, numbers, chunk=1 if isinstance(chunk, int) else chunk)
        example = jax.tree.map(lambda leaf: leaf[0], xs)
        importance = parts.spread(lost, example)
        if not info:
            return importance
        return importance, Info(
            values=lost,
            standard_error=parts.spread(error, example),
            evaluations=jnp.asarray(count * (repeats * parts.count + 1)),
        )

    return named(explain, "permutation_importance", f, random=True)


def _partners(key: jax.Array, count: int, number: jax.Array) -> jax.Array:
    """Whose feature each example gets: any other's with equal probability, never its own.

    The examples stand in a random circle, and each gets the feature of the one before it.
    """
    order = jax.random.permutation(jax.random.fold_in(key, number), count)
    return jnp.zeros_like(order).at[order].set(jnp.roll(order, 1))


def _standard_error(lost: jax.Array, partners: jax.Array) -> jax.Array:
    """Of the mean of `lost` (rounds, examples), over draws of the examples.

    An example has part in it twice: where it gets a feature, and where it gives its own.
    """
    rounds = jnp.arange(len(lost))[:, None]
    given = jnp.zeros_like(lost).at[rounds, partners].set(lost)
    influence = jnp.mean(lost + given, axis=0)
    variance = jnp.var(influence, ddof=1)
    safe = jnp.where(variance > 0, variance, 1)
    return jnp.where(variance > 0, jnp.sqrt(safe / lost.shape[1]), 0)


def _row(
    args: tuple[Any, ...], kwargs: dict[str, Any], axes: tuple[Any, ...], number: jax.Array
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of one example."""

    def pick(axis: int | None, arg: Any) -> Any:
        if axis is None:
            return arg
        return jax.tree.map(lambda leaf: jnp.moveaxis(jnp.asarray(leaf), axis, 0)[number], arg)

    picked = tuple(pick(axis, arg) for axis, arg in zip(axes, args, strict=True))
    return picked, {name: pick(0, value) for name, value in kwargs.items()}


def _count(
    args: tuple[Any, ...], kwargs: dict[str, Any], axes: tuple[Any, ...], argnums: Argnums
) -> int:
    """How many examples there are; raise unless all arguments have as many."""
    if len(axes) != len(args) or not all(axis is None or isinstance(axis, int) for axis in axes):
        raise ValueError(
            f"in_axes={axes} must be one integer or None for each of the {len(args)} positional "
            "arguments."
        )
    positions = (argnums,) if isinstance(argnums, int) else argnums
    if any(axes[position] != 0 for position in positions):
        raise ValueError(
            f"in_axes={axes} must be 0 for the explained arguments, argnums={argnums}: put their "
            "examples along the leading axis."
        )
    mapped = [*zip(axes, args, strict=True), *((0, value) for value in kwargs.values())]
    sizes = set()
    for axis, arg in mapped:
        for leaf in jax.tree.leaves(arg) if axis is not None else ():
            shape = np.shape(leaf)
            if not -len(shape) <= axis < len(shape):
                raise ValueError(
                    f"An argument has shape {shape} and no axis {axis} over examples: say which "
                    "arguments the examples share, for instance in_axes=(0, 0, None)."
                )
            sizes.add(shape[axis])
    if len(sizes) != 1:
        raise ValueError(
            f"The arguments hold {sorted(sizes)} examples: all must have the same number. Say "
            "which arguments the examples share, for instance in_axes=(0, 0, None)."
        )
    if (count := sizes.pop()) < 2:
        raise ValueError(f"{count} examples have nothing to exchange: give at least two.")
    return int(count)
