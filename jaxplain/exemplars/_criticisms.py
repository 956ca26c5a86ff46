"""Criticisms: the examples that the prototypes leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_count, is_concrete
from .._progress import Progress
from .._tree import precision
from .._types import PyTree
from ._greedy import best, repeat, reporter
from ._kernels import Kernel
from ._points import Points, column_means, points_of
from ._witness import mean_of, places_of


def criticisms(
    X: PyTree,
    prototypes: Any,
    n: int,
    *,
    kernel: Kernel | str | None = None,
    features: Callable[[PyTree], jax.Array] | None = None,
    labels: Any = None,
    regularize: bool = True,
    chunk: int | None = 1024,
    progress: Progress = None,
) -> jax.Array:
    r"""The examples that the prototypes speak for least, and that differ from each other.

    The greedy maximum of $\sum_{j \in C} |w(x_j)| + \log \det K_C$, with the `witness` $w(x) =
    \frac1N \sum_i k(x_i, x) - \frac{1}{|S|} \sum_{j \in S} k(x_j, x)$ of the prototypes $S$, none
    of which is taken.

    Args:
        X: the examples, as for `prototypes`.
        prototypes: the places of the prototypes in `X`, integers of shape (m,).
        n: how many criticisms.
        kernel: as for `prototypes`; give the same.
        features: as for `prototypes`; give the same.
        labels: as for `prototypes`; give the same.
        regularize: whether to add $\log \det K_C$, which keeps criticisms apart from each other.
        chunk: so many rows of the kernel matrix are in memory at once; None for all.
        progress: True for a progress bar, or a function that is called with the number of rows of
            the kernel matrix computed so far; in all there are N, and n more with `regularize`.

    Returns:
        The places of the criticisms in the data, int32 of shape (n,), in the order in which they
        were chosen; of equal ones the first.

    Raises:
        ValueError: there are fewer than `n` examples beside the prototypes, places are not in the
            data or come twice, $\det K_C$ is 0 for all that is left, or as for `prototypes`.
        TypeError: the prototypes are not integers, or as for `prototypes`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> X = jnp.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [9.0]])
        >>> places = jaxplain.prototypes(X, 2)
        >>> jaxplain.criticisms(X, places, 1)
        Array([6], dtype=int32)

    Notes:
        - The sign of the witness says how a criticism is one: where it is positive the prototypes
          are too few, where it is negative they are too many.
        - Witnesses are small numbers where prototypes are good, and logarithms are not: then the
          determinant decides. `regularize=False` gives the largest witnesses, which may be alike.
        - The kernel matrix of a linear kernel has no larger rank than the vectors have entries: for
          more criticisms take another kernel, or `regularize=False`.
        - Within `jax.jit`, where no error can be raised, places are -1 if anything is not finite,
          and where there is none left.

    References:
        Kim, Khanna and Koyejo 2016, Examples are not enough, learn to criticize! Criticism for
        interpretability, NIPS.
    """
    check_count("n", n)
    points = points_of(X, kernel=kernel, features=features, labels=labels, chunk=chunk)
    rows = len(points.vectors) + (n if regularize else 0)
    report = reporter(progress, "criticisms", rows, X)
    count = len(points.vectors)
    chosen = places_of(prototypes, count)
    if n > count - len(chosen):
        raise ValueError(
            f"n={n} criticisms were asked for, but there are {count - len(chosen)} examples beside "
            f"the {len(chosen)} prototypes."
        )
    means = column_means(points, points, chunk, report)
    strength = jnp.abs(means - mean_of(points, chosen, chunk))
    taken = jnp.zeros(count, bool).at[chosen].set(True)
    if not regularize:
        places = jax.lax.top_k(jnp.where(taken, -jnp.inf, strength), n)[1].astype(jnp.int32)
    else:
        itself = points.diagonal()
        start = _Criticisms(taken, jnp.zeros((n, count), means.dtype), itself)
        _, (places, left) = repeat(_add, _Data(points, strength, itself), start, n, report, count)
        _check_independent(left)
        places = jnp.where(left, places, -1)
    return jnp.where(jnp.all(jnp.isfinite(means)), places, -1)


class _Data(NamedTuple):
    points: Points
    strength: jax.Array  # (N,): the witness of each example, without its sign
    itself: jax.Array  # (N,): how alike each is to itself


class _Criticisms(NamedTuple):
    taken: jax.Array  # (N,): prototypes and criticisms
    factor: jax.Array  # (n, N): the rows of the Cholesky factor, for all that may come next
    apart: jax.Array  # (N,): by what factor each would change the determinant


def _add(data: _Data, chosen: _Criticisms, t: jax.Array) -> tuple[_Criticisms, Any]:
    """The example with which the sum of strengths and the log determinant grow most."""
    rounding = 64 * precision(data.itself.dtype).eps * data.itself
    same = chosen.apart <= rounding
    barred = chosen.taken | same
    gain = data.strength + jnp.log(jnp.where(same, 1, chosen.apart))
    place = best(gain, barred)
    left = ~barred[place]
    root = jnp.sqrt(jnp.where(left, chosen.apart[place], 1))
    shared = jnp.matmul(chosen.factor[:, place], chosen.factor, precision="highest")
    row = (data.points.row(place) - shared) / root
    updated = _Criticisms(
        chosen.taken.at[place].set(True),
        chosen.factor.at[t].set(row),
        jax.nn.relu(chosen.apart - row**2),
    )
    return updated, (place, left)


def _check_independent(left: jax.Array) -> None:
    if is_concrete(left) and not np.asarray(left).all():
        raise ValueError(
            f"Only {int(np.argmin(np.asarray(left)))} criticisms can be told apart by the kernel: "
            "for all others the determinant is 0, as for examples that are the same. Ask for fewer "
            "criticisms, or give regularize=False or another kernel."
        )
