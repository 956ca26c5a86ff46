"""Guided Grad-CAM: the detail of guided backprop where Grad-CAM points."""

from __future__ import annotations

from typing import Any

import jax

from .._call import named
from .._tree import cast_like, widen
from .._types import Argnums, Attribution, Model
from ..backprop._modified import guided_backprop
from ._gradients import grad_cam
from ._grid import Layout, spatial


def guided_grad_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Guided Grad-CAM: guided backprop times the Grad-CAM of a layer.

    $A_{ijc} = g_{ijc} M_{ij}$, with $g$ by `guided_backprop` and $M$ by `grad_cam`.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
        channel_axis: the axis of the channels, counted from the end, of the layer and of the input;
            a pair if they differ.
        argnums: the argument to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns an array like `x`.

    Raises:
        ValueError: an option is invalid; when called, if the model has no rectifier, no layer or
            several have that name, or its positions cannot be laid over the input.
        TypeError: when called, if `f` is not scalar, or `x` is not one floating array.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jax.nn.relu(x * jnp.array([1.0, -1.0]))
        ...     return jnp.sum(h[..., 0])
        >>> jaxplain.guided_grad_cam(f, "hidden")(jnp.array([[[1.0], [2.0]]])).squeeze()
        Array([1., 2.], dtype=float32)

    Notes:
        The detail is that of guided backprop, which shows edges more than reasons; the Grad-CAM
        only chooses where.

    References:
        Selvaraju et al. 2017, Grad-CAM, arXiv:1610.02391.
    """
    if resize is None:
        raise ValueError(
            "guided_grad_cam multiplies the map by an attribution of the input, so the map must be "
            "enlarged: resize=None is not for it. Use 'linear', 'nearest' or 'cubic'."
        )
    layout = Layout(relu, resize, grid, channel_axis)
    coarse = grad_cam(
        f,
        at,
        relu=relu,
        resize=resize,
        grid=grid,
        channel_axis=channel_axis,
        argnums=argnums,
    )
    fine = guided_backprop(f, argnums=argnums)

    def explain(*args: Any, **kwargs: Any) -> jax.Array:
        map = coarse(*args, **kwargs)
        detail = fine(*args, **kwargs)
        attribution: jax.Array = widen(detail) * widen(spatial(map, detail, layout))
        result: jax.Array = cast_like(attribution, detail)
        return result

    return named(explain, "guided_grad_cam", f)
