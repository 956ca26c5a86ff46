"""The ledger: where relevance went, site by site, so that conservation can be audited."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import is_concrete
from .._tree import wide
from .._types import PyTree
from ..program import _show
from ..program._lower import lower
from ..program._ops import Kind
from ..program._run import replay, reports_of, tap_tree
from ..program._sites import Grouped, Site
from ..program._trace import Value
from ._rule import COLUMNS, Rule


@dataclasses.dataclass(frozen=True)
class Row:
    """One site of a ledger."""

    name: str
    kind: str
    shape: tuple[int, ...]
    rule: str
    source: str


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ledger:
    r"""Where relevance went: for each site what it received, handed on and absorbed.

    Args:
        rows: the sites in the order of execution: name, kind, output shape, rule, source line.
        received: relevance of each site's outputs, an array with one entry for each row.
        size: the sum of its absolute values.
        distributed: relevance handed to the inputs.
        bias: absorbed by additive terms.
        stabilizer: absorbed by the stabiliser, units without contributions of the right sign
            included.
        seed: the relevance that the output started with.
        inputs: the relevance that reached the explained inputs.

    Returns:
        A pytree; printed, it is a table.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0]) + 0.5
        >>> _, info = jaxplain.lrp(f, jaxplain.rules.epsilon(), info=True)(jnp.ones(2))
        >>> info.ledger.bias.round(3)
        Array([0.5], dtype=float32)
        >>> abs(float(info.ledger.residual)) < 1e-6
        True
    """

    rows: tuple[Row, ...] = dataclasses.field(metadata={"static": True})
    received: Any
    size: Any
    distributed: Any
    bias: Any
    stabilizer: Any
    seed: Any
    inputs: Any

    @property
    def rule(self) -> Any:
        """Absorbed by the rule itself: softmax, denominators, what a rule stops."""
        return self.received - self.distributed - self.bias - self.stabilizer

    @property
    def absorbed(self) -> Any:
        """Everything absorbed by a site."""
        return self.received - self.distributed

    @property
    def residual(self) -> Any:
        """What is missing from the books: seed - inputs - absorbed, zero but for rounding."""
        return self.seed - self.inputs - jnp.sum(self.absorbed, axis=-1)

    def __str__(self) -> str:
        closing = (
            f"seed {number(self.seed)} = inputs {number(self.inputs)} + absorbed "
            f"{number(jnp.sum(self.absorbed))} + rounding {number(self.residual)}"
        )
        return printed(self, ("received", "distributed", "bias", "stabilizer", "rule"), closing)


_HEADER = ("site", "kind", "shape", "rule")


def printed(ledger: Any, columns: Sequence[str], closing: str) -> str:
    """The rows of a ledger with these columns as a table; without numbers where there are none."""
    numbers = [getattr(ledger, name) for name in columns]
    known = all(is_concrete(column) and np.ndim(column) == 1 for column in numbers)
    lines = [
        (row.name, row.kind, "×".join(map(str, row.shape)), row.rule)
        + (tuple(number(column[i]) for column in numbers) if known else ())
        for i, row in enumerate(ledger.rows)
    ]
    table = _show.table(lines, (*_HEADER, *columns) if known else _HEADER)
    return f"{table}\n{closing}" if known else table


def number(value: Any) -> str:
    """Four digits of a number, if it is one that can be looked at."""
    return f"{float(value):.4g}" if is_concrete(value) and np.ndim(value) == 0 else "?"


def taps_for(grouped: Grouped, assigned: Mapping[Site, Rule], leaves: Sequence[Any]) -> Any:
    """What each site with a rule is asked to report."""
    dtype = wide(jnp.result_type(*leaves))

    def make(grouped: Grouped, site: Site) -> Any:
        if site not in assigned:
            return None
        tap: dict[str, Any] = {
            "ledger": jnp.zeros(len(COLUMNS), dtype),
            "relevance": tuple(jnp.zeros(v.shape, v.aval.dtype) for v in site.outputs),
        }
        if site.kind in Kind.AFFINE:
            tap["weights"] = _zero_weights(site)
        return tap

    return tap_tree(grouped, make)


def _zero_weights(site: Site) -> Any:
    """Zeros like the effective weights of a layer."""

    def shapes(values: Sequence[Value]) -> list[Any]:
        return [jax.core.ShapedArray(v.shape, v.aval.dtype) for v in values]

    weights = jax.eval_shape(
        lambda inputs, operands: site.linear(inputs, operands).weights,
        shapes(site.inputs),
        shapes(site.operands),
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), weights)


def gather(
    grouped: Grouped,
    assigned: Mapping[Site, Rule],
    reports: Any,
    seed: jax.Array,
    relevance: PyTree,
) -> dict[str, Any]:
    """The fields of `Info` that the reports make."""
    rows, entries = [], []
    relevances: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for name, (site, report) in named_reports(grouped, reports).items():
        rule = assigned[site].name
        rows.append(Row(name, str(site.kind.name), site.outputs[0].shape, rule, site.source))
        ledger = report["ledger"]
        # A site in a loop reports once for each step.
        entries.append(jnp.sum(ledger, axis=tuple(range(ledger.ndim - 1))))
        relevances[name] = report["relevance"][0]
        if "weights" in report:
            weights[name] = report["weights"][0]
    dtype = wide(seed.dtype)
    columns = jnp.stack(entries, axis=-1) if entries else jnp.zeros((len(COLUMNS), 0), dtype)
    total = sum(jnp.sum(leaf.astype(dtype)) for leaf in jax.tree.leaves(relevance))
    received, size, distributed, bias, stabilizer = columns
    ledger = Ledger(
        tuple(rows),
        received=received,
        size=size,
        distributed=distributed,
        bias=bias,
        stabilizer=stabilizer,
        seed=seed.astype(dtype),
        inputs=total,
    )
    return {"ledger": ledger, "relevance": relevances, "weights": weights}


def site_relevances(
    grouped: Grouped, assigned: Mapping[Site, Rule], x: PyTree
) -> dict[str, tuple[Site, jax.Array]]:
    """The relevance of each site's output, by name, from a seed of the score."""
    leaves = jax.tree.leaves(x)
    taps = taps_for(grouped, assigned, leaves)

    @lower
    def backward(taps: Any) -> Any:
        y, pullback = jax.vjp(lambda taps: replay(grouped, leaves, assigned, taps)[0], taps)
        return pullback(y)[0]

    found = named_reports(grouped, backward(taps))
    return {name: (site, report["relevance"][0]) for name, (site, report) in found.items()}


def named_reports(grouped: Grouped, reports: Any) -> dict[str, tuple[Site, Any]]:
    """The sites that reported something and their reports, by name, in the order of execution."""
    found = list(reports_of(grouped, reports))
    names = _unique([site for site, _ in found])
    pairs = zip(names, found, strict=True)
    return {name: pair for name, pair in pairs if pair[1] is not None}


def _unique(sites: Sequence[Site]) -> list[str]:
    """A name for each site: its path and primitive, numbered where that is not enough."""
    plain = [f"{site.path}:{site.primitive}" if site.path else site.primitive for site in sites]
    seen: dict[str, int] = {}
    names = []
    for name in plain:
        count = seen[name] = seen.get(name, 0) + 1
        names.append(name if plain.count(name) == 1 else f"{name}[{count - 1}]")
    return names
