"""A progress bar, for `progress=True`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Progress: TypeAlias = bool | Callable[[int], None] | None


def checked_progress(
    progress: Progress, name: str, unit: str, count: int | None = None
) -> Callable[[int], None] | None:
    """What to call with the number that is done: a bar, for True; None if nobody asked."""
    if progress is None or progress is False:
        return None
    if progress is True:
        return bar(name, unit, count)
    if not callable(progress):
        raise TypeError(
            f"progress={progress!r} must be True for a progress bar, or a function that is called "
            f"with the number of{unit} done."
        )
    return progress


def bar(name: str, unit: str, count: int | None = None) -> Callable[[int], None]:
    """A progress bar from 0 to `count`, a new one for each pass; or without an end."""
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(
            "progress=True draws its bar with tqdm, which is not installed: pip install "
            f"'jaxplain[progress]'. Or give a function that is called with the number of{unit}."
        ) from error
    shown: Any = None

    def report(done: int) -> None:
        nonlocal shown
        if shown is None:
            shown = tqdm(desc=name, total=count, unit=unit)
        shown.update(done - shown.n)
        if count is not None and done >= count:
            shown.close()
            shown = None

    return report
