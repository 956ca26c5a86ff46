"""Monotonicity: features that are said to matter more do more to the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import mean, nested
from .._errors import check_choice, check_chunk, check_count
from .._keys import one_key_each
from .._tree import describe
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._correlation import CORRELATIONS
from ._drawn import like_input, refusing
from ._flipping import flip
from ._norms import unless_nan
from ._subjects import Attributions, Call, Subject

Draw = Callable[[jax.Array, PyTree], PyTree]


def monotonicity(
    f: Model,
    attribution: Attributions,
    *,
    steps: int | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The share of steps that do not lower the score while features come in, the least first.

    $\frac1K \sum_k \mathbb{1} \left[ f(x^{(k)}) \ge f(x^{(k-1)}) \right]$ where $x^{(k)}$ is the
    baseline with the features of least relevance in the first $k$ steps at their values in $x$.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`; of the signs that count: what is negative comes first.
        steps: in how many steps, of equal shares as far as possible; None for one feature at a
            time.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function as that of `pixel_flipping`, of a number from 0 to 1, or a dictionary of them.

    Raises:
        ValueError: as for `pixel_flipping`.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0, -3.0])
        >>> evaluate.monotonicity(f, jax.grad(f))(jnp.ones(4))
        Array(0.75, dtype=float32)

    Notes:
        The steps are those of `pixel_flipping`, backwards: one evaluation for each, and the first
        is counted, from the baseline. 1 is the paper's monotonicity. A feature of negative
        contribution lowers the score wherever it comes in, so a correct explanation need not reach
        1; a score without any dependence does. The share has no derivative but zero. In Quantus
        the features that come in have the values of the baseline, so nothing ever changes.

    References:
        Arya et al. 2019, One explanation does not fit all: a toolkit and taxonomy of AI
        explainability techniques, arXiv:1909.03012. Luss et al. 2019, Leveraging latent features
        for local explanations, arXiv:1905.12698.
    """
    check_chunk(chunk)
    if steps is not None:
        check_count("steps", steps)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        scores = flip(subject, "morf", steps, chunk).scores
        share = jnp.mean(scores[1:] <= scores[:-1], dtype=scores.dtype)
        return unless_nan(share, scores)

    return call.metric(f, attribution, measure, name="monotonicity")


def monotonicity_correlation(
    f: Model,
    attribution: Attributions,
    *,
    draw: Draw | None = None,
    samples: int = 100,
    correlation: str = "spearman",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How well the size of each relevance goes with how much the score varies with the feature.

    $\mathrm{corr}_i \left( |A_i|,\; \mathbb{E}_{z_i} \left[ (f(x_{i \leftarrow z_i}) - f(x))^2
    \right] \right)$: the features' own values are replaced, one feature at a time, by random ones.

    Args:
        f: as for `faithfulness_correlation`.
        attribution: as for `faithfulness_correlation`; only the sizes count, not the signs.
        draw: random values like `x`, a function `draw(key, x) -> z`, for instance `lambda key, x:
            jax.random.choice(key, data)`; None for independent ones that are uniform from 0 to 1.
        samples: how many values are drawn for each feature.
        correlation: as for `faithfulness_correlation`.
        groups: as for `faithfulness_correlation`; a group takes its values from one draw.
        along: as for `faithfulness_correlation`.
        features: as for `faithfulness_correlation`.
        chunk: as for `faithfulness_correlation`.
        argnums: as for `faithfulness_correlation`.

    Returns:
        A function as that of `faithfulness_correlation`, of a number from -1 to 1. It takes no
        baseline. Draw `i` uses `jax.random.fold_in(key, i)`, for all features.

    Raises:
        ValueError: an option is invalid; when called, an attribution, or what was drawn, is not
            like the input.
        TypeError: when called, without a key or with a baseline, if `f` is not scalar, or if
            integers are to be replaced and no `draw` was given.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, -4.0, 2.0])
        >>> measure = evaluate.monotonicity_correlation(f, jax.grad(f))
        >>> round(float(measure(jnp.full(3, 0.5), key=jax.random.key(0))), 3)
        1.0

    Notes:
        `samples * features + 1` evaluations, the same ones for all attributions. Values from 0 to 1
        fit pictures of that range and little else: draw from the data where there are some. The
        correlation with a constant is 0. By rank the derivative is zero; by value it is not.

    References:
        Nguyen and Rodríguez Martínez 2020, On quantitative aspects of model interpretability,
        arXiv:2007.07584.
    """
    check_count("samples", samples)
    check_choice("correlation", correlation, CORRELATIONS)
    check_chunk(chunk)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        changes = squared_changes(subject.game, draw or _uniform, samples, key, chunk)
        return CORRELATIONS[correlation](jnp.abs(subject.relevance), changes)

    metric = call.metric(f, attribution, measure, name="monotonicity_correlation", random=True)
    return refusing(
        metric,
        "baseline",
        "monotonicity_correlation replaces features by random values: give them as draw= where it "
        "is made.",
    )


def squared_changes(
    game: Game, draw: Draw, samples: int, key: jax.Array, chunk: Chunk
) -> jax.Array:
    """The mean squared change of the score when a feature takes random values: (features,)."""
    places = jnp.arange(game.count)
    whole = game.value(jnp.ones(game.count, bool))
    outer, inner = nested(chunk, game.count)

    def squares(number: jax.Array) -> jax.Array:
        values = draw(jax.random.fold_in(key, number), game.x)
        replaced = dataclasses.replace(game, baseline=like_input(values, game.x, "draw"))
        scores = replaced.values(lambda place: places != place, places, chunk=inner)
        return (scores - whole) ** 2

    changes: jax.Array = mean(squares, jnp.arange(samples), chunk=outer)
    return changes


def _uniform(key: jax.Array, x: PyTree) -> PyTree:
    """Numbers from 0 to 1 like `x`, which must be floating."""
    leaves, structure = jax.tree.flatten(x)
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise TypeError(
            f"monotonicity_correlation replaces features by numbers from 0 to 1, but got "
            f"{describe(x)}: give draw=, for token ids for instance lambda key, x: "
            "jax.random.randint(key, x.shape, 0, vocabulary)."
        )
    keys = one_key_each(key, len(leaves))
    drawn = [jax.random.uniform(k, v.shape, v.dtype) for k, v in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)
