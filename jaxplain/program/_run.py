"""Replay a grouped program, with rules in place of the derivatives of chosen sites.

A site with a rule becomes a `jax.custom_vjp` function whose backward pass is the rule; all else is
evaluated as it was written. Then `jax.vjp` of the replay does the rest: fan-out sums, loops,
batching and sharding are JAX's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from .. import _compat
from . import _calls
from ._ops import Kind
from ._sites import Grouped, Site
from ._trace import Equation, is_literal

Taps = Any  # a pytree of zeros; None where nothing is asked for


class Replacement(Protocol):
    """The backward pass of a site: a pytree, so that its numbers may be traced."""

    @property
    def linearize(self) -> bool:
        """Whether `backward` needs the site's own pullback (`Call.pullback`)."""

    def backward(
        self, call: Call, cotangents: tuple[jax.Array, ...], tap: Taps
    ) -> tuple[tuple[jax.Array, ...], Taps]:
        """Cotangents of the inputs, and what the tap asked for, shaped like the tap."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One evaluation of a site, as its backward pass sees it."""

    site: Site
    inputs: tuple[Any, ...]
    operands: tuple[Any, ...]
    outputs: tuple[Any, ...]
    pullback: Callable[..., tuple[Any, ...]] | None


def replay(
    grouped: Grouped,
    inputs: Sequence[Any],
    rules: Mapping[Site, Replacement],
    taps: Taps = None,
    watch: Callable[[Site, Any, Any, Any], None] | None = None,
) -> list[Any]:
    """Evaluate the outputs of a program.

    `taps` gathers reports of the backward pass, see `tap_tree`; `watch` is called with each site
    outside of loops, its inputs, operands and outputs.
    """
    program = grouped.program
    values: dict[Any, Any] = dict(zip(program.inputs, inputs, strict=True))
    values.update(program.constants)

    def read(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for place, step in enumerate(grouped.steps):
        if isinstance(step, Equation):
            results: Sequence[Any] = step.run([read(atom) for atom in step.inputs])
        elif step.kind is Kind.CALL:
            results = _run_call(grouped, step.equations[0], read, rules, taps and taps[place])
        else:
            actives = tuple(read(value) for value in step.inputs)
            operands = tuple(read(value) for value in step.operands)
            rule = rules.get(step)
            if rule is None:
                results = step(actives, operands)
            else:
                tap = None if taps is None else taps[place]
                results = _with_rule(step, rule, actives, operands, tap)
            if watch is not None:
                watch(step, actives, operands, results)
        values.update(zip(step.outputs, results, strict=True))
    return [read(atom) for atom in program.outputs]


def _run_call(
    grouped: Grouped,
    equation: Equation,
    read: Callable[[Any], Any],
    rules: Mapping[Site, Replacement],
    taps: Taps,
) -> Sequence[Any]:
    operands = [read(atom) for atom in equation.inputs]
    bodies = grouped.bodies.get(equation, ())
    if not any(site in rules for body in bodies for site in body.all_sites()):
        return equation.run(operands)

    def run(index: int, arguments: Sequence[Any], taps: Taps) -> list[Any]:
        return replay(bodies[index], arguments, rules, taps)

    return _calls.call(equation.eqn, operands, run, taps and taps["bodies"])


def _with_rule(
    site: Site, rule: Replacement, inputs: tuple[Any, ...], operands: tuple[Any, ...], tap: Taps
) -> tuple[Any, ...]:
    """The site as a function whose derivative is the rule.

    All numbers are arguments: a custom_vjp function must not close over traced ones.
    """

    @jax.custom_vjp
    def run(
        rule: Replacement, inputs: tuple[Any, ...], operands: tuple[Any, ...], tap: Taps
    ) -> tuple[Any, ...]:
        return site(inputs, operands)

    def forward(
        rule: Replacement, inputs: tuple[Any, ...], operands: tuple[Any, ...], tap: Taps
    ) -> tuple[Any, Any]:
        pullback = None
        if rule.linearize:
            outputs, pullback = jax.vjp(lambda *xs: site.detached(xs, operands), *inputs)
        else:
            outputs = site(inputs, operands)
        return outputs, (rule, inputs, operands, outputs, pullback, tap)

    def backward(residuals: Any, cotangents: Any) -> Any:
        rule, inputs, operands, outputs, pullback, tap = residuals
        call = Call(site, inputs, operands, outputs, pullback)
        results, report = rule.backward(call, cotangents, tap)
        return None, results, None, report

    run.defvjp(forward, backward)
    results: tuple[Any, ...] = run(rule, inputs, operands, tap)
    return results


def tap_tree(grouped: Grouped, make: Callable[[Grouped, Site], Taps]) -> Taps:
    """Zeros for what each site should report; a loop reports once for each of its steps.

    Give them to a replay: the cotangents of the taps are the reports.
    """
    taps: list[Any] = []
    for step in grouped.steps:
        if isinstance(step, Equation):
            taps.append(None)
        elif step.kind is Kind.CALL:
            equation = step.equations[0]
            inner = [tap_tree(body, make) for body in grouped.bodies.get(equation, ())]
            if equation.primitive is _compat.scan_p:
                length = _compat.read_scan(equation.eqn).length
                inner = jax.tree.map(
                    lambda zero, n=length: jnp.zeros((n, *zero.shape), zero.dtype), inner
                )
            taps.append({"bodies": inner, "site": make(grouped, step)})
        else:
            taps.append(make(grouped, step))
    return taps


def reports_of(grouped: Grouped, reports: Any) -> Iterator[tuple[Site, Any]]:
    """Each site with its report, those inside calls included; None where there is none."""
    for step, report in zip(grouped.steps, reports, strict=True):
        if isinstance(step, Equation):
            continue
        if step.kind is not Kind.CALL:
            yield step, report
            continue
        yield step, report["site"]
        bodies = grouped.bodies.get(step.equations[0], ())
        for body, inner in zip(bodies, report["bodies"], strict=True):
            yield from reports_of(body, inner)
