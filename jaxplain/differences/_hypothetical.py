"""What the letters that are not there would contribute."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._call import bind_function, name_of, named
from .._keys import needs_key
from .._tree import describe, same_tree
from .._types import Argnums, Attribution, PyTree, Scalar


def hypothetical(attr: Attribution, *, axis: int = -1, argnums: Argnums = 0) -> Attribution:
    r"""Contributions that each letter of a one-hot sequence would have in place of the actual one.

    $H_{lb} = \sum_a m_{la} (\delta_{ab} - x^0_{la})$: the multipliers, applied to the difference
    that letter $b$ at position $l$ would make from the baseline. At the actual letters it is the
    contribution of the position.

    Args:
        attr: an attribution that takes `baseline=` and returns multipliers, such as
            `deeplift(f, multipliers=True)` or `interior_grad(f)`.
        axis: the axis of the letters.
        argnums: the argument (or arguments) that `attr` explains.

    Returns:
        A function with the arguments of `attr`, `baseline=` included, that returns a pytree like
        `x`. `over_baselines` averages it over shuffled sequences.

    Raises:
        TypeError: when called, if `attr` returns anything but a pytree like `x`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> weights = jnp.array([[1.0, 0.0, 0.0, -1.0], [0.0, 2.0, 0.0, 0.0]])
        >>> f = lambda x: jnp.sum(weights * x)
        >>> x = jax.nn.one_hot(jnp.array([0, 2]), 4)
        >>> multipliers = jaxplain.deeplift(f, multipliers=True)
        >>> jaxplain.hypothetical(multipliers)(x, baseline=0.25)
        Array([[ 1. ,  0. ,  0. , -1. ],
               [-0.5,  1.5, -0.5, -0.5]], dtype=float32)

    Notes:
        The multipliers are those of the actual sequence: a letter that would change which units
        are active may do something else altogether.

    References:
        Shrikumar et al. 2018, Technical note on transcription factor motif discovery from
        importance scores (TF-MoDISco), arXiv:1811.00416.
    """

    def explain(*args: Any, baseline: PyTree | Scalar | None = None, **kwargs: Any) -> PyTree:
        function, x = bind_function(attr, args, {**kwargs, "baseline": baseline}, argnums)
        reference = checked_baseline(baseline, x)
        multipliers = function(x)
        if not same_tree(multipliers, x):
            raise TypeError(
                f"hypothetical needs multipliers like x ({describe(x)}), but {name_of(attr)} "
                f"returned {describe(multipliers, 'multipliers')}. Build it without info=True."
            )

        def apply(m: jax.Array, r: jax.Array) -> jax.Array:
            return m - jnp.sum(m * r, axis=axis, keepdims=True)

        return jax.tree.map(apply, multipliers, reference)

    return named(explain, "hypothetical", attr, random=needs_key(attr))
