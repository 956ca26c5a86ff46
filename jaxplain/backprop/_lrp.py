"""Layer-wise relevance propagation on any function."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, named
from .._errors import check_choice
from .._types import Argnums, Attribution, Info, Model, PyTree
from ..program._flow import annotate
from ..program._group import group
from ..program._lower import lower
from ..program._run import replay
from ..program._sites import Grouped, Site
from ..program._trace import trace
from ._assign import assign
from ._composite import Composite, as_composite
from ._defaults import default_rule
from ._ledger import gather, taps_for
from ._presets import deep_taylor as deep_taylor_preset
from ._presets import epsilon
from ._presets import excitation_backprop as excitation_preset
from ._rule import Rule
from ._spread import spread_bias


def lrp(
    f: Model,
    rules: Composite | Rule | None = None,
    *,
    seed: str = "score",
    bias: str = "absorb",
    missing: str = "error",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Layer-wise relevance propagation: the score, handed back layer by layer to the input.

    Each layer shares the relevance $R_j$ of its outputs among its inputs,
    $R_i = \sum_j \frac{z_{ij}}{\sum_{i'} z_{i'j}} R_j$, where a rule says what the contributions
    $z_{ij}$ are. Works on the program that `f` traces to, so on any JAX function: reused layers,
    functional operations, residual connections, attention, loops.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: a preset such as `rules.epsilon_plus()`, a `rules.Composite`, or one rule for all
            dense layers and convolutions; `rules.epsilon()` by default. Sites that no rule is
            given for get the default of their kind.
        seed: what relevance starts from: `"score"`, the value of `f`, or `"one"`.
        bias: what happens to the share of additive terms: they `"absorb"` it, or it is `"spread"`
            evenly over the inputs of their unit.
        missing: what to do with steps that have no rule: `"error"`, or `"gradient"` to
            send relevance through their own derivative.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with the `ledger`, the relevance of every site's output and
            that of the weights.

    Returns:
        A function with the arguments of `f` that returns relevance like `x`: sums to `f(x)` up to
        what biases, stabilisers, softmax and normalisation absorb, which the ledger counts.

    Raises:
        NotImplementedError: when called, if steps have no rule, or for a while loop.
        ValueError: when called, if a rule is given to a site of another kind, or an option is
            not one of those named.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.maximum(x @ jnp.array([[2.0, -1.0], [1.0, 3.0]]), 0).sum()
        >>> explain = jaxplain.lrp(f, jaxplain.rules.epsilon())
        >>> explain(jnp.array([1.0, 2.0])).round(3)
        Array([1., 8.], dtype=float32)

    Notes:
        Rules depend on how a function is written, not only on what it computes: that is the price
        of going layer by layer. `show(f, rules)` prints which rule applies where.

    References:
        Bach et al. 2015, On pixel-wise explanations for non-linear classifier decisions by
        layer-wise relevance propagation, PLoS ONE.
    """
    check_choice("seed", seed, ("score", "one"))
    check_choice("bias", bias, ("absorb", "spread"))
    check_choice("missing", missing, ("error", "gradient"))
    composite = epsilon() if rules is None else as_composite(rules)

    def explain(*args: Any, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums)
        grouped, assigned = prepare(score, x, composite, missing)
        if bias == "spread":
            assigned = {site: spread_bias(site, rule) for site, rule in assigned.items()}
        return _propagate(grouped, assigned, x, seed, info)

    return named(explain, "lrp", f)


def prepare(
    score: Any, x: PyTree, composite: Composite, missing: str = "error"
) -> tuple[Grouped, dict[Site, Rule]]:
    """The sites of `score` at `x`, and the rule of each."""
    grouped = annotate(group(trace(score, x).program()))
    default = functools.partial(default_rule, missing=missing)
    return grouped, assign(grouped, composite, Rule, default)


def _propagate(
    grouped: Grouped, assigned: dict[Site, Rule], x: PyTree, seed: str, info: bool
) -> Any:
    leaves, structure = jax.tree.flatten(x)
    taps = taps_for(grouped, assigned, leaves) if info else None

    def rewritten(leaves: list[Any], taps: Any) -> jax.Array:
        value: jax.Array = replay(grouped, leaves, assigned, taps)[0]
        return value

    @lower
    def backward(leaves: list[Any], taps: Any) -> tuple[Any, Any, Any]:
        y, pullback = jax.vjp(rewritten, leaves, taps)
        start = jnp.ones_like(y) if seed == "one" else y
        return start, *pullback(start)

    start, relevance, reports = backward(leaves, taps)
    result = jax.tree.unflatten(structure, relevance)
    if not info:
        return result
    return result, Info(**gather(grouped, assigned, reports, start, relevance))


def deep_taylor(
    f: Model, low: Any = None, high: Any = None, *, argnums: Argnums = 0, info: bool = False
) -> Attribution:
    r"""Deep Taylor decomposition: relevance of the positive score by local Taylor expansions.

    z⁺ in all layers; in the first, zᴮ where the inputs are known to lie between `low` and `high`,
    w² where they are not.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        low: lower bound of the inputs, a number or an array that broadcasts to the input.
        high: upper bound, likewise.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with the ledger, as `lrp` does.

    Returns:
        A function with the arguments of `f` that returns relevance like `x`, non-negative where
        the score is positive and the model is built of ReLUs.

    Raises:
        ValueError: only one bound is given, or `low` exceeds `high`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.maximum(x @ jnp.array([3.0, -1.0]), 0)
        >>> jaxplain.deep_taylor(f, 0.0, 1.0)(jnp.array([1.0, 0.0])).round(2)
        Array([2.25, 0.75], dtype=float32)

    Notes:
        Other root points are other rules: see `root_criteria` and `rules.Root`.

    References:
        Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor
        decomposition, Pattern Recognition.
    """
    explain = lrp(f, deep_taylor_preset(low, high), argnums=argnums, info=info)
    return named(explain, "deep_taylor", f)


def excitation_backprop(f: Model, *, argnums: Argnums = 0, info: bool = False) -> Attribution:
    r"""Excitation backprop: the probability that each input wins a walk down excitatory weights.

    A winner is drawn at the output; each winner's winner below is drawn in proportion to
    $x_i^+ w_{ij}^+ + x_i^- w_{ij}^-$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with the ledger, as `lrp` does.

    Returns:
        A function with the arguments of `f` that returns probabilities like `x`; they sum to one
        less what positive biases win.

    Raises:
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> explain = jaxplain.excitation_backprop(lambda x: x @ jnp.array([2.0, 2.0, -1.0]))
        >>> explain(jnp.ones(3)).round(2)
        Array([0.5, 0.5, 0. ], dtype=float32)

    References:
        Zhang et al. 2018, Top-down neural attention by excitation backprop, IJCV.
    """
    explain = lrp(f, excitation_preset(), seed="one", argnums=argnums, info=info)
    return named(explain, "excitation_backprop", f)
