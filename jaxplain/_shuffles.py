"""Shuffled sequences that keep the counts of all pairs of neighbours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import check_count, is_concrete
from ._keys import checked_key


def dinucleotide_shuffles(x: jax.Array, count: int, *, key: jax.Array) -> jax.Array:
    """Random sequences with the same first letter and the same counts of neighbouring pairs.

    For DNA the usual reference of DeepLIFT: what is left is composition, what is lost are motifs.
    Every sequence with these pairs is equally likely.

    Args:
        x: a one-hot sequence of shape (L, A), L positions of A letters.
        count: how many shuffles to draw.
        key: a `jax.random.key`; shuffle `i` uses `jax.random.fold_in(key, i)`.

    Returns:
        An array of shape (count, L, A), for `deeplift_shap` and `over_baselines`.

    Raises:
        ValueError: `x` is not a one-hot sequence.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> x = jax.nn.one_hot(jnp.array([0, 1, 2, 1, 0, 1, 3]), 4)
        >>> shuffles = jaxplain.baselines.dinucleotide_shuffles(x, 3, key=jax.random.key(0))
        >>> shuffles.shape, shuffles[:, 0].argmax(-1)
        ((3, 7, 4), Array([0, 0, 0], dtype=int32))

    Notes:
        First and last letter stay where they are; a sequence with few repeated pairs has few
        shuffles, or none but itself. Under `jax.vmap` over sequences give one key to each.

    References:
        Altschul and Erickson 1985, Significance of nucleotide sequence alignments: a method for
        random sequence permutation that preserves dinucleotide and codon usage, Mol Biol Evol.
    """
    check_count("count", count)
    key = checked_key(key, "baselines.dinucleotide_shuffles")
    _check_one_hot(x)
    letters = x.shape[-1]
    tokens = jnp.argmax(x, axis=-1)

    def draw(number: jax.Array) -> jax.Array:
        if tokens.shape[0] < 3:
            return tokens
        return _euler_walk(tokens, letters, jax.random.fold_in(key, number))

    return jax.nn.one_hot(jax.vmap(draw)(jnp.arange(count)), letters, dtype=x.dtype)


def _check_one_hot(x: Any) -> None:
    if np.ndim(x) != 2 or min(np.shape(x)) < 1:
        raise ValueError(
            f"dinucleotide_shuffles got shape {np.shape(x)}: give one one-hot sequence of shape "
            "(positions, letters); map over several with jax.vmap."
        )
    if is_concrete(x):
        rows = np.asarray(x)
        if not (((rows == 0) | (rows == 1)).all() and (rows.sum(-1) == 1).all()):
            raise ValueError(
                "dinucleotide_shuffles got a sequence that is not one-hot: each position needs a 1 "
                "for its letter and zeros for all others."
            )


def _euler_walk(tokens: jax.Array, letters: int, key: jax.Array) -> jax.Array:
    """A random walk over all pairs of neighbours, each once: they are edges between letters."""
    sources, targets = tokens[:-1], tokens[1:]
    ends = jnp.cumsum(jnp.bincount(sources, length=letters))
    starts = ends - jnp.bincount(sources, length=letters)

    def ordered(key: jax.Array) -> jax.Array:
        """The edges grouped by source, each group in random order."""
        return jnp.lexsort((jax.random.uniform(key, sources.shape), sources))

    def is_stuck(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Whether a walk in this order would end before all edges are used.

        It does not if the last edges of all letters lead to the last letter.
        """
        order, _ = state
        last = targets[order[jnp.maximum(ends - 1, 0)]]
        goal = tokens[-1]
        place = jnp.arange(letters)
        for _ in range(letters):
            place = jnp.where(place == goal, goal, last[place])
        return jnp.any((place != goal) & (ends > starts))

    def again(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        own, rest = jax.random.split(state[1])
        return ordered(own), rest

    order, _ = jax.lax.while_loop(is_stuck, again, again((jnp.zeros_like(sources), key)))

    def walk(state: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, jax.Array]:
        place, used = state
        following = targets[order[starts[place] + used[place]]]
        return (following, used.at[place].add(1)), following

    initial = (tokens[0], jnp.zeros(letters, starts.dtype))
    _, rest = jax.lax.scan(walk, initial, None, length=sources.shape[0])
    return jnp.concatenate([tokens[:1], rest])
