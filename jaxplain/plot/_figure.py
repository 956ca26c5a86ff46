"""Figures laid out in inches, text measured and broken to fit: the frame of every picture."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE, BODY, SMALL = 10.0, 9.0, 8.0  # points
LEADING = 1.2
MARGIN, GAP = 0.08, 0.1  # inches
INK, SOFT, FAINT = "#222222", "#666666", "#c8c8c8"


def load(module: str) -> Any:
    """A module of matplotlib, imported when it is first needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "jaxplain.plot draws with matplotlib, which cannot be imported here. "
            'Type: pip install "jaxplain[plot]"'
        ) from error


def blank(width: float, height: float, **options: Any) -> Figure:
    """An empty white figure of a size in inches, unknown to pyplot."""
    build = load("matplotlib.figure").Figure
    figure: Figure = build(figsize=(width, height), dpi=150, facecolor="white", **options)
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place counted in inches from the upper left corner."""
    across, down = (float(length) for length in figure.get_size_inches())
    box = (left / across, 1 - (top + height) / down, width / across, height / down)
    return figure.add_axes(box)


def write(
    figure: Figure, left: float, top: float, string: str, *, size: float, **options: Any
) -> None:
    """Lines of text, by default centred at `left`, below a place counted in inches."""
    across, down = (float(length) for length in figure.get_size_inches())
    options = {"ha": "center", "color": INK, **options}
    # Line by line on its baseline: boxes of text differ in height with the letters in them.
    for i, line in enumerate(string.split("\n") if string else ()):
        baseline = top + (i + 0.8) * LEADING * size / 72
        figure.text(left / across, 1 - baseline / down, line, fontsize=size, **options)


def text_width(string: str, size: float) -> float:
    """The width of the longest line in inches, found without a canvas."""
    font = load("matplotlib.font_manager").FontProperties(size=size)
    measure = load("matplotlib.textpath").text_to_path.get_text_width_height_descent
    return max(float(measure(line, font, ismath=False)[0]) for line in string.split("\n")) / 72


def text_height(string: str, size: float) -> float:
    """The height of the lines in inches, with a little air beside them; of no text, zero."""
    return (1 + string.count("\n")) * LEADING * size / 72 + 0.05 if string else 0.0


def fitting_size(strings: list[str], width: float, size: float) -> float:
    """The font size, lowered if the longest word would not fit the width."""
    longest = max((text_width(word, size) for s in strings for word in s.split()), default=0.0)
    return max(5.0, size * min(1.0, width / longest)) if longest else size


def wrap(string: str, width: float, size: float, *, math: bool = True) -> str:
    """Break a string into lines of a width in inches, but not within a formula between dollars."""
    lines = []
    for paragraph in string.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and not (math and "$" in paragraph) and text_width(longer, size) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return "\n".join(lines)


def tidy(axes: Axes, xlabel: str) -> None:
    """Charts without a box, in quiet colours."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT)
    axes.tick_params(labelsize=SMALL, labelcolor=SOFT, color=FAINT, length=3)
    axes.set_xlabel(xlabel, fontsize=BODY, color=INK)
