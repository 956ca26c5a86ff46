"""How many features an explanation names, and how evenly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import checked_baseline_set
from .._batch import stack
from .._errors import check_chunk, check_count, check_real
from .._tree import widen
from .._types import Argnums, Chunk, Model, PyTree, Scalar
from ..perturb._features import Partition
from ._flipping import ranks, removed
from ._norms import ratio, unless_nan
from ._subjects import Attributions, Call, Subject


def sparseness(
    f: Model,
    attribution: Attributions,
    *,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The Gini index of the absolute relevances: 0 if all are alike, near 1 if few have it all.

    $1 - 2 \sum_k \frac{v_k}{\|v\|_1} \frac{d - k + 1/2}{d}$ with $v_1 \le \dots \le v_d$ the
    absolute relevances of $d$ features.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example. It is not evaluated.
        attribution: a function with the arguments of `f` that returns a pytree like `x`, or a
            dictionary of several. Their own baselines are bound with `functools.partial`.
        groups: which elements are one feature, as for `ablation`; its relevance is the sum.
        along: an axis or several, the positions on which are the features: `along=(0, 1)` for the
            pixels of a picture with channels.
        features: how many features there are, for `groups` that are data of the call.
        argnums: the argument (or arguments) that was explained.

    Returns:
        A function with the arguments of `f`, `groups=` (if none were given here) and `key=` (if an
        attribution needs one), that returns a number in [0, 1), or a dictionary of them.

    Raises:
        ValueError: an option is invalid; when called, an attribution is not like the input.
        TypeError: when called, if a key is missing or of no use.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> methods = {"itself": lambda x: x, "constant": jnp.ones_like}
        >>> evaluate.sparseness(f, methods)(jnp.array([0.0, 0.0, -2.0, 0.0]))
        {'itself': Array(0.75, dtype=float32), 'constant': Array(0., dtype=float32)}

    Notes:
        The largest value is $1 - 1/d$. An explanation of zeros gives 0.

    References:
        Chalasani et al. 2020, Concise explanations of neural networks using adversarial training,
        arXiv:1810.06583.
    """
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        values = jnp.sort(jnp.abs(subject.relevance))
        count = len(values)
        weights = (2 * np.arange(1, count + 1) - count - 1) / count
        return jnp.sum(jnp.asarray(weights, values.dtype) * _shares(values))

    return call.metric(f, attribution, measure, name="sparseness")


def complexity(
    f: Model,
    attribution: Attributions,
    *,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The entropy of the shares that features have of the explanation, in nats.

    $-\sum_i p_i \log p_i$ with $p_i = |A_i| / \sum_j |A_j|$: 0 if one feature has it all, $\log d$
    if all $d$ are alike. Less is easier to read.

    Args:
        f: as for `sparseness`.
        attribution: as for `sparseness`.
        groups: as for `sparseness`.
        along: as for `sparseness`.
        features: as for `sparseness`.
        argnums: as for `sparseness`.

    Returns:
        A function as that of `sparseness`, of a number in $[0, \log d]$.

    Raises:
        ValueError: as for `sparseness`.
        TypeError: as for `sparseness`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> measure = evaluate.complexity(f, lambda x: x)
        >>> round(float(measure(jnp.array([1.0, 0.0, -1.0]))), 4)
        0.6931

    Notes:
        An explanation of zeros has no shares, and gives 0.

    References:
        Bhatt, Weller and Moura 2020, Evaluating and aggregating feature-based model explanations,
        arXiv:2005.00631.
    """
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        shares = _shares(jnp.abs(subject.relevance))
        return -jnp.sum(shares * jnp.log(jnp.where(shares == 0, 1, shares)))

    return call.metric(f, attribution, measure, name="complexity")


def effective_complexity(
    f: Model,
    attribution: Attributions,
    *,
    tolerance: Scalar,
    references: PyTree | None = None,
    steps: int | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How many of the features of largest absolute relevance suffice for the score.

    The least $k$ with $E |f(x) - f(x_{M_k}, x'_{\setminus M_k})| \le \epsilon$, where $M_k$ are the
    $k$ features of largest absolute relevance, which are kept, and all others are those of $x'$.
    Fewer is easier to read.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: as for `sparseness`.
        tolerance: the $\epsilon$ above, in units of `f`, at least 0.
        references: a set of $x'$ to average over, a pytree like `x` with a leading axis, drawn from
            the data for instance. If None, $x'$ is the baseline of the call.
        steps: in how many steps features are added, of equal shares as far as possible, which
            rounds the result up to a step; None for one feature at a time.
        groups: as for `sparseness`.
        along: as for `sparseness`.
        features: as for `sparseness`.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: as for `sparseness`.

    Returns:
        A function with the arguments of `f`, `baseline=` (zeros by default; without `references`
        only), `groups=` and `key=` as for `sparseness`, that returns a whole number as a float, or
        a dictionary of them.

    Raises:
        ValueError: as for `sparseness`.
        TypeError: as for `sparseness`, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([5.0, 0.1, -2.0, 0.0])
        >>> int(evaluate.effective_complexity(f, jax.grad(f), tolerance=0.5)(jnp.ones(4)))
        2

    Notes:
        With all features the score is $f(x)$, so there always is such a $k$. One evaluation for
        each step and reference.

    References:
        Nguyen and Martinez 2020, On quantitative aspects of model interpretability,
        arXiv:2007.07584.
    """
    check_real("tolerance", tolerance, low=0)
    check_chunk(chunk)
    if steps is not None:
        check_count("steps", steps)
    call = Call(Partition.checked(groups, along, features), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        del key
        kept = removed(subject.game.count, steps)
        lost = _losses(subject, kept, references, chunk)
        enough = lost <= jnp.asarray(tolerance, lost.dtype)
        least = jnp.asarray(kept, lost.dtype)[jnp.argmax(enough.at[-1].set(True))]
        return unless_nan(least, lost)

    return call.metric(f, attribution, measure, name="effective_complexity")


def _losses(
    subject: Subject, kept: np.ndarray, references: PyTree | None, chunk: Chunk
) -> jax.Array:
    """The mean distance to the score, for each number of features that are kept."""
    game = subject.game
    if references is None:
        others, draws = jax.tree.map(lambda leaf: leaf[None], game.baseline), 1
    else:
        others, draws = checked_baseline_set(references, game.x, "effective_complexity")
    places = ranks(-jnp.abs(subject.relevance))

    def score(node: tuple[jax.Array, jax.Array]) -> jax.Array:
        count, draw = node
        other = jax.tree.map(lambda leaf: leaf[draw], others)
        return dataclasses.replace(game, baseline=other).value(places < count)

    counts, numbers = np.repeat(kept, draws), np.tile(np.arange(draws, dtype=np.int32), len(kept))
    found = stack(score, (jnp.asarray(counts), jnp.asarray(numbers)), chunk=chunk)
    whole = widen(game.score(game.x))
    return jnp.mean(jnp.abs(found - whole).reshape(len(kept), draws), axis=1)


def _shares(values: jax.Array) -> jax.Array:
    """The share of each value in their sum; zeros have none."""
    return ratio(values, jnp.sum(values))
