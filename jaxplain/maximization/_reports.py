"""Tell how far a compiled loop is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax

from .._progress import bar

Progress: TypeAlias = bool | Callable[[int], None] | None

REPORTS = 20


def reporter(progress: Progress, steps: int, name: str) -> Callable[[jax.Array], None] | None:
    """What a loop of `steps` calls with the number of steps done, or None if nobody asked."""
    if progress is None or progress is False:
        return None
    if progress is not True and not callable(progress):
        raise TypeError(
            f"progress={progress!r} must be True for a progress bar, or a function that is called "
            "with the number of steps done."
        )
    report = bar(name, " steps", steps) if progress is True else progress
    every = -(-steps // REPORTS)

    # The number alone is handed over: under jax.vmap it is the same for all examples, and what is
    # not mapped over is called once.
    def call(done: jax.Array) -> None:
        jax.debug.callback(lambda done: report(int(done)), done)

    def tick(done: jax.Array) -> None:
        due = (done % every == 0) | (done == steps)
        jax.lax.cond(due, call, lambda done: None, done)

    return tick
