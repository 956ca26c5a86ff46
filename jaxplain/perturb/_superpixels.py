"""Features by look: superpixels, found by scikit-image."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .._errors import check_count, check_real, is_concrete
from ._partitions import without_gaps


def slic(
    image: Any, segments: int = 50, *, compactness: float = 10.0, sigma: float = 0.0
) -> np.ndarray:
    """Superpixels by SLIC: clusters of pixels that are near in colour and in place.

    Args:
        image: one picture, HW, HWC with 1 or 3 channels; uint8, or floats from 0 to 1.
        segments: about how many superpixels there should be.
        compactness: how much place counts beside colour; high values give squares.
        sigma: standard deviation of the blur beforehand, in pixels.

    Returns:
        Labels, int32, of shape (H, W, 1), or (H, W) for a picture without channels.

    Raises:
        ValueError: `image` has another shape or range.
        TypeError: `image` is traced, or of another dtype.
        ModuleNotFoundError: scikit-image is not installed.

    Example:
        >>> import numpy as np, jaxplain
        >>> image = np.zeros((6, 8, 3))
        >>> image[:, 4:] = 1
        >>> labels = jaxplain.features.slic(image, 2)
        >>> labels.shape, labels[0, :, 0]
        ((6, 8, 1), array([0, 0, 0, 0, 1, 1, 1, 1], dtype=int32))

    References:
        Achanta et al. 2012, SLIC superpixels compared to state-of-the-art superpixel methods.
    """
    check_count("segments", segments)
    pixels = _checked_picture(image, "slic")
    channels = -1 if pixels.ndim == 3 else None
    found = _segmentation().slic(
        pixels, segments, compactness=compactness, sigma=sigma, channel_axis=channels, start_label=0
    )
    return _laid_out(found, pixels)


def quickshift(
    image: Any,
    kernel_size: float = 4.0,
    max_distance: float = 200.0,
    ratio: float = 0.2,
    *,
    sigma: float = 0.0,
    seed: int = 42,
) -> np.ndarray:
    """Superpixels by quickshift: each pixel follows its neighbours to a peak of the density.

    The defaults are those of LIME on pictures.

    Args:
        image: one picture, HW, HWC with 1 or 3 channels; uint8, or floats from 0 to 1.
        kernel_size: the width of the density's kernel; wider ones give fewer superpixels.
        max_distance: pixels are joined up to this distance, in colour and place together.
        ratio: how much colour counts beside place, from 0 to 1.
        sigma: standard deviation of the blur beforehand, in pixels.
        seed: of the tiny noise that decides between equal densities.

    Returns:
        Labels, int32, of shape (H, W, 1), or (H, W) for a picture without channels.

    Raises:
        ValueError: `image` has another shape or range, or `ratio` lies outside of [0, 1].
        TypeError: `image` is traced, or of another dtype.
        ModuleNotFoundError: scikit-image is not installed.

    Example:
        >>> import numpy as np, jaxplain
        >>> image = np.zeros((12, 16, 3))
        >>> image[:, 8:] = 1
        >>> labels = jaxplain.features.quickshift(image, 2, 20, 1)
        >>> bool(np.intersect1d(labels[:, :8], labels[:, 8:]).size)
        False

    References:
        Vedaldi and Soatto 2008, Quick shift and kernel methods for mode seeking.
    """
    check_real("kernel_size", kernel_size, low=1)
    check_real("ratio", ratio, low=0, high=1)
    pixels = _checked_picture(image, "quickshift")
    grey = pixels.ndim == 2 or pixels.shape[-1] == 1
    # Distances of colours are measured in the Lab space, which only colours have.
    coloured = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=-1) if grey else pixels
    found = _segmentation().quickshift(
        coloured, ratio=ratio, kernel_size=kernel_size, max_dist=max_distance, sigma=sigma, rng=seed
    )
    return _laid_out(found, pixels)


def _checked_picture(image: Any, who: str) -> np.ndarray:
    """The picture if it is one that scikit-image reads as it was meant."""
    if not is_concrete(image):
        raise TypeError(
            f"features.{who} got a traced picture, but superpixels are found outside of jax.jit "
            "and jax.vmap: find them first, and pass them with groups=."
        )
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] not in (1, 3)):
        raise ValueError(
            f"features.{who} takes one picture of shape (H, W), (H, W, 1) or (H, W, 3), but got "
            f"shape {pixels.shape}. Move channels that come first with jnp.moveaxis(image, 0, -1); "
            "go through a batch one picture at a time."
        )
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind in "iub":
        raise TypeError(
            f"features.{who} takes uint8, or floats from 0 to 1, but the picture has dtype "
            f"{pixels.dtype}: for values from 0 to 255 give image.astype(np.uint8)."
        )
    pixels = pixels.astype(np.float64 if pixels.dtype == np.float64 else np.float32)
    if not (pixels.size and np.min(pixels) >= 0 and np.max(pixels) <= 1):
        span = f"{np.min(pixels):.3g} to {np.max(pixels):.3g}" if pixels.size else "none"
        raise ValueError(
            f"features.{who} takes uint8, or floats from 0 to 1, but the picture has values from "
            f"{span}: give the picture as it was before it was normalised for the model, or "
            "(image - image.min()) / (image.max() - image.min())."
        )
    return pixels


def _laid_out(found: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The segments with an axis of size 1 for the channels, so that they broadcast."""
    return without_gaps(found).reshape(*pixels.shape[:2], *(1,) * (pixels.ndim - 2))


def _segmentation() -> ModuleType:
    """scikit-image's algorithms, which most never need."""
    try:
        from skimage import segmentation
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Superpixels need scikit-image. Type: pip install 'jaxplain[images]'"
        ) from error
    module: ModuleType = segmentation
    return module
