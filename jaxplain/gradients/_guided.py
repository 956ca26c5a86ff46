"""Guided integrated gradients: a path that goes where the gradient is small first."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import checked_baseline
from .._call import bind, named
from .._errors import check_count, check_real
from .._tree import total, wide, widen
from .._types import Argnums, Attribution, Info, Model, PyTree, Scalar
from ..program._lower import lower


def guided_integrated_grad(
    f: Model,
    *,
    steps: int = 200,
    fraction: Scalar = 0.25,
    max_distance: Scalar = 0.02,
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Guided integrated gradients: integrate along a path that avoids steep detours.

    $A = \sum_t \nabla f(x_t) \odot (x_{t+1} - x_t)$. At each step the features whose gradient is
    smallest move on, until the path is $1/\text{steps}$ nearer to the input in $\ell_1$, within a
    band of `max_distance` around the straight line.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        steps: number of gradients, taken one after another.
        fraction: share of the features that move together, in (0, 1].
        max_distance: half width of the band around the straight line, as a share of the way,
            in [0, 1]; 0 is the straight line, 1 leaves the path free.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `steps`, `evaluations` and `residual`.

    Returns:
        A function with the arguments of `f`, and `baseline=`, that returns a pytree like `x`, or
        `(attribution, Info)`.

    Raises:
        ValueError: an option is invalid; when called, a baseline of another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.guided_integrated_grad(lambda x: x[0] * x[1], max_distance=1.0)
        >>> explain(jnp.array([1.0, 2.0])).shape
        (2,)

    Notes:
        The path depends on the gradient, so steps cannot be batched. Its choice is held constant
        when the explanation is differentiated. On networks with kinks the path may run along them,
        and the residual then stays however many steps are taken: look at it with `info=True`.

    References:
        Kapishnikov et al. 2021, Guided integrated gradients, arXiv:2106.09788.
    """
    check_count("steps", steps)
    check_real("fraction", fraction, low=1e-30, high=1)
    check_real("max_distance", max_distance, low=0, high=1)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums)
        start = _flatten(checked_baseline(baseline, x))
        way = _flatten(x) - start
        length = jax.lax.stop_gradient(jnp.abs(way))

        def step(state: tuple[jax.Array, jax.Array], number: jax.Array) -> Any:
            progress, attribution = state
            point = _unflatten(start + progress * way, x)
            gradient = _flatten(lower(jax.grad(score))(point))
            band = _Band.around((number + 1) / steps, max_distance)
            size = jnp.nan_to_num(jax.lax.stop_gradient(jnp.abs(gradient)), nan=jnp.inf)
            moved = _advance(progress, length, size, band, fraction)
            return (moved, attribution + gradient * (moved - progress) * way), None

        state = (jnp.zeros_like(way), jnp.zeros_like(way))
        numbers = jnp.arange(steps, dtype=way.dtype)
        attribution = _unflatten(jax.lax.scan(step, state, numbers)[0][1], x)
        if not info:
            return attribution
        ends = widen((score(_unflatten(start, x)), score(x)))
        residual = total(attribution) - (ends[1] - ends[0])
        return attribution, Info(jnp.asarray(steps), jnp.asarray(steps + 2), residual)

    return named(explain, "guided_integrated_grad", f)


class _Band(NamedTuple):
    """How far a feature must and may be along its way, and where the path is to be on average."""

    low: jax.Array
    high: jax.Array
    target: jax.Array

    @classmethod
    def around(cls, alpha: jax.Array, max_distance: Scalar) -> _Band:
        low = jnp.maximum(alpha - max_distance, 0).astype(alpha.dtype)
        return cls(low, jnp.minimum(alpha + max_distance, 1).astype(alpha.dtype), alpha)


def _advance(
    progress: jax.Array, length: jax.Array, size: jax.Array, band: _Band, fraction: Scalar
) -> jax.Array:
    """Move the features of smallest gradient until the path has covered its share of the way.

    `progress`, `length` and `size` are vectors over features: the share of the way each has gone,
    how long its way is, and how large its gradient.
    """
    goal = jnp.sum(length) * (1 - band.target)  # the distance that may remain
    progress = jnp.maximum(progress, band.low)
    rank = (jnp.asarray(fraction, jnp.float32) * (size.shape[0] - 1)).astype(int)

    def remaining(progress: jax.Array) -> jax.Array:
        return jnp.sum((1 - progress) * length)

    def movable(progress: jax.Array) -> jax.Array:
        return (progress < band.high) & (length > 0)

    def move(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        progress, _ = state
        cost = jnp.where(movable(progress), size, jnp.inf)
        chosen = movable(progress) & (cost <= jnp.sort(cost)[rank])
        reach = jnp.sum(jnp.where(chosen, (band.high - progress) * length, 0))
        share = (remaining(progress) - goal) / reach
        partial = progress + share * (band.high - progress)
        # A full move ends on the band's edge exactly: that is how the loop knows it is spent.
        moved = jnp.where(chosen, jnp.where(share < 1, partial, band.high), progress)
        return moved, (share > 1) & jnp.any(movable(moved))

    unfinished = (remaining(progress) > goal) & jnp.any(movable(progress))
    return jax.lax.while_loop(lambda state: state[1], move, (progress, unfinished))[0]


def _flatten(tree: PyTree) -> jax.Array:
    leaves = jax.tree.leaves(tree)
    dtype = max((wide(leaf.dtype) for leaf in leaves), key=lambda dtype: dtype.itemsize)
    return jnp.concatenate([leaf.ravel().astype(dtype) for leaf in leaves])


def _unflatten(vector: jax.Array, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    parts = jnp.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    shaped = [
        p.reshape(leaf.shape).astype(leaf.dtype) for p, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shaped)
