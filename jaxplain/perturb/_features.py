"""What a feature is: elements of the input that are kept, or put to their baseline, together."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_count, is_concrete
from .._tree import path_name, same_tree, widen
from .._types import PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Features:
    """A partition of the input's elements.

    `labels` is a pytree like the input, of integers that broadcast to its leaves: the number of the
    feature that an element belongs to, from 0 to `count` - 1.
    """

    labels: PyTree
    count: int = dataclasses.field(metadata={"static": True})

    def restrict(self, x: PyTree, baseline: PyTree, mask: jax.Array) -> PyTree:
        """The input with those features only that `mask`, of shape (count,), keeps.

        Truth values choose between the input and its baseline; numbers mix them,
        $x^0 + m (x - x^0)$.
        """

        def mix(leaf: jax.Array, base: jax.Array, label: Any) -> jax.Array:
            share = _of_elements(mask, label)
            if mask.dtype == bool:
                return jnp.where(share, leaf, base)
            return base + share.astype(leaf.dtype) * (leaf - base)

        return jax.tree.map(mix, x, baseline, self.labels)

    def of_elements(self, values: jax.Array) -> PyTree:
        """The value of each element's feature, in a pytree of the shapes of the labels."""
        return jax.tree.map(lambda label: _of_elements(values, label), self.labels)

    def spread(self, values: jax.Array, x: PyTree) -> PyTree:
        """A pytree like `x` in which each element has its feature's value."""
        values = jnp.where(self._known(), values, jnp.nan)

        def fill(leaf: jax.Array, label: Any) -> jax.Array:
            floating = jnp.issubdtype(leaf.dtype, jnp.floating)
            own = values.astype(leaf.dtype if floating else values.dtype)
            return jnp.broadcast_to(_of_elements(own, label), leaf.shape)

        return jax.tree.map(fill, x, self.labels)

    def sums(self, tree: PyTree) -> jax.Array:
        """The sum over each feature's elements, of all leaves, in at least float32: (count,)."""

        def of_leaf(leaf: jax.Array, label: Any) -> jax.Array:
            if is_concrete(label) and np.array_equal(label.ravel(), np.arange(self.count)):
                # Every position is a feature: what lies across is summed, and nothing gathered.
                across = tuple(a for a, n in enumerate(label.shape) if n == 1 < leaf.shape[a])
                return jnp.sum(widen(leaf), axis=across).ravel()
            labels = jnp.broadcast_to(jnp.asarray(label), leaf.shape).ravel()
            return jax.ops.segment_sum(widen(leaf).ravel(), labels, self.count)

        parts = [
            of_leaf(leaf, label)
            for leaf, label in zip(jax.tree.leaves(tree), jax.tree.leaves(self.labels), strict=True)
        ]
        dtype = functools.reduce(jnp.promote_types, (part.dtype for part in parts))
        total: jax.Array = sum((part.astype(dtype) for part in parts), start=jnp.zeros((), dtype))
        return total

    def _known(self) -> Any:
        """Whether all labels are numbers of features. Traced ones could not be checked before."""
        known: Any = True
        for label in jax.tree.leaves(self.labels):
            if not is_concrete(label):
                known &= jnp.all((label >= 0) & (label < self.count))
        return known


