"""Rows of pictures of one size, each with a title and a caption, beside one colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _figure as fig
from ._colors import Bar, draw_bar
from ._figure import GAP, MARGIN, SMALL, TITLE
from ._values import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

BAR = 0.1  # inches


class Panel(NamedTuple):
    """One picture: RGB `(H, W, 3)`, or values in [-1, 1] `(H, W)` to be coloured by the map."""

    picture: Array
    title: str = ""
    caption: str = ""


def compose(
    rows: Sequence[Sequence[Panel]], cmap: Colormap, *, bar: Bar | None, heading: str = ""
) -> Figure:
    """Draw rows of panels under a heading, with the colour bar to the right."""
    columns = max(map(len, rows))
    width, height = _cell(columns, rows[0][0].picture)
    across = columns * (width + GAP) - GAP
    rows, size = _wrapped(rows, width)
    heading = fig.wrap(heading, across, TITLE)
    tops, down = _tops(rows, height, size, MARGIN + fig.text_height(heading, TITLE))
    bottom = tops[-1] + height
    if bar is not None:
        bar = bar._replace(label=_beside(bar.label, bottom - tops[0]))

    figure = fig.blank(across + _bar_width(bar) + 2 * MARGIN, down + MARGIN)
    fig.write(figure, MARGIN + across / 2, MARGIN, heading, size=TITLE)
    for top, row in zip(tops, rows, strict=True):
        for column, panel in enumerate(row):
            left = MARGIN + column * (width + GAP)
            _draw(fig.place(figure, left, top, width, height), panel.picture, cmap)
            middle, above = left + width / 2, fig.text_height(panel.title, size)
            fig.write(figure, middle, top - above, panel.title, size=size)
            fig.write(
                figure, middle, top + height + 0.03, panel.caption, size=SMALL, color=fig.SOFT
            )
    if bar is not None:
        _draw_bar(figure, bar, cmap, left=MARGIN + across, top=tops[0], height=bottom - tops[0])
    return figure


def _cell(columns: int, picture: Array) -> tuple[float, float]:
    """Panels of about one area whatever their shape, smaller if there are many side by side."""
    side = 2.6 if columns == 1 else float(np.clip(8 / columns, 0.7, 1.9))
    ratio = float(np.clip(picture.shape[0] / picture.shape[1], 1 / 6, 6))
    return side / ratio**0.5, side * ratio**0.5


def _wrapped(rows: Sequence[Sequence[Panel]], width: float) -> tuple[list[list[Panel]], float]:
    """The panels with their text broken to the width, and the size of the titles."""
    size = fig.fitting_size([panel.title for row in rows for panel in row], width, TITLE)
    return [
        [
            panel._replace(
                title=fig.wrap(panel.title, width, size),
                caption=fig.wrap(panel.caption, width, SMALL),
            )
            for panel in row
        ]
        for row in rows
    ], size


def _tops(
    rows: list[list[Panel]], height: float, size: float, down: float
) -> tuple[list[float], float]:
    """Where the pictures of each row begin, and where the last row ends with its captions."""
    tops: list[float] = []
    for row in rows:
        gap = GAP if tops else 0.0
        tops.append(down + gap + max(fig.text_height(panel.title, size) for panel in row))
        down = tops[-1] + height + max(fig.text_height(panel.caption, SMALL) for panel in row)
    return tops, down


def _draw(axes: Axes, picture: Array, cmap: Colormap) -> None:
    if picture.ndim == 3:
        axes.imshow(picture, aspect="auto")
    else:
        axes.imshow(picture, aspect="auto", cmap=cmap, vmin=-1, vmax=1)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=fig.FAINT, linewidth=0.6)


def _bar_width(bar: Bar | None) -> float:
    if bar is None:
        return 0.0
    ends = max(fig.text_width(end, SMALL) for end in (*bar.ends, "0"))
    return GAP + BAR + 0.06 + ends + fig.text_height(bar.label, SMALL)


def _beside(label: str, height: float) -> str:
    """The label on one line of this height, or on two of about equal length."""
    length = fig.text_width(label, SMALL)
    return label if length <= height else fig.wrap(label, 1.25 * length / 2, SMALL)


def _draw_bar(
    figure: Figure, bar: Bar, cmap: Colormap, *, left: float, top: float, height: float
) -> None:
    length = min(height, 2.6)
    top += (height - length) / 2
    draw_bar(fig.place(figure, left + GAP, top, BAR, length), cmap, bar)
