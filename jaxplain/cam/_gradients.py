"""Class activation maps whose channels are weighted by gradients: Grad-CAM and its relatives."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._types import Argnums, Attribution, Model
from ..backprop._rule import quotient
from ._grid import Layout
from ._layer import Layer, class_activation_map


def grad_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Grad-CAM: each channel of a layer weighs the mean of its gradient.

    $M = \sum_k w_k A_k$ with $w_k = \frac1n \sum_{ij} G_{ijk}$, where $A$ are the layer's values at
    $n$ positions and $G = \partial f / \partial A$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`; None leaves it at the layer's resolution.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
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
        ...         h = x * jnp.array([1.0, -1.0])
        ...     return jnp.sum(h[..., 0] ** 2)
        >>> jaxplain.grad_cam(f, "hidden")(jnp.array([[[1.0], [2.0]]]))
        Array([[3., 6.]], dtype=float32)

    Notes:
        Which layers: the last convolutions of a network give the coarsest and most class-specific
        map; a name is that of what a module *returns*, before an activation that its parent
        applies. In a vision transformer that reads only its class token, the patches have no
        gradient after the last block, and the map is zero there: choose the input of the last
        attention, or an earlier block.

        Leading axes of size 1 are dropped, so models that compute with a batch of one need nothing
        special. The positions of tokens are recovered from the input's height and width, as the
        grid of square patches with the fewest tokens in front of it, at most 8. Models with
        channels first need `channel_axis=-3`; tokens of channels-first images, `(-1, -3)`. With
        `resize=None` the input may be any pytree, and tokens without an image give a map over all
        tokens.

        Enlarging makes a map smooth, not precise: it knows no more than the layer's grid.

    References:
        Selvaraju et al. 2017, Grad-CAM, arXiv:1610.02391.
    """

    def draw(layer: Layer) -> jax.Array:
        weights = _over_positions(jnp.mean, layer.gradients())
        return jnp.sum(weights * layer.activations(), axis=-1)

    layout = Layout(relu, resize, grid, channel_axis)
    return class_activation_map(f, at, "grad_cam", draw, layout, argnums)


def grad_cam_plus_plus(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Grad-CAM++: weights from positive gradients, each by how much it has to explain.

    $M = \sum_k w_k A_k$ with $w_k = \sum_{ij} a_{ijk} \max(G_{ijk}, 0)$ and $a = G^2 / (2 G^2 +
    G^3 \sum_{ij} A_{ijk} + 10^{-6})$, where $G = \partial f / \partial A$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`; None leaves it at the layer's resolution.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
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
        ...         h = x * jnp.array([1.0, -1.0])
        ...     return jnp.sum(h[..., 0] ** 2)
        >>> map = jaxplain.grad_cam_plus_plus(f, "hidden")(jnp.array([[[1.0], [2.0]]]))
        >>> [round(float(value), 2) for value in map[0]]
        [0.54, 1.07]

    Notes:
        The $a$ are second and third derivatives of the exponential of a score that is piecewise
        linear: the paper explains $e^f$. The constant $10^{-6}$, which other packages add too, is
        in units of squared gradients and not small beside gradients of a thousandth. Weights may
        be large where the sum over a channel is negative, so the layer should be a rectified one.
        All else is as for `grad_cam`.

    References:
        Chattopadhyay et al. 2018, Grad-CAM++, arXiv:1710.11063.
    """

    def draw(layer: Layer) -> jax.Array:
        values, rise = layer.activations(), jax.nn.relu(layer.gradients())
        # Only rising gradients count in the end, so the others need no share.
        total = _over_positions(jnp.sum, values)
        shares = quotient(rise**2, 2 * rise**2 + total * rise**3 + 1e-6, 0.0)
        return jnp.sum(_over_positions(jnp.sum, shares * rise) * values, axis=-1)

    layout = Layout(relu, resize, grid, channel_axis)
    return class_activation_map(f, at, "grad_cam_plus_plus", draw, layout, argnums)


def xgrad_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""XGrad-CAM: each channel weighs the mean of its gradient, weighted by its values.

    $M = \sum_k w_k A_k$ with $w_k = \sum_{ij} G_{ijk} A_{ijk} / (\sum_{ij} A_{ijk} + 10^{-7})$,
    where $G = \partial f / \partial A$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`; None leaves it at the layer's resolution.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
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
        ...         h = x * jnp.array([1.0, -1.0])
        ...     return jnp.sum(h[..., 0] ** 2)
        >>> jaxplain.xgrad_cam(f, "hidden")(jnp.array([[[1.0], [2.0]]])).round(2)
        Array([[3.33, 6.67]], dtype=float32)

    Notes:
        The weights divide by the sum over a channel: in a layer that is not rectified it may be
        close to zero, and the weight large. All else is as for `grad_cam`.

    References:
        Fu et al. 2020, Axiom-based Grad-CAM, arXiv:2008.02312.
    """

    def draw(layer: Layer) -> jax.Array:
        values = layer.activations()
        credit = _over_positions(jnp.sum, layer.gradients() * values)
        weights = quotient(credit, _over_positions(jnp.sum, values) + 1e-7, 0.0)
        return jnp.sum(weights * values, axis=-1)

    layout = Layout(relu, resize, grid, channel_axis)
    return class_activation_map(f, at, "xgrad_cam", draw, layout, argnums)


def _over_positions(reduce: Callable[..., jax.Array], values: jax.Array) -> jax.Array:
    """The sum or mean over all axes but the channels', which are kept as 1."""
    return reduce(values, axis=tuple(range(values.ndim - 1)), keepdims=True)
