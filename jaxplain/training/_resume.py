"""Long work that outlives an interruption: the state of a solver in a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import PyTree


class Digest:
    """A fingerprint of arrays, however they are cut into batches."""

    def __init__(self) -> None:
        self._leaves: list[Any] = []

    def add(self, batch: PyTree) -> None:
        """Look at a batch, or at any tree of arrays."""
        for place, leaf in enumerate(jax.tree.leaves(batch)):
            values = _plain(leaf)
            if place == len(self._leaves):
                self._leaves.append(hashlib.blake2b(digest_size=16))
                self._leaves[place].update(f"{values.dtype}{values.shape[1:]}".encode())
            self._leaves[place].update(np.ascontiguousarray(values).tobytes())

    def __str__(self) -> str:
        return " ".join(leaf.hexdigest() for leaf in self._leaves)


def fingerprint(options: Mapping[str, Any], *parts: PyTree) -> str:
    """A name for the work: what was asked for, of which arrays."""
    whole = hashlib.blake2b(repr(sorted(options.items())).encode(), digest_size=16)
    for part in parts:
        digest = Digest()
        digest.add(part)
        whole.update(f"{jax.tree.structure(part)} {digest};".encode())
    return whole.hexdigest()


class SavedState:
    """A file with the state of a solver, or with what came out in the end.

    A `fingerprint` says what work it belongs to, and `loss`, the loss of the explained example,
    whether the function is still the same, which has no fingerprint.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str, loss: float) -> None:
        self._path = Path(path)
        self._fingerprint = fingerprint
        self._loss = loss

    def load(self, like: PyTree, stage: str = "solving") -> PyTree | None:
        """The state that was saved at this stage, as a tree like `like`, or None."""
        if not self._path.exists():
            return None
        with np.load(self._path) as file:
            saved = dict(file)
        self._check(saved)
        if str(saved["stage"]) != stage:
            return None
        leaves, structure = jax.tree.flatten(like)
        values = [_like(saved[str(place)], leaf) for place, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, values)

    def save(self, state: PyTree, stage: str = "solving") -> None:
        """Put the state into the file, in place of what was there, all at once."""
        leaves = {str(place): _plain(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
        unfinished = self._path.with_name(self._path.name + ".unfinished")
        with unfinished.open("wb") as file:
            np.savez(
                file,
                fingerprint=np.array(self._fingerprint),
                stage=np.array(stage),
                loss=np.array(self._loss),
                **leaves,  # type: ignore[arg-type]
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self._path)

    def _check(self, saved: Mapping[str, Any]) -> None:
        if str(saved.get("fingerprint")) != self._fingerprint:
            raise ValueError(
                f"The checkpoint {self._path} belongs to another call: the example, the "
                "parameters, the training set, the key or an option was different. Give another "
                "path, or remove the file to start anew."
            )
        if not np.isclose(saved["loss"], self._loss, rtol=1e-3):
            raise ValueError(
                f"The checkpoint {self._path} belongs to another loss: that of the example was "
                f"{float(saved['loss']):.6g} and is {self._loss:.6g} now. Give another path, or "
                "remove the file to start anew."
            )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray[Any, Any]:
    """A leaf as a NumPy array; a random key as its numbers."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(values: np.ndarray[Any, Any], leaf: Any) -> jax.Array:
    """What `_plain` made of a leaf like this one."""
    array = jnp.asarray(values)
    if not _is_key(leaf):
        return array
    key: jax.Array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))
    return key
