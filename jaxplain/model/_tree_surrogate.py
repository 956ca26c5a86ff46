"""Decision trees fitted to another model's predictions, evaluated in JAX, told as rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tree:
    """A binary tree with N nodes; node 0 is the root, and a leaf is its own child.

    Left where `x[feature] <= threshold`, compared in float32 as it was when the tree was fitted.
    `values` are the scores, (N,), or the shares of K classes, (N, K); `counts` says how many of the
    inputs that it was fitted to come to a node.
    """

    feature: Any
    threshold: Any
    left: Any
    right: Any
    values: Any
    counts: Any
    depth: int = dataclasses.field(metadata={"static": True})

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32)
        node = jnp.zeros((), jnp.int32)
        for _ in range(self.depth):
            left = x[self.feature[node]] <= self.threshold[node]
            node = jnp.where(left, self.left[node], self.right[node])
        values: jax.Array = self.values[node]
        return values

    def is_leaf(self, node: int) -> bool:
        """Whether there is no question at this node."""
        return self.children(node)[0] == node

    def children(self, node: int) -> tuple[int, int]:
        """The nodes that follow the answers yes and no."""
        return int(np.asarray(self.left)[node]), int(np.asarray(self.right)[node])


def fit_tree(
    inputs: np.ndarray, targets: np.ndarray, classes: int | None, depth: int, seed: int, dtype: Any
) -> Tree:
    """A tree for scores, or for the numbers of `classes` classes; `seed` decides between ties."""
    module = _import_trees()
    make = module.DecisionTreeRegressor if classes is None else module.DecisionTreeClassifier
    fitted = make(max_depth=depth, random_state=seed).fit(inputs, targets)
    found = fitted.tree_
    nodes = np.arange(found.node_count)
    leaf = found.children_left < 0
    values = found.value[:, 0, :]
    if classes is None:
        values = values[:, 0]
    else:  # those that did not occur are unknown to scikit-learn
        shares = np.zeros((found.node_count, classes))
        shares[:, fitted.classes_] = values / values.sum(axis=1, keepdims=True)
        values = shares
    return Tree(
        feature=jnp.asarray(np.where(leaf, 0, found.feature), jnp.int32),
        threshold=jnp.asarray(_rounded_down(np.where(leaf, np.inf, found.threshold))),
        left=jnp.asarray(np.where(leaf, nodes, found.children_left), jnp.int32),
        right=jnp.asarray(np.where(leaf, nodes, found.children_right), jnp.int32),
        values=jnp.asarray(values, dtype),
        counts=jnp.asarray(found.n_node_samples, jnp.int32),
        depth=int(found.max_depth),
    )


def rules(
    tree: Tree, question: Callable[[int, str], str], answer: Callable[[int], str]
) -> list[str]:
    """A tree as indented lines; the others word a node's question and a leaf's answer."""
    lines: list[str] = []

    def describe(node: int, indent: str, condition: str) -> None:
        if tree.is_leaf(node):
            count = int(np.asarray(tree.counts)[node])
            heading = f"{condition}: " if condition else ""
            plural = "s" if count > 1 else ""
            lines.append(f"{indent}{heading}{answer(node)}  ({count} input{plural})")
            return
        if condition:
            lines.append(f"{indent}{condition}")
            indent += "|   "
        for sign, child in zip(("<=", ">"), tree.children(node), strict=True):
            describe(child, indent, question(node, sign))

    describe(0, "", "")
    return lines


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """As float32, so that float32 numbers fall on the same side of them as before."""
    near = thresholds.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > thresholds, below, near)


def _import_trees() -> Any:
    try:
        from sklearn import tree
    except ImportError as error:
        raise ImportError(
            "kind='tree' is fitted with scikit-learn, which is not installed: pip install "
            "'jaxplain[surrogate]'."
        ) from error
    return tree
