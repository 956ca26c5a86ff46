"""Sensitivity-n: faithfulness to random subsets of one size, for several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_chunk, check_count
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Partition
from ._correlation import pearson
from ._curves import Curve
from ._faithfulness import check_subset, claims_and_drops, subset_of
from ._subjects import Attributions, Call, Subject

LARGEST = 0.8  # of all features: larger subsets are much alike
SIZES = 16


def sensitivity_n(
    f: Model,
    attribution: Attributions,
    *,
    sizes: Sequence[int] | None = None,
    samples: int = 100,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How well the relevance of random subsets goes with what they are worth, size by size.

    $\mathrm{corr}_{|S| = n} \left( \sum_{i \in S} A_i,\; f(x) - f(x_{S \leftarrow x^0}) \right)$,
    the correlation of Pearson. An explanation has the property of sensitivity-$n$ if both are the
    same for all $S$; then the curve is 1 at $n$.

    Args:
        f: as for `faithfulness_correlation`.
        attribution: as for `faithfulness_correlation`.
        sizes: the sizes `n`, whole numbers from 1 to all features but one; None for up to 16 of
            them from 1 to 80 % of the features, evenly spaced in their logarithm.
        samples: how many subsets are drawn of each size, at least 2.
        groups: as for `faithfulness_correlation`.
        along: as for `faithfulness_correlation`.
        features: as for `faithfulness_correlation`.
        chunk: as for `faithfulness_correlation`.
        argnums: as for `faithfulness_correlation`.

    Returns:
        A function as that of `faithfulness_correlation`, of a `Curve`: the sizes as shares of all
        features, (sizes,), and the correlation at each, from -1 to 1, (sizes,). Subset `i` of size
        `n` uses `fold_in(fold_in(key, n), i)`, whatever the other sizes.

    Raises:
        ValueError: an option is invalid; when called, an attribution is not like the input, or has
            too few features for the subsets.
        TypeError: when called, without a key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0, 0.0])
        >>> measure = evaluate.sensitivity_n(f, jax.grad(f), sizes=(1, 2, 3))
        >>> curve = measure(jnp.ones(4), key=jax.random.key(0))
        >>> curve.shares, curve.scores.round(3)
        (Array([0.25, 0.5 , 0.75], dtype=float32), Array([1., 1., 1.], dtype=float32))

    Notes:
        `sizes * samples` evaluations, the same ones for all attributions. A linear model's
        contributions reach 1 at all sizes; explanations of other models mostly trade small sizes
        for large ones. All features at once are one subset only: that is `completeness`. The
        correlation with a constant is 0. Subsets of one size are drawn at random, as in the paper;
        a single run through the features by their relevance, as in Quantus, is another quantity.

    References:
        Ancona, Ceolini, Öztireli and Gross 2018, Towards better understanding of gradient-based
        attribution methods for deep neural networks, arXiv:1711.06104.
    """
    if sizes is not None:
        sizes = _checked_sizes(sizes)
    check_count("samples", samples, least=2)
    check_chunk(chunk)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> Curve:
        count = subject.game.count
        chosen = np.asarray(default_sizes(count) if sizes is None else sizes, np.int32)
        check_subset("sizes", int(np.max(chosen)), count)

        def draw(node: tuple[jax.Array, jax.Array]) -> jax.Array:
            size, number = node
            return subset_of(jax.random.fold_in(jax.random.fold_in(key, size), number), count, size)

        numbers = np.tile(np.arange(samples, dtype=np.int32), len(chosen))
        nodes = (jnp.asarray(np.repeat(chosen, samples)), jnp.asarray(numbers))
        claims, drops = claims_and_drops(subject, draw, nodes, chunk)
        scores = jax.vmap(pearson)(claims.reshape(-1, samples), drops.reshape(-1, samples))
        return Curve(jnp.asarray(chosen / count, scores.dtype), scores)

    return call.metric(f, attribution, measure, name="sensitivity_n", random=True)


def default_sizes(count: int) -> list[int]:
    """Sizes from 1 to most of `count` features, each once, even on a logarithmic scale."""
    spaced = np.geomspace(1, max(LARGEST * count, 1), SIZES)
    return sorted({int(size) for size in np.round(spaced)})


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(sizes, Sequence | np.ndarray) or not len(sizes):
        raise ValueError(f"sizes={sizes!r}: give the sizes of subsets, such as sizes=(1, 2, 4, 8).")
    for size in sizes:
        check_count("sizes", size)
    return tuple(int(size) for size in sizes)
