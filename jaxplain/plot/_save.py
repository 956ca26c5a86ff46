"""Write a figure to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Without its date, the same figure is the same file.
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def save(figure: Figure, path: str | os.PathLike[str], *, dpi: float = 200.0) -> Path:
    """Write a figure to a PNG, SVG or PDF file, as the suffix of the path says.

    Missing parent folders are created. Empty margins are cut off, and no date is stored.

    Args:
        figure: what a function of this module returned, or any matplotlib figure.
        path: where to write, with suffix `.png`, `.svg` or `.pdf`; an existing file is replaced.
        dpi: dots per inch of a PNG, and of pictures inside an SVG or PDF.

    Returns:
        The path written to.

    Raises:
        TypeError: `figure` is not a matplotlib figure.
        ValueError: the suffix is another one.

    Example:
        >>> import tempfile
        >>> from jaxplain import plot
        >>> figure = plot.bars(["age", "income"], [0.3, -0.1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot.save(figure, f"{folder}/figures/bars.png").name
        'bars.png'

    Notes:
        At 200 dots per inch a panel is a few hundred dots wide; for a larger printed picture, save
        a PDF or raise `dpi`.
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(
            f"figure is a {type(figure).__name__}; expected a matplotlib figure. "
            "Type save(heatmap(attribution), path): the figure goes first."
        )
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in METADATA:
        raise ValueError(
            f"path is {str(target)!r}, with suffix {suffix!r}; expected one of "
            f"{', '.join(METADATA)}, for example {target.stem or 'figure'}.png."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=dpi, bbox_inches="tight", pad_inches=0.05, metadata=METADATA[suffix])
    return target
