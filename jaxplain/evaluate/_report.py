"""What a benchmark found: every metric of every method, as a table and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ._statistics import Comparison, Summary, compare

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Report:
    """Metrics of methods and controls over a data set, from `benchmark`.

    `print(report)` shows it as a table.

    Args:
        methods: the names of the methods.
        controls: the names of the controls, explanations that know nothing of the model.
        values: for each metric, the number of each method and control (in this order) for each
            example, (methods + controls, examples).
        summaries: for each metric, the means and their intervals, each (methods + controls,).
        better: for each metric, `"higher"`, `"lower"`, or None where that is not known.
        level: of the intervals.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> values = jnp.array([[2.0, 3.0, 4.0], [0.0, 1.0, -1.0]])
        >>> summary = evaluate.summarize(values.T, key=jax.random.key(0))
        >>> report = evaluate.Report(
        ...     ("gradient",), ("random",), {"abpc": values}, {"abpc": summary},
        ...     {"abpc": "higher"}, 0.95)
        >>> [(row["method"], row["mean"], row["rank"]) for row in report.rows]
        [('gradient', 3.0, 1), ('random', 0.0, 2)]
    """

    methods: tuple[str, ...]
    controls: tuple[str, ...]
    values: Mapping[str, jax.Array]
    summaries: Mapping[str, Summary]
    better: Mapping[str, str | None]
    level: float

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, then the controls."""
        return (*self.methods, *self.controls)

    @property
    def rows(self) -> list[Row]:
        """One row for each metric and method: mean, interval and rank, 1 for the best."""
        return [row for metric in self.values for row in self._rows_of(metric)]

    def ranks(self, metric: str) -> list[int | None]:
        """The place of each method and control by its mean; equal ones share the better place."""
        means = np.asarray(self.summaries[metric].mean, np.float64)
        better = self.better[metric]
        if better is None:
            return [None] * len(means)
        goodness = means if better == "higher" else -means
        return [1 + int(np.sum(goodness > own)) for own in goodness]

    def compare(self, metric: str, first: str, second: str, *, key: jax.Array) -> Comparison:
        """`compare` of two methods by one metric, on the same examples."""
        values = defined(self.values[_known(metric, self.values, "metric")])
        places = [self.names.index(_known(n, self.names, "method")) for n in (first, second)]
        pair = (values[place] for place in places)
        return compare(*pair, key=key, level=self.level)

    def frame(self) -> Any:
        """The rows as a DataFrame of pandas."""
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(
                "Report.frame needs pandas, which is not installed: pip install pandas. The same "
                "rows are dictionaries in report.rows."
            ) from error
        return pandas.DataFrame(self.rows)

    def markdown(self) -> str:
        """A table with a line for each method and a column for each metric."""
        heads = ["method", *(f"{name} {_arrow(self.better[name])}".strip() for name in self.values)]
        columns = [[_cell(row) for row in self._rows_of(metric)] for metric in self.values]
        labels = [*self.methods, *(f"{name} (control)" for name in self.controls)]
        lines = [list(line) for line in zip(labels, *columns, strict=True)]
        table = [heads, ["---"] + ["---:"] * len(columns), *lines]
        return "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in table
        )

    def __str__(self) -> str:
        counts = {name: summary.count for name, summary in self.summaries.items()}
        whole = len(next(iter(self.values.values()))[0])
        fewer = [f"{count} in {name}" for name, count in counts.items() if count < whole]
        examples = ", ".join([f"{whole} examples", *fewer])
        return (
            f"{self.markdown()}\n\nMeans over {examples} with {self.level:.0%} intervals; #: the "
            "place by the mean."
        )

    def figure(self, *, columns: int = 3, title: str | None = None) -> Figure:
        """Draw the means and intervals, a pair of axes for each metric, controls in grey."""
        from ..plot import _figure as fig

        across = min(columns, len(self.values))
        down = -(-len(self.values) // across)
        beside = max(fig.text_width(name, fig.BODY) for name in self.names)
        height = 0.26 * len(self.names) + 0.75
        figure = fig.blank(beside + 2.3 * across + 0.3, height * down + 0.3, layout="constrained")
        grid = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        for axes, metric in zip(grid, self.values, strict=False):
            self._draw(axes, metric)
            fig.tidy(axes, f"{metric} {_arrow(self.better[metric])}".strip())
            axes.tick_params(axis="y", length=0, labelsize=fig.BODY)
        for axes in grid[len(self.values) :]:
            axes.remove()
        if title:
            figure.suptitle(title, fontsize=fig.TITLE, color=fig.INK)
        return figure

    def _draw(self, axes: Axes, metric: str) -> None:
        from ..plot._colors import LINES
        from ..plot._figure import FAINT, SOFT

        for place, row in enumerate(self._rows_of(metric)):
            color = SOFT if row["control"] else LINES[0]
            if row["control"]:
                axes.axvline(row["mean"], color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
            axes.plot([row["low"], row["high"]], [place, place], color=color, linewidth=1.6)
            axes.plot(row["mean"], place, "o", color=color, markersize=4)
        axes.set_yticks(range(len(self.names)), self.names, parse_math=False)
        axes.set(ylim=(len(self.names) - 0.4, -0.6))
        axes.locator_params(axis="x", nbins=4)

    def _rows_of(self, metric: str) -> list[Row]:
        summary, ranks = self.summaries[metric], self.ranks(metric)
        return [
            {
                "metric": metric,
                "method": name,
                "control": name in self.controls,
                "mean": float(summary.mean[place]),
                "low": float(summary.low[place]),
                "high": float(summary.high[place]),
                "standard_error": float(summary.standard_error[place]),
                "rank": ranks[place],
                "examples": summary.count,
            }
            for place, name in enumerate(self.names)
        ]


def defined(values: jax.Array) -> jax.Array:
    """The examples for which a metric is defined for all methods, at least two."""
    known = ~np.isnan(np.asarray(values)).any(axis=0)
    if known.sum() < 2:
        raise ValueError(
            f"A metric is defined for {known.sum()} of {len(known)} examples by all methods: a "
            "mean needs two. Leave it out, or look at its options."
        )
    return values[:, known]


def _known(name: str, names: Any, what: str) -> str:
    if name not in names:
        raise ValueError(f"{name!r} is no {what} of this report: choose one of {', '.join(names)}.")
    return name


def _arrow(better: str | None) -> str:
    return {"higher": "\u2191", "lower": "\u2193", None: ""}[better]


def _cell(row: Row) -> str:
    text = f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
    return text if row["rank"] is None else f"{text} #{row['rank']}"
