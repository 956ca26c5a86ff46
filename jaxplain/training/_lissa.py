"""LiSSA: the inverse as a series in products with the curvature of small batches."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._keys import normal_like
from .._tree import count_examples
from .._types import PyTree, Scalar
from ._curvature import Curvature
from ._examples import Examples
from ._parameters import Vector
from ._solvers import Solution, nonzero, relative_residual
from ._training import Training
from ._vectors import add, norm, scale, unit

SEARCH = 20  # steps of the power iteration for the scale


class _Recursion(NamedTuple):
    probe: Vector  # of the power iteration, of length 1
    largest: jax.Array  # eigenvalue that was met
    estimate: Vector  # h of this repeat
    total: Vector  # of the repeats that are done
    steps: jax.Array
    products: jax.Array  # of one example's curvature with a vector


@dataclasses.dataclass(frozen=True)
class Lissa:
    r"""LiSSA: $h \leftarrow g + h - (C_j + \lambda) h / s$ on small batches, whose limit is $s v$.

    The recursion stays bounded for eigenvalues up to $2 s$. Without a scale $s$, it is the largest
    stretch in some steps of a power iteration on such batches.
    """

    curvature: Curvature
    tolerance: float = 0.3
    iterations: int = 1000
    scale: Scalar | None = None
    batch: int = 32
    repeats: int = 10

    def prepare(self, training: Training, params: PyTree, damping: Any, key: Any) -> None:
        del training, params, damping, key

    def __call__(
        self,
        training: Training,
        params: PyTree,
        gradient: Vector,
        damping: Any,
        key: jax.Array,
        prepared: None = None,
    ) -> Solution:
        del prepared
        start, walk = jax.random.split(key)
        first = _Recursion(
            probe=unit(normal_like(start, gradient)),
            largest=jnp.zeros_like(norm(gradient)),
            estimate=gradient,
            total=jax.tree.map(jnp.zeros_like, gradient),
            steps=jnp.asarray(-self._search),
            products=jnp.asarray(0),
        )
        count = self._search + self.iterations * self.repeats
        last: _Recursion = training.walk(
            self._advance,
            (params, gradient, jnp.asarray(damping)),
            first,
            count=count,
            size=self.batch,
            key=walk,
        )
        vector = scale(last.total, 1 / self.repeats)
        residual = relative_residual(
            lambda v: self.curvature.times(training, params, v, damping), vector, gradient
        )
        return Solution(
            vector,
            residual,
            converged=residual <= self.tolerance,
            definite=jnp.asarray(True),
            bend=jnp.asarray(jnp.inf),
            steps=last.steps,
            products=last.products + training.count,
        )

    @property
    def _search(self) -> int:
        return SEARCH if self.scale is None else 0

    def _advance(self, operand: Any, state: _Recursion, block: Examples) -> _Recursion:
        params, gradient, damping = operand
        searching = state.steps < 0
        vector = _where(searching, state.probe, state.estimate)
        count = count_examples(block, "train")
        product = self.curvature.block_product((params, vector), block, jnp.ones(count))
        product = add(scale(product, 1 / count), vector, damping)
        bound = nonzero(state.largest) if self.scale is None else jnp.asarray(self.scale)
        estimate = add(add(gradient, vector), product, -1 / bound)
        stretch = norm(product)
        steps = state.steps + 1
        done = ~searching & (steps % self.iterations == 0)
        return _Recursion(
            probe=_where(searching, unit(product), state.probe),
            largest=jnp.where(searching, jnp.maximum(state.largest, stretch), state.largest),
            estimate=_where(searching | done, gradient, estimate),
            total=_where(done, add(state.total, estimate, 1 / bound), state.total),
            steps=steps,
            products=state.products + count,
        )


def _where(condition: jax.Array, left: PyTree, right: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), left, right)
