"""What is maximised inside a network: a channel, or a direction, of a named value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._call import named
from .._errors import check_choice, is_concrete
from .._tree import wide
from .._types import Model
from ..layers._layer import neuron


def _center(positions: jax.Array) -> jax.Array:
    return positions[tuple(size // 2 for size in positions.shape)]


OVER: dict[str, Callable[[jax.Array], jax.Array]] = {
    "mean": jnp.mean,
    "sum": jnp.sum,
    "max": jnp.max,
    "center": _center,
}


def activation(
    f: Callable[..., Any],
    *,
    at: str,
    channel: Any = None,
    direction: Any = None,
    over: str = "mean",
    axis: int = -1,
) -> Model:
    r"""The activation of a channel, or along a direction, as a score to maximise or explain.

    The mean over positions $p$ of $h_{pc}$, or of $\sum_c v_c h_{pc}$, with $h$ the value named
    `at`.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: the path of one value, with globs, as for `cut`.
        channel: which channel $c$, an integer; may be traced.
        direction: or a vector $v$ of shape (C,), such as the direction of a concept.
        over: `"mean"`, `"sum"` or `"max"` over the positions, or `"center"` for the one in the
            middle, place n // 2 of n.
        axis: the axis of the value that the channels lie on; all others are positions.

    Returns:
        A model with the arguments of `f`, `(x, *args) -> scalar`.

    Raises:
        ValueError: an option is invalid, not one of `channel` and `direction` is given; when
            called, no value or several have that name, or `direction` has another length.
        IndexError: when called, the value has no such axis or channel.
        TypeError: `at` is not a string.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jnp.tanh(x @ jnp.array([[1.0, 2.0], [0.0, 1.0]]))
        ...     return jnp.sum(h)
        >>> first = jaxplain.activation(f, at="hidden", channel=0)
        >>> second = jaxplain.activation(f, at="hidden", channel=1)
        >>> x = jnp.array([1.0, 0.0])
        >>> first(x).round(3), second(x).round(3)
        (Array(0.762, dtype=float32), Array(0.964, dtype=float32))

        Sums and differences are plain Python: what drives one and not the other?

        >>> apart = lambda x: second(x) - first(x)
        >>> jaxplain.maximize_activation(apart, steps=100)(x).shape
        (2,)
    """
    check_choice("over", over, OVER)
    if (channel is None) == (direction is None):
        raise ValueError("activation needs either channel=, an integer, or direction=, a vector.")

    def chosen(h: jax.Array) -> jax.Array:
        if not -h.ndim <= axis < h.ndim:
            raise IndexError(f"The value at '{at}' has shape {h.shape}, and no axis {axis}.")
        channels = jnp.moveaxis(h, axis, -1).astype(wide(h.dtype))
        if direction is None:
            return OVER[over](channels[..., _checked_channel(channel, channels.shape[-1], at)])
        return OVER[over](channels @ _checked_direction(direction, channels, at))

    return named(neuron(f, at=at, index=chosen), "activation", f)


def _checked_channel(channel: Any, count: int, at: str) -> Any:
    """The channel, unless it is out of range: then JAX would clamp it, and this raises."""
    if is_concrete(channel):
        if not isinstance(channel, int | np.integer) and not (
            np.ndim(channel) == 0 and np.asarray(channel).dtype.kind in "iu"
        ):
            raise IndexError(f"channel={channel!r} is no integer; a vector goes to direction=.")
        if not -count <= channel < count:
            raise IndexError(f"The value at '{at}' has {count} channels, and no channel {channel}.")
    return channel


def _checked_direction(direction: Any, channels: jax.Array, at: str) -> jax.Array:
    vector = jnp.asarray(direction, channels.dtype)
    if vector.shape != channels.shape[-1:]:
        raise ValueError(
            f"direction has shape {vector.shape}, but the value at '{at}' has "
            f"{channels.shape[-1]} channels: give a vector of that length, or another axis=."
        )
    return vector
