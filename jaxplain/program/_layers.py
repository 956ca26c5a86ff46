"""Find affine layers: a dot, a convolution or a sum, with the inactive steps that fold into it."""

from __future__ import annotations

import dataclasses

import jax

from ._chains import Effect, Step, chain_to, varying_axes
from ._ops import Kind
from ._trace import Equation, Program, Value


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """The form of an affine site: steps before the core, the core, steps after it."""

    core: Equation | None
    slot: int
    before: tuple[Step, ...]
    after: tuple[Step, ...]
    # For each scaling step after the core: kernel axis for each of its operand's varying axes.
    folds: tuple[dict[int, int], ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.before, *self.after)


def match_layer(program: Program, value: Value) -> tuple[Kind, Layer] | None:
    """The affine site that ends in `value`, or None if no affine step computes it."""
    end, steps = chain_to(program, value)
    kind, slot, folded, folds = _longest_fold(program, end, steps)
    if kind and folded == len(steps):
        core = program.producers[end]
        before = () if kind is Kind.SUM else _before(program, core.inputs[slot])
        return kind, Layer(core, slot, before, tuple(steps), folds)
    rest = _unmoved(steps[folded:])
    if not (rest and _says_something(rest)):
        return None
    shifts = any(step.effect is Effect.SHIFT for step in rest)
    return (Kind.SHIFT if shifts else Kind.SCALE), Layer(None, 0, (), rest)


def _longest_fold(
    program: Program, end: Value, steps: list[Step]
) -> tuple[Kind, int, int, tuple[dict[int, int], ...]]:
    """Kind and active slot of the core at `end`, and how many of the steps after it fold into it.

    What does not fold, such as a scale that varies with the position, is a layer of its own.
    """
    core = program.producer(end)
    shared = bool(steps) and program.uses[end] > 1  # then it is a layer of its own
    if core is None or shared or not program.is_active(end):
        return Kind(0), 0, 0, ()
    kind, slot = _core_kind(program, core)
    if kind is Kind.SUM:
        return kind, slot, _leading_sum(steps), ()
    if not kind or kind not in Kind.AFFINE:
        return Kind(0), 0, 0, ()
    kernel_axes = _kernel_axes(core, slot)
    axes: list[int | None] = list(range(len(core.outputs[0].shape)))
    folds: list[dict[int, int]] = []
    for count, step in enumerate(steps):
        if step.effect is Effect.MOVE:
            axes = _moved(axes, step)
        elif step.effect is Effect.SCALE and step.other is not None:
            origins = {axis: axes[axis] for axis in varying_axes(program, step.other)}
            if not all(origin in kernel_axes for origin in origins.values()):
                return kind, slot, count, tuple(folds)
            folds.append({axis: kernel_axes[origin] for axis, origin in origins.items()})  # type: ignore[index]
    return kind, slot, len(steps), tuple(folds)


def _leading_sum(steps: list[Step]) -> int:
    """How many steps after a sum belong to it: moves, then scales and shifts, no moves again."""
    numbers = False
    for count, step in enumerate(steps):
        if step.effect is Effect.MOVE and numbers:
            return count
        numbers |= step.effect in (Effect.SCALE, Effect.SHIFT)
    return len(steps)


def _unmoved(steps: list[Step]) -> tuple[Step, ...]:
    """The steps after the last one that moves."""
    moves = [i for i, step in enumerate(steps) if step.effect is Effect.MOVE]
    return tuple(steps[moves[-1] + 1 if moves else 0 :])


def _says_something(steps: tuple[Step, ...]) -> bool:
    return any(step.effect in (Effect.SCALE, Effect.SHIFT) for step in steps)


def _before(program: Program, value: Value) -> tuple[Step, ...]:
    """Steps just before the core, where nobody else looks and no earlier layer claims them."""
    if program.uses[value] > 1 or value in program.inputs:
        return ()
    end, steps = chain_to(program, value)
    _, _, folded, _ = _longest_fold(program, end, steps)
    rest = steps[folded:]
    while rest and rest[0].effect is Effect.MOVE:
        rest = rest[1:]
    return tuple(rest) if _says_something(tuple(rest)) else ()


def _core_kind(program: Program, equation: Equation) -> tuple[Kind, int]:
    active = [i for i, atom in enumerate(equation.inputs) if program.is_active(atom)]
    if len(active) != 1:
        return Kind(0), 0
    return equation.op.kind, active[0]


def _kernel_axes(core: Equation, slot: int) -> dict[int, int]:
    """Which axis of the kernel an axis of the result comes from."""
    if core.op.kind is Kind.CONV:
        numbers = core.eqn.params["dimension_numbers"]
        return {numbers.out_spec[1]: numbers.rhs_spec[0]} if slot == 0 else {}
    contract, batch = core.eqn.params["dimension_numbers"]
    kernel = 1 - slot
    result: dict[int, int] = {i: axis for i, axis in enumerate(batch[kernel])}
    place = len(batch[0])
    for side in (0, 1):
        rank = len(core.inputs[side].aval.shape)
        free = [axis for axis in range(rank) if axis not in (*contract[side], *batch[side])]
        for axis in free:
            if side == kernel:
                result[place] = axis
            place += 1
    return result


def reading_axes(layer: Layer) -> tuple[int, ...]:
    """The axes of the kernel that one unit reads along."""
    assert layer.core is not None
    numbers = layer.core.eqn.params["dimension_numbers"]
    if layer.core.op.kind is Kind.CONV:
        rank = len(layer.core.inputs[1].aval.shape)
        return tuple(axis for axis in range(rank) if axis != numbers.rhs_spec[0])
    contract, _ = numbers
    return tuple(contract[1 - layer.slot])


def _moved(axes: list[int | None], step: Step) -> list[int | None]:
    """Follow axes through a reshape or transpose; None for those that were merged or split."""
    equation, source, target = step.equation, step.data.shape, step.output.shape
    if equation.primitive is jax.lax.transpose_p:
        return [axes[axis] for axis in equation.eqn.params["permutation"]]
    result: list[int | None] = [None] * len(target)
    for ends in (1, -1):  # equal sizes from the front, then from the back
        for i, (left, right) in enumerate(zip(source[::ends], target[::ends], strict=False)):
            if left != right:
                break
            place = i if ends == 1 else len(target) - 1 - i
            result[place] = axes[i if ends == 1 else len(source) - 1 - i]
    return result


def single_layer(equation: Equation, slot: int, kind: Kind) -> Layer:
    """The form of one scaling or shifting equation by itself."""
    effect = Effect.SCALE if kind is Kind.SCALE else Effect.SHIFT
    return Layer(None, 0, (), (Step(effect, equation, slot),))


def values_of(layer: Layer) -> list[Equation]:
    """The equations of a layer in the order of execution."""
    core = [] if layer.core is None else [layer.core]
    return [
        *(step.equation for step in layer.before),
        *core,
        *(step.equation for step in layer.after),
    ]
