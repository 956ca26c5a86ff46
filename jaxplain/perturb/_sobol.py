"""Total Sobol indices: in what share of a score's variance each of its arguments has part."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._errors import check_count
from .._tree import precision, widen
from .._types import Chunk
from ..backprop._rule import quotient


def total_indices(
    score: Callable[[jax.Array], jax.Array],
    count: int,
    *,
    designs: int = 64,
    chunk: Chunk = "auto",
) -> jax.Array:
    r"""The total Sobol index of each entry of a mask in $[0, 1]$, by Jansen's estimator.

    $S_i = \frac{1}{2 N V} \sum_n (f(A_n) - f(A^{(i)}_{B,n}))^2$, where $A$ and $B$ are two sets of
    $N$ masks, $A^{(i)}_B$ is $A$ with entry $i$ from $B$, and $V$ is the variance of $f$ over both.
    The indices have shape `(count,)`; they are 0 for a score that varies by no more than rounding.

    `score` takes a mask of shape `(count,)`, in the default dtype. There are `designs * (count +
    2)` evaluations, at most `chunk` of them live at once.
    """
    check_designs(designs)
    first, second = (jnp.asarray(points) for points in designs_of(count, designs))
    places = jnp.arange(count, dtype=jnp.int32)

    # Blocks of masks follow one another: those of A, of B, and of A with each entry from B.
    def masked(number: jax.Array) -> jax.Array:
        block, row = number // designs, number % designs
        exchanged = (block == 1) | (places == block - 2)
        return score(jnp.where(exchanged, second[row], first[row]))

    numbers = jnp.arange(designs * (count + 2), dtype=jnp.int32)
    scores: jax.Array = widen(stack(masked, numbers, chunk=chunk))
    own, others = scores[: 2 * designs], scores[2 * designs :].reshape(count, designs)
    # Squares are taken of shares of the largest distance: those of tiny scores underflow. Which
    # distance that is makes no difference to the indices, so nor does its derivative.
    centred = own - jnp.mean(own)
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(centred)))
    variance = jnp.mean(quotient(centred, scale, 0.0) ** 2)
    moved = quotient(own[None, :designs] - others, scale, 0.0)
    indices = quotient(jnp.mean(moved**2, axis=1) / 2, variance, 0.0)
    rounding = 16 * precision(scores.dtype).eps * jax.lax.stop_gradient(jnp.max(jnp.abs(own)))
    return jnp.where(scale > rounding, indices, jnp.where(jnp.isnan(scale), scale, 0))


def check_designs(designs: int) -> None:
    """Raise unless the points of a design can be spread evenly."""
    check_count("designs", designs, least=2)
    if designs & (designs - 1):
        above = 2 ** int(designs).bit_length()
        raise ValueError(
            f"designs={designs!r} is not a power of two, but only so many Sobol' points are spread "
            f"evenly: give {above // 2} or {above}."
        )


def check_exchanged(count: int, designs: int) -> None:
    """Raise if a feature is the same in both sets of masks, where its index would be 0."""

    def same(designs: int) -> int:
        first, second = designs_of(count, designs)
        return int(np.sum(np.all(first == second, axis=0)))

    if stuck := same(designs):
        enough = designs
        while same(enough):
            enough *= 2
        raise ValueError(
            f"designs={designs} is too few for {count} features: {stuck} of them would be the same "
            f"in both sets of masks, and get the index 0 whatever they do. Give at least {enough}."
        )


@functools.lru_cache(maxsize=16)
def designs_of(count: int, designs: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of masks, a row each, that are spread evenly together."""
    # Slow to import, and most never need it.
    from scipy.stats import qmc

    if 2 * count > qmc.Sobol.MAXDIM:
        raise ValueError(
            f"Sobol' points have at most {qmc.Sobol.MAXDIM} coordinates, two for each of "
            f"{qmc.Sobol.MAXDIM // 2} features, but there are {count} features: make them larger, "
            "with groups=, along= or a coarser grid."
        )
    net = qmc.Sobol(2 * count, scramble=False).random(designs)
    # The net's points are the lower corners of the cells that they stand for.
    points: np.ndarray = net + 0.5 / designs
    points.setflags(write=False)
    return points[:, :count], points[:, count:]
