"""The relevance rule of each kind of site, where nothing else is said."""

from __future__ import annotations

from ..program._ops import Kind
from ..program._sites import Site
from ..program._trace import is_float
from ._epsilon import Epsilon, Norm
from ._passing import Follow, Pass
from ._products import Numerator, Product, Softmax
from ._rule import Rule

_DEFAULTS: dict[Kind, Rule] = {
    Kind.DENSE: Epsilon(),
    Kind.CONV: Epsilon(),
    Kind.SUM: Norm(),
    Kind.SCALE: Pass(),
    Kind.SHIFT: Epsilon(),
    Kind.ADD: Norm(),
    Kind.PRODUCT: Product(),
    Kind.DIVISION: Numerator(),
    Kind.ELEMENTWISE: Pass(),
    Kind.SOFTMAX: Softmax(),
    Kind.LOG_SOFTMAX: Softmax(),
    Kind.LOGSUMEXP: Softmax(),
    Kind.NORMALIZATION: Epsilon(),
    Kind.NAME: Pass(),
    Kind.MAX: Follow(),
}


def default_rule(site: Site, *, missing: str = "error") -> Rule | None:
    """The kind's rule. Movement needs none, unless constants are mixed in that take a share."""
    if site.kind is Kind.MOVEMENT:
        mixed = any(is_float(v.aval) for v in site.operands)
        return Follow() if mixed else None
    if site.kind is Kind.UNKNOWN and missing == "gradient":
        return Follow()
    return _DEFAULTS.get(site.kind)
