"""Trace a function into a flat program: nested `jax.jit` calls inlined, active values known."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .. import _compat
from .._types import PyTree
from . import _calls
from ._ops import Kind, Op, op_of


class Value:
    """One intermediate result; compared by identity."""

    __slots__ = ("aval",)

    def __init__(self, aval: Any) -> None:
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.aval.shape)


Atom: TypeAlias = Any  # a Value, or a literal with its number in `.val`


@dataclasses.dataclass(frozen=True, eq=False)
class Equation:
    """One step of a program: a jaxpr equation on this program's own values."""

    eqn: Any
    inputs: tuple[Atom, ...]
    outputs: tuple[Value, ...]
    scopes: tuple[str, ...]
    calls: tuple[Any, ...] = ()  # the calls that it was inlined from, outermost first
    bodies: tuple[Program, ...] = ()  # what scan, cond and remat call

    @property
    def op(self) -> Op:
        return op_of(self.eqn.primitive)

    @property
    def primitive(self) -> Any:
        return self.eqn.primitive

    @property
    def source(self) -> str:
        """The user's line; that of the call where the equation itself knows none."""
        lines = (_compat.source_line(eqn) for eqn in (self.eqn, *reversed(self.calls)))
        return next((line for line in lines if line), "an unknown line")

    @property
    def has_effect(self) -> bool:
        """Whether it does something beside its results: a debugging print, a callback."""
        return bool(self.eqn.effects)

    def run(self, operands: Sequence[Any]) -> list[Any]:
        """The equation as it was written."""
        return _compat.bind(self.eqn, *operands)


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A straight line of equations.

    Active values carry derivatives from an explained input; dependent ones are also those that
    change with it without a derivative: indices, truth values, what stands under stop_gradient.
    In a program of `differences` every real number that changes is active: no derivative is needed
    to say by how much.
    """

    inputs: tuple[Value, ...]
    constants: dict[Value, Any]
    equations: tuple[Equation, ...]
    outputs: tuple[Atom, ...]
    active: frozenset[Value]
    dependent: frozenset[Value]
    producers: dict[Value, Equation]
    uses: dict[Value, int]
    # For the result of an inlined call of one dependent value: that value, innermost call first.
    spans: dict[Value, list[Value]]
    differences: bool

    @functools.cached_property
    def order(self) -> dict[Equation, int]:
        """The place of each equation in the order of execution."""
        return {equation: i for i, equation in enumerate(self.equations)}

    def producer(self, atom: Atom) -> Equation | None:
        """The equation that computes a value; None for inputs, constants and literals."""
        return None if is_literal(atom) else self.producers.get(atom)

    def is_active(self, atom: Atom) -> bool:
        return not is_literal(atom) and atom in self.active

    def is_dependent(self, atom: Atom) -> bool:
        return not is_literal(atom) and atom in self.dependent


@dataclasses.dataclass(frozen=True)
class Traced:
    """A function traced at its arguments: build programs from it, and restore its output."""

    closed: Any
    structure: Any

    def program(
        self,
        opened: frozenset[int] | None = None,
        *,
        inline_remat: bool = False,
        differences: bool = False,
    ) -> Program:
        """The program; of the custom-derivative calls only those `opened` are inlined (or all)."""
        mask = [True] * len(self.closed.jaxpr.invars)
        reading = _Reading(opened, inline_remat, differences)
        return _build(self.closed, mask, mask, (), (), reading)

    def restore(self, outputs: Sequence[Any]) -> PyTree:
        return jax.tree.unflatten(self.structure, outputs)


def trace(function: Callable[..., PyTree], *args: PyTree) -> Traced:
    """Trace `function`; what it closes over stays closed over, tracers included."""
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    return Traced(closed, jax.tree.structure(shapes))


def body_of(program: Program, equation: Equation) -> Program | None:
    """What a function with a derivative of its own computes, or None for any other equation."""
    if (inner := _compat.custom_call(equation.eqn)) is None:
        return None
    active = [program.is_active(atom) for atom in equation.inputs]
    dependent = [program.is_dependent(atom) for atom in equation.inputs]
    reading = _Reading(None, True, program.differences)
    return _build(inner, active, dependent, equation.scopes, equation.calls, reading)


def is_literal(atom: Atom) -> bool:
    return isinstance(atom, _compat.Literal)


def is_float(aval: Any) -> bool:
    return bool(jnp.issubdtype(aval.dtype, jnp.inexact))


# What leaves a number that is the same everywhere as it is.
_UNIFORM = frozenset(
    {jax.lax.broadcast_in_dim_p, jax.lax.convert_element_type_p, jax.lax.reshape_p}
)


def number_of(program: Program, atom: Atom) -> Any:
    """The number that a value is everywhere, as `broadcast(0.0)` is, or None."""
    root = atom
    while (equation := program.producer(root)) is not None and equation.primitive in _UNIFORM:
        root = equation.inputs[0]
    return np.asarray(root.val, atom.aval.dtype) if is_literal(root) else None


def _build(
    closed: Any,
    active: Sequence[bool],
    dependent: Sequence[bool],
    scopes: tuple[str, ...],
    calls: tuple[Any, ...],
    reading: _Reading,
) -> Program:
    builder = _Builder(reading)
    inputs = [Value(var.aval) for var in closed.jaxpr.invars]
    builder.mark(inputs, active, dependent)
    outputs = builder.inline(closed, inputs, scopes, calls)
    uses: dict[Value, int] = {}
    for atom in (atom for e in builder.equations for atom in e.inputs if not is_literal(atom)):
        uses[atom] = uses.get(atom, 0) + 1
    for atom in (atom for atom in outputs if not is_literal(atom)):
        uses[atom] = uses.get(atom, 0) + 1
    return Program(
        tuple(inputs),
        builder.constants,
        tuple(builder.equations),
        tuple(outputs),
        frozenset(builder.active),
        frozenset(builder.dependent),
        {value: e for e in builder.equations for value in e.outputs},
        uses,
        builder.spans,
        reading.differences,
    )


@dataclasses.dataclass(frozen=True)
class _Reading:
    """What a jaxpr is read for: which calls dissolve into the program (`jax.jit` always)."""

    opened: frozenset[int] | None  # custom-derivative calls, by identity; None for all
    remat: bool
    differences: bool

    def body(self, eqn: Any) -> Any:
        """The closed jaxpr to inline, or None to keep the equation."""
        if (inner := _compat.inlined(eqn)) is not None:
            return inner
        inner = _compat.custom_call(eqn)
        if inner is not None and (self.opened is None or id(eqn) in self.opened):
            return inner
        if self.remat and eqn.primitive is _compat.remat_p:
            return _compat.closed(eqn.params["jaxpr"])
        return None


class _Builder:
    """Collects the equations of one program while jaxprs are inlined into it."""

    def __init__(self, reading: _Reading) -> None:
        self.reading = reading
        self.equations: list[Equation] = []
        self.constants: dict[Value, Any] = {}
        self.active: set[Value] = set()
        self.dependent: set[Value] = set()
        self.spans: dict[Value, list[Value]] = {}

    def inline(
        self, closed: Any, inputs: Sequence[Atom], scopes: tuple[str, ...], calls: tuple[Any, ...]
    ) -> list[Atom]:
        """Append a jaxpr's equations; returns its outputs as values of this program."""
        jaxpr = closed.jaxpr
        atoms: dict[Any, Atom] = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, constant in zip(jaxpr.constvars, closed.consts, strict=True):
            atoms[var] = Value(var.aval)
            self.constants[atoms[var]] = constant

        def read(atom: Any) -> Atom:
            return atom if is_literal(atom) else atoms[atom]

        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            inside = (*scopes, *_compat.scopes(eqn))
            if self.reading.differences and eqn.primitive is _compat.stop_gradient_p:
                results = operands
            elif (inner := self.reading.body(eqn)) is not None:
                results = self.inline(inner, operands, inside, (*calls, eqn))
                self.note_span(operands, results)
            else:
                results = self.append(eqn, operands, inside, calls)
            atoms.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def note_span(self, operands: list[Atom], results: list[Atom]) -> None:
        dependent = [a for a in operands if not is_literal(a) and a in self.dependent]
        if len(dependent) == len(results) == 1 and not is_literal(results[0]):
            self.spans.setdefault(results[0], []).append(dependent[0])

    def append(
        self, eqn: Any, operands: list[Atom], scopes: tuple[str, ...], calls: tuple[Any, ...]
    ) -> list[Atom]:
        active = [not is_literal(a) and a in self.active for a in operands]
        dependent = [not is_literal(a) and a in self.dependent for a in operands]
        outputs = [Value(var.aval) for var in eqn.outvars]
        bodies: tuple[Program, ...] = ()
        active_out = dependent_out = [any(dependent)] * len(outputs)
        if eqn.primitive is _compat.stop_gradient_p:
            active_out = [False]
        elif op_of(eqn.primitive).kind is Kind.CALL and any(dependent):

            def nested(closed: Any, active: Sequence[bool], dependent: Sequence[bool]) -> Program:
                return _build(closed, active, dependent, scopes, calls, self.reading)

            bodies, active_out, dependent_out = _calls.bodies(eqn, active, dependent, nested)
        else:
            active_out = [any(active)] * len(outputs)
        self.mark(outputs, active_out, dependent_out)
        self.equations.append(Equation(eqn, tuple(operands), tuple(outputs), scopes, calls, bodies))
        return list(outputs)

    def mark(
        self, values: Sequence[Value], active: Sequence[bool], dependent: Sequence[bool]
    ) -> None:
        """Note which values are active and dependent; whole numbers are never active."""
        for value, carries, depends in zip(values, active, dependent, strict=True):
            if depends:
                self.dependent.add(value)
            if is_float(value.aval) and (depends if self.reading.differences else carries):
                self.active.add(value)
