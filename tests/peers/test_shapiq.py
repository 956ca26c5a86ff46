"""Side by side with shapiq: interactions of all coalitions, and Owen's two games one by one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import owen, shapley_interactions

shapiq = pytest.importorskip(
    "shapiq", reason='needs the peers extra: pip install "jaxplain[peers]"'
)

Array = np.ndarray
draw = np.random.default_rng(12).normal
WEIGHTS, X, BASE = draw(size=(6, 4)), draw(size=6), draw(size=6)
UNIONS = np.array([0, 1, 0, 2, 1, 0])


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x @ WEIGHTS) ** 2) + x[0] * x[1] * x[2] - jnp.sin(x[3] * x[5])


of_points = jax.jit(jax.vmap(f))


def scores(coalitions: Array) -> Array:
    """The model as shapiq's game: a row of truth values for each coalition."""
    return np.asarray(of_points(np.where(np.asarray(coalitions, bool), X, BASE)))


def shapley(game: Any, players: int) -> Array:
    found = shapiq.ExactComputer(game=game, n_players=players)("SV", order=1)
    return np.array([found[(player,)] for player in range(players)])


@pytest.mark.parametrize("index", ["SII", "k-SII", "STII"])
def test_interactions(index: str) -> None:
    theirs = shapiq.ExactComputer(game=scores, n_players=6)(index, order=2)
    found, info = jax.jit(shapley_interactions(f, index=index, info=True))(X, baseline=BASE)
    share = 1 if index == "SII" else 2  # theirs have one entry for each pair
    for i in range(6):
        np.testing.assert_allclose(found[i, i], theirs[(i,)], atol=1e-12)
        for j in range(i):
            np.testing.assert_allclose(share * found[i, j], theirs[(j, i)], atol=1e-12)
    np.testing.assert_allclose(info.values, shapley(scores, 6), atol=1e-12)


def test_owen_values_by_two_games() -> None:
    """A part of a union is worth what it gets among the others, in the union's place."""

    def worth(part: Array, union: int) -> float:
        def outer(coalitions: Array) -> Array:
            chosen = np.asarray(coalitions, bool)[:, UNIONS]
            return scores(np.where(union == UNIONS, chosen & part, chosen))

        return float(shapley(outer, 3)[union])

    wanted = np.zeros(6)
    for union in range(3):
        own = np.flatnonzero(union == UNIONS)

        def inner(coalitions: Array, union: int = union, own: Array = own) -> Array:
            parts = np.zeros((len(coalitions), 6), bool)
            parts[:, own] = coalitions
            return np.array([worth(part, union) for part in parts])

        wanted[own] = shapley(inner, len(own))
    found = jax.jit(owen(f, unions=UNIONS))(X, baseline=BASE)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
