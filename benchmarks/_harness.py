"""Timing side by side: contenders take turns in one process, after they have agreed.

A turn is several runs in a row where runs are short: alternating single ones would have each start
in caches that the other has just filled, and on cores where idle threads of the other still spin.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import torch

Run = Callable[[], Any]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        seconds: How long contenders take turns.
        least: How many turns they take at least.
        search: How long a candidate in a search runs.
        quick: Whether this only proves that everything works.
    """

    seconds: float
    least: int
    search: float
    quick: bool = False


TURN = 0.1
"""Seconds that a turn lasts at least."""

LONG = 2.0
"""Seconds from which one run is measured once in a search, without another to warm up."""

FULL = Effort(seconds=6, least=3, search=0.5)
QUICK = Effort(seconds=0.2, least=3, search=0.01, quick=True)


class Timing(NamedTuple):
    """The quartiles of some measured seconds."""

    lower: float
    median: float
    upper: float


class DisagreementError(Exception):
    """Two contenders computed different numbers, so that their times say nothing."""


def seconds(run: Run) -> float:
    """How long one run takes until its result is there."""
    start = time.perf_counter()
    result = run()
    if isinstance(result, jax.Array):  # the common case first: walking a tree takes microseconds
        result.block_until_ready()
    elif not isinstance(result, torch.Tensor):
        jax.block_until_ready(result)
    return time.perf_counter() - start


def turn(run: Run) -> list[float]:
    """The seconds of one run, or of as many short ones as fit into a turn."""
    times = [seconds(run)]
    while sum(times) < TURN:
        times.append(seconds(run))
    return times


def take_turns(runs: Mapping[Key, Run], effort: Effort) -> dict[Key, Timing]:
    """Time the runs in turns (A, B, A, B, ...), so that a busy moment falls on all of them."""
    measured: dict[Key, list[float]] = {name: [] for name in runs}
    start, turns = time.perf_counter(), 0
    while turns < effort.least or time.perf_counter() - start < effort.seconds:
        for name, run in runs.items():
            measured[name] += turn(run)
        turns += 1
    return {name: timing(times) for name, times in measured.items()}


def timing(times: list[float]) -> Timing:
    """The quartiles of some times, at least one."""
    return Timing(*(float(np.quantile(times, share)) for share in (0.25, 0.5, 0.75)))


def search(runs: Mapping[Key, Run], effort: Effort) -> dict[Key, float]:
    """The seconds of every candidate, more carefully of those that are near the best."""
    first = {name: seconds(run) for name, run in runs.items()}
    limit = min(1.5 * min(first.values()), LONG)
    return {
        name: once if once > limit else _brief(runs[name], effort) for name, once in first.items()
    }


def fastest(found: Mapping[Key, float]) -> Key:
    """The candidate that took the least time."""
    return min(found, key=found.__getitem__)


def _brief(run: Run, effort: Effort) -> float:
    """The median of a few runs."""
    times = [seconds(run)]
    while sum(times) < effort.search:
        times.append(seconds(run))
    return statistics.median(times)


def check_agreement(ours: Any, theirs: Any, tolerance: float) -> float:
    """The norm of the difference as a share of the norm of theirs.

    Raises:
        DisagreementError: It is over `tolerance`, or the shapes differ.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        raise DisagreementError(f"DISAGREE in shape: {ours.shape} against {theirs.shape}")
    difference = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if not difference <= tolerance:
        raise DisagreementError(f"DISAGREE by {difference:.1e}, allowed are {tolerance:.0e}")
    return difference
