"""Do examples with the same explanation get the same prediction?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._batch import stack
from .._errors import check_chunk, check_count
from .._tree import describe, first_nonfinite
from .._types import Chunk, PyTree
from ._norms import ratio, unless_nan

Discretize = Callable[[jax.Array], Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Consistency:
    r"""How often examples with the same explanation have the same label.

    Args:
        shares: of the other examples with the same explanation, the share with the same label, for
            each example, (examples,); 0 where there are none.
        partners: how many other examples have the same explanation, integers of shape (examples,).

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> found = evaluate.Consistency(jnp.array([1.0, 0.5, 0.0]), jnp.array([2, 2, 0]))
        >>> float(found.mean)
        0.75
    """

    shares: jax.Array
    partners: jax.Array

    @property
    def mean(self) -> jax.Array:
        """The mean share over the examples that have partners; NaN if none has."""
        known = self.partners > 0
        count = jnp.sum(known, axis=-1)
        total = jnp.sum(jnp.where(known, self.shares, 0), axis=-1)
        return jnp.where(count == 0, jnp.nan, ratio(total, count))


def consistency(
    explanations: PyTree,
    labels: Any,
    *,
    top: int = 5,
    discretize: Discretize | None = None,
    chunk: Chunk = "auto",
) -> Consistency:
    r"""The probability that examples with the same explanation have the same prediction.

    $\Pr_{x' \ne x}[f(x') = f(x) \mid e(x') = e(x)]$ over the other examples of a data set. Real
    explanations are hardly ever the same, so they are made discrete first: by default to which
    features have the largest absolute relevance, and their signs.

    Args:
        explanations: a pytree like a batch of inputs, with a leading axis of examples, such as
            `jax.vmap(attribution)(xs)`.
        labels: the predicted class of each, integers of shape (examples,).
        top: how many features count, at most as many as there are.
        discretize: instead, a function of one explanation, as a vector, that returns an array;
            two explanations are the same if all its elements are equal.
        chunk: so many examples at once are compared with all others; "auto" for as many as run
            fast, None for all.

    Returns:
        A `Consistency`, whose `mean` is the number usually shown.

    Raises:
        ValueError: an option is invalid, or the sizes do not fit.
        TypeError: the labels are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> explanations = jnp.array([[3.0, 0.1], [2.0, 0.0], [-1.0, 0.2], [5.0, 1.0]])
        >>> found = evaluate.consistency(explanations, jnp.array([0, 0, 1, 1]), top=1)
        >>> found.shares, found.partners
        (Array([0.5, 0.5, 0. , 0. ], dtype=float32), Array([2, 2, 0, 2], dtype=int32))

    Notes:
        A function of a data set, not of an example. An example whose explanation nobody shares says
        nothing and is left out of `mean`; a constant explanation is shared by all and gives the
        probability that two examples have the same class.

    References:
        Dasgupta, Frost and Moshkovitz 2022, Framework for evaluating faithfulness of local
        explanations, arXiv:2202.00734.
    """
    check_chunk(chunk)
    check_count("top", top)
    labels = jnp.asarray(labels)
    _check_examples(explanations, labels)
    code = discretize if discretize is not None else _top_signs(top)
    codes = jax.vmap(lambda found: jnp.ravel(code(ravel_pytree(found)[0])))(explanations)
    examples = jnp.arange(len(labels))

    def of_example(number: jax.Array) -> tuple[jax.Array, jax.Array]:
        same = jnp.all(codes == codes[number][None], axis=1) & (examples != number)
        return jnp.sum(same & (labels == labels[number])), jnp.sum(same)

    agreeing, partners = stack(of_example, examples, chunk=chunk)
    dtype = jnp.result_type(float)
    shares = ratio(agreeing.astype(dtype), partners)
    return Consistency(unless_nan(shares, *jax.tree.leaves(explanations)), partners)


def _top_signs(top: int) -> Discretize:
    """The features of largest absolute relevance with their signs, in the order of the features."""

    def code(values: jax.Array) -> jax.Array:
        if top > len(values):
            raise ValueError(f"top={top} is more than the {len(values)} elements that there are.")
        largest = jnp.sort(jnp.argsort(-jnp.abs(values), stable=True)[:top])
        signs = jnp.sign(values[largest]).astype(largest.dtype)
        return jnp.concatenate([largest, signs])

    return code


def _check_examples(explanations: PyTree, labels: jax.Array) -> None:
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels have dtype {labels.dtype}: give the predicted classes, integers.")
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(explanations)}
    if (where := first_nonfinite(explanations, "explanations")) is not None:
        raise ValueError(f"{where}: explanations that are not finite have no top features.")
    if labels.ndim != 1 or sizes != {labels.shape}:
        raise ValueError(
            f"There are {describe(explanations, 'explanations')}, and labels of shape "
            f"{labels.shape}: both need one leading axis of examples."
        )
