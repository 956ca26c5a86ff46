"""Sensitivity (a) and (b): what the score depends on gets relevance, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._batch import stack
from .._call import Score, named
from .._errors import check_chunk, check_real
from .._keys import needs_key
from .._tree import widen
from .._types import Argnums, Chunk, Model, PyTree, Scalar
from ..perturb._features import Partition
from ..perturb._game import Game
from ._norms import ratio, unless_nan
from ._subjects import Attributions, Call, Explain, Subject, methods_of, of_methods, relevance_of


def sensitivity_a(
    f: Model,
    attribution: Attributions,
    *,
    tolerance: Scalar = 1e-5,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The share of features that alone change the score and yet get no relevance.

    Sensitivity (a): if input and baseline differ in feature $i$ alone, and so do their scores, then
    $A_i$ is not zero. With $x^{(i)}$ the baseline in which feature $i$ is that of $x$,

    $$\frac{|\{i : f(x^{(i)}) \ne f(x^0), \; A_i(x^{(i)}) = 0\}|}
    {|\{i : f(x^{(i)}) \ne f(x^0)\}|},$$

    0 if the axiom holds, or says nothing since no feature alone changes the score.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        tolerance: up to here, in units of `f`, a difference of scores or a relevance counts as 0.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: at most this many evaluations and explanations per example are live at once; "auto"
            for as many as run fast, None for all.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f`, `baseline=` (zeros by default), `groups=` (if none
        were given here) and `key=` (if an attribution needs one), that returns a number from 0 to
        1, or a dictionary of them.

    Raises:
        ValueError: an option is invalid; when called, an attribution is not like the input.
        TypeError: when called, if `f` is not scalar, or a key is missing or of no use.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f = lambda x: 1 - jax.nn.relu(1 - x[0]) + x[1]
        >>> methods = {"gradient": jax.grad(f), "integrated": jaxplain.integrated_grad(f)}
        >>> evaluate.sensitivity_a(f, methods)(jnp.array([2.0, 1.0]))
        {'gradient': Array(0.5, dtype=float32), 'integrated': Array(0., dtype=float32)}

    Notes:
        One explanation for each feature, far from the data. `baseline=` does not reach the
        attribution: bind the same to it, `functools.partial(explain, baseline=x0)`.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    check_chunk(chunk)
    check_real("tolerance", tolerance, low=0)
    partition = Partition.checked(groups, along, features)

    def evaluate(
        *args: Any, baseline: PyTree | None = None, groups: PyTree | None = None, **kwargs: Any
    ) -> Any:
        def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> jax.Array:
            del key
            game = Game(score, x, checked_baseline(baseline, x), partition.of(x, groups))
            without = game.value(jnp.zeros(game.count, bool))

            def alone(number: jax.Array) -> tuple[jax.Array, jax.Array]:
                only = jnp.arange(game.count) == number
                point = game.features.restrict(game.x, game.baseline, only)
                relevance = relevance_of(explain(point), game, explain)
                return game.value(only) - without, relevance[number]

            change, relevance = stack(alone, jnp.arange(game.count), chunk=chunk)
            counts = jnp.abs(change) > tolerance
            missed = counts & (jnp.abs(relevance) <= tolerance)
            share = ratio(_number(missed, change), _number(counts, change))
            return unless_nan(share, change, relevance)

        asked = of_methods(f, attribution, measure, name="sensitivity_a", argnums=argnums)
        return asked(*args, **kwargs)

    methods = methods_of(attribution, "sensitivity_a").values()
    return named(evaluate, "sensitivity_a", f, random=any(map(needs_key, methods)))


def non_sensitivity(
    f: Model,
    attribution: Attributions,
    *,
    tolerance: Scalar = 1e-5,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The number of features of which relevance and score do not agree whether they matter.

    Sensitivity (b), or the axiom of the dummy: a feature on which `f` does not depend gets nothing.
    With $A_0$ the features of relevance 0 and $X_0$ those whose going to the baseline does not
    change the score, the size of the symmetric difference $|A_0 \mathbin{\triangle} X_0|$.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        tolerance: up to here, in units of `f`, a difference of scores or a relevance counts as 0.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f`, `baseline=` (zeros by default), `groups=` (if none
        were given here) and `key=` (if an attribution needs one), that returns a whole number as a
        float, or a dictionary of them.

    Raises:
        ValueError: an option is invalid; when called, an attribution is not like the input.
        TypeError: when called, if `f` is not scalar, or a key is missing or of no use.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x[0] + 2 * x[1]
        >>> methods = {"gradient": jax.grad(f), "constant": jnp.ones_like}
        >>> evaluate.non_sensitivity(f, methods)(jnp.ones(3))
        {'gradient': Array(0., dtype=float32), 'constant': Array(1., dtype=float32)}

    Notes:
        A feature that is at its baseline already cannot be tested and is not counted: choose a
        baseline that differs from the input. One baseline stands for all values that the feature
        may take, so that a dependence may be missed, of a saturated feature say.

    References:
        Nguyen and Martinez 2020, On quantitative aspects of model interpretability,
        arXiv:2007.07584. Sundararajan et al. 2017, arXiv:1703.01365, sensitivity (b).
    """
    check_chunk(chunk)
    check_real("tolerance", tolerance, low=0)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        game = subject.game
        numbers = jnp.arange(game.count)
        score = widen(game.score(game.x))
        without = game.values(lambda number: numbers != number, numbers, chunk=chunk)
        no_effect = jnp.abs(without - score) <= tolerance
        no_relevance = jnp.abs(subject.relevance) <= tolerance
        found = _number((no_effect ^ no_relevance) & _moved(game), score)
        return unless_nan(found, without, score)

    return call.metric(f, attribution, measure, name="non_sensitivity")


def _moved(game: Game) -> jax.Array:
    """Which features are not at their baseline."""
    differ = jax.tree.map(lambda x, base: jnp.asarray(x != base, float), game.x, game.baseline)
    return game.features.sums(differ) > 0


def _number(flags: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.sum(flags, dtype=like.dtype)
