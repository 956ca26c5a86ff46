"""Sequences as letters that are as tall as they matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_real
from . import _figure as fig
from ._colors import LINES, signed
from ._figure import BODY, MARGIN, SMALL, TITLE
from ._values import Array, check_keys, named, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

BASES = {"A": "#2e8b57", "C": "#2c66b8", "G": "#e0952b", "T": "#c8382c", "U": "#c8382c"}
SHADE = "#ececec"
TRACK, LINE, TICKS, RIGHT = 0.62, 0.17, 0.22, 0.2  # heights and a width in inches
FULL = 0.94  # the part of its place that a letter fills
LEAN = 0.5  # glyphs leaner than this, width to height, do not fill their place: I stays an I


class Letter(NamedTuple):
    """One letter of a stack: its position, which it is, where it stands, its signed height."""

    position: int
    letter: int
    foot: float
    height: float


class Name(NamedTuple):
    """The name of a region, its middle in inches from the left, the line it is written on."""

    string: str
    middle: float
    line: int


def sequence_logo(
    contributions: ArrayLike | Mapping[str, ArrayLike],
    *,
    alphabet: str = "ACGT",
    start: int = 0,
    regions: Mapping[str, ArrayLike] | None = None,
    width: float = 9.0,
    title: str | None = None,
    xlabel: str = "position",
    colors: Mapping[str, str] | None = None,
) -> Figure:
    r"""Draw sequences as letters whose heights are contributions, one track for each method.

    At position $i$, letter $a$ is $|c_{ia}|$ tall. Letters that speak for the score are stacked
    upwards from zero, those that speak against it hang downwards, upside down; the largest stand
    farthest out. Each track has a scale of its own, marked at zero and at the tallest stack.

    Args:
        contributions: of one sequence, `(L, A)`, one column for each letter of the alphabet; or
            for each title of a track, such an array.
        alphabet: A letters, in the order of the columns.
        start: the number of the first position on the axis, to draw a part of a sequence.
        regions: for each name, positions to shade and name, such as motifs: `(R, 2)`, the first
            position of each and the one after its last. What lies outside is not drawn.
        width: width of the figure in inches, at least 2.
        title: a line above the tracks.
        xlabel: what the positions are.
        colors: for some of the letters, a matplotlib colour.

    Returns:
        A matplotlib figure with one pair of axes for each track.

    Raises:
        TypeError: an argument is not one concrete array of real numbers, or `alphabet` not a str.
        ValueError: there is no track, tracks have other shapes than `(L, A)` with one L, a number
            is NaN or infinite, a letter is repeated or blank, or an option is out of range.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> contributions = jnp.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -0.5, 0.2]])
        >>> figure = plot.sequence_logo({"method": contributions}, start=100)
        >>> len(figure.axes[0].patches)  # one for each letter
        3

    Notes:
        - To see one letter at each position, the one that is there, put all of the contribution of
          the position on it: `x * contributions.sum(-1, keepdims=True)`, with `x` the one-hot
          sequence. Where the baseline is not zero, absent letters have contributions, too.
        - Up to about 25 letters per inch of width are legible. Of a longer sequence draw a part:
          `contributions[a:b]` with `start=a`.
    """
    _check_alphabet(alphabet)
    check_keys(colors, "colors", dict.fromkeys(alphabet))
    check_real("width", width, low=2)
    tracks = _tracks(contributions, alphabet)
    length = len(next(iter(tracks.values())))
    shaded = {
        name: _spans(spans, f"regions[{name!r}]", start, length)
        for name, spans in (named(regions, "regions") if regions else {}).items()
    }
    marks = {name: _marks(values) for name, values in tracks.items()}
    left = MARGIN + 0.1 + max(fig.text_width(label, SMALL) for _, label in marks.values())
    inner = width - left - RIGHT
    heading, xlabel = fig.wrap(title or "", inner, TITLE), fig.wrap(xlabel, inner, BODY)
    titles = {name: fig.wrap(name, inner, BODY) for name in tracks}
    names = list(_names(shaded, start - 0.5, inner / length, inner))
    down = MARGIN + fig.text_height(heading, TITLE)
    tops, bottom = _tops(list(titles.values()), down + LINE * len({name.line for name in names}))

    figure = fig.blank(width, bottom + TICKS + fig.text_height(xlabel, BODY) + MARGIN)
    fig.write(figure, left, MARGIN, heading, size=TITLE, ha="left")
    for string, middle, line in names:
        fig.write(figure, left + middle, down + LINE * line, string, size=SMALL, color=fig.SOFT)
    shapes = {letter: _shape(letter) for letter in alphabet}
    paints = _paints(alphabet) | dict(colors or {})
    for (name, values), top in zip(tracks.items(), tops, strict=True):
        above = top - fig.text_height(titles[name], BODY)
        fig.write(figure, left, above, titles[name], size=BODY, ha="left")
        axes = fig.place(figure, left, top, inner, TRACK)
        _prepare(axes, values, *marks[name], start, shaded)
        for letter in _stacked(values):
            sign = alphabet[letter.letter]
            _draw(axes, letter, start, shapes[sign], paints[sign])
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xlabel(xlabel, fontsize=BODY, color=fig.INK)
    return figure


def _check_alphabet(alphabet: str) -> None:
    if not isinstance(alphabet, str):
        raise TypeError(
            f"alphabet is {alphabet!r:.60}; expected the letters of the columns in one str, such "
            'as "ACGT". Type "".join(alphabet).'
        )
    if not alphabet or len(set(alphabet)) < len(alphabet) or any(map(str.isspace, alphabet)):
        raise ValueError(
            f"alphabet={alphabet!r} must have one letter for each column, none of them repeated "
            'or blank; write "-" for a gap.'
        )


def _tracks(contributions: ArrayLike | Mapping[str, ArrayLike], alphabet: str) -> dict[str, Array]:
    """The contributions `(L, A)` of each track; a single one has no title."""
    if not isinstance(contributions, Mapping):
        return {"": _columns(contributions, "contributions", alphabet)}
    tracks = {
        name: _columns(values, f"contributions[{name!r}]", alphabet)
        for name, values in named(contributions, "contributions").items()
    }
    first, *rest = tracks.items()
    for name, values in rest:
        if len(values) != len(first[1]):
            raise ValueError(
                f"contributions[{name!r}] has {len(values)} positions and {first[0]!r} has "
                f"{len(first[1])}; expected as many in all tracks. Draw one figure for each."
            )
    return tracks


def _columns(value: ArrayLike, name: str, alphabet: str) -> Array:
    array = numbers(value, name)
    if array.ndim == 2 and array.shape[1] == len(alphabet):
        return array
    hint = f"Type alphabet=... for another alphabet than {alphabet!r}."
    if array.ndim == 2 and array.shape[0] == len(alphabet):
        hint = f"Type {name}.T, if the letters are its first axis."
    elif array.ndim == 3:
        hint = f"Of a batch, take one sequence: {name}[0]."
    elif array.ndim == 1:
        hint = f"Put one number for each position on its letter: onehot * {name}[:, None]."
    raise ValueError(
        f"{name} has shape {array.shape}; expected one row for each position and one column for "
        f"each of the {len(alphabet)} letters {alphabet!r}. {hint}"
    )


def _spans(value: ArrayLike, name: str, start: int, length: int) -> Array:
    """The edges `(R, 2)` of regions on the axis, cut off at its ends."""
    spans = numbers(value, name) if np.size(value) else np.zeros((0, 2))
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise ValueError(
            f"{name} has shape {spans.shape}; expected pairs (first, last + 1), (R, 2). "
            "Type [[3, 9]] for the positions from 3 to 8."
        )
    if (spans[:, 0] >= spans[:, 1]).any():
        raise ValueError(
            f"{name} has a region that ends before it begins; expected pairs (first, last + 1). "
            "Type [[3, 4]] for position 3 alone."
        )
    edges = np.clip(spans, start, start + length) - 0.5
    return edges[edges[:, 0] < edges[:, 1]]


def _paints(alphabet: str) -> dict[str, str]:
    """The usual colours of bases; for another alphabet, one after the other."""
    if set(alphabet.upper()) <= set(BASES):
        return {letter: BASES[letter.upper()] for letter in alphabet}
    return {letter: LINES[i % len(LINES)] for i, letter in enumerate(alphabet)}


def _marks(values: Array) -> tuple[float, str]:
    """The height of the tallest stack, with the sign of its side, and how it is written."""
    low, high = _ends(values)
    tallest = high if high >= -low else low
    return tallest, signed(tallest)


def _ends(values: Array) -> tuple[float, float]:
    """How far the stacks reach down and up."""
    return float(np.minimum(values, 0).sum(1).min()), float(np.maximum(values, 0).sum(1).max())


def _names(
    regions: Mapping[str, Array], origin: float, pitch: float, across: float
) -> Iterator[Name]:
    """The name of each region above its middle, on the first line where it fits."""
    ends: list[float] = []
    middles = [(edges.mean(), name) for name, spans in regions.items() for edges in spans]
    for middle, name in sorted(middles):
        half = fig.text_width(name, SMALL) / 2 + 0.03
        place = min(max((middle - origin) * pitch, half), max(across - half, half))
        line = next((i for i, end in enumerate(ends) if end <= place - half), len(ends))
        ends[line:] = [place + half, *ends[line + 1 :]]
        yield Name(name, place, line)


def _tops(titles: Sequence[str], down: float) -> tuple[list[float], float]:
    """Where the letters of each track begin, and where the last track ends."""
    tops = []
    for title in titles:
        tops.append(down + fig.text_height(title, BODY) + 0.04)
        down = tops[-1] + TRACK + 0.04
    return tops, down


def _prepare(
    axes: Axes,
    values: Array,
    tallest: float,
    label: str,
    start: int,
    regions: Mapping[str, Array],
) -> None:
    """Limits, the line of zero, and the regions, behind letters that are yet to be drawn."""
    low, high = _ends(values)
    axes.set(xlim=(start - 0.5, start + len(values) - 0.5))
    axes.set(ylim=(low, high) if low < high else (-1, 1))
    for spans in regions.values():
        for first, last in spans:
            axes.axvspan(first, last, facecolor=SHADE, edgecolor="white", linewidth=1, zorder=0)
    axes.axhline(0, color=fig.SOFT, linewidth=0.6, zorder=1)
    fig.tidy(axes, "")
    axes.set_yticks([0, tallest] if tallest else [0], ["0", label] if tallest else ["0"])
    axes.tick_params(axis="x", labelbottom=False)
    axes.locator_params(axis="x", nbins=10, integer=True)
    axes.spines["bottom"].set_visible(False)


def _stacked(values: Array) -> Iterator[Letter]:
    """All letters that have a height, the smallest of each position and sign nearest to zero."""
    for position, row in enumerate(values):
        feet = {1.0: 0.0, -1.0: 0.0}
        for letter in np.argsort(np.abs(row), kind="stable"):
            height = float(row[letter])
            if height:
                side = float(np.sign(height))
                yield Letter(position, int(letter), feet[side], height)
                feet[side] += height


def _shape(letter: str) -> Path:
    """The outline of a letter, fitted into the unit square about the middle of its foot."""
    font = fig.load("matplotlib.font_manager").FontProperties(weight="bold")
    path: Path = fig.load("matplotlib.textpath").TextPath((0, 0), letter, size=100, prop=font)
    box = path.get_extents()
    across = FULL * min(1.0, box.width / box.height / LEAN)
    move = fig.load("matplotlib.transforms").Affine2D()
    move.translate(-(box.x0 + box.x1) / 2, -box.y0).scale(across / box.width, 1 / box.height)
    return path.transformed(move)


def _draw(axes: Axes, letter: Letter, start: int, shape: Path, color: str) -> None:
    move = fig.load("matplotlib.transforms").Affine2D()
    # A negative height turns the letter upside down.
    move.scale(1, letter.height).translate(start + letter.position, letter.foot)
    patch = fig.load("matplotlib.patches").PathPatch(shape.transformed(move), linewidth=0)
    patch.set_facecolor(color)
    # Added as any artist, since add_patch would measure each letter to widen the limits.
    axes.add_artist(patch)
