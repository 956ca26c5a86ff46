"""ProtoDash: prototypes, each with the share of the data that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._errors import check_count
from .._progress import Progress
from .._types import PyTree
from ..concepts._nnls import solve_nnls
from ._greedy import best, repeat, reporter
from ._kernels import Kernel
from ._points import Points, column_means, points_of, vectors_of


def protodash(
    X: PyTree,
    n: int,
    *,
    target: PyTree | None = None,
    kernel: Kernel | str | None = None,
    features: Callable[[PyTree], jax.Array] | None = None,
    chunk: int | None = 1024,
    progress: Progress = None,
) -> tuple[jax.Array, jax.Array]:
    r"""Prototypes with weights that say how much of the data each stands for (ProtoDash).

    With $\mu_j$ the mean of $k(x_j, y)$ over the target, $l(w) = w \cdot \mu - \frac12 w \cdot K w$
    is maximised over $w \ge 0$ that are zero except at the prototypes. Each step adds the example
    with the largest $\partial l / \partial w_j$, and finds all weights anew.

    Args:
        X: the examples to choose from, as for `prototypes`.
        n: how many prototypes.
        target: the examples to be represented, if they are others than `X`: those of another time
            or place, or the one class that is to be described by examples of all.
        kernel: as for `prototypes`; by default its width comes from `X`.
        features: as for `prototypes`; of the target too.
        chunk: so many rows of the kernel matrix are in memory at once; None for all.
        progress: True for a progress bar, or a function that is called with the number of rows of
            the kernel matrix computed so far; in all there are N + n.

    Returns:
        `(places, weights)`: the places of the prototypes in `X`, int32 of shape (n,), in the order
        in which they were chosen, and their weights (n,), none of them negative. The weights need
        not sum to one: divide by their sum for shares.

    Raises:
        ValueError: there are fewer than `n` examples, examples of the target have another size, or
            as for `prototypes`.
        TypeError: as for `prototypes`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> X = jnp.array([[0.0], [0.0], [0.0], [9.0]])
        >>> places, weights = jaxplain.protodash(X, 2, kernel=jaxplain.rbf_kernel(1.0))
        >>> places, [round(float(weight), 3) for weight in weights]
        (Array([0, 3], dtype=int32), [0.75, 0.25])

    Notes:
        - A weight of zero says that the prototype is of no use beside the others: there were enough
          without it.
        - The first n - 1 of n prototypes are the n - 1 prototypes, but with other weights.
        - The gradient grows with the length of a vector: a linear kernel prefers long ones.
        - Within `jax.jit`, where no error can be raised, places are -1 if anything is not finite.

    References:
        Gurumoorthy, Dhurandhar, Cecchi and Aggarwal 2019, Efficient data representation by
        selecting prototypes with importance weights, ICDM, arXiv:1707.01212.
    """
    check_count("n", n)
    points = points_of(X, kernel=kernel, features=features, labels=None, chunk=chunk)
    rows = len(points.vectors) + n
    report = reporter(progress, "protodash", rows, X, target)
    count, entries = points.vectors.shape
    if n > count:
        raise ValueError(f"n={n} prototypes were asked for, but there are {count} examples.")
    among = points
    if target is not None:
        vectors = vectors_of(target, features, chunk, "target")
        if vectors.shape[1] != entries:
            raise ValueError(
                f"Examples of the target are vectors of {vectors.shape[1]} entries, but those of X "
                f"have {entries}: give examples of the same kind."
            )
        among = points._replace(vectors=vectors.astype(points.vectors.dtype))
    means = column_means(points, among, chunk, report)
    start = _Chosen(
        jnp.full(n, -1, jnp.int32),
        jnp.zeros(n, means.dtype),
        jnp.zeros(count, bool),
        jnp.zeros((n, count), means.dtype),
    )
    chosen, _ = repeat(_add, _Data(points, means), start, n, report, count)
    places = jnp.where(jnp.all(jnp.isfinite(means)), chosen.places, -1)
    return places, chosen.weights


class _Data(NamedTuple):
    points: Points
    means: jax.Array  # (N,): how alike an example is to the target


class _Chosen(NamedTuple):
    places: jax.Array  # (n,)
    weights: jax.Array  # (n,)
    taken: jax.Array  # (N,)
    rows: jax.Array  # (n, N): how alike each prototype is to all examples


def _add(data: _Data, chosen: _Chosen, t: jax.Array) -> tuple[_Chosen, tuple[()]]:
    """The example with the steepest slope, and then the best weights."""
    explained = jnp.matmul(chosen.weights, chosen.rows, precision="highest")
    place = best(data.means - explained, chosen.taken)
    places = chosen.places.at[t].set(place)
    rows = chosen.rows.at[t].set(data.points.row(place))
    # Rows that are still to come are zero: they get no weight.
    there = jnp.arange(len(places), dtype=t.dtype) <= t
    gram = jnp.where(there[None], rows[:, places], 0)
    products = jnp.where(there, data.means[places], 0)
    weights = solve_nnls(products, gram, chosen.weights)
    return _Chosen(places, weights, chosen.taken.at[place].set(True), rows), ()
