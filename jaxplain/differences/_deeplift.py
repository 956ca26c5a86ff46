"""DeepLIFT on any function."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _compat
from .._baselines import checked_baseline
from .._call import bind, name_of, named
from .._errors import check_choice, is_concrete, warn_unless
from .._tree import subtract, total, wide
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree, Scalar
from ..backprop._assign import assign
from ..backprop._composite import Composite, as_composite
from ..gradients._expected import over_baselines
from ..program._flow import annotate
from ..program._group import group
from ..program._lower import lower
from ..program._sites import Grouped, Site
from ..program._trace import trace
from ._defaults import default_rule
from ._pair import Pair, paired
from ._replay import replay
from ._rule import DifferenceRule, contribution
from ._taps import gather, partial_sites, taps_for, unattributed

# Shares of choices below this part of the change are not worth a warning.
_WORTH_TELLING = 1e-3


def deeplift(
    f: Model,
    rules: Composite | DifferenceRule | None = None,
    *,
    multipliers: bool = False,
    missing: str = "error",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""DeepLIFT: the difference from a reference, handed back step by step to the input.

    Every value $y$ of the computation is compared with its value $y^0$ at the baseline. Rules give
    each step multipliers with $\sum_i m_i \Delta x_i = \sum_j m_j \Delta y_j$, and the
    contributions $C_i = m_i \Delta x_i$ sum to $f(x) - f(x^0)$ exactly. Works on the program that
    `f` traces to, so on any JAX function: reused layers, functional operations, attention, loops.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: `rules.Rescale()` (the default) or `rules.RevealCancel()` for all activations, a
            preset such as `rules.genomics()`, or a `rules.Composite`. All other steps have rules
            of their own, which are exact.
        multipliers: return the multipliers $m$ instead of the contributions.
        missing: what to do with steps that have no rule: `"error"`, or `"gradient"` for the mean
            of their derivatives at both ends, what that misses being unattributed.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with the `ledger` of differences, the contribution of every
            site's output (`relevance`), `unattributed` and `residual`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (an array like `x` or a number, zeros
        by default), that returns a pytree like `x`, or `(attribution, Info)`.

    Raises:
        NotImplementedError: when called, if steps have no rule, or for a while loop.
        ValueError: an option is invalid; when called, a baseline of another shape than `x`, or a
            score that is not finite (within `jax.jit` that gives NaN).
        TypeError: when called, if `f` is not scalar, `x` is not floating, or the rules are not
            DeepLIFT's.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: 1 - jax.nn.relu(1 - jnp.sum(x))  # saturates at 1
        >>> x = jnp.ones(2)
        >>> jax.grad(f)(x), jaxplain.deeplift(f)(x)
        (Array([0., 0.], dtype=float32), Array([0.5, 0.5], dtype=float32))

    Notes:
        Where an index or a branch is chosen by the input (`x[argmax(s)]`, `jax.lax.cond`, the
        experts of a router), the data that it chooses get the mean of what both choices make of
        their change. What the choice itself changes is given to no input: it warns, and
        `info.unattributed` tells how much. What `where` decides element by element is attributed.
        The order of steps matters: functions that are equal but written differently may be
        explained differently.

    References:
        Shrikumar et al. 2017, Learning important features through propagating activation
        differences, arXiv:1704.02685.
    """
    check_choice("missing", missing, ("error", "gradient"))
    composite = Composite() if rules is None else as_composite(rules)

    def explain(*args: Any, baseline: PyTree | Scalar | None = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums)
        reference = checked_baseline(baseline, x)
        grouped = annotate(group(trace(score, x).program(differences=True)))
        default = functools.partial(default_rule, missing=missing)
        assigned = assign(grouped, composite, DifferenceRule, default)
        change, slopes, reports = _propagate(grouped, assigned, x, reference, full=info)
        _check_finite(change, f)
        result = slopes
        shares = jax.tree.map(contribution, slopes, subtract(x, reference))
        if not multipliers:
            result = shares
        lost = unattributed(reports, change.dtype)
        if not info:
            _warn_of_choices(partial_sites(grouped, assigned), change, lost)
            return result
        given = total(shares)
        fields = gather(grouped, assigned, reports, given, change)
        return result, Info(residual=given + lost - change, unattributed=lost, **fields)

    return named(explain, "deeplift", f)


