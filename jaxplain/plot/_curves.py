"""Lines for what changes along a path, or while a picture is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from . import _figure as fig
from ._colors import LINES
from ._figure import BODY, INK, SMALL, TITLE
from ._values import Array, check_keys, named, spread, vector

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
AXES, NAMES = 3.8, 2.2  # widths in inches


def curves(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    errors: Mapping[str, ArrayLike] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw curves over one common axis: a score along a path, a metric over deleted pixels.

    Args:
        x: P places, `(P,)`.
        series: for each name in the legend, P values, `(P,)`.
        xlabel: what `x` is, with its unit.
        ylabel: what the values are, with their unit.
        errors: for some of the names, half-widths of a band around the curve, `(P,)`.
        title: a line above the axes.

    Returns:
        A matplotlib figure with one pair of axes.

    Raises:
        TypeError: `series` is not a mapping, or an array does not hold real numbers.
        ValueError: there are no series, lengths differ, a number is NaN or infinite, an error is
            negative or has no curve.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> t = jnp.linspace(0.0, 1.0, 5)
        >>> figure = plot.curves(t, {"f": t**2}, xlabel="share of path", ylabel="score")
        >>> len(figure.axes[0].lines)
        1

    Notes:
        Points are joined in the order in which they are given; sort `x` first.
    """
    places = vector(x, "x", length=np.size(x), of="x")
    lines = {
        name: vector(values, f"series[{name!r}]", length=len(places), of="x")
        for name, values in named(series, "series").items()
    }
    check_keys(errors, "errors", lines)
    bands = {
        name: spread(half, f"errors[{name!r}]", length=len(places), of="x")
        for name, half in (errors or {}).items()
    }
    legend = [fig.wrap(name, NAMES, SMALL) for name in lines]
    beside = max(fig.text_width(name, SMALL) for name in legend)
    height = max(2.6, 0.5 + sum(fig.text_height(name, SMALL) for name in legend))

    figure = fig.blank(AXES + 0.6 + beside, height, layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, places, dict(zip(legend, lines.values(), strict=True)))
    for line, (name, values) in zip(axes.lines, lines.items(), strict=True):
        if name in bands:
            low, high = values - bands[name], values + bands[name]
            axes.fill_between(places, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
    fig.tidy(axes, fig.wrap(xlabel, AXES - 0.3, BODY))
    axes.set_ylabel(fig.wrap(ylabel, height - 0.6, BODY), fontsize=BODY, color=INK)
    if title:
        axes.set_title(fig.wrap(title, AXES - 0.3, TITLE), fontsize=TITLE, color=INK, loc="left")
    figure.legend(loc="outside right upper", frameon=False, fontsize=SMALL, labelcolor=INK)
    return figure


def _draw(axes: Axes, places: Array, lines: Mapping[str, Array]) -> None:
    """Colours first, then other dashes; points only where there are few."""
    for i, (label, line) in enumerate(lines.items()):
        axes.plot(
            places,
            line,
            linestyle=STYLES[i // len(LINES) % len(STYLES)],
            color=LINES[i % len(LINES)],
            linewidth=1.6,
            marker="o" if len(places) <= 12 else "",
            markersize=3.5,
            label=label,
        )
