"""Influence scores of one example, over a training set in memory or over a stream."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import is_concrete
from .._tree import describe, first_nonfinite, same_tree
from .._types import PyTree
from ._curvature import Curvature
from ._examples import Examples, check_not_traced
from ._resume import SavedState, fingerprint
from ._solvers import Solution, Solver
from ._training import Arrays, Batches, Training

Outcome = tuple[jax.Array, Solution]


@dataclasses.dataclass(frozen=True)
class Method:
    """What is computed, wherever the training set is."""

    curvature: Curvature
    solver: Solver

    def scores(
        self,
        training: Training,
        params: PyTree,
        gradient: PyTree,
        damping: jax.Array,
        key: Any,
        prepared: PyTree,
    ) -> Outcome:
        """`-gradient' (C + damping)^-1 grad L(z_i)` of each training example."""
        solution = self.solver(training, params, gradient, damping, key, prepared)
        slopes: jax.Array = training.each(self.curvature.slope, (params, solution.vector))
        return -slopes, solution._replace(vector={})


class Compiled:
    """One program for arrays in memory; parameters and examples are its operands."""

    def __init__(
        self, method: Method, params: PyTree, train: Examples, chunk: int | None, damping: Any
    ) -> None:
        self._operands = params, train, damping
        self._known = _Known()

        def prepare(params: PyTree, train: Examples, damping: Any, key: Any) -> PyTree:
            return method.solver.prepare(Arrays(train, chunk), params, damping, key)

        def run(
            params: PyTree,
            train: Examples,
            damping: Any,
            example: Examples,
            key: Any,
            prepared: PyTree,
        ) -> Outcome:
            gradient = method.curvature.gradient(params, example)
            training = Arrays(train, chunk)
            return method.scores(training, params, gradient, damping, key, prepared)

        self._prepare, self._run = jax.jit(prepare), jax.jit(run)

    def __call__(self, example: Examples, key: Any) -> Outcome:
        prepared = self._known.find(key, lambda: self._prepare(*self._operands, key))
        outcome: Outcome = self._run(*self._operands, example, key, prepared)
        return outcome


class Streamed:
    """A loop in Python over batches, which may go on where it was interrupted."""

    def __init__(
        self,
        method: Method,
        params: PyTree,
        batches: Batches,
        damping: Any,
        checkpoint: str | os.PathLike[str] | None,
        options: Mapping[str, Any],
    ) -> None:
        self._method = method
        self._params = params
        self._batches = batches
        self._damping = damping
        self._checkpoint = checkpoint
        self._options = options
        self._known = _Known()
        self._loss = jax.jit(
            lambda params, example: method.curvature.of_example(params)(
                method.curvature.chosen.of(params), *example
            )
        )
        self._gradient = jax.jit(method.curvature.gradient)

    def __call__(self, example: Examples, key: Any) -> Outcome:
        check_not_traced(self._params, self._damping, example, key)
        saved = self._saved_state(example, key)
        finished = None if saved is None else saved.load(_LIKE, "finished")
        if finished is not None:
            return finished  # type: ignore[no-any-return]
        work = self._batches.work(saved)
        solver, params, damping = self._method.solver, self._params, self._damping
        prepared = self._known.find(key, lambda: solver.prepare(work, params, damping, key))
        gradient = self._gradient(params, example)
        outcome = self._method.scores(work, params, gradient, damping, key, prepared)
        if saved is not None:
            saved.save(outcome, "finished")
        return outcome

    def _saved_state(self, example: Examples, key: Any) -> SavedState | None:
        if self._checkpoint is None:
            return None
        name = fingerprint(self._options, self._params, example, key)
        return SavedState(self._checkpoint, name, float(self._loss(self._params, example)))


class _Known:
    """What was prepared with the last key: it is the same for all examples."""

    def __init__(self) -> None:
        self._name: bytes | None = None
        self._value: PyTree = None

    def find(self, key: Any, prepare: Any) -> PyTree:
        if key is None or not is_concrete(key):
            return prepare()
        with jax.ensure_compile_time_eval():  # under an outer jit the data would be traced
            name = np.asarray(jax.random.key_data(key)).tobytes()
        if name == self._name:
            return self._value
        value = prepare()
        # Within an outer jit there is nothing to keep, even of what does not depend on it.
        if all(map(is_concrete, jax.tree.leaves(value))):
            self._name, self._value = name, value
        return value


def checked_example(example: Examples, like: Examples) -> Examples:
    """The example to explain, if it is one, and like those of the training set."""
    if (where := first_nonfinite(example, "example")) is not None:
        raise ValueError(f"The example to explain is not finite: {where}.")
    example = jax.tree.map(jnp.asarray, example)
    shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (example, like)]
    if not same_tree(example, like) or shapes[0] != shapes[1]:
        raise ValueError(
            f"One example of train is {describe(like, 'example')}, but the one to explain is "
            f"{describe(example, 'example')}. Pass the arguments of loss after the parameters, "
            "without a leading axis; jax.vmap(explain) takes many examples."
        )
    return example


_LIKE: Outcome = (np.zeros(0), Solution({}, *[0] * 6))  # type: ignore[arg-type, assignment]
