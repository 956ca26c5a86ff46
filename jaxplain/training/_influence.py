"""Influence functions: what training on an example did to the loss of another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._call import named
from .._errors import check_real, warn_unless
from .._progress import Progress
from .._types import Attribution, Info, PyTree, Scalar
from ._curvature import Loss, curvature_of
from ._each import arrays_or_stream
from ._examples import Examples, check_not_traced, example_like, few_of, in_memory
from ._options import key_of, solver_of
from ._parameters import choose
from ._resume import Digest
from ._runs import Compiled, Method, Streamed, checked_example
from ._solvers import Solution
from ._training import Batches

INDEFINITE = (
    "influence met a direction along which the damped curvature is {bend:.3g}, not positive: the "
    "parameters are not at a minimum of the mean loss, or the loss is not convex. Train on, raise "
    "damping=, or use curvature='gauss_newton'."
)
UNSOLVED = {
    "cg": "Raise iterations= or damping=, compute in float64, or accept it with tolerance=.",
    "lissa": "Raise iterations=, repeats= or batch=; if it grows, raise scale= or damping=.",
    "arnoldi": "",
}


def influence(
    loss: Loss,
    params: PyTree,
    train: Examples | Iterable[Examples],
    *,
    parameters: str | Sequence[str] = "*",
    solver: str = "cg",
    curvature: str = "hessian",
    outputs: str | None = None,
    damping: Scalar = 0.01,
    tolerance: float | None = None,
    iterations: int | None = None,
    scale: Scalar | None = None,
    batch: int | None = None,
    repeats: int | None = None,
    rank: int | None = None,
    dimension: int | None = None,
    chunk: int | None = None,
    progress: Progress = None,
    checkpoint: str | os.PathLike[str] | None = None,
    info: bool = False,
) -> Attribution:
    r"""Influence functions: what each training example did to the loss of another example.

    $I_i = -\nabla L(z)' (H + \lambda I)^{-1} \nabla L(z_i)$, with gradients in the parameters and
    $H$ the Hessian of the mean loss of training. It is the derivative of the loss of $z$, after
    training, by the weight of $z_i$ in the mean. **Negative: the training example helped**, it
    lowered the loss of $z$. Leaving it out changes that loss by about $-I_i / n$.

    Args:
        loss: `loss(params, *example) -> scalar` of one example, the one that training minimised the
            mean of; a penalty on the parameters may be part of it.
        params: the trained parameters, a pytree.
        train: the training set: a tuple of arrays, the arguments of `loss` after the parameters,
            with a leading axis of n examples; or an iterable of such tuples (batches), which is
            read once here and then once for each step of the solver.
        parameters: a glob over the paths of the parameters that may move, such as `"Dense_1/*"`, or
            several; the others are held constant.
        solver: `"cg"`, conjugate gradients, exact; `"lissa"`, a series with the curvature of small
            batches; `"arnoldi"`, the inverse on the subspace of the largest eigenvalues, found once
            for all examples.
        curvature: `"hessian"`, or `"gauss_newton"`, which has no negative eigenvalues for a loss
            that is convex in the outputs, also away from a minimum.
        outputs: for Gauss-Newton, the path of the network's outputs within `loss`, as for `cut`: a
            `jax.named_scope`, say.
        damping: $\lambda$, added to all eigenvalues of the curvature, in their units.
        tolerance: how large the residual of the system may be, as a share of the gradient; if None
            the root of the rounding unit (3e-4 in float32) for `"cg"`, 0.3 for `"lissa"`.
        iterations: steps at most; if None 100 for `"cg"`, 1000 for each run of `"lissa"`.
        scale: for LiSSA, what the curvature is divided by, at least half its largest eigenvalue on
            any batch; if None the largest that a short power iteration meets.
        batch: for LiSSA, the number of examples in a step, drawn at random; 32 if None. A stream
            has its own batches, taken in their order.
        repeats: for LiSSA, the number of runs that are averaged; 10 if None.
        rank: for Arnoldi, how many eigenvectors to keep; 32 if None.
        dimension: for Arnoldi, the number of steps, at least the rank; twice the rank if None.
        chunk: at most this many training examples are looked at at once; None for all of them. A
            stream has its own batches.
        progress: True for a progress bar, or a function that is called with the number of training
            examples read so far in this call; arrays are then cut into batches of `chunk` and read
            by Python.
        checkpoint: a file (.npz) that keeps the state after each step, so that the same call goes
            on there after an interruption; arrays are then cut into batches as for `progress`. It
            remains, and holds the scores in the end. Each example needs a file of its own.
        info: also return an `Info` with `steps`, `evaluations` (derivatives of one example's loss),
            `residual` and `converged`; nothing is warned of then.

    Returns:
        A function of one example, the arguments of `loss` after the parameters, that returns one
        number for each training example, (n,), in units of the loss, or `(that, Info)`. LiSSA and
        Arnoldi need `key=`. For arrays it may be compiled, mapped and differentiated.

    Raises:
        ValueError: an option is invalid or of another solver, no parameter fits, a number is not
            finite, `train` has no examples, the example is not like those of `train`, or the
            checkpoint is that of another call.
        TypeError: `loss` is not scalar, a parameter has less than 32 bits, `train` can be read only
            once, a key is missing, or a stream is to be compiled.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> loss = lambda w, x, y: (w @ x - y) ** 2 / 2
        >>> train = jnp.array([[1.0, 0], [0, 1], [0, 1]]), jnp.array([1.0, 1, 3])
        >>> explain = jaxplain.influence(loss, jnp.array([1.0, 2.0]), train, damping=0.0)
        >>> explain(jnp.array([0.0, 1.0]), jnp.array(1.0)).round(3).tolist()
        [0.0, -1.5, 1.5]

    Notes:
        - The parameters should be near a minimum of the mean loss. Where they are not, a warning
          says so when a solver meets negative curvature.
        - If a penalty is part of `loss`, it is part of the explained loss too.
        - Scores of a network with many layers are a local approximation: look at their order, or
          confirm a few by training again (Basu et al. 2021, arXiv:2006.14651).
        - Under `jax.jit` Arnoldi's subspace is found anew in each call. `jax.vmap(explain)` alone
          compiles too, and keeps it for the same key.

    References:
        Koh and Liang 2017, Understanding black-box predictions via influence functions,
        arXiv:1703.04730. Agarwal et al. 2017, Second-order stochastic optimization for machine
        learning in linear time, arXiv:1602.03943 (LiSSA). Schioppa et al. 2022, Scaling up
        influence functions, arXiv:2112.03052 (Arnoldi). Martens 2010, Deep learning via
        Hessian-free optimization, ICML (Gauss-Newton).
    """
    check_real("damping", damping, low=0)
    chosen = choose(params, parameters)
    curved = curvature_of(loss, chosen, curvature, outputs)
    given = {
        "tolerance": tolerance,
        "iterations": iterations,
        "scale": scale,
        "batch": batch,
        "repeats": repeats,
        "rank": rank,
        "dimension": dimension,
    }
    method = Method(curved, solver_of(solver, curved, given))
    params = jax.tree.map(jnp.asarray, params)
    damping = jnp.asarray(damping, jnp.result_type(*chosen.of(params).values()))
    digest, resumed = Digest(), checkpoint is not None
    if resumed or progress or not in_memory(train):
        check_not_traced(params, damping)
    examples = arrays_or_stream(
        train, chunk, progress, by_python=resumed, look=digest.add if resumed else None
    )
    run: Compiled | Streamed
    if isinstance(examples, Batches):
        if batch is not None:
            raise ValueError(
                "batch= is for arrays without progress= or checkpoint=: what is read by Python has "
                "batches, which LiSSA takes in their order."
            )
        like, first = examples.like, examples.first
        options = given | {"solver": solver, "outputs": outputs, "paths": chosen.paths}
        options |= {"damping": float(damping), "train": str(digest)}
        run = Streamed(method, params, examples, damping, checkpoint, options)
    else:
        like, first = example_like(examples), few_of(examples)
        run = Compiled(method, params, examples, chunk, damping)
    jax.eval_shape(curved.of_example(params), chosen.of(params), *like)
    curved.check_outputs(params, first)

    def explain(*example: Any, key: jax.Array | None = None) -> Any:
        example = checked_example(example, like)
        scores, solution = run(example, key_of(solver, key, "influence"))
        if info:
            return scores, _info(solution, len(scores))
        _warn(solution, solver)
        return scores

    return named(explain, "influence", loss, random=solver != "cg")


def _info(solution: Solution, count: int) -> Info:
    return Info(
        steps=solution.steps,
        evaluations=solution.products + count,
        residual=solution.residual,
        converged=solution.converged,
    )


def _warn(solution: Solution, solver: str) -> None:
    warn_unless(solution.definite, INDEFINITE, bend=solution.bend)
    warn_unless(
        solution.converged | ~solution.definite,
        "influence did not converge: the residual of its linear system is {residual:.2g} of the "
        f"gradient after {{steps}} steps. {UNSOLVED[solver]}",
        residual=solution.residual,
        steps=solution.steps,
    )
