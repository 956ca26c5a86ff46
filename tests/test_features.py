"""Labels of features against what they are by definition, and LIME's superpixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxplain import ablation, baselines, features

rng = np.random.default_rng(0)
PICTURE = rng.normal(size=(5, 7, 3))


def colourful(size: int = 72) -> np.ndarray:
    """Blots of colour, between 0 and 1."""
    blots = scipy.ndimage.gaussian_filter(rng.uniform(size=(size, size, 3)), (1, 1, 0))
    return np.asarray((blots - blots.min()) / np.ptp(blots))


def test_patches() -> None:
    labels = features.patches(PICTURE, (2, 3))
    assert labels.shape == (5, 7, 1) and labels.dtype == np.int32
    for i in range(5):
        for j in range(7):
            assert labels[i, j, 0] == (i // 2) * 3 + j // 3
    assert features.patches(PICTURE, 2, axes=(-1,)).ravel().tolist() == [0, 0, 1]
    np.testing.assert_array_equal(
        features.patches(PICTURE, (3, 2), axes=(1, 0)), features.patches(PICTURE, (2, 3))
    )


def test_grid() -> None:
    """As the nearest pixel of a small picture that is enlarged."""
    labels = features.grid(PICTURE, (2, 3))
    assert labels.shape == (5, 7, 1) and labels.dtype == np.int32
    for i in range(5):
        for j in range(7):
            assert labels[i, j, 0] == int(i * 2 / 5) * 3 + int(j * 3 / 7)
    square = features.grid(np.zeros((8, 8)), 4)
    np.testing.assert_array_equal(square, np.kron(np.arange(16).reshape(4, 4), np.ones((2, 2))))
    assert len(np.unique(features.grid(np.zeros((11, 13)), 8))) == 64


def test_columns() -> None:
    labels = features.columns(6, range(1, 4), [0, 5])
    assert labels.tolist() == [0, 1, 1, 1, 2, 0] and labels.dtype == np.int32
    assert features.columns(3).tolist() == [0, 1, 2]
    assert features.columns(3, ()).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("tokens", "options", "expected"),
    [
        (["[CLS]", "ex", "##plain", "##able", "ai"], {}, [0, 1, 1, 1, 2]),
        (["##odd", "start"], {}, [0, 1]),
        (["a@", "b", "c@", "@"], {"continues": "@"}, [0, 1, 2, 2]),
        (["Hel", "lo", "Ġwor", "ld"], {"starts": "Ġ"}, [0, 0, 1, 1]),
        ([None, 0, 0, 1, None, 0, 0, None, None], {}, [0, 1, 1, 2, 3, 4, 4, 5, 6]),
        ([], {}, []),
    ],
)
def test_words(tokens: Any, options: Any, expected: list[int]) -> None:
    labels = features.words(tokens, **options)
    assert labels.tolist() == expected and labels.dtype == np.int32


def test_quickshift_is_lime_s() -> None:
    """The superpixels of LIME's default, numbered without gaps."""
    lime = pytest.importorskip("lime.wrappers.scikit_image")
    image = colourful()
    theirs = lime.SegmentationAlgorithm(
        "quickshift", kernel_size=4, max_dist=200, ratio=0.2, random_seed=7
    )(image)
    found = features.quickshift(image)
    assert found.shape == (72, 72, 1) and found.max() > 1
    np.testing.assert_array_equal(found[..., 0], np.unique(theirs, return_inverse=True)[1])


def test_superpixels() -> None:
    """Each lies in one of the fields; grey pictures and bytes are the same picture."""
    image = np.kron(np.array([[0.1, 0.9], [0.5, 0.3]]), np.ones((12, 16)))
    fields = np.kron(np.arange(4).reshape(2, 2), np.ones((12, 16), int))
    for found in (
        features.slic(image[..., None], 4, compactness=0.01),
        features.quickshift(image[..., None], 2, 10, 1),
    ):
        assert found.shape == (24, 32, 1) and found.dtype == np.int32
        assert set(found.ravel()) == set(range(found.max() + 1)) and found.max() >= 3
        assert len(set(zip(found.ravel(), fields.ravel(), strict=True))) == found.max() + 1
    flat = features.slic(image, 4, compactness=0.01)
    assert flat.shape == (24, 32)
    shades = np.round(colourful(16) * 255)
    np.testing.assert_array_equal(
        features.slic(shades.astype(np.uint8), 6), features.slic(shades / 255, 6)
    )
    half = features.slic(jnp.asarray(shades / 256, jnp.bfloat16), 6)
    assert half.shape == (16, 16, 1)


