"""What is done of a long piece of work, in a file, to go on from after an interruption."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from .._types import PyTree
from ..training._resume import SavedState, fingerprint


class Finished:
    """The results so far, if there is a path to keep them at.

    Options and arrays have a fingerprint. Functions have none: `witness` gives a number that
    depends on the model, and says whether it is still the same.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        options: Mapping[str, Any],
        parts: tuple[PyTree, ...],
        witness: Callable[[], jax.Array],
    ) -> None:
        self._path = path
        self._saved: SavedState | None = None
        if path is not None:
            self._saved = SavedState(path, fingerprint(options, *parts), 0.0)
            self._witness = np.asarray(witness())

    def load(self, start: PyTree) -> PyTree:
        """The results that were saved last, as arrays to write into, or `start`."""
        if self._saved is None or (saved := self._saved.load((self._witness, start))) is None:
            return start
        witness, results = saved
        if not np.allclose(witness, self._witness, rtol=1e-3):
            raise ValueError(
                f"The checkpoint {self._path} belongs to another model, which gave {witness!s} "
                f"where this one gives {self._witness!s}. Give another path, or remove the file to "
                "start anew."
            )
        return jax.tree.map(np.array, results)

    def save(self, results: PyTree) -> None:
        """Keep the results."""
        if self._saved is not None:
            self._saved.save((self._witness, results))