@dataclasses.dataclass(frozen=True)
class Partition:
    """What the user said features are, when a method was made: `groups=`, `along=`, `features=`."""

    groups: PyTree | None = None
    along: tuple[int, ...] | None = None
    count: int | None = None

    @staticmethod
    def checked(
        groups: PyTree | None, along: int | tuple[int, ...] | None, count: int | None = None
    ) -> Partition:
        """Raise unless at most one says what a feature is."""
        if groups is not None and along is not None:
            raise ValueError("groups= and along= both say what a feature is: give one of them.")
        if along is not None and count is not None:
            raise ValueError(
                "features= is the number of features in groups=; along= needs none: leave it out."
            )
        if count is not None:
            check_count("features", count)
        if groups is not None:
            _check_groups(groups, count, "when the method is made, outside of jax.jit and jax.vmap")
        axes = (along,) if isinstance(along, int | np.integer) else along
        return Partition(groups, axes, count)

    def of(self, x: PyTree, groups: PyTree | None = None) -> Features:
        """The features of `x`; `groups` are those that came with the call."""
        if groups is None and self.groups is None:
            if self.count is not None:
                raise TypeError(
                    f"features={self.count} is the number of groups, but none were given: pass "
                    "groups=, integers that broadcast to the input."
                )
            return _along(x, self.along)
        if groups is not None and (self.groups is not None or self.along is not None):
            raise TypeError(
                "groups= came with the call, but the method was made with features of its own: "
                "leave out groups= or along= where it is made."
            )
        if groups is not None:
            _check_groups(
                groups,
                self.count,
                "or say how many there are when the method is made, with features=",
            )
        return _grouped(x, self.groups if groups is None else groups, self.count)


def _of_elements(values: jax.Array, label: Any) -> jax.Array:
    """The value of each element's feature."""
    if not is_concrete(label) or not label.size:
        return values[label]
    first = int(label.flat[0])
    # Where every element is a feature the values need no gathering, only their shape.
    if np.array_equal(label.ravel(), np.arange(first, first + label.size)):
        return values[first : first + label.size].reshape(label.shape)
    return values[label]


def _along(x: PyTree, axes: tuple[int, ...] | None) -> Features:
    """The positions on `axes`, of size 1 on all others; without axes, each element."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(x)
    labels, count = [], 0
    for path, leaf in leaves:
        kept = _axes_of(leaf, axes, path_name(path))
        shape = [size if axis in kept else 1 for axis, size in enumerate(leaf.shape)]
        features = int(np.prod(shape))
        labels.append(np.arange(count, count + features, dtype=np.int32).reshape(shape))
        count += features
    return Features(jax.tree.unflatten(structure, labels), count)


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


def _check_groups(groups: PyTree, count: int | None, remedy: str) -> None:
    """Raise unless `groups` are integers, concrete ones where they tell how many there are."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(groups)[0]:
        where = path_name(path, "groups")
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if np.dtype(dtype).kind not in "iu":
            raise TypeError(
                f"{where} has dtype {dtype}, but groups are integers: elements with equal numbers "
                "are one feature."
            )
        if not is_concrete(leaf):
            if count is None:
                raise TypeError(
                    f"{where} is traced, but groups decide how many features there are: give "
                    f"concrete integers, {remedy}."
                )
        elif count is not None and not (np.min(leaf) >= 0 and np.max(leaf) < count):
            raise ValueError(
                f"{where} has numbers from {np.min(leaf)} to {np.max(leaf)}, but with "
                f"features={count} they must lie between 0 and {count - 1}."
            )


def _grouped(x: PyTree, groups: PyTree, count: int | None) -> Features:
    """Groups with as many axes as their leaf, numbered from 0 if nobody said how many there are."""
    if not same_tree(groups, x):
        raise ValueError(
            f"groups has the tree {jax.tree.structure(groups)}, but the input has "
            f"{jax.tree.structure(x)}: give one array of integers for each leaf."
        )
    groups = jax.tree.map(lambda part: np.asarray(part) if is_concrete(part) else part, groups)
    if count is None:
        names = np.unique(np.concatenate([part.ravel() for part in jax.tree.leaves(groups)]))
        groups = jax.tree.map(lambda part: np.searchsorted(names, part).astype(np.int32), groups)
        count = len(names)

    def laid_out(path: Any, leaf: jax.Array, part: Any) -> Any:
        ones = (1,) * (leaf.ndim - part.ndim)
        sizes = zip((*ones, *part.shape), leaf.shape, strict=False)
        if part.ndim > leaf.ndim or any(given not in (1, size) for given, size in sizes):
            raise ValueError(
                f"{path_name(path, 'groups')} has shape {part.shape}, which does not broadcast to "
                f"the shape {leaf.shape} of {path_name(path)}."
            )
        return part.reshape(*ones, *part.shape)

    return Features(jax.tree_util.tree_map_with_path(laid_out, x, groups), count)
