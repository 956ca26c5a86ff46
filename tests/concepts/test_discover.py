"""Concepts that are discovered: the parts that were put in, and what the score makes of them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats.qmc
from jax.ad_checkpoint import checkpoint_name
from sklearn.decomposition import NMF

from jaxplain.concepts._discover import Concepts, discover_concepts
from jaxplain.concepts._factorize import coefficients, factorize

RNG = np.random.default_rng(3)
EXAMPLES, POSITIONS, CHANNELS, PARTS = 20, (2, 3), 8, 3

# Each part has channels of its own beside those that it shares.
DICTIONARY = RNG.uniform(size=(PARTS, CHANNELS)) * (RNG.uniform(size=(PARTS, CHANNELS)) < 0.6)
DICTIONARY[:, :PARTS] = np.eye(PARTS)
DICTIONARY /= np.linalg.norm(DICTIONARY, axis=1, keepdims=True)
READ = np.linalg.pinv(DICTIONARY)  # channels by parts: what reads one part alone
DATA = RNG.exponential(size=(EXAMPLES, *POSITIONS, PARTS))
DATA *= RNG.uniform(size=DATA.shape) < 0.5


def network(x: Any, k: Any = 0) -> Any:
    """How much of part k there is in the input, squared, after a layer of mixed channels."""
    dictionary, read = jnp.asarray(DICTIONARY, x.dtype), jnp.asarray(READ, x.dtype)
    with jax.named_scope("before"):
        z = x @ dictionary - 0.01
    h = checkpoint_name(jax.nn.relu(z), "hidden")
    return jnp.sum((h @ read)[..., k]) ** 2


def around(x: Any, scale: Any = 1.0, units: Any = 1.0) -> Any:
    """A score that is not additive, of a layer and of the input beside it."""
    h = checkpoint_name(units * (x @ jnp.asarray(DICTIONARY, x.dtype)), "hidden") / units
    return jnp.tanh(scale * jnp.mean(h[..., 0] * h[..., 3])) + jnp.mean(x) * jnp.max(h)


@jax.jit
def of_part(k: Any) -> Concepts:
    return discover_concepts(network, DATA, k, at="hidden", count=PARTS, designs=256)


@functools.cache
def of_around() -> Concepts:
    return discover_concepts(around, DATA, 0.5, at="hidden", count=2, designs=16)


@jax.jit
def compiled(xs: Any, units: Any) -> Concepts:
    """The same within `jax.jit`, and in pieces."""
    return discover_concepts(around, xs, 0.5, units, at="hidden", count=2, designs=16, chunk=7)


# ------------------------------------------------------------------------------- the factorization


_factorize = jax.jit(factorize, static_argnums=1)
_coefficients = jax.jit(coefficients)


def error_of(rows: np.ndarray, count: int, iterations: int, tolerance: float) -> float:
    """What the best coefficients of the directions leave out, relative to the rows."""
    directions = np.asarray(_factorize(rows, count, iterations, tolerance).directions)
    assert directions.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-12)
    parts = np.asarray(_coefficients(rows, directions))
    return float(np.linalg.norm(rows - parts @ directions) / np.linalg.norm(rows))


RANDOM = {
    "uniform": RNG.uniform(size=(60, 12)),
    "sparse": np.maximum(RNG.normal(size=(60, 12)), 0),
    "wide": RNG.exponential(size=(12, 40)) * 1e3,  # more channels than rows
}


@pytest.mark.parametrize("name", RANDOM)
def test_error_is_that_of_scikit_learn(name: str) -> None:
    rows = RANDOM[name]
    peer = NMF(4, init="nndsvda", tol=1e-6, max_iter=5000).fit(rows)
    expected = peer.reconstruction_err_ / np.linalg.norm(rows)
    assert error_of(rows, 4, 500, 1e-4) == pytest.approx(expected, rel=0.02)


def test_low_rank_is_recovered() -> None:
    rows = RNG.exponential(size=(60, 4)) @ RNG.exponential(size=(4, 12))
    assert error_of(rows, 4, 2000, 1e-6) < 1e-3
    # Rank 3, but no three non-negative directions suffice.
    square = np.array([[1.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]])
    assert np.linalg.matrix_rank(square) == 3
    assert error_of(np.tile(square, (15, 3)), 4, 2000, 1e-6) < 1e-3


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.01])
def test_coefficients_are_the_best_non_negative_ones(spread: float) -> None:
    """Also of directions that all but coincide."""
    directions = 1 + spread * RNG.uniform(-1, 1, size=(4, 12))
    rows = RNG.exponential(size=(60, 4)) @ directions + spread * RNG.normal(size=(60, 12))
    expected = np.stack([scipy.optimize.nnls(directions.T, row)[0] for row in rows])
    assert 0.02 < np.mean(expected == 0) < 0.9
    np.testing.assert_allclose(_coefficients(rows, directions), expected, atol=1e-8)


def test_coefficients_of_equal_and_empty_directions() -> None:
    directions = RNG.uniform(size=(4, 12))
    directions[1], directions[2] = directions[0], 0
    rows = RNG.exponential(size=(60, 12))
    parts = np.asarray(_coefficients(rows, directions))
    assert parts.min() >= 0
    np.testing.assert_array_equal(parts[:, 2], 0)
    best = [scipy.optimize.nnls(directions[[0, 3]].T, row)[1] for row in rows]
    np.testing.assert_allclose(np.linalg.norm(rows - parts @ directions, axis=1), best, rtol=1e-9)
    np.testing.assert_array_equal(_coefficients(0 * rows, directions), 0)
    np.testing.assert_array_equal(_coefficients(-rows, directions), 0)


def test_whether_it_came_to_rest_is_said() -> None:
    rows = RANDOM["sparse"]
    assert not _factorize(rows, 4, 2, 1e-6).converged
    assert _factorize(rows, 4, 5000, 1e-6).converged


# -------------------------------------------------------------------------------- planted concepts


@pytest.mark.parametrize("k", range(PARTS))
def test_the_part_that_the_score_reads_is_found(k: int) -> None:
    found = of_part(jnp.int32(k))
    cosines = np.asarray(found.directions) @ DICTIONARY.T
    assert int(np.argmax(cosines[0])) == k
    assert np.all(np.max(cosines, axis=0) > 0.95)
    shows = np.mean(DATA[..., k].any(axis=(1, 2)))
    assert float(found.importance[0]) == pytest.approx(shows, abs=0.05)
    assert float(found.importance[1]) < 0.05
    assert float(found.error) < 0.05
    assert found.converged


def test_examples_that_show_it_most() -> None:
    found = of_part(jnp.int32(1))
    planted = DATA[..., 1].mean(axis=(1, 2))
    np.testing.assert_array_equal(found.examples(3)[0], np.argsort(-planted)[:3])
    assert found.examples(EXAMPLES).shape == (PARTS, EXAMPLES)
    np.testing.assert_allclose(found.strength[:, 0], planted, atol=0.1)


# ------------------------------------------------------------------------------- what is reported


def by_hand(found: Concepts, designs: int) -> tuple[np.ndarray, float]:
    """Importance and error from directions, in NumPy: a mask and an example after the other."""
    w = np.asarray(found.directions)
    count = len(w)

    def score(h: np.ndarray, x: np.ndarray) -> float:
        return float(np.tanh(0.5 * np.mean(h[..., 0] * h[..., 3])) + np.mean(x) * np.max(h))

    net = scipy.stats.qmc.Sobol(2 * count, scramble=False).random(designs) + 0.5 / designs
    total, left, whole = np.zeros(count), 0.0, 0.0
    for x in DATA:
        h = x @ DICTIONARY
        rows = h.reshape(-1, CHANNELS)
        u = np.stack([scipy.optimize.nnls(w.T, row)[0] for row in rows])
        left, whole = left + np.sum((rows - u @ w) ** 2), whole + np.sum(rows**2)

        def masked(m: np.ndarray, u: np.ndarray = u, x: np.ndarray = x) -> float:
            return score(((u * m) @ w).reshape(*POSITIONS, CHANNELS), x)

        a, b = net[:, :count], net[:, count:]
        scores = np.array([masked(m) for m in (*a, *b)])
        for i in range(count):
            mixed = a.copy()
            mixed[:, i] = b[:, i]
            squares = (scores[:designs] - np.array([masked(m) for m in mixed])) ** 2
            total[i] += np.mean(squares) / 2 / np.var(scores)
    return total / len(DATA), float(np.sqrt(left / whole))


def test_importance_and_error_by_hand() -> None:
    """Other ways to the score stay as they are, and the most important comes first."""
    found = of_around()
    importance, error = by_hand(found, 16)
    np.testing.assert_allclose(found.importance, importance, rtol=1e-6)
    assert float(found.error) == pytest.approx(error, rel=1e-6)
    assert error > 0.05
    assert importance[0] > importance[1] > 0.05


def test_maps_and_strength_agree() -> None:
    found = of_around()
    h = DATA @ DICTIONARY
    maps = jax.jit(jax.vmap(lambda found, h: found.maps(h), (None, 0)))(found, h)
    assert maps.shape == (EXAMPLES, *POSITIONS, 2)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), found.strength, rtol=1e-9)
    order = np.argsort(-np.asarray(found.strength), axis=0, kind="stable")[:4].T
    np.testing.assert_array_equal(found.examples(4), order)


def test_maps_can_be_explained() -> None:
    """How much of a concept there is in an input is a model like any other."""
    found = of_around()

    @jax.jit
    def amount(x: Any) -> Any:
        return found.maps(jax.nn.relu(x @ DICTIONARY))[..., 0].sum()

    x, step = DATA[0] + 0.1, RNG.normal(size=DATA[0].shape)
    slope = jax.jit(jax.grad(amount))(x)
    numeric = (amount(x + 1e-6 * step) - amount(x - 1e-6 * step)) / 2e-6
    np.testing.assert_allclose(np.sum(slope * step), numeric, rtol=1e-5)
    assert np.isfinite(jax.jit(jax.grad(amount))(0 * x)).all()


def test_jit_and_chunks_change_nothing() -> None:
    pairs = zip(jax.tree.leaves(compiled(DATA, 1.0)), jax.tree.leaves(of_around()), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)


def test_units_of_the_layer_do_not_matter() -> None:
    found, expected = compiled(DATA, 1e6), of_around()
    np.testing.assert_allclose(found.directions, expected.directions, atol=1e-8)
    np.testing.assert_allclose(found.importance, expected.importance, rtol=1e-6)
    np.testing.assert_allclose(found.strength, 1e6 * expected.strength, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtypes(dtype: str) -> None:
    data = jnp.asarray(DATA, dtype)
    found = discover_concepts(around, data, 0.5, at="hidden", count=2, designs=16)
    kept = found.directions, found.importance, found.strength, found.error
    assert {leaf.dtype for leaf in kept} == {jnp.dtype("float32")}
    tolerance = 1e-3 if dtype == "float32" else 3e-2
    np.testing.assert_allclose(found.directions, of_around().directions, atol=tolerance)
    np.testing.assert_allclose(found.importance, of_around().importance, atol=2 * tolerance)
    assert found.maps(jnp.ones(CHANNELS, dtype)).dtype == dtype


def test_inputs_need_no_derivative() -> None:
    """Token ids will do, and a layer that keeps an axis of one example."""
    table = np.abs(RNG.normal(size=(10, CHANNELS)))

    def f(x: dict[str, Any]) -> Any:
        h = checkpoint_name(jnp.asarray(table)[x["ids"]][None], "hidden")
        return jnp.sum(h[..., 0] * x["weight"])

    data = {"ids": RNG.integers(0, 10, size=(6, 5)), "weight": np.ones(6)}
    found = discover_concepts(f, data, at="hidden", count=3, designs=16)
    assert found.strength.shape == (6, 3)
    maps = found.maps(table[data["ids"]])
    np.testing.assert_allclose(maps.mean(axis=1), found.strength, rtol=1e-9)


# ------------------------------------------------------------------------------------------- errors


def test_negative_activations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"goes down to -0\.01.*at='\*\*/NEXT:in'"):
        discover_concepts(network, DATA, at="before", count=2)
    assert np.isnan(compiled(-DATA, 1.0).directions).all()
    assert np.isnan(compiled(-DATA, 1.0).importance).all()


def test_layers_of_zeros_are_refused() -> None:
    with pytest.raises(ValueError, match="zero for all 20 examples"):
        discover_concepts(network, -DATA, at="hidden", count=2)
    found = compiled(0 * DATA, 1.0)
    assert np.isfinite(found.directions).all()
    for leaf in (found.importance, found.strength, found.error):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"at": "hiden"}, r"'hiden'.*Nearest names: 'hidden'"),
        ({"count": 9}, "count=9, but 'hidden' has 8 channels .* at most 8"),
        ({"count": 0}, "count=0"),
        ({"designs": 48}, "not a power of two"),
        ({"iterations": 0}, "iterations=0"),
        ({"tolerance": -1.0}, "tolerance=-1.0"),
        ({"chunk": 0}, "chunk=0"),
    ],
)
def test_options(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        discover_concepts(network, DATA, **{"at": "hidden", **options})


def test_examples_and_layers() -> None:
    with pytest.raises(TypeError, match="path of one layer"):
        discover_concepts(network, DATA, at=["hidden"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 4 concepts, or give more examples"):
        discover_concepts(network, DATA[:4, 0, 0], at="hidden", count=5)
    with pytest.raises(ValueError, match="one number for each example"):
        discover_concepts(lambda x: checkpoint_name(x.sum(), "h"), DATA, at="h")
    with pytest.raises(TypeError, match="floating-point array"):
        discover_concepts(
            lambda x: jnp.sum(x[checkpoint_name(jnp.argmax(x), "h")]), DATA[:, 0, 0], at="h"
        )
    with pytest.raises(TypeError, match="must return one real number"):
        discover_concepts(lambda x: checkpoint_name(x, "h"), DATA, at="h", count=2)
    with pytest.raises(ValueError, match="length 0"):
        discover_concepts(network, DATA[:0], at="hidden")
    with pytest.raises(ValueError, match=r"not finite: examples\[0, 0, 0, 0\] is nan"):
        discover_concepts(network, DATA * np.nan, at="hidden")
    with pytest.raises(ValueError, match="directions of 8 channels, but h: float64"):
        of_around().maps(jnp.ones((2, 7)))
    with pytest.raises(ValueError, match="count=21, but there are 20 examples"):
        of_around().examples(21)
