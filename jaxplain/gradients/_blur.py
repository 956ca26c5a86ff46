"""Integrated gradients along a path of ever sharper pictures."""

from __future__ import annotations

from typing import Any

import jax

from .._call import named
from .._errors import check_real
from .._types import Argnums, Attribution, Chunk, Model, PyTree, Scalar
from ..baselines import blur
from ._path import path_integrated_grad


def blur_integrated_grad(
    f: Model,
    *,
    sigma: Scalar = 50.0,
    axes: tuple[int, ...] = (0, 1),
    steps: int = 50,
    rule: str = "gauss_legendre",
    chunk: Chunk = "auto",
    tolerance: Scalar | None = None,
    max_steps: int = 1000,
    atol: Scalar = 1e-3,
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Blur integrated gradients: the path runs through scale space, from blurred to sharp.

    $A_i = \int_0^1 \partial_i f(\gamma(\alpha)) \, \gamma_i'(\alpha) \, d\alpha$ with
    $\gamma(\alpha)$ the picture blurred by a Gaussian of width $(1 - \alpha)\,\sigma$. It needs
    no baseline, and sums to $f(x)$ minus the score of the picture at its most blurred.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        sigma: standard deviation of the strongest blur, in pixels.
        axes: the spatial axes of `x`, (0, 1) for HW and HWC.
        steps: number of gradients; with `tolerance`, the number to start from.
        rule: `"gauss_legendre"`, `"middle"`, `"trapezoid"`, `"left"` or `"right"`.
        chunk: at most this many gradients per example are live at once; "auto" for as many as run
            fast, None for all.
        tolerance: choose the number of steps, as in `integrated_grad`.
        max_steps: the ceiling on the number of gradients with `tolerance`.
        atol: the difference of scores, in units of `f`, under which the tolerance is absolute.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `steps`, `evaluations`, `residual` and `converged`.

    Returns:
        A function with the arguments of `f` that returns a pytree like `x`, or
        `(attribution, Info)`.

    Raises:
        ValueError: an option is invalid, or `x` lacks one of the axes.
        TypeError: when called, if `f` is not scalar, `x` is not floating, or a baseline is given.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> picture = jnp.zeros((8, 8)).at[3:5, 3:5].set(1.0)
        >>> explain = jaxplain.blur_integrated_grad(lambda x: jnp.max(x), sigma=2.0)
        >>> explain(picture).shape
        (8, 8)

    Notes:
        Blurring renormalises at the border, so that a constant picture stays constant.

    References:
        Xu et al. 2020, Attribution in scale and space, arXiv:2004.03383.
    """
    check_real("sigma", sigma, low=0)

    def sharpen(alpha: jax.Array, x: PyTree, baseline: PyTree) -> PyTree:
        del baseline  # the path starts where the blur is strongest
        return blur(x, sigma * (1 - alpha), axes=axes)

    integrate = path_integrated_grad(
        f,
        sharpen,
        steps=steps,
        rule=rule,
        chunk=chunk,
        tolerance=tolerance,
        max_steps=max_steps,
        atol=atol,
        argnums=argnums,
        info=info,
    )

    def explain(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("baseline") is not None:
            raise TypeError(
                "blur_integrated_grad takes no baseline: its path starts at the blurred input. "
                "Set sigma, or use integrated_grad with baseline=jaxplain.baselines.blur(x, sigma)."
            )
        return integrate(*args, **kwargs)

    return named(explain, "blur_integrated_grad", f)
