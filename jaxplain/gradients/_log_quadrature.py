r"""Gauss quadrature for $\int_0^1 -\ln t \, g(t) \, dt$, the mean of $g$ at a product of two.

The product of two numbers that are uniform in [0, 1] has the density $-\ln t$. With n nodes the
rule is exact for polynomials of degree 2n - 1, as Gauss-Legendre is for the density 1.
"""

from __future__ import annotations

import functools

import numpy as np

from ._quadrature import Nodes


@functools.lru_cache(maxsize=16)
def log_quadrature(steps: int) -> Nodes:
    """Nodes and weights in float64, by Golub and Welsch: eigenvalues of the recurrence's matrix."""
    diagonal, squares = _recurrence(steps)
    beside = np.sqrt(squares)
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    nodes, vectors = np.linalg.eigh(matrix)
    weights = vectors[0] ** 2
    # One on the whole, up to rounding.
    return nodes, weights / weights.sum()


def _recurrence(steps: int) -> tuple[np.ndarray, np.ndarray]:
    r"""The recurrence of the polynomials $q_k$ that are orthonormal for $-\ln t$ on [0, 1].

    By the modified Chebyshev algorithm. Plain moments would lose all digits; those of the Legendre
    polynomials $p_l$ of [0, 1] lose none: $\int_0^1 -\ln t \, p_l \, dt = (-1)^l \sqrt{2 l + 1} /
    (l (l + 1))$, and 1 for l = 0. Row k holds the moments $\int -\ln t \, q_k \, p_l \, dt$.
    """
    degrees = np.arange(1, 2 * steps)
    signs = np.where(degrees % 2, -1, 1)
    row = np.append(1, signs * np.sqrt(2 * degrees + 1) / (degrees * (degrees + 1)))
    before = np.zeros_like(row)
    # t p_l = legendre[l + 1] p_{l + 1} + p_l / 2 + legendre[l] p_{l - 1}
    orders = np.arange(2 * steps + 1)
    legendre = orders / (2 * np.sqrt(np.maximum(4 * orders**2 - 1, 1)))
    diagonal, squares = np.zeros(steps), np.zeros(steps)
    for k in range(steps):
        ahead = legendre[k + 1] * row[k + 1] / row[k]
        behind = legendre[k] * before[k] / before[k - 1] if k else 0
        diagonal[k] = 0.5 + ahead - behind
        if k + 1 == steps:
            break
        # Entries left of k are zero, those right of 2 steps - k are not needed.
        inside = slice(k + 1, 2 * steps - k - 1)
        following = np.zeros_like(row)
        following[inside] = (
            legendre[k + 2 : 2 * steps - k] * row[k + 2 : 2 * steps - k]
            + (0.5 - diagonal[k]) * row[inside]
            + legendre[inside] * row[k : 2 * steps - k - 2]
            - np.sqrt(squares[k]) * before[inside]
        )
        squares[k + 1] = legendre[k + 1] * following[k + 1] / row[k]
        before, row = row, following / np.sqrt(squares[k + 1])
    return diagonal, squares[1:]
