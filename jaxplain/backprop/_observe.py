"""What goes into the sites of a program and comes out of them."""

from __future__ import annotations

from typing import Any

from ..program._run import Call, replay
from ..program._sites import Grouped, Site


def observe(grouped: Grouped, leaves: list[Any]) -> dict[Site, Call]:
    """The call of each site outside of loops, when the program runs on these inputs."""
    calls: dict[Site, Call] = {}

    def watch(site: Site, inputs: Any, operands: Any, outputs: Any) -> None:
        calls[site] = Call(site, inputs, operands, tuple(outputs), None)

    replay(grouped, leaves, {}, watch=watch)
    return calls
