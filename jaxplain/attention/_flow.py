"""Attention followed from the last layer back to the first token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import check_score, named
from .._errors import check_choice, check_real
from .._tree import widen
from .._types import Model, PyTree, Scalar
from ..program._edit import shifted
from ..program._locate import At, locate
from ..program._lower import lower
from ._maps import EVERYWHERE, by_layer, check_self_attention

HEADS: dict[str, Callable[..., jax.Array]] = {"mean": jnp.mean, "max": jnp.max, "min": jnp.min}


def attention_rollout(
    f: Callable[..., PyTree],
    *,
    at: At = EVERYWHERE,
    heads: str = "mean",
    residual: Scalar = 0.5,
) -> Callable[..., jax.Array]:
    r"""Attention rollout: how much of each input token reaches each token of the last layer.

    $R = \tilde A_L \cdots \tilde A_1$ with $\tilde A_l = r I + (1 - r) \bar A_l$, where $\bar A_l$
    is the mean over heads and $r$ the share of the residual connection.

    Args:
        f: a function `f(x, *args)` of one example that computes self-attention.
        at: the layers, a glob over paths or a list of them; all by default.
        heads: `"mean"`, `"max"` or `"min"` over the heads; the rows of the last two are scaled to
            sum to one.
        residual: the share of the residual connection, a number in [0, 1].

    Returns:
        A function with the arguments of `f` that returns an array of shape (tokens, tokens): row
        $q$, which sums to one, says where token $q$ of the last layer comes from. Row 0 belongs to
        a class token.

    Raises:
        ValueError: an option is invalid; when called, if there is no attention, or its layers do
            not belong together.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.softmax(x @ x.T) @ x
        >>> print(jaxplain.attention_rollout(f)(jnp.eye(2)).round(2))
        [[0.87 0.13]
         [0.13 0.87]]

    Notes:
        It explains no output in particular, and ignores what values, projections and dense layers
        do. Attention in windows moves tokens about between layers, which cannot be seen here.

    References:
        Abnar and Zuidema 2020, Quantifying attention flow in transformers, arXiv:2005.00928.
    """
    check_choice("heads", heads, HEADS)
    check_real("residual", residual, low=0, high=1)

    def rollout(x: PyTree, *args: Any, **kwargs: Any) -> jax.Array:
        located = locate(f, at, x, args, kwargs)
        maps = by_layer(located, widen(located.values()))
        tokens = check_self_attention(maps, "attention_rollout")
        flow = identity = jnp.eye(tokens, dtype=next(iter(maps.values())).dtype)
        for weights in maps.values():
            joint = HEADS[heads](weights, axis=0)
            if heads != "mean":
                joint = joint / jnp.sum(joint, axis=-1, keepdims=True)
            share = jnp.asarray(residual, joint.dtype)
            flow = (share * identity + (1 - share) * joint) @ flow
        return flow

    return named(rollout, "attention_rollout", f)


def attention_x_grad(f: Model, *, at: At = EVERYWHERE) -> Callable[..., jax.Array]:
    r"""Attention times its gradient, layer upon layer: what made the score, token by token.

    $R \leftarrow R + \bar A_l R$ from $R = I$, with $\bar A_l = E_h\big[(\nabla A_l \odot
    A_l)^+\big]$, the mean over heads of what the attention contributed to the score.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example, with self-attention.
        at: the layers, a glob over paths or a list of them; all by default.

    Returns:
        A function with the arguments of `f` that returns an array of shape (tokens, tokens): row
        $q$ says what token $q$ of the last layer took from the input tokens. Row 0 belongs to
        a class token.

    Raises:
        ValueError: when called, if there is no attention, or its layers do not belong together.
        TypeError: when called, if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: (jax.nn.softmax(x @ x.T) @ x)[0, 1]
        >>> jaxplain.attention_x_grad(f)(jnp.eye(2)).round(3)
        Array([[1.   , 0.269],
               [0.   , 1.   ]], dtype=float32)

    Notes:
        The gradient is the total one: it runs through all later layers. Only what raised the score
        is kept, so it has no sign and sums to nothing. The identity is the token's own part: take
        it off to see what came from others.

    References:
        Chefer et al. 2021, Generic attention-model explainability for interpreting bi-modal and
        encoder-decoder transformers, arXiv:2103.15679.
    """

    def relevance(x: PyTree, *args: Any, **kwargs: Any) -> jax.Array:
        located = locate(f, at, x, args, kwargs)
        with_shifts = shifted(f, at=at)
        zeros = {path: jnp.zeros_like(place.like) for path, place in located.found.items()}

        def score(shifts: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
            y, values = with_shifts(shifts, x, *args, **kwargs)
            return check_score(y, f), values

        slopes, values = lower(jax.grad(score, has_aux=True))(zeros)
        maps, gradients = by_layer(located, widen(values)), by_layer(located, widen(slopes))
        tokens = check_self_attention(maps, "attention_x_grad")
        flow = jnp.eye(tokens, dtype=next(iter(maps.values())).dtype)
        for path, weights in maps.items():
            raised = jnp.mean(jnp.maximum(gradients[path] * weights, 0), axis=0)
            flow = flow + raised @ flow
        return flow

    return named(relevance, "attention_x_grad", f)
