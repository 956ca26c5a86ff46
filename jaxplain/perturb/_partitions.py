"""Features by place: patches, columns of a table, words of several tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._axes import checked_axes
from .._errors import check_count


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
    return without_gaps(names)


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


def without_gaps(labels: np.ndarray) -> np.ndarray:
    """The same parts, numbered from 0 in the order of their names."""
    numbers = np.unique(labels, return_inverse=True)[1]
    return numbers.reshape(labels.shape).astype(np.int32)


def _one_word(before: Any, token: Any, continues: str, starts: str | None) -> bool:
    """Whether a token belongs to the word of the token before it."""
    if isinstance(token, str):
        return token.startswith(continues) if starts is None else not token.startswith(starts)
    return token is not None and token == before
