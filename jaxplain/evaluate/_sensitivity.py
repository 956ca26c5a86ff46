"""How much an explanation changes when the input hardly does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import Score
from .._types import Argnums, Chunk, Model, PyTree, Scalar
from ._nearby import Nearby, explanation
from ._norms import distance, norm, ratio
from ._subjects import Attributions, Explain, of_methods


def max_sensitivity(
    f: Model,
    attribution: Attributions,
    *,
    radius: Scalar = 0.02,
    samples: int = 10,
    noise: str = "uniform",
    relative: bool = True,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The largest change of the explanation over random inputs nearby.

    $\max_{\|\delta\|_\infty \le r} \|A(x + \delta) - A(x)\| \,/\, \|A(x)\|$ with Euclidean norms
    over all elements, the maximum estimated by random $\delta$. Less is better.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a function with the arguments of `f`, or a dictionary of several. All of them
            are asked at the same inputs. Their baselines are bound with `functools.partial`.
        radius: how far an input moves in each element, in units of the input, positive; the
            standard deviation for `noise="normal"`.
        samples: how many random inputs.
        noise: `"uniform"`, within the radius, or `"normal"`.
        relative: divide by the norm of the explanation at `x`. If False, the result has the units
            of the attribution, as in the paper.
        chunk: at most this many attributions per example are live at once; "auto" for as many as
            run fast, None for all.
        argnums: the argument (or arguments) that is explained, floating point.

    Returns:
        A function with the arguments of `f` and `key=` that returns a number, or a dictionary of
        them. Sample `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid.
        TypeError: when called, without a key, or for an input that is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> methods = {"gradient": jax.grad(f), "constant": jnp.ones_like}
        >>> found = evaluate.max_sensitivity(f, methods)(jnp.ones(3), key=jax.random.key(0))
        >>> 0 < float(found["gradient"]) <= 0.02, float(found["constant"])
        (True, 0.0)

    Notes:
        A constant explanation has no sensitivity: a good number says nothing of how right an
        explanation is. One that is zero everywhere has an infinite sensitivity, or none if it stays
        zero nearby. A random attribution gets the same key at all inputs, so its own noise does not
        count. NaN if the inputs do not move at all: in bfloat16 a small `radius` may be less than
        their last digit.

    References:
        Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392.
    """
    near = Nearby.checked(radius, samples, noise, chunk)

    def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> jax.Array:
        del score
        return jnp.max(_changes(explain, x, key, near, relative))

    return of_methods(f, attribution, measure, name="max_sensitivity", argnums=argnums, random=True)


def avg_sensitivity(
    f: Model,
    attribution: Attributions,
    *,
    radius: Scalar = 0.02,
    samples: int = 10,
    noise: str = "uniform",
    relative: bool = True,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The mean change of the explanation over random inputs nearby.

    $E_\delta \|A(x + \delta) - A(x)\| \,/\, \|A(x)\|$ with Euclidean norms over all elements. Less
    is better.

    Args:
        f: as for `max_sensitivity`.
        attribution: as for `max_sensitivity`.
        radius: as for `max_sensitivity`.
        samples: as for `max_sensitivity`.
        noise: as for `max_sensitivity`.
        relative: as for `max_sensitivity`.
        chunk: as for `max_sensitivity`.
        argnums: as for `max_sensitivity`.

    Returns:
        A function as that of `max_sensitivity`.

    Raises:
        ValueError: as for `max_sensitivity`.
        TypeError: as for `max_sensitivity`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> measure = evaluate.avg_sensitivity(f, jax.grad(f), samples=50)
        >>> 0.005 < float(measure(jnp.ones(3), key=jax.random.key(0))) < 0.02
        True

    Notes:
        An estimate of a mean, whose noise falls with the root of `samples`; the maximum of
        `max_sensitivity` grows with them.

    References:
        Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392.
        Bhatt, Weller and Moura 2020, Evaluating and aggregating feature-based model explanations,
        arXiv:2005.00631.
    """
    near = Nearby.checked(radius, samples, noise, chunk)

    def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> jax.Array:
        del score
        return jnp.mean(_changes(explain, x, key, near, relative))

    return of_methods(f, attribution, measure, name="avg_sensitivity", argnums=argnums, random=True)


def local_lipschitz(
    f: Model,
    attribution: Attributions,
    *,
    radius: Scalar = 0.1,
    samples: int = 50,
    noise: str = "uniform",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The largest change of the explanation per change of the input, nearby.

    $\max_{x'} \|A(x) - A(x')\|_2 \,/\, \|x - x'\|_2$ over random $x'$ around $x$: a lower bound of
    the local Lipschitz constant of the explanation. Less is better.

    Args:
        f: as for `max_sensitivity`.
        attribution: as for `max_sensitivity`.
        radius: as for `max_sensitivity`.
        samples: as for `max_sensitivity`.
        noise: as for `max_sensitivity`.
        chunk: as for `max_sensitivity`.
        argnums: as for `max_sensitivity`.

    Returns:
        A function as that of `max_sensitivity`; the number has units of the attribution per unit
        of the input.

    Raises:
        ValueError: as for `max_sensitivity`.
        TypeError: as for `max_sensitivity`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> measure = evaluate.local_lipschitz(f, jax.grad(f))
        >>> round(float(measure(jnp.ones(3), key=jax.random.key(0))), 3)
        2.0

    Notes:
        It scales with the attribution: to compare methods of different units, divide each by its
        norm, or use `max_sensitivity`. Random search finds less than the true maximum, the more so
        the more elements the input has.

    References:
        Alvarez-Melis and Jaakkola 2018, On the robustness of interpretability methods,
        arXiv:1806.08049.
    """
    near = Nearby.checked(radius, samples, noise, chunk)

    def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> jax.Array:
        del score
        here = explanation(explain, x)

        def slope(other: PyTree) -> jax.Array:
            return ratio(distance(explanation(explain, other), here), distance(other, x))

        return jnp.max(near.values(slope, x, key))

    return of_methods(f, attribution, measure, name="local_lipschitz", argnums=argnums, random=True)


def _changes(
    explain: Explain, x: PyTree, key: jax.Array, near: Nearby, relative: bool
) -> jax.Array:
    """How far the explanation moves from that of `x`, for each sample."""
    here = explanation(explain, x)
    changes: jax.Array = near.values(lambda y: distance(explanation(explain, y), here), x, key)
    if not relative:
        return changes
    return ratio(changes, norm(here))
