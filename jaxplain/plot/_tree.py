"""A decision tree, its root above and its answers below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _figure as fig
from ._colors import LINES
from ._figure import FAINT, INK, MARGIN, SMALL, SOFT, TITLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST, PAD, LEVEL = 1.8, 0.12, 0.95  # inches: of a text, around it, from one level to the next


class Node(NamedTuple):
    """A node as it is drawn: its text, its place in leaves and levels, what stands below it."""

    text: str
    across: float
    down: int
    children: tuple[Node, ...] = ()
    color: str = FAINT


def tree(report: Any, *, title: str | None = None) -> Figure:
    """Draw a tree surrogate: questions, and below them the answer, left for yes, right for no.

    Args:
        report: what `jaxplain.surrogate(..., kind="tree")` returned.
        title: a line above the tree; None for its fidelity, "" for none. A surrogate that is not
            faithful says so above the tree, whatever the title.

    Returns:
        A matplotlib figure with one pair of axes, as large as the tree needs.

    Raises:
        TypeError: `report` is not a tree surrogate.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import plot
        >>> inputs = jax.random.rademacher(jax.random.key(0), (60, 2), jnp.float32)
        >>> report = jaxplain.surrogate(
        ...     lambda x: x[0] * x[1], inputs, kind="tree", depth=2, key=jax.random.key(1))
        >>> figure = plot.tree(report)
        >>> len(figure.axes[0].texts)
        13

    Notes:
        Leaves are coloured by class, and say which share of the inputs that they were fitted to is
        of it; for scores they say the mean. A tree deeper than 5 makes a very wide picture.
    """
    if getattr(report, "kind", None) != "tree":
        raise TypeError(
            f"report is a {getattr(report, 'kind', type(report).__name__)}; expected the surrogate "
            "that jaxplain.surrogate(..., kind='tree') returns. Draw a linear one with "
            "plot.bars(report.names, report.standardised)."
        )
    root, leaves = _laid_out(report, 0, 0, 0)
    levels = _deepest(root) + 1
    widest = max(fig.text_width(node.text, SMALL) for node in _all(root)) + 2 * PAD
    heading = report.headline if title is None else title
    width = max(leaves * (widest + PAD), 3.0)
    lines = [part for part in (report.refusal, heading) if part]
    above = fig.wrap("\n".join(lines), width, TITLE, math=False)
    top = MARGIN + fig.text_height(above, TITLE)

    figure = fig.blank(width + 2 * MARGIN, top + levels * LEVEL + MARGIN)
    fig.write(figure, MARGIN, MARGIN, above, size=TITLE, ha="left", parse_math=False)
    axes = fig.place(figure, MARGIN, top, width, levels * LEVEL)
    axes.set(xlim=(0, max(leaves, 1)), ylim=(levels - 0.5, -0.5))
    axes.set_axis_off()
    _draw(axes, root)
    return figure


def _laid_out(report: Any, node: int, across: int, down: int) -> tuple[Node, int]:
    """The node with what is below it, and the number of leaves that takes."""
    fitted = report.fitted
    if fitted.is_leaf(node):
        count = int(np.asarray(fitted.counts)[node])
        answer = fig.wrap(report.answer(node), WIDEST, SMALL, math=False)
        color = LINES[report.best(node) % len(LINES)] if report.classes else INK
        text = f"{answer}\n{count} input{'s' * (count > 1)}"
        return Node(text, across + 0.5, down, color=color), 1
    below = fitted.children(node)
    yes, left = _laid_out(report, below[0], across, down + 1)
    no, right = _laid_out(report, below[1], across + left, down + 1)
    text = fig.wrap(report.question(node), WIDEST, SMALL, math=False)
    return Node(text, (yes.across + no.across) / 2, down, (yes, no)), left + right


def _all(node: Node) -> list[Node]:
    return [node, *(below for child in node.children for below in _all(child))]


def _deepest(node: Node) -> int:
    return max(each.down for each in _all(node))


def _draw(axes: Axes, node: Node) -> None:
    for child, answer in zip(node.children, ("yes", "no"), strict=False):
        ends = (node.across, child.across), (node.down, child.down)
        axes.plot(*ends, color=FAINT, linewidth=1.0, zorder=1)
        box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        _write(axes, sum(ends[0]) / 2, sum(ends[1]) / 2, answer, SOFT, box)
        _draw(axes, child)
    box = {
        "boxstyle": f"round,pad={PAD * 72 / SMALL / 2:.3g}",
        "facecolor": "white",
        "edgecolor": node.color,
    }
    _write(axes, node.across, node.down, node.text, INK, box)


def _write(axes: Axes, x: float, y: float, text: str, color: str, box: dict[str, Any]) -> None:
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=SMALL if color == INK else SMALL - 1,
        color=color,
        bbox=box,
        parse_math=False,
        zorder=2,
    )
