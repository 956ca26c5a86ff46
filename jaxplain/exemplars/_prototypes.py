"""Prototypes: the few examples that stand for the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._errors import check_count
from .._progress import Progress
from .._types import PyTree
from ._greedy import best, repeat, reporter
from ._kernels import Kernel, Rbf
from ._points import Points, column_means, points_of


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Discrepancy:
    r"""How near prototypes come to the data, after each of them.

    Args:
        objective: what the prototypes were chosen to maximise, $J$ of the first 1, 2, ... of them,
            (n,).
        mmd2: the squared maximum mean discrepancy between the data and the first 1, 2, ... of them,
            (n,); 0 where both have the same means, up to rounding.
        gamma: the $\gamma$ of the Gaussian kernel; None for another kernel.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> X = jnp.array([[0.0], [1.0], [5.0]])
        >>> _, info = jaxplain.prototypes(X, 3, info=True)
        >>> abs(float(info.mmd2[-1])) < 1e-6  # the prototypes are all of the data
        True
    """

    objective: Any
    mmd2: Any
    gamma: Any


def prototypes(
    X: PyTree,
    n: int,
    *,
    kernel: Kernel | str | None = None,
    features: Callable[[PyTree], jax.Array] | None = None,
    labels: Any = None,
    chunk: int | None = 1024,
    progress: Progress = None,
    info: bool = False,
) -> Any:
    r"""The few examples that stand for the data: the greedy choice of MMD-critic.

    $J(S) = \frac{2}{N |S|} \sum_{i \le N} \sum_{j \in S} k(x_i, x_j) - \frac{1}{|S|^2} \sum_{i, j
    \in S} k(x_i, x_j)$ is what brings the squared maximum mean discrepancy between the data and the
    prototypes down from the data's own mean similarity. Each step adds the example with the largest
    $J$, all others tried.

    Args:
        X: the examples, an array (N, ...) of which each is taken as a vector, or any pytree with a
            leading axis if `features` are given.
        n: how many prototypes.
        kernel: how alike two vectors are: a symmetric function `(x, y) -> number`, such as
            `jaxplain.rbf_kernel(gamma)`, or `"linear"` or `"cosine"`. None for the Gaussian kernel
            with $\gamma$ one over the median squared distance between (at most 1000) examples.
        features: a function of one example that gives an array, in the space of which examples are
            compared: `jaxplain.cut(f, at=NAME)[0]` for a layer of a network.
        labels: a class for each example, (N,): examples of different classes are then not alike at
            all, and each class gets prototypes of its own, about as many as its share.
        chunk: so many rows of the kernel matrix are in memory at once, and the features of so many
            examples are computed at once; None for all.
        progress: True for a progress bar, or a function that is called with the number of rows of
            the kernel matrix computed so far; in all there are N + n.
        info: also return a `Discrepancy`.

    Returns:
        The places of the prototypes in the data, int32 of shape (n,), in the order in which they
        were chosen; of equal ones the first. With `info` a tuple `(places, Discrepancy)`.

    Raises:
        ValueError: there are fewer than `n` examples, one is not finite, `labels` have another
            length, the kernel is not symmetric or not finite, or the median distance is 0: too many
            examples are the same.
        TypeError: the kernel is not a function that gives a number, or `X` is a pytree and there
            are no `features`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> X = jnp.array([[0.0], [0.1], [0.2], [5.0], [5.1]])
        >>> jaxplain.prototypes(X, 2)  # one for each cluster, the larger one first
        Array([2, 3], dtype=int32)

    Notes:
        - The time is that of N² values of the kernel. Memory beyond the data is `chunk` × N.
        - The first n - 1 of n prototypes are the n - 1 prototypes.
        - What is a prototype depends on the kernel: compare pictures by a layer's features, not by
          pixels. Scale columns of tables that have different units.
        - Distances in more than 16 entries are computed from products. Examples so far out that
          $\gamma |x - \bar x|^2$ is above 10⁴ need 64-bit mode for all digits.
        - Within `jax.jit`, where no error can be raised, places are -1 if anything is not finite.

    References:
        Kim, Khanna and Koyejo 2016, Examples are not enough, learn to criticize! Criticism for
        interpretability, NIPS. Garreau, Jitkrittum and Kanagawa 2018, Large sample analysis of the
        median heuristic, arXiv:1707.07269.
    """
    check_count("n", n)
    points = points_of(X, kernel=kernel, features=features, labels=labels, chunk=chunk)
    rows = len(points.vectors) + n
    report = reporter(progress, "prototypes", rows, X)
    count = len(points.vectors)
    if n > count:
        raise ValueError(f"n={n} prototypes were asked for, but there are {count} examples.")
    means = column_means(points, points, chunk, report)
    zero = jnp.zeros((), means.dtype)
    start = _Chosen(jnp.zeros(count, bool), jnp.zeros_like(means), zero, zero)
    fixed = _Data(points, means, points.diagonal())
    _, (places, objective) = repeat(_add, fixed, start, n, report, count)
    places = jnp.where(jnp.all(jnp.isfinite(means)), places, -1)
    if not info:
        return places
    gamma = points.kernel.gamma if isinstance(points.kernel, Rbf) else None
    return places, Discrepancy(objective, jnp.mean(means) - objective, gamma)


class _Data(NamedTuple):
    points: Points
    means: jax.Array  # (N,): how alike an example is to all of them
    itself: jax.Array  # (N,): and to itself


class _Chosen(NamedTuple):
    taken: jax.Array  # (N,): which examples are prototypes
    likeness: jax.Array  # (N,): the sum over the prototypes of how alike each example is to them
    to_data: jax.Array  # (): the sum of `means` over the prototypes
    within: jax.Array  # (): the sum of the kernel over their pairs


def _add(data: _Data, chosen: _Chosen, t: jax.Array) -> tuple[_Chosen, tuple[Any, Any]]:
    """The example with which J is largest."""
    size = (t + 1).astype(data.means.dtype)
    pairs = 2 * chosen.likeness + data.itself  # what each would add to the sum over pairs
    # J with the example, times the size; what it shares with the others is left out.
    place = best(2 * data.means - pairs / size, chosen.taken)
    to_data, within = chosen.to_data + data.means[place], chosen.within + pairs[place]
    updated = _Chosen(
        chosen.taken.at[place].set(True),
        chosen.likeness + data.points.row(place),
        to_data,
        within,
    )
    return updated, (place, 2 * to_data / size - within / size**2)
