"""Tell how far a compiled loop is."""

from __future__ import annotations

from collections.abc import Callable

import jax

from .._progress import Progress as Progress
from .._progress import checked_progress

REPORTS = 20


def reporter(progress: Progress, steps: int, name: str) -> Callable[[jax.Array], None] | None:
    """What a loop of `steps` calls with the number of steps done, or None if nobody asked."""
    report = checked_progress(progress, name, " steps", steps)
    if report is None:
        return None
    every = -(-steps // REPORTS)

    # The number alone is handed over: under jax.vmap it is the same for all examples, and what is
    # not mapped over is called once.
    def call(done: jax.Array) -> None:
        jax.debug.callback(lambda done: report(int(done)), done)

    def tick(done: jax.Array) -> None:
        due = (done % every == 0) | (done == steps)
        jax.lax.cond(due, call, lambda done: None, done)

    return tick
