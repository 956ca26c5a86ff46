"""Functions that are equal and written differently, to try methods on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.nn import relu

from .._types import Model, PyTree


def equal_functions() -> dict[str, tuple[Model, ...]]:
    r"""Groups of functions that have equal values and different graphs.

    Each takes a vector of two positive numbers, $(a, b)$, and returns a number:

    - `"maximum"`: the larger one, by networks with a hidden layer, as $(a - b)^+ + b^+$, as
      $(b - a)^+ + a^+$ and as $\frac12[(a - b)^+ + (b - a)^+ + (a + b)^+]$, by the absolute value,
      and as a maximum;
    - `"saturation"`: $1 - (1 - a)^+ + b$, and with $\min(a, 1)$;
    - `"product"`: $a b$, and as the difference of two squares;
    - `"square"`: $(a + b)^2$, and written out;
    - `"layers"`: two matrices one after the other, and their product;
    - `"twins"`: one hidden unit, and two of half its strength;
    - `"sigmoid"`: of $a - b$, and by the hyperbolic tangent;
    - `"softplus"`: of $a - b$, and by a logarithm of a sum of exponentials.

    Returns:
        Tuples of functions by the name of what they compute.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> [float(f(jnp.array([2.0, 3.0]))) for f in evaluate.equal_functions()["maximum"]]
        [3.0, 3.0, 3.0, 3.0, 3.0]

    Notes:
        At a kink, where $a = b$ for the maximum, the gradients differ too.

    References:
        Montavon et al. 2018, Methods for interpreting and understanding deep neural networks,
        arXiv:1706.07979 (two networks that compute the maximum). Shrikumar et al. 2017, Learning
        important features through propagating activation differences, arXiv:1704.02685.
    """
    return {
        "maximum": (
            _network([[1, 0], [-1, 1]], [1, 1]),
            _network([[-1, 1], [1, 0]], [1, 1]),
            _network([[1, -1, 1], [-1, 1, 1]], [0.5, 0.5, 0.5]),
            lambda x: (x[0] + x[1] + jnp.abs(x[0] - x[1])) / 2,
            lambda x: jnp.maximum(x[0], x[1]),
        ),
        "saturation": (
            lambda x: 1 - relu(1 - x[0]) + x[1],
            lambda x: jnp.minimum(x[0], 1) + x[1],
        ),
        "product": (
            lambda x: x[0] * x[1],
            lambda x: ((x[0] + x[1]) ** 2 - (x[0] - x[1]) ** 2) / 4,
        ),
        "square": (
            lambda x: (x[0] + x[1]) ** 2,
            lambda x: x[0] ** 2 + 2 * x[0] * x[1] + x[1] ** 2,
        ),
        "layers": (
            lambda x: _linear(_linear(x, [[1, 2], [3, -1]]), [1, -2]),
            lambda x: _linear(x, [-3, 5]),
        ),
        "twins": (
            _network([[2], [-1]], [1]),
            _network([[1, 1], [-0.5, -0.5]], [1, 1]),
        ),
        "sigmoid": (
            lambda x: jax.nn.sigmoid(x[0] - x[1]),
            lambda x: (jnp.tanh((x[0] - x[1]) / 2) + 1) / 2,
        ),
        "softplus": (
            lambda x: jax.nn.softplus(x[0] - x[1]),
            lambda x: jax.nn.logsumexp(jnp.stack([x[0], x[1]])) - x[1],
        ),
    }


def _network(first: list[list[float]], last: list[float]) -> Model:
    """A hidden layer of rectifiers, without biases."""
    return lambda x: _linear(relu(_linear(x, first)), last)


def _linear(x: jax.Array, weights: PyTree) -> jax.Array:
    return x @ jnp.asarray(weights, x.dtype)
