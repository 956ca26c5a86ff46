"""Class activation maps of values times gradients, position by position: HiResCAM and LayerCAM."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._types import Argnums, Attribution, Model
from ._grid import Layout
from ._layer import Layer, class_activation_map


def hires_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""HiResCAM: a layer's values times their own gradients.

    $M_{ij} = \sum_k G_{ijk} A_{ijk}$, where $G = \partial f / \partial A$.

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
        >>> jaxplain.hires_cam(f, "hidden")(jnp.array([[[1.0], [2.0]]]))
        Array([[2., 8.]], dtype=float32)

    Notes:
        With `relu=False, resize=None` this is gradient times input of the part above the layer,
        summed over channels: where that part is linear, the map sums to the score up to the bias.
        Where a mean over positions follows the layer, it is Grad-CAM. All else is as for
        `grad_cam`.

    References:
        Draelos and Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations of
        convolutional neural networks, arXiv:2011.08891.
    """

    def draw(layer: Layer) -> jax.Array:
        return jnp.sum(layer.gradients() * layer.activations(), axis=-1)

    layout = Layout(relu, resize, grid, channel_axis)
    return class_activation_map(f, at, "hires_cam", draw, layout, argnums)


def layer_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""LayerCAM: a layer's values times their own positive gradients.

    $M_{ij} = \sum_k \max(G_{ijk}, 0) A_{ijk}$, where $G = \partial f / \partial A$.

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
        ...     return jnp.sum(h)
        >>> jaxplain.layer_cam(f, "hidden", relu=False)(jnp.array([[[1.0], [2.0]]]))
        Array([[0., 0.]], dtype=float32)

    Notes:
        Made for all layers, early ones too, where a mean of gradients over positions says little.
        All else is as for `grad_cam`.

    References:
        Jiang et al. 2021, LayerCAM: exploring hierarchical class activation maps for localization,
        IEEE Transactions on Image Processing 30.
    """

    def draw(layer: Layer) -> jax.Array:
        return jnp.sum(jax.nn.relu(layer.gradients()) * layer.activations(), axis=-1)

    layout = Layout(relu, resize, grid, channel_axis)
    return class_activation_map(f, at, "layer_cam", draw, layout, argnums)
