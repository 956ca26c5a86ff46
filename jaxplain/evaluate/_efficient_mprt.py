"""One number for the test with randomized parameters: how much more complex explanations become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import check_choice, check_count
from .._tree import widen
from .._types import PyTree
from ._makers import Explained, Makers, of_makers
from ._norms import ratio, unless_nan
from ._random_parameters import DRAWS, Plan
from ._similarity import vector


def efficient_mprt(
    make_attribution: Makers,
    params: PyTree,
    *,
    bins: int = 100,
    layers: str | Sequence[str] = "*",
    draw: str = "permutation",
    absolute: bool = False,
) -> Callable[..., Any]:
    r"""How much more complex an explanation is once all parameters are randomized.

    $(H(\hat A) - H(A)) / H(A)$ with $H$ the entropy of the histogram of an explanation's values,
    and $\hat A$ that of the randomized model. Above 0 for explanations of what was learned.

    Args:
        make_attribution: as for `parameter_randomization`.
        params: as for `parameter_randomization`.
        bins: number of bins of equal width, from the least value to the largest.
        layers: a glob, or several, of the parameters to randomize.
        draw: as for `parameter_randomization`.
        absolute: take the magnitudes of relevance.

    Returns:
        A function with the arguments of the attribution, and `key=`, that returns a number, or a
        dictionary of them.

    Raises:
        ValueError: an option is unknown or a glob fits no parameter.
        TypeError: when called, without a key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> params = [jnp.arange(12.0).reshape(4, 3), jnp.array([1.0, -1.0, 2.0])]
        >>> make = lambda p: lambda x: x * p[0][:, 0]
        >>> test = evaluate.efficient_mprt(make, params, bins=4)
        >>> test(jnp.array([1.0, 1.0, 0.0, 0.0]), key=jax.random.key(1)).shape
        ()

    Notes:
        Two explanations, whatever the number of layers. The number depends on `bins`: compare
        methods with the same. If $H(A)$ is 0, of a constant, the result is 0 or infinite. A
        histogram has no derivative.

    References:
        Hedström et al. 2024, Sanity checks revisited: an exploration to repair the model parameter
        randomisation test, arXiv:2401.06465.
    """
    check_count("bins", bins)
    check_choice("draw", draw, DRAWS)
    plan = Plan.of(params, (layers,) if isinstance(layers, str) else tuple(layers))

    def entropy(explanation: PyTree) -> jax.Array:
        values = vector(widen(explanation))
        return histogram_entropy(jnp.abs(values) if absolute else values, bins)

    def measure(explain: Explained, new: PyTree) -> jax.Array:
        before, after = entropy(explain(params)), entropy(explain(new))
        return ratio(after - before, before)

    return of_makers(make_attribution, params, plan, draw, measure, "efficient_mprt")


def histogram_entropy(values: jax.Array, bins: int) -> jax.Array:
    """The entropy, in nats, of the histogram with bins of equal width between the extremes."""
    low, high = jnp.min(values), jnp.max(values)
    width = jnp.where(high > low, high - low, 1)
    places = jnp.clip(jnp.floor((values - low) / width * bins), 0, bins - 1).astype(jnp.int32)
    shares = jnp.zeros(bins, values.dtype).at[places].add(1) / values.size
    found = -jnp.sum(jnp.where(shares > 0, shares * jnp.log(jnp.where(shares > 0, shares, 1)), 0))
    # Neither NaN nor infinity has a bin: what is left of them here is NaN.
    return unless_nan(found, high - low)
