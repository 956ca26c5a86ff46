"""Inactive elementwise affine steps (bias, BatchNorm, scaling, casts) and the runs they form."""

from __future__ import annotations

import dataclasses
import enum

import jax
import numpy as np

from .. import _compat
from ._trace import Atom, Equation, Program, Value, is_float, is_literal


class Effect(enum.Enum):
    """What an affine step does to the value that runs through it."""

    SCALE = enum.auto()
    SHIFT = enum.auto()
    MOVE = enum.auto()  # another shape, the same numbers
    CAST = enum.auto()


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One affine step: `other` is the inactive operand, at the other side of `slot`."""

    effect: Effect
    equation: Equation
    slot: int

    @property
    def data(self) -> Value:
        value: Value = self.equation.inputs[self.slot]
        return value

    @property
    def other(self) -> Atom | None:
        inputs = self.equation.inputs
        return inputs[1 - self.slot] if len(inputs) == 2 else None

    @property
    def negates(self) -> bool:
        """Whether it turns the sign around: `-x`, or `a - x`."""
        primitive = self.equation.primitive
        return primitive is jax.lax.neg_p or (primitive is jax.lax.sub_p and self.slot == 1)

    @property
    def output(self) -> Value:
        return self.equation.outputs[0]


_ADD = _compat.primitives_named("add add_any add_jaxvals")
_MOVES = _compat.primitives_named("reshape transpose squeeze expand_dims broadcast_in_dim")
_CASTS = _compat.primitives_named("convert_element_type reduce_precision copy")


def step_of(program: Program, value: Value) -> Step | None:
    """The affine step that computes `value`, if it is one that keeps the number of elements."""
    equation = program.producer(value)
    if equation is None or not program.is_active(value):
        return None
    active = [i for i, atom in enumerate(equation.inputs) if program.is_active(atom)]
    if len(active) != 1 or sum(map(program.is_dependent, equation.inputs)) != 1:
        return None  # what depends on the input is no constant, even without a derivative
    (slot,) = active
    effect = _effect(equation, slot)
    if effect is None or np.prod(equation.inputs[slot].aval.shape) != np.prod(value.shape):
        return None
    return Step(effect, equation, slot)


def _effect(equation: Equation, slot: int) -> Effect | None:
    primitive = equation.primitive
    if primitive in _ADD or primitive is jax.lax.sub_p:
        return Effect.SHIFT
    if primitive in (jax.lax.mul_p, jax.lax.neg_p) or (primitive is jax.lax.div_p and slot == 0):
        return Effect.SCALE
    if primitive in _MOVES:
        return Effect.MOVE
    if primitive in _CASTS and is_float(equation.inputs[0].aval):
        return Effect.CAST
    return None


def chain_to(program: Program, value: Value) -> tuple[Value, list[Step]]:
    """Walk back from `value` over affine steps; values used elsewhere too end the walk.

    Returns where the walk ended and the steps from there to `value`, in the order of execution.
    """
    steps: list[Step] = []
    current = value
    while (step := step_of(program, current)) is not None:
        steps.append(step)
        current = step.data
        if program.uses[current] > 1 or current in program.inputs:
            break
    return current, steps[::-1]


def varying_axes(program: Program, atom: Atom) -> frozenset[int]:
    """The axes along which an inactive operand may vary: broadcast ones do not."""
    if is_literal(atom):
        return frozenset()
    equation = program.producer(atom)
    if equation is not None and equation.primitive is jax.lax.broadcast_in_dim_p:
        (operand, *_), target = equation.inputs, equation.eqn.params["broadcast_dimensions"]
        return frozenset(target[axis] for axis in varying_axes(program, operand))
    return frozenset(axis for axis, size in enumerate(atom.aval.shape) if size > 1)
