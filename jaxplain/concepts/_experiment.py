"""One experiment: a concept, its many classifiers, and what random labels would have given.

All of it happens in the coordinates of the examples (see `_examples`), so a fit costs the same in
every layer, and thousands of them are cheap.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._batch import stack
from .._types import Scalar
from ._cav import fit_and_test, held_out
from ._examples import Span, project, span
from ._significance import middle, permutation_p_value, welch_p_value

STATISTICS = {"magnitude": "derivatives", "sign": "scores"}
"""What can be tested, and where it stands in `Trials`."""


class Draws(NamedTuple):
    """Which examples stand on either side of each fit: indices, one row for each."""

    positive: jax.Array  # (fits, size)
    negative: jax.Array  # (fits, size)


class Trials(NamedTuple):
    """What the fits gave, each (fits,)."""

    scores: jax.Array  # shares of inputs whose score rises towards the concept
    derivatives: jax.Array  # mean derivatives, times the layer's scale
    accuracies: jax.Array
    converged: jax.Array


class Experiment(NamedTuple):
    """All that the scores of any concept vector depend on, in the coordinates of the examples."""

    within: Span
    slopes: jax.Array  # (k, n): derivatives of the score along the basis, for each input
    l2: jax.Array
    held: int  # examples held out on either side

    def trial(self, draw: Draws) -> Trials:
        """Fit one vector, and score it; the derivative along it is a product, for each input."""
        sides = draw.positive, draw.negative
        fit, right = fit_and_test(self.within, *sides, (self.held, self.held), self.l2)
        length = jnp.linalg.norm(fit.weights)
        derivatives = self.slopes @ (fit.weights / jnp.where(length > 0, length, 1))
        return Trials(
            scores=jnp.clip((1 + jnp.mean(jnp.sign(derivatives))) / 2, 0, 1),
            derivatives=self.within.scale * jnp.mean(derivatives),
            accuracies=jnp.mean(right),
            converged=fit.converged,
        )


def draw_all(
    key: jax.Array, count: int, *, size: int, repeats: int, permutations: int
) -> tuple[Draws, Draws, Draws]:
    """The concept (the first `size` examples), the random labelings, and random against random.

    Every labeling draws counterparts and splits of its own, in the way in which the observed one
    does: given the examples, the labelings are then independent and distributed alike.
    """
    labels, split, counterparts, others = jax.random.split(key, 4)
    identity = jnp.arange(count)[None]
    orders = jnp.concatenate([identity, shuffles(labels, (permutations, count))])[:, None]
    runs = 1 + permutations, repeats
    own = shuffles(split, (*runs, size))
    rest = size + shuffles(counterparts, (*runs, count - size))[..., :size]
    positive = jnp.take_along_axis(orders, own, axis=-1)
    negative = jnp.take_along_axis(orders, rest, axis=-1)
    control = size + shuffles(others, (repeats, count - size))
    permuted = Draws(positive[1:].reshape(-1, size), negative[1:].reshape(-1, size))
    pair = Draws(control[:, :size], control[:, size : 2 * size])
    return Draws(positive[0], negative[0]), permuted, pair


def shuffles(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random orders of the last axis; one sort, which compiles faster than many permutations."""
    return jnp.argsort(jax.random.bits(key, shape), axis=-1)


class Options(NamedTuple):
    repeats: int
    permutations: int
    l2: Scalar
    test_share: float
    statistic: str
    batch: int


def measure(
    gradients: jax.Array, own: jax.Array, others: jax.Array, key: jax.Array, options: Options
) -> dict[str, jax.Array]:
    """All about one concept, from activations `(n, d)` and gradients `(k, d)`."""
    l2 = jnp.asarray(options.l2, own.dtype)
    rest = options._replace(l2=None)
    return _measured(gradients, own, others, key, l2, rest)  # type: ignore[no-any-return]


def compute(
    gradients: jax.Array,
    own: jax.Array,
    others: jax.Array,
    key: jax.Array,
    l2: jax.Array,
    options: Options,
) -> dict[str, jax.Array]:
    """As `measure`, not compiled."""
    size, repeats = len(own), options.repeats
    together = jnp.concatenate([own, others])
    within = span(together)
    held = held_out(size, options.test_share)
    experiment = Experiment(within, project(gradients, together, within), l2, held)
    draws = draw_all(
        key, len(together), size=size, repeats=repeats, permutations=options.permutations
    )
    # One program for all fits: it is compiled once.
    every = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *draws)
    trials: Trials = stack(experiment.trial, every, chunk=options.batch)

    observed = jax.tree.map(lambda leaf: leaf[:repeats], trials)
    control = jax.tree.map(lambda leaf: leaf[-repeats:], trials)
    permuted = jax.tree.map(lambda leaf: leaf[repeats:-repeats].reshape(-1, repeats), trials)

    name, centre = STATISTICS[options.statistic], middle(options.statistic)
    tested, null = getattr(observed, name), jnp.mean(getattr(permuted, name), axis=-1)
    guessed = jnp.mean(permuted.accuracies, axis=-1)
    distance = jnp.abs(jnp.mean(tested) - centre)
    return {
        "scores": observed.scores,
        "derivatives": observed.derivatives,
        "accuracies": observed.accuracies,
        "p": permutation_p_value(distance, jnp.abs(null - centre)),
        "p_accuracy": permutation_p_value(jnp.mean(observed.accuracies), guessed),
        "p_t_test": welch_p_value(tested, getattr(control, name)),
        "permuted": null,
        "permuted_accuracies": guessed,
        "control": getattr(control, name),
        "converged": jnp.mean(trials.converged.astype(own.dtype)),
    }


_measured = jax.jit(compute, static_argnames="options")
