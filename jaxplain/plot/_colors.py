"""Colours: red for, blue against, white for nothing; and the bar that says how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ._figure import FAINT, SMALL, SOFT, load
from ._values import Array, Scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Colors: TypeAlias = "str | Colormap | None"

POSITIVE, NEGATIVE = "#c8382c", "#2c66b8"
DIVERGING = ("#123a80", NEGATIVE, "#93bbe8", "#ffffff", "#f3a893", POSITIVE, "#921424")
LINES = (NEGATIVE, POSITIVE, "#2e8b57", "#e0952b", "#7a4fa3", "#3aa6b9", "#8a5a3c", "#666666")
VIVID = 2 / 3  # where a diverging map is most colourful: further out it darkens


class Bar(NamedTuple):
    """What a colour bar says: the labels of its ends, whether values lie beyond, its name."""

    ends: tuple[str, str]
    clipped: bool
    label: str = ""


def colormap(cmap: Colors) -> Colormap:
    """The colour map of this name, or the default."""
    module, known = load("matplotlib.colors"), load("matplotlib").colormaps
    if cmap is None:
        # An odd number of colours, so that zero is exactly white.
        cmap = module.LinearSegmentedColormap.from_list("jaxplain", DIVERGING, N=257)
    elif not isinstance(cmap, module.Colormap) and cmap not in known:
        raise ValueError(
            f"cmap={cmap!r} is unknown to matplotlib; expected a diverging map. Type cmap=None for "
            'the default, or a name such as "RdBu_r", "seismic" or "PuOr".'
        )
    found: Colormap = known[cmap] if isinstance(cmap, str) else cmap
    return found


def paint(values: Array, cmap: Colormap) -> Array:
    """Values in [-1, 1] as RGB colours."""
    return np.asarray(cmap((values + 1) / 2), np.float64)[..., :3]


def veil(under: Array, values: Array, cmap: Colormap, alpha: float) -> Array:
    """RGB colours under values in [-1, 1], covered as far as these are from zero."""
    # The hue of the sign only: the pale middle of the map would whiten what should show through.
    hue = paint(VIVID * np.sign(values), cmap)
    opacity = alpha * np.abs(values)[..., None]
    return (1 - opacity) * under + opacity * hue


def veil_map(cmap: Colormap, alpha: float) -> Colormap:
    """The colour map of a veil over white paper."""
    paper = veil(np.ones((257, 3)), np.linspace(-1, 1, 257), cmap, alpha)
    veiled: Colormap = load("matplotlib.colors").ListedColormap(paper)
    return veiled


def scale_bar(parts: Sequence[Scaled]) -> Bar:
    """The colour bar of these pictures: in numbers for one, in shares of each scale for more."""
    clipped = any(part.clipped for part in parts)
    if len(parts) > 1:
        return Bar(("\u2212", "+"), clipped, "share of panel's scale")
    scale = parts[0].scale
    return Bar((signed(-scale), signed(scale)) if scale else ("", ""), clipped)


def draw_bar(axes: Axes, cmap: Colormap, bar: Bar, *, across: bool = False) -> None:
    """Fill axes with a bar from -1 to 1, pointed if values lie beyond."""
    limits = load("matplotlib.colors").Normalize(-1, 1)
    drawn: Any = axes.figure.colorbar(
        load("matplotlib.cm").ScalarMappable(limits, cmap),
        cax=axes,
        orientation="horizontal" if across else "vertical",
        extend="both" if bar.clipped else "neither",
        extendfrac=0.04,
    )
    low, high = bar.ends
    drawn.set_ticks([-1, 0, 1], labels=[low, "0", high])
    drawn.set_label(bar.label, size=SMALL, color=SOFT)
    drawn.outline.set(edgecolor=FAINT, linewidth=0.6)
    axes.tick_params(labelsize=SMALL, labelcolor=SOFT, length=0, pad=3)


def signed(value: float) -> str:
    """A short number with its sign, and a minus as wide as the plus."""
    return f"{value:+.2g}".replace("-", "\u2212") if value else "0"
