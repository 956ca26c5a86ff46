"""Relevance rules for linear sites: dense layers, convolutions, sums, pooling, residual additions.

All of them share one scheme. The output is a sum of contributions of the inputs; a rule says which
contributions count, and each unit's relevance is shared among them in proportion:

    R_i = Σ_terms  x'_i Σ_j w'_ij R_j / s(Σ_i x'_i w'_ij + b'_j)

so a rule is nothing but its inputs x', weights w' and bias b'.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._errors import check_real
from ..program._affine import Linear
from ..program._ops import Kind
from ..program._run import Call
from ._rule import Arrays, Propagated, Rule, explained, quotient


class Term(NamedTuple):
    """Contributions that relevance is shared among: pairs of inputs and weights, and a bias."""

    pairs: list[tuple[Arrays, Arrays]]
    bias: jax.Array | None
    relevance: jax.Array
    epsilon: Any


class LinearRule(Rule):
    """A rule made of terms; subclasses say which."""

    kinds = Kind.LINEAR

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        """The terms of a site, given its linear view and the relevance of its output."""
        raise NotImplementedError

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        return self._share(call, relevances, weights=False)

    def account(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        return self._share(call, relevances, weights=weights)

    def _share(self, call: Call, relevances: Arrays, *, weights: bool) -> Propagated:
        view = call.site.linear(call.inputs, call.operands)
        terms = self.terms(call, view, relevances[0])
        shared = [_share(view, term, weights) for term in terms]
        total = Propagated(*(_add(*parts) for parts in zip(*shared, strict=True)))
        unclaimed = relevances[0] - _add(*(term.relevance for term in terms))
        kept = total.stabilizer
        assert kept is not None
        return total._replace(stabilizer=kept + unclaimed.astype(kept.dtype))


def _share(view: Linear, term: Term, weights: bool) -> Propagated:
    evaluated = [
        jax.vjp(view.linear, inputs, kernels)
        if weights
        else jax.vjp(lambda xs, kernels=kernels: view.linear(xs, kernels), inputs)
        for inputs, kernels in term.pairs
    ]
    z = _add(*(output for output, _ in evaluated))
    if term.bias is not None:
        z = z + term.bias
    q = quotient(term.relevance, z, term.epsilon)
    stabilizer = term.relevance.astype(q.dtype) - explained(z, q)
    bias = None if term.bias is None else explained(jnp.broadcast_to(term.bias, q.shape), q)
    q = q.astype(z.dtype)
    pulled = [pullback(q) for _, pullback in evaluated]
    inputs = [products(xs, pull[0]) for (xs, _), pull in zip(term.pairs, pulled, strict=True)]
    kernels = (
        [products(ws, pull[1]) for (_, ws), pull in zip(term.pairs, pulled, strict=True)]
        if weights
        else [None]
    )
    return Propagated(_add(*inputs), bias, stabilizer, _add(*kernels))


def products(left: Arrays, right: Arrays) -> Arrays:
    return tuple(a * b for a, b in zip(left, right, strict=True))


def _add(*parts: Any) -> Any:
    """The sum of pytrees, leaving out those that are None."""
    kept = [part for part in parts if part is not None]
    return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *kept) if kept else None


def positive(values: Any) -> Any:
    """The positive part of each array."""
    return jax.tree.map(lambda value: jnp.maximum(value, 0), values)


def negative(values: Any) -> Any:
    """The negative part of each array."""
    return jax.tree.map(lambda value: jnp.minimum(value, 0), values)


def signed_pairs(
    call: Call, view: Linear, upper: Arrays, lower: Arrays
) -> list[tuple[Arrays, Arrays]]:
    """Positive inputs with one set of weights and negative inputs with another.

    Inputs that are known to be non-negative, behind a ReLU say, need half of the work.
    """
    if all(call.site.nonnegative):
        return [(view.inputs, upper)]
    return [(positive(view.inputs), upper), (negative(view.inputs), lower)]


def check_epsilon(value: Any) -> None:
    check_real("epsilon", value, low=0.0)
