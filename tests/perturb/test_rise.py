"""RISE against the paper's loop over masks, enlarged by scikit-image, and closed-form means."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.transform import resize

from jaxplain import over_baselines, rise

rng = np.random.default_rng(5)
X, BASE, WEIGHTS = rng.normal(size=(3, 5, 6, 2))
KEY = jax.random.key(3)
GRID, WIDTHS = (2, 3), (3, 2)  # cells along each axis, and how many places one is wide
KEEP = 0.4


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * WEIGHTS)) + x[0, 0, 0] * x[1, 2, 1] + 2


SCORE = jax.jit(f)


def enlarged(cells: np.ndarray, shift: Any) -> np.ndarray:
    """A grid made one cell larger than the picture, of which a picture is cut out."""
    size = [(count + 1) * width for count, width in zip(cells.shape, WIDTHS, strict=True)]
    whole = resize(cells.astype(float), size, order=1, mode="edge", anti_aliasing=False)
    return np.asarray(whole[shift[0] :, shift[1] :][:5, :6])


def masks(key: Any, count: int) -> list[np.ndarray]:
    found = []
    for number in range(count):
        drawn = np.asarray(jax.random.uniform(jax.random.fold_in(key, number), (6 + 2,)))
        cells, shift = drawn[:6].reshape(GRID) < KEEP, (drawn[6:] * WIDTHS).astype(int)
        found.append(enlarged(cells, shift)[..., None])
    return found


def by_hand(drawn: list[np.ndarray], normalize: str) -> tuple[np.ndarray, np.ndarray]:
    """The map and the standard error of its elements."""
    scores = np.array([float(SCORE(BASE + m * (X - BASE))) for m in drawn])
    stacked = np.stack(drawn)
    weighted = scores[:, None, None, None] * stacked
    if normalize == "probability":
        value = weighted.mean(axis=0) / KEEP
        influence = weighted / KEEP - value
    else:
        ratio = weighted.sum(axis=0) / stacked.sum(axis=0)
        centre = scores.mean() if normalize == "centred" else 0
        value = ratio - centre
        influence = (weighted - ratio * stacked) / stacked.mean(axis=0)
        if normalize == "centred":
            influence -= (scores - centre)[:, None, None, None]
    error = np.sqrt(np.sum(influence**2, axis=0) / len(drawn) / (len(drawn) - 1))
    return np.broadcast_to(value, X.shape), np.broadcast_to(error, X.shape)


@functools.cache
def compiled(normalize: str = "probability", chunk: int | None = None) -> Any:
    return jax.jit(
        rise(
            f, samples=12, grid=GRID, keep_probability=KEEP, normalize=normalize, chunk=chunk,
            info=True,
        )
    )  # fmt: skip


@pytest.mark.parametrize("normalize", ["probability", "coverage", "centred"])
def test_loop_over_masks(normalize: str) -> None:
    value, error = by_hand(masks(KEY, 12), normalize)
    found, info = compiled(normalize)(X, baseline=BASE, key=KEY)
    np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(info.standard_error, error, rtol=1e-9)
    assert info.evaluations == 12


def test_chunks_draw_the_same_masks() -> None:
    whole, info = compiled()(X, baseline=BASE, key=KEY)
    found, other = compiled(chunk=5)(X, baseline=BASE, key=KEY)
    np.testing.assert_allclose(found, whole, rtol=1e-12)
    np.testing.assert_allclose(other.standard_error, info.standard_error, rtol=1e-9)
    assert np.abs(compiled()(X, baseline=BASE, key=jax.random.key(4))[0] - whole).max() > 1e-3


def second_moments() -> np.ndarray:
    """Of the masks at two places each, over all grids and shifts."""
    units = np.eye(6).reshape(6, *GRID)
    shifts = [(a, b) for a in range(WIDTHS[0]) for b in range(WIDTHS[1])]
    total = np.zeros((30, 30))
    for shift in shifts:
        weights = np.stack([enlarged(unit, shift).ravel() for unit in units])
        np.testing.assert_allclose(weights.sum(axis=0), 1)
        total += weights.T @ weights / len(shifts)
    return KEEP**2 + KEEP * (1 - KEEP) * total


def test_unbiased_for_additive_scores_and_its_standard_error() -> None:
    """The mean over keys is the expectation; their spread is what the standard error says."""
    weights = rng.normal(size=(5, 6))
    score = lambda x: jnp.sum(x * weights) + 1.0  # noqa: E731
    explain = rise(score, samples=40, grid=GRID, keep_probability=KEEP, info=True)
    keys = jax.random.split(jax.random.key(0), 400)
    x = np.abs(X[..., 0])
    mapped = jax.jit(lambda keys: jax.vmap(lambda key: explain(x, key=key))(keys))
    found, info = mapped(keys)
    expected = (second_moments() @ (weights * x).ravel()).reshape(5, 6) / KEEP + 1
    spread = np.std(found, axis=0, ddof=1)
    assert np.all(np.abs(np.mean(found, axis=0) - expected) < 4.5 * spread / np.sqrt(400))
    claimed = np.sqrt(np.mean(np.asarray(info.standard_error) ** 2, axis=0))
    np.testing.assert_allclose(claimed, spread, rtol=0.2)


def test_constant_scores() -> None:
    """A constant map where coverage is divided out, zero where the mean is subtracted."""
    x = np.ones((4, 4))
    for normalize, value in (("coverage", 3.5), ("centred", 0.0)):
        explain = rise(
            lambda x: 3.5 + 0 * jnp.sum(x), samples=20, grid=2, normalize=normalize, info=True
        )
        found, info = jax.jit(explain)(x, key=KEY)
        np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(info.standard_error, 0, atol=1e-14)
    # Where a place is never kept there is no mean: 0 / 0 = 0.
    rare = rise(jnp.sum, samples=2, grid=2, keep_probability=1e-9, normalize="coverage")
    found = jax.jit(jax.grad(lambda x: jnp.sum(rare(x, key=KEY))))(x)
    np.testing.assert_array_equal(found, 0)


def test_sequences_trees_and_dtypes() -> None:
    tree = {"a": jnp.asarray(X[..., 0], jnp.float32), "b": jnp.asarray(X[0], jnp.bfloat16)}

    def g(tree: Any) -> Any:
        return jnp.sum(tree["a"]) + jnp.sum(tree["b"].astype(jnp.float32) ** 2)

    found = jax.jit(rise(g, samples=6, grid=3, axes=(0,), chunk=4))(tree, key=KEY)
    for name, leaf in tree.items():
        assert found[name].shape == leaf.shape and found[name].dtype == leaf.dtype
        ptp = np.ptp(np.asarray(found[name], float), axis=1)
        np.testing.assert_array_equal(ptp, 0)  # masks do not depend on the other axis
        assert np.ptp(np.asarray(found[name], float)) > 0
    last = jax.jit(rise(jnp.sum, samples=6, grid=3, axes=(-1,)))(tree["a"].T, key=KEY)
    first = jax.jit(rise(jnp.sum, samples=6, grid=3, axes=(0,)))(tree["a"], key=KEY)
    np.testing.assert_allclose(last.T, first, rtol=1e-6)
    swapped = jax.jit(rise(jnp.sum, samples=6, grid=(3, 2), axes=(1, 0)))(X, key=KEY)
    usual = jax.jit(rise(jnp.sum, samples=6, grid=(2, 3)))(X, key=KEY)
    np.testing.assert_allclose(swapped, usual, rtol=1e-12)


def test_batches_classes_baselines_and_derivatives() -> None:
    weights = rng.normal(size=(60, 4))

    def g(x: Any, k: Any) -> Any:
        return (jnp.tanh(x.reshape(-1)) @ weights)[k]

    explain = rise(g, samples=7, grid=GRID)
    one = functools.partial(explain, key=KEY)
    classes = jax.vmap(one, in_axes=(None, 0))
    found = jax.jit(classes)(X, jnp.arange(4))
    np.testing.assert_allclose(found[2], jax.jit(one)(X, 2), rtol=1e-9, atol=1e-12)
    shapes = str(jax.make_jaxpr(classes)(X, jnp.arange(4)))
    assert ":f64[7,60]" in shapes and "f64[4,7,60]" not in shapes and "f64[7,4,60]" not in shapes

    keys = jax.random.split(KEY, 2)
    mapped = jax.jit(jax.vmap(explain))(np.stack([X, BASE]), jnp.array([2, 1]), key=keys)
    np.testing.assert_allclose(mapped[1], jax.jit(explain)(BASE, 1, key=keys[1]), rtol=1e-9)

    averaged = jax.jit(over_baselines(explain))(X, 2, baseline=np.stack([BASE, 0 * X]), key=KEY)
    apart = [
        jax.jit(explain)(X, 2, baseline=base, key=jax.random.fold_in(KEY, i))
        for i, base in enumerate((BASE, 0 * X))
    ]
    np.testing.assert_allclose(averaged, (apart[0] + apart[1]) / 2, rtol=1e-9)

    loss = jax.jit(lambda x: jnp.sum(rise(g, samples=7, chunk=3)(x, 1, key=KEY) ** 2))
    direction, step = rng.normal(size=X.shape), 1e-6
    slope = np.sum(jax.jit(jax.grad(loss))(X) * direction)
    ends = loss(X + step * direction), loss(X - step * direction)
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: rise(f, samples=0), ValueError, "samples=0"),
    (lambda: rise(f, samples=1, info=True), ValueError, "samples=1"),
    (lambda: rise(f, grid=(3,)), ValueError, "one for each of axes"),
    (lambda: rise(f, grid=0), ValueError, "grid=0"),
    (lambda: rise(f, axes=()), ValueError, "at least one"),
    (lambda: rise(f, keep_probability=0), ValueError, "keeps nothing"),
    (lambda: rise(f, keep_probability=1.5), ValueError, "between 0 and 1"),
    (lambda: rise(f, normalize="paper"), ValueError, "probability, coverage, centred"),
    (lambda: rise(f)(X), TypeError, "jax.random.key"),
    (lambda: rise(jnp.sum)(X[0, 0], key=KEY), ValueError, r"axes=\(0,\) for a sequence"),
    (lambda: rise(f)(np.arange(4).reshape(2, 2), key=KEY), TypeError, "between two token ids"),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
