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
from ..backprop._rule import quotient


def total_indices(
    score: Callable[[jax.Array], jax.Array],
    count: int,
    *,
    designs: int = 64,
    chunk: int | None = None,
) -> jax.Array:
    r"""The total Sobol index of each entry of a mask in $[0, 1]$, by Jansen's estimator.

    $S_i = \frac{1}{2 N V} \sum_n (f(A_n) - f(A^{(i)}_{B,n}))^2$, where $A$ and $B$ are two sets of
    $N$ masks, $A^{(i)}_B$ is $A$ with entry $i$ from $B$, and $V$ is the variance of $f$ over both.
    The indices have shape `(count,)`; they are 0 for a score that varies by no more than rounding.

    `score` takes a mask of shape `(count,)`, in the default dtype. There are `designs * (count +
    2)` evaluations, at most `chunk` of them live at once.
    """
    check_designs(designs)
    masks = jnp.asarray(all_masks(count, designs))
    scores: jax.Array = widen(stack(score, masks, chunk=chunk))
    own, others = scores[: 2 * designs], scores[2 * designs :].reshape(count, designs)
    # Squares are taken of shares of the largest distance: those of tiny scores underflow.
    centred = own - jnp.mean(own)
    scale = jnp.max(jnp.abs(centred))
    variance = jnp.mean(quotient(centred, scale, 0.0) ** 2)
    moved = quotient(own[None, :designs] - others, scale, 0.0)
    indices = quotient(jnp.mean(moved**2, axis=1) / 2, variance, 0.0)
    rounding = 16 * precision(scores.dtype).eps * jnp.max(jnp.abs(own))
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


@functools.lru_cache(maxsize=16)
def all_masks(count: int, designs: int) -> np.ndarray:
    """The masks to evaluate, a row each: those of A, of B, and of A with each column from B."""
    # Slow to import, and most never need it.
    from scipy.stats import qmc  # type: ignore[import-untyped]

    net = qmc.Sobol(2 * count, scramble=False).random(designs)
    # The net's points are the lower corners of the cells that they stand for.
    points = net + 0.5 / designs
    first, second = points[:, :count], points[:, count:]
    exchanged = np.where(np.eye(count, dtype=bool)[:, None], second[None], first[None])
    masks: np.ndarray = np.concatenate([first, second, exchanged.reshape(-1, count)])
    masks.setflags(write=False)
    return masks
