"""What flows from the input to the score by way of a layer, along the path of a baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import shielded_baseline
from .._batch import size_for, weighted_sum
from .._call import bind, named
from .._errors import check_choice, check_chunk, check_count
from .._tree import cast_like, map_wide, subtract, total, widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ..gradients._path import straight_line
from ..gradients._quadrature import quadrature
from ..program._cut import cut
from ..program._locate import At, checked_path
from ._layer import checked_index

RULES = ("trapezoid", "left", "right")


def conductance(
    f: Model,
    *,
    at: At,
    steps: int = 50,
    rule: str = "trapezoid",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Conductance of a layer: the part of integrated gradients that flows through each unit.

    $C_j = \int_0^1 \frac{\partial f}{\partial h_j} \frac{d h_j}{d\alpha} d\alpha$ along
    $x^0 + \alpha (x - x^0)$, as a sum of differences of the activation times the gradient. Sums to
    $f(x) - f(x^0)$, less what goes around the layer.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, with globs, as for `cut`; a list of paths for several at once.
        steps: number of intervals of the path; there is one gradient more.
        rule: where the gradient of an interval is taken: `"trapezoid"` (mean of its ends),
            `"left"` or `"right"`.
        chunk: at most this many intervals per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) that the path runs over.
        info: also return an `Info` with `steps`, `evaluations`, `bypass` (what goes around the
            layer) and `residual` (the error of the sum).

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns an attribution like the value at the layer, or
        `(attribution, Info)`.

    Raises:
        ValueError: an option is invalid; when called, if no value has that name, or the baseline
            has another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x @ jnp.array([[1.0, 2.0], [0.0, 1.0]])
        ...     return jnp.sum(h**2)
        >>> jaxplain.conductance(f, at="hidden")(jnp.array([1.0, 1.0])).round(3)
        Array([1., 9.], dtype=float32)

    Notes:
        Unlike with `layer(integrated_grad, at=at)`, the path is the image of the input's, not a
        straight line in the layer. Deep networks of ReLUs need many steps where the path starts at
        zeros: look at `info.residual`. Several layers of a list that follow one another share what
        flows: a unit gets what flows through it and through no later layer of the list.

    References:
        Dhamdhere et al. 2019, How important is a neuron?, arXiv:1805.12233.
    """
    check_count("steps", steps)
    check_choice("rule", rule, RULES)
    check_chunk(chunk)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums)
        start = shielded_baseline(baseline, x)
        bottom, top = cut(score, at=at)
        gradient = jax.grad(top, argnums=(0, 1) if info else (0,))

        def at_node(alpha: jax.Array) -> tuple[PyTree, PyTree]:
            """Where the path is at a node, and the gradient there."""
            point = straight_line(alpha, x, start)
            h = bottom(point)
            return ((h, point) if info else (h,)), gradient(h, point)

        flows = _along(at_node, steps, rule, chunk)
        attribution = cast_like(flows[0], jax.eval_shape(bottom, x))
        if not info:
            return attribution
        end, origin = widen((score(x), score(start)))
        bypass = total(flows[1])
        residual = total(flows[0]) + bypass - (end - origin)
        counts = jnp.asarray(steps), jnp.asarray(steps + 3)
        return attribution, Info(*counts, residual=residual, bypass=bypass)

    return named(explain, "conductance", f)


def _along(
    at_node: Callable[[jax.Array], tuple[PyTree, PyTree]], steps: int, rule: str, chunk: Chunk
) -> PyTree:
    """Gradients times differences of the values, summed over the intervals of [0, 1].

    Intervals of a chunk share their nodes; chunks share none, so that they can follow one another.
    """
    size = size_for(at_node, jnp.arange(steps) / steps, chunk)
    blocks = -(-steps // size)
    # The intervals that fill the last block are empty: they begin and end at 1.
    nodes = np.minimum(np.arange(blocks)[:, None] * size + np.arange(size + 1), steps) / steps

    def block(alphas: jax.Array) -> PyTree:
        values, slopes = jax.vmap(at_node)(alphas)

        def flow(slope: jax.Array, value: jax.Array) -> jax.Array:
            ends = {"left": slope[:-1], "right": slope[1:]}
            weight = ends.get(rule, (slope[:-1] + slope[1:]) / 2)
            return jnp.sum(weight * jnp.diff(value, axis=0), axis=0)

        return map_wide(flow, slopes, values)

    ones = jnp.ones(blocks)
    return weighted_sum(block, jnp.asarray(nodes), ones, chunk=1 if size < steps else None)


def neuron_conductance(
    f: Model,
    *,
    at: str,
    index: Any,
    steps: int = 50,
    rule: str = "gauss_legendre",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Attribution:
    r"""Conductance of a neuron, by input: what flows from each input to the score through it.

    $A_i = (x_i - x^0_i) \int_0^1 \frac{\partial f}{\partial h_j} \frac{\partial h_j}{\partial x_i}
    d\alpha$ along $x^0 + \alpha (x - x^0)$. Summed over all neurons of a layer that nothing goes
    around, it is integrated gradients; summed over the inputs, the neuron's `conductance`.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of one layer, with globs, as for `cut`.
        index: which unit: an integer or a tuple, in the shape of the layer's value; slices and
            `...` mean all units that they pick, together: `(..., 3)` is channel 3.
        steps: number of gradients.
        rule: `"gauss_legendre"`, `"middle"`, `"trapezoid"`, `"left"` or `"right"`.
        chunk: at most this many gradients per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns a pytree like `x`.

    Raises:
        ValueError: an option is invalid; when called, if no value or several have that name, or
            the baseline has another shape than `x`.
        IndexError: when called, if the layer has no such unit.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x @ jnp.array([[1.0, 2.0], [0.0, 1.0]])
        ...     return jnp.sum(h**2)
        >>> jaxplain.neuron_conductance(f, at="hidden", index=1)(jnp.array([1.0, 1.0])).round(3)
        Array([6., 3.], dtype=float32)

    References:
        Dhamdhere et al. 2019, How important is a neuron?, arXiv:1805.12233.
    """
    checked_path(at)
    nodes, weights = quadrature(rule, steps)
    check_chunk(chunk)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        start = shielded_baseline(baseline, x)
        bottom, top = cut(score, at=at)
        layer = jax.eval_shape(bottom, x)
        unit = checked_index(index, layer.shape, at)
        chosen = jnp.zeros(layer.shape, layer.dtype).at[unit].set(1)

        def gradient(alpha: jax.Array) -> PyTree:
            """That of the score by the input, by way of the chosen units alone."""
            point = straight_line(alpha, x, start)
            h, pullback = jax.vjp(bottom, point)
            return pullback(chosen * jax.grad(top)(h, point))[0]

        mean = weighted_sum(gradient, jnp.asarray(nodes), jnp.asarray(weights), chunk=chunk)
        return cast_like(map_wide(jnp.multiply, mean, subtract(x, start)), x)

    return named(explain, "neuron_conductance", f)
