"""Integrated Hessians: how much two elements of the input contribute together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import checked_baseline
from .._batch import nested, stack, weighted_sum
from .._call import Score, bind, named
from .._errors import check_chunk, check_count
from .._tree import subtract, total, widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ._log_quadrature import log_quadrature
from ._path import straight_line


def integrated_hessians(
    f: Model,
    *,
    steps: int = 20,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Integrated gradients of integrated gradients: the interaction of each pair of elements.

    With $\Delta = x - x^0$ and derivatives taken at $x^0 + \alpha \beta \Delta$,

    $\Gamma_{ij} = \Delta_i \Delta_j \int_0^1 \int_0^1 \alpha \beta \, \partial_{ij} f \, d\alpha \,
    d\beta$ for $i \ne j$, and
    $\Gamma_{ii} = \Delta_i \int_0^1 \int_0^1 \partial_i f \, d\alpha \, d\beta + \Delta_i^2
    \int_0^1 \int_0^1 \alpha \beta \, \partial_{ii} f \, d\alpha \, d\beta$.

    The integrands depend on the product $t = \alpha \beta$ only, whose density is $-\ln t$: what is
    computed is $\int_0^1 -\ln t \, (\ldots) \, dt$, by the Gauss quadrature of that density. Row
    $i$ sums to the integrated gradient of $x_i$, and the whole to $f(x) - f(x^0)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example, twice differentiable.
        steps: number of Hessians, each at one point of the line from the baseline to the input.
        chunk: at most this many Hessian-vector products per example are live at once; "auto" for as
            many as run fast, None for all. A Hessian takes as many as `x` has elements.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `steps`, `evaluations` (Hessian-vector products, gradients
            and two scores) and `residual`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns what `jax.hessian` does, or `(interactions, Info)`: for an
        array `x` of shape s an array of shape (*s, *s); for a pytree a pytree like `x`, of pytrees
        like `x`, of arrays with the axes of the first leaf, then those of the second.

    Raises:
        ValueError: an option is invalid; when called, a baseline of another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[1] ** 2
        >>> jaxplain.integrated_hessians(f)(jnp.array([2.0, 3.0])).round(4)
        Array([[ 1.5,  1.5],
               [ 1.5, 10.5]], dtype=float32)

    Notes:
        The entries (i, j) and (j, i) are one interaction, half at each place, and the product of
        two elements leaves a share on the diagonal too: $x_1 x_2$ gives a quarter to each entry of
        the 2 by 2 matrix. A network of ReLUs has no second derivative almost everywhere: all that
        is off the diagonal is zero, and the sums need not hold. Explain it with smooth activations,
        such as `jax.nn.softplus(10 * x) / 10` for `jax.nn.relu(x)`, as the paper does. Functions
        with a `jax.custom_vjp` have no second derivative in JAX, here as in `jax.hessian`. The
        result has as many entries as the square of the elements of `x`: for pictures, explain
        features of a layer (`jaxplain.cut`) or groups of pixels (`jaxplain.shapley_interactions`).

    References:
        Janizek et al. 2021, Explaining explanations: axiomatic feature interactions for deep
        networks, arXiv:2002.04138.
    """
    check_count("steps", steps)
    check_chunk(chunk)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums)
        baseline = checked_baseline(baseline, x)
        size = sum(leaf.size for leaf in jax.tree.leaves(x))
        live, part = nested(chunk, size)

        def at(alpha: jax.Array) -> tuple[PyTree, PyTree]:
            gradient, rows = _second_order(score, straight_line(alpha, x, baseline), part)
            return gradient, jax.tree.map(lambda leaf: alpha.astype(leaf.dtype) * leaf, rows)

        nodes, weights = map(jnp.asarray, log_quadrature(steps))
        gradient, rows = weighted_sum(at, nodes, weights, chunk=live)
        interactions = _pairs(subtract(*widen((x, baseline))), gradient, rows)
        found = jax.tree.map(
            lambda leaf, row: jax.tree.map(lambda pair: pair.astype(leaf.dtype), row),
            x,
            interactions,
        )
        if not info:
            return found
        start, end = widen((score(baseline), score(x)))
        return found, Info(
            steps=jnp.asarray(steps),
            evaluations=jnp.asarray(steps * (size + 1) + 2),
            residual=total(found) - (end - start),
        )

    return named(explain, "integrated_hessians", f)


def _second_order(score: Score, point: PyTree, chunk: Chunk) -> tuple[PyTree, PyTree]:
    """Gradient, and the Hessian's rows: a pytree like the point with a leading axis of elements."""
    gradient, product = jax.linearize(jax.grad(score), point)
    offsets, size = _offsets(point)

    def row(number: jax.Array) -> PyTree:
        def unit(leaf: jax.Array, offset: int) -> jax.Array:
            own = jnp.arange(offset, offset + leaf.size) == number
            return own.astype(leaf.dtype).reshape(leaf.shape)

        return widen(product(jax.tree.map(unit, point, offsets)))

    return widen(gradient), stack(row, jnp.arange(size), chunk=chunk)


def _pairs(difference: PyTree, gradient: PyTree, rows: PyTree) -> PyTree:
    """The interactions of each two leaves, from what is integrated over the line."""
    offsets, _ = _offsets(difference)

    def of_leaf(first: jax.Array, slope: jax.Array, offset: int) -> PyTree:
        def with_leaf(second: jax.Array, row: jax.Array, other: int) -> jax.Array:
            own = row[offset : offset + first.size].reshape(first.size, second.size)
            pair = first.reshape(-1, 1).astype(own.dtype) * own * second.reshape(1, -1)
            if other == offset and first.size == second.size:
                pair = pair + jnp.diag((first * slope).ravel())
            return pair.reshape(*first.shape, *second.shape)

        return jax.tree.map(with_leaf, difference, rows, offsets)

    return jax.tree.map(of_leaf, difference, gradient, offsets)


def _offsets(tree: PyTree) -> tuple[PyTree, int]:
    """Where each leaf begins when all are laid in a row, and how long that is."""
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([leaf.size for leaf in leaves])
    starts = [int(end) - leaf.size for end, leaf in zip(ends, leaves, strict=True)]
    return jax.tree.unflatten(structure, starts), int(ends[-1])
