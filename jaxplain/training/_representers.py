"""Representer points: a prediction as a sum of contributions of the training examples."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._call import check_score
from .._errors import check_count, check_real, is_concrete, warn_unless
from .._progress import Progress
from .._tree import describe, first_nonfinite, wide
from .._types import PyTree, Scalar
from ._each import OfEachExample
from ._examples import Examples
from ._newton import newton
from ._training import OfExample


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Representers:
    r"""A refitted last layer, and what each training example contributes to it.

    Args:
        alphas: $\alpha_{ik} = -\frac{1}{2 \lambda n} \partial L_i / \partial h_k$, (n, K): positive
            for the class of an example, negative for the others, and large where the fit is poor.
        weights: the refitted last layer $W$, (D, K), logits per unit of the features.
        inputs: the features of the training examples, (n, D).
        residual: the largest difference, over the training set, between a logit and the sum of
            the training examples' contributions to it, ().
        gradient: the largest derivative of the objective at the weights, ().
        converged: whether the contributions add up to the weights within the tolerance, ().
        features: the function that was given, x -> (D,).

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> loss = lambda h, y: jnp.sum((h - y) ** 2) / 2
        >>> train = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0], [2.0]])
        >>> fitted = jaxplain.representer_points(
        ...     lambda x: x, loss, train, start=jnp.zeros((2, 1)), l2=0.25)
        >>> fitted.weights.tolist()
        [[0.5], [1.0]]
    """

    alphas: jax.Array
    weights: jax.Array
    inputs: jax.Array
    residual: jax.Array
    gradient: jax.Array
    converged: jax.Array
    features: Callable[[Any], jax.Array] = dataclasses.field(metadata={"static": True})

    def logits(self, x: PyTree) -> jax.Array:
        """The refitted model's logits of one example, (K,)."""
        result: jax.Array = self._features(x) @ self.weights
        return result

    def values(self, x: PyTree) -> jax.Array:
        r"""What each training example contributes to the logits of one example, (n, K).

        $\alpha_i \, (f_i \cdot f(x))$, whose sum over i is `logits(x)`: positive for a class the
        example speaks for, negative for one it speaks against.
        """
        return self.alphas * (self.inputs @ self._features(x))[:, None]

    def _features(self, x: PyTree) -> jax.Array:
        return self.features(x).astype(self.inputs.dtype)


def representer_points(
    features: Callable[[Any], jax.Array],
    loss: Callable[..., Any],
    train: tuple[Any, ...] | Iterable[tuple[Any, ...]],
    *,
    start: jax.Array,
    l2: Scalar = 0.01,
    tolerance: float | None = None,
    iterations: int = 100,
    chunk: int | None = None,
    progress: Progress = None,
) -> Representers:
    r"""Refit the last linear layer, so that its logits are sums over the training examples.

    At a minimum of $\lambda |W|^2 + \frac1n \sum_i L(f_i W, y_i)$ over the weights the derivative
    is zero, so $W = \sum_i f_i \alpha_i'$ with $\alpha_i = -\frac{1}{2 \lambda n} \nabla_h L_i$,
    and the logits of any example are $f(x) W = \sum_i \alpha_i \, (f_i \cdot f(x))$.

    Args:
        features: x -> (D,), what the last linear layer of the model sees of one example, such as
            `jaxplain.cut(model, at="head:in")[0]`.
        loss: `loss(logits, *targets) -> scalar`, of one example, with logits (K,); convex in them,
            as cross-entropy and the squared error are.
        train: the training set: a tuple `(xs, *targets)` of arrays with a leading axis of n
            examples; or an iterable of such tuples, batches that are read twice, of which only the
            features and the targets are held.
        start: weights to start from, (D, K): the model's own last layer is near the end already;
            zeros will do.
        l2: $\lambda$, positive. A large one lets many examples share in a prediction, and draws the
            logits to zero.
        tolerance: how far $\sum_i f_i \alpha_i'$ may be from $W$, as a share of $|W|$; 1e-4 in
            float32 and 1e-10 in float64 if None.
        iterations: at most this many steps of Newton's method.
        chunk: of at most this many training examples features are computed at once; None for all
            of them.
        progress: True for a progress bar, or a function that is called with the number of training
            examples read so far; arrays are then looked at in batches of `chunk`.

    Returns:
        `Representers`: `values(x)`, what each training example contributes to each logit of x;
        `logits(x)`, their sum; the coefficients `alphas`; and how well all this holds.

    Raises:
        ValueError: an option is invalid, a number is not finite, `start` does not fit the features,
            or `features` gives no vector.
        TypeError: `loss` is not scalar, or a stream can be read only once.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> loss = lambda h, y: jnp.sum((h - y) ** 2) / 2
        >>> train = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0], [2.0]])
        >>> fitted = jaxplain.representer_points(
        ...     lambda x: x, loss, train, start=jnp.zeros((2, 1)), l2=0.25)
        >>> fitted.values(jnp.array([1.0, 1.0])).tolist()
        [[0.5], [1.0]]

    Notes:
        - This explains the refitted layer, not the model's own: compare `logits(x)` with the
          model's logits on data that matter. Where they differ a smaller `l2` brings them closer.
          To stay near the model whatever its labels were, give its predicted probabilities as
          targets of a cross-entropy, as the paper does.
        - There is no bias. To have one, append a constant feature, `jnp.append(f(x), 1.0)`, and
          the bias as a last row of `start`; it is penalised as the other weights are.
        - An example counts by how poorly it is fitted times how similar it is to x: the features
          of an example that is fitted perfectly contribute nothing.
        - Warns where the fit did not converge, since the sum holds only at a minimum.

    References:
        Yeh et al. 2018, Representer point selection for explaining deep neural networks,
        arXiv:1811.09720.
    """
    check_count("iterations", iterations)
    _check_positive("l2", l2)
    if tolerance is not None:
        _check_positive("tolerance", tolerance)
    inputs, targets = OfEachExample(_looking(features), train, chunk, progress)(None)
    start = _checked_start(start, inputs)
    if tolerance is None:
        tolerance = {4: 1e-4, 8: 1e-10}[inputs.dtype.itemsize]
    # A function of its own, so that what is compiled of `loss` goes with it.
    fitting = functools.partial(_fit, loss=loss, iterations=iterations)
    fit: _Fit = jax.jit(fitting)(inputs, targets, start, l2, tolerance)
    warn_unless(
        fit.converged,
        "representer_points did not converge: contributions differ from the logits by up to "
        "{residual:.2g} on the training set, and the largest derivative is {gradient:.2g}. Give "
        "more iterations or a larger l2; a loss that is not smooth has no such sum.",
        residual=fit.residual,
        gradient=fit.gradient,
    )
    return Representers(**fit._asdict(), inputs=inputs, features=features)


