"""The DeepLIFT rule of each kind of site, where nothing else is said."""

from __future__ import annotations

from ..program._ops import Kind
from ..program._sites import Site
from ._ends import MeanGradient
from ._exponential import LogMean
from ._linear import Linear
from ._maxima import CrossMaximum
from ._products import Multilinear, Normalized, Quotient
from ._rescale import Rescale
from ._rule import DifferenceRule
from ._sorting import Ranks

_DEFAULTS: dict[Kind, DifferenceRule] = {
    Kind.DENSE: Linear(),
    Kind.CONV: Linear(),
    Kind.SUM: Linear(),
    Kind.SCALE: Linear(),
    Kind.SHIFT: Linear(),
    Kind.ADD: Linear(),
    Kind.NAME: Linear(),
    Kind.MOVEMENT: Linear(),
    Kind.PRODUCT: Multilinear(),
    Kind.DIVISION: Quotient(),
    Kind.ELEMENTWISE: Rescale(),
    Kind.NORMALIZATION: Normalized(),
    Kind.MAX: CrossMaximum(),
    Kind.SOFTMAX: LogMean(),
    Kind.LOG_SOFTMAX: LogMean(),
    Kind.LOGSUMEXP: LogMean(),
}


def default_rule(site: Site, *, missing: str = "error") -> DifferenceRule | None:
    """The kind's rule; what is sorted by its own values has one of its own."""
    if site.primitive in ("sort", "top_k"):
        return _sorting_rule(site)
    if site.kind is Kind.UNKNOWN and missing == "gradient":
        return MeanGradient()
    return _DEFAULTS.get(site.kind)


def _sorting_rule(site: Site) -> DifferenceRule:
    equation = site.equations[0]
    if equation.inputs[0] not in site.inputs:  # sorted by something else: a choice
        return Linear()
    return Ranks() if equation.eqn.params.get("num_keys", 1) == 1 else MeanGradient()
