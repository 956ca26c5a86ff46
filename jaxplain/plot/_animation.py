"""Figures one after the other: a moving picture."""

from __future__ import annotations

import importlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_real
from ._pictures import image_batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Frame: TypeAlias = "Figure | ArrayLike"
COLORS = 256  # what a GIF can hold in a frame
TICK = 100  # a GIF counts time in hundredths of a second


def animate(
    frames: Iterable[Frame],
    path: str | os.PathLike[str],
    *,
    fps: float = 5.0,
    hold: float = 1.0,
    dpi: float = 100.0,
    loop: bool = True,
) -> Path:
    """Write figures, or pictures, one after the other to an animated GIF.

    Each frame is drawn, written and let go before the next is asked for: pass a generator, and
    memory does not grow with their number. Each has 256 colours of its own. Missing parent folders
    are created, and an existing file is replaced once all frames are there.

    Args:
        frames: an iterable of matplotlib figures, or of pictures `(H, W)`, `(H, W, 1)` or
            `(H, W, 3)`, as uint8 or as floats in [0, 1]; all of one size in dots.
        path: where to write, with suffix `.gif`.
        fps: frames per second, from 0.1 to 50; a GIF rounds the time of a frame to 0.01 s.
        hold: for how many seconds the last frame stays, up to 600.
        dpi: dots per inch of figures, whose whole page is drawn, margins included.
        loop: whether it begins again after the end.

    Returns:
        The path written to.

    Raises:
        TypeError: `frames` cannot be iterated, or a frame is neither a figure nor a picture.
        ValueError: there are no frames, their sizes differ, the suffix is another one, or an option
            is out of range.
        ImportError: Pillow, which comes with matplotlib, is not installed.

    Example:
        >>> import tempfile
        >>> from jaxplain import plot
        >>> frames = (plot.bars(["age", "income"], [0.1 * i, -0.3]) for i in range(1, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot.animate(frames, f"{folder}/bars.gif", fps=2).name
        'bars.gif'

    Notes:
        - Figures of this module fit their size to their text: give all frames the same titles and
          captions, or wide enough ones.
        - Scales of colours and axes are those of each figure. Fix them, or they jump.
        - A browser shows frames of less than 0.02 s more slowly.
    """
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise ValueError(
            f"path is {str(target)!r}, with suffix {target.suffix!r}; expected .gif, for example "
            f"{target.stem or 'animation'}.gif."
        )
    check_real("fps", fps, low=0.1, high=50)
    check_real("hold", hold, low=0, high=600)
    check_real("dpi", dpi, low=1)
    pictures = _pictures(frames, dpi)
    last = max(round(hold * TICK), round(TICK / fps))

    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that nothing is lost or half written if a frame cannot be drawn.
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            _write(file, pictures, round(TICK / fps), last, loop)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _pictures(frames: Iterable[Frame], dpi: float) -> Iterator[Any]:
    """The frames in the colours of a GIF, of one size."""
    image = _pillow("PIL.Image")
    if hasattr(frames, "savefig") or not isinstance(frames, Iterable):
        raise TypeError(
            f"frames is a {type(frames).__name__}; expected several figures or pictures. "
            "Type animate([first, second], path), or pass a generator."
        )

    def pictures() -> Iterator[Any]:
        size = None
        for number, frame in enumerate(frames):
            picture = _of_figure(image, frame, dpi) or image.fromarray(_pixels(frame, number))
            size = size or picture.size
            if picture.size != size:
                raise ValueError(
                    f"frame {number} has {picture.width} x {picture.height} dots, the first has "
                    f"{size[0]} x {size[1]}; expected one size. Titles and captions of one length "
                    "keep a figure's size."
                )
            yield picture.quantize(COLORS, dither=image.Dither.NONE)

    return pictures()


def _of_figure(image: Any, frame: Any, dpi: float) -> Any:
    """A figure as a picture of Pillow; None if it is no figure."""
    if not hasattr(frame, "savefig"):
        return None
    buffer = io.BytesIO()
    frame.savefig(buffer, format="png", dpi=dpi)
    return image.open(buffer).convert("RGB")


def _pixels(frame: Any, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One picture as bytes, (H, W, 3)."""
    if isinstance(frame, str) or not hasattr(frame, "__array__"):
        raise TypeError(
            f"frame {number} is a {type(frame).__name__}; expected a matplotlib figure, or an "
            "array (H, W) or (H, W, 3)."
        )
    images, batched = image_batch(frame)
    if batched:
        raise ValueError(
            f"frame {number} has shape {np.shape(frame)}, a batch; expected one picture. "
            "Type animate(batch, path) to show a batch one by one."
        )
    return np.asarray(np.round(images[0] * 255), np.uint8)


def _write(file: BinaryIO, pictures: Iterator[Any], time: int, last: int, loop: bool) -> None:
    """A GIF frame by frame: Pillow itself would keep all of them until the end."""
    gif = _pillow("PIL.GifImagePlugin")
    # Animated files begin with the colours of the first frame; each then brings its own.
    first = next(pictures, None)
    if first is None:
        raise ValueError("frames is empty; expected at least one figure or picture.")
    header = gif.getheader(first.copy(), info={"loop": 0} if loop else {"comment": b" "})[0]
    file.writelines(header)
    before = first
    for picture in itertools.chain(pictures, [None]):
        duration = 10 * (last if picture is None else time)  # in milliseconds
        file.writelines(gif.getdata(before, duration=duration, include_color_table=True))
        before = picture
    file.write(b";")


def _pillow(module: str) -> Any:
    """A module of Pillow, imported when it is first needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "plot.animate writes GIFs with Pillow, which cannot be imported here; it comes with "
            'matplotlib. Type: pip install "jaxplain[plot]"'
        ) from error
