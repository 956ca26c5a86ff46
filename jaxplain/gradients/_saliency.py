"""The plain gradient, and products with the input."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, bind_function, name_of, named
from .._keys import needs_key
from .._tree import cast_like, describe, map_wide, same_tree
from .._types import Argnums, Attribution, Model, PyTree
from ..program._lower import lower


def saliency(f: Model, *, absolute: bool = False, argnums: Argnums = 0) -> Attribution:
    r"""The gradient of the score with respect to the input, or its absolute value.

    $A_i = \partial f / \partial x_i$, or $|\partial f / \partial x_i|$ with `absolute=True`.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        absolute: drop the sign.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a pytree like `x`.

    Raises:
        TypeError: when called, if `f` is not scalar or `x` is not floating.
        ValueError: when called, if `x` holds NaN or infinity.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.saliency(lambda x: x[0] - 2 * x[1], absolute=True)
        >>> explain(jnp.ones(2))
        Array([1., 2.], dtype=float32)

    Notes:
        A gradient says what would change the score, not what made it: it vanishes where the model
        saturates and does not sum to anything.

    References:
        Simonyan et al. 2014, Deep inside convolutional networks, arXiv:1312.6034.
    """

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        gradient = lower(jax.grad(score))(x)
        return jax.tree.map(jnp.abs, gradient) if absolute else gradient

    return named(explain, "saliency", f)


def input_x_grad(f: Model, *, argnums: Argnums = 0) -> Attribution:
    r"""The gradient times the input: $A_i = x_i \, \partial f / \partial x_i$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a pytree like `x`.

    Raises:
        TypeError: when called, if `f` is not scalar or `x` is not floating.
        ValueError: when called, if `x` holds NaN or infinity.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.input_x_grad(lambda x: x[0] - 2 * x[1])
        >>> explain(jnp.array([3.0, 4.0]))
        Array([ 3., -8.], dtype=float32)

    Notes:
        Sums to `f(x)` for a piecewise linear model without biases. It depends on where zero is:
        a black pixel gets nothing, however much it mattered.

    References:
        Shrikumar et al. 2016, Not just a black box, arXiv:1605.01713.
    """
    return named(times_input(saliency(f, argnums=argnums), argnums=argnums), "input_x_grad", f)


def times_input(attr: Attribution, *, argnums: Argnums = 0) -> Attribution:
    r"""Multiply any attribution by the input: $A'_i = x_i A_i$.

    Args:
        attr: any function of `x` that returns a pytree like `x`: `jax.grad(f)`, `smooth(...)`.
        argnums: the argument (or arguments) that `attr` explains.

    Returns:
        A function with the same arguments as `attr`.

    Raises:
        TypeError: when called, if `attr` returns anything but a pytree like `x`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> jaxplain.times_input(jax.grad(lambda x: jnp.sum(x**2)))(jnp.array([1.0, 2.0]))
        Array([2., 8.], dtype=float32)
    """

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        function, x = bind_function(attr, args, kwargs, argnums)
        attribution = function(x)
        shapes = [leaf.shape for leaf in jax.tree.leaves(x)]
        given = [jnp.shape(leaf) for leaf in jax.tree.leaves(attribution)]
        if not same_tree(attribution, x) or given != shapes:
            raise TypeError(
                f"times_input multiplies by x ({describe(x)}), but {name_of(attr)} returned "
                f"{describe(attribution, 'attribution')}. Give it an attribution built without "
                "info=True, such as jax.grad(f)."
            )
        return cast_like(map_wide(jnp.multiply, attribution, x), x)

    return named(explain, "times_input", attr, random=needs_key(attr))
