"""Layer-wise relevance propagation on any function."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, named
from .._errors import check_choice
from .._types import Argnums, Attribution, Info, Model, PyTree
from ..program._flow import annotate
from ..program._run import replay
from ..program._sites import Grouped, Site, group
from ..program._trace import trace
from ._assign import DEFAULTS, assign
from ._composite import Composite, as_composite
from ._ledger import gather, taps_for
from ._presets import epsilon
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
    return grouped, assign(grouped, composite, DEFAULTS, missing=missing)


def _propagate(
    grouped: Grouped, assigned: dict[Site, Rule], x: PyTree, seed: str, info: bool
) -> Any:
    leaves, structure = jax.tree.flatten(x)
    taps = taps_for(grouped, assigned, leaves) if info else None

    def rewritten(leaves: list[Any], taps: Any) -> jax.Array:
        value: jax.Array = replay(grouped, leaves, assigned, taps)[0]
        return value

    y, pullback = jax.vjp(rewritten, leaves, taps)
    start = jnp.ones_like(y) if seed == "one" else y
    relevance, reports = pullback(start)
    result = jax.tree.unflatten(structure, relevance)
    if not info:
        return result
    return result, Info(**gather(grouped, assigned, reports, start, relevance))
