"""Patterns: the signal in the data that each unit answers to.

A weight vector filters out what disturbs, so its direction is not that of the signal. A pattern is
the direction in which a unit's input varies with its output, estimated from data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind_function
from .._types import PyTree
from ..program._flow import annotate
from ..program._group import group
from ..program._layers import Layer, reading_axes
from ..program._ops import Kind
from ..program._run import Call
from ..program._sites import Grouped, Site
from ..program._trace import trace
from ._observe import observe
from ._rule import quotient


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patterns:
    """The patterns of a model: one for each dense layer and convolution.

    Args:
        patterns: arrays shaped like the effective weights, in the order of the layers.
        names: the path of each layer.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> data = jax.random.normal(jax.random.key(0), (64, 3))
        >>> fitted = jaxplain.fit_patterns(lambda x: x @ jnp.ones((3, 2)), [data])
        >>> [pattern.shape for pattern in fitted.patterns]
        [(3, 2)]
    """

    patterns: tuple[Any, ...]
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Moments:
    """Sums over all units' inputs and outputs, each shaped like the weights."""

    xy: Any  # of x·y where the unit is positive
    x: Any  # of x where the unit is positive
    positive: Any  # how often it is positive
    y: Any  # of y
    count: Any  # of everything


def fit_patterns(
    f: Callable[..., PyTree],
    batches: Iterable[Any],
    *args: Any,
    progress: Callable[[int], None] | None = None,
) -> Patterns:
    r"""Estimate the pattern of every layer from data, with the two-component estimator.

    For a unit $y = w^\top x$, $a_+ = \frac{E_+[x y] - E_+[x] E[y]}{w^\top E_+[x y] - w^\top E_+[x]
    E[y]}$, where $E_+$ is over the inputs with $y + b > 0$.

    Args:
        f: the model, `f(x, *args)` of one example; any output, logits for instance.
        batches: batches of inputs, arrays (or pytrees) with a leading axis. They are read once,
            one at a time, so a data set of any size will do.
        *args: further arguments of `f`, the same for all examples.
        progress: called after each batch with the number of examples seen.

    Returns:
        `Patterns` for `pattern_net` and `pattern_attribution`.

    Raises:
        ValueError: there is no batch, or `f` has a dense layer or convolution inside a loop.
        TypeError: the inputs are not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> data = jax.random.normal(jax.random.key(0), (256, 2)) * jnp.array([3.0, 1.0])
        >>> fitted = jaxplain.fit_patterns(lambda x: x @ jnp.ones((2, 1)), [data])
        >>> fitted.patterns[0].shape, float(fitted.patterns[0].sum())
        ((2, 1), 1.0)

    Notes:
        The expectations are over examples and, in convolutions, over positions. Batches of another
        size compile again.

    References:
        Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and
        PatternAttribution, ICLR.
    """
    total: Any = None
    seen = 0
    for batch in batches:
        if total is None:
            example = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], batch)
            function, example = bind_function(f, (example, *args), {}, 0)
            grouped = annotate(group(trace(function, example).program()))
            sites = layers_of(grouped)
            of_batch = jax.jit(_over_batch(grouped, sites))
        moments = of_batch(jax.tree.leaves(batch))
        total = moments if total is None else jax.tree.map(jnp.add, total, moments)
        seen += jax.tree.leaves(batch)[0].shape[0]
        if progress is not None:
            progress(seen)
    if total is None:
        raise ValueError("fit_patterns got no batch: give an iterable of arrays of inputs.")
    weights = _weights(grouped, sites, example)
    patterns = map(_pattern, sites, total, weights)
    return Patterns(tuple(patterns), tuple(site.label for site in sites))


def layers_of(grouped: Grouped) -> list[Site]:
    """The dense layers and convolutions, which must not lie inside loops."""
    inside = [site for site in grouped.all_sites() if site.kind in Kind.AFFINE]
    sites = [site for site in grouped.sites if site.kind in Kind.AFFINE]
    for site in inside:
        if site not in sites:
            raise ValueError(
                f"'{site.label}' at {site.source} is a layer inside a loop, a branch or a "
                "checkpoint, whose pattern would be another in each pass: patterns need the layers "
                "unrolled."
            )
    return sites


def _over_batch(grouped: Grouped, sites: list[Site]) -> Callable[[list[Any]], list[_Moments]]:
    """The moments of each layer, summed over a batch."""

    def one(leaves: list[Any]) -> list[_Moments]:
        calls = observe(grouped, leaves)
        return [_moments(calls[site]) for site in sites]

    def many(leaves: list[Any]) -> list[_Moments]:
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), jax.vmap(one)(leaves))  # type: ignore[no-any-return]

    return many


def _weights(grouped: Grouped, sites: list[Site], x: PyTree) -> list[jax.Array]:
    """The effective weights of each layer."""

    def find(leaves: list[Any]) -> list[jax.Array]:
        calls = observe(grouped, leaves)
        return [s.linear(calls[s].inputs, calls[s].operands).weights[0] for s in sites]

    weights: list[jax.Array] = jax.jit(find)(jax.tree.leaves(x))
    return weights


def _moments(call: Call) -> _Moments:
    view = call.site.linear(call.inputs, call.operands)
    # y = w·x without the bias; its transpose in the weights sums over positions.
    y, pull = jax.vjp(lambda ws: view.linear(view.inputs, ws), view.weights)
    ones = tuple(jnp.ones_like(x) for x in view.inputs)
    _, spread = jax.vjp(lambda ws: view.linear(ones, ws), view.weights)
    positive = (call.outputs[0] > 0).astype(y.dtype)

    def weighted(transposed: Any, cotangent: jax.Array) -> jax.Array:
        result: jax.Array = transposed(cotangent)[0][0]
        return result

    return _Moments(
        xy=weighted(pull, y * positive),
        x=weighted(pull, positive),
        positive=weighted(spread, positive),
        y=weighted(spread, y),
        count=weighted(spread, jnp.ones_like(y)),
    )


def _pattern(site: Site, moments: _Moments, weights: jax.Array) -> jax.Array:
    """Kindermans et al. 2018, equation 12; units that never fire keep their weights."""
    fired = jnp.maximum(moments.positive, 1)
    mean = moments.y / jnp.maximum(moments.count, 1)
    covariance = moments.xy / fired - moments.x / fired * mean
    assert isinstance(site.form, Layer)
    axes = reading_axes(site.form)
    norm = jnp.sum(weights * covariance, axis=axes, keepdims=True)
    never = jnp.max(moments.positive, axis=axes, keepdims=True) == 0
    return jnp.where(never, weights, quotient(covariance, norm, 0.0))
