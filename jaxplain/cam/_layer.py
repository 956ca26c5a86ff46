"""One call of a model, cut at a layer: what every class activation map starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from .._call import Score, bind, named
from .._tree import widen
from .._types import Argnums, Attribution, Model, PyTree
from ..program._cut import cut
from ..program._lower import lower
from ._grid import Grid, Layout, find_grid


@dataclasses.dataclass(frozen=True)
class Layer:
    """The score of one example as a function of what a layer computed.

    `value` is the layer's value as it comes, `top(value)` the score; `grid` says where on the input
    its positions lie.
    """

    score: Score
    x: PyTree
    value: jax.Array
    top: Score
    grid: Grid

    @classmethod
    def of(
        cls,
        f: Model,
        at: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Argnums,
        layout: Layout,
    ) -> Layer:
        score, x = bind(f, args, kwargs, argnums)
        bottom, top = cut(score, at=at)
        value = bottom(x)
        return cls(score, x, value, lambda h: top(h, x), find_grid(value, x, layout, at))

    def activations(self) -> jax.Array:
        """The layer's values (*grid, channels)."""
        return self.grid.arrange(self._wide(self.value))

    def gradients(self) -> jax.Array:
        """The derivative of the score by each of them."""
        return self.grid.arrange(self._wide(lower(jax.grad(self.top))(self.value)))

    def finish(self, map: jax.Array) -> jax.Array:
        """A map over the grid as the method returns it."""
        layout = self.grid.layout
        map = jax.nn.relu(map) if layout.relu else map
        like = self.value if self.grid.space is None else self.x
        return self.grid.enlarge(map, layout.resize).astype(like.dtype)

    @staticmethod
    def _wide(value: jax.Array) -> jax.Array:
        wide: jax.Array = widen(value)
        return wide


def class_activation_map(
    f: Model,
    at: str,
    name: str,
    draw: Callable[[Layer], jax.Array],
    layout: Layout,
    argnums: Argnums,
) -> Attribution:
    """The transform of `f` whose map over the layer's grid is `draw(layer)`."""

    def explain(*args: Any, **kwargs: Any) -> jax.Array:
        layer = Layer.of(f, at, args, kwargs, argnums, layout)
        return layer.finish(draw(layer))

    return named(explain, name, f)