def test_a_batch_of_pictures_with_segments_of_their_own() -> None:
    labels = np.stack([features.patches(PICTURE, 3), features.patches(PICTURE, 4)])
    count = int(labels.max()) + 1
    weights = rng.normal(size=PICTURE.shape)
    batch = np.stack([PICTURE, 2 * PICTURE])
    explain = jax.jit(jax.vmap(ablation(lambda x: jnp.sum(x * weights), features=count)))
    found = explain(batch, groups=labels)
    for x, own, values in zip(batch, labels, found, strict=True):
        for label in range(count):
            inside = np.broadcast_to(own == label, x.shape)
            np.testing.assert_allclose(values[inside], np.sum((x * weights)[inside]), rtol=1e-9)


def test_segment_mean() -> None:
    labels = rng.integers(3, 8, size=(5, 7, 1))
    expected = PICTURE.copy()
    for label in np.unique(labels):
        inside = labels[..., 0] == label
        expected[inside] = PICTURE[inside].mean(axis=0)
    found = jax.jit(lambda x: baselines.segment_mean(x, labels))(PICTURE)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    first = np.moveaxis(PICTURE, -1, 0)
    np.testing.assert_allclose(
        baselines.segment_mean(first, labels[..., 0]), np.moveaxis(expected, -1, 0), rtol=1e-12
    )
    everything = baselines.segment_mean({"a": PICTURE}, {"a": np.zeros(3, int)})
    colours = np.broadcast_to(PICTURE.mean(axis=2, keepdims=True), PICTURE.shape)
    np.testing.assert_allclose(everything["a"], colours, rtol=1e-12)
    low = baselines.segment_mean(jnp.asarray(PICTURE, jnp.bfloat16), labels)
    assert low.dtype == jnp.bfloat16


def test_segment_mean_of_traced_labels() -> None:
    labels = rng.integers(0, 4, size=(5, 7, 1))
    traced = jax.jit(lambda x, labels: baselines.segment_mean(x, labels, features=6))
    np.testing.assert_allclose(
        traced(PICTURE, labels), baselines.segment_mean(PICTURE, labels), rtol=1e-12
    )
    for wrong in (-1, 6):
        labels[2, 2] = wrong
        filled = traced(PICTURE, labels)
        np.testing.assert_array_equal(np.isnan(filled), np.broadcast_to(labels == wrong, (5, 7, 3)))


Mistake = tuple[Callable[[], Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    (lambda: features.patches(PICTURE, 0), ValueError, "size=0"),
    (lambda: features.patches(PICTURE, (1, 2, 3)), ValueError, "has 3 numbers for axes"),
    (lambda: features.patches(np.zeros(4), 2), ValueError, r"axes=\(0,\) for a sequence"),
    (lambda: features.patches(PICTURE, 2, axes=(0, -3)), ValueError, "different axes"),
    (lambda: features.grid(PICTURE), ValueError, "give at most 5"),
    (lambda: features.columns(3, [3]), ValueError, "no column 3 of 3"),
    (lambda: features.columns(3, [-1]), ValueError, "no column -1"),
    (lambda: features.columns(3, [0, 1], [1]), ValueError, "Column 1 stands twice"),
    (lambda: features.words("abc"), TypeError, "list of strings"),
    (lambda: features.words([0.5]), TypeError, "list of strings"),  # type: ignore[list-item]
    (lambda: features.slic(PICTURE), ValueError, r"values from -\d"),
    (lambda: features.slic(np.full((4, 4), np.nan)), ValueError, "values from nan"),
    (lambda: features.slic(np.zeros((3, 8, 8))), ValueError, r"moveaxis\(image, 0, -1\)"),
    (lambda: features.slic(np.zeros((2, 8, 8, 3))), ValueError, "one picture at a time"),
    (lambda: features.slic(np.zeros((8, 8), int)), TypeError, "astype.np.uint8"),
    (lambda: features.slic(colourful(8), 0), ValueError, "segments=0"),
    (lambda: features.quickshift(colourful(8), ratio=2), ValueError, "ratio=2"),
    (lambda: jax.jit(features.quickshift)(colourful(8)), TypeError, "outside of jax.jit"),
    (lambda: baselines.segment_mean(PICTURE, PICTURE), TypeError, "groups are integers"),
    (lambda: baselines.segment_mean(PICTURE, np.zeros(2, int)), ValueError, "does not broadcast"),
    (lambda: baselines.segment_mean(np.arange(3), np.arange(3)), TypeError, "floating"),
    (
        lambda: jax.jit(baselines.segment_mean)(PICTURE, np.zeros(3, int)),
        TypeError,
        "groups is traced",
    ),
]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
def test_mistakes_are_told(mistake: int) -> None:
    call, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        call()
