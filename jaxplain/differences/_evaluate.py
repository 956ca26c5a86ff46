"""Evaluate one site at the input and at the reference, with a rule as its backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .. import _compat
from ..program._ops import Kind
from ..program._patterns import Exponential
from ..program._sites import Site
from ..program._trace import Program
from ._linear import PARTING, Linear, positive_part
from ._pair import Pair, positive_of, reference_of, value_of
from ._rule import Arrays, Change, DifferenceRule, contribution, count


def is_choice(program: Program, site: Site) -> bool:
    """Whether indices or truth values that change with the input choose what the site does."""
    if site.kind is Kind.CALL:
        equation = site.equations[0]
        return equation.primitive is _compat.cond_p and program.is_dependent(equation.inputs[0])
    # Of a subtracted maximum any will do.
    return not isinstance(site.form, Exponential) and any(map(program.is_dependent, site.operands))


def evaluate_site(
    site: Site,
    rule: DifferenceRule | None,
    inputs: Sequence[Pair],
    operands: Sequence[Any],
    tap: Any,
    *,
    chooses: bool,
    parted: bool,
) -> list[Pair]:
    """The site's outputs as pairs; `parted` also with the positive part of the difference.

    Operands that change with the input (indices, truth values) choose what is done with the data.
    The data get the mean of what both choices make of their change; the rest is the choice's.
    """
    here, there = tuple(map(value_of, operands)), tuple(map(reference_of, operands))
    if not chooses:
        return _evaluate(site, rule, inputs, here, there, tap, parted)
    chosen, other = (_evaluate(site, rule, inputs, way, way, None, False) for way in (here, there))
    return meet(chosen, other, tap)


def _evaluate(
    site: Site,
    rule: DifferenceRule | None,
    inputs: Sequence[Pair],
    operands: Arrays,
    reference_operands: Arrays,
    tap: Any,
    parted: bool,
) -> list[Pair]:
    values, references = ([pair[end] for pair in inputs] for end in (0, 1))
    reference_outputs = site(references, reference_operands)
    if rule is None or (isinstance(rule, Linear) and tap is None):
        outputs = site(values, operands)
    else:
        parts = tuple(map(positive_of, inputs)) if rule.parts else ()
        sides = (tuple(values), tuple(references), operands, reference_outputs, parts)
        outputs = _with_rule(site, rule, *sides, tap)
    pairs = [Pair(*ends) for ends in zip(outputs, reference_outputs, strict=True)]
    if parted and site.kind in PARTING:
        pairs[0] = pairs[0]._replace(positive=positive_part(site, inputs, operands))
    return pairs


def _with_rule(
    site: Site,
    rule: DifferenceRule,
    inputs: Arrays,
    references: Arrays,
    operands: Arrays,
    reference_outputs: Arrays,
    parts: Arrays,
    tap: Any,
) -> Arrays:
    """The site as a function whose derivative is the rule; all numbers are arguments."""

    @jax.custom_vjp
    def run(
        rule: Any, inputs: Any, parts: Any, references: Any, operands: Any, others: Any, tap: Any
    ) -> Arrays:
        return site(inputs, operands)

    def forward(
        rule: Any, inputs: Any, parts: Any, references: Any, operands: Any, others: Any, tap: Any
    ) -> tuple[Arrays, Any]:
        outputs = site(inputs, operands)
        change = (inputs, references, operands, outputs, others, parts)
        return outputs, (rule, change, tap)

    def backward(residuals: Any, multipliers: Arrays) -> Any:
        rule, change, tap = residuals
        results, positives, report = rule.backward(Change(site, *change), multipliers, tap)
        return None, results, positives, None, None, None, report

    run.defvjp(forward, backward)
    results: Arrays = run(rule, inputs, parts, references, operands, reference_outputs, tap)
    return results


def meet(ways: Sequence[Pair], others: Sequence[Pair], tap: Any) -> list[Pair]:
    """Two ways, as chosen at the input and at the reference, become one with half of each."""
    results = []
    for chosen, other in zip(ways, others, strict=True):
        value = chosen.value
        if jnp.issubdtype(value.dtype, jnp.inexact):
            value = _halfway(chosen.value, other.value, chosen.reference, other.reference, tap)
        results.append(Pair(value, other.reference))
    return results


@jax.custom_vjp
def _halfway(
    chosen: jax.Array, other: jax.Array, reference: jax.Array, other_reference: jax.Array, tap: Any
) -> jax.Array:
    return chosen


def _halfway_forward(
    chosen: jax.Array, other: jax.Array, reference: jax.Array, other_reference: jax.Array, tap: Any
) -> tuple[jax.Array, Any]:
    return chosen, (chosen, other, reference, other_reference, tap)


def _halfway_backward(residuals: Any, multiplier: jax.Array) -> Any:
    chosen, other, reference, other_reference, tap = residuals
    half = multiplier * jnp.asarray(0.5, multiplier.dtype)
    report = None
    if tap is not None:
        moved = contribution(half, (chosen - other) + (reference - other_reference))
        data = contribution(half, (chosen - reference) + (other - other_reference))
        report = count([(multiplier, chosen - other_reference)], [data], moved, tap)
    return half, half, None, None, report


_halfway.defvjp(_halfway_forward, _halfway_backward)
