"""From the score of the baseline to that of the input, one feature after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_count, check_real
from . import _figure as fig
from ._colors import NEGATIVE, POSITIVE
from ._figure import SMALL
from ._rows import WIDTH, frame, ranked, same_decimals
from ._values import Array, vector, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT = 0.6  # inches: the number of an end may stand out


def waterfall(
    names: Sequence[str],
    scores: ArrayLike,
    start: float,
    *,
    top: int = 10,
    title: str | None = None,
    xlabel: str = "score",
) -> Figure:
    r"""Draw how features lead from the score of the baseline to that of the input.

    The bars, the largest magnitude first, are laid end to end from `start` to
    $\mathrm{start} + \sum_i a_i$, which is $f(x)$ if the attribution is complete.

    Args:
        names: F names of features.
        scores: one number for each, `(F,)`.
        start: the score of the baseline, $f(x^0)$, or its mean over a background.
        top: how many features get a bar of their own; the others are added up in the last.
        title: a line above the axes.
        xlabel: what the score is, with its unit.

    Returns:
        A matplotlib figure with one pair of axes.

    Raises:
        TypeError: `names` is not a sequence of str, or an array does not hold real numbers.
        ValueError: the lengths differ, or a number is NaN or infinite.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> figure = plot.waterfall(["age", "bmi"], jnp.array([0.1, -0.5]), start=1.0)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['bmi', 'age']

    Notes:
        The order is that of the magnitudes: the features do not act one after the other.
    """
    names = words(names, "names")
    values = vector(scores, "scores", length=len(names), of="names")
    check_real("start", start, low=-float("inf"))
    check_count("top", top)
    rows = ranked(names, values, None, top)
    steps = np.array([row.score for row in rows])
    ends = float(start) + np.concatenate([[0.0], np.cumsum(steps)])
    figure, axes = frame(
        [row.name for row in rows], title=title, xlabel=xlabel, right=RIGHT, above=0.2
    )
    _draw_steps(axes, steps, ends, rest=rows[-1].rest)
    _mark_ends(axes, float(ends[0]), float(ends[-1]), len(rows))
    axes.locator_params(axis="x", nbins=5)
    return figure


def _draw_steps(axes: Axes, steps: Array, ends: Array, *, rest: bool) -> None:
    numbers = same_decimals(steps.tolist())
    width = max(fig.text_width(number, SMALL) for number in numbers)
    span = float(np.ptp(ends)) or 1.0
    # Each number stands beyond the end that its bar points to, which may be the outermost.
    share = (width + 0.12) / WIDTH
    room = span * share / (1 - 2 * share)
    axes.set(xlim=(float(ends.min()) - room, float(ends.max()) + room))
    for i, (step, number) in enumerate(zip(steps, numbers, strict=True)):
        side, color = (-1, NEGATIVE) if step < 0 else (1, POSITIVE)
        faint = rest and i == len(steps) - 1
        axes.barh(i, step, left=ends[i], height=0.68, color=color, alpha=0.45 if faint else 1.0)
        axes.annotate(
            number,
            (ends[i + 1], i),
            xytext=(4 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=SMALL,
            color=fig.SOFT,
        )
        if i < len(steps) - 1:
            axes.plot([ends[i + 1]] * 2, [i - 0.34, i + 0.66], color=fig.SOFT, linewidth=0.6)


def _mark_ends(axes: Axes, start: float, end: float, rows: int) -> None:
    """A dotted line at either end, with its number above."""
    for place, name in ((start, "baseline"), (end, "input")):
        axes.plot([place] * 2, [-0.6, rows - 0.4], color=fig.FAINT, linewidth=0.8, ls=":", zorder=0)
        axes.annotate(
            f"{name} {place:.3g}".replace("-", "\u2212"),
            (place, -0.6),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right" if (name == "baseline") == (start <= end) else "left",
            va="bottom",
            fontsize=SMALL,
            color=fig.SOFT,
            annotation_clip=False,
        )
