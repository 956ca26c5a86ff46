"""Tokens on coloured backgrounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_real
from . import _figure as fig
from ._colors import Colors, colormap, draw_bar, paint, scale_bar
from ._figure import MARGIN
from ._values import Array, scaled, vector, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT = 10.0
LINE, BOX = 0.285, 0.225  # heights in inches
PAD, SPACE = 0.04, 0.035
BAR_LENGTH, BAR_HEIGHT = 1.5, 0.34


class Piece(NamedTuple):
    """A token, or a part of one: whose colour it has, what is written, its place on the page."""

    token: int
    string: str
    indent: float
    width: float
    line: int = 0
    left: float = 0.0


def text(
    tokens: Sequence[str],
    scores: ArrayLike,
    *,
    width: float = 6.5,
    title: str | None = None,
    percentile: float = 100.0,
    cmap: Colors = None,
    colorbar: bool = True,
) -> Figure:
    r"""Draw tokens as running text on backgrounds coloured by score: red for, blue against.

    The colour of a token stands for $\mathrm{clip}(s_i / s, -1, 1)$ with $s$ the percentile of
    $|s_i|$. Letters are black or white, whichever is more legible on their background.

    Args:
        tokens: T strings. A word piece that begins with `##` is joined to the token before it.
        scores: one number for each token, `(T,)`.
        width: width of the figure in inches, at least 2; lines are broken to fit it.
        title: a line above the text.
        percentile: which percentile of the magnitudes has the full colour, in (0, 100].
        cmap: a diverging matplotlib colour map or its name; None for blue, white, red.
        colorbar: whether to draw the colour bar, which says what the full colour stands for.

    Returns:
        A matplotlib figure; its first axes hold the text, the second the colour bar.

    Raises:
        TypeError: `tokens` is not a sequence of str, or `scores` not an array of real numbers.
        ValueError: there is not one score for each token, a score is NaN or infinite, or an option
            is out of range.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> figure = plot.text(["un", "##believ", "##ably", "good"], jnp.arange(4.0))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['un', 'believ', 'ably', 'good']

    Notes:
        - Sum an attribution of embeddings `(T, D)` over D first: `attribution.sum(axis=-1)`.
        - Markers of other tokenizers are drawn as they are; replace them before.
        - Letters the font lacks give a matplotlib warning; choose another font with
          `matplotlib.rcParams["font.family"]`.
    """
    tokens = words(tokens, "tokens")
    part = scaled(vector(scores, "scores", length=len(tokens), of="tokens"), percentile)
    check_real("width", width, low=2)
    inner = width - 2 * MARGIN
    title = fig.wrap(title or "", inner, fig.TITLE)
    top = MARGIN + fig.text_height(title, fig.TITLE)
    pieces = list(_layout(tokens, inner))
    bottom = top + (pieces[-1].line + 1) * LINE
    colors = colormap(cmap)

    figure = fig.blank(width, bottom + (BAR_HEIGHT if colorbar else 0.0) + MARGIN)
    fig.write(figure, MARGIN, MARGIN, title, size=fig.TITLE, ha="left")
    axes = fig.place(figure, MARGIN, top, inner, bottom - top)
    axes.set(xlim=(0, inner), ylim=(bottom - top, 0))
    axes.axis("off")
    backgrounds = paint(part.values, colors)
    for piece in pieces:
        _draw(axes, piece, backgrounds[piece.token])
    if colorbar:
        left = width - MARGIN - 0.25 - BAR_LENGTH
        strip = fig.place(figure, left, bottom + 0.1, BAR_LENGTH, 0.1)
        draw_bar(strip, colors, scale_bar([part]), across=True)
    return figure


def _layout(tokens: Sequence[str], width: float) -> Iterator[Piece]:
    """Break words into lines; a word is broken only where no line could hold it."""
    line, left = 0, 0.0
    for word in _words(tokens, width):
        if left and left + sum(piece.width for piece in word) > width:
            line, left = line + 1, 0.0
        for piece in word:
            if left and left + piece.width > width:
                line, left = line + 1, 0.0
            yield piece._replace(line=line, left=left)
            left += piece.width
        left += SPACE
        if tokens[word[-1].token].endswith("\n"):
            line, left = line + 1, 0.0


def _words(tokens: Sequence[str], width: float) -> Iterator[list[Piece]]:
    """Runs of joined tokens, with space around each run but not inside it."""
    word: list[tuple[int, str]] = []
    for token, string in enumerate(tokens):
        joined = bool(word) and string.startswith("##") and len(string) > 2
        if word and not joined:
            yield _measured(word)
            word = []
        shown = string[2:] if joined else string
        word += [(token, part) for part in _cut(_visible(shown), width - 2 * PAD)]
    yield _measured(word)


def _measured(word: list[tuple[int, str]]) -> list[Piece]:
    last = len(word) - 1
    return [
        Piece(
            token,
            string,
            indent=0.0 if i else PAD,
            width=fig.text_width(string, FONT) + (0.0 if i else PAD) + (PAD if i == last else 0.0),
        )
        for i, (token, string) in enumerate(word)
    ]


def _cut(string: str, width: float) -> list[str]:
    """The string in as few equal parts as fit the width."""
    for count in range(1, len(string) + 1):
        size = -(-len(string) // count)
        parts = [string[i : i + size] for i in range(0, len(string), size)]
        if all(fig.text_width(part, FONT) <= width for part in parts):
            return parts
    return [string]


def _visible(string: str) -> str:
    """The token on one line, with signs for white space that stands alone."""
    shown = string.replace("\n", "\u21b5").replace("\t", "\u21e5").strip()
    return shown or "\u2423"


def _draw(axes: Axes, piece: Piece, background: Array) -> None:
    middle = (piece.line + 0.5) * LINE
    corner = (piece.left, middle - BOX / 2)
    box = fig.load("matplotlib.patches").Rectangle(corner, piece.width, BOX, linewidth=0)
    box.set_facecolor(tuple(background))
    axes.add_patch(box)
    axes.text(
        piece.left + piece.indent,
        middle + 0.01,
        piece.string,
        fontsize=FONT,
        color=_legible(background),
        va="center_baseline",
        parse_math=False,
    )


def _legible(background: Array) -> str:
    """Black or white, whichever has the larger contrast ratio (WCAG 2) on this background."""
    linear = np.where(
        background <= 0.04045, background / 12.92, ((background + 0.055) / 1.055) ** 2.4
    )
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    # (L + 0.05) / 0.05 against 1.05 / (L + 0.05)
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
