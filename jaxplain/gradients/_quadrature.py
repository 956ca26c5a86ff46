"""Quadrature rules on [0, 1]: where to evaluate, and how much each value counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from .._errors import check_choice, check_count

Nodes: TypeAlias = tuple[np.ndarray, np.ndarray]


def quadrature(rule: str, steps: int) -> Nodes:
    """Nodes and weights of a rule, in float64; every rule's weights sum to one exactly."""
    check_choice("rule", rule, RULES)
    least = 2 if rule == "trapezoid" else 1
    hint = "The trapezoid rule needs both ends." if rule == "trapezoid" else ""
    check_count("steps", steps, least=least, hint=hint)
    return RULES[rule](steps)


def _left(steps: int) -> Nodes:
    return np.arange(steps) / steps, np.full(steps, 1 / steps)


def _right(steps: int) -> Nodes:
    return np.arange(1, steps + 1) / steps, np.full(steps, 1 / steps)


def _middle(steps: int) -> Nodes:
    return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)


def _trapezoid(steps: int) -> Nodes:
    # n nodes bound n - 1 intervals, so the weights are 1 / (n - 1) and not 1 / n.
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights


def _gauss_legendre(steps: int) -> Nodes:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


RULES: dict[str, Callable[[int], Nodes]] = {
    "left": _left,
    "right": _right,
    "middle": _middle,
    "trapezoid": _trapezoid,
    "gauss_legendre": _gauss_legendre,
}
