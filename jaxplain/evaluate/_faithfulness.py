"""Faithfulness: what is taken away costs as much of the score as the explanation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import stack
from .._errors import check_choice, check_chunk, check_count
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Partition
from ..shapley._coalitions import random_subset
from ._correlation import CORRELATIONS
from ._subjects import Attributions, Call, Subject


def faithfulness_correlation(
    f: Model,
    attribution: Attributions,
    *,
    subset: int | None = None,
    samples: int = 100,
    correlation: str = "pearson",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How well the relevance of random subsets of features goes with what they are worth.

    $\mathrm{corr}_S \left( \sum_{i \in S} A_i,\; f(x) - f(x_{S \leftarrow x^0}) \right)$ over
    random subsets $S$ of one size, which are put to the baseline.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a function with the arguments of `f` that returns a pytree like `x`, or a
            dictionary of several. Their own baselines are bound with `functools.partial`.
        subset: how many features a subset has, from 1 to all but one; None for a fifth of them,
            rounded up.
        samples: how many subsets are drawn, at least 2.
        correlation: `"pearson"` of the values, or `"spearman"` of their ranks.
        groups: which elements are one feature, as for `ablation`; its relevance is the sum.
        along: an axis or several, the positions on which are the features: `along=(0, 1)` for the
            pixels of a picture with channels.
        features: how many features there are, for `groups` that are data of the call.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) that was explained.

    Returns:
        A function with the arguments of `f`, `key=`, `baseline=` (zeros by default) and `groups=`
        (if none were given here), that returns a number from -1 to 1, or a dictionary of them.
        Subset `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid; when called, an attribution is not like the input, or has
            too few features for the subsets.
        TypeError: when called, without a key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0, 0.0])
        >>> methods = {"gradient": jax.grad(f), "constant": jnp.ones_like}
        >>> measure = evaluate.faithfulness_correlation(f, methods, subset=2)
        >>> {k: round(float(v), 3) for k, v in measure(jnp.ones(4), key=jax.random.key(0)).items()}
        {'gradient': 1.0, 'constant': 0.0}

    Notes:
        `samples` evaluations, the same ones for all attributions. The correlation with a constant,
        of the explanation or of the score, is 0. It knows no units: an explanation ten times too
        large is as good. For large inputs random subsets are much alike, and the correlation is
        small for every explanation: compare explanations, and let features be patches or segments.

    References:
        Bhatt, Weller and Moura 2020, Evaluating and aggregating feature-based model explanations,
        arXiv:2005.00631. By rank and on a grid: Fel et al. 2021, Look at the variance! Efficient
        black-box explanations with Sobol-based sensitivity analysis, arXiv:2111.04138.
    """
    if subset is not None:
        check_count("subset", subset)
    check_count("samples", samples, least=2)
    check_choice("correlation", correlation, CORRELATIONS)
    check_chunk(chunk)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        size = -(-subject.game.count // 5) if subset is None else subset
        check_subset("subset", size, subject.game.count)

        def draw(number: jax.Array) -> jax.Array:
            return subset_of(jax.random.fold_in(key, number), subject.game.count, size)

        claims, drops = claims_and_drops(subject, draw, jnp.arange(samples), chunk)
        return CORRELATIONS[correlation](claims, drops)

    return call.metric(f, attribution, measure, name="faithfulness_correlation", random=True)


def faithfulness_estimate(
    f: Model,
    attribution: Attributions,
    *,
    correlation: str = "pearson",
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How well the relevance of each feature goes with what it alone is worth.

    $\mathrm{corr}_i \left( A_i,\; f(x) - f(x_{i \leftarrow x^0}) \right)$ over the features, put to
    the baseline one at a time.

    Args:
        f: as for `faithfulness_correlation`.
        attribution: as for `faithfulness_correlation`.
        correlation: as for `faithfulness_correlation`.
        groups: as for `faithfulness_correlation`.
        along: as for `faithfulness_correlation`.
        features: as for `faithfulness_correlation`.
        chunk: as for `faithfulness_correlation`.
        argnums: as for `faithfulness_correlation`.

    Returns:
        A function as that of `faithfulness_correlation`, but without chance: it takes `key=` only
        if an attribution needs one.

    Raises:
        ValueError: as for `faithfulness_correlation`.
        TypeError: when called, if `f` is not scalar, or a key is missing or of no use.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> measure = evaluate.faithfulness_estimate(f, jax.grad(f))
        >>> round(float(measure(jnp.array([2.0, 3.0, 1.0]))), 3)
        0.866

    Notes:
        One evaluation for each feature, the same for all attributions: `ablation` is the
        explanation that cannot do better than this metric asks for. What features do only together
        goes unseen; `sensitivity_n` looks at subsets of several sizes. The correlation with a
        constant is 0, and so it is for an input of a single feature.

    References:
        Alvarez-Melis and Jaakkola 2018, Towards robust interpretability with self-explaining neural
        networks, arXiv:1806.07538.
    """
    check_choice("correlation", correlation, CORRELATIONS)
    check_chunk(chunk)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        places = jnp.arange(subject.game.count)
        kept = subject.game.values(lambda gone: places != gone, places, chunk=chunk)
        return CORRELATIONS[correlation](subject.relevance, -kept)

    return call.metric(f, attribution, measure, name="faithfulness_estimate")


def claims_and_drops(
    subject: Subject,
    draw: Callable[[Any], jax.Array],
    nodes: PyTree,
    chunk: Chunk,
) -> tuple[jax.Array, jax.Array]:
    """The relevance of the subset at each node, and by how much the score falls without it.

    Both up to a constant, which correlations do not mind: the score at the input is not needed.
    """
    # Subsets have one size, so a constant may go from each feature too: a constant explanation then
    # claims exactly 0, not sums that differ in their last digit.
    relevance = subject.relevance - subject.relevance[0]

    def at(node: Any) -> tuple[jax.Array, jax.Array]:
        subset = draw(node)
        return subject.game.value(~subset), jnp.sum(jnp.where(subset, relevance, 0))

    kept, claims = stack(at, nodes, chunk=chunk)
    return claims, -kept


def subset_of(key: jax.Array, count: int, size: Any) -> jax.Array:
    """A random subset of `size` out of `count` features, as a mask."""
    return random_subset(jax.random.uniform(key, (count,), jnp.float32), jnp.asarray(size))


def check_subset(option: str, size: int, count: int) -> None:
    """Raise unless there are several subsets of that size: a single one has no correlation."""
    if size >= count:
        raise ValueError(
            f"{option}={size} of {count} features: there is only one such subset, and nothing to "
            f"correlate. Take at most {count - 1}, or more features."
        )
