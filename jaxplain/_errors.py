"""Checks of options and values, with messages that say what was given and what to type instead."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np


def is_concrete(value: Any) -> bool:
    """Whether `value` can be looked at now (it is not being traced)."""
    return not isinstance(value, jax.core.Tracer)


def check_choice(option: str, value: Any, valid: Iterable[str]) -> None:
    """Raise unless `value` is one of the valid names."""
    names = list(valid)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{option}={value!r} is unknown: choose one of {', '.join(names)}.")


def check_count(option: str, value: Any, *, least: int = 1, hint: str = "") -> None:
    """Raise unless `value` is a Python integer of at least `least` (counts are static)."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or value < least:
        raise ValueError(
            f"{option}={value!r} is not a whole number of at least {least}."
            + (f" {hint}" if hint else "")
        )


def check_chunk(chunk: Any) -> None:
    """Raise unless `chunk` is "auto", None or a positive integer."""
    if chunk is not None and not (isinstance(chunk, str) and chunk == "auto"):
        hint = "Leave chunk out for as many as run fast; chunk=None is everything at once."
        check_count("chunk", chunk, hint=hint)


def check_real(option: str, value: Any, *, low: float, high: float = float("inf")) -> None:
    """Raise if a concrete number lies outside [low, high] or is NaN; traced numbers pass."""
    if not is_concrete(value):
        return
    number = np.asarray(value)
    if number.dtype.kind not in "fiu" or not np.all((number >= low) & (number <= high)):
        bounds = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ValueError(f"{option}={value!r} must be a number {bounds}.")


def warn_unless(ok: jax.Array, message: str, **values: jax.Array) -> None:
    """Warn with `message.format(**values)` where `ok` is false, also from compiled code."""

    def report(ok: Any, values: dict[str, Any]) -> None:
        if not np.all(ok):
            warnings.warn(message.format(**values), RuntimeWarning, stacklevel=2)

    if is_concrete(ok) and all(map(is_concrete, values.values())):
        report(ok, values)
    else:
        jax.debug.callback(report, ok, values)
