"""What the sites report about an explanation of differences, and the ledger that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._tree import wide
from ..backprop._ledger import Row, named_reports
from ..program._ops import Kind
from ..program._run import tap_tree
from ..program._sites import Grouped, Site
from ._evaluate import is_choice
from ._ledger import Differences
from ._replay import Rules
from ._rule import COLUMNS


def partial_sites(grouped: Grouped, rules: Rules) -> list[Site]:
    """All sites that may leave something unattributed, those inside loops included."""
    found = [site for site in grouped.sites if _is_partial(grouped, site, rules)]
    for bodies in grouped.bodies.values():
        found += [site for body in bodies for site in partial_sites(body, rules)]
    return found


def _is_partial(grouped: Grouped, site: Site, rules: Rules) -> bool:
    return is_choice(grouped.program, site) or (site in rules and rules[site].partial)


def taps_for(grouped: Grouped, rules: Rules, leaves: Sequence[Any], *, full: bool) -> Any:
    """Zeros for what each site should report; `full`, or only what is left unattributed."""
    sums = jnp.zeros(len(COLUMNS), wide(jnp.result_type(*leaves)))

    def make(grouped: Grouped, site: Site) -> Any:
        if is_choice(grouped.program, site):
            return {"sums": sums}
        if site not in rules or not (full or rules[site].partial):
            return None
        if site.kind is Kind.MOVEMENT and not rules[site].partial:
            return None
        outputs = (v for v in site.outputs if jnp.issubdtype(v.aval.dtype, jnp.inexact))
        zeros = tuple(jnp.zeros(v.shape, v.aval.dtype) for v in outputs)
        return {"sums": sums, "contributions": zeros}

    return tap_tree(grouped, make)


def unattributed(reports: Any, dtype: Any) -> jax.Array:
    """The sum of what the reports leave unattributed."""
    found: list[Any] = []

    def collect(report: Any) -> None:
        found.append(jnp.sum(report["sums"][..., COLUMNS.index("unattributed")]))

    def is_report(node: Any) -> bool:
        return isinstance(node, dict) and "sums" in node

    jax.tree.map(collect, reports, is_leaf=is_report)
    return sum(found, jnp.zeros((), wide(dtype)))


def gather(
    grouped: Grouped, rules: Rules, reports: Any, total: jax.Array, change: jax.Array
) -> dict[str, Any]:
    """The fields of `Info` that the reports make."""
    rows, entries = [], []
    contributions: dict[str, Any] = {}
    for name, (site, report) in named_reports(grouped, reports).items():
        rule = rules[site].name if site in rules else "choice"
        shape = site.outputs[0].shape
        rows.append(Row(name, str(site.kind.name), shape, rule, site.source))
        sums = report["sums"]
        entries.append(jnp.sum(sums, axis=tuple(range(sums.ndim - 1))))
        if report.get("contributions"):
            contributions[name] = report["contributions"][0]
    columns = jnp.stack(entries, axis=-1) if entries else jnp.zeros((len(COLUMNS), 0), total.dtype)
    counted = dict(zip(COLUMNS, columns, strict=True))
    ledger = Differences(tuple(rows), **counted, output=change, inputs=total)
    return {"ledger": ledger, "relevance": contributions}
