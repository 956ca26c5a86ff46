"""Activation maximization: the input that a score is highest at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, name_of, named
from .._errors import check_count, warn_unless
from .._keys import checked_key
from .._optax import import_optax
from .._tree import cast_like
from .._types import Argnums, Model, PyTree
from ._ascent import Problem, ascend
from ._parametrizations import Parametrization, checked_parametrization
from ._penalties import Penalty
from ._reports import Progress, reporter
from ._transforms import Transform, compose


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ascent:
    """How an activation maximization went: the second output under `info=True`.

    Args:
        objective: the score before each step, in units of `f`, of shape (steps,): the mean over the
            transforms drawn at that step, without penalties.
        penalty: the sum of the penalties before each step, of shape (steps,).
        value: the score of the result, `f(x)`, without transforms and penalties.
        code: the variable of the parametrization, of which `x` is made; a later ascent with
            `parametrizations.code` may start there.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: -jnp.sum((x - 1) ** 2)
        >>> x, ascent = jaxplain.maximize_activation(f, steps=100, info=True)(jnp.zeros(2))
        >>> ascent.objective.shape, bool(ascent.value > ascent.objective[0])
        ((100,), True)
    """

    objective: Any
    penalty: Any
    value: Any
    code: Any


def maximize_activation(
    f: Model,
    *,
    optimizer: Any = None,
    steps: int = 256,
    parametrization: Parametrization | None = None,
    penalties: Sequence[Penalty] | Penalty = (),
    transforms: Sequence[Transform] | Transform = (),
    samples: int = 1,
    argnums: Argnums = 0,
    progress: Progress = None,
    info: bool = False,
) -> Callable[..., Any]:
    r"""The input that a score is highest at, found by gradient ascent from a start.

    $\max_x \; \mathbb E_T[f(T(x))] - \sum_i P_i(x)$ with penalties $P_i$ and random transforms $T$,
    drawn anew in each step. All steps are one compiled loop.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example: a logit, a log-probability, or the
            `activation` of a unit inside.
        optimizer: an Optax optimizer; None for `optax.adam(0.05)`. Its steps are in the units of
            the parametrization's code: of the input, for pixels.
        steps: number of steps.
        parametrization: what the steps move: `parametrizations.pixels((0, 1))`, the input itself
            within bounds; `fourier()`, its spectrum; `code(g)`, the code of a generator. None for
            the input itself.
        penalties: functions `x -> scalar` in units of `f`, from `jaxplain.penalties` or your own.
        transforms: functions `(key, x) -> x`, from `jaxplain.transforms` or your own, applied in
            this order before `f`. Penalties see `x` as it is.
        samples: how many draws of the transforms each step averages over.
        argnums: the argument (or arguments) that is moved, as in `jax.grad`.
        progress: True for a progress bar, or a function that is called with the number of steps
            done, about 20 times in all, from compiled code too.
        info: also return an `Ascent`.

    Returns:
        A function with the arguments of `f`, the start in the place of `x`, and `key=` if there are
        transforms. It returns the last `x`, a pytree like the start (for `code(g)`: the start is a
        code, and `g(z)` is returned), or `(x, Ascent)`. Draw `j` of step `i` uses
        `jax.random.fold_in(jax.random.fold_in(key, i), j)`, divided among the transforms as by
        `transforms.compose`.

    Raises:
        ValueError: an option is invalid; when called, the start is not finite.
        TypeError: `optimizer`, `parametrization` or `progress` is of another kind; when called, `f`
            or a penalty does not return one real number, or a key is missing or of no use.
        ImportError: Optax is not installed, or tqdm, for `progress=True`.

    Example:
        The tutorial's three: a penalty, an expert that knows the data, and a generator's code.

        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import parametrizations, penalties
        >>> f = lambda x: x @ jnp.array([2.0, -2.0])
        >>> simple = jaxplain.maximize_activation(f, penalties=[penalties.l2(1.0)])
        >>> simple(jnp.zeros(2)).round(2)
        Array([ 1., -1.], dtype=float32)
        >>> data = lambda x: -jnp.sum((x - 3.0) ** 2)
        >>> likely = jaxplain.maximize_activation(f, penalties=[penalties.expert(data)])
        >>> likely(jnp.zeros(2)).round(2)
        Array([4., 2.], dtype=float32)
        >>> made = jaxplain.maximize_activation(
        ...     f,
        ...     parametrization=parametrizations.code(lambda z: jnp.array([1.0, 0.5]) * z),
        ...     penalties=[penalties.on_code(penalties.l2(0.5))],
        ... )
        >>> made(jnp.zeros(2)).round(2)
        Array([ 2. , -0.5], dtype=float32)

        Many starts, of noise, and each with its own draws:

        >>> maximize = jaxplain.maximize_activation(
        ...     lambda x: x[1, 1] - jnp.sum(x**2),
        ...     steps=20,
        ...     transforms=[jaxplain.transforms.jitter(1)],
        ... )
        >>> keys = jax.random.split(jax.random.key(0), 4)
        >>> starts = jax.random.normal(jax.random.key(1), (4, 3, 3))
        >>> jax.jit(jax.vmap(maximize))(starts, key=keys).shape
        (4, 3, 3)

    Notes:
        - The start matters: noise is `jax.random.normal`, the mean of the data or of a class is
          yours to compute, and another start finds another maximum.
        - A score without an upper bound, such as a logit, needs bounds or a penalty to have a
          maximum at all.
        - An ascent that ends in NaN or infinity warns with a `RuntimeWarning`, also from compiled
          code.
        - Numbers narrower than float32 are moved in float32, as small steps would be lost.
        - Optimizers that search along a line, `optax.lbfgs()` for instance, get the loss of the
          step, with the draws of the step.

    References:
        Erhan et al. 2009, Visualizing higher-layer features of a deep network. Simonyan, Vedaldi
        and Zisserman 2014, Deep inside convolutional networks, arXiv:1312.6034. Montavon, Samek and
        Müller 2018, Methods for interpreting and understanding deep neural networks,
        arXiv:1706.07979. Olah et al. 2017, Feature visualization, Distill.
    """
    check_count("steps", steps)
    check_count("samples", samples)
    solver = _checked_optimizer(optimizer)
    coding = checked_parametrization(parametrization)
    costs = _checked_functions("penalties", penalties)
    changes = _checked_functions("transforms", transforms)
    if samples > 1 and not changes:
        raise ValueError(
            f"samples={samples} draws of no transforms are all the same: pass transforms=, or "
            "leave samples=1."
        )
    who = f"maximize_activation({name_of(f)})"
    tick = reporter(progress, steps, who)

    def maximize(*args: Any, key: jax.Array | None = None, **kwargs: Any) -> Any:
        if changes:
            key = checked_key(key, who)
        elif key is not None:
            raise TypeError(f"{who} has no transforms, so nothing random: leave key= out.")
        score, start = bind(f, args, kwargs, argnums)
        like = coding.encode(start)
        problem = Problem(
            score, coding, like, costs, compose(*changes) if changes else None, samples, key
        )
        code, (objective, penalty) = ascend(problem, solver, steps, tick)
        code = cast_like(code, like)
        x = coding.decode(code)
        _warn_unless_finite((x, code), objective, steps)
        return (x, Ascent(objective, penalty, score(x), code)) if info else x

    return named(maximize, "maximize_activation", f, random=bool(changes))


def _warn_unless_finite(result: PyTree, objective: jax.Array, steps: int) -> None:
    good = jnp.isfinite(objective)
    finite = jnp.all(good)
    for leaf in jax.tree.leaves(result):
        finite = finite & jnp.all(jnp.isfinite(leaf))
    warn_unless(
        finite,
        f"maximize_activation was finite for {{count}} of {steps} steps only, and what it returned "
        "is no maximum. Take smaller steps, optimizer=optax.adam(0.01) for instance, or keep the "
        "input in bounds: parametrization=jaxplain.parametrizations.pixels((0, 1)).",
        count=jnp.sum(jnp.cumprod(good.astype(jnp.int32)), dtype=jnp.int32),
    )


def _checked_functions(option: str, given: Any) -> tuple[Any, ...]:
    """A tuple of functions; one by itself counts as a tuple of one."""
    functions = (given,) if callable(given) else given
    if not isinstance(functions, tuple | list) or not all(map(callable, functions)):
        raise TypeError(
            f"{option}={given!r} must be functions, such as those in jaxplain.{option}: a list."
        )
    return tuple(functions)


def _checked_optimizer(optimizer: Any) -> Any:
    """An Optax optimizer that takes the loss and its gradient beside the update."""
    optax = import_optax("Activation maximization")
    if optimizer is None:
        optimizer = optax.adam(0.05)
    if not callable(getattr(optimizer, "init", None)) or not callable(
        getattr(optimizer, "update", None)
    ):
        raise TypeError(
            f"optimizer={optimizer!r} must be an Optax optimizer, such as optax.adam(0.05)."
        )
    return optax.with_extra_args_support(optimizer)
