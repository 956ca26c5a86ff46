r"""The curvature of the mean loss, as a product with a vector: never a matrix.

Two kinds: the Hessian $H = \frac1n \sum_i \nabla^2_\theta L(\theta, z_i)$, and the Gauss-Newton
matrix $\frac1n \sum_i J_i' \, \nabla^2_h L \, J_i$ with $J_i$ the Jacobian of the network's
outputs $h$, which is positive semi-definite where the loss is convex in the outputs. Both cost a
few gradients of the mean loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._call import check_score
from .._errors import check_choice, is_concrete
from .._types import PyTree
from ..program._cut import cut
from ._examples import Examples
from ._parameters import Chosen, Vector
from ._training import OfBlock, Training
from ._vectors import add, scale, unit

Loss = Callable[..., Any]

KINDS = ("hessian", "gauss_newton")


@dataclasses.dataclass(frozen=True)
class Curvature:
    """Products with the damped curvature matrix of the mean loss, and with gradients.

    `outputs` is the path of the network's outputs within the loss, for the Gauss-Newton matrix;
    None means the Hessian. All functions take the parameters as an operand, so that nothing large
    is a constant of a compiled program.
    """

    loss: Loss
    chosen: Chosen
    outputs: str | None = None

    def of_example(self, params: PyTree) -> Callable[..., jax.Array]:
        """The loss of one example as a function of the chosen parameters."""

        def loss(moving: Vector, *example: Any) -> jax.Array:
            value = self.loss(self.chosen.put(params, moving), *example)
            return check_score(value, self.loss)

        return loss

    def gradient(self, params: PyTree, example: Examples) -> Vector:
        """The gradient of one example's loss."""
        grad: Vector = jax.grad(self.of_example(params))(self.chosen.of(params), *example)
        return grad

    def slope(self, operand: tuple[PyTree, Vector], *example: Any) -> jax.Array:
        r"""$v \cdot \nabla_\theta L(\theta, z)$ of one example, without its gradient."""
        params, v = operand
        loss = self.of_example(params)
        slope: jax.Array = jax.jvp(
            lambda moving: loss(moving, *example), (self.chosen.of(params),), (v,)
        )[1]
        return slope

    def times(self, training: Training, params: PyTree, v: Vector, damping: Any = 0) -> Vector:
        r"""$(C + \lambda I) v$ over the whole training set."""
        product = training.total(self.block_product, (params, v))
        damped: Vector = add(scale(product, 1 / training.count), v, damping)
        return damped

    @property
    def block_product(self) -> OfBlock:
        """The sum over a block of each example's curvature times `v`; operand `(params, v)`."""
        return self._hessian_product if self.outputs is None else self._gauss_newton_product

    def _hessian_product(
        self, operand: tuple[PyTree, Vector], block: Examples, weights: jax.Array
    ) -> Vector:
        params, v = operand
        loss = self.of_example(params)

        def of_block(moving: Vector) -> jax.Array:
            return _weighted(jax.vmap(lambda *example: loss(moving, *example))(*block), weights)

        product: Vector = jax.jvp(jax.grad(of_block), (self.chosen.of(params),), (v,))[1]
        return product

    def _gauss_newton_product(
        self, operand: tuple[PyTree, Vector], block: Examples, weights: jax.Array
    ) -> Vector:
        params, v = operand
        assert self.outputs is not None
        below, above = cut(self.of_example(params), at=self.outputs)
        moving = self.chosen.of(params)

        def outputs(moving: Vector) -> PyTree:
            return jax.vmap(lambda *example: below(moving, *example))(*block)

        # A penalty on the parameters is part of the loss and lies beside the outputs: its own
        # curvature counts in full.
        def loss(h: PyTree, moving: Vector) -> jax.Array:
            of_each = jax.vmap(lambda h, *example: above(h, moving, *example))(h, *block)
            return _weighted(of_each, weights)

        h, dh = jax.jvp(outputs, (moving,), (v,))
        of_outputs, beside = jax.jvp(jax.grad(loss, (0, 1)), (h, moving), (dh, v))[1]
        (through,) = jax.vjp(outputs, moving)[1](of_outputs)
        product: Vector = add(through, beside)
        return product

    def check_outputs(self, params: PyTree, block: Examples) -> None:
        """Raise unless the outputs are all that the loss knows of the network.

        A penalty beside them is the same for all examples. If what lies beside them is not, the
        network is there once more: its outputs are computed twice, and only one of them was cut.
        """
        if self.outputs is None or not all(map(is_concrete, jax.tree.leaves((params, block)))):
            return
        below, above = cut(self.of_example(params), at=self.outputs)
        moving = self.chosen.of(params)

        @jax.jit
        @jax.vmap
        def beside(*example: Any) -> jax.Array:
            h = below(moving, *example)
            slopes = unit(jax.grad(lambda m: above(h, m, *example))(moving))
            return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slopes)])

        directions = beside(*block)
        if not is_concrete(directions):
            return  # the loss knows of something traced
        # A weight for each example changes the length of what lies beside, not the direction.
        alike = np.abs(np.asarray(directions @ directions.T))
        there = np.diagonal(alike) > 0.5
        if np.any(alike[there][:, there] < 0.999):
            raise ValueError(
                "The loss depends on the parameters in another way than through the outputs at "
                f"'{self.outputs}', a different one for each example, so its Gauss-Newton matrix "
                "has no meaning. Compute the outputs once, and the loss from them alone; a penalty "
                "on the parameters may be added."
            )


def _weighted(values: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(values * weights.astype(values.dtype))


def curvature_of(loss: Loss, chosen: Chosen, kind: str, outputs: str | None) -> Curvature:
    """The curvature by its name, if the path of the outputs is given where it is needed."""
    check_choice("curvature", kind, KINDS)
    if (outputs is None) != (kind == "hessian"):
        raise ValueError(
            f"curvature={kind!r} and outputs={outputs!r}: Gauss-Newton, and only that, needs the "
            "path of the network's outputs within loss, such as outputs='logits' for values "
            "computed last in jax.named_scope('logits')."
        )
    return Curvature(loss, chosen, outputs)
