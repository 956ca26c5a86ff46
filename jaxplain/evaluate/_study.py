"""A study of retraining: what is trained, how often, and what came out."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import checked_baseline
from .._call import checked_input
from .._chunks import chunk_size
from .._errors import check_chunk, check_count, check_real
from .._keys import checked_key
from .._progress import bar
from .._tree import cast_like, count_examples, widen
from .._types import PyTree, Scalar
from ..perturb._features import Features, Partition
from ._finished import Finished
from ._places import RANDOM, blurred_name, places_of
from ._retrain import (
    Cell,
    OfExample,
    Operands,
    Outcome,
    Recipe,
    Split,
    check_classes,
    check_parameters,
    cross_entropy,
    hit,
)
from ._retrained import RetrainingCurves

Pair: TypeAlias = tuple[PyTree, PyTree]
Progress: TypeAlias = bool | Callable[[int], None] | None
SIGNS = {"roar": -1, "kar": 1}


@dataclasses.dataclass(frozen=True)
class Study:
    """The arguments of `roar` and `kar`, which say what they are."""

    order: str
    init: Callable[..., PyTree]
    apply: Callable[..., PyTree]
    attributions: Mapping[str, Pair]
    train: Pair
    test: Pair
    optimizer: Any
    steps: int
    key: jax.Array
    batch: int
    shares: Sequence[float]
    seeds: int
    loss: OfExample
    score: OfExample
    along: int | tuple[int, ...] | None
    groups: PyTree | None
    fill: PyTree | None
    blur: Scalar | None
    level: float
    chunk: int | None
    progress: Progress
    checkpoint: str | os.PathLike[str] | None

    def __post_init__(self) -> None:
        for option, least in (("steps", 1), ("batch", 1), ("seeds", 2)):
            check_count(option, getattr(self, option), least=least)
        check_chunk(self.chunk)
        check_real("level", self.level, low=1e-6, high=1 - 1e-6)
        check_real("shares", np.asarray(self.shares, float), low=0, high=1)
        if not len(self.shares) or np.any(np.diff(np.asarray((0.0, *self.shares))) <= 0):
            raise ValueError(f"shares={self.shares!r} must rise, from above 0 to at most 1.")
        if self.blur is not None:
            check_real("blur", self.blur, low=0)
            if self.along is None:
                raise ValueError("blur= needs the axes to blur: set along=, (0, 1) for pictures.")
        self._check_names()

    @property
    def names(self) -> tuple[str, ...]:
        """The methods and the controls, in the order of their places."""
        return (*self.attributions, *self._controls)

    @property
    def _controls(self) -> tuple[str, ...]:
        blurred = () if self.blur is None else map(blurred_name, self.attributions)
        return (*blurred, RANDOM)

    def curves(self) -> RetrainingCurves:
        """Train all models, and gather their scores."""
        operands, features = self._operands()
        recipe = Recipe(
            self.init,
            self.apply,
            self.optimizer,
            self.loss,
            self.score,
            self.steps,
            self.batch,
            features,
        )
        cells = self._cells(features)
        scores = self._trained(recipe, cells, operands)
        # With nothing gone all methods are the same, so there is one training for each seed.
        whole, rest = scores[: self.seeds], scores[self.seeds :]
        table = rest.reshape(len(self.names), len(self.shares), self.seeds)
        return RetrainingCurves(
            np.asarray((0.0, *self.shares)),
            {
                name: np.concatenate([whole[None], part])
                for name, part in zip(self.names, table, strict=True)
            },
            self._controls,
            self.level,
            self.order,
        )

    def _operands(self) -> tuple[Operands, Features]:
        """The examples, with the places of their features."""
        training, orders, test_orders = jax.random.split(checked_key(self.key, self.order), 3)
        inputs = checked_input(self.train[0])
        like = jax.tree.map(lambda leaf: leaf[0], inputs)
        partition = Partition.checked(self.groups, self.along)
        features = partition.of(like)
        train = self._split(0, inputs, features, orders)
        test = self._split(1, checked_input(self.test[0]), features, test_orders)
        fill = _means(inputs, partition.along) if self.fill is None else self.fill
        return Operands(train, test, checked_baseline(fill, like), training), features

    def _split(self, number: int, inputs: PyTree, features: Features, key: jax.Array) -> Split:
        """The training examples (number 0) or the test examples (1)."""
        labels = jax.tree.map(jnp.asarray, (self.train, self.test)[number][1])
        count_examples((inputs, labels), ("train", "test")[number])
        places = places_of(
            {name: found[number] for name, found in self.attributions.items()},
            inputs,
            features,
            sign=SIGNS[self.order],
            sigma=self.blur,
            axes=Partition.checked(self.groups, self.along).along,
            key=key,
        )
        return Split(inputs, labels, places)

    def _cells(self, features: Features) -> Cell:
        """All trainings: the seeds with nothing gone, then each method, share and seed."""
        gone = np.round(np.asarray(self.shares) * features.count)
        grid = np.meshgrid(range(len(self.names)), gone, range(self.seeds), indexing="ij")
        whole = np.zeros(self.seeds), np.zeros(self.seeds), np.arange(self.seeds)
        columns = zip(whole, grid, strict=True)
        return Cell(*(np.concatenate([w, g.ravel()]).astype(np.int32) for w, g in columns))

    def _trained(self, recipe: Recipe, cells: Cell, operands: Operands) -> np.ndarray[Any, Any]:
        """The score of each training, a chunk of them after the other."""
        count = len(cells.seed)
        size = chunk_size(count, self.chunk)
        self._check_model(recipe, operands)
        many = jax.jit(jax.vmap(recipe.outcome, (0, None)))
        parts = operands, np.stack(cells)
        options = {"order": self.order, "steps": self.steps, "batch": self.batch}
        witness = functools.partial(_first_loss, recipe, operands)
        finished = Finished(self.checkpoint, options, parts, witness)
        start = np.zeros((), np.int32), np.zeros(count, jnp.result_type(float))
        done, scores = finished.load(start)
        report = self._reporter(count)
        for first in range(int(done), count, size):
            rows = np.minimum(np.arange(first, first + size), count - 1)
            found: Outcome = many(Cell(*(column[rows] for column in cells)), operands)
            last = min(first + size, count)
            self._check_losses(np.asarray(found.loss), cells, first)
            scores[first:last] = np.asarray(found.score)[: last - first]
            finished.save((np.asarray(last, np.int32), scores))
            if report is not None:
                report(last)
        return np.asarray(scores)

    def _check_model(self, recipe: Recipe, operands: Operands) -> None:
        """Raise, before anything is trained, if the model and the labels do not fit."""
        one = jax.tree.map(lambda leaf: leaf[:1], operands.train.inputs)
        params = jax.eval_shape(lambda o: recipe.start(0, o)[0], operands)
        check_parameters(params)
        if self.loss is cross_entropy or self.score is hit:
            outputs = jax.eval_shape(self.apply, params, one)
            for split in (operands.train, operands.test):
                check_classes(split.labels, outputs)

    def _reporter(self, count: int) -> Callable[[int], None] | None:
        if self.progress is True:
            return bar(self.order, " trainings", count)
        return self.progress or None

    def _check_losses(self, losses: np.ndarray[Any, Any], cells: Cell, first: int) -> None:
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            place = min(first + wrong[0], len(cells.seed) - 1)
            raise ValueError(
                f"A training ended with the loss {losses[wrong[0]]}: that of seed "
                f"{cells.seed[place]} by {self.names[cells.method[place]]} with "
                f"{cells.gone[place]} features gone. Lower the learning rate of optimizer=."
            )

    def _check_names(self) -> None:
        if not self.attributions:
            raise ValueError(f"{self.order} got no attributions: give at least one by name.")
        for name, pair in self.attributions.items():
            if name in self._controls:
                raise ValueError(f"{name!r} is the name of a control: rename the attributions.")
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(
                    f"attributions[{name!r}] is a {type(pair).__name__}: give a pair, the "
                    "attributions of the training inputs and those of the test inputs."
                )


def _means(inputs: PyTree, along: tuple[int, ...] | None) -> PyTree:
    """One input of means over the examples, and over the positions that are the features."""

    def of_leaf(leaf: jax.Array) -> jax.Array:
        axes = tuple(axis % (leaf.ndim - 1) + 1 for axis in along or ())
        mean = jnp.mean(leaf, axis=(0, *axes), keepdims=True)
        return jnp.broadcast_to(mean, (1, *leaf.shape[1:]))[0]

    return cast_like(jax.tree.map(of_leaf, widen(inputs)), inputs)


def _first_loss(recipe: Recipe, operands: Operands) -> jax.Array:
    """The loss of the first batch of the first seed, which tells models and losses apart."""

    def found(operands: Operands) -> jax.Array:
        params, order = recipe.start(0, operands)
        cell = Cell(0, jnp.asarray(0), 0)
        return recipe.mean_loss(params, *recipe.drawn(order, 0, cell, operands))

    loss: jax.Array = jax.jit(found)(operands)
    return loss
