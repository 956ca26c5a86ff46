"""How the score changes as a layer moves towards a concept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, named
from .._tree import describe
from .._types import Model, PyTree
from ..program._cut import cut
from ._cav import CAV


def concept_sensitivity(f: Model, at: str, direction: CAV | jax.Array) -> Callable[..., jax.Array]:
    r"""Differentiate the score along a direction of a layer.

    $S_v(x) = \lim_{\epsilon \to 0} \frac{g(h + \epsilon v) - g(h)}{\epsilon} = \nabla g(h) \cdot
    v$, where $h$ is the layer's value at $x$ and $g$ is what follows from it.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of the layer, as for `cut`.
        direction: $v$: a `CAV`, or an array shaped like the layer's value.

    Returns:
        A function with the arguments of `f` that returns a number of shape (), in units of `f` by
        units of the layer. It is positive if more of the concept raises the score.

    Raises:
        ValueError: when called, if no value or several have that name, or `direction` has another
            shape.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 2 * x
        ...     return jnp.sum(h**2)
        >>> sensitivity = jaxplain.concept_sensitivity(f, "hidden", jnp.array([1.0, 0.0]))
        >>> sensitivity(jnp.array([3.0, 5.0]))
        Array(12., dtype=float32)

    Notes:
        Ways around the layer, residual connections for instance, are held as they are.

    References:
        Kim et al. 2018, Interpretability beyond feature attribution: quantitative testing with
        concept activation vectors (TCAV), ICML, arXiv:1711.11279.
    """
    given = direction.direction if isinstance(direction, CAV) else direction

    def sensitivity(*args: Any, **kwargs: Any) -> jax.Array:
        h, above = above_layer(f, at, args, kwargs)
        along = jnp.asarray(given)
        if along.shape != h.shape or not jnp.issubdtype(along.dtype, jnp.floating):
            raise ValueError(
                f"direction is {describe(along, 'direction')}, but the value at '{at}' is "
                f"{describe(h, 'h')}: give a floating array of that shape."
            )
        slope: jax.Array = jax.jvp(above, (h,), (along.astype(h.dtype),))[1]
        return slope

    return named(sensitivity, "concept_sensitivity", f)


def above_layer(
    f: Model, at: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """The layer's value in a call of `f`, and the score as a function of it alone."""
    score, x = bind(f, args, kwargs, 0)
    bottom, top = cut(score, at=at)
    h = bottom(x)
    if not jnp.issubdtype(h.dtype, jnp.floating):
        raise TypeError(
            f"The value at '{at}' has dtype {h.dtype}: only floating-point values have directions. "
            "Choose another layer."
        )

    def above(h: PyTree) -> jax.Array:
        value: jax.Array = top(h, x)
        return value

    return h, above
