"""Equations that call other programs: what is inside, and how to call it again rewritten.

A call is never rebuilt parameter by parameter: its body becomes a Python function, and the public
`jax.lax.scan`, `jax.lax.switch` or `jax.checkpoint` is called again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from .. import _compat

# (closed jaxpr, active inputs, dependent inputs) -> Program
Nested = Callable[[Any, Sequence[bool], Sequence[bool]], Any]
# (index of the body, its inputs, its taps) -> its outputs
Run = Callable[[int, Sequence[Any], Any], list[Any]]


def bodies(
    eqn: Any, active: list[bool], dependent: list[bool], nested: Nested
) -> tuple[tuple[Any, ...], list[bool], list[bool]]:
    """The programs inside, and which results are active and dependent."""
    if eqn.primitive is _compat.scan_p:
        return _scan_bodies(eqn, active, dependent, nested)
    if eqn.primitive is _compat.cond_p:
        programs = tuple(nested(branch, active[1:], dependent[1:]) for branch in _branches(eqn))
        actives, dependents = zip(*map(_flags, programs), strict=True)
        chosen = dependent[0]
        return (
            programs,
            [any(flags) for flags in zip(*actives, strict=True)],
            [any(flags) or chosen for flags in zip(*dependents, strict=True)],
        )
    if eqn.primitive is _compat.remat_p:
        program = nested(_compat.closed(eqn.params["jaxpr"]), active, dependent)
        return ((program,), *_flags(program))
    # A while loop: nothing can flow back through it, and only the error message needs to know.
    return (), [any(active)] * len(eqn.outvars), [any(dependent)] * len(eqn.outvars)


def _scan_bodies(
    eqn: Any, active: list[bool], dependent: list[bool], nested: Nested
) -> tuple[tuple[Any, ...], list[bool], list[bool]]:
    """The body, once the activity of what is carried from step to step has settled."""
    scan = _compat.read_scan(eqn)
    active, dependent = list(active), list(dependent)
    carried = range(scan.constants, scan.constants + scan.carry)
    while True:
        program = nested(scan.body, active, dependent)
        active_out, dependent_out = _flags(program)
        before = (list(active), list(dependent))
        for place, (on, depends) in zip(
            carried, zip(active_out, dependent_out, strict=True), strict=False
        ):
            active[place] |= on
            dependent[place] |= depends
        if before == (active, dependent):
            # A carried value that starts active stays so, even if the body resets it.
            for i, place in enumerate(carried):
                active_out[i] |= active[place]
                dependent_out[i] |= dependent[place]
            return (program,), active_out, dependent_out


def carried(eqn: Any) -> list[tuple[int, int]]:
    """For a scan the places of each carried value among the body's inputs and its outputs."""
    if eqn.primitive is not _compat.scan_p:
        return []
    scan = _compat.read_scan(eqn)
    return [(scan.constants + i, i) for i in range(scan.carry)]


def _flags(program: Any) -> tuple[list[bool], list[bool]]:
    outputs = program.outputs
    return [program.is_active(a) for a in outputs], [program.is_dependent(a) for a in outputs]


def _branches(eqn: Any) -> list[Any]:
    return [_compat.closed(branch) for branch in eqn.params["branches"]]


def call(eqn: Any, operands: Sequence[Any], run: Run, taps: Any) -> list[Any]:
    """Call the equation again, its bodies replaced by `run`; one tree of taps for each body."""
    if eqn.primitive is _compat.scan_p:
        return _scan(eqn, operands, run, taps)
    if eqn.primitive is _compat.cond_p:
        index, *rest = operands

        def branch(i: int) -> Callable[..., list[Any]]:
            return lambda *arguments: run(i, arguments, taps and taps[i])

        branches = [branch(i) for i in range(len(eqn.params["branches"]))]
        return list(jax.lax.switch(index, branches, *rest))

    def body(taps: Any, *arguments: Any) -> list[Any]:
        return run(0, arguments, taps)

    params = eqn.params
    checkpointed = jax.checkpoint(body, prevent_cse=params["prevent_cse"], policy=params["policy"])
    return list(checkpointed(taps and taps[0], *operands))


def _scan(eqn: Any, operands: Sequence[Any], run: Run, taps: Any) -> list[Any]:
    scan = _compat.read_scan(eqn)
    split = scan.constants + scan.carry
    constants = tuple(operands[: scan.constants])
    initial, rows = tuple(operands[scan.constants : split]), tuple(operands[split:])

    def body(carry: Any, step: Any) -> Any:
        row, tap = step
        results = run(0, (*constants, *carry, *row), tap)
        return tuple(results[: scan.carry]), tuple(results[scan.carry :])

    carry, stacked = jax.lax.scan(
        body,
        initial,
        (rows, taps and taps[0]),
        length=scan.length,
        reverse=scan.reverse,
        unroll=scan.unroll,
    )
    return [*carry, *stacked]
