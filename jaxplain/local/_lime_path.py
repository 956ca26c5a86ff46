"""How simple a local model may be: its number of features against its fidelity."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from .._call import named
from .._errors import check_real
from .._types import Attribution, Model
from ._lime import lime


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LimePath:
    r"""Local models of one input, from simple to faithful.

    Args:
        penalties: of the lasso, (penalties,).
        values: coefficients of each model, (penalties, features).
        complexity: $\Omega$, how many coefficients are not zero, (penalties,).
        fidelity: the weighted R² of each model on the samples, (penalties,).

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: 3 * x[0] - x[1]
        >>> path = jaxplain.lime_path(f, jnp.array([1.0, 0.0]), samples=64)
        >>> path(jnp.ones(2), key=jax.random.key(0)).complexity.shape
        (2,)
    """

    penalties: jax.Array
    values: jax.Array
    complexity: jax.Array
    fidelity: jax.Array


def lime_path(f: Model, penalties: Any, **options: Any) -> Attribution:
    """The lasso's local models for several penalties, on the same samples: the model runs once.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        penalties: of the lasso, (penalties,); the larger, the fewer features.
        **options: those of `jaxplain.lime`, except `solver`, `penalty` and `info`.

    Returns:
        A function with the arguments of `lime(f)` that returns a `LimePath`.

    Raises:
        ValueError: an option is invalid, or `penalties` is not a vector of numbers from 0.
        TypeError: `options` holds one of those that the path sets.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: 3 * x[0] - x[1] + 0.1 * x[2]
        >>> path = jax.jit(jaxplain.lime_path(f, jnp.array([0.5, 0.1, 0.0]), samples=200))
        >>> path(jnp.ones(3), key=jax.random.key(0)).complexity
        Array([1, 2, 3], dtype=int32)

    References:
        Ribeiro et al. 2016, arXiv:1602.04938 (fidelity against complexity).
    """
    if taken := {"solver", "penalty", "info"} & set(options):
        raise TypeError(f"lime_path sets {', '.join(sorted(taken))} itself: leave it out.")
    grid = jnp.asarray(penalties)
    if grid.ndim != 1 or not jnp.issubdtype(grid.dtype, jnp.floating):
        raise ValueError(
            f"penalties has shape {grid.shape} and dtype {grid.dtype}: give a vector of numbers."
        )
    check_real("penalties", penalties, low=0)

    def explain(*args: Any, **kwargs: Any) -> LimePath:
        def fit(penalty: jax.Array) -> tuple[jax.Array, jax.Array]:
            model = lime(f, solver="lasso", penalty=penalty, info=True, **options)
            info = model(*args, **kwargs)[1]
            return info.values, info.fidelity

        values, fidelity = jax.vmap(fit)(grid)
        return LimePath(grid, values, jnp.sum(values != 0, axis=1), fidelity)

    lime(f, solver="lasso", info=True, **options)  # options are checked here, not at the call
    return named(explain, "lime_path", f, random=True, baseline="one")
