"""What an input should rather not be: functions of `x`, subtracted from the objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import baselines
from .._axes import checked_axes
from .._call import name_of
from .._errors import check_real
from .._tree import describe, map_wide, path_name, same_tree, total, wide, widen
from .._types import PyTree, Scalar

Penalty = Callable[[PyTree], Any]


def l2(weight: Scalar, towards: Any = 0.0) -> Penalty:
    r"""The squared distance to a point: $\lambda \, |x - x^0|^2$, summed over all elements.

    Args:
        weight: $\lambda$, at least 0, in units of the objective. May be traced.
        towards: $x^0$, a number, or a pytree like `x`: the mean of the data, say.

    Returns:
        A penalty, a function `x -> scalar`.

    Raises:
        ValueError: `weight` is negative; when called, `towards` has another tree or shape than `x`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> float(jaxplain.penalties.l2(0.5)(jnp.array([1.0, 3.0])))
        5.0
    """
    check_real("weight", weight, low=0)

    def penalty(x: PyTree) -> jax.Array:
        return _times(weight, _squared_distance(x, _like(towards, x)))

    return _called(penalty, "l2")


def total_variation(weight: Scalar, axes: tuple[int, ...] = (0, 1)) -> Penalty:
    r"""The differences between neighbours: $\lambda \sum_a \sum_p |x_{p + e_a} - x_p|$.

    Summed over the axes $a$ and all positions $p$ that have a neighbour (anisotropic). Where
    neighbours are equal, the derivative is 0.

    Args:
        weight: $\lambda$, at least 0, in units of the objective. May be traced.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        A penalty, a function `x -> scalar`.

    Raises:
        ValueError: `weight` is negative; when called, a leaf of `x` lacks one of the axes.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> step = jnp.array([[0.0, 1.0], [0.0, 1.0]])
        >>> float(jaxplain.penalties.total_variation(1.0)(step))
        2.0

    References:
        Mahendran and Vedaldi 2015, Understanding deep image representations by inverting them,
        arXiv:1412.0035.
    """
    check_real("weight", weight, low=0)

    def variation(path: Any, leaf: jax.Array) -> jax.Array:
        places = checked_axes(axes, leaf.shape, path_name(path))
        steps = (jnp.diff(leaf, axis=axis) for axis in places)
        # Not jnp.abs, whose derivative at 0 is 1: equal neighbours would be pulled apart.
        sizes = (total(step * jnp.sign(step)) for step in steps)
        return sum(sizes, start=jnp.zeros((), leaf.dtype))

    def penalty(x: PyTree) -> jax.Array:
        return _times(weight, total(jax.tree_util.tree_map_with_path(variation, widen(x))))

    return _called(penalty, "total_variation")


def blur(weight: Scalar, sigma: Scalar, axes: tuple[int, ...] = (0, 1)) -> Penalty:
    r"""The squared distance to a blurred copy: $\lambda \, |x - G_\sigma x|^2$.

    Args:
        weight: $\lambda$, at least 0, in units of the objective. May be traced.
        sigma: standard deviation of the Gaussian, in pixels. May be traced.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        A penalty, a function `x -> scalar`.

    Raises:
        ValueError: `weight` or `sigma` is negative; when called, a leaf of `x` lacks one of the
            axes.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> penalty = jaxplain.penalties.blur(1.0, sigma=1.0)
        >>> float(penalty(jnp.ones((4, 4)))) < 1e-6 < float(penalty(jnp.eye(4)))
        True
    """
    check_real("weight", weight, low=0)
    check_real("sigma", sigma, low=0)

    def penalty(x: PyTree) -> jax.Array:
        x = widen(x)
        return _times(weight, _squared_distance(x, baselines.blur(x, sigma, axes=axes)))

    return _called(penalty, "blur")


def expert(log_density: Callable[[PyTree], Any], weight: Scalar = 1.0) -> Penalty:
    r"""A model of the data: $-\lambda \log p(x)$.

    With $\log p(c \mid x)$ as the objective and weight 1, the ascent finds the most likely input of
    a class, $\max_x \log p(x \mid c)$, up to a constant.

    Args:
        log_density: any differentiable function `x -> scalar`: a Gaussian's, a mixture's, that of a
            network of densities; it need not be normalised.
        weight: $\lambda$, at least 0. May be traced.

    Returns:
        A penalty, a function `x -> scalar`.

    Raises:
        ValueError: `weight` is negative.
        TypeError: `log_density` is not a function, or, when called, does not return one real
            number.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> gaussian = lambda x: jnp.sum(jax.scipy.stats.norm.logpdf(x, loc=1.0))
        >>> f = lambda x: x @ jnp.array([2.0, -1.0])
        >>> penalty = jaxplain.penalties.expert(gaussian)
        >>> jaxplain.maximize_activation(f, penalties=[penalty])(jnp.zeros(2)).round(2)
        Array([3., 0.], dtype=float32)

    References:
        Montavon, Samek and Müller 2018, Methods for interpreting and understanding deep neural
        networks, arXiv:1706.07979.
    """
    if not callable(log_density):
        raise TypeError(
            f"expert takes a function x -> log p(x), but log_density is {log_density!r}."
        )
    check_real("weight", weight, low=0)

    def penalty(x: PyTree) -> jax.Array:
        return _times(weight, -one_number(log_density(x), name_of(log_density)))

    return _called(penalty, "expert")


def on_code(penalty: Penalty) -> Penalty:
    r"""A penalty on the variable of the ascent instead of the input: $P(c)$ with $x = g(c)$.

    Args:
        penalty: any penalty, a function of the code.

    Returns:
        A penalty that `maximize_activation` calls with the code of its `parametrization`.

    Raises:
        TypeError: `penalty` is not a function.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(x)
        >>> maximize = jaxplain.maximize_activation(
        ...     f,
        ...     parametrization=jaxplain.parametrizations.code(lambda z: 3 * z),
        ...     penalties=[jaxplain.penalties.on_code(jaxplain.penalties.l2(0.5))],
        ... )
        >>> maximize(jnp.zeros(2)).round(2)
        Array([9., 9.], dtype=float32)
    """
    if not callable(penalty):
        raise TypeError(f"on_code takes a penalty, a function of the code, but got {penalty!r}.")
    return OnCode(penalty)


@dataclasses.dataclass(frozen=True)
class OnCode:
    """A penalty that is meant for the code."""

    penalty: Penalty

    def __call__(self, code: PyTree) -> Any:
        return self.penalty(code)


def one_number(value: Any, name: str) -> jax.Array:
    """`value` as an array, widened; raise unless it is one real number."""
    shape = getattr(value, "shape", () if isinstance(value, float | int) else None)
    if shape != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        said = "a function" if callable(value) else describe(value, "penalty")
        hint = (
            "Call it with its weight first, as in l2(0.1)."
            if callable(value)
            else "Sum it, with jnp.sum for instance."
        )
        raise TypeError(f"{name} must return one real number, but returned {said}. {hint}")
    array: jax.Array = widen(jnp.asarray(value))
    return array


def _times(weight: Scalar, value: jax.Array) -> jax.Array:
    return jnp.asarray(weight, value.dtype) * value


def _squared_distance(left: PyTree, right: PyTree) -> jax.Array:
    def square(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.square(left - right)

    return total(map_wide(square, left, right))


def _like(towards: Any, x: PyTree) -> PyTree:
    """The point to stay near, with the tree and the dtypes of `x`."""
    if same_tree(towards, 0) and jnp.shape(towards) == ():
        return jax.tree.map(lambda leaf: jnp.asarray(towards, wide(leaf.dtype)), x)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (towards, x)]
    if not same_tree(towards, x) or shapes[0] != shapes[1]:
        raise ValueError(
            f"towards is {describe(towards, 'towards')}, but the penalty is on "
            f"{describe(x)}: give one number, or an input like it."
        )
    return jax.tree.map(lambda leaf, t: jnp.asarray(t, wide(leaf.dtype)), x, towards)


def _called(penalty: Penalty, name: str) -> Penalty:
    """Named for messages."""
    penalty.__name__ = penalty.__qualname__ = name
    return penalty
