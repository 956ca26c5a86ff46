"""Integrated gradients on the straight line, one interior gradient, and the completeness check."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._call import bind, named
from .._errors import check_real
from .._tree import describe, total, widen
from .._types import Argnums, Attribution, Chunk, Model, PyTree, Scalar
from ..program._lower import lower
from ._path import path_integrated_grad, straight_line


def integrated_grad(
    f: Model,
    *,
    steps: int = 50,
    rule: str = "gauss_legendre",
    chunk: Chunk = "auto",
    tolerance: Scalar | None = None,
    max_steps: int = 1000,
    atol: Scalar = 1e-3,
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Integrated gradients: the gradient averaged from a baseline to the input, times the way.

    $A_i = (x_i - x^0_i) \int_0^1 \partial_i f\big(x^0 + \alpha (x - x^0)\big) \, d\alpha$, which
    sums to $f(x) - f(x^0)$ (completeness).

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        steps: number of gradients; with `tolerance`, the number to start from.
        rule: `"gauss_legendre"`, `"middle"`, `"trapezoid"`, `"left"` or `"right"`.
        chunk: at most this many gradients per example are live at once; "auto" for as many as run
            fast, None for all (with `tolerance`: for `steps` of them).
        tolerance: if given, the number of steps is chosen for each example: sub-intervals of the
            line are bisected, worst first, until the residual, and the root sum of squares of
            the sub-intervals' residuals, are under `tolerance * (|f(x) - f(x0)| + atol)`.
        max_steps: the ceiling on the number of gradients with `tolerance`.
        atol: the difference of scores, in units of `f`, under which the tolerance is absolute.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `steps`, `evaluations`, `residual` and `converged`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns a pytree like `x`, or `(attribution, Info)`.

    Raises:
        ValueError: an option is invalid; when called, a baseline of another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[1] ** 2
        >>> jaxplain.integrated_grad(f)(jnp.array([1.0, 2.0])).round(4)
        Array([1., 5.], dtype=float32)
        >>> explain = jax.jit(jax.vmap(jaxplain.integrated_grad(f, tolerance=1e-3)))
        >>> explain(jnp.ones((3, 2)), baseline=jnp.zeros((3, 2))).shape
        (3, 2)

    Notes:
        The answer depends on the baseline: look at several (`jaxplain.baselines`). Networks with
        kinks need many steps; `tolerance` finds out how many. A miss of the tolerance warns, or
        under `info=True` is told by `info.converged`.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    integrated = path_integrated_grad(
        f,
        straight_line,
        steps=steps,
        rule=rule,
        chunk=chunk,
        tolerance=tolerance,
        max_steps=max_steps,
        atol=atol,
        argnums=argnums,
        info=info,
    )
    return named(integrated, "integrated_grad", f)


def interior_grad(f: Model, alpha: Scalar = 0.5, *, argnums: Argnums = 0) -> Attribution:
    r"""The gradient at one point of the line from the baseline to the input.

    $A_i = \partial_i f\big(x^0 + \alpha (x - x^0)\big)$: what integrated gradients averages.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        alpha: where on the line, a number in [0, 1]; may be traced, so that `jax.vmap` over
            `alpha` gives the gradients along the whole line.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f`, and `baseline=`, that returns a pytree like `x`.

    Raises:
        ValueError: `alpha` is outside [0, 1]; when called, a baseline of another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.interior_grad(lambda x: jnp.sum(x**2), 0.25)(jnp.array([2.0, 4.0]))
        Array([1., 2.], dtype=float32)

    References:
        Sundararajan et al. 2016, Gradients of counterfactuals, arXiv:1611.02639.
    """
    check_real("alpha", alpha, low=0, high=1)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        point = straight_line(jnp.asarray(alpha), x, checked_baseline(baseline, x))
        return lower(jax.grad(score))(point)

    return named(explain, "interior_grad", f)


def convergence_delta(
    f: Model,
    attribution: PyTree,
    *args: Any,
    baseline: PyTree | Scalar | None = None,
    argnums: Argnums = 0,
    **kwargs: Any,
) -> jax.Array:
    r"""By how much an attribution misses completeness: $\sum_i A_i - (f(x) - f(x^0))$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a pytree like `x`.
        *args: the arguments of the call that was explained, `x` among them.
        baseline: the baseline of that call; None for zeros.
        argnums: the argument (or arguments) that were explained.
        **kwargs: further keyword arguments of `f`.

    Returns:
        The residual, an array of shape (), in units of `f`.

    Raises:
        ValueError: the attribution's tree or shapes differ from the input's.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(x**2)
        >>> x = jnp.array([1.0, 2.0])
        >>> jaxplain.convergence_delta(f, jaxplain.input_x_grad(f)(x), x)
        Array(5., dtype=float32)

    Notes:
        Zero is necessary for a right answer, not sufficient: `f(x) / d` everywhere has it too.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    score, x = bind(f, args, kwargs, argnums)
    if jax.tree.map(jnp.shape, attribution) != jax.tree.map(jnp.shape, x):
        raise ValueError(
            f"The attribution ({describe(attribution, 'attribution')}) is not shaped like the "
            f"input ({describe(x)}). A batch is mapped: jax.vmap(lambda a, x: "
            "jaxplain.convergence_delta(f, a, x))(attributions, xs)."
        )
    start, end = widen((score(checked_baseline(baseline, x)), score(x)))
    residual: jax.Array = total(attribution) - (end - start)
    return residual
