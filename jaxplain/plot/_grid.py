"""Several methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jax.typing import ArrayLike

from .._errors import check_count
from ._colors import Colors, colormap, scale_bar
from ._panels import Panel, compose
from ._pictures import attribution_batch, attribution_like, image_batch
from ._values import Array, Channels, Scaled, check_keys, named, scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 6


def grid(
    image: ArrayLike | None,
    attributions: Mapping[str, ArrayLike],
    *,
    columns: int | None = None,
    percentile: float = 99.0,
    cmap: Colors = None,
    colorbar: bool = True,
    channels: Channels = "sum",
    captions: Mapping[str, str] | None = None,
) -> Figure:
    r"""Draw what several methods say about one image, or about each image of a batch.

    The image comes first, then one panel for each method. Each panel is divided by its own scale,
    the percentile of its $|a|$, so that methods with different units can be compared in shape; the
    one colour bar counts in shares of that scale.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`, as uint8 or as floats in [0, 1]; a batch of
            these, drawn as one row each; or None to draw no image.
        attributions: for each title, an attribution of the height and width of the image,
            `(H, W)` or `(H, W, C)`; of a batch, a batch.
        columns: number of panels in a row for a single image, the image included; by default at
            most 6, in rows of equal length.
        percentile: which percentile of $|a|$ has the full colour, in (0, 100].
        cmap: a diverging matplotlib colour map or its name; None for blue, white, red.
        colorbar: whether to draw the colour bar.
        channels: how channels become one number: `"sum"`, `"mean"`, `"norm"` or `"max_abs"`.
        captions: for some titles, a line below the panel, such as its residual and its time.

    Returns:
        A matplotlib figure; its first axes hold the panels row by row, the last the colour bar.

    Raises:
        TypeError: an argument is not one concrete array of real numbers.
        ValueError: there is no attribution, or one has another size than the image or holds NaN or
            infinity; a caption has no panel; or an option is out of range.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import plot
        >>> image = jax.random.uniform(jax.random.key(0), (8, 8, 3))
        >>> methods = {"gradient": image - 0.5, "gradient x input": (image - 0.5) * image}
        >>> figure = plot.grid(image, methods, captions={"gradient": "2 ms"})
        >>> [len(axes.images) for axes in figure.axes[:3]]
        [1, 1, 1]

    Notes:
        - Two panels of one strength of colour need not hold numbers of one size.
        - Enlarge a coarse map first: `jax.image.resize(cam, image.shape[:2], "bilinear")`.
    """
    images, batched, values = _read(image, attributions, channels)
    check_keys(captions, "captions", attributions)
    parts = {
        name: [scaled(picture, percentile) for picture in pictures]
        for name, pictures in values.items()
    }
    rows = _rows(images, parts, captions or {})
    if not batched:
        rows = _folded(rows[0], columns)
    elif columns is not None:
        raise ValueError(
            f"columns={columns!r} folds the panels of one image, but here each of the "
            f"{len(rows)} images has a row. Leave columns out, or pass one image."
        )
    every = [part for panels in parts.values() for part in panels]
    bar = scale_bar(every) if colorbar else None
    return compose(rows, colormap(cmap), bar=bar)


def _read(
    image: ArrayLike | None, attributions: Mapping[str, ArrayLike], channels: Channels
) -> tuple[Array | None, bool, dict[str, Array]]:
    """The images, whether they are a batch, and the attributions as `(N, H, W)`."""
    names = list(named(attributions, "attributions"))
    if image is None:
        of = f"attributions[{names[0]!r}]"
        first, batched = attribution_batch(attributions[names[0]], of, channels)
        images, shape = None, first.shape
    else:
        of = "image"
        images, batched = image_batch(image)
        shape = images.shape[:-1]
    size = shape if batched else shape[1:]
    return (
        images,
        batched,
        {
            name: attribution_like(
                attributions[name], size, f"attributions[{name!r}]", channels, of=of
            ).reshape(shape)
            for name in names
        },
    )


def _rows(
    images: Array | None, parts: Mapping[str, Sequence[Scaled]], captions: Mapping[str, str]
) -> list[list[Panel]]:
    """One row of panels for each example: titles above the first, captions below the last."""
    count = len(next(iter(parts.values())))
    rows = []
    for i in range(count):
        row = [] if images is None else [Panel(images[i], "" if i else "image")]
        for name, panels in parts.items():
            caption = captions.get(name, "") if i == count - 1 else ""
            row.append(Panel(panels[i].values, "" if i else name, caption))
        rows.append(row)
    return rows


def _folded(panels: list[Panel], columns: int | None) -> list[list[Panel]]:
    if columns is None:
        rows = -(-len(panels) // MOST_COLUMNS)
        columns = -(-len(panels) // rows)
    check_count("columns", columns)
    return [panels[i : i + columns] for i in range(0, len(panels), columns)]
