"""An equal program that XLA runs faster inside a loop on a CPU.

XLA:CPU has fast kernels for convolutions of one layout, pictures NHWC and kernels HWIO. Outside of
loops it brings others into that layout itself; inside a loop it does not, and runs them in a naive
loop, several times slower. The derivative of a convolution has another layout (its kernel is
flipped, with inputs and outputs exchanged), so every gradient in a chunked sum is concerned.

For depthwise convolutions XLA:CPU has no fast kernel in any layout: they become sums over the
places of the window. Other grouped convolutions stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from .._compat import is_plain_convolution
from .._types import PyTree
from ._depthwise import depthwise, is_depthwise
from ._evaluate import evaluate
from ._trace import Equation, trace


def lower(fn: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`fn` with its convolutions in the layout that is fast in loops; unchanged off the CPU."""
    if jax.default_backend() != "cpu":
        return fn

    def lowered(*args: PyTree) -> PyTree:
        traced = trace(fn, *args)
        program = traced.program(opened=frozenset())
        results = evaluate(program, jax.tree.leaves(args), program.outputs, run=_run)
        return traced.restore(results)

    return lowered


def _run(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    if is_plain_convolution(equation.eqn) and not _is_fast(equation.eqn.params):
        return [_convolution(*operands, **equation.eqn.params)]
    if is_depthwise(equation):
        return [depthwise(equation, operands)]
    return equation.run(operands)


def _is_fast(params: dict[str, Any]) -> bool:
    """Whether it has the fast layout: then the barrier would only part what XLA fuses."""
    numbers, rank = params["dimension_numbers"], len(params["dimension_numbers"].lhs_spec)
    return bool(numbers == _fast_layout(rank))


def _fast_layout(rank: int) -> jax.lax.ConvDimensionNumbers:
    """NHWC, HWIO, NHWC."""
    axes = tuple(range(1, rank - 1))
    return jax.lax.ConvDimensionNumbers(
        (0, rank - 1, *axes), (rank - 1, rank - 2, *range(rank - 2)), (0, rank - 1, *axes)
    )


def _convolution(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    dimension_numbers: jax.lax.ConvDimensionNumbers,
    **params: Any,
) -> jax.Array:
    """The same convolution with transposes around it: NHWC, HWIO, NHWC."""
    batch, feature, *space = dimension_numbers.lhs_spec
    outputs, inputs, *window = dimension_numbers.rhs_spec
    pictures = jax.lax.transpose(lhs, (batch, *space, feature))
    kernel = jax.lax.transpose(rhs, (*window, inputs, outputs))
    # Behind a barrier, or XLA folds the transposition and the flip back into the convolution.
    kernel = jax.lax.optimization_barrier(kernel)  # type: ignore[no-untyped-call]
    result = jax.lax.conv_general_dilated_p.bind(
        pictures, kernel, dimension_numbers=_fast_layout(lhs.ndim), **params
    )
    batch, feature, *space = dimension_numbers.out_spec
    back = np.argsort((batch, *space, feature))
    return jax.lax.transpose(result, tuple(int(axis) for axis in back))
