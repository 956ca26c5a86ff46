"""Many trainings in one program: each with its seed, and with its own inputs gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import blocks
from .._tree import describe, widen
from .._types import PyTree
from ..perturb._features import Features

OfExample = Callable[[PyTree, Any], jax.Array]  # (output, label) -> number


class Cell(NamedTuple):
    """One training: integers, or arrays of them with a leading axis for many."""

    method: Any  # whose order the features go in
    gone: Any  # how many features are gone
    seed: Any


class Split(NamedTuple):
    """Examples, and the place of each of their features in the order of each method."""

    inputs: PyTree
    labels: PyTree
    places: jax.Array  # (methods, examples, features)


class Operands(NamedTuple):
    train: Split
    test: Split
    fill: PyTree
    key: jax.Array


class Outcome(NamedTuple):
    score: jax.Array  # the mean over the test examples
    loss: jax.Array  # of the last batch


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained and scored."""

    init: Callable[..., PyTree]
    apply: Callable[..., PyTree]
    optimizer: Any
    loss: OfExample
    score: OfExample
    steps: int
    batch: int
    features: Features

    def outcome(self, cell: Cell, operands: Operands) -> Outcome:
        """Train one model from scratch on what is left of the inputs, and score it."""
        params, order = self.start(cell.seed, operands)

        def step(state: tuple[PyTree, PyTree], number: jax.Array) -> tuple[Any, jax.Array]:
            params, moments = state
            inputs, labels = self.drawn(order, number, cell, operands)
            loss, slope = jax.value_and_grad(self.mean_loss)(params, inputs, labels)
            updates, moments = self.optimizer.update(slope, moments, params)
            return (jax.tree.map(_stepped, params, updates), moments), loss

        state = params, self.optimizer.init(params)
        (params, _), losses = jax.lax.scan(step, state, jnp.arange(self.steps))
        return Outcome(self.test_score(params, cell, operands), losses[-1])

    def start(self, seed: Any, operands: Operands) -> tuple[PyTree, jax.Array]:
        """Fresh parameters, and the key of the order of the examples: the same for all methods."""
        key, order = jax.random.split(jax.random.fold_in(operands.key, seed))
        one = jax.tree.map(lambda leaf: leaf[:1], operands.train.inputs)
        return self.init(key, one), order

    def drawn(
        self, order: jax.Array, number: Any, cell: Cell, operands: Operands
    ) -> tuple[PyTree, PyTree]:
        """A batch of training examples, drawn with replacement."""
        count = operands.train.places.shape[1]
        rows = jax.random.randint(jax.random.fold_in(order, number), (self.batch,), 0, count)
        return self.left(operands.train, rows, cell, operands.fill)

    def mean_loss(self, params: PyTree, inputs: PyTree, labels: PyTree) -> jax.Array:
        """The loss of a batch, in at least float32."""
        return jnp.mean(widen(jax.vmap(self.loss)(self.apply(params, inputs), labels)))

    def test_score(self, params: PyTree, cell: Cell, operands: Operands) -> jax.Array:
        """The mean score over all test examples, from which as much is gone."""
        count = operands.test.places.shape[1]

        def of_block(rows: jax.Array) -> jax.Array:
            inputs, labels = self.left(operands.test, rows, cell, operands.fill)
            return jax.vmap(self.score)(self.apply(params, inputs), labels)

        scores = jax.lax.map(of_block, blocks(jnp.arange(count), min(self.batch, count)))
        scores = scores.ravel()[:count]
        return jnp.mean(scores, dtype=jnp.result_type(float))

    def left(self, split: Split, rows: jax.Array, cell: Cell, fill: PyTree) -> tuple[Any, Any]:
        """Some of the examples without the features that go first."""
        inputs, labels = jax.tree.map(lambda leaf: leaf[rows], (split.inputs, split.labels))
        kept = split.places[cell.method, rows] >= cell.gone.astype(split.places.dtype)
        return jax.vmap(self.features.restrict, (0, None, 0))(inputs, fill, kept), labels


def cross_entropy(output: jax.Array, label: jax.Array) -> jax.Array:
    """The loss of logits `(classes,)` for the number of a class."""
    return -jax.nn.log_softmax(output)[label]


def hit(output: jax.Array, label: jax.Array) -> jax.Array:
    """Whether the largest of the logits is that of the class."""
    return jnp.argmax(output).astype(label.dtype) == label


def check_classes(labels: PyTree, outputs: Any) -> None:
    """Raise unless the labels are numbers of classes, of which the outputs have logits."""
    dtype, shape = getattr(labels, "dtype", None), np.shape(jax.tree.leaves(labels)[0])
    logits: tuple[int, ...] = getattr(outputs, "shape", ())
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer) or len(shape) != 1:
        raise TypeError(
            f"The labels are {describe(labels, 'labels')}: the cross-entropy and the accuracy need "
            "the number of a class for each example, integers of shape (examples,). For others "
            "give loss= and score=."
        )
    if len(logits) != 2:
        raise TypeError(
            f"apply gave {describe(outputs, 'outputs')} for one input with a leading axis: the "
            "cross-entropy and the accuracy need logits of shape (1, classes). For others give "
            "loss= and score=."
        )
    if np.min(labels) < 0 or np.max(labels) >= logits[1]:
        raise ValueError(
            f"The labels lie between {np.min(labels)} and {np.max(labels)}, but apply gives logits "
            f"of classes 0 to {logits[1] - 1}."
        )


def check_parameters(params: PyTree) -> None:
    """Raise if `init` gave state beside the parameters, which a gradient must not touch."""
    if isinstance(params, Mapping) and "params" in params and len(params) > 1:
        others = ", ".join(sorted(set(params) - {"params"}))
        raise ValueError(
            f"init gave {others} beside params: a state that training updates in its own way, as "
            "BatchNorm's averages, is not supported. Use a model with GroupNorm or LayerNorm."
        )


def _stepped(param: jax.Array, update: jax.Array) -> jax.Array:
    return param + update.astype(param.dtype)
