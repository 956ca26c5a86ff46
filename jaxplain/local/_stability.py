"""Whether a random explanation says the same again: the stability indices of LIME, of any map."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from .._batch import stack
from .._call import check_averageable, name_of, named
from .._errors import check_chunk, check_count, check_real
from .._keys import checked_key, needs_key
from .._tree import widen
from .._types import Attribution, Chunk, Info, PyTree
from ..backprop._rule import quotient
from ._kernels import flat


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stability:
    """How far explanations with different keys agree.

    Args:
        variables: VSI, the average share of chosen elements that two explanations have in common,
            between 0 and 1, ().
        coefficients: CSI, the share of pairs of explanations whose confidence intervals overlap,
            averaged over elements, (); None without standard errors.
        mean: of the explanations, a pytree like one.
        deviation: the standard deviation over keys, a pytree like an explanation.
        chosen: the share of explanations that chose an element, a pytree like one.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.lime(lambda x: 2 * x[0] - x[1], samples=40, info=True)
        >>> found = jaxplain.stability(explain, repeats=4)(jnp.ones(2), key=jax.random.key(0))
        >>> float(found.variables)
        1.0
    """

    variables: jax.Array
    coefficients: jax.Array | None
    mean: PyTree
    deviation: PyTree
    chosen: PyTree


def stability(
    attr: Attribution,
    *,
    repeats: int = 10,
    keep: int | None = None,
    confidence: float = 0.95,
    chunk: Chunk = "auto",
) -> Attribution:
    r"""Repeat a random explanation with other keys, and measure how far the results agree.

    $\mathrm{VSI} = \frac{2}{R (R-1)} \sum_{r<s} \frac{|V_r \cap V_s|}{\max(|V_r|, |V_s|)}$ with
    $V_r$ the elements that explanation $r$ chose. CSI is, over the elements chosen more than once,
    the average share of pairs of explanations in which the intervals $\hat a \pm z \cdot
    \mathrm{se}$ overlap.

    Args:
        attr: any attribution that takes `key=`; one made with `info=True` for the CSI.
        repeats: number of explanations $R$.
        keep: how many elements count as chosen, those of the largest size; None for all that are
            not zero, as after a choice of features or by the lasso.
        confidence: of the intervals, between 0 and 1.
        chunk: at most this many explanations are live at once; "auto" for as many as run fast, None
            for all.

    Returns:
        A function with the arguments of `attr` that returns a `Stability`. Explanation `r` uses
        `jax.random.fold_in(key, r)`.

    Raises:
        ValueError: an option is invalid.
        TypeError: `attr` takes no key, or returns anything but an attribution.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.lime(lambda x: jnp.sum(x), samples=50, keep=2, info=True)
        >>> found = jax.jit(jaxplain.stability(explain))(jnp.ones(5), key=jax.random.key(0))
        >>> found.chosen.shape
        (5,)

    Notes:
        Each element of the map counts once, so that a superpixel counts as much as its area.
        Indices near 1 say that the explanation is repeated, not that it is right.

    References:
        Visani et al. 2020, Statistical stability indices for LIME: obtaining reliable explanations
        for machine learning models, arXiv:2001.11757.
    """
    check_count("repeats", repeats, least=2)
    check_chunk(chunk)
    check_real("confidence", confidence, low=0, high=1)
    if keep is not None:
        check_count("keep", keep)
    if not needs_key(attr):
        raise TypeError(
            f"{name_of(attr)} is not random, or its key is bound already: it would be the same "
            "explanation each time. Give an attribution that takes key=."
        )

    def repeated(*args: Any, key: jax.Array | None = None, **kwargs: Any) -> Stability:
        key = checked_key(key, f"stability({name_of(attr)})")

        def once(number: jax.Array) -> tuple[PyTree, PyTree]:
            result = attr(*args, key=jax.random.fold_in(key, number), **kwargs)
            with_info = isinstance(result, tuple) and len(result) == 2
            if with_info and isinstance(result[1], Info):
                return result[0], result[1].standard_error
            check_averageable(result, attr, "stability")
            return result, None

        maps, errors = stack(once, jnp.arange(repeats), chunk=chunk)
        maps = widen(maps)
        rows = _rows(maps)
        chosen = _chosen(rows, keep)
        like = jax.tree.map(lambda leaf: leaf[0], maps)
        return Stability(
            variables=_variables(chosen),
            coefficients=None
            if errors is None
            else _overlap(rows, _rows(errors), chosen, quantile),
            mean=jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), maps),
            deviation=jax.tree.map(lambda leaf: jnp.std(leaf, axis=0, ddof=1), maps),
            chosen=_unflat(jnp.mean(chosen.astype(rows.dtype), axis=0), like),
        )

    quantile = 0.5 + confidence / 2
    return named(repeated, "stability", attr, random=True)


def _rows(maps: PyTree) -> jax.Array:
    """One explanation a row."""
    dtype = jnp.result_type(*[leaf.dtype for leaf in jax.tree.leaves(maps)])
    return jax.vmap(lambda tree: flat(tree, dtype))(maps)


def _unflat(row: jax.Array, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    parts = jnp.split(row, np.cumsum([leaf.size for leaf in leaves])[:-1].tolist())
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def _chosen(rows: jax.Array, keep: int | None) -> jax.Array:
    """Which elements an explanation chose."""
    if keep is None or keep >= rows.shape[1]:
        return rows != 0
    largest = jax.lax.top_k(jnp.abs(rows), keep)[1]
    nothing = jnp.zeros(rows.shape[1], bool)
    return jax.vmap(lambda places: nothing.at[places].set(True))(largest) & (rows != 0)


def _variables(chosen: jax.Array) -> jax.Array:
    """The average agreement of two sets; those that are both empty agree."""
    numbers = chosen.astype(jnp.float32)
    common, sizes = numbers @ numbers.T, jnp.sum(numbers, axis=1)
    larger = jnp.maximum(sizes[:, None], sizes[None, :])
    return _mean_of_pairs(jnp.where(larger > 0, quotient(common, larger, 0.0), 1))


def _mean_of_pairs(table: jax.Array) -> jax.Array:
    count = len(table)
    return (jnp.sum(table) - jnp.trace(table)) / (count * (count - 1))


def _overlap(rows: jax.Array, errors: jax.Array, chosen: jax.Array, quantile: float) -> jax.Array:
    """The share of overlapping pairs of intervals, averaged over the elements that have pairs."""
    reach = norm.ppf(quantile).astype(rows.dtype) * errors.astype(rows.dtype)
    numbers = jnp.arange(len(rows))

    def against(number: jax.Array) -> tuple[jax.Array, jax.Array]:
        both = chosen & chosen[number][None] & (numbers != number)[:, None]
        apart = jnp.abs(rows - rows[number][None])
        overlapping = both & (apart <= reach + reach[number][None])
        return jnp.sum(overlapping, axis=0), jnp.sum(both, axis=0)

    overlapping, pairs = (jnp.sum(part, axis=0) for part in jax.lax.map(against, numbers))
    shares = quotient(overlapping.astype(rows.dtype), pairs.astype(rows.dtype), 0.0)
    elements = jnp.sum(pairs > 0).astype(rows.dtype)
    return jnp.where(elements > 0, quotient(jnp.sum(shares), elements, 0.0), 1)
