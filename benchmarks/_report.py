"""What a topic is, and how its rows become a Markdown table."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ._harness import Effort, Timing

Row = tuple[str, ...]
BUSY = 0.05  # of the cores: spinning threads of torch then wait for their turn, and it loses most


@dataclass(frozen=True)
class Topic:
    """One table of the report.

    Attributes:
        name: What `--only` matches, alone or followed by a slash and one of `subjects`.
        title: The heading.
        about: What is compared and how to read it, in a few sentences.
        columns: The heads of the columns; the first column names the subject.
        subjects: What is measured one after the other, the smallest first.
        measure: Gives the rows of a subject.
    """

    name: str
    title: str
    about: str
    columns: Row
    subjects: tuple[str, ...]
    measure: Callable[[str, Effort], Iterator[Row]]

    def rows(self, subject: str, effort: Effort) -> Iterator[Row]:
        """Measure one subject; a failure becomes its last row."""
        try:
            yield from self.measure(subject, effort)
        except Exception as error:  # one broken row must not hide the others
            traceback.print_exc()
            yield (subject, describe(error), *[""] * (len(self.columns) - 2))


@dataclass(frozen=True)
class Result:
    """The measured rows of a topic, and the share of the cores that other programs took."""

    topic: Topic
    rows: list[Row]
    others: float

    @property
    def failed(self) -> bool:
        """Whether a row says that something went wrong."""
        return any(cell.startswith(("FAILED", "DISAGREE")) for row in self.rows for cell in row)

    def section(self) -> str:
        """The heading, the sentences and the table."""
        topic = self.topic
        table = [line(topic.columns), line(("---",) * len(topic.columns)), *map(line, self.rows)]
        quiet = f"Meanwhile other programs took at most {self.others:.0%} of the cores."
        if self.others > BUSY:
            quiet = f"**{quiet} Measure again on a quiet machine.**"
        return "\n\n".join([f"## {topic.title}", topic.about, "\n".join(table), quiet]) + "\n"


def describe(error: Exception) -> str:
    """One cell that says what went wrong."""
    text = (str(error).splitlines() or [""])[0].replace("|", "\\|")[:160]
    return text if text.startswith("DISAGREE") else f"FAILED: {type(error).__name__}: {text}"


def line(cells: Row) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def milliseconds(time: Timing | float) -> str:
    """A time, with its quartiles if they are known."""
    return _scaled(time, 1e3)


def microseconds(time: Timing | float) -> str:
    """A short time, with its quartiles if they are known."""
    return _scaled(time, 1e6)


def ratio(ours: float, theirs: float) -> str:
    """Ours as a share of theirs: below 1, ours is faster."""
    return f"{ours / theirs:.2f}"


def number(value: float) -> str:
    """Three digits, or all of them before the point, and never an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _scaled(time: Timing | float, scale: float) -> str:
    if not isinstance(time, Timing):
        return number(scale * time)
    lower, median, upper = (number(scale * value) for value in time)
    return f"{median} ({lower} to {upper})"
