"""A progress bar, for `progress=True`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
