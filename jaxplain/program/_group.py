"""Group the equations of a program into sites: the largest pattern that ends in each."""

from __future__ import annotations

from collections.abc import Sequence

from . import _names
from ._clusters import between, called_entry, chained_entry, choosing, entries, spelled_entry
from ._layers import match_layer, single_layer, values_of
from ._ops import Kind
from ._patterns import Exponential, Normalization, match_exponential, match_normalization, scaling
from ._sites import Form, Grouped, Site
from ._trace import Atom, Equation, Program, Value, is_literal, number_of


def group(program: Program, outputs: Sequence[Atom] | None = None) -> Grouped:
    """Group a program from its outputs backwards: only what they need becomes a step."""
    finder = _Finder(program)
    needed = {a for a in (program.outputs if outputs is None else outputs) if not is_literal(a)}
    # What is needed only by what has no derivative, under a stop_gradient say, carries nothing.
    carrying = {value for value in needed if program.is_active(value)}
    steps: list[Site | Equation] = []
    bodies: dict[Equation, tuple[Grouped, ...]] = {}
    for equation in reversed(program.equations):
        carries = carrying.intersection(equation.outputs)
        if not (carries or needed.intersection(equation.outputs) or equation.has_effect):
            continue
        if not carries:
            steps.append(equation)
            needed.update(atom for atom in equation.inputs if not is_literal(atom))
            continue
        if equation.bodies:
            bodies[equation] = tuple(map(group, equation.bodies))
        site = finder.site(equation)
        steps.append(site)
        needed.update((*site.inputs, *site.operands))
        carrying.update(site.inputs)
    return Grouped(program, tuple(reversed(steps)), bodies)


class _Finder:
    """Finds the site that ends in an equation: the largest pattern that fits."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.entries = entries(program)
        self.paths = _names.paths(program)

    def site(self, equation: Equation) -> Site:
        value = equation.outputs[0]
        if len(equation.outputs) == 1:
            for match in (
                self._exponential,
                self._normalization,
                self._called,
                self._layer,
                self._activation,
                self._chosen,
            ):
                if (site := match(value)) is not None:
                    return site
        return self._single(equation)

    def _exponential(self, value: Value) -> Site | None:
        found = match_exponential(self.program, value)
        return None if found is None else self._spanning(value, *found)

    def _normalization(self, value: Value) -> Site | None:
        if self.program.differences:
            return self._scaling(value)
        found = match_normalization(self.program, value)
        return None if found is None else self._spanning(value, *found)

    def _scaling(self, value: Value) -> Site | None:
        """The division alone: the steps to the scale say more about differences than the whole."""
        found = scaling(self.program, value)
        if found is None or found.data is found.scale:
            return None
        equation, form = self.program.producers[value], Normalization(found.scale)
        ends = [found.data, found.scale]
        return self._make(Kind.NORMALIZATION, [equation], ends, [value], form, equation)

    def _spanning(self, value: Value, kind: Kind, root: Value, form: Form) -> Site:
        """All equations from `root` to `value`."""
        stops = {root, *(form.shift if isinstance(form, Exponential) else ())}
        equations = between(self.program, value, frozenset(stops))
        return self._make(kind, equations, [root], [value], form, equations[-1])

    def _layer(self, value: Value) -> Site | None:
        found = match_layer(self.program, value)
        if found is None:
            return None
        kind, layer = found
        equations = values_of(layer)
        main = layer.core or equations[0]
        slot = layer.steps[0].slot if layer.core is None or layer.before else layer.slot
        data = equations[0].inputs[slot]
        return self._make(kind, equations, [data], [value], layer, main)

    def _called(self, value: Value) -> Site | None:
        entry = called_entry(self.program, value)
        if entry is None:
            return None
        equations = between(self.program, value, frozenset({entry}))
        return self._make(Kind.ELEMENTWISE, equations, [entry], [value], None, equations[-1])

    def _activation(self, value: Value) -> Site | None:
        entry = spelled_entry(self.program, self.entries, value)
        if entry is None or not self.program.is_active(entry):
            return None
        if self.program.differences:  # a secant of the whole says more than secants in a row
            entry = chained_entry(self.program, self.entries, entry)
        equations = between(self.program, value, frozenset({entry}))
        if len(equations) == 1:
            return self._single(equations[0])
        return self._make(Kind.ELEMENTWISE, equations, [entry], [value], None, equations[-1])

    def _chosen(self, value: Value) -> Site | None:
        """Elementwise steps that truth values take part in, as one step from real numbers."""
        found = choosing(self.program, value) if self.program.differences else None
        if found is None:
            return None
        equations, inputs = found
        return self._make(Kind.ELEMENTWISE, equations, inputs, [value], None, equations[-1])

    def _single(self, equation: Equation) -> Site:
        kind = _alone(self.program, equation)
        inputs = list(dict.fromkeys(a for a in equation.inputs if self.program.is_active(a)))
        form = None
        if kind in Kind.SCALE | Kind.SHIFT and kind:
            form = single_layer(equation, equation.inputs.index(inputs[0]), kind)
        return self._make(kind, [equation], inputs, list(equation.outputs), form, equation)

    def _make(
        self,
        kind: Kind,
        equations: list[Equation],
        inputs: list[Value],
        outputs: list[Value],
        form: Form,
        main: Equation,
    ) -> Site:
        made = {value for equation in equations for value in equation.outputs} | set(inputs)
        read = (a for e in equations for a in e.inputs if not is_literal(a) and a not in made)
        operands = tuple(dict.fromkeys(read))
        numbers = {operand: number_of(self.program, operand) for operand in operands}
        constants = {operand: n for operand, n in numbers.items() if n is not None}
        path = self.paths[main]
        primitive = main.primitive.name
        if kind is Kind.NAME:
            path = "/".join(filter(None, (path, str(main.eqn.params["name"]))))
        return Site(
            kind, path, primitive, tuple(inputs), operands, tuple(outputs), tuple(equations),
            form, main.source, constants,
        )  # fmt: skip


# With one active operand, a binary primitive is something simpler.
_ALONE: dict[Kind, Kind] = {
    Kind.ADD: Kind.SHIFT,
    Kind.DIVISION: Kind.ELEMENTWISE,
    Kind.PRODUCT: Kind.SCALE,
}


def _alone(program: Program, equation: Equation) -> Kind:
    """The kind of one equation by itself, given how many of its operands are active."""
    kind = equation.op.kind
    operands = [atom for atom in equation.inputs if program.is_active(atom)]
    if kind in Kind.AFFINE and kind and len(operands) == 2:
        return Kind.PRODUCT
    if kind is Kind.MAX and equation.op.pointwise and len(operands) == 1:
        return Kind.ELEMENTWISE
    if equation.op.pointwise and len(operands) == 1 and len(equation.inputs) == 2:
        return _ALONE.get(kind, kind)
    return kind
