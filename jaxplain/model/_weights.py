"""Deep filters seen at the input: the linear part of a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _compat
from .._batch import stack
from .._call import bind_function, named
from .._errors import check_choice, check_chunk, is_concrete
from .._tree import describe
from .._types import Argnums, Attribution, PyTree
from ..backprop._assign import assign
from ..backprop._composite import preset
from ..backprop._modified import backward
from ..backprop._passing import Follow, Pass, Uniform
from ..backprop._rule import Rule
from ..program._cut import cut
from ..program._locate import checked_path
from ..program._ops import Kind
from ..program._sites import Grouped, Site


@dataclasses.dataclass(frozen=True)
class _Held(Follow):
    """The derivative of a normalisation with the scale that it has."""

    kinds = Kind.NORMALIZATION


# The maxima whose candidates are known: not those of a scatter, which depend on indices.
_MAXIMA = (
    *("max", "min", "reduce_max", "reduce_min", "cummax", "cummin"),
    *("reduce_window_max", "reduce_window_min"),
)


def _is_mean(site: Site) -> bool:
    return site.kind is Kind.MAX and site.primitive in _MAXIMA


_LINEAR_PART = preset(
    [(Kind.ELEMENTWISE, Pass()), (_is_mean, Uniform()), (Kind.NORMALIZATION, _Held())]
)
_WITHOUT = (
    Kind.PRODUCT | Kind.DIVISION | Kind.SOFTMAX | Kind.LOG_SOFTMAX | Kind.LOGSUMEXP | Kind.UNKNOWN
)


def effective_weights(
    f: Any,
    *,
    at: str,
    units: int | Sequence[int] | None = None,
    position: int | Sequence[int] | None = None,
    missing: str = "error",
    chunk: int | None = None,
    argnums: Argnums = 0,
) -> Attribution:
    r"""The weights that the units of a layer would have at the input, were the network linear.

    $\hat W_u = \partial \ell_u(x) / \partial x$, where $\ell$ is the network up to the layer with
    each activation replaced by the identity, each maximum by the mean of its candidates, and the
    scale of each normalisation held at what it is at $x$. For $h = \sigma(\sigma(x W_1) W_2)$ it is
    $(W_1 W_2)^\top$, for convolutions the convolution of their kernels.

    Args:
        f: a function `f(x, *args)` of one example; any output, logits for instance.
        at: the path of a layer, with globs, as for `cut`. Its value has its units (channels) on
            the last axis; axes before it are positions.
        units: the unit, or several; None for all.
        position: which position of the layer, an integer for each axis of positions (leading axes
            of size 1 may be left out); None for the middle, `n // 2` of n.
        missing: what to do with steps that have no linear part, products of two activations and
            softmax for instance: `"error"`, or `"gradient"` to use their own derivative at `x`.
        chunk: at most this many units are sent back at once; None for all of them.
        argnums: the argument (or arguments) whose weights are wanted, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns an array `(units, *x.shape)` (a pytree
        like `x`, each leaf with the axis of units in front), in units of the layer per unit of `x`.

    Raises:
        ValueError: an option is invalid; when called, if no value or several have that name, or
            the layer has other positions.
        IndexError: when called, if the layer has no such unit or position.
        NotImplementedError: when called, if steps have no linear part.
        TypeError: `at` is not a string, or `units` or `position` are not integers; when called, if
            `x` or the layer's value is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     h = jax.nn.relu(x @ jnp.array([[1.0, -1.0], [0.0, 2.0]]))
        ...     with jax.named_scope("second"):
        ...         h = jax.nn.relu(h @ jnp.array([[1.0, 3.0], [1.0, 1.0]]))
        ...     return h.sum()
        >>> jaxplain.effective_weights(f, at="second")(jnp.zeros(2))
        Array([[0., 2.],
               [2., 2.]], dtype=float32)

    Notes:
        - This is a picture of the weights, not an explanation of an output: it does not ask which
          units are on, so a unit need not answer to its picture. The gradient of the unit,
          `jax.grad(jaxplain.neuron(f, at=at, index=unit))`, asks that at one `x`, and maximizing
          the activation looks for an input that does drive it.
        - The more layers there are, the less the linear part says: what activations would have cut
          off is added and cancels.
        - `x` gives shapes, and the scales of normalisations. Without those, and without data that
          are sorted or chosen by their size, the result is the same for all `x`.
        - Any function of one value, element by element, counts as an activation, also a square.
        - `weight_grid(weights, axis=0)` draws the result. A deep unit of a convolution sees a part
          of the input alone; the rest is zero.

    References:
        Erhan, Bengio, Courville and Vincent 2009, Visualizing higher-layer features of a deep
        network, Technical Report 1341, University of Montreal (linear combination of the filters
        of the layers before).
    """
    checked_path(at)
    check_choice("missing", missing, ("error", "gradient"))
    check_chunk(chunk)
    chosen = _checked_units(units)
    place = _checked_position(position)

    def choose(grouped: Grouped) -> dict[Site, Rule]:
        lost = [site for site in grouped.all_sites() if _has_no_linear_part(site)]
        if lost and missing == "error":
            raise NotImplementedError(_explain_lost(lost, at))
        return assign(grouped, _LINEAR_PART, Rule)

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        function, x = bind_function(f, args, kwargs, argnums)
        bottom, _ = cut(function, at=at)
        like = jax.eval_shape(bottom, x)
        if not jnp.issubdtype(like.dtype, jnp.floating):
            raise TypeError(
                f"The value at '{at}' is {describe(like, 'h')}: it has no weights. Choose a value "
                "of floating-point numbers."
            )
        where = _place(place, like.shape[:-1], at)
        count = like.shape[-1] if like.shape else 1
        rows = np.arange(count) if chosen is None else _within(chosen, count, at)

        def weights_of(unit: jax.Array) -> PyTree:
            def value(x: PyTree) -> jax.Array:
                result: jax.Array = jnp.atleast_1d(bottom(x))[(*where, unit)]
                return result

            return backward(value, x, choose)

        return stack(weights_of, jnp.asarray(rows, jnp.int32), chunk=chunk)

    return named(explain, "effective_weights", f)


def _has_no_linear_part(site: Site) -> bool:
    """Whether a step is not linear even if all activations pass."""
    # A call that is closed was looked into before, when all were open.
    closed = _compat.custom_call(site.equations[0].eqn) is not None
    return (site.kind in _WITHOUT or (site.kind is Kind.MAX and not _is_mean(site))) and not closed


def _explain_lost(lost: list[Site], at: str) -> str:
    lines = [f"  {site.primitive} in '{site.label}'" for site in lost]
    return (
        f"{len(lost)} step(s) between the input and '{at}' have no linear part:\n"
        + "\n".join(dict.fromkeys(lines))
        + "\nChoose an earlier layer, explain from a later value on (cut the model there), or pass "
        "missing='gradient' to use their own derivative at x."
    )


def _checked_units(units: Any) -> np.ndarray | None:
    """The numbers of the units, `(n,)`."""
    if units is None:
        return None
    if not all(is_concrete(leaf) for leaf in jax.tree.leaves(units)):
        raise TypeError("units must be known when the function is made: they may not be traced.")
    chosen = np.atleast_1d(np.asarray(units))
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise TypeError(f"units={units!r} must be an integer or several.")
    return chosen


def _within(chosen: np.ndarray, count: int, at: str) -> np.ndarray:
    if not np.all((-count <= chosen) & (chosen < count)):
        raise IndexError(f"units={chosen.tolist()} for '{at}', which has {count} units.")
    return chosen % count


def _checked_position(position: Any) -> tuple[int, ...] | None:
    if position is None:
        return None
    numbers = position if isinstance(position, tuple | list) else (position,)
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers):
        raise TypeError(f"position={position!r} must be an integer, or one for each axis.")
    return tuple(int(n) for n in numbers)


def _place(position: tuple[int, ...] | None, shape: tuple[int, ...], at: str) -> tuple[int, ...]:
    """The position as an index into axes of this shape."""
    if position is None:
        return tuple(n // 2 for n in shape)
    left_out = len(shape) - len(position)
    if left_out < 0 or any(n != 1 for n in shape[:left_out]):
        raise ValueError(
            f"position={position!r} for '{at}', whose positions are {shape}: give an integer for "
            "each axis."
        )
    where = (*(0,) * left_out, *position)
    if not all(-n <= p < n for p, n in zip(where, shape, strict=True)):
        raise IndexError(f"position={position!r} for '{at}', whose positions are {shape}.")
    return tuple(p % n for p, n in zip(where, shape, strict=True))
