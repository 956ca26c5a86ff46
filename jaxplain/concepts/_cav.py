"""Concept activation vectors: the direction of a concept in the space of a layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import checked_input, name_of
from .._errors import check_chunk, check_real, is_concrete, warn_unless
from .._keys import checked_key
from .._optax import import_optax
from .._tree import count_examples
from .._types import PyTree, Scalar
from ._examples import Span, check_activation, check_alike, evaluate, span
from ._logistic import WHAT, Fit, fit_logistic

LEAST = 6
"""Fewer examples than these can be told from any others by a line, and tested on too few."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CAV:
    r"""A concept activation vector: the normal of a line between concept and other examples.

    Args:
        direction: $v$, shaped like the activation, of unit length; it points to the concept.
        intercept: $b$, in the layer's units: an activation $a$ is on the concept's side if
            $v \cdot a + b > 0$.
        accuracy: share of held-out examples on their own side, between 0 and 1.
        chance: p-value, the probability that guessing gets as many right.
        sizes: number of concept and other examples that were fitted, and of those held out.
        converged: whether the fit met its tolerance.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> noise = jax.random.normal(jax.random.key(0), (2, 30, 3))
        >>> concept, other = noise[0] + jnp.array([4.0, 0.0, 0.0]), noise[1]
        >>> cav = jaxplain.fit_cav(lambda x: x, concept, other, key=jax.random.key(1))
        >>> cav.sizes, cav.direction.shape, bool(cav.direction[0] > 0.9)
        ((20, 20, 10, 10), (3,), True)
    """

    direction: Any
    intercept: Any
    accuracy: Any
    chance: Any
    sizes: tuple[int, int, int, int] = dataclasses.field(metadata={"static": True})
    converged: Any = True


def fit_cav(
    bottom: Callable[..., jax.Array],
    concept: PyTree,
    random: PyTree,
    *args: Any,
    l2: Scalar = 0.01,
    test_share: float = 1 / 3,
    chunk: int | None = None,
    key: jax.Array,
) -> CAV:
    r"""Fit a concept activation vector: a linear classifier of concept against other examples.

    With activations $a_i$, centred and divided by their root mean square distance $s$ from the
    mean, $z_i = (a_i - \bar a) / s$, and $y_i = \pm 1$: $\min_{w, b} \sum_i c_i \log(1 + e^{-y_i
    (w \cdot z_i + b)}) + \frac{\lambda}{2} |w|^2$, where the weights $c_i$ of either side sum to
    one half. The direction is $v = w / |w|$.

    Args:
        bottom: `bottom(x, *args)` gives one example's activation, a floating array; for instance
            the first half of `jaxplain.cut(f, at=NAME)`.
        concept: examples of the concept, an array (or pytree) with a leading axis.
        random: other examples, likewise; as many as those of the concept, or another number.
        *args: further arguments of `bottom`, the same for all examples.
        l2: the penalty $\lambda$; it has no unit, since $z$ has none.
        test_share: share of either side's examples that is held out to measure the accuracy.
        chunk: at most this many examples' activations are computed at once; None for all of them.
        key: a random key, for the split into fitted and held-out examples.

    Returns:
        A `CAV`.

    Raises:
        ValueError: fewer than 6 examples of either side, examples of different shapes, an option
            that is invalid, or activations that are all the same.
        TypeError: inputs or activations are not floating, or there is no key.
        ImportError: Optax is not installed.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jnp.tanh(x)
        ...     return h.sum()
        >>> bottom, top = jaxplain.cut(f, at="hidden")
        >>> noise = jax.random.normal(jax.random.key(0), (2, 30, 3))
        >>> concept, other = noise[0] + jnp.array([4.0, 0.0, 0.0]), noise[1]
        >>> cav = jaxplain.fit_cav(bottom, concept, other, key=jax.random.key(1))
        >>> float(cav.accuracy) > 0.9, float(cav.chance) < 0.05
        (True, True)

    Notes:
        - One vector from a handful of examples proves little, also when its accuracy is high:
          `tcav` says whether random examples would have given the same.
        - Guessing is guessing the more frequent side of the held-out examples.
        - Mean and distance are those of all examples, held out or not; the labels of the held-out
          ones are not used. The fit equals scikit-learn's `LogisticRegression` on $z$ with
          `C=1/(n * l2)`, n the number of fitted examples, and `class_weight="balanced"`.
        - The fit is a loop that ends when it has converged: it cannot be differentiated backwards.

    References:
        Kim et al. 2018, Interpretability beyond feature attribution: quantitative testing with
        concept activation vectors (TCAV), ICML, arXiv:1711.11279.
    """
    import_optax(WHAT)  # before any work is done
    check_chunk(chunk)
    check_penalty(l2)
    key = checked_key(key, "fit_cav")
    concept, random = checked_input(concept), checked_input(random)
    check_alike(concept, random, "concept", "random")
    sides = concept, random
    counts = count_examples(concept, "concept"), count_examples(random, "random")
    for name, count in zip(("concept", "random"), counts, strict=True):
        check_enough(name, count)
    held = held_out(counts[0], test_share), held_out(counts[1], test_share)
    example = jax.tree.map(lambda leaf: leaf[0], concept)
    shape = jax.eval_shape(bottom, example, *args)
    check_activation(shape, name_of(bottom))

    @jax.jit
    def fit(sides: tuple[PyTree, PyTree], key: jax.Array) -> CAV:
        values = [evaluate(lambda x: bottom(x, *args), side, chunk) for side in sides]
        return _fit(values[0], values[1], held, jnp.asarray(l2, values[0].dtype), key)

    cav: CAV = fit(sides, key)
    if is_concrete(cav.direction) and not jnp.any(cav.direction):
        raise ValueError(
            f"{name_of(bottom)} gives the same activation for all {sum(counts)} examples: there is "
            "no direction in it. Choose another layer."
        )
    warn_unless(cav.converged, UNCONVERGED)
    direction = cav.direction.reshape(shape.shape).astype(shape.dtype)
    return dataclasses.replace(cav, direction=direction)


