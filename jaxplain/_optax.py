"""Optax, which only what is optimised or trained needs."""

from __future__ import annotations

from typing import Any


def import_optax(what: str) -> Any:
    """The package; or an error that says what needs it, and how to get it."""
    try:
        import optax  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f"{what} needs Optax, which is not installed: pip install 'jaxplain[optax]'."
        ) from error
    return optax
