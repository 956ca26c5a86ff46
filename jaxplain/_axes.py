"""Which axes of an array are meant."""

from __future__ import annotations


def checked_axes(axes: tuple[int, ...], shape: tuple[int, ...], where: str = "x") -> list[int]:
    """The axes, counted from 0; raise unless they are different axes of an array of that shape."""
    known = [axis % len(shape) for axis in axes if -len(shape) <= axis < len(shape)]
    if len(set(known)) != len(axes):
        raise ValueError(
            f"axes={axes} must name different axes, but {where} has shape {shape}: name its "
            "spatial axes, for instance axes=(0,) for a sequence."
        )
    return known
