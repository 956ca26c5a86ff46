"""Self-influence: how far each training example holds up its own fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import nested
from .._errors import check_real, warn_unless
from .._progress import Progress
from .._types import PyTree, Scalar
from ._arnoldi import LowRank
from ._curvature import Curvature, Loss, curvature_of
from ._each import arrays_or_stream
from ._examples import Examples, check_not_traced, few_of, in_memory
from ._options import key_of, solver_of
from ._parameters import choose
from ._solvers import Arnoldi, Solver
from ._training import Arrays, Batches
from ._vectors import dot

INDEFINITE = (
    "self_influence: the damped curvature is negative along some directions, where the parameters "
    "are at no minimum of the mean loss. These directions were left out: train longer, raise the "
    "damping, or take curvature='gauss_newton'."
)


def self_influence(
    loss: Loss,
    params: PyTree,
    train: tuple[Any, ...] | Iterable[tuple[Any, ...]],
    *,
    parameters: str | Sequence[str] = "*",
    solver: str = "arnoldi",
    curvature: str = "hessian",
    outputs: str | None = None,
    damping: Scalar = 0.01,
    rank: int | None = None,
    dimension: int | None = None,
    tolerance: float | None = None,
    iterations: int | None = None,
    chunk: int | None = None,
    progress: Progress = None,
    key: jax.Array | None = None,
) -> jax.Array:
    r"""How much the loss of each training example would rise if the training did without it.

    $S_i = \nabla_\theta L(z_i)' (C + \lambda I)^{-1} \nabla_\theta L(z_i)$ with the curvature $C$
    of the mean loss over the n training examples. **This is minus the diagonal of `influence`**, so
    that large numbers mark the examples that hold up their own fit, outliers and wrong labels:
    leaving one out raises its own loss by about $S_i / n$.

    Args:
        loss: `loss(params, *example) -> scalar`, of one example.
        params: the parameters of the trained model, a pytree.
        train: the training set: a tuple of arrays, the arguments of `loss` after the parameters,
            with a leading axis of n examples; or an iterable of such tuples, batches that are read
            `dimension + 2` times.
        parameters: a glob over the paths of the parameters that may move, or several.
        solver: `"arnoldi"`, the inverse within the space of the largest eigenvalues, found once for
            all examples; or `"cg"`, conjugate gradients for each example, exact, for arrays only.
        curvature: `"hessian"`, or `"gauss_newton"`, which has no negative eigenvalues where the
            loss is convex in the outputs of the network.
        outputs: for `"gauss_newton"` the path of these outputs within the loss, as for `cut`.
        damping: $\lambda$, at least 0, in units of the loss per squared parameter.
        rank: for `"arnoldi"`, how many eigenvectors are kept, those with the largest absolute
            eigenvalues; 32 if None.
        dimension: for `"arnoldi"`, how many products with the curvature they are found from; twice
            the rank if None. With as many as there are parameters the eigenvectors are exact.
        tolerance: for `"cg"`, the residual at which it stops, as a share of the gradient; half of
            the digits of the parameters' dtype if None.
        iterations: for `"cg"`, at most this many steps for an example; 100 if None.
        chunk: at most this many training examples are looked at at once; None for all of them.
            Gradients of single examples are held for at most `rank` of them. A stream has its own
            batches.
        progress: True for a progress bar, or a function that is called with the number of training
            examples read so far; arrays are then looked at in batches of `chunk`, each with a
            gradient of every example.
        key: a random key, which `"arnoldi"` needs for its first direction.

    Returns:
        One number for each training example, (n,), in units of the loss; not negative, unless
        `"cg"` met a matrix that is not positive definite.

    Raises:
        ValueError: an option is invalid, a number is not finite, or no parameter fits.
        TypeError: `loss` is not scalar, a key is missing, or a stream was given for `"cg"`, or can
            be read only once.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> loss = lambda w, x, y: (w @ x - y) ** 2 / 2
        >>> train = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([1.0, 3.0])
        >>> scores = jaxplain.self_influence(
        ...     loss, jnp.zeros(2), train, damping=0.5, key=jax.random.key(0))
        >>> scores.round(3).tolist()
        [1.0, 9.0]

    Notes:
        - Warns where the damped matrix is not positive definite: then the parameters are at no
          minimum along some direction. `"arnoldi"` drops such directions, as it drops those with
          an eigenvalue that is zero but for rounding. Raise the damping, or take `"gauss_newton"`.
        - `"arnoldi"` sees nothing of a gradient outside the space of its eigenvectors, where the
          inverse is largest: its numbers are too small, and grow with the rank. They are there to
          be compared with each other.
        - `"cg"` passes over the training set `iterations` times for each example.

    References:
        Koh and Liang 2017, Understanding black-box predictions via influence functions,
        arXiv:1703.04730. Schioppa et al. 2022, Scaling up influence functions, arXiv:2112.03052.
    """
    check_real("damping", damping, low=0)
    matrix = curvature_of(loss, choose(params, parameters), curvature, outputs)
    given = {
        "tolerance": tolerance,
        "iterations": iterations,
        "rank": rank,
        "dimension": dimension,
    }
    made = solver_of(solver, matrix, given, among=("arnoldi", "cg"))
    key = key_of(solver, key, "self_influence")
    if progress or not in_memory(train):
        check_not_traced(params, damping, key)
    examples = arrays_or_stream(train, chunk, progress)
    first = examples.first if isinstance(examples, Batches) else few_of(examples)
    matrix.check_outputs(params, first)
    if isinstance(made, Arnoldi):
        return _by_eigenvectors(made, params, examples, damping, chunk, key)
    if isinstance(examples, Batches):
        raise TypeError(
            "solver='cg' solves for many examples at once, and cannot do so with a stream of "
            "batches or with progress=: give train as a tuple of arrays, or take solver='arnoldi'."
        )
    return _by_descent(made, params, examples, damping, chunk)


def _by_eigenvectors(
    arnoldi: Arnoldi,
    params: PyTree,
    train: Examples | Batches,
    damping: Scalar,
    chunk: int | None,
    key: Any,
) -> jax.Array:
    square = _square(arnoldi.curvature)
    # As many gradients as there are eigenvectors take no more memory than these.
    few = arnoldi.rank if chunk is None else min(chunk, arnoldi.rank)

    @jax.jit
    def compiled(
        params: PyTree, train: Examples, damping: Scalar, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        fitted = arnoldi.prepare(Arrays(train, chunk), params, damping, key)
        return Arrays(train, few).each(square, (params, fitted)), fitted.definite

    scores: jax.Array
    if isinstance(train, Batches):
        fitted = arnoldi.prepare(train, params, damping, key)
        scores, definite = train.each(square, (params, fitted)), fitted.definite
    else:
        scores, definite = compiled(params, train, damping, key)
    warn_unless(definite, INDEFINITE)
    return scores


def _square(matrix: Curvature) -> Callable[..., jax.Array]:
    def of_example(operand: tuple[PyTree, LowRank], *example: Any) -> jax.Array:
        params, fitted = operand
        score: jax.Array = fitted.square(matrix.gradient(params, example))
        return score

    return of_example


def _by_descent(
    cg: Solver, params: PyTree, train: Examples, damping: Scalar, chunk: int | None
) -> jax.Array:
    @jax.jit
    def compiled(
        params: PyTree, train: Examples, damping: Scalar
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        # For every example whose system is solved, all others are looked at: one at a time, or
        # the memory would grow with the square of their number.
        count = Arrays(train).count
        solved, seen = nested(chunk or count, count)
        training = Arrays(train, seen)

        def of_example(params: PyTree, *example: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
            gradient = cg.curvature.gradient(params, example)
            solution = cg(training, params, gradient, damping, None, None)
            return dot(gradient, solution.vector), solution.converged, solution.residual

        return Arrays(train, solved).each(of_example, params)  # type: ignore[no-any-return]

    scores: jax.Array
    scores, converged, residuals = compiled(params, train, damping)
    warn_unless(
        jnp.all(converged),
        "self_influence: conjugate gradients did not converge for {count} examples; the largest "
        "residual is {residual:.2g} of the gradient. Give more iterations. If that does not help, "
        "the damped curvature is not positive definite: raise the damping, or take "
        "curvature='gauss_newton'.",
        count=jnp.sum(~converged),
        residual=jnp.max(residuals),
    )
    return scores