UNCONVERGED = (
    "A concept activation vector did not converge: the accuracy and direction are rough. A larger "
    "l2, or float64 (jax.config.update('jax_enable_x64', True)), makes the problem easier."
)


def _fit(
    concept: jax.Array, random: jax.Array, held: tuple[int, int], l2: jax.Array, key: jax.Array
) -> CAV:
    count = len(concept)
    activations = jnp.concatenate([concept, random])
    within = span(activations)
    ours, theirs = jax.random.split(key)
    positive = jax.random.permutation(ours, count)
    negative = count + jax.random.permutation(theirs, len(random))
    fit, right = fit_and_test(within, positive, negative, held, l2)

    tested = held[0] + held[1]
    successes = jnp.sum(right)
    primal = (activations - within.mean[None]).T @ (within.basis @ fit.weights)
    # The basis is orthonormal but for rounding: measure the length where it is used.
    length = jnp.linalg.norm(primal)
    inverse = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0)
    return CAV(
        direction=primal * inverse,
        intercept=inverse * (fit.intercept * within.scale - primal @ within.mean),
        accuracy=jnp.mean(right),
        chance=binomial_tail(successes, tested, max(held) / tested, within.scale.dtype),
        sizes=(count - held[0], len(random) - held[1], *held),
        converged=fit.converged,
    )


def fit_and_test(
    within: Span,
    positive: jax.Array,
    negative: jax.Array,
    held: tuple[int, int],
    l2: jax.Array,
) -> tuple[Fit, jax.Array]:
    """Fit on all but the first of each side's indices; whether each of the first is told right."""
    kept = len(positive) - held[0], len(negative) - held[1]
    train = jnp.concatenate([positive[held[0] :], negative[held[1] :]])
    test = jnp.concatenate([positive[: held[0]], negative[: held[1]]])
    dtype = within.features.dtype
    importance = jnp.concatenate([jnp.full(n, 1 / (2 * n), dtype) for n in kept])
    fit = fit_logistic(within.features[train], _signs(kept, dtype), importance, l2)
    margin = within.features[test] @ fit.weights + fit.intercept
    # A margin of exactly zero is half right: constant features tell nothing apart.
    return fit, (1 + jnp.sign(margin * _signs(held, dtype))) / 2


def _signs(counts: tuple[int, int], dtype: Any) -> jax.Array:
    return jnp.concatenate([jnp.full(counts[0], 1, dtype), jnp.full(counts[1], -1, dtype)])


def binomial_tail(successes: jax.Array, trials: int, share: float, dtype: Any) -> jax.Array:
    """The probability of at least so many successes, by the incomplete beta function."""
    k = jnp.floor(successes).astype(dtype)
    some = jnp.maximum(k, 1)
    tail = jax.scipy.special.betainc(some, trials - some + 1, jnp.asarray(share, dtype))
    return jnp.where(k > 0, tail, 1)


def held_out(count: int, test_share: float) -> int:
    """How many of so many examples are held out: at least one, and not more than leave two."""
    if not isinstance(test_share, float) or not 0 < test_share < 1:
        raise ValueError(f"test_share={test_share!r} must be a number between 0 and 1.")
    return min(max(round(count * test_share), 1), count - 2)


def check_penalty(l2: Scalar) -> None:
    check_real("l2", l2, low=0)
    if is_concrete(l2) and not l2 > 0:
        raise ValueError(
            f"l2={l2!r} must be positive: few examples in many dimensions can always be separated, "
            "and without a penalty no separating line is the best."
        )


def check_enough(name: str, count: int) -> None:
    if count < LEAST:
        raise ValueError(
            f"{name} has {count} examples, but at least {LEAST} are needed, some to fit and some "
            "to test; 30 or more are better."
        )
