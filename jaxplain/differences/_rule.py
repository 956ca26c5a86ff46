"""What a DeepLIFT rule is: the multipliers of a site's inputs, from those of its outputs."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ..backprop._base import BaseRule
from ..program._ops import Kind
from ..program._sites import Site

Arrays = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Change:
    """One evaluation of a site, at the input and at the reference.

    Args:
        site: what the step is.
        inputs: its active inputs at the input.
        references: the same at the reference.
        operands: its inactive operands, the same on both sides.
        outputs: what it computed at the input.
        reference_outputs: what it computed at the reference.
        positives: the positive parts of the inputs' differences, for rules that ask for them.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain.rules import Change
        >>> change = Change(None, (jnp.ones(2),), (jnp.zeros(2),), (), (), ())
        >>> change.differences
        (Array([1., 1.], dtype=float32),)
    """

    site: Site
    inputs: Arrays
    references: Arrays
    operands: Arrays
    outputs: Arrays
    reference_outputs: Arrays
    positives: Arrays = ()

    @property
    def differences(self) -> Arrays:
        """By how much each input differs from its reference."""
        return tuple(x - r for x, r in zip(self.inputs, self.references, strict=True))

    def evaluate(self, *inputs: Any) -> Arrays:
        """The site on other inputs."""
        return self.site(inputs, self.operands)


class Multiplied(NamedTuple):
    """What a rule made of the multipliers of a site's outputs.

    Args:
        inputs: a tuple with the multipliers of each input, shaped like it.
        positives: by how much the multipliers of the positive parts exceed them, or None.
        unattributed: what no input is given, an array of any shape, or None.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain.rules import Multiplied
        >>> Multiplied((jnp.ones(2),)).unattributed is None
        True
    """

    inputs: Arrays
    positives: Arrays | None = None
    unattributed: Any = None


# What a tap counts, in this order.
COLUMNS = ("change", "received", "distributed", "unattributed")


class DifferenceRule(BaseRule):
    r"""A DeepLIFT rule for sites of some kinds; subclass it to write one of your own.

    A multiplier says by how much the score changes per unit of change of a value. A rule turns the
    multipliers $m_j$ of a site's outputs into those of its inputs, so that
    $\sum_i m_i \Delta x_i = \sum_j m_j \Delta y_j$.

    Returns:
        A rule, for use in a `Composite` for `deeplift` or instead of one.

    Example:
        >>> import dataclasses, jax.numpy as jnp, jaxplain
        >>> from jaxplain.rules import DifferenceRule, Multiplied
        >>> @dataclasses.dataclass(frozen=True)
        ... class Secant(DifferenceRule):
        ...     kinds = main = jaxplain.Kind.ELEMENTWISE
        ...     def propagate(self, change, multipliers):
        ...         rise = change.outputs[0] - change.reference_outputs[0]
        ...         return Multiplied((multipliers[0] * rise / change.differences[0],))
        >>> jaxplain.deeplift(lambda x: jnp.exp(x[0]), Secant())(jnp.ones(1)).round(4)
        Array([1.7183], dtype=float32)

    Notes:
        With the class attribute `partial = True` a rule may leave part of the change to
        `Multiplied.unattributed`; with `parts = True` it finds the positive parts of its inputs'
        changes in `change.positives`, and may return `Multiplied.positives` for them.
    """

    main: ClassVar[Kind] = Kind.ELEMENTWISE

    parts: ClassVar[bool] = False  # whether the rule reads `change.positives`
    partial: ClassVar[bool] = False  # whether it may leave something unattributed

    def propagate(self, change: Change, multipliers: Arrays) -> Multiplied:
        """The multipliers of the inputs, from those of the outputs; what a subclass writes."""
        raise NotImplementedError(f"{self.name} has no propagate(change, multipliers).")

    def backward(self, change: Change, multipliers: Arrays, tap: Any) -> tuple[Arrays, Arrays, Any]:
        """What the engine calls: multipliers of inputs and their positive parts, and a report."""
        result = self.propagate(change, multipliers)
        inputs = tuple(m.astype(x.dtype) for m, x in zip(result.inputs, change.inputs, strict=True))
        positives = tuple(jnp.zeros_like(p) for p in change.positives)
        if result.positives is not None:
            positives = tuple(
                m.astype(p.dtype) for m, p in zip(result.positives, change.positives, strict=True)
            )
        if tap is None:
            return inputs, positives, None
        distributed = [contribution(m, d) for m, d in zip(inputs, change.differences, strict=True)]
        if result.positives is not None:
            distributed += map(contribution, positives, change.positives)
        report = count(rises(change, multipliers), distributed, result.unattributed, tap)
        return inputs, positives, report


def rises(change: Change, multipliers: Arrays) -> list[tuple[Any, Any]]:
    """The multiplier and the change of each output that is a real number."""
    ends = zip(multipliers, change.outputs, change.reference_outputs, strict=True)
    return [(m, y - r) for m, y, r in ends if m.dtype != jax.dtypes.float0]


def count(
    real: list[tuple[Any, Any]], distributed: list[Any], unattributed: Any, tap: Any
) -> dict[str, Any]:
    """What a tap asks for: the sums of the ledger, and the contributions of the outputs."""
    dtype = tap["sums"].dtype
    received = tuple(contribution(m, rise) for m, rise in real)
    sizes = [jnp.abs(rise) for _, rise in real]
    parts = [sizes, received, distributed, [] if unattributed is None else [unattributed]]
    sums = [sum((jnp.sum(a.astype(dtype)) for a in part), jnp.zeros((), dtype)) for part in parts]
    report: dict[str, Any] = {"sums": jnp.stack(sums)}
    if "contributions" in tap:
        report["contributions"] = received
    return report


def contribution(multiplier: jax.Array, difference: jax.Array) -> jax.Array:
    """Their product; what has no multiplier contributes nothing, however much it changed."""
    return jnp.where(multiplier == 0, 0, multiplier * difference)
