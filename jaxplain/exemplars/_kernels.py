"""Kernels: numbers that say how alike two examples are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import name_of
from .._errors import check_choice, is_concrete
from .._tree import describe, precision
from .._types import Scalar

Kernel = Callable[[jax.Array, jax.Array], Any]

MEDIAN_OF = 1000
"""The median heuristic looks at so many examples at most, half a million pairs."""

DIRECT = 16
"""Up to so many entries differences are cheap, and exact; beyond, a matrix product is faster."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rbf:
    """What `rbf_kernel` returns."""

    gamma: Any

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.exp(-jnp.asarray(self.gamma, x.dtype) * jnp.sum((x - y) ** 2))

    def row(self, x: jax.Array, points: jax.Array) -> jax.Array:
        """The same of one vector with many, (N,); fast for many vectors at once."""
        return jnp.exp(-jnp.asarray(self.gamma, x.dtype) * squared_distances(x, points))


def rbf_kernel(gamma: Scalar) -> Rbf:
    r"""The Gaussian kernel $k(x, y) = \exp(-\gamma |x - y|^2)$.

    Args:
        gamma: one over the squared distance at which examples are little alike, positive. With a
            standard deviation $\sigma$ it is $1 / (2 \sigma^2)$.

    Returns:
        A function `(x, y) -> number` of two vectors.

    Raises:
        ValueError: `gamma` is not positive and finite.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> k = jaxplain.rbf_kernel(0.5)
        >>> float(k(jnp.array([1.0, 2.0]), jnp.array([1.0, 2.0])))
        1.0

    Notes:
        It may be traced: `jax.vmap` over `gamma` compares all widths in one compiled call.
    """
    if is_concrete(gamma):
        number = np.asarray(gamma)
        if number.shape or number.dtype.kind not in "fiu" or not 0 < number < np.inf:
            raise ValueError(f"gamma={gamma!r} must be a positive number.")
    return Rbf(gamma)


def cosine_kernel(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""The cosine of the angle between two vectors, $x \cdot y / (|x| |y|)$.

    Args:
        x: a vector, (d,).
        y: a vector, (d,).

    Returns:
        A number between -1 and 1, and 0 if a vector is zero.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> float(jaxplain.cosine_kernel(jnp.array([2.0, 0.0]), jnp.array([0.0, 3.0])))
        0.0
    """
    return _linear(_unit(x), _unit(y))


def _linear(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.vdot(x, y, precision="highest")


def _unit(x: jax.Array) -> jax.Array:
    """The vector with length 1, or zero; squares of tiny and huge entries stay in range."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), initial=0))
    x = x / jnp.where(largest == 0, 1, largest)
    square = jnp.sum(x**2)
    return x / jnp.sqrt(jnp.where(square == 0, 1, square))


NAMED: dict[str, Kernel] = {"linear": _linear, "cosine": cosine_kernel}


def as_kernel(kernel: Kernel | str | None, vectors: jax.Array) -> Kernel:
    """A kernel that is a pytree, checked on some of the vectors; the Gaussian one by default."""
    if kernel is None:
        return Rbf(_median_gamma(vectors))
    if isinstance(kernel, str):
        check_choice("kernel", kernel, NAMED)
        kernel = NAMED[kernel]
    elif isinstance(kernel, Rbf):
        return kernel
    if not callable(kernel):
        raise TypeError(
            f"kernel={kernel!r} must be a function (x, y) -> number of two vectors, such as "
            "jaxplain.rbf_kernel(0.1), or 'linear' or 'cosine'."
        )
    struct: Any = jax.ShapeDtypeStruct
    like = struct(vectors.shape[1:], vectors.dtype)
    value = jax.eval_shape(kernel, like, like)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"The kernel {name_of(kernel)} must return one real number for two vectors of shape "
            f"{like.shape}, but returned {describe(value, 'output')}."
        )
    if is_concrete(vectors):
        _check_symmetric(kernel, vectors)
    return _as_pytree(kernel)


def similarities(kernel: Kernel, x: jax.Array, points: jax.Array) -> jax.Array:
    """The kernel of one vector with each of many, (N,), without loss of digits."""
    values: jax.Array = jax.vmap(kernel, (None, 0))(x, points).astype(points.dtype)
    return values


def fast_similarities(kernel: Kernel, x: jax.Array, points: jax.Array) -> jax.Array:
    """The same, for many `x` at once under `jax.vmap`, and the mean over the points."""
    return kernel.row(x, points) if isinstance(kernel, Rbf) else similarities(kernel, x, points)


def squared_distances(x: jax.Array, points: jax.Array) -> jax.Array:
    """The squared distances of one vector to many, (N,)."""
    if points.shape[1] <= DIRECT:
        return jnp.sum((points - x[None]) ** 2, axis=1)
    # About the middle of the points: far from it the squares would drown the differences.
    middle = jnp.mean(points, axis=0)
    x, points = x - middle, points - middle[None]
    product = jnp.matmul(points, x, precision="highest")
    return jax.nn.relu(jnp.sum(points**2, axis=1) - 2 * product + jnp.sum(x**2))


def _median_gamma(vectors: jax.Array) -> jax.Array:
    """One over the median squared distance of pairs, of examples evenly spaced in the data."""
    count = len(vectors)
    places = np.linspace(0, count - 1, min(count, MEDIAN_OF)).round().astype(int)
    remedy = "Give kernel=jaxplain.rbf_kernel(gamma)."
    if count < 2:
        raise ValueError(f"The width of the kernel comes from distances, but X is alone. {remedy}")
    median: jax.Array = _median_distance(vectors[places])
    if is_concrete(median) and not 0 < float(median) < np.inf:
        raise ValueError(
            f"The median squared distance between {len(places)} examples is {float(median):g}, so "
            f"it gives the kernel no width: too many are the same, or too far apart. {remedy}"
        )
    return 1 / median


@jax.jit
def _median_distance(vectors: jax.Array) -> jax.Array:
    squares = stack(lambda x: squared_distances(x, vectors), vectors, chunk=256)
    median: jax.Array = jnp.median(squares[np.triu_indices(len(vectors), 1)])
    return median


def _as_pytree(kernel: Kernel) -> Kernel:
    """The function as an argument of compiled code, which is compiled once for each function."""
    partial: Any = jax.tree_util.Partial
    wrapped: Kernel = partial(kernel)
    return wrapped


def _check_symmetric(kernel: Kernel, vectors: jax.Array) -> None:
    """Raise if some neighbours are more alike one way than the other."""
    x, y = vectors[:-1][:8], vectors[1:][:8]
    # Whether they are finite is seen when all are there.
    with jax.ensure_compile_time_eval():
        pairs = _both_ways(_as_pytree(kernel), x, y)
    if not all(map(is_concrete, pairs)):
        return  # the kernel knows of something traced
    there, back = np.nan_to_num(pairs)
    room = 1e3 * float(precision(vectors.dtype).eps)
    least = room * float(np.max(np.abs(there), initial=0))
    if not np.allclose(there, back, rtol=room, atol=least):
        place = int(np.argmax(np.abs(there - back)))
        raise ValueError(
            f"The kernel {name_of(kernel)} is not symmetric: k(X[{place}], X[{place + 1}]) is "
            f"{there[place]:g}, but {back[place]:g} the other way round."
        )


@jax.jit
def _both_ways(kernel: Kernel, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(kernel)(x, y), jax.vmap(kernel)(y, x)
