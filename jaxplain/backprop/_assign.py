"""Decide the rule of every site, loudly: what has none raises, what matches nothing warns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from .. import _compat
from ..program import _names
from ..program._ops import Kind
from ..program._sites import Grouped, Site
from ._base import BaseRule
from ._composite import Composite, Entry, PathSelector


class UnmatchedWarning(UserWarning):
    """A pair of a composite that matched no site."""


R = TypeVar("R", bound=BaseRule)


def assign(
    grouped: Grouped,
    composite: Composite,
    family: type[R],
    default: Callable[[Site], R | None] | None = None,
) -> dict[Site, R]:
    """The rule of each site that has one; the others are left to their own derivative.

    All rules must be of one `family`. `default` gives the rule of what the composite leaves out;
    where it has none for an unknown step either, that raises.
    """
    sites = grouped.all_sites()
    _check_loops(sites)
    rules: dict[Site, R] = {}
    for entry in composite.entries:
        rule = _of_family(entry.rule, family)
        fitting = [site for site in sites if entry.selector(site)]
        if not fitting and entry.expected:
            _warn_unmatched(entry, sites)
        for site in _meant(entry, fitting):
            rules.setdefault(site, rule)
    if default is None:
        return rules
    given = {site: default(site) for site in sites if site not in rules}
    lost = [site for site, rule in given.items() if rule is None and site.kind is Kind.UNKNOWN]
    if lost:
        raise NotImplementedError(_explain_lost(lost))
    return rules | {site: rule for site, rule in given.items() if rule is not None}


def _of_family(rule: BaseRule, family: type[R]) -> R:
    if isinstance(rule, family):
        return rule
    raise TypeError(
        f"{rule.name} is no {family.__name__}. Rules that propagate relevance (Epsilon, Gamma, "
        "...) are for jaxplain.lrp, rules that compare with a reference (Rescale, RevealCancel) "
        "for jaxplain.deeplift."
    )


def _meant(entry: Entry, fitting: list[Site]) -> list[Site]:
    """Of the sites that a selector fits, those that its rule is made for."""
    rule = entry.rule
    able = [site for site in fitting if site.kind in rule.kinds]
    if fitting and (not able or (entry.selector.kinds and len(able) < len(fitting))):
        raise ValueError(_explain_kind(next(s for s in fitting if s not in able), rule))
    layers = [site for site in able if site.kind in rule.main]
    return able if entry.selector.kinds else layers or able


def _explain_kind(site: Site, rule: BaseRule) -> str:
    return (
        f"{type(rule).__name__} is no rule for '{site.label}' ({site.kind.name}, {site.primitive}) "
        f"at {site.source}: it is one for {_names_of(rule.kinds)}. Select these kinds, for "
        "instance with (jaxplain.Kind.DENSE | jaxplain.Kind.CONV, rule)."
    )


def _names_of(kinds: Kind) -> str:
    return ", ".join(str(kind.name) for kind in Kind if kind in kinds)


def _check_loops(sites: list[Site]) -> None:
    for site in sites:
        if site.kind is Kind.CALL and site.equations[0].primitive is _compat.while_p:
            raise NotImplementedError(
                f"A while loop at {site.source} ('{site.label}') depends on the explained input: "
                "its number of steps is not known, so nothing can flow back through it. Use "
                "jax.lax.scan or jax.lax.fori_loop with a fixed number of steps."
            )


def _explain_lost(lost: list[Site]) -> str:
    lines = [f"  {site.primitive} in '{site.label}' at {site.source}" for site in lost]
    return (
        f"{len(lost)} step(s) carry relevance and have no rule:\n"
        + "\n".join(dict.fromkeys(lines))
        + "\nSay what kind of step it is with jaxplain.register_op(primitive, jaxplain.Kind...), "
        "give it a rule with Composite([(selector, rule)]), or pass missing='gradient' to use its "
        "own derivative."
    )


def _warn_unmatched(entry: Entry, sites: list[Site]) -> None:
    message = f"{type(entry.rule).__name__} for {entry.selector!r} matches no site."
    if isinstance(entry.selector, PathSelector):
        near = _names.nearest(entry.selector.glob, (site.path for site in sites))
        message += (
            f" Nearest paths: {', '.join(map(repr, near))}."
            if near
            else " No site of this model has a path: name parts of it with jax.named_scope, or "
            "wrap an nnx model with jaxplain.flax.named."
        )
    warnings.warn(message + " jaxplain.show lists all sites.", UnmatchedWarning, stacklevel=2)
