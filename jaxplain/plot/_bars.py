"""Horizontal bars for the features of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jax.typing import ArrayLike

from .._errors import check_count
from . import _figure as fig
from ._colors import NEGATIVE, POSITIVE
from ._figure import SMALL
from ._rows import WIDTH, Row, frame, ranked, same_decimals
from ._values import spread, vector, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    rows = ranked(names, values, half, top)
    figure, axes = frame([row.name for row in rows], title=title, xlabel=xlabel)
    _draw_bars(axes, rows)
    axes.locator_params(axis="x", nbins=5)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    numbers = same_decimals([row.score for row in rows])
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
    share = (number + 0.12) / WIDTH
    room = (high - low) * share / (1 - share * (left + right))
    return low - room * left, high + room * right
