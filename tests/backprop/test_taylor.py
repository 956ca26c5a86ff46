"""Deep Taylor decomposition: rules as root points, and the criteria for choosing one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import rules

RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(5, 4)), 0.2 * RNG.normal(size=4)
V = RNG.normal(size=4)
X = jnp.asarray(np.abs(RNG.normal(size=5)))


def net(x: Any) -> Any:
    return jnp.maximum(jnp.maximum(x, 0) @ W + B, 0) @ V


def one_unit(x: Any) -> Any:
    return jnp.maximum(x, 0) @ W[:, 0] + B[0]


def criteria(f: Any, rule: Any, x: Any = X) -> Any:
    found = jax.jit(jaxplain.root_criteria(f, rule))(x)
    assert list(found)
    return found


def roots(rule: Any) -> np.ndarray:
    """The root point of `one_unit` by each rule's definition, in numpy."""
    x, w, z = np.asarray(X), W[:, 0], float(one_unit(X))
    direction = {
        rules.WSquare: w,
        rules.ZPlus: np.where(w > 0, x, 0),
        rules.Gamma: x * (1 + 0.25 * ((w > 0) if z > 0 else (w < 0))),
        rules.Epsilon: x,
        rules.Zero: x,
    }[type(rule)]
    return x - direction * z / (direction @ w)


@pytest.mark.parametrize(
    "rule", [rules.WSquare(), rules.ZPlus(), rules.Gamma(), rules.Epsilon(), rules.Zero()], ids=str
)
def test_criteria_are_those_of_the_root_point(rule: Any) -> None:
    x, root = np.asarray(X), roots(rule)
    assert abs(root @ W[:, 0] + B[0]) < 1e-12, "it is a root"
    (found,) = criteria(one_unit, rule).values()
    moved = np.linalg.norm(x - root)
    np.testing.assert_allclose(found.distance, moved / np.linalg.norm(x), rtol=1e-9)
    np.testing.assert_allclose(
        found.outside, np.linalg.norm(np.maximum(-root, 0)) / moved, atol=1e-12
    )
    np.testing.assert_allclose(found.residual, 0, atol=1e-10)


@pytest.mark.parametrize("unit", range(4))
def test_the_nearest_root_is_nearest(unit: int) -> None:
    """By Cauchy and Schwarz; the price is that it may leave the domain, as z⁺ does not."""

    def f(x: Any) -> Any:
        return jnp.maximum(x, 0) @ W[:, unit]

    (nearest,) = criteria(f, rules.WSquare()).values()
    for rule in (rules.ZPlus(), rules.Gamma(1.0), rules.Zero()):
        (other,) = criteria(f, rule).values()
        assert nearest.distance <= other.distance + 1e-12


def test_rescaled_excitations_stay_in_the_domain() -> None:
    """A unit with a positive sum of contributions reaches its root before an input is negative."""
    firing = np.flatnonzero(np.asarray(X) @ W > 0)
    assert len(firing)
    (found,) = criteria(lambda x: jnp.maximum(x, 0) @ W[:, firing[0]], rules.ZPlus()).values()
    np.testing.assert_allclose(found.outside, 0, atol=1e-12)


def test_a_root_of_ones_own_conserves() -> None:
    w, b = jnp.asarray(W[:, 0]), B[0]
    root = X - w * (X @ w + b) / (w @ w)

    def f(x: Any) -> Any:
        return x @ w + b

    relevance = jax.jit(jaxplain.lrp(f, rules.Root(root, 0.0)))(X)
    np.testing.assert_allclose(relevance, (X - root) * w, rtol=1e-9)
    np.testing.assert_allclose(relevance.sum(), f(X), rtol=1e-9)
    (found,) = criteria(f, rules.Root(root)).values()
    np.testing.assert_allclose(found.residual, 0, atol=1e-10)


def test_what_is_no_root_is_told_and_absorbed() -> None:
    def f(x: Any) -> Any:
        return x @ W[:, 0] + B[0]

    point = 0.5 * X
    _, info = jaxplain.lrp(f, rules.Root(point, 0.0), info=True)(X)
    np.testing.assert_allclose(info.ledger.bias.sum(), f(point), rtol=1e-9)
    (found,) = criteria(f, rules.Root(point)).values()
    np.testing.assert_allclose(found.residual, abs(f(point) / f(X)), rtol=1e-9)


def test_the_same_rule_as_its_root() -> None:
    """w² is the expansion at the nearest root, where a unit's relevance is its output."""
    w = jnp.asarray(W[:, 0])
    root = X - w * (X @ w) / (w @ w)
    square = jaxplain.lrp(lambda x: x @ w, rules.WSquare(0.0))(X)
    expansion = jaxplain.lrp(lambda x: x @ w, rules.Root(root, 0.0))(X)
    np.testing.assert_allclose(square, expansion, rtol=1e-9)


def test_deep_taylor_is_its_preset_and_positive() -> None:
    def positive(x: Any) -> Any:
        return jnp.maximum(jnp.maximum(x @ W + B, 0) @ V, 0)

    x = X if positive(X) > 0 else -X
    boxed = jax.jit(jaxplain.deep_taylor(positive, 0.0, 3.0))(x)
    preset = jax.jit(jaxplain.lrp(positive, rules.deep_taylor(0.0, 3.0)))(x)
    np.testing.assert_allclose(boxed, preset)
    assert (jaxplain.deep_taylor(positive)(x) >= 0).all()
    with pytest.raises(ValueError, match="both bounds"):
        jaxplain.deep_taylor(positive, low=0.0)
