"""Coalitions of features as bits: enumerated, drawn at random, and the design of kernel SHAP."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

WORD = 32  # bits of an integer that holds members


def unpack(words: jax.Array, count: int) -> jax.Array:
    """The mask, of shape (count,), whose bits are in `words`, lowest first."""
    shifts = jnp.arange(WORD, dtype=jnp.uint32)
    bits: jax.Array = (words[..., None] >> shifts.reshape(*(1,) * words.ndim, WORD)) & jnp.uint32(1)
    return bits.reshape(*words.shape[:-1], -1)[..., :count].astype(bool)


def pack(mask: jax.Array) -> jax.Array:
    """The bits of a mask as words; those beyond its end are zero."""
    padded = jnp.pad(mask, (0, -len(mask) % WORD)).reshape(-1, WORD)
    places = jnp.arange(WORD, dtype=jnp.uint32)[None]
    return jnp.sum(padded.astype(jnp.uint32) << places, axis=1, dtype=jnp.uint32)


def random_subset(uniform: jax.Array, size: jax.Array) -> jax.Array:
    """A subset of `size` members, all as likely, from a number in [0, 1) for each who may join.

    One after the other joins with the share of the free places among those who are still to come:
    far cheaper than sorting.
    """
    count = len(uniform)
    to_come = np.arange(count, 0, -1).astype(np.float32)

    def ask(
        places: jax.Array, candidate: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        number, others = candidate
        joins = number * others < places
        return places - joins.astype(places.dtype), joins

    free = size.astype(uniform.dtype)
    return jax.lax.scan(ask, free, (uniform, jnp.asarray(to_come, uniform.dtype)))[1]


def half_of_subsets(count: int, size: int) -> np.ndarray:
    """Words of one of each pair of a subset of `size` features and its complement, a row each."""
    if 2 * size == count:  # the complement has as many: keep the one with the first feature
        rest = itertools.combinations(range(1, count), size - 1)
        members = itertools.chain.from_iterable((0, *others) for others in rest)
    else:
        members = itertools.chain.from_iterable(itertools.combinations(range(count), size))
    rows = np.fromiter(members, np.int64).reshape(-1, size)
    masks = np.zeros((len(rows), count + -count % WORD), bool)
    np.put_along_axis(masks, rows, True, axis=1)
    words: np.ndarray = np.packbits(masks, axis=1, bitorder="little").view("<u4").astype(np.uint32)
    return words


def pairs_of(count: int, size: int | None = None) -> int:
    """How many pairs of complementary coalitions there are, without the empty and the full one."""
    if size is None:
        return 2 ** (count - 1) - 1 if count else 0
    return math.comb(count, size) // (2 if 2 * size == count else 1)


@dataclasses.dataclass(frozen=True)
class Design:
    """Which pairs of complementary coalitions are evaluated.

    `words` are the enumerated ones and `weights` their shares of the kernel; `sampled` pairs are
    drawn, which have the share `left` together. Their smaller coalition has `smallest` features or
    more: `chances[k]` is the probability that it has at most k more.
    """

    count: int
    words: np.ndarray
    weights: np.ndarray
    sampled: int
    left: float
    smallest: int
    chances: np.ndarray

    def draw(self, key: jax.Array, number: jax.Array) -> jax.Array:
        """The words of the smaller coalition of sampled pair `number`."""
        numbers = jax.random.uniform(
            jax.random.fold_in(key, number), (self.count + 1,), jnp.float32
        )
        above = jnp.sum(numbers[0] >= jnp.asarray(self.chances[:-1], jnp.float32))
        return pack(random_subset(numbers[1:], self.smallest + above))


def least_pairs(count: int) -> int:
    """So many pairs determine the values: each feature alone, and two to tell the noise."""
    return min(pairs_of(count), count + 2)


@functools.lru_cache(maxsize=8)
def kernel_design(count: int, pairs: int) -> Design:
    r"""Enumerate the sizes of most weight, as long as sampling would give as many; sample the rest.

    The Shapley kernel gives all coalitions of s of M features a share proportional to
    $1 / (s (M - s))$.
    """
    most = count // 2
    shares = np.array(
        [(1 if 2 * s == count else 2) / (s * (count - s)) for s in range(1, most + 1)]
    )
    shares = shares / np.sum(shares) if most else shares
    words, weights = [np.zeros((0, -(-count // WORD)), np.uint32)], [np.zeros(0)]
    left, size = pairs, 1
    while size <= most and _enumerate(count, size, left, shares, pairs):
        words.append(half_of_subsets(count, size))
        weights.append(np.full(len(words[-1]), shares[size - 1] / len(words[-1])))
        left, size = left - len(words[-1]), size + 1
    rest = shares[size - 1 :]
    return Design(
        count=count,
        words=np.concatenate(words),
        weights=np.concatenate(weights),
        sampled=left if len(rest) else 0,
        left=float(np.sum(rest)),
        smallest=size,
        chances=np.cumsum(rest) / np.sum(rest) if len(rest) else rest,
    )


def _enumerate(count: int, size: int, left: int, shares: np.ndarray, pairs: int) -> bool:
    """Whether all coalitions of a size are evaluated, with `left` pairs to spend."""
    number = pairs_of(count, size)
    # What remains is sampled, and the noise of one draw is unknown.
    if left - number < (0 if size == len(shares) else 2):
        return False
    expected = left * float(shares[size - 1] / np.sum(shares[size - 1 :]))
    # Features that are never apart cannot be told apart: few draws may leave some together.
    scarce = size == 1 and pairs < max(2 * count, 100)
    return scarce or expected >= number * (1 - 1e-9)
