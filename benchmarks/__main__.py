"""Run the benchmarks: `python -m benchmarks [--only GLOB] [--quick] [--output FILE]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from fnmatch import fnmatch
from pathlib import Path

import jax

from . import (
    adaptive,
    comparison,
    deeplift,
    deeplift_wrong,
    integrated_grad,
    layers,
    lime,
    maximize,
    memory,
    metrics,
    occlusion,
    overhead,
    per_call,
    relevance,
    scaling,
    shapley,
    smooth,
)
from . import compile as compile_time
from ._harness import FULL, QUICK, Effort
from ._machine import Others, machine, same_threads
from ._report import Result, Topic, line

TOPICS: tuple[Topic, ...] = tuple(
    module.TOPIC
    for module in (
        integrated_grad,
        smooth,
        lime,
        relevance,
        deeplift,
        deeplift_wrong,
        layers,
        overhead,
        per_call,
        adaptive,
        memory,
        scaling,
        occlusion,
        shapley,
        maximize,
        metrics,
        comparison,
        compile_time,
    )
)
RESULTS = Path(__file__).with_name("RESULTS.md")

INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks` in {minutes}. Both sides ran in one process, with as many threads.
"""

QUICK_NOTE = "Measured with `--quick`, to prove that everything runs: quote no number from here.\n"


def main() -> int:
    """Measure, write the report, and return 1 if any row failed."""
    options = _parser().parse_args()
    effort = QUICK if options.quick else FULL
    subjects = {topic: _subjects(topic, options.only, effort) for topic in TOPICS}
    if not any(subjects.values()):
        print(f"--only {options.only} matches nothing: {', '.join(t.name for t in TOPICS)}")
        return 2

    jax.config.update("jax_enable_compilation_cache", False)
    warnings.filterwarnings("ignore", module="captum")
    same_threads()
    start, facts = time.perf_counter(), machine()
    print(facts, flush=True)
    output = options.output or _default_output(partial=options.quick or options.only != "*")
    results = []
    for topic, names in subjects.items():
        if not names:
            continue
        results.append(_run(topic, names, effort))
        minutes = f"{(time.perf_counter() - start) / 60:.1f} minutes"
        notes = [INTRODUCTION.format(minutes=minutes), *([QUICK_NOTE] if options.quick else [])]
        sections = [result.section() for result in results]
        # After every topic, so that an interrupted run leaves what it has measured.
        output.write_text("\n".join([*notes, facts + "\n", *sections]), encoding="utf-8")
    print(f"\n{minutes}, written to {output}")
    return int(any(result.failed for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="GLOB", default="*", help="topics, or rows as TOPIC/MODEL"
    )
    parser.add_argument("--quick", action="store_true", help="one row of each topic, few repeats")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help=f"default: {RESULTS.name} beside this file; a temporary one with --quick or --only",
    )
    return parser


def _subjects(topic: Topic, only: str, effort: Effort) -> list[str]:
    """What of a topic is measured."""
    subjects = topic.subjects[:1] if effort.quick else topic.subjects
    return [
        name
        for name in subjects
        if fnmatch(topic.name, only) or fnmatch(f"{topic.name}/{name}", only)
    ]


def _run(topic: Topic, subjects: list[str], effort: Effort) -> Result:
    """Measure a topic and print its rows as they come."""
    print(f"\n{topic.title}\n{line(topic.columns)}", flush=True)
    rows, shares, start = [], [], time.perf_counter()
    for subject in subjects:
        others = Others()
        for row in topic.rows(subject, effort):
            print(f"{time.perf_counter() - start:4.0f} s {line(row)}", flush=True)
            rows.append(row)
        shares.append(others.share())
    return Result(topic, rows, max(shares))


def _default_output(partial: bool) -> Path:
    """Where the report goes: a part of it must not replace the whole."""
    if not partial:
        return RESULTS
    with tempfile.NamedTemporaryFile(prefix="jaxplain-", suffix=".md", delete=False) as file:
        return Path(file.name)


if __name__ == "__main__":
    sys.exit(main())
