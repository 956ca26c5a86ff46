"""Shapley interactions: what two features do together, beyond what each does alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import mean
from .._call import name_of, named
from .._errors import check_choice, check_chunk, check_count
from .._keys import checked_key
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._pairs import (
    Pairs,
    all_values,
    enumerate_sii,
    enumerate_stii,
    sii_evaluations,
    sii_sampler,
    stii_evaluations,
    stii_sampler,
)
from ._precise import estimate

INDICES = ("k-SII", "SII", "STII")
MOST_FEATURES = 20  # about a million evaluations


def shapley_interactions(
    f: Model,
    *,
    index: str = "k-SII",
    samples: int | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""What each pair of features does together, beyond what each of them does alone.

    With $v(S)$ the score of the input in which only the features $S$ are kept and all others are at
    the baseline, and $n$ features, a pair's index is a mean of second differences,
    $I_{ij} = \sum_{S \not\ni i, j} w(|S|) \, [v(S \cup ij) - v(S \cup i) - v(S \cup j) + v(S)]$.
    The result $\Phi$ is a symmetric matrix, features by features:

    - `"SII"`, the Shapley interaction index: $w(s) = s! (n - s - 2)! / (n - 1)!$. $\Phi_{ij} =
      I_{ij}$, and $\Phi_{ii}$ is the Shapley value $\phi_i$. It sums to nothing in particular.
    - `"k-SII"` of order 2, also known as n-Shapley values or SHAP interaction values: the same
      $I_{ij}$, half of it at each of the pair's two places, and $\Phi_{ii} = \phi_i - \frac12
      \sum_{j \ne i} I_{ij}$, what is left of $\phi_i$.
    - `"STII"`, the Shapley-Taylor index of order 2: $w(s) = \frac{2}{n} / \binom{n - 1}{s}$, half
      of $I_{ij}$ at each of the pair's places, and $\Phi_{ii} = v(\{i\}) - v(\emptyset)$.

    In `"k-SII"` and `"STII"` row $i$ sums to the Shapley value $\phi_i$, and the whole matrix to
    $f(x) - f(x^0)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        index: `"k-SII"`, `"SII"` or `"STII"`.
        samples: None to enumerate all $2^n$ coalitions, for at most 20 features; otherwise the
            number of samples of an unbiased estimate. In a sample each pair occurs twice: it has
            `n * (n - 1) - 2` evaluations for `"STII"` (a permutation and its reverse), `2 * n *
            (n - 1)` for the others (`n` permutations). Where enumeration needs no more evaluations
            than that, it takes its place.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        features: how many features there are, for `groups` that are data of the call and traced,
            such as the superpixels of each picture of a batch: then groups are numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `values` (the Shapley values, (features,)), `evaluations`,
            `standard_error` (of the matrix, from the spread of the samples) and `residual` (of the
            Shapley values).

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros), `groups=` (if none were given here) and, with `samples`, `key=`, that returns an
        array of shape (features, features), or `(matrix, Info)`. Features are in the order of the
        elements of `x`, or of the numbers in `groups`. Sample `i` uses `jax.random.fold_in(key,
        i)`.

    Raises:
        ValueError: an option is invalid; when called, more than 20 features without `samples`, or
            whatever `ablation` raises for features and baselines.
        TypeError: when called, without a key although `samples` are drawn, or if `f` is not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> jaxplain.shapley_interactions(f)(jnp.array([2.0, 3.0, 4.0]))
        Array([[0., 3., 0.],
               [3., 0., 0.],
               [0., 0., 4.]], dtype=float32)

    Notes:
        The result is not a pytree like `x`, so it does not go into combinators that multiply by the
        input; `over_baselines` averages it over a set of baselines. Its dtype is the score's, at
        least float32. Interactions of three features and more are not lost: "k-SII" and "STII"
        count them with the pairs. For a choice of k-SII or STII: the first spreads them over pairs
        and single features, the second over pairs only, so its diagonal is what a feature does
        alone. Where `f` is differentiable, `integrated_hessians` needs far fewer evaluations.

    References:
        Grabisch and Roubens 1999, An axiomatic approach to the concept of interaction among
        players in cooperative games. Sundararajan et al. 2020, The Shapley Taylor interaction
        index, arXiv:1902.05622. Bordt and von Luxburg 2023, From Shapley values to generalized
        additive models and back, arXiv:2209.04012. Lundberg et al. 2020, arXiv:1905.04610.
    """
    check_choice("index", index, INDICES)
    check_chunk(chunk)
    if samples is not None:
        check_count("samples", samples, least=2 if info else 1)
    partition = Partition.checked(groups, along, features)

    def explain(
        *args: Any,
        baseline: PyTree | None = None,
        groups: PyTree | None = None,
        key: jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        if samples is not None:
            key = checked_key(key, f"shapley_interactions({name_of(f)})")
        elif key is not None:
            kwargs["key"] = key  # which is then refused, as by all methods that are not random
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        call = _Call(game, index, samples, chunk)
        if key is None or call.few:
            matrix, report = call.enumerate()
        else:
            matrix, report = call.estimate(key, info=info)
        return (matrix, report) if info else matrix

    return named(explain, "shapley_interactions", f, random=samples is not None)


@dataclasses.dataclass(frozen=True)
class _Call:
    """One explanation: the game, and how its pairs are looked at."""

    game: Game
    index: str
    samples: int | None
    chunk: Chunk

    @property
    def few(self) -> bool:
        """Whether there are no more coalitions than an estimate would evaluate."""
        shared, each = self.evaluations
        drawn = shared + (self.samples or 0) * each
        return self.game.count <= MOST_FEATURES and 1 << self.game.count <= drawn

    @property
    def evaluations(self) -> tuple[int, int]:
        """How many the samples of an estimate share, and how many each of them has."""
        counts = stii_evaluations if self.index == "STII" else sii_evaluations
        return counts(self.game.count)

    def enumerate(self) -> tuple[jax.Array, Info | None]:
        count = self.game.count
        if count > MOST_FEATURES:
            raise ValueError(
                f"The input has {count} features, so all coalitions would be 2**{count} "
                f"evaluations; at most {MOST_FEATURES} features are enumerated. Give samples=, "
                "the number of samples of an estimate (and key= in the call), or fewer features "
                "with groups= or along=."
            )
        values = all_values(self.game, self.chunk)
        found = enumerate_stii(values) if self.index == "STII" else enumerate_sii(values)
        matrix = self.matrix(found)
        error = jnp.zeros_like(matrix)
        return matrix, self.report(matrix, values[-1] - values[0], error, len(values))

    def estimate(self, key: jax.Array, *, info: bool) -> tuple[jax.Array, Info | None]:
        sampler = (stii_sampler if self.index == "STII" else sii_sampler)(self.game, self.chunk)

        def sample(number: jax.Array) -> jax.Array:
            return self.matrix(sampler.sample(jax.random.fold_in(key, number)))

        numbers = jnp.arange(self.samples)
        if not info:
            return mean(sample, numbers, chunk=sampler.live), None
        shared, each = self.evaluations
        found = estimate(sample, len(numbers), chunk=sampler.live)
        count = shared + len(numbers) * each
        difference = sampler.full - sampler.empty
        return found.mean, self.report(found.mean, difference, found.standard_error, count)

    def matrix(self, found: Pairs) -> jax.Array:
        """Pairs and players alone in one matrix, as the index has it."""
        pairs, alone = found
        if self.index == "SII":
            return pairs + jnp.diag(alone)
        if self.index == "k-SII":
            alone = alone - jnp.sum(pairs, axis=1) / 2
        return pairs / 2 + jnp.diag(alone)

    def report(
        self, matrix: jax.Array, difference: jax.Array, error: jax.Array, evaluations: int
    ) -> Info:
        values = jnp.diagonal(matrix) if self.index == "SII" else jnp.sum(matrix, axis=1)
        return Info(
            values=values,
            evaluations=jnp.asarray(evaluations),
            residual=jnp.sum(values) - difference,
            standard_error=error,
        )
