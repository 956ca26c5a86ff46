"""An equal program that XLA runs faster on a CPU.

XLA:CPU has fast kernels for convolutions of one layout, pictures NHWC and kernels HWIO. Outside of
loops it brings others into that layout itself; inside a loop it does not, and runs them in a naive
loop, several times slower. The derivative of a convolution has another layout (its kernel is
flipped, with inputs and outputs exchanged), so every gradient in a chunked sum is concerned.

For depthwise convolutions XLA:CPU has no fast kernel in any layout: they become sums over the
places of the window, and so does the derivative of max pooling. Other grouped convolutions stay as
they are.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from .. import _compat
from .._types import PyTree
from ._depthwise import depthwise, is_depthwise
from ._evaluate import evaluate
from ._memory import peak_bytes
from ._pooling import derivative_of_max, is_derivative_of_max
from ._trace import Equation, Program, Traced, trace

_enabled: contextvars.ContextVar[bool] = contextvars.ContextVar("lowering", default=True)


def lower(fn: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """An equal function that runs faster on a CPU: convolutional networks and their gradients.

    Methods of this package do so by themselves; it is public because it makes the gradients of
    anybody faster: `jaxplain.lower(jax.grad(loss))`.

    Args:
        fn: a function of arrays and pytrees of arrays; a gradient should be taken inside.

    Returns:
        A function with the same arguments, keyword arguments held constant, and the same results
        up to rounding. It is traced, as by `jax.jit`, but not compiled.

    Raises:
        TypeError: when called, with positional arguments that are no arrays.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> pool = lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2,), (2,), "VALID")
        >>> gradient = jax.jit(jaxplain.lower(jax.grad(lambda x: jnp.sum(pool(x) ** 2))))
        >>> gradient(jnp.array([1.0, 3.0, 2.0, 0.0]))
        Array([0., 6., 4., 0.], dtype=float32)

    Notes:
        Depthwise convolutions and their derivatives become sums over the window, the derivative of
        max pooling compares the places of each window (of equal values the first has it all, as in
        XLA), and other convolutions take the layout that is fast inside loops. GPUs and TPUs get
        the program as it was written: XLA chooses when it compiles for a platform. The bodies of
        `scan`, `cond` and `remat` in `fn` stay as they are. See `lowering` to switch it off.
    """

    @functools.wraps(fn)
    def lowered(*args: PyTree, **kwargs: Any) -> PyTree:
        return lower_at(functools.partial(fn, **kwargs), *args)(*args)

    return lowered


@contextlib.contextmanager
def lowering(enabled: bool) -> Iterator[None]:
    """Whether functions that are traced inside are lowered; they are by default.

    Args:
        enabled: False for programs as they were written, in methods of this package and in
            `lower`.

    Returns:
        A context manager.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> explain = jax.jit(jaxplain.saliency(lambda x: jnp.sum(x**2)))
        >>> with jaxplain.lowering(False):
        ...     explain(jnp.ones(2))  # traced and compiled here
        Array([2., 2.], dtype=float32)

    Notes:
        What has been compiled before, or is in `jax.jit`'s cache, stays as it was traced.
    """
    token = _enabled.set(enabled)
    try:
        yield
    finally:
        _enabled.reset(token)


def lower_at(fn: Callable[..., PyTree], *args: PyTree) -> Lowered:
    """`fn` as traced once, at these arguments or at others of their shapes and dtypes."""
    traced = trace(fn, *args)
    return Lowered(traced, traced.program(opened=frozenset()))


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A function of arrays as a program, and what is known of it before it runs."""

    traced: Traced
    program: Program

    def __call__(self, *args: PyTree) -> PyTree:
        leaves = jax.tree.leaves(args)
        results = evaluate(self.program, leaves, self.program.outputs, run=_run)
        return self.traced.restore(results)

    @property
    def like(self) -> PyTree:
        """The shapes and dtypes of its results."""
        struct: Any = jax.ShapeDtypeStruct
        return self.traced.restore([struct(a.shape, a.dtype) for a in self.traced.closed.out_avals])

    @property
    def bytes(self) -> int:
        """The memory that one call needs, for all examples that an outer `jax.vmap` runs over."""
        closed = self.traced.closed
        examples = max(map(_compat.batch_of, closed.consts), default=1)
        return peak_bytes(closed.jaxpr) * examples


def _run(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """The equation, on a CPU in the form that is fast there; the platform is chosen by XLA."""
    fast = _fast_form(equation) if _enabled.get() else None
    if fast is None:
        return equation.run(operands)

    def as_written(*operands: Any) -> list[Any]:
        return equation.run(operands)

    chosen: list[Any] = jax.lax.platform_dependent(*operands, cpu=fast, default=as_written)
    return chosen


def _fast_form(equation: Equation) -> Callable[..., list[Any]] | None:
    """How XLA:CPU should rather compute an equation, or None."""
    if _compat.is_plain_convolution(equation.eqn) and not _is_canonical(equation):
        return lambda *operands: [_convolution(*operands, **equation.eqn.params)]
    if is_depthwise(equation):
        return lambda *operands: [depthwise(equation, operands)]
    if is_derivative_of_max(equation):
        return lambda *operands: [derivative_of_max(equation, operands)]
    return None


def _is_canonical(equation: Equation) -> bool:
    """Whether a convolution has the layout already, NHWC with a kernel HWIO."""
    numbers = equation.eqn.params["dimension_numbers"]
    return bool(numbers == _canonical(len(numbers.lhs_spec)))


def _canonical(rank: int) -> jax.lax.ConvDimensionNumbers:
    axes = tuple(range(1, rank - 1))
    data = (0, rank - 1, *axes)
    return jax.lax.ConvDimensionNumbers(data, (rank - 1, rank - 2, *range(rank - 2)), data)


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
        pictures, kernel, dimension_numbers=_canonical(lhs.ndim), **params
    )
    batch, feature, *space = dimension_numbers.out_spec
    back = np.argsort((batch, *space, feature))
    return jax.lax.transpose(result, tuple(int(axis) for axis in back))
