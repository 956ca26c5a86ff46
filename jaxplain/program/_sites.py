"""Sites: layer-like steps of a program, for rules to act on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax

from ._affine import Linear, add_view, linear_view, sum_view
from ._layers import Layer
from ._ops import Kind
from ._patterns import Exponential, Normalization
from ._trace import Atom, Equation, Program, Value, is_literal

Form: TypeAlias = Layer | Exponential | Normalization | None
Run: TypeAlias = Callable[[Equation, Sequence[Any]], Sequence[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """One layer-like step of a program: what a rule is chosen for and acts on.

    Args:
        kind: what the step does.
        path: the named scopes around it, `"CNN/Conv_0"`; repeated calls are `d#0`, `d#1`.
        primitive: the name of its main primitive.
        inputs: the active values that it reads, which relevance flows back to.
        operands: the inactive values that it reads: weights, biases, masks, indices.
        outputs: the active values that it computes.
        equations: its equations, in the order of execution.
        form: what the grouping knows about it.
        source: the user's line, `model.py:12 (__call__)`.
        constants: the operands that are one literal number everywhere.
        depth: how many affine layers lie before it, on the longest way from an explained input.
        first: whether no affine layer lies before it.
        last: whether no affine layer lies after it.
        origins: for each input the kind of the site that made it, movement and scaling left out.
        nonnegative: for each input whether it is known to be non-negative, whatever `x` is, after
            the scaling that is folded into the site.

    Returns:
        Called on numbers for `inputs` and `operands`, the numbers of `outputs`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> table = jaxplain.show(lambda x: jnp.tanh(2 * x).sum())(jnp.ones(3))
        >>> [row.kind for row in table.rows]
        ['SCALE', 'ELEMENTWISE', 'SUM']
    """

    kind: Kind
    path: str
    primitive: str
    inputs: tuple[Value, ...]
    operands: tuple[Value, ...]
    outputs: tuple[Value, ...]
    equations: tuple[Equation, ...]
    form: Form
    source: str
    constants: dict[Value, Any]
    depth: int = 0
    first: bool = True
    last: bool = True
    origins: tuple[Kind, ...] = ()
    nonnegative: tuple[bool, ...] = ()

    def __call__(
        self, inputs: Sequence[Any], operands: Sequence[Any], *, run: Run = Equation.run
    ) -> tuple[Any, ...]:
        """Evaluate the site; `run` evaluates an equation."""
        return self._run(inputs, operands, None, run)

    def detached(self, inputs: Sequence[Any], operands: Sequence[Any]) -> tuple[Any, ...]:
        """Evaluate the site with the scale of a normalisation held constant."""
        scale = self.form.scale if isinstance(self.form, Normalization) else None
        return self._run(inputs, operands, scale)

    def _run(
        self,
        inputs: Sequence[Any],
        operands: Sequence[Any],
        constant: Value | None,
        run: Run = Equation.run,
    ) -> tuple[Any, ...]:
        values = self._values(inputs, operands)
        for equation in self.equations:
            results = run(equation, [_read(values, atom) for atom in equation.inputs])
            values.update(zip(equation.outputs, results, strict=True))
            if constant is not None and constant in equation.outputs:
                values[constant] = jax.lax.stop_gradient(values[constant])
        return tuple(values[value] for value in self.outputs)

    def linear(self, inputs: Sequence[Any], operands: Sequence[Any]) -> Linear:
        """The site as a linear map with effective weights; for kinds in `Kind.LINEAR`."""
        values = self._values(inputs, operands)

        def read(atom: Atom) -> Any:
            return _read(values, atom)

        if isinstance(self.form, Layer):

            def at_zero() -> jax.Array:
                zeros = [jax.numpy.zeros_like(x) for x in inputs]
                value: jax.Array = self(zeros, operands)[0]
                return value

            return linear_view(self.form, read, at_zero)
        if self.kind is Kind.ADD:
            return add_view(self.equations[0], read)
        return sum_view(inputs, lambda xs: self(xs, operands)[0])

    @property
    def label(self) -> str:
        """The path, or what stands for it where there are no scopes."""
        return self.path or self.primitive

    def _values(self, inputs: Sequence[Any], operands: Sequence[Any]) -> dict[Value, Any]:
        values = dict(zip(self.inputs, inputs, strict=True))
        values.update(zip(self.operands, operands, strict=True))
        return values


def _read(values: dict[Value, Any], atom: Atom) -> Any:
    return atom.val if is_literal(atom) else values[atom]


@dataclasses.dataclass(frozen=True, eq=False)
class Grouped:
    """A program as the sites and inactive equations that its outputs need, in order."""

    program: Program
    steps: tuple[Site | Equation, ...]
    bodies: dict[Equation, tuple[Grouped, ...]]

    @property
    def sites(self) -> list[Site]:
        return [step for step in self.steps if isinstance(step, Site)]

    def all_sites(self) -> list[Site]:
        """The sites of this program and of all programs inside, in order."""
        found: list[Site] = []
        for site in self.sites:
            found.append(site)
            if site.kind is Kind.CALL:
                for body in self.bodies.get(site.equations[0], ()):
                    found += body.all_sites()
        return found
