"""Horizontal bars for the features of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_count
from . import _figure as fig
from ._colors import NEGATIVE, POSITIVE, signed
from ._figure import BODY, MARGIN, SMALL, TITLE
from ._values import Array, spread, vector, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES, BARS, RIGHT = 2.2, 3.6, 0.2  # widths in inches; half a tick label may stand out


class Row(NamedTuple):
    """One bar: its name, length, half-width of its error bar, whether it is the rest."""

    name: str
    score: float
    error: float = 0.0
    rest: bool = False


def bars(
    names: Sequence[str],
    scores: ArrayLike,
    *,
    errors: ArrayLike | None = None,
    top: int = 20,
    title: str | None = None,
    xlabel: str = "attribution",
) -> Figure:
    """Draw the scores of features as horizontal bars, the largest magnitude first.

    Features beyond the first `top` are added up in one last bar, so that the bars always sum to
    the sum of the scores.

    Args:
        names: F names of features.
        scores: one number for each, `(F,)`.
        errors: half-widths of error bars, `(F,)`, such as standard errors.
        top: how many features get a bar of their own.
        title: a line above the axes.
        xlabel: what the scores are, with their unit.

    Returns:
        A matplotlib figure with one pair of axes.

    Raises:
        TypeError: `names` is not a sequence of str, or an array does not hold real numbers.
        ValueError: the lengths differ, a number is NaN or infinite, or an error is negative.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> figure = plot.bars(["age", "bmi", "bp"], jnp.array([0.1, -0.5, 0.2]), top=1)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['bmi', '2 others']

    Notes:
        - The bar of the others has no error bar: errors of single features do not say how they
          are correlated.
        - One feature too many keeps its name: it would take the place of "1 other".
    """
    names = words(names, "names")
    values = vector(scores, "scores", length=len(names), of="names")
    half = None if errors is None else spread(errors, "errors", length=len(names), of="names")
    check_count("top", top)
    rows = _ranked(names, values, half, top)
    labels = [fig.wrap(row.name, NAMES, BODY, math=False) for row in rows]
    beside = max(fig.text_width(label, BODY) for label in labels)
    pitch = max(0.26, *(fig.text_height(label, BODY) for label in labels))
    left = MARGIN + beside + 0.1
    heading, xlabel = fig.wrap(title or "", BARS, TITLE), fig.wrap(xlabel, BARS, BODY)
    above, height = MARGIN + fig.text_height(heading, TITLE), pitch * len(rows)

    figure = fig.blank(left + BARS + RIGHT, above + height + 0.3 + fig.text_height(xlabel, BODY))
    fig.write(figure, left, MARGIN, heading, size=TITLE, ha="left")
    axes = fig.place(figure, left, above, BARS, height)
    _draw_bars(axes, rows)
    axes.set_yticks(range(len(rows)), labels, parse_math=False)
    axes.set(ylim=(len(rows) - 0.4, -0.6))
    fig.tidy(axes, xlabel)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="y", length=0, labelsize=BODY, labelcolor=fig.INK)
    axes.spines["left"].set_visible(False)
    return figure


def _ranked(names: Sequence[str], scores: Array, errors: Array | None, top: int) -> list[Row]:
    order = np.argsort(-np.abs(scores), kind="stable")
    # One feature left over is shown under its name: "1 other" would take as much room.
    shown = order if len(order) <= top + 1 else order[:top]
    rows = [
        Row(names[i], float(scores[i]), 0.0 if errors is None else float(errors[i])) for i in shown
    ]
    rest = order[len(shown) :]
    if len(rest):
        rows.append(Row(f"{len(rest)} others", float(scores[rest].sum()), rest=True))
    return rows


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    numbers = _numbers([row.score for row in rows])
    axes.set(xlim=_limits(rows, max(fig.text_width(number, SMALL) for number in numbers)))
    axes.axvline(0, color=fig.SOFT, linewidth=0.8, zorder=3)
    for i, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        side, color = (-1, NEGATIVE) if row.score < 0 else (1, POSITIVE)
        axes.barh(i, row.score, height=0.68, color=color, alpha=0.45 if row.rest else 1.0)
        if row.error:
            axes.errorbar(row.score, i, xerr=row.error, color=fig.INK, lw=0.9, capsize=2)
        axes.annotate(
            number,
            (row.score + side * row.error, i),
            xytext=(4 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=SMALL,
            color=fig.SOFT,
        )


def _limits(rows: Sequence[Row], number: float) -> tuple[float, float]:
    """Limits that leave room, in inches, for the numbers beyond the ends of the bars."""
    low = min(0.0, *(row.score - row.error for row in rows))
    high = max(0.0, *(row.score + row.error for row in rows))
    if low == high:
        return -1.0, 1.0
    left, right = any(row.score < 0 for row in rows), any(row.score >= 0 for row in rows)
    share = (number + 0.12) / BARS
    room = (high - low) * share / (1 - share * (left + right))
    return low - room * left, high + room * right


def _numbers(values: Sequence[float]) -> list[str]:
    """Signed numbers with the same decimals, three digits for the largest."""
    largest = max(map(abs, values))
    decimals = 2 - math.floor(math.log10(largest)) if largest else 0
    if not 0 <= decimals <= 5 or not largest:
        return [signed(value) for value in values]
    return [f"{value:+.{decimals}f}".replace("-", "\u2212") for value in values]
