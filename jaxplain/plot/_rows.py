"""Charts with a row for each feature: which rows, and their frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _figure as fig
from ._colors import signed
from ._figure import BODY, MARGIN, TITLE
from ._values import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Places: TypeAlias = NDArray[np.intp]

NAMES, WIDTH, RIGHT = 2.2, 3.6, 0.2  # widths in inches; half a tick label may stand out
PITCH = 0.26  # inches from row to row


class Row(NamedTuple):
    """One bar: its name, length, half-width of its error bar, whether it is the rest."""

    name: str
    score: float
    error: float = 0.0
    rest: bool = False


def largest(sizes: Array, top: int) -> tuple[Places, Places]:
    """The places of the `top` largest, the largest first, and those of the rest."""
    order = np.argsort(-sizes, kind="stable")
    # One feature left over is shown under its name: "1 other" would take as much room.
    count = len(order) if len(order) <= top + 1 else top
    return order[:count], order[count:]


def ranked(names: Sequence[str], scores: Array, errors: Array | None, top: int) -> list[Row]:
    """A row for each of the `top` features of the largest magnitude, and one for all others."""
    shown, rest = largest(np.abs(scores), top)
    rows = [
        Row(names[i], float(scores[i]), 0.0 if errors is None else float(errors[i])) for i in shown
    ]
    if len(rest):
        rows.append(Row(f"{len(rest)} others", float(scores[rest].sum()), rest=True))
    return rows


def frame(
    names: Sequence[str],
    *,
    title: str | None,
    xlabel: str,
    right: float = RIGHT,
    above: float = 0.0,
    pitch: float = PITCH,
) -> tuple[Figure, Axes]:
    """A figure whose axes have a row for each name, from 0 at the top, and room beside them."""
    labels = [fig.wrap(name, NAMES, BODY, math=False) for name in names]
    beside = max(fig.text_width(label, BODY) for label in labels)
    pitch = max(pitch, *(fig.text_height(label, BODY) for label in labels))
    left = MARGIN + beside + 0.1
    heading, xlabel = fig.wrap(title or "", WIDTH, TITLE), fig.wrap(xlabel, WIDTH, BODY)
    top, height = MARGIN + fig.text_height(heading, TITLE) + above, pitch * len(labels)

    figure = fig.blank(left + WIDTH + right, top + height + 0.3 + fig.text_height(xlabel, BODY))
    fig.write(figure, left, MARGIN, heading, size=TITLE, ha="left")
    axes = fig.place(figure, left, top, WIDTH, height)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set(ylim=(len(labels) - 0.4, -0.6))
    fig.tidy(axes, xlabel)
    axes.tick_params(axis="y", length=0, labelsize=BODY, labelcolor=fig.INK)
    axes.spines["left"].set_visible(False)
    return figure, axes


def same_decimals(values: Sequence[float]) -> list[str]:
    """Signed numbers with the same decimals, three digits for the largest."""
    most = max(map(abs, values))
    decimals = 2 - math.floor(math.log10(most)) if most else 0
    if not 0 <= decimals <= 5 or not most:
        return [signed(value) for value in values]
    return [f"{value:+.{decimals}f}".replace("-", "\u2212") for value in values]
