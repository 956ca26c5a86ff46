"""What infidelity subtracts from the input: noise, squares and subsets of what is not baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._axes import checked_axes
from .._errors import check_count, check_real
from .._keys import normal_like, one_key_each
from .._tree import path_name, subtract
from .._types import PyTree, Scalar
from ..perturb._features import Partition
from ._faithfulness import subset_of

Perturbation = Callable[[jax.Array, PyTree, PyTree], PyTree]


def gaussian_perturbation(scale: Scalar = 0.1) -> Perturbation:
    """Independent normal noise on every element, a perturbation for `infidelity`.

    Args:
        scale: the standard deviation, in units of the input; it may be traced.

    Returns:
        A function `perturbation(key, x, baseline)` that returns what is to be subtracted, a pytree
        like `x`; the baseline does not matter.

    Raises:
        ValueError: `scale` is negative.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> perturbation = evaluate.gaussian_perturbation(scale=2.0)
        >>> found = perturbation(jax.random.key(0), jnp.ones(1000), jnp.zeros(1000))
        >>> round(float(found.std()))
        2

    References:
        Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392.
    """
    check_real("scale", scale, low=0)

    def perturbation(key: jax.Array, x: PyTree, baseline: PyTree) -> PyTree:
        del baseline
        noise = normal_like(key, x)
        return jax.tree.map(lambda leaf: leaf * jnp.asarray(scale, leaf.dtype), noise)

    return perturbation


def square_perturbation(
    size: int | Sequence[int], *, axes: tuple[int, ...] = (0, 1)
) -> Perturbation:
    """A square at a random place is put to the baseline, a perturbation for `infidelity`.

    Args:
        size: the side of the square, in elements; of several, one is drawn each time.
        axes: the axes that the square spans, (0, 1) for HW and HWC; on the others it is whole.

    Returns:
        A function `perturbation(key, x, baseline)` that returns what is to be subtracted, a pytree
        like `x`: the difference to the baseline within the square and zero outside. Every leaf has
        a square of its own.

    Raises:
        ValueError: a size is not a whole number of at least 1; when called, the square is larger
            than the input, or the input lacks an axis.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> perturbation = evaluate.square_perturbation(2)
        >>> found = perturbation(jax.random.key(0), jnp.ones((4, 4)), jnp.zeros((4, 4)))
        >>> float(found.sum()), sorted(found.sum(axis=0).tolist())
        (4.0, [0.0, 0.0, 2.0, 2.0])

    Notes:
        All places within the input are as likely, so what lies at the border is in fewer squares.

    References:
        Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392.
    """
    sizes = tuple(size) if isinstance(size, Sequence | np.ndarray) else (size,)
    for one in sizes or (size,):
        check_count("size", one)

    def perturbation(key: jax.Array, x: PyTree, baseline: PyTree) -> PyTree:
        leaves, structure = jax.tree_util.tree_flatten_with_path(x)
        keys = one_key_each(key, len(leaves))
        found = [
            jnp.where(_square(k, leaf, sizes, axes, path_name(path)), leaf - base, 0)
            for k, (path, leaf), base in zip(keys, leaves, jax.tree.leaves(baseline), strict=True)
        ]
        return jax.tree.unflatten(structure, found)

    return perturbation


def subset_perturbation(
    subset: int | None = None,
    *,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
) -> Perturbation:
    """Random features are put to the baseline, a perturbation for `infidelity`.

    Args:
        subset: how many features; None for a fifth of them, rounded up.
        groups: which elements are one feature, as for `ablation`.
        along: an axis or several, the positions on which are the features. Without `groups` and
            `along`, every element is a feature.

    Returns:
        A function `perturbation(key, x, baseline)` that returns what is to be subtracted, a pytree
        like `x`: the difference to the baseline for the features drawn and zero for the others.

    Raises:
        ValueError: an option is invalid; when called, there are fewer features than `subset`.
        TypeError: `groups` are not integers, or traced.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> perturbation = evaluate.subset_perturbation(2)
        >>> found = perturbation(jax.random.key(0), jnp.ones(5), jnp.full(5, 0.5))
        >>> sorted(found.tolist())
        [0.0, 0.0, 0.0, 0.5, 0.5]

    References:
        Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392.
    """
    if subset is not None:
        check_count("subset", subset)
    partition = Partition.checked(groups, along)

    def perturbation(key: jax.Array, x: PyTree, baseline: PyTree) -> PyTree:
        features = partition.of(x)
        size = -(-features.count // 5) if subset is None else subset
        if size > features.count:
            raise ValueError(f"subset={size}, but the input has {features.count} features.")
        gone = subset_of(key, features.count, size)
        return subtract(x, features.restrict(x, baseline, ~gone))

    return perturbation


def _square(
    key: jax.Array, leaf: jax.Array, sizes: tuple[int, ...], axes: tuple[int, ...], where: str
) -> jax.Array:
    """The mask of a random square, of size 1 on the axes that it does not span."""
    spanned = checked_axes(axes, leaf.shape, where)
    shortest = min(leaf.shape[axis] for axis in spanned)
    if max(sizes) > shortest:
        raise ValueError(
            f"A square of size={max(sizes)} does not fit into {where}, of shape {leaf.shape}, "
            f"along the axes {spanned}: take at most {shortest}."
        )
    key, choice = jax.random.split(key)
    side = jnp.asarray(sizes, jnp.int32)[jax.random.randint(choice, (), 0, len(sizes), jnp.int32)]
    inside: Any = True
    for axis, k in zip(spanned, jax.random.split(key, len(spanned)), strict=True):
        length = leaf.shape[axis]
        corner = jax.random.randint(k, (), 0, length - side + 1, jnp.int32)
        shape = [length if other == axis else 1 for other in range(leaf.ndim)]
        places = jnp.arange(length, dtype=jnp.int32).reshape(shape)
        inside &= (places >= corner) & (places < corner + side)
    mask: jax.Array = inside
    return mask