def _looking(features: Callable[[Any], jax.Array]) -> OfExample:
    """The features of an example, in at least float32, and its targets."""

    def of_example(_: None, x: PyTree, *targets: Any) -> tuple[jax.Array, Examples]:
        value = features(x)
        shape = getattr(value, "shape", None)
        if shape is None or len(shape) != 1 or not jnp.issubdtype(value.dtype, jnp.floating):
            raise ValueError(
                "features must give one vector of floating-point numbers for one example, (D,), "
                f"but gave {describe(value, 'features')}. Of positions take the mean, or whatever "
                "the model's last layer sees."
            )
        return value.astype(wide(value.dtype)), targets

    return of_example


def _checked_start(start: Any, inputs: jax.Array) -> jax.Array:
    shape = np.shape(start)
    if len(shape) != 2 or shape[0] != inputs.shape[1]:
        hint = " It looks transposed: start.T." if inputs.shape[1] in shape[1:] else ""
        raise ValueError(
            f"start has shape {shape}, but the features have {inputs.shape[1]} entries: the "
            "weights of a last layer, logits = features @ W, have shape "
            f"({inputs.shape[1]}, K).{hint}"
        )
    for name, value in (("start", start), ("features", inputs)):
        if (where := first_nonfinite(value, name)) is not None:
            raise ValueError(f"Not finite: {where}.")
    return jnp.asarray(start).astype(inputs.dtype)


def _check_positive(option: str, value: Any) -> None:
    check_real(option, value, low=0)
    if is_concrete(value) and not np.asarray(value) > 0:
        raise ValueError(f"{option}={value!r} must be positive.")


class _Fit(NamedTuple):
    alphas: jax.Array
    weights: jax.Array
    residual: jax.Array
    gradient: jax.Array
    converged: jax.Array


def _fit(
    inputs: jax.Array,
    targets: Examples,
    start: jax.Array,
    l2: Scalar,
    tolerance: Scalar,
    *,
    loss: Callable[..., Any],
    iterations: int,
) -> _Fit:
    dtype = inputs.dtype
    l2 = jnp.asarray(l2, dtype)

    def mean_loss(logits: jax.Array) -> jax.Array:
        each = jax.vmap(lambda h, *targets: check_score(loss(h, *targets), loss))(logits, *targets)
        return jnp.mean(each.astype(dtype))

    def objective(weights: jax.Array) -> jax.Array:
        value: jax.Array = l2 * jnp.sum(weights**2) + mean_loss(inputs @ weights)
        return value

    def enough(weights: jax.Array, gradient: jax.Array) -> jax.Array:
        # The gradient is 2 l2 times what the contributions lack of the weights.
        missing = jnp.linalg.norm(gradient) / (2 * l2)
        small: jax.Array = missing <= jnp.asarray(tolerance, dtype) * jnp.linalg.norm(weights)
        return small

    weights = newton(objective, start, enough, iterations)
    gradient = jax.grad(objective)(weights)
    alphas = -jax.grad(mean_loss)(inputs @ weights) / (2 * l2)
    return _Fit(
        alphas,
        weights,
        residual=jnp.max(jnp.abs(inputs @ (inputs.T @ alphas - weights))),
        gradient=jnp.max(jnp.abs(gradient)),
        converged=enough(weights, gradient),
    )
