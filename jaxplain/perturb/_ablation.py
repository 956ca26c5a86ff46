"""Feature ablation: what the score loses when a feature is put to its baseline."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import checked_baseline
from .._batch import stack
from .._call import bind, named
from .._errors import check_chunk, is_concrete
from .._tree import path_name, same_tree, widen
from .._types import Argnums, Attribution, Model, PyTree


def ablation(
    f: Model,
    *,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    chunk: int | None = None,
    argnums: Argnums = 0,
) -> Attribution:
    r"""What the score loses when one feature is put to its baseline.

    $A_u = f(x) - f(x_{u \leftarrow x^0})$, where $x_{u \leftarrow x^0}$ is $x$ with all elements of
    feature $u$ at their baseline. Each element gets the value of the feature that it belongs to.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        chunk: at most this many evaluations per example are live at once; None for all of them.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns a pytree like `x`.

    Raises:
        ValueError: both `groups` and `along` are given; when called, an axis that `x` does not
            have, groups that do not broadcast to `x`, or a baseline of another shape.
        TypeError: `groups` are not concrete integers; when called, if `f` is not scalar or `x` is
            not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> x = jnp.array([2.0, 3.0, 4.0])
        >>> jaxplain.ablation(f)(x)
        Array([6., 6., 4.], dtype=float32)
        >>> jaxplain.ablation(f, groups=jnp.array([0, 0, 1]))(x)
        Array([6., 6., 4.], dtype=float32)

    Notes:
        One evaluation for each feature, and one more. The value of a group is that of the group as
        a whole, not divided among its elements, so the map does not sum to anything. Features that
        stand in for each other get nothing: one is still there when the other is gone.

    References:
        Zeiler and Fergus 2014, Visualizing and understanding convolutional networks,
        arXiv:1311.2901.
    """
    check_chunk(chunk)
    if groups is not None and along is not None:
        raise ValueError("groups= and along= both say what a feature is: give one of them.")
    if groups is not None:
        groups = _checked_groups(groups)
    axes = (along,) if isinstance(along, int | np.integer) else along

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        start = checked_baseline(baseline, x)
        labels, count = _along(x, axes) if groups is None else _grouped(x, groups)

        def without(feature: jax.Array) -> jax.Array:
            def replace(leaf: jax.Array, base: jax.Array, label: np.ndarray) -> jax.Array:
                return jnp.where(label == feature, base, leaf)

            return score(jax.tree.map(replace, x, start, labels))

        scores = stack(without, jnp.arange(count, dtype=jnp.int32), chunk=chunk)
        lost = widen(score(x)) - widen(scores)

        def spread(leaf: jax.Array, label: np.ndarray) -> jax.Array:
            return jnp.broadcast_to(lost[label], leaf.shape).astype(leaf.dtype)

        return jax.tree.map(spread, x, labels)

    return named(explain, "ablation", f)


def _along(x: PyTree, axes: tuple[int, ...] | None) -> tuple[PyTree, int]:
    """The number of each element's feature, of size 1 on all other axes; and how many there are."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(x)
    labels, count = [], 0
    for path, leaf in leaves:
        kept = _axes_of(leaf, axes, path_name(path))
        shape = [size if axis in kept else 1 for axis, size in enumerate(leaf.shape)]
        features = int(np.prod(shape))
        labels.append(np.arange(count, count + features, dtype=np.int32).reshape(shape))
        count += features
    return jax.tree.unflatten(structure, labels), count


def _axes_of(leaf: jax.Array, axes: tuple[int, ...] | None, where: str) -> set[int]:
    if axes is None:
        return set(range(leaf.ndim))
    for axis in axes:
        if not -leaf.ndim <= axis < leaf.ndim:
            raise ValueError(
                f"along={axes} names axis {axis}, but {where} has shape {leaf.shape}, with axes "
                f"{-leaf.ndim} to {leaf.ndim - 1}."
            )
    return {axis % leaf.ndim for axis in axes}


def _checked_groups(groups: PyTree) -> PyTree:
    """`groups` as NumPy integers; raise for anything else."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(groups)[0]:
        where = path_name(path, "groups")
        if not is_concrete(leaf):
            raise TypeError(
                f"{where} is traced, but groups decide how many features there are: give concrete "
                "integers when the method is made, outside of jax.jit and jax.vmap."
            )
        if np.asarray(leaf).dtype.kind not in "iu":
            raise TypeError(
                f"{where} has dtype {np.asarray(leaf).dtype}, but groups are integers: elements "
                "with equal numbers are one feature."
            )
    return jax.tree.map(np.asarray, groups)


def _grouped(x: PyTree, groups: PyTree) -> tuple[PyTree, int]:
    """The groups numbered from 0, with as many axes as their leaf; and how many there are."""
    if not same_tree(groups, x):
        raise ValueError(
            f"groups has the tree {jax.tree.structure(groups)}, but the input has "
            f"{jax.tree.structure(x)}: give one array of integers for each leaf."
        )
    parts = jax.tree.leaves(groups)
    names = np.unique(np.concatenate([part.ravel() for part in parts]))

    def number(path: Any, leaf: jax.Array, part: np.ndarray) -> np.ndarray:
        ones = (1,) * (leaf.ndim - part.ndim)
        sizes = zip((*ones, *part.shape), leaf.shape, strict=False)
        if part.ndim > leaf.ndim or any(given not in (1, size) for given, size in sizes):
            raise ValueError(
                f"{path_name(path, 'groups')} has shape {part.shape}, which does not broadcast to "
                f"the shape {leaf.shape} of {path_name(path)}."
            )
        found = np.searchsorted(names, part).astype(np.int32)
        return found.reshape(*ones, *part.shape)

    return jax.tree_util.tree_map_with_path(number, x, groups), len(names)