def _propagate(
    grouped: Grouped,
    assigned: dict[Site, DifferenceRule],
    x: PyTree,
    reference: PyTree,
    *,
    full: bool,
) -> tuple[jax.Array, PyTree, Any]:
    """The change of the score, the multipliers of the input, and the reports of the sites."""
    leaves, structure = jax.tree.flatten(x)
    # A constant reference would have XLA compute its whole forward pass while compiling.
    references = _compat.shielded(jax.tree.leaves(reference))
    taps = taps_for(grouped, assigned, leaves, full=full)

    def rewritten(leaves: list[Any], taps: Any) -> tuple[jax.Array, jax.Array]:
        pairs = [Pair(*ends) for ends in zip(leaves, references, strict=True)]
        score = paired(replay(grouped, pairs, assigned, taps)[0])
        return score.value, score.reference

    @lower
    def backward(leaves: list[Any], taps: Any) -> tuple[Any, Any, Any, Any]:
        y, pullback, y_reference = jax.vjp(rewritten, leaves, taps, has_aux=True)
        return y, y_reference, *pullback(jnp.ones_like(y))

    y, y_reference, slopes, reports = backward(leaves, taps)
    dtype = wide(y.dtype)
    change = y.astype(dtype) - y_reference.astype(dtype)
    return change, jax.tree.unflatten(structure, slopes), reports


def _check_finite(change: jax.Array, f: Model) -> None:
    if is_concrete(change) and not np.isfinite(np.asarray(change)):
        raise ValueError(
            f"{name_of(f)} changed by {change} from the baseline to the input: it is not finite at "
            "one of them. A norm that is divided by is zero at a baseline of zeros, for instance; "
            "choose another baseline."
        )


def _warn_of_choices(sites: list[Site], change: jax.Array, lost: jax.Array) -> None:
    if sites:
        where = "; ".join(dict.fromkeys(f"{s.primitive} at {s.source}" for s in sites))
        warn_unless(
            jnp.abs(lost) <= _WORTH_TELLING * jnp.maximum(jnp.abs(change), jnp.abs(change - lost)),
            "Of the output's change {change}, {lost} is due to choices that no input is given the "
            "credit for: an index or a branch that the input decides (" + where + "). Ask for "
            "info=True to get it as info.unattributed, without this warning.",
            change=change,
            lost=lost,
        )


def deeplift_shap(
    f: Model,
    rules: Composite | DifferenceRule | None = None,
    *,
    multipliers: bool = False,
    missing: str = "error",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Attribution:
    r"""DeepLIFT averaged over a set of baselines: an estimate of Shapley values.

    $C_i = \frac1n \sum_k m_i^{(k)} (x_i - b_i^{(k)})$, which sums to $f(x)$ minus the mean score
    of the set.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: as for `deeplift`.
        multipliers: as for `deeplift`: the mean of the multipliers.
        missing: as for `deeplift`.
        chunk: at most this many baselines are live at once; "auto" for as many as run fast, None
            for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a set: leading axis n, then the
        shape of `x`), that returns a pytree like `x`.

    Raises:
        NotImplementedError: when called, if steps have no rule, or for a while loop.
        ValueError: when called, baselines of another shape than `x`.
        TypeError: when called, without baselines, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.relu(x[0] - x[1])
        >>> set_of_two = jnp.array([[0.0, 0.0], [1.0, 2.0]])
        >>> jaxplain.deeplift_shap(f)(jnp.array([2.0, 1.0]), baseline=set_of_two)
        Array([ 1.25, -0.25], dtype=float32)

    Notes:
        It is `over_baselines(deeplift(f))`. Under `jax.vmap` a shared set is bound with
        `functools.partial(explain, baseline=set)`; its references are then computed only once.

    References:
        Lundberg and Lee 2017, A unified approach to interpreting model predictions,
        arXiv:1705.07874.
    """
    single = deeplift(f, rules, multipliers=multipliers, missing=missing, argnums=argnums)
    return named(over_baselines(single, chunk=chunk, argnums=argnums), "deeplift_shap", f)
