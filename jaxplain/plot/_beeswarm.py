"""All examples at once: a row for each feature, a point for each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_count
from . import _figure as fig
from ._colors import NEGATIVE, POSITIVE
from ._figure import SMALL
from ._rows import frame, largest
from ._values import Array, numbers, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PITCH = 0.34  # inches from row to row
BINS = 100  # across the axes: points in one of them lie above one another
VALUE = "value of the feature"
BAR, BESIDE = 0.1, 0.75  # width of the colour bar, and of the room for it, in inches


def beeswarm(
    names: Sequence[str],
    scores: ArrayLike,
    values: ArrayLike,
    *,
    top: int = 12,
    title: str | None = None,
    xlabel: str = "attribution",
) -> Figure:
    """Draw the attributions of many examples, a point for each, coloured by the feature's value.

    Features with the largest mean magnitude come first. A colour goes from the lowest tenth of a
    feature's values to the highest, by rank, so that outliers do not decide it.

    Args:
        names: F names of features.
        scores: attributions of N examples, `(N, F)`.
        values: what the features were in these examples, in any unit, `(N, F)`.
        top: how many features are shown.
        title: a line above the axes.
        xlabel: what the scores are, with their unit.

    Returns:
        A matplotlib figure: the axes and a colour bar.

    Raises:
        TypeError: `names` is not a sequence of str, or an array does not hold real numbers.
        ValueError: the shapes differ, or a number is NaN or infinite.
        ImportError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from jaxplain import plot
        >>> data = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = plot.beeswarm(["age", "bmi"], data * np.array([0.1, -2.0]), data)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['bmi', 'age']

    Notes:
        Features beyond the first `top` are left out: their sum has no colour.
    """
    names = words(names, "names")
    scores, values = _table(scores, "scores", names), _table(values, "values", names)
    if scores.shape != values.shape:
        raise ValueError(
            f"scores has {len(scores)} examples and values has {len(values)}; expected as many."
        )
    check_count("top", top)
    order, rest = largest(np.mean(np.abs(scores), axis=0), top)
    if len(rest):
        xlabel = f"{xlabel} ({len(rest)} features of less weight not shown)"
    figure, axes = frame(
        [names[i] for i in order], title=title, xlabel=xlabel, right=BESIDE, pitch=PITCH
    )
    colors = _colormap()
    axes.axvline(0, color=fig.FAINT, linewidth=0.8, zorder=0)
    low, high = float(scores.min()), float(scores.max())
    for row, feature in enumerate(order):
        _swarm(axes, row, scores[:, feature], values[:, feature], (low, high), colors)
    axes.margins(x=0.04)
    axes.locator_params(axis="x", nbins=5)
    _draw_scale(figure, axes, colors)
    return figure


def _table(value: Any, name: str, names: Sequence[str]) -> Array:
    table = numbers(value, name)
    if table.ndim != 2 or table.shape[1] != len(names):
        raise ValueError(
            f"{name} has shape {table.shape}; expected (examples, {len(names)}), a column for each "
            "entry of names."
        )
    return table


def _swarm(
    axes: Axes, row: int, scores: Array, values: Array, limits: tuple[float, float], colors: Any
) -> None:
    """Points that would lie on one another are put above and below the row in turns."""
    low, high = limits
    bins = np.floor((scores - low) / ((high - low) or 1.0) * BINS)
    order = np.lexsort((values, bins))
    _, first, counts = np.unique(bins[order], return_index=True, return_counts=True)
    place = np.arange(len(scores)) - np.repeat(first, counts)
    # 0, 1, -1, 2, -2, ... from the middle outwards.
    layer = np.where(place % 2, (place + 1) // 2, -(place // 2))
    step = 0.42 / max(int(counts.max()) // 2, 5)
    axes.scatter(
        scores[order],
        row + step * layer,
        c=_ranks(values)[order],
        cmap=colors,
        vmin=0,
        vmax=1,
        s=7,
        linewidths=0,
        rasterized=len(scores) > 2000,
    )


def _ranks(values: Array) -> Array:
    """From 0 for the lowest value to 1 for the highest; equal values are equal."""
    low, high = (np.searchsorted(np.sort(values), values, side=side) for side in ("left", "right"))
    middle: Array = (low + high) / (2 * len(values))
    return np.clip((middle - 0.1) / 0.8, 0, 1)


def _colormap() -> Any:
    module = fig.load("matplotlib.colors")
    return module.LinearSegmentedColormap.from_list("values", (NEGATIVE, "#b9a6c4", POSITIVE))


def _draw_scale(figure: Figure, axes: Axes, colors: Any) -> None:
    width, height = (float(length) for length in figure.get_size_inches())
    box = axes.get_position()
    length = min(box.height * height, 2.6)
    top = (1 - box.y1) * height + (box.height * height - length) / 2
    scale = fig.place(figure, width - BESIDE + 0.12, top, BAR, length)
    limits = fig.load("matplotlib.colors").Normalize(0, 1)
    drawn: Any = figure.colorbar(fig.load("matplotlib.cm").ScalarMappable(limits, colors), scale)
    drawn.set_ticks([0, 1], labels=["low", "high"])
    if fig.text_width(VALUE, SMALL) < box.height * height:
        drawn.set_label(VALUE, size=SMALL, color=fig.SOFT, labelpad=-8)
    drawn.outline.set(edgecolor=fig.FAINT, linewidth=0.6)
    scale.tick_params(labelsize=SMALL, labelcolor=fig.SOFT, length=0, pad=3)
