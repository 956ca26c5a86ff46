"""Class activation maps without gradients: weights from scores of changed inputs or layers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._batch import stack
from .._call import named
from .._errors import check_chunk
from .._tree import wide, widen
from .._types import Argnums, Attribution, Chunk, Model, PyTree, Scalar
from ..backprop._rule import quotient
from ..perturb._ablation import ablation
from ._grid import Layout, spatial
from ._layer import Layer, class_activation_map


def score_cam(
    f: Model,
    at: str,
    *,
    chunk: Chunk = "auto",
    relu: bool = True,
    resize: str = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Score-CAM: each channel weighs what the score is of the input seen through it alone.

    $M = \sum_k w_k A_k$ with $w = \mathrm{softmax}_k\, f(x^0 + m_k \odot (x - x^0))$. The mask
    $m_k$ is the channel $A_k$, enlarged to the input and scaled to [0, 1] by its least and largest
    value.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        relu: drop the negative part of the map.
        resize: how masks and map are enlarged to the input's height and width: `"nearest"`,
            `"linear"` or `"cubic"`.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
        channel_axis: the axis of the channels, counted from the end, of the layer and of the input;
            a pair if they differ.
        argnums: the argument to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (an array like `x`, one number, or
        None for zeros, as in the paper), that returns the map: an array of the input's height and
        width, or of its length.

    Raises:
        ValueError: an option is invalid; when called, if no layer or several have that name, or its
            positions cannot be laid over the input, or a baseline of another shape than `x`.
        TypeError: when called, if `f` is not scalar, or `x` is not one floating array.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jnp.concatenate([x, 1 - x], axis=-1)
        ...     return jnp.sum(h[..., 0])
        >>> jaxplain.score_cam(f, "hidden")(jnp.array([[[1.0], [0.0]]])).round(2)
        Array([[0.73, 0.27]], dtype=float32)

    Notes:
        One evaluation for each channel. A difference of scores goes into a softmax, so the unit of
        the score matters: explain a logit or a log-probability, since probabilities, all within
        [0, 1], give nearly equal weights. A channel that is the same everywhere has a mask of
        zeros.

    References:
        Wang et al. 2020, Score-CAM, arXiv:1910.01279.
    """
    if resize is None:
        raise ValueError(
            "score_cam masks the input with the layer's channels, so they must be enlarged: "
            "resize=None is not for it. Use 'linear', 'nearest' or 'cubic'."
        )
    layout = Layout(relu, resize, grid, channel_axis)
    check_chunk(chunk)

    def explain(*args: Any, baseline: PyTree | Scalar | None = None, **kwargs: Any) -> jax.Array:
        layer = Layer.of(f, at, args, kwargs, argnums, layout)
        start = checked_baseline(baseline, layer.x)
        values = layer.activations()

        def seen_through(channel: jax.Array) -> jax.Array:
            seen = jax.lax.dynamic_index_in_dim(values, channel, -1, keepdims=False)
            mask = spatial(_scaled(layer.grid.enlarge(seen, resize)), layer.x, layout)
            shown = widen(start) + mask.astype(wide(layer.x.dtype)) * (widen(layer.x - start))
            return layer.score(shown.astype(layer.x.dtype))

        channels = jnp.arange(values.shape[-1], dtype=jnp.int32)
        scores = widen(stack(seen_through, channels, chunk=chunk))
        weights = jax.nn.softmax(scores).astype(values.dtype)
        return layer.finish(values @ weights)

    return named(explain, "score_cam", f)


def ablation_cam(
    f: Model,
    at: str,
    *,
    chunk: Chunk = "auto",
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Ablation-CAM: each channel weighs the share of the score that is lost without it.

    $M = \sum_k w_k A_k$ with $w_k = (f(x) - f(x)_{A_k \leftarrow 0}) / f(x)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`; None leaves it at the layer's resolution.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out of the map.
        channel_axis: the axis of the channels, counted from the end, of the layer and of the input;
            a pair if they differ.
        argnums: the argument to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns the map: an array of the input's height
        and width, or of its length.

    Raises:
        ValueError: an option is invalid; when called, if no layer or several have that name, or its
            positions cannot be laid over the input.
        TypeError: when called, if `f` is not scalar, or `x` is not floating, or not one array and
            `resize` is not None.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x * jnp.array([3.0, 1.0])
        ...     return jnp.sum(h)
        >>> jaxplain.ablation_cam(f, "hidden")(jnp.array([[[1.0], [2.0]]]))
        Array([[2.5, 5. ]], dtype=float32)

    Notes:
        One evaluation of the part above the layer for each channel. A channel of tokens is put to
        zero in all tokens, those before the grid's too. A negative score turns the sign of the map,
        as in the paper; where the score is zero, the map is zero.

    References:
        Desai and Ramaswamy 2020, Ablation-CAM: visual explanations for deep convolutional network
        via gradient-free localization, WACV.
    """
    layout = Layout(relu, resize, grid, channel_axis)
    check_chunk(chunk)

    def draw(layer: Layer) -> jax.Array:
        lost = ablation(layer.top, along=layout.layer_axis, chunk=chunk)(layer.value)
        shares = quotient(lost, layer.top(layer.value), 0.0)
        return jnp.sum(layer.grid.arrange(shares) * layer.activations(), axis=-1)

    return class_activation_map(f, at, "ablation_cam", draw, layout, argnums)


def _scaled(mask: jax.Array) -> jax.Array:
    """A mask from its least value, 0, to its largest, 1; zeros if they are one."""
    low = jnp.min(mask)
    return quotient(mask - low, jnp.max(mask) - low, 0.0)
