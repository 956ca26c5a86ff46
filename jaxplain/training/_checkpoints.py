"""The parameters at several times of a training, each with its learning rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_real, is_concrete
from .._types import PyTree
from ._parameters import Chosen, choose

REMEDY = "Give a list of pytrees, one for each time, or an object whose __iter__ loads them."


class Checkpoints:
    """Checkpoints and their rates, as often as they are asked for.

    A list is checked once and for all. What is loaded is checked whenever it is loaded, and only
    the first when this is made.
    """

    chosen: Chosen

    def __init__(
        self, checkpoints: Iterable[PyTree], rates: Any, parameters: str | Sequence[str]
    ) -> None:
        _check_kind(checkpoints)
        self._checkpoints = checkpoints
        self._parameters = parameters
        self._rates = _checked_rates(rates)
        self._shapes: dict[str, tuple[int, ...]] | None = None
        count = 0
        for count, params in enumerate(checkpoints, 1):
            self._check(params, count - 1)
            if not self._listed:
                break
        if self._listed or count == 0:
            self._check_count(count)

    def __iter__(self) -> Iterator[tuple[PyTree, jax.Array]]:
        count = 0
        for count, params in enumerate(self._checkpoints, 1):
            if not self._listed:
                self._check(params, count - 1)
            yield params, self._rates if self._rates.ndim == 0 else self._rates[count - 1]
        self._check_count(count)

    @property
    def _listed(self) -> bool:
        return isinstance(self._checkpoints, list | tuple)

    def _check(self, params: PyTree, place: int) -> None:
        if self._rates.ndim and place >= len(self._rates):
            self._check_count(place + 1)
        try:
            chosen = choose(params, self._parameters)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Checkpoint {place}: {error}") from error
        shapes = {path: np.shape(leaf) for path, leaf in chosen.of(params).items()}
        if self._shapes is None:
            self._shapes, self.chosen = shapes, chosen
        for path in {**self._shapes, **shapes}:
            if shapes.get(path) != self._shapes.get(path):
                raise ValueError(
                    f"Checkpoint {place} has other parameters than checkpoint 0: '{path}' is "
                    f"{_shape(shapes, path)} in it and {_shape(self._shapes, path)} in the first."
                )

    def _check_count(self, count: int) -> None:
        if count == 0:
            raise ValueError(f"There are no checkpoints. {REMEDY}")
        if self._rates.ndim and count != len(self._rates):
            raise ValueError(
                f"There are {len(self._rates)} rates for {count} or more checkpoints: give one "
                "number for all of them, or one for each."
            )


def _check_kind(checkpoints: Any) -> None:
    if isinstance(checkpoints, Mapping) or hasattr(checkpoints, "shape"):
        raise TypeError(
            f"checkpoints is a {type(checkpoints).__name__}, which looks like the parameters at "
            f"one time: give them as a list, [params]. {REMEDY}"
        )
    if isinstance(checkpoints, Iterator) or not isinstance(checkpoints, Iterable):
        raise TypeError(
            f"checkpoints is a {type(checkpoints).__name__} that cannot be read again and again. "
            f"{REMEDY}"
        )


def _checked_rates(rates: Any) -> jax.Array:
    if not is_concrete(rates):
        traced: jax.Array = rates
        return traced
    values = np.asarray(rates)
    check_real("rates", values, low=0, high=float(np.finfo(np.float64).max))
    if values.ndim > 1:
        raise ValueError(
            f"rates has shape {values.shape}: give one number, or one for each checkpoint, (K,)."
        )
    return jnp.asarray(values)


def _shape(shapes: dict[str, tuple[int, ...]], path: str) -> str:
    return f"of shape {shapes[path]}" if path in shapes else "missing"
