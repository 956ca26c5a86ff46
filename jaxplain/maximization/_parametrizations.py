"""What the ascent moves: the input itself, or a code that the input is computed from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import is_concrete
from .._types import PyTree
from ..baselines import constant

Map = Callable[[PyTree], PyTree]


@dataclasses.dataclass(frozen=True)
class Parametrization:
    r"""The variable of an ascent, $c$, and how it makes an input, $x = \mathrm{decode}(c)$.

    Args:
        encode: `encode(start) -> code`, a pytree of floating arrays; in the dtype of `start`.
        decode: `decode(code) -> x`, differentiable; in the dtype of `code`.
        project: `project(code) -> code`, applied after each step: the nearest code that is allowed.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> from jaxplain.parametrizations import Parametrization
        >>> positive = Parametrization(encode=jnp.log, decode=jnp.exp, project=lambda code: code)
        >>> f = lambda x: -jnp.sum((x - 3) ** 2)
        >>> maximize = jaxplain.maximize_activation(f, parametrization=positive)
        >>> maximize(jnp.array([1.0, 2.0])).round(2)
        Array([3., 3.], dtype=float32)
    """

    encode: Map
    decode: Map
    project: Map


def pixels(bounds: tuple[Any, Any] | None = None) -> Parametrization:
    r"""The input itself, clipped into bounds after each step: projected gradient ascent.

    $x \leftarrow \min(\max(x + \Delta x, l), h)$. The start is clipped too.

    Args:
        bounds: the least and the greatest value, `(low, high)`, each a number, or one per channel
            of the last axis, in the units of the input; None for no bounds.

    Returns:
        A `Parametrization`.

    Raises:
        ValueError: `bounds` is no pair, or `low` is not below `high`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(x * jnp.array([1.0, -1.0]))
        >>> inside = jaxplain.parametrizations.pixels((0, 1))
        >>> jaxplain.maximize_activation(f, parametrization=inside)(jnp.full(2, 0.5))
        Array([1., 0.], dtype=float32)
    """
    if bounds is None:
        return Parametrization(_same, _same, _same)
    low, high = checked_bounds(bounds)

    def clip(x: PyTree) -> PyTree:
        return jax.tree.map(jnp.clip, x, constant(x, low), constant(x, high))

    return Parametrization(clip, _same, clip)


def code(g: Map) -> Parametrization:
    r"""The code of a generator, $x = g(z)$: only inputs that it can make.

    The ascent moves $z$ and starts from it: `maximize(z)` takes a code, and returns `g(z)`.

    Args:
        g: any differentiable function from a code to an input, such as the decoder of an
            autoencoder or the generator of a GAN, of one example.

    Returns:
        A `Parametrization`.

    Raises:
        TypeError: `g` is not a function.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> circle = lambda z: jnp.array([jnp.cos(z), jnp.sin(z)])
        >>> f = lambda x: x[0] + x[1]
        >>> on_circle = jaxplain.parametrizations.code(circle)
        >>> jaxplain.maximize_activation(f, parametrization=on_circle)(jnp.array(0.0)).round(3)
        Array([0.707, 0.707], dtype=float32)

    Notes:
        Penalties are functions of $x$. A penalty on the code itself, the prior of the generator for
        instance, is `jaxplain.penalties.on_code(jaxplain.penalties.l2(0.1))`.

    References:
        Nguyen et al. 2016, Synthesizing the preferred inputs for neurons in neural networks via
        deep generator networks, arXiv:1605.09304.
    """
    if not callable(g):
        raise TypeError(f"code(g) takes a function from a code to an input, but g is {g!r}.")
    return Parametrization(_same, g, _same)


def checked_parametrization(value: Any) -> Parametrization:
    """`value`, the input itself if None; raise unless it is a parametrization."""
    if value is None:
        return pixels()
    if isinstance(value, Parametrization):
        return value
    hint = (
        f" Call it: {value.__name__}(...)."
        if getattr(value, "__module__", "").startswith(__package__)
        else " Wrap a generator g in jaxplain.parametrizations.code(g)."
        if callable(value)
        else ""
    )
    raise TypeError(
        f"parametrization={value!r} must be a Parametrization, such as "
        f"jaxplain.parametrizations.pixels((0, 1)), fourier() or code(g).{hint}"
    )


def checked_bounds(bounds: Any) -> tuple[Any, Any]:
    """The least and the greatest value; raise unless one is below the other."""
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ValueError(f"bounds={bounds!r} must be a pair, (low, high).")
    low, high = bounds
    if is_concrete(low) and is_concrete(high) and not np.all(np.less(low, high)):
        raise ValueError(f"bounds={bounds!r} must be (low, high) with low below high.")
    return low, high


def _same(tree: PyTree) -> PyTree:
    return tree
