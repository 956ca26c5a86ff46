"""The share of additive terms, handed on to the inputs instead of being absorbed."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ..program._ops import Kind
from ..program._run import Call
from ..program._sites import Site
from ._rule import Arrays, Propagated, Rule, quotient


@dataclasses.dataclass(frozen=True)
class SpreadBias(Rule):
    """A rule, and its bias's share evenly over the inputs of each unit."""

    rule: Rule

    kinds = Kind.LINEAR

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def linearize(self) -> bool:  # type: ignore[override]
        return self.rule.linearize

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        return self.account(call, relevances, weights=False)

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        result = self.rule.account(call, relevances, weights=weights)
        if result.bias is None:
            return result
        view = call.site.linear(call.inputs, call.operands)
        ones = tuple(jnp.ones_like(x) for x in view.inputs)
        kernels = tuple(jnp.ones_like(weight) for weight in view.weights)
        counts, pullback = jax.vjp(lambda xs: view.linear(xs, kernels), ones)
        shares = pullback(quotient(result.bias, counts, 0.0).astype(counts.dtype))[0]
        inputs = tuple(r + share for r, share in zip(result.inputs, shares, strict=True))
        return result._replace(inputs=inputs, bias=None)


def spread_bias(site: Site, rule: Rule) -> Rule:
    """The rule with its bias spread, where the site has additive terms to speak of."""
    return SpreadBias(rule) if site.kind in Kind.AFFINE | Kind.SUM | Kind.SHIFT else rule
