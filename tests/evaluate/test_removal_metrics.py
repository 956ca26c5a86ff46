"""Metrics that take features away, against loops over features in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import baselines
from jaxplain.evaluate._deletion import deletion, insertion
from jaxplain.evaluate._flipping import abpc, pixel_flipping
from jaxplain.evaluate._imputation import noisy_linear_imputation
from jaxplain.evaluate._irof import irof
from jaxplain.evaluate._regions import region_perturbation, selectivity
from jaxplain.evaluate._removal import blur_removal, mean_removal, uniform_removal
from jaxplain.evaluate._road import road

rng = np.random.default_rng(5)
SHAPE = (4, 5, 2)
X, BASE, WEIGHTS, RELEVANCE = rng.normal(size=(4, *SHAPE))
RELEVANCE[1, 2] = RELEVANCE[3, 0]  # a tie
KEY = jax.random.key(7)
SEGMENTS = np.array([[0, 0, 1, 1, 1], [0, 2, 2, 2, 1], [3, 3, 2, 2, 1], [3, 3, 3, 4, 4]])[..., None]
PATCHES = np.array([[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5], [3, 3, 4, 4, 5]])[..., None]
PIXELS = np.arange(20).reshape(4, 5, 1)


def f(x: Any) -> Any:
    return 3 + jnp.mean(jnp.tanh(x * WEIGHTS.astype(x.dtype))) + x[0, 0, 0] * x[2, 3, 1] / 4


def given(x: Any) -> Any:
    return jnp.asarray(RELEVANCE, x.dtype)


def backwards(x: Any) -> Any:
    return -given(x)


score = jax.jit(f)
# The one key of a call is split once, whatever the number of steps.
OWN = jax.random.split(KEY)[1]
NOISE = np.asarray(uniform_removal(-1, 2)(X, np.zeros(SHAPE, bool), key=OWN))
COLOUR = np.broadcast_to(X.mean(axis=(0, 1)), SHAPE)


def loop(labels: np.ndarray, fill: Any, order: str = "morf", mean: bool = False) -> np.ndarray:
    """The scores while one feature after the other goes; `fill` is a picture or makes one."""
    labels = np.broadcast_to(labels, SHAPE)
    count = labels.max() + 1
    values = [
        RELEVANCE[labels == n].mean() if mean else RELEVANCE[labels == n].sum()
        for n in range(count)
    ]
    sign = -1 if order == "morf" else 1
    kept, scores = np.ones(SHAPE, bool), [float(score(X))]
    for n in sorted(range(count), key=lambda n: sign * values[n]):
        kept = kept & (labels != n)
        other = fill(kept) if callable(fill) else fill
        scores.append(float(score(np.where(kept, X, other))))
    return np.array(scores)


def area(scores: np.ndarray) -> float:
    return float(np.mean((scores[1:] + scores[:-1]) / 2))


imputed = jax.jit(noisy_linear_imputation(noise=0))
blurred = np.asarray(baselines.blur(X, 1.5))


def filled(kept: np.ndarray) -> np.ndarray:
    return np.asarray(imputed(X, kept))


CURVES: dict[str, tuple[Any, dict[str, Any], Callable[[], np.ndarray]]] = {
    "baseline": (
        pixel_flipping(f, given, along=(0, 1)),
        {"baseline": BASE},
        lambda: loop(PIXELS, BASE),
    ),
    "mean": (
        pixel_flipping(f, given, order="lerf", groups=SEGMENTS, removal=mean_removal()),
        {},
        lambda: loop(SEGMENTS, COLOUR, "lerf"),
    ),
    "blur": (
        deletion(f, given, along=(0, 1), removal=blur_removal(1.5)),
        {},
        lambda: loop(PIXELS, blurred),
    ),
    "uniform": (
        deletion(f, given, removal=uniform_removal(-1, 2)),
        {"key": KEY},
        lambda: loop(np.arange(40).reshape(SHAPE), NOISE),
    ),
    "imputation": (
        pixel_flipping(f, given, along=(0, 1), removal=noisy_linear_imputation(0)),
        {},
        lambda: loop(PIXELS, filled),
    ),
    "selectivity": (
        selectivity(f, given, patch=2),
        {"baseline": BASE},
        lambda: loop(PATCHES, BASE),
    ),
    "road": (
        road(f, given, percentages=(0, 10, 35, 90), noise=0),
        {},
        lambda: loop(PIXELS, filled)[[0, 2, 7, 18]],
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_curves(name: str) -> None:
    metric, options, expected = CURVES[name]
    curve = jax.jit(metric)(X, **options)
    np.testing.assert_allclose(curve.scores, expected(), rtol=1e-9)


NUMBERS: dict[str, tuple[Any, dict[str, Any], Callable[[], float]]] = {
    "abpc": (
        abpc(f, given, groups=SEGMENTS, removal=blur_removal(1.5)),
        {},
        lambda: area(loop(SEGMENTS, blurred, "lerf")) - area(loop(SEGMENTS, blurred)),
    ),
    "regions": (
        region_perturbation(f, given, patch=2, removal=uniform_removal(-1, 2)),
        {"key": KEY},
        lambda: float(np.mean(loop(PATCHES, NOISE)[0] - loop(PATCHES, NOISE))),
    ),
    "some regions": (
        region_perturbation(f, given, patch=2, order="lerf", regions=3, removal=None),
        {"baseline": BASE},
        lambda: float(np.mean(score(X) - loop(PATCHES, BASE, "lerf")[:4])),
    ),
    "irof": (
        irof(f, given, features=5),
        {"groups": SEGMENTS},
        lambda: 1 - area(loop(SEGMENTS, COLOUR, mean=True)) / float(score(X)),
    ),
    "irof of a baseline": (
        irof(f, given, groups=SEGMENTS, removal=None),
        {"baseline": BASE},
        lambda: 1 - area(loop(SEGMENTS, BASE, mean=True)) / float(score(X)),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    metric, options, expected = NUMBERS[name]
    np.testing.assert_allclose(jax.jit(metric)(X, **options), expected(), rtol=1e-9)


def test_insertion() -> None:
    """The most relevant come first, of equal ones the first."""
    pixels = RELEVANCE.sum(axis=-1).ravel()
    kept, expected = np.zeros(20, bool), [float(score(BASE))]
    for n in sorted(range(20), key=lambda n: -pixels[n]):
        kept[n] = True
        expected.append(float(score(np.where(kept.reshape(4, 5, 1), X, BASE))))
    curve = jax.jit(insertion(f, given, along=(0, 1)))(X, baseline=BASE)
    np.testing.assert_allclose(curve.scores, expected, rtol=1e-9)
    np.testing.assert_allclose(curve.area, area(np.array(expected)), rtol=1e-9)
    np.testing.assert_allclose(curve.shares, np.arange(21) / 20, rtol=1e-12)


def test_road_rounds_to_pixels() -> None:
    curve = jax.jit(road(f, given, percentages=(12, 90), noise=0))(X)
    np.testing.assert_allclose(curve.shares, [2 / 20, 18 / 20])


MADE: dict[str, Callable[..., Any]] = {
    "insertion": lambda *a, **k: insertion(*a, groups=SEGMENTS, removal=mean_removal(), **k),
    "regions": lambda *a, **k: region_perturbation(*a, patch=2, **k),
    "irof": lambda *a, **k: irof(*a, groups=SEGMENTS, **k),
    "road": lambda *a, **k: road(*a, percentages=(10, 50, 90), **k),
}
RANDOM = ("regions", "road")


@pytest.mark.parametrize("name", MADE)
def test_laws(name: str) -> None:
    """vmap is a loop, a dictionary is each alone, chunks change nothing, float32 stays."""
    make = MADE[name]
    keys = {"key": jax.random.split(KEY, 2)} if name in RANDOM else {}
    xs = np.stack([X, BASE])
    both = jax.jit(jax.vmap(make(f, {"a": given, "b": backwards}, chunk=2)))(xs, **keys)
    for which, explain in (("a", given), ("b", backwards)):
        alone = jax.jit(make(f, explain))
        for i in range(2):
            expected = alone(xs[i], **{option: value[i] for option, value in keys.items()})
            found = jax.tree.map(lambda leaf, i=i: leaf[i], both[which])
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)
    small = jax.eval_shape(
        make(f, given), X.astype(np.float32), **{option: value[0] for option, value in keys.items()}
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(small)} == {jnp.dtype(jnp.float32)}


def test_derivative() -> None:
    """Of a curve with respect to the input: the order stays, and what is filled in follows."""
    metric = road(f, given, percentages=(30, 60), noise=0, chunk=1)

    def total(x: Any) -> Any:
        return metric(x).scores.sum()

    direction, step = rng.normal(size=SHAPE), 1e-5
    value = jax.jit(total)
    expected = (value(X + step * direction) - value(X - step * direction)) / (2 * step)
    slope = np.sum(np.asarray(jax.jit(jax.grad(total))(X)) * direction)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_patches_of_several_leaves() -> None:
    """Patches of one leaf are not those of another."""

    def two(x: Any) -> Any:
        return jnp.sum(x["a"]) + 2 * jnp.sum(x["b"])

    x = {"a": jnp.ones((2, 2)), "b": jnp.ones((2, 4))}
    curve = jax.jit(selectivity(two, jax.grad(two), patch=2))(x)
    np.testing.assert_allclose(curve.scores, [20, 12, 4, 0])


def test_same_noise_in_all_steps() -> None:
    """Two steps differ in what is gone, so features that do not matter change nothing."""
    metric = region_perturbation(lambda x: x[0, 0, 0], given, patch=2, removal=uniform_removal())
    curve = pixel_flipping(lambda x: x[0, 0, 0], given, groups=PATCHES, removal=uniform_removal())
    scores = np.unique(jax.jit(curve)(X, key=KEY).scores)
    assert len(scores) == 2
    assert float(jax.jit(metric)(X, key=KEY)) != 0


def test_irof_of_a_score_that_is_zero() -> None:
    metric = jax.jit(irof(lambda x: 0 * jnp.sum(x), given, groups=SEGMENTS))
    with pytest.warns(RuntimeWarning, match="divides by the score"):
        found = jax.block_until_ready(metric(X))
        jax.effects_barrier()
    assert found == 0


def test_own_operator() -> None:
    """Operators are functions; one with a parameter `key` is random."""

    def shifted(x: Any, kept: Any, *, key: Any) -> Any:
        return jnp.where(kept, x, x + jax.random.normal(key))

    metric = deletion(lambda x: jnp.sum(x), given, groups=SEGMENTS, removal=shifted)
    drop = jax.jit(metric)(X, key=KEY).scores - X.sum()
    np.testing.assert_allclose(drop[-1], 40 * jax.random.normal(OWN), rtol=1e-9)
    with pytest.raises(TypeError, match="needs a key"):
        metric(X)


def test_errors() -> None:
    with pytest.raises(TypeError, match="not an operator"):
        pixel_flipping(f, given, removal="blur")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes no baseline"):
        deletion(f, given, removal=mean_removal())(X, baseline=BASE)
    with pytest.raises(TypeError, match="not random"):
        deletion(f, given, removal=mean_removal())(X, key=KEY)
    with pytest.raises(ValueError, match="is like x"):
        deletion(f, given, removal=lambda x, kept: x[0])(X)
    with pytest.raises(TypeError, match="int32"):
        ids = jnp.arange(3, dtype=jnp.int32)
        deletion(lambda x: jnp.sum(x * 1.0), jnp.zeros_like, removal=mean_removal(axes=(0,)))(ids)
    with pytest.raises(ValueError, match="lacks one of axes"):
        deletion(lambda x: jnp.sum(x), jnp.ones_like, removal=mean_removal())(jnp.ones(3))
    with pytest.raises(ValueError, match="high - low"):
        uniform_removal(1.0, 0.0)
    with pytest.raises(ValueError, match="patch"):
        selectivity(f, given, patch=0)
    with pytest.raises(ValueError, match="2 numbers"):
        region_perturbation(f, given, patch=(2, 2), axes=(0,))
    with pytest.raises(TypeError, match="features of its own"):
        selectivity(f, given)(X, groups=SEGMENTS)
    with pytest.raises(ValueError, match="regions"):
        region_perturbation(f, given, regions=0)
    with pytest.raises(TypeError, match="slic"):
        irof(f, given)(X)
    for wrong in ((), (50, 10), 30):
        with pytest.raises(ValueError, match="percentages"):
            road(f, given, percentages=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="percentages"):
        road(f, given, percentages=(10, 101))
