"""The examples of a data set that a channel answers to most: relevance maximization."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import check_score, close
from .._errors import check_choice, check_count
from .._tree import first_nonfinite
from .._types import Model, PyTree
from ..backprop._composite import Composite, as_composite
from ..backprop._presets import epsilon
from ..backprop._rule import Rule
from ..program._cut import cut
from ..program._locate import checked_path
from ._crp import check_axis, relevance_at

BY = ("relevance", "activation")
OVER: dict[str, Callable[..., jax.Array]] = {"sum": jnp.sum, "max": jnp.max}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class References:
    """The examples that speak for each channel, the strongest first.

    Args:
        indices: places in the data set, integers of shape (channels, count); -1 where there were
            fewer examples.
        scores: relevance or activation of the channel there, shaped like `indices`.
        examples: how many examples were seen.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jax.nn.relu(x)
        ...     return h.sum()
        >>> data = jnp.array([[1.0, 0.0], [3.0, 1.0]])
        >>> jaxplain.reference_examples(f, [data], at="hidden", count=1).examples
        2
    """

    indices: jax.Array
    scores: jax.Array
    examples: int = dataclasses.field(metadata={"static": True})


def reference_examples(
    f: Model,
    batches: Iterable[PyTree],
    *args: Any,
    at: str,
    rules: Composite | Rule | None = None,
    by: str = "relevance",
    over: str = "sum",
    count: int = 8,
    axis: int = -1,
    progress: Callable[[int], None] | None = None,
) -> References:
    r"""Relevance maximization: for each channel of a layer the examples in which it matters most.

    The score of a channel in an example is the sum (or maximum) over positions of its relevance
    $R_{pc}$ by `lrp`, or of its activation $h_{pc}$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example, such as the logit of the predicted
            class, `lambda x: logits(x).max()`.
        batches: batches of inputs, arrays (or pytrees) with a leading axis. They are read once, one
            at a time, so a data set of any size will do.
        *args: further arguments of `f`, the same for all examples.
        at: the path of a layer, with globs, as for `cut`.
        rules: as for `lrp`.
        by: `"relevance"`, for what a channel is used, or `"activation"`, for what drives it.
        over: `"sum"` or `"max"` over the positions.
        count: how many examples to keep for each channel.
        axis: the axis of the layer's value that the channels lie on.
        progress: called after each batch with the number of examples seen.

    Returns:
        `References`, with the places of the examples in the order in which they were read.

    Raises:
        ValueError: an option is invalid, there is no batch, one is not finite, or no value has that
            name.
        IndexError: the layer has no such axis.
        TypeError: `at` is not a string, `f` is not scalar, or inputs are not floating: token ids
            have no relevance. Give embeddings, or choose by activation.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jax.nn.relu(x @ jnp.array([[1.0, 0.0], [0.0, 1.0]]))
        ...     return h @ jnp.array([1.0, -1.0])
        >>> data = jnp.array([[1.0, 0.0], [3.0, 1.0], [0.0, 2.0]])
        >>> found = jaxplain.reference_examples(f, [data], at="hidden", count=2)
        >>> found.indices
        Array([[1, 0],
               [0, 1]], dtype=int32)

    Notes:
        Examples that drive a channel are not always those in which it is used: compare both.
        Batches of another size compile again.

    References:
        Achtibat et al. 2023, From attribution maps to human-understandable explanations through
        concept relevance propagation, arXiv:2206.03208.
    """
    checked_path(at)
    check_choice("by", by, BY)
    check_choice("over", over, OVER)
    check_count("count", count)
    composite = epsilon() if rules is None else as_composite(rules)

    def of_example(x: PyTree) -> jax.Array:
        function, x = close(f, (x, *args), {}, 0)
        value = (
            cut(function, at=at)[0](x)
            if by == "activation"
            else relevance_at(lambda x: check_score(function(x), f), x, composite, at)
        )
        check_axis(axis, value.shape, at)
        channels = jnp.moveaxis(value, axis, 0)
        return OVER[over](channels.reshape(channels.shape[0], -1), axis=1)

    @jax.jit
    def merge(best: References, batch: PyTree, start: jax.Array) -> References:
        scores = jax.vmap(of_example, out_axes=1)(batch)
        places = jnp.broadcast_to(
            start + jnp.arange(scores.shape[1], dtype=jnp.int32), scores.shape
        )
        scores = jnp.concatenate([best.scores, scores], axis=1)
        places = jnp.concatenate([best.indices, places], axis=1)
        scores, order = jax.lax.top_k(scores, count)
        return References(jnp.take_along_axis(places, order, axis=1), scores, 0)

    best: References | None = None
    seen = 0
    for batch in batches:
        batch = jax.tree.map(jnp.asarray, batch)
        if (where := first_nonfinite(batch, "batch")) is not None:
            raise ValueError(f"After {seen} examples a batch is not finite: {where}.")
        if best is None:
            like = jax.eval_shape(jax.vmap(of_example), batch)
            shape = (like.shape[1], count)
            best = References(
                jnp.full(shape, -1, jnp.int32), jnp.full(shape, -jnp.inf, like.dtype), 0
            )
        best = merge(best, batch, jnp.int32(seen))
        seen += jax.tree.leaves(batch)[0].shape[0]
        if progress is not None:
            progress(seen)
    if best is None:
        raise ValueError("reference_examples got no batch: give an iterable of arrays of inputs.")
    return dataclasses.replace(best, examples=seen)
