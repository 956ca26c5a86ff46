"""Features: what is changed together. Each function gives labels, to pass as `groups=`.

Labels are NumPy integers, numbered from 0 without gaps, that broadcast to one example: elements
with equal labels are one feature. They are made outside of `jax.jit`. Where each picture of a batch
has segments of its own, stack their labels, say how many there may be with `features=` where the
method is made, and pass `groups=` with the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ._axes import checked_axes
from ._errors import check_count, check_real, is_concrete


def patches(x: Any, size: int | tuple[int, ...], axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """Rectangular patches of a given size, row by row.

    Args:
        x: one example, an array; only its shape matters.
        size: how many elements a patch spans, one number or one for each of `axes`. The last
            patches are smaller where the size does not divide that of `x`.
        axes: the axes that are cut, (0, 1) for HW and HWC. A patch spans all others.

    Returns:
        Labels, int32, of the size of `x` on `axes` and of size 1 on the others.

    Raises:
        ValueError: `size` is not positive, or `x` lacks one of the axes.

    Example:
        >>> import numpy as np, jaxplain
        >>> jaxplain.features.patches(np.zeros((2, 5, 3)), 2)[..., 0]
        array([[0, 0, 1, 1, 2],
               [0, 0, 1, 1, 2]], dtype=int32)
    """
    shape, placed = np.shape(x), _placed("size", size, np.shape(x), axes)
    return _numbered(shape, {axis: np.arange(shape[axis]) // span for axis, span in placed.items()})


def grid(x: Any, cells: int | tuple[int, ...] = 8, axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    r"""A grid of a given number of cells, row by row.

    Element i of n lies in cell $\lfloor i c / n \rfloor$ of c, as in a picture of c pixels that is
    enlarged by repeating its nearest pixel.

    Args:
        x: one example, an array; only its shape matters.
        cells: how many cells there are, one number or one for each of `axes`.
        axes: the axes that are cut, (0, 1) for HW and HWC. A cell spans all others.

    Returns:
        Labels, int32, of the size of `x` on `axes` and of size 1 on the others.

    Raises:
        ValueError: `cells` is not positive or exceeds the size of `x`, or `x` lacks one of the
            axes.

    Example:
        >>> import numpy as np, jaxplain
        >>> jaxplain.features.grid(np.zeros((2, 5, 3)), 2)[..., 0]
        array([[0, 0, 0, 1, 1],
               [2, 2, 2, 3, 3]], dtype=int32)
    """
    shape, placed = np.shape(x), _placed("cells", cells, np.shape(x), axes)
    for axis, count in placed.items():
        if count > shape[axis]:
            raise ValueError(
                f"cells={cells} asks for {count} cells along axis {axis}, but x has shape {shape}: "
                f"give at most {shape[axis]}."
            )
    cut = {axis: np.arange(shape[axis]) * count // shape[axis] for axis, count in placed.items()}
    return _numbered(shape, cut)


def columns(count: int, *groups: Iterable[int]) -> np.ndarray:
    """The columns of a table, some of which belong together, such as those of a one-hot code.

    Args:
        count: how many columns a row has.
        *groups: the indices of columns that are one feature. All others are features of their own.

    Returns:
        Labels, int32, of shape (count,), numbered in the order of the columns.

    Raises:
        ValueError: a column does not exist, or stands in two groups.

    Example:
        >>> import jaxplain
        >>> jaxplain.features.columns(5, (1, 2), (0, 4))
        array([0, 1, 1, 2, 0], dtype=int32)
    """
    check_count("count", count)
    names = np.arange(count)
    taken: set[int] = set()
    for group in groups:
        members = [int(column) for column in group]
        for column in members:
            if not 0 <= column < count:
                raise ValueError(
                    f"There is no column {column} of {count}: give numbers from 0 to {count - 1}."
                )
            if column in taken:
                raise ValueError(f"Column {column} stands twice in the groups: leave one out.")
            taken.add(column)
        names[members] = min(members, default=0)
    return _without_gaps(names)


def words(
    tokens: Sequence[str] | Sequence[int | None],
    continues: str = "##",
    starts: str | None = None,
) -> np.ndarray:
    """Words of several tokens: the pieces of one word are one feature.

    Args:
        tokens: the tokens as strings, or the number of each token's word, as tokenizers give them
            (`word_ids()`). None, for a token outside of words, is a feature of its own.
        continues: what a piece begins with that continues the word before it: "##" of WordPiece.
        starts: instead, what a piece begins with that starts a word: "Ġ" of byte-level BPE, "▁" of
            SentencePiece.

    Returns:
        Labels, int32, of shape (tokens,). For embeddings of shape (tokens, d), which have another
        axis, pass `groups=labels[:, None]`.

    Raises:
        TypeError: `tokens` are neither strings nor numbers of words.

    Example:
        >>> import jaxplain
        >>> jaxplain.features.words(["a", "mar", "##vel", "##lous", "film"])
        array([0, 1, 1, 1, 2], dtype=int32)
        >>> jaxplain.features.words(["▁a", "▁mar", "vel", "lous"], starts="▁")
        array([0, 1, 1, 1], dtype=int32)
        >>> jaxplain.features.words([None, 0, 1, 1, None, 0])
        array([0, 1, 2, 2, 3, 4], dtype=int32)

    Notes:
        Equal numbers are one word only where they follow one another: the second text of a pair
        begins at 0 again.
    """
    if isinstance(tokens, str) or not all(
        token is None or isinstance(token, str | int | np.integer) for token in tokens
    ):
        raise TypeError(
            f"tokens={tokens!r} must be a list of strings, or of the number of each token's word."
        )
    first = [
        number == 0 or not _one_word(tokens[number - 1], token, continues, starts)
        for number, token in enumerate(tokens)
    ]
    return np.cumsum(first, dtype=np.int32) - np.int32(1)


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


def _placed(
    option: str, value: int | tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]
) -> dict[int, int]:
    """The value of an option for each axis, by the axis' number from 0."""
    values = value if isinstance(value, tuple) else (value,) * len(axes)
    if len(values) != len(axes):
        raise ValueError(
            f"{option}={value} has {len(values)} numbers for axes={axes}: give one, or {len(axes)}."
        )
    for number in values:
        check_count(option, number)
    return dict(zip(checked_axes(axes, shape), values, strict=True))


def _numbered(shape: tuple[int, ...], places: dict[int, np.ndarray]) -> np.ndarray:
    """The cells of a grid in the order of their axes, from the place of each element."""
    labels = np.zeros((1,) * len(shape), np.int32)
    for axis in sorted(places):
        along = places[axis].reshape([-1 if a == axis else 1 for a in range(len(shape))])
        labels = labels * np.int32(along.max(initial=0) + 1) + along.astype(np.int32)
    return labels


def _without_gaps(labels: np.ndarray) -> np.ndarray:
    """The same parts, numbered from 0 in the order of their names."""
    numbers = np.unique(labels, return_inverse=True)[1]
    return numbers.reshape(labels.shape).astype(np.int32)


def _one_word(before: Any, token: Any, continues: str, starts: str | None) -> bool:
    """Whether a token belongs to the word of the token before it."""
    if isinstance(token, str):
        return token.startswith(continues) if starts is None else not token.startswith(starts)
    return token is not None and token == before


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
    return _without_gaps(found).reshape(*pixels.shape[:2], *(1,) * (pixels.ndim - 2))


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
