"""One row against Captum: either side at the setting that suits it best."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ._harness import Effort, Run, fastest, search, take_turns
from ._report import Row, milliseconds, ratio

Size = int | str | None  # of a chunk: points of one example at once; None for all, or "auto"
SIZES: tuple[Size, ...] = (None, 1, 5, 25)
DEFAULT: Size = "auto"
TOLERANCE = 1e-2  # rounding puts single ReLUs on the other side of their kinks

COLUMNS = (
    "model, batch",
    "jaxplain, ms",
    "chunk",
    "Captum, ms",
    "its chunk",
    "**ratio**",
    "default chunk, ms",
    "ratio",
    "difference",
)

HOW_TO_READ = (
    "Times are medians with their quartiles, taken in turns; the ratio is jaxplain's time divided "
    "by Captum's, so below 1 jaxplain is faster. Either side evaluates as many points of an "
    "example at once as suits it best (its chunk), found by trying "
    f"{', '.join(map(str, SIZES[1:]))} and all. The second ratio is of jaxplain's default, "
    '`chunk="auto"`, to Captum\'s best.'
)


def sizes(effort: Effort) -> tuple[Size, ...]:
    """The sizes that are tried."""
    return (None, 5) if effort.quick else SIZES


def own_sizes(effort: Effort) -> tuple[Size, ...]:
    """Those, and the default."""
    return (DEFAULT, *sizes(effort))


def contest(
    subject: str,
    ours: Mapping[Size, Run],
    theirs: Mapping[Size, Run],
    difference: Callable[[Size, Size], float],
    effort: Effort,
) -> Row:
    """Find either side's best size, check that they agree at those, and let them take turns."""
    tried, peer_tried = search(ours, effort), search(theirs, effort)
    size, peer_size = fastest(tried), fastest(peer_tried)
    apart = difference(size, peer_size)
    runs = {"ours": ours[size], "theirs": theirs[peer_size]}
    if size != DEFAULT:
        runs["default"] = ours[DEFAULT]
    times = take_turns(runs, effort)
    mine, peer = times["ours"], times["theirs"]
    default = times.get("default", mine)
    return (
        subject,
        milliseconds(mine),
        size_name(size),
        milliseconds(peer),
        size_name(peer_size),
        f"**{ratio(mine.median, peer.median)}**",
        milliseconds(default),
        ratio(default.median, peer.median),
        f"{apart:.0e}",
    )


def size_name(size: Size) -> str:
    """A size as it stands in the table."""
    return "all" if size is None else str(size)
