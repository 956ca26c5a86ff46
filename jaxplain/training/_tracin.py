"""TracIn: how much the steps of training on an example changed the loss of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from .._call import named
from .._progress import Progress
from .._types import Attribution, PyTree
from ._checkpoints import Checkpoints
from ._curvature import Curvature, Loss
from ._each import OfEachExample
from ._examples import Examples
from ._parameters import Vector
from ._runs import checked_example
from ._vectors import dot, scale


def tracin(
    loss: Loss,
    checkpoints: Iterable[PyTree],
    train: Any,
    *,
    rates: Any,
    parameters: str | Sequence[str] = "*",
    chunk: int | None = None,
    progress: Progress = None,
) -> Attribution:
    r"""TracIn: how much training on each example lowered the loss of another.

    $T_i = \sum_k \eta_k \, \nabla_\theta L(\theta_k, z) \cdot \nabla_\theta L(\theta_k, z_i)$ over
    checkpoints $\theta_k$ of the training: a step of gradient descent on $z_i$ alone lowers the
    loss of $z$ by about this much. **The sign is the opposite of `influence`**: here a positive
    number is a proponent, whose training lowered the loss, and a negative one an opponent.

    Args:
        loss: `loss(params, *example) -> scalar`, of one example.
        checkpoints: the parameters at several times of the training: a list of pytrees, or an
            iterable that loads one at a time, and is read again in each call.
        train: the training set: a tuple of arrays, the arguments of `loss` after the parameters,
            with a leading axis of n examples; or an iterable of such tuples, batches that are read
            once for each checkpoint.
        rates: the learning rate at the checkpoints, one number or one for each, (K,); for a
            checkpoint that stands for many steps, the sum of their rates.
        parameters: a glob over the paths of the parameters that count, or several.
        chunk: at most this many training examples are looked at at once; None for all of them. A
            stream has its own batches.
        progress: True for a progress bar, or a function that is called with the number of training
            examples read so far in this call; arrays are then looked at in batches of `chunk`.

    Returns:
        A function of one example, the arguments of `loss` after the parameters, that returns one
        number for each training example, (n,), in units of the loss. `jax.vmap` of it explains
        many examples, with training arrays or a stream.

    Raises:
        ValueError: a number is not finite, no parameter fits, there are no checkpoints, or not as
            many as rates, or they have different parameters; the example is not like those of
            `train`.
        TypeError: `checkpoints` is one tree of parameters, or can be read only once, or `loss` is
            not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> loss = lambda w, x, y: (w @ x - y) ** 2 / 2
        >>> checkpoints = [jnp.zeros(2), jnp.array([0.5, 0.0])]
        >>> train = jnp.eye(2), jnp.array([1.0, 1.0])
        >>> explain = jaxplain.tracin(loss, checkpoints, train, rates=0.5)
        >>> explain(jnp.array([1.0, 1.0]), jnp.array(1.0)).tolist()
        [0.625, 0.75]

    Notes:
        - A gradient of the explained example and one forward pass over the training set for each
          checkpoint, by derivatives along that gradient: no gradient of a training example.
        - Scores grow with the gradients of the training examples: those with large losses,
          outliers for instance, stand out for whatever is explained.
        - The formula is that of plain gradient descent. With momentum or adaptive steps the
          training went along other directions.

    References:
        Pruthi et al. 2020, Estimating training data influence by tracing gradient descent,
        arXiv:2002.08484.
    """
    trained = Checkpoints(checkpoints, rates, parameters)
    curvature = Curvature(loss, trained.chosen)
    slopes = OfEachExample(curvature.slope, train, chunk, progress)
    like = slopes.like

    @jax.jit
    def step(params: PyTree, rate: jax.Array, example: Examples) -> Vector:
        direction: Vector = scale(curvature.gradient(params, example), rate)
        return direction

    def explain(*example: Any) -> jax.Array:
        example = checked_example(example, like)
        return _sum(trained, slopes, lambda params, rate: (params, step(params, rate, example)))

    return named(explain, "tracin", loss)


def self_tracin(
    loss: Loss,
    checkpoints: Iterable[PyTree],
    train: Any,
    *,
    rates: Any,
    parameters: str | Sequence[str] = "*",
    chunk: int | None = None,
    progress: Progress = None,
) -> jax.Array:
    r"""TracIn of each training example for itself: how much the training dwelt on it.

    $T_{ii} = \sum_k \eta_k \, |\nabla_\theta L(\theta_k, z_i)|^2$. It is large for examples that
    the model learns by themselves and against the others: outliers, and those with a wrong label.

    Args:
        loss: `loss(params, *example) -> scalar`, of one example.
        checkpoints: the parameters at several times of the training, as for `tracin`.
        train: the training set: a tuple of arrays with a leading axis of n examples, or an iterable
            of batches, as for `tracin`.
        rates: the learning rate at the checkpoints, one number or one for each, (K,).
        parameters: a glob over the paths of the parameters that count, or several.
        chunk: at most this many training examples are looked at at once, each with a gradient of
            its own; None for all of them.
        progress: True for a progress bar, or a function that is called with the number of training
            examples read so far; arrays are then looked at in batches of `chunk`.

    Returns:
        One number for each training example, (n,), never negative, in units of the loss.

    Raises:
        ValueError: a number is not finite, no parameter fits, there are no checkpoints, or not as
            many as rates, or they have different parameters.
        TypeError: `checkpoints` is one tree of parameters, or can be read only once, or `loss` is
            not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> loss = lambda w, x, y: (w @ x - y) ** 2 / 2
        >>> train = jnp.eye(2), jnp.array([1.0, 3.0])
        >>> jaxplain.self_tracin(loss, [jnp.zeros(2)], train, rates=0.5).tolist()
        [0.5, 4.5]

    Notes:
        A stream is looked at one batch at once: its batches should be small enough for a gradient
        of each of their examples.

    References:
        Pruthi et al. 2020, Estimating training data influence by tracing gradient descent,
        arXiv:2002.08484.
    """
    trained = Checkpoints(checkpoints, rates, parameters)
    curvature = Curvature(loss, trained.chosen)

    def square(operand: tuple[PyTree, jax.Array], *example: Any) -> jax.Array:
        params, rate = operand
        gradient = curvature.gradient(params, example)
        length = dot(gradient, gradient)
        return rate.astype(length.dtype) * length

    squares = OfEachExample(square, train, chunk, progress)
    return _sum(trained, squares, lambda *operand: operand)


def _sum(
    checkpoints: Checkpoints,
    of_each: OfEachExample,
    operand: Callable[[PyTree, jax.Array], PyTree],
) -> jax.Array:
    """The sum over checkpoints of something of each training example."""
    work = of_each.work()
    total: Any = 0
    for params, rate in checkpoints:
        total += work(operand(params, rate))
    result: jax.Array = total
    return result
