"""The gradient of a layer, averaged along the path of a baseline."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import shielded_baseline
from .._batch import weighted_sum
from .._call import bind, named
from .._errors import check_chunk
from .._types import Argnums, Attribution, Chunk, Model, PyTree
from ..gradients._path import straight_line
from ..gradients._quadrature import quadrature
from ..program._cut import cut
from ..program._locate import At


def internal_influence(
    f: Model,
    *,
    at: At,
    steps: int = 50,
    rule: str = "gauss_legendre",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Attribution:
    r"""Internal influence: the gradient by a layer, averaged on the way from a baseline.

    $A_j = \int_0^1 \frac{\partial f}{\partial h_j}\big(x^0 + \alpha (x - x^0)\big) \, d\alpha$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, with globs, as for `cut`; a list of paths for several at once.
        steps: number of gradients.
        rule: `"gauss_legendre"`, `"middle"`, `"trapezoid"`, `"left"` or `"right"`.
        chunk: at most this many gradients per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) that the path runs over.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns an attribution like the value at the layer.

    Raises:
        ValueError: an option is invalid; when called, if no value has that name, or the baseline
            has another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 2 * x
        ...     return jnp.sum(h**2)
        >>> jaxplain.internal_influence(f, at="hidden")(jnp.ones(2)).round(4)
        Array([2., 2.], dtype=float32)

    Notes:
        It is not multiplied by the activation: a unit that is off can have influence.

    References:
        Leino et al. 2018, Influence-directed explanations for deep convolutional networks,
        arXiv:1802.03788.
    """
    nodes, weights = quadrature(rule, steps)
    check_chunk(chunk)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        start = shielded_baseline(baseline, x)
        bottom, top = cut(score, at=at)

        def gradient(alpha: jax.Array) -> PyTree:
            point = straight_line(alpha, x, start)
            return jax.grad(top)(bottom(point), point)

        return weighted_sum(gradient, jnp.asarray(nodes), jnp.asarray(weights), chunk=chunk)

    return named(explain, "internal_influence", f)
