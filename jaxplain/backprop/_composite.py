"""Composites: which rule for which site. Ordered (selector, rule) pairs, the first match wins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import jax

from ..program import _names
from ..program._ops import Kind
from ..program._sites import Site
from ._base import BaseRule


class Selector:
    """A test of sites, with a name for messages; `&`, `|` and `~` combine selectors.

    Args:
        test: a function of a `Site` that says whether it is meant.
        name: what to call it in messages.
        kinds: whether it says which kinds of sites are meant. Where a selector does not, a rule
            takes the sites that it is made for, dense layers and convolutions first.

    Returns:
        A selector, for use in a `Composite`.

    Example:
        >>> import jaxplain
        >>> from jaxplain.rules import Selector, depth
        >>> wide = Selector(lambda site: site.outputs[0].shape[-1] > 64, "wide layers")
        >>> ~wide & depth(0, 3)
        not wide layers and depth 0 to 3
    """

    def __init__(self, test: Callable[[Site], bool], name: str, *, kinds: bool = False) -> None:
        self.test, self.name, self.kinds = test, name, kinds

    def __call__(self, site: Site) -> bool:
        return bool(self.test(site))

    def __and__(self, other: Selectable) -> Selector:
        right = selector(other)
        both = f"{self} and {right}"
        kinds = self.kinds or right.kinds
        return Selector(lambda site: self(site) and right(site), both, kinds=kinds)

    def __or__(self, other: Selectable) -> Selector:
        right = selector(other)
        either = f"{self} or {right}"
        kinds = self.kinds and right.kinds
        return Selector(lambda site: self(site) or right(site), either, kinds=kinds)

    def __invert__(self) -> Selector:
        return Selector(lambda site: not self(site), f"not {self}")

    def __repr__(self) -> str:
        return self.name


Selectable: TypeAlias = "Selector | Kind | str | Callable[[Site], bool]"


class PathSelector(Selector):
    """Sites whose path fits a glob."""

    def __init__(self, glob: str) -> None:
        super().__init__(lambda site: _names.matches(glob, site.path), repr(glob))
        self.glob = glob


def selector(what: Selectable) -> Selector:
    """What may stand for a selector: a kind, a glob over paths, any function of a site."""
    if isinstance(what, Selector):
        return what
    if isinstance(what, Kind):
        return Selector(lambda site: site.kind in what, f"kind {what.name}", kinds=True)
    if isinstance(what, str):
        return PathSelector(what)
    if callable(what):
        return Selector(what, getattr(what, "__name__", "a predicate"))
    raise TypeError(
        f"{what!r} does not select sites: give a path such as '**/Conv_0', a jaxplain.Kind, "
        "rules.first(), rules.last(), rules.depth(low, high), or a function of a Site."
    )


def path(glob: str) -> Selector:
    """Sites whose path fits a glob: `*` within a name, `**` over any number of names.

    Args:
        glob: such as `"**/Block_0/conv1"`; without `#` it fits every call of a repeated module.
            Of the sites under it a rule takes those that it is made for.

    Returns:
        A selector. A string may stand for it, except on the left of `&` and `|`.

    Example:
        >>> from jaxplain.rules import path, first
        >>> path("**/Conv_*") & ~first()
        '**/Conv_*' and not first layers
    """
    return PathSelector(glob)


def kind(which: Kind) -> Selector:
    """Sites of the given kinds.

    Args:
        which: one kind or several, `Kind.DENSE | Kind.CONV`.

    Returns:
        A selector. The kind itself may stand for it, except on the left of `&`.

    Example:
        >>> from jaxplain import Kind
        >>> from jaxplain.rules import kind, last
        >>> kind(Kind.DENSE) & last()
        kind DENSE and last layers
    """
    return selector(which)


def first(which: Kind = Kind.AFFINE) -> Selector:
    """The first layers: dense layers and convolutions with no other before them.

    Args:
        which: the kinds meant, `Kind.CONV` for instance.

    Returns:
        A selector. Where inputs enter in several places, each has its first layer.

    Example:
        >>> from jaxplain.rules import first
        >>> first()
        first layers
    """
    return Selector(lambda site: site.kind in which and site.first, "first layers", kinds=True)


def last(which: Kind = Kind.AFFINE) -> Selector:
    """The last layers: dense layers and convolutions with no other after them.

    Args:
        which: the kinds meant.

    Returns:
        A selector.

    Example:
        >>> from jaxplain.rules import last
        >>> last()
        last layers
    """
    return Selector(lambda site: site.kind in which and site.last, "last layers", kinds=True)


def depth(low: int, high: int) -> Selector:
    """Sites with `low <= depth < high`; depth counts the affine layers before a site.

    Args:
        low: least depth, 0 for the first layer.
        high: first depth that is not meant any more.

    Returns:
        A selector.

    Raises:
        ValueError: `low` exceeds `high`.

    Example:
        >>> from jaxplain.rules import depth
        >>> depth(0, 3)
        depth 0 to 3
    """
    if low > high:
        raise ValueError(f"depth(low={low}, high={high}): low must not exceed high.")
    return Selector(lambda site: low <= site.depth < high, f"depth {low} to {high}")


@dataclasses.dataclass(frozen=True)
class Entry:
    selector: Selector
    rule: BaseRule
    expected: bool  # whether it is worth a warning if nothing matches


class Composite:
    """Which rule for which site: ordered pairs, the first match wins, `a | b` concatenates.

    Args:
        pairs: `(selector, rule)` pairs. A selector is a path glob, a `jaxplain.Kind`, one of
            `first()`, `last()`, `depth(low, high)`, or any function of a `Site`. Of the sites that
            a path, a depth or a function selects, a rule takes those that it is made for: dense
            layers and convolutions, if there are any and it is a rule for layers. A kind is taken
            at its word.

    Returns:
        A composite for `lrp`, `deeplift` and `modified_grad`. Sites that nothing matches get their
        kind's default in the first two and their own derivative in the last.

    Raises:
        TypeError: a selector or a rule is neither.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> from jaxplain import Kind
        >>> from jaxplain.rules import Composite, Flat, Gamma, epsilon, first
        >>> composite = Composite([(first(), Flat()), (Kind.DENSE, Gamma(0.3))]) | epsilon()
        >>> f = lambda x: jnp.ones(2) @ jnp.tanh(jnp.ones((2, 2)) @ x)
        >>> jaxplain.lrp(f, composite, seed="one")(jnp.array([3.0, 1.0])).round(3)
        Array([0.5, 0.5], dtype=float32)

    Notes:
        A pair that matches no site warns. Pairs of the presets do not: a preset covers layers that
        a model need not have.
    """

    def __init__(self, pairs: Iterable[tuple[Selectable, BaseRule]] = ()) -> None:
        entries = []
        for pair in pairs:
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], BaseRule)):
                raise TypeError(
                    f"Composite got {pair!r}: give pairs of a selector and a rule, such as "
                    "(jaxplain.Kind.CONV, rules.ZPlus())."
                )
            entries.append(Entry(selector(pair[0]), pair[1], expected=True))
        self.entries: tuple[Entry, ...] = tuple(entries)

    def __or__(self, other: Composite | BaseRule) -> Composite:
        return _join(self.entries + as_composite(other).entries)

    def __repr__(self) -> str:
        pairs = ", ".join(f"({entry.selector!r}, {entry.rule!r})" for entry in self.entries)
        return f"Composite([{pairs}])"


def _join(entries: tuple[Entry, ...]) -> Composite:
    joined = Composite()
    joined.entries = entries
    return joined


def preset(pairs: Iterable[tuple[Selectable, BaseRule]]) -> Composite:
    """A composite whose pairs need not all match."""
    entries = Composite(pairs).entries
    return _join(tuple(dataclasses.replace(entry, expected=False) for entry in entries))


def as_composite(rules: Any) -> Composite:
    """A composite, from a composite or from one rule for the sites it is meant for."""
    if isinstance(rules, Composite):
        return rules
    if isinstance(rules, BaseRule):
        return Composite([(rules.kinds & rules.main or rules.kinds, rules)])
    raise TypeError(
        f"rules={rules!r} is neither a rule nor a composite: give a preset such as "
        "jaxplain.rules.epsilon_plus(), a rule such as jaxplain.rules.Gamma(0.25), or a "
        "jaxplain.rules.Composite of (selector, rule) pairs."
    )


jax.tree_util.register_pytree_node(
    Composite,
    lambda c: ([e.rule for e in c.entries], tuple((e.selector, e.expected) for e in c.entries)),
    lambda aux, rules: _join(
        tuple(Entry(s, r, expected) for (s, expected), r in zip(aux, rules, strict=True))
    ),
)
