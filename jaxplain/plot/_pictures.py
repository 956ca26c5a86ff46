"""Which axes of an array are height, width, channels and batch; and whether two pictures match."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._values import Array, Channels, numbers, reduce_channels

MOST_CHANNELS = 4  # a 3-D attribution is (H, W, C) up to this C, else a batch (N, H, W)
MOST_EXAMPLES = 32


def attribution_batch(attribution: Any, name: str, channels: Channels) -> tuple[Array, bool]:
    """An attribution as pictures `(N, H, W)`, and whether it was a batch."""
    values = numbers(attribution, name)
    if values.ndim not in (2, 3, 4):
        raise ValueError(
            f"{name} has shape {values.shape}; expected (H, W), (H, W, C), (N, H, W) or "
            "(N, H, W, C). For features of a table use plot.bars, for tokens plot.text."
        )
    batched = values.ndim == 4 or (values.ndim == 3 and values.shape[-1] > MOST_CHANNELS)
    pictures = reduce_channels(values, channels, rank=2 + batched)
    _check_count(values, name, batched)
    return (pictures if batched else pictures[None]), batched


def attribution_like(
    attribution: Any, shape: tuple[int, ...], name: str, channels: Channels, *, of: str
) -> Array:
    """An attribution as pictures of exactly this shape, `(H, W)` or `(N, H, W)`."""
    values = numbers(attribution, name)
    if values.ndim in (len(shape), len(shape) + 1):
        pictures = reduce_channels(values, channels, rank=len(shape))
        if pictures.shape == shape:
            return pictures
    size = ", ".join(map(str, shape))
    raise ValueError(
        f"{name} has shape {values.shape}, but {of} is ({size}), channels aside; expected ({size}) "
        f"or ({size}, C). {_how_to_match(values.shape, shape, name)}"
    )


def _how_to_match(given: tuple[int, ...], shape: tuple[int, ...], name: str) -> str:
    if len(given) > len(shape) and given[-2:] == shape[-2:]:
        return f"Channels go last: jnp.moveaxis({name}, -3, -1); of a batch, take {name}[0]."
    if len(given) > len(shape) and given[1 : 1 + len(shape)] == shape:
        return f"Of a batch, take one: {name}[0]."
    return f'Resize it: jax.image.resize({name}, {shape}, "bilinear"), with channels at the end.'


def image_batch(image: Any) -> tuple[Array, bool]:
    """An image as RGB pictures `(N, H, W, 3)` in [0, 1], and whether it was a batch."""
    values = _unit_range(image)
    shape = values.shape
    if values.ndim in (3, 4) and shape[-1] == 4:
        raise ValueError(
            f"image has shape {shape}, with 4 channels; expected 1 or 3. "
            "Drop the alpha channel: image[..., :3]."
        )
    if values.ndim == 2 or (values.ndim == 3 and shape[-1] not in (1, 3)):
        values = values[..., None]
    if values.ndim not in (3, 4) or values.shape[-1] not in (1, 3):
        raise ValueError(
            f"image has shape {shape}; expected (H, W), (H, W, 1), (H, W, 3), or a batch of these. "
            "Channels go last: jnp.moveaxis(image, -3, -1)."
        )
    batched = values.ndim == 4
    _check_count(values, "image", batched)
    rgb = np.broadcast_to(values, (*values.shape[:-1], 3))
    return (rgb if batched else rgb[None]), batched


def _unit_range(image: Any) -> Array:
    values = numbers(image, "image")
    dtype, low, high = np.asarray(image).dtype, values.min(), values.max()
    if dtype == np.uint8:
        return values / 255
    integer = dtype.kind in "iub"
    # Resizing overshoots by rounding; anything larger is another convention.
    if integer or low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"image is {dtype} with values in [{low:g}, {high:g}]; expected uint8, or floats in "
            f"[0, 1]. {_advice(integer, low, high)}"
        )
    return np.clip(values, 0, 1)


def _advice(integer: bool, low: float, high: float) -> str:
    if low >= 0 and 1 < high <= 255:
        return 'Type image.astype("uint8").' if integer else "Type image / 255."
    if integer:
        return 'Type image.astype("float32") and scale it to [0, 1].'
    return "Undo the preprocessing: image * std + mean, or (image + 1) / 2 if it was in [-1, 1]."


def _check_count(values: Array, name: str, batched: bool) -> None:
    if batched and len(values) > MOST_EXAMPLES:
        raise ValueError(
            f"{name} has shape {values.shape}, a batch of {len(values)} pictures, and at most "
            f"{MOST_EXAMPLES} are drawn. Type {name}[:{MOST_EXAMPLES}]; or, if this is one picture "
            f"(H, W, C) with many channels, {name}[None]."
        )
