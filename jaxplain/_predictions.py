"""Rows in, predictions out: a plain Python callable of a batch, in pieces, remembered, checked.

This is the side of a black box that JAX calls back: only NumPy is used here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ._tree import describe
from ._types import PyTree

Rows = list[np.ndarray]  # the leaves of a batch of examples, each with the same leading axis


@dataclasses.dataclass
class Predictions:
    """What `predict` says of the rows seen so far; one thread at a time."""

    predict: Callable[[Any], Any]
    name: str
    shape: tuple[int, ...]  # of one prediction
    batch: int | None
    limit: int | None  # how many rows to remember; None for all
    report: Callable[[int], None] | None
    evaluations: int = 0
    failure: Exception | None = None
    known: dict[bytes, np.ndarray] = dataclasses.field(default_factory=dict)
    lock: Any = dataclasses.field(default_factory=threading.RLock)

    def of(self, rows: Rows, structure: Any, dtype: Any) -> np.ndarray:
        """The predictions of all rows, (rows, *shape); each different row is evaluated once."""
        with self.lock:
            try:
                return _Call(self, rows, structure, np.dtype(dtype)).run()
            except Exception as error:
                self.failure = error
                raise

    def forget(self) -> None:
        """Drop what is remembered, and the last failure."""
        with self.lock:
            self.known.clear()
            self.failure = None

    def keep(self, found: dict[bytes, np.ndarray]) -> None:
        """Count new predictions and remember them, the oldest making room."""
        self.evaluations += len(found)
        self.known.update(found)
        while self.limit is not None and len(self.known) > self.limit:
            del self.known[next(iter(self.known))]
        if self.report is not None and found:
            self.report(self.evaluations)


class _Call:
    """One batch of rows that JAX asks for."""

    def __init__(self, memory: Predictions, rows: Rows, structure: Any, dtype: Any) -> None:
        self.memory, self.rows, self.structure, self.dtype = memory, rows, structure, dtype
        self.count = len(rows[0])
        self.keys = self._digests()
        self.found = {key: memory.known[key] for key in self.keys if key in memory.known}

    def run(self) -> np.ndarray:
        missing: dict[bytes, int] = {}
        for row, key in enumerate(self.keys):
            if key not in self.found:
                missing.setdefault(key, row)
        wanted = list(missing.values())
        size = self.memory.batch or max(len(wanted), 1)
        for start in range(0, len(wanted), size):
            piece = wanted[start : start + size]
            try:
                values = self._predict(piece)
            except Exception as error:
                raise self._blamed(piece, error) from error
            self._keep(piece, values)
        every = [self.found[key] for key in self.keys]
        return np.stack(every) if every else np.zeros((0, *self.memory.shape), self.dtype)

    def _digests(self) -> list[bytes]:
        """A name for each row: 20 bytes instead of all its own, equal for equal rows only."""
        kinds = [(leaf.dtype.str, leaf.shape[1:]) for leaf in self.rows]
        head = hashlib.blake2b(repr((str(self.structure), kinds, self.dtype)).encode())
        keys = []
        for row in range(self.count):
            digest = hashlib.blake2b(head.digest(), digest_size=20)
            for leaf in self.rows:
                digest.update(leaf[row].tobytes())
            keys.append(digest.digest())
        return keys

    def _given(self, piece: Sequence[int]) -> PyTree:
        """What `predict` gets: arrays of its own, so it may keep or change them."""
        return jax.tree.unflatten(self.structure, [leaf[list(piece)] for leaf in self.rows])

    def _predict(self, piece: Sequence[int]) -> Any:
        return self.memory.predict(self._given(piece))

    def _keep(self, piece: Sequence[int], values: Any) -> None:
        """Remember the predictions of a piece; raise, once they are safe, for those that are bad"""
        values = self._checked(values, len(piece))
        with np.errstate(over="ignore"):
            cast = values.astype(self.dtype)
        good = np.isfinite(cast).reshape(len(piece), -1).all(axis=1)
        pairs = zip(piece, cast, good, strict=True)
        new = {self.keys[row]: np.array(value) for row, value, fine in pairs if fine}
        self.found.update(new)
        self.memory.keep(new)
        if not good.all():
            place = int(np.argmin(good))
            raise ValueError(
                f"{self.memory.name} gave {_short(values[place])} for {self._row(piece[place])}: "
                f"every prediction must be a finite number of {self.dtype}."
            )

    def _checked(self, values: Any, count: int) -> np.ndarray:
        """The predictions as an array; raise unless there is one number for each output."""
        array = np.asarray(values)
        expected = (count, *self.memory.shape)
        if array.shape != expected:
            raise ValueError(
                f"{self.memory.name} was given {count} row(s) and returned "
                f"{_kind(values, array)}; expected shape {expected}: a row of outputs="
                f"{self.memory.shape} for each. {self._shape_remedy(array, count)}"
            )
        if array.dtype.kind not in "fiub":
            raise ValueError(
                f"{self.memory.name} returned {_kind(values, array)}; expected numbers, such as "
                "scores or probabilities, not names of classes."
            )
        return array

    def _shape_remedy(self, array: np.ndarray, count: int) -> str:
        if array.ndim and len(array) == count:
            return f"If that is what it should give, set outputs={array.shape[1:]}."
        return "It must return one prediction for each row of the batch, in order."

    def _blamed(self, piece: list[int], error: Exception) -> RuntimeError:
        """The error for a piece that failed, its row found by halving; what succeeds is kept."""
        rows = piece
        while len(rows) > 1:
            half = len(rows) // 2
            for part in (rows[:half], rows[half:]):
                try:
                    values = self._predict(part)
                except Exception as found:
                    rows, error = part, found
                    break
                self._keep(part, values)
            else:
                return self._failed(
                    f"a piece of {len(rows)} rows, {rows[0]} to {rows[-1]} of {self.count}. It "
                    "passes in halves, so either the piece is too large (set batch=) or the fault "
                    "is gone; call again, finished rows are not evaluated again",
                    error,
                )
        return self._failed(self._row(rows[0]), error)

    def _failed(self, where: str, error: Exception) -> RuntimeError:
        return RuntimeError(
            f"{self.memory.name} raised {type(error).__name__}: {error}\nIt was given {where}."
        )

    def _row(self, row: int) -> str:
        example = jax.tree.unflatten(self.structure, [leaf[row] for leaf in self.rows])
        values = ", ".join(_short(leaf[row]) for leaf in self.rows)
        return f"row {row} of {self.count} (from 0), {describe(example)} = {values}"


def _short(array: np.ndarray) -> str:
    """An array in one line."""
    text = np.array2string(np.asarray(array), threshold=8, edgeitems=3, precision=4)
    return " ".join(text.split())


def _kind(values: Any, array: np.ndarray) -> str:
    return f"a {type(values).__name__} of shape {array.shape} and dtype {array.dtype}"
