"""One attribution as a picture, alone or over the image it explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from .._errors import check_real
from ._colors import Colors, colormap, scale_bar, veil, veil_map
from ._panels import Panel, compose
from ._pictures import attribution_batch, attribution_like, image_batch
from ._values import Array, Channels, scaled, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def heatmap(
    attribution: ArrayLike,
    *,
    title: str | Sequence[str] | None = None,
    percentile: float = 99.0,
    cmap: Colors = None,
    colorbar: bool = True,
    channels: Channels = "sum",
) -> Figure:
    r"""Draw an attribution in colours: red for, blue against, white for nothing.

    The colour of a pixel stands for $\mathrm{clip}(a / s, -1, 1)$ with $s$ the percentile of $|a|$,
    so the scale is symmetric and zero is always the neutral colour. See `normalize`.

    Args:
        attribution: `(H, W)` or `(H, W, C)`; or a batch `(N, H, W)` or `(N, H, W, C)`, drawn as a
            row of at most 32 pictures, each with a scale of its own.
        title: a title, or one for each picture of a batch.
        percentile: which percentile of $|a|$ has the full colour, in (0, 100]; the colour bar is
            pointed if values lie beyond it.
        cmap: a diverging matplotlib colour map or its name; None for blue, white, red.
        colorbar: whether to draw the colour bar, which says what the full colour stands for.
        channels: how channels become one number: `"sum"`, `"mean"`, `"norm"` or `"max_abs"`.

    Returns:
        A matplotlib figure; its first axes hold the pictures, the last one the colour bar.

    Raises:
        TypeError: `attribution` is not one concrete array of real numbers.
        ValueError: it holds NaN or infinity or has another rank, or an option is out of range.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> figure = plot.heatmap(jnp.linspace(-1.0, 2.0, 12).reshape(3, 4), title="saliency")
        >>> figure.axes[0].images[0].get_clim()
        (-1.0, 1.0)

    Notes:
        - Three axes are `(H, W, C)` if the last has at most 4 entries, else `(N, H, W)`. To say it
          yourself: `attribution[None]` for one picture, `attribution[..., None]` for a batch.
        - Colours of two pictures do not compare sizes: each is relative to its own scale.
        - In a notebook, run `%matplotlib inline` once to see returned figures.
    """
    pictures, batched = attribution_batch(attribution, "attribution", channels)
    parts = [scaled(picture, percentile) for picture in pictures]
    heading, titles = _titles(title, len(parts))
    row = [Panel(part.values, name) for part, name in zip(parts, titles, strict=True)]
    bar = scale_bar(parts) if colorbar else None
    return compose([row], colormap(cmap), bar=bar, heading=heading)


def overlay(
    image: ArrayLike,
    attribution: ArrayLike,
    *,
    alpha: float = 0.6,
    gray: bool = True,
    title: str | Sequence[str] | None = None,
    percentile: float = 99.0,
    cmap: Colors = None,
    colorbar: bool = True,
    channels: Channels = "sum",
) -> Figure:
    r"""Draw an attribution over the image it explains, which shows through where it is small.

    With $v$ the normalized attribution, a pixel is covered by the colour of its sign with opacity
    $\alpha |v|$: the picture is untouched where the attribution is zero.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`, as uint8 or as floats in [0, 1]; or a batch.
        attribution: the same height and width, `(H, W)` or `(H, W, C)`; of a batch, a batch.
        alpha: opacity of the largest attributions, in [0, 1].
        gray: whether to draw the image in gray, so that every colour is attribution.
        title: a title, or one for each picture of a batch.
        percentile: which percentile of the magnitudes has the full colour, in (0, 100].
        cmap: a diverging matplotlib colour map or its name; None for blue, white, red.
        colorbar: whether to draw the colour bar, which says what the full colour stands for.
        channels: how channels become one number: `"sum"`, `"mean"`, `"norm"` or `"max_abs"`.

    Returns:
        A matplotlib figure; its first axes hold the pictures, the last one the colour bar.

    Raises:
        TypeError: an argument is not one concrete array of real numbers.
        ValueError: the image has another range or the attribution another size, the attribution
            holds NaN or infinity, or an option is out of range.
        ImportError: matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import plot
        >>> image = jnp.full((8, 8, 3), 0.5)
        >>> figure = plot.overlay(image, jnp.eye(8), title="eye")
        >>> len(figure.axes)
        2

    Notes:
        - Pass the picture a person would look at, not the preprocessed input of the network:
          `image * std + mean` undoes a normalization.
        - The image is drawn a little paler than it is, so that colours show on dark parts.
    """
    images, batched = image_batch(image)
    check_real("alpha", alpha, low=0, high=1)
    size = images.shape[:-1] if batched else images.shape[1:-1]
    values = attribution_like(attribution, size, "attribution", channels, of="image")
    parts = [scaled(picture, percentile) for picture in values.reshape(images.shape[:-1])]
    heading, titles = _titles(title, len(parts))
    colors = colormap(cmap)
    row = [
        Panel(veil(_pale(base, gray), part.values, colors, alpha), name)
        for base, part, name in zip(images, parts, titles, strict=True)
    ]
    bar = scale_bar(parts) if colorbar else None
    return compose([row], veil_map(colors, alpha), bar=bar, heading=heading)


def _titles(title: str | Sequence[str] | None, count: int) -> tuple[str, list[str]]:
    """A heading over all panels, and the title of each."""
    if title is None or isinstance(title, str):
        return ("", [title or ""]) if count == 1 else (title or "", [""] * count)
    titles = words(title, "title")
    if len(titles) != count:
        raise ValueError(
            f"title has {len(titles)} entries for {count} pictures; expected one str for all of "
            "them, or as many as there are pictures."
        )
    return "", titles


def _pale(image: Array, gray: bool) -> Array:
    """The image, in gray if so wanted, lifted a little towards white."""
    if gray:
        # The eye's weights for red, green and blue (ITU-R BT.601).
        image = np.broadcast_to((image @ [0.299, 0.587, 0.114])[..., None], image.shape)
    return 0.2 + 0.8 * image
