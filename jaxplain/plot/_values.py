"""From what the user passes to checked and scaled numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from .._errors import check_choice, is_concrete

Array: TypeAlias = NDArray[np.float64]
Channels: TypeAlias = Literal["sum", "mean", "norm", "max_abs"]


class Scaled(NamedTuple):
    """Values in [-1, 1], the number that was mapped to 1, and whether any value was clipped."""

    values: Array
    scale: float
    clipped: bool


def normalize(
    attribution: ArrayLike, percentile: float = 99.0, channels: Channels = "sum"
) -> Array:
    r"""Scale one attribution to a picture in [-1, 1], as every picture here is scaled.

    Channels are reduced to one number $a$ per pixel, then the picture is
    $\mathrm{clip}(a / s, -1, 1)$ with $s$ the given percentile of $|a|$. Zero stays zero and signs
    stay signs: nothing is shifted.

    Args:
        attribution: one attribution, `(H, W)` or `(H, W, C)`.
        percentile: which percentile of the absolute values becomes 1, in (0, 100]. Larger values
            are clipped, so that a few outliers do not hide the rest.
        channels: how C channels become one number: `"sum"` (keeps completeness), `"mean"`,
            `"norm"` (Euclidean, never negative), or `"max_abs"` (the one of largest magnitude,
            with its sign).

    Returns:
        A numpy array `(H, W)` in float64; all zeros if the attribution is.

    Raises:
        TypeError: `attribution` is not one concrete array of real numbers.
        ValueError: it holds NaN or infinity or has another rank, or an option is out of range.

    Example:
        >>> import numpy as np
        >>> from jaxplain import plot
        >>> plot.normalize(np.array([[-4.0, 0.0], [1.0, 2.0]]), percentile=100)
        array([[-1.  ,  0.  ],
               [ 0.25,  0.5 ]])

    Notes:
        - Where the percentile itself is zero (a sparse attribution), it is taken over the nonzero
          values instead, so that they remain visible.
        - A batch would share one scale; use `[normalize(a) for a in attributions]`.
    """
    values = numbers(attribution, "attribution")
    if values.ndim not in (2, 3):
        raise ValueError(
            f"attribution has shape {values.shape}; expected one picture, (H, W) or (H, W, C). "
            "For a batch, type [normalize(a) for a in attribution]."
        )
    return scaled(reduce_channels(values, channels, rank=2), percentile).values


def scaled(values: Array, percentile: float) -> Scaled:
    """Divide by a percentile of the absolute values, and clip to [-1, 1]."""
    check_percentile(percentile)
    magnitudes = np.abs(values)
    largest = float(magnitudes.max())
    if largest == 0:
        return Scaled(np.zeros_like(values), 0.0, False)
    scale = float(np.percentile(magnitudes, percentile))
    if scale == 0:
        scale = float(np.percentile(magnitudes[magnitudes > 0], percentile))
    # Clipped before the division, which could overflow for an outlier over a tiny scale.
    return Scaled(np.clip(values, -scale, scale) / scale, scale, largest > scale)


def reduce_channels(values: Array, channels: Channels, *, rank: int) -> Array:
    """Reduce the last axis to one number, unless `values` already has this rank."""
    check_choice("channels", channels, get_args(Channels))
    if values.ndim == rank:
        return values
    if channels == "max_abs":
        largest = np.abs(values).argmax(axis=-1, keepdims=True)
        return np.take_along_axis(values, largest, axis=-1)[..., 0]
    if channels == "norm":
        norm: Array = np.hypot.reduce(values, axis=-1, initial=0.0)  # squares could overflow
        return norm
    total: Array = values.sum(axis=-1)
    return total / values.shape[-1] if channels == "mean" else total


def numbers(value: Any, name: str) -> Array:
    """One concrete array of finite real numbers, in float64."""
    if not is_concrete(value):
        raise TypeError(
            f"{name} is traced by JAX ({value.aval}), but a picture needs concrete numbers. "
            "Return it from the transformed function and draw it outside."
        )
    array = _real(value)
    if array is None:
        given = f"has dtype {value.dtype}" if hasattr(value, "dtype") else f"is {value!r:.60}"
        raise TypeError(
            f"{name} {given}; expected one array of real numbers. "
            "Of a pytree, pass one leaf; of complex numbers, .real or abs()."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty, with shape {array.shape}; expected at least one value.")
    _check_finite(array, name)
    return array


def _real(value: Any) -> Array | None:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    number = array.dtype == bool or jnp.issubdtype(array.dtype, np.number)
    if not number or jnp.issubdtype(array.dtype, np.complexfloating):
        return None
    return array.astype(np.float64)


def _check_finite(array: Array, name: str) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        nans = int(np.isnan(array).sum())
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} holds {nans} NaN and {int(bad.sum()) - nans} infinite values among "
            f"{array.size}, the first at index {first}; expected finite numbers. Find their origin "
            'with jax.config.update("jax_debug_nans", True), or draw jnp.nan_to_num of it.'
        )


def vector(value: Any, name: str, *, length: int, of: str) -> Array:
    """One finite number for each of `length` things, called `of` in messages."""
    array = numbers(value, name)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}; expected one number for each entry of {of}, "
            f"({length},). Reduce the other axes: {name}.sum(axis=-1), or take one example of a "
            f"batch: {name}[0]."
        )
    if len(array) != length:
        raise ValueError(
            f"{name} has {len(array)} entries and {of} has {length}; expected as many of both. "
            f"Cut off padding: {name}[:n], {of}[:n]."
        )
    return array


def spread(value: Any, name: str, *, length: int, of: str) -> Array:
    """A vector of error bars: numbers that are not negative."""
    array = vector(value, name, length=length, of=of)
    if array.min() < 0:
        raise ValueError(
            f"{name} has negative entries, the least {array.min():g}; expected half-widths of "
            f"error bars, such as standard errors. Type {name}=abs(...) of it, or jnp.sqrt of a "
            "variance."
        )
    return array


def words(values: Sequence[str], name: str) -> list[str]:
    """A list of strings; a single string is refused, since it would be read letter by letter."""
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError(
            f"{name} is {values!r:.60}; expected a sequence of str. "
            f"Type [str(v) for v in {name}], or text.split() of one string."
        )
    if not len(values):
        raise ValueError(f"{name} is empty; expected at least one str.")
    return list(values)


def check_percentile(percentile: float) -> None:
    """Raise unless the percentile can be a scale."""
    if isinstance(percentile, bool) or not isinstance(percentile, int | float | np.number):
        raise TypeError(
            f"percentile={percentile!r} is not a number; expected one in (0, 100], such as 99."
        )
    if not 0 < percentile <= 100:
        raise ValueError(
            f"percentile={percentile:g} is not in (0, 100]. Type percentile=100 to clip nothing, "
            "percentile=99 to clip the largest 1% (it is not a fraction)."
        )


def named(arrays: Mapping[str, ArrayLike], name: str) -> Mapping[str, ArrayLike]:
    """A mapping from str to arrays that is not empty."""
    if not isinstance(arrays, Mapping) or not all(isinstance(key, str) for key in arrays):
        raise TypeError(
            f"{name} is {arrays!r:.60}; expected a mapping from str to arrays. "
            'Type {"name": array}.'
        )
    if not arrays:
        raise ValueError(f'{name} is empty; expected at least one entry, as in {{"name": array}}.')
    return arrays


def check_keys(extra: Mapping[str, Any] | None, name: str, known: Mapping[str, Any]) -> None:
    """Raise unless every key of `extra` is one of the known."""
    for key in extra or {}:
        if key not in known:
            raise ValueError(
                f"{name} has an entry {key!r}; expected some of {', '.join(map(repr, known))}."
            )
