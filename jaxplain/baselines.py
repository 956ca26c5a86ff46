"""Baselines: what "absent" means. Each is a pytree like the input, to pass as `baseline=`.

A baseline is a choice, and the explanation answers relative to it: pixels equal to the baseline
get nothing. Compare several. `mean` and `samples` draw on a data set, whose leading axis runs over
examples; all others look at the input alone. Random ones take `key=`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._call import checked_input
from ._errors import check_count, check_real
from ._keys import checked_key, normal_like, one_key_each
from ._shuffles import dinucleotide_shuffles as dinucleotide_shuffles
from ._tree import cast_like, map_wide, path_name, wide
from ._types import PyTree, Scalar
from .perturb._features import Partition


def zeros(x: PyTree) -> PyTree:
    """The zero baseline, in the units of the model's input (often mean gray, not black).

    Args:
        x: the input, a pytree of floating arrays.

    Returns:
        A pytree like `x`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.zeros(jnp.ones(3))
        Array([0., 0., 0.], dtype=float32)
    """
    return jax.tree.map(jnp.zeros_like, x)


def constant(x: PyTree, value: Any) -> PyTree:
    """The same value everywhere, or one value per channel.

    Args:
        x: the input, a pytree of floating arrays.
        value: a number, or an array of shape (C,) for leaves whose last axis has size C.

    Returns:
        A pytree like `x`.

    Raises:
        ValueError: `value` is neither a number nor as long as the last axis.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.constant(jnp.ones((1, 2, 3)), jnp.array([0.1, 0.2, 0.3])).shape
        (1, 2, 3)
    """
    shape = np.shape(value)

    def fill(path: Any, leaf: jax.Array) -> jax.Array:
        if shape not in ((), leaf.shape[-1:]):
            raise ValueError(
                f"value has shape {shape}, but {path_name(path)} has shape {leaf.shape}: give one "
                "number, or one for each channel of the last axis."
            )
        values = jnp.asarray(value, leaf.dtype).reshape(*(1,) * (leaf.ndim - len(shape)), *shape)
        return jnp.broadcast_to(values, leaf.shape)

    return jax.tree_util.tree_map_with_path(fill, x)


def uniform(x: PyTree, low: Any = 0.0, high: Any = 1.0, *, key: jax.Array) -> PyTree:
    """Uniform noise between `low` and `high`, independent of the input.

    Args:
        x: the input, a pytree of floating arrays.
        low: the least value, a number or one per channel, in the units of the model's input.
        high: the greatest value, likewise.
        key: a `jax.random.key`.

    Returns:
        A pytree like `x`.

    Raises:
        ValueError: `low` exceeds `high`, or is neither a number nor as long as the last axis.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.uniform(jnp.ones((2, 2)), key=jax.random.key(0)).shape
        (2, 2)
    """
    check_real("high - low", jnp.subtract(high, low), low=0)
    leaves, structure = jax.tree.flatten(x)
    keys = one_key_each(checked_key(key, "baselines.uniform"), len(leaves))
    noise = [
        jax.random.uniform(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.map(
        lambda share, low, high: low + share * (high - low),
        jax.tree.unflatten(structure, noise),
        constant(x, low),
        constant(x, high),
    )


def gaussian(x: PyTree, sigma: Scalar, *, key: jax.Array) -> PyTree:
    """The input plus Gaussian noise.

    Args:
        x: the input, a pytree of floating arrays.
        sigma: standard deviation of the noise, in the units of the input.
        key: a `jax.random.key`.

    Returns:
        A pytree like `x`.

    Raises:
        ValueError: `sigma` is negative.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.gaussian(jnp.ones((2, 2)), 0.5, key=jax.random.key(0)).shape
        (2, 2)
    """
    check_real("sigma", sigma, low=0)
    noise = normal_like(checked_key(key, "baselines.gaussian"), x)
    return jax.tree.map(lambda leaf, n: leaf + jnp.asarray(sigma, leaf.dtype) * n, x, noise)


def blur(x: PyTree, sigma: Scalar = 10.0, *, axes: tuple[int, ...] = (0, 1)) -> PyTree:
    r"""The input blurred by a Gaussian, which keeps colours and forgets shapes.

    Along each axis $x'_i = \sum_j e^{-(i-j)^2/2\sigma^2} x_j \,/\, \sum_j e^{-(i-j)^2/2\sigma^2}$:
    weights are renormalised at the border, so that a constant picture stays constant.

    Args:
        x: the input, a pytree of floating arrays.
        sigma: standard deviation in pixels; 0 gives `x` itself. May be traced.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        A pytree like `x`.

    Raises:
        ValueError: `sigma` is negative, or a leaf lacks one of the axes.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.blur(jnp.array([0.0, 1.0, 0.0]), 1.0, axes=(0,)).round(2)
        Array([0.35, 0.45, 0.35], dtype=float32)
    """
    check_real("sigma", sigma, low=0)

    def blur_leaf(path: Any, leaf: jax.Array) -> jax.Array:
        if not all(-leaf.ndim <= axis < leaf.ndim for axis in axes):
            raise ValueError(
                f"{path_name(path)} has shape {leaf.shape} and cannot be blurred along "
                f"axes={axes}: name its spatial axes, for instance axes=(0,) for a sequence."
            )
        blurred = leaf.astype(wide(leaf.dtype))
        for axis in axes:
            weights = _gaussian_weights(leaf.shape[axis], sigma, blurred.dtype)
            blurred = jnp.moveaxis(jnp.tensordot(weights, blurred, (1, axis)), 0, axis)
        return blurred.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(blur_leaf, x)


def _gaussian_weights(size: int, sigma: Scalar, dtype: Any) -> jax.Array:
    """Row-stochastic blurring matrix of shape (size, size), smooth in sigma down to zero."""
    place = jnp.arange(size, dtype=dtype)
    squares = (place[:, None] - place[None, :]) ** 2
    # Under 0.05 pixels the neighbours' weight is e^-200: zero in float32, with all derivatives.
    width = jnp.maximum(jnp.asarray(sigma, dtype), jnp.asarray(0.05, dtype))
    return jax.nn.softmax(-squares / (2 * width**2), axis=1)


def maximum_distance(x: PyTree, low: Any, high: Any) -> PyTree:
    """The farthest valid input: each value at the end of its range that is farther away.

    Args:
        x: the input, a pytree of floating arrays.
        low: the least valid value, a number or one per channel, in the model's input units.
        high: the greatest valid value, likewise.

    Returns:
        A pytree like `x`.

    Raises:
        ValueError: `low` or `high` is neither a number nor as long as the last axis.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.maximum_distance(jnp.array([0.2, 0.9]), 0.0, 1.0)
        Array([1., 0.], dtype=float32)

    References:
        Sturmfels et al. 2020, Visualizing the impact of feature attribution baselines, Distill.
    """

    def farthest(leaf: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
        return jnp.where(leaf - low > high - leaf, low, high)

    return jax.tree.map(farthest, x, constant(x, low), constant(x, high))


def segment_mean(x: PyTree, groups: PyTree, features: int | None = None) -> PyTree:
    r"""Each segment in its mean colour, which forgets what is drawn and keeps where it is.

    $x'_{ic} = \frac{1}{|S(i)|} \sum_{j \in S(i)} x_{jc}$, with $S(i)$ the segment of place $i$.

    Args:
        x: the input, a pytree of floating arrays.
        groups: the segments, as for `groups=` of a method: integers that broadcast to `x`, or a
            pytree of them. An axis on which they have size 1 keeps its own means: labels of shape
            (H, W, 1) give one mean per channel.
        features: how many segments there are, for `groups` that are traced: then they are numbered
            from 0.

    Returns:
        A pytree like `x`. Elements of segments that `features` does not count are NaN.

    Raises:
        ValueError: `groups` do not broadcast to `x`.
        TypeError: `groups` are not integers, or traced without `features`; `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.segment_mean(jnp.array([1.0, 3.0, 5.0]), jnp.array([0, 0, 1]))
        Array([2., 2., 5.], dtype=float32)

    References:
        Ribeiro et al. 2016, "Why should I trust you?": Explaining the predictions of any
        classifier, arXiv:1602.04938.
    """
    x = checked_input(x)
    parts = Partition.checked(groups, None, features).of(x)

    def fill(leaf: jax.Array, labels: Any) -> jax.Array:
        own = [axis for axis, size in enumerate(labels.shape) if size == 1 < leaf.shape[axis]]
        shared = jnp.moveaxis(leaf.astype(wide(leaf.dtype)), own, range(len(own)))
        # One row of numbers for each place that has a label, with a column for all else.
        values = shared.reshape(-1, labels.size).T
        flat = jnp.asarray(labels).reshape(-1)
        sums = jax.ops.segment_sum(values, flat, parts.count)
        sizes = jax.ops.segment_sum(jnp.ones_like(values[:, 0]), flat, parts.count)
        known = (flat >= 0) & (flat < parts.count)
        means = (sums / jnp.maximum(sizes, 1)[:, None])[flat]
        filled = jnp.where(known[:, None], means, jnp.nan).T.reshape(shared.shape)
        return jnp.moveaxis(filled, range(len(own)), own).astype(leaf.dtype)

    return jax.tree.map(fill, x, parts.labels)


def mean(data: PyTree) -> PyTree:
    """The average of a data set.

    Args:
        data: a pytree whose leaves have a leading axis over examples.

    Returns:
        A pytree like one example.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.baselines.mean(jnp.array([[0.0, 2.0], [2.0, 4.0]]))
        Array([1., 3.], dtype=float32)
    """
    data = jax.tree.map(jnp.asarray, data)
    return cast_like(map_wide(lambda leaf: jnp.mean(leaf, axis=0), data), data)


def samples(data: PyTree, count: int, *, key: jax.Array) -> PyTree:
    """A random set of examples, for `over_baselines` and `expected_grad`.

    Args:
        data: a pytree whose leaves have a leading axis over N examples.
        count: how many to draw, without replacement.
        key: a `jax.random.key`.

    Returns:
        A pytree whose leaves have a leading axis of size `count`.

    Raises:
        ValueError: more examples are asked for than there are.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> data = jnp.arange(10.0)[:, None]
        >>> jaxplain.baselines.samples(data, 3, key=jax.random.key(0)).shape
        (3, 1)
    """
    check_count("count", count)
    available = int(jax.tree.leaves(data)[0].shape[0])
    if count > available:
        raise ValueError(f"count={count} exceeds the {available} examples of the data set.")
    chosen = jax.random.choice(
        checked_key(key, "baselines.samples"), available, (count,), replace=False
    )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], data)
