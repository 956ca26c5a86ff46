"""Axioms that compare explanations: linearity in the model, and symmetry of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import Score, named
from .._errors import check_real, warn_unless
from .._keys import needs_key
from .._tree import cast_like, map_wide, widen
from .._types import Argnums, Attribution, Model, PyTree, Scalar
from ._gap import Gap, gap
from ._subjects import Attributions, Explain, of_methods

Make = Callable[[Model], Attribution]


def linearity(
    make_attribution: Make,
    f: Model,
    g: Model,
    *,
    weights: tuple[Scalar, Scalar] = (2.0, -1.0),
) -> Callable[..., Any]:
    r"""How far a method is from explaining a sum of models by the sum of their explanations.

    The distance of $A(a f + b g)$ from $a A(f) + b A(g)$.

    Args:
        make_attribution: a method, as in `lambda f: jaxplain.integrated_grad(f, steps=20)`: gives
            an attribution for any model.
        f: a model, `f(x, *args) -> scalar` of one example.
        g: another, with the same arguments.
        weights: the numbers $a$ and $b$.

    Returns:
        A function with the arguments of `f`, and `baseline=` and `key=` if the method takes them,
        that returns a `Gap`, relative to the longer of the two. All three explanations get the same
        key.

    Raises:
        ValueError: a weight is not a number.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f, g = lambda x: jnp.sum(x**2), lambda x: x[0] * x[1]
        >>> x = jnp.array([1.0, -2.0])
        >>> float(evaluate.linearity(jax.grad, f, g)(x).absolute)
        0.0
        >>> magnitude = lambda f: jaxplain.saliency(f, absolute=True)
        >>> round(float(evaluate.linearity(magnitude, f, g)(x).absolute), 3)
        4.472

    Notes:
        With weights of 1 only additivity is tested: a method that takes absolute values passes it
        where both explanations have equal signs.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    for weight in weights:
        check_real("weights", weight, low=-1e30, high=1e30)

    def combined(*args: Any, **kwargs: Any) -> jax.Array:
        values = [f(*args, **kwargs), g(*args, **kwargs)]
        total: jax.Array = combine(*map(jnp.asarray, values))
        return total

    def combine(left: PyTree, right: PyTree) -> PyTree:
        first, second = weights

        def weigh(u: jax.Array, v: jax.Array) -> jax.Array:
            return jnp.asarray(first, u.dtype) * u + jnp.asarray(second, v.dtype) * v

        return cast_like(map_wide(weigh, left, right), left)

    explain, of_f, of_g = map(make_attribution, (combined, f, g))

    def evaluate(*args: Any, **kwargs: Any) -> Gap:
        parts = of_f(*args, **kwargs), of_g(*args, **kwargs)
        return gap(explain(*args, **kwargs), combine(*parts))

    return named(evaluate, "linearity", f, random=needs_key(explain))


def symmetry(
    f: Model,
    attribution: Attributions,
    *,
    rearrange: Callable[[PyTree], PyTree],
    tolerance: Scalar = 1e-4,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How far an explanation is from treating alike what the model treats alike.

    For a rearrangement $T$ of the input's elements under which the score stays the same, the
    distance of $A(T x)$ from $T A(x)$. If $T$ exchanges two features that have equal values in $x$
    and in the baseline, this is the axiom of symmetry: both get the same.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        rearrange: a permutation of the elements, `x -> x`: `lambda x: x[jnp.array([1, 0, 2])]`
            exchanges the first two, `jnp.fliplr` mirrors a picture.
        tolerance: `f` is said to be symmetric if the score changes by at most this share of it, or
            by at most this.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f` and `key=` (if an attribution needs one), that returns
        a `Gap`, relative to the longer of the two, or a dictionary of them.

    Raises:
        ValueError: an option is invalid.
        TypeError: when called, if `f` is not scalar, or a key is missing or of no use.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> swap = lambda x: x[jnp.array([1, 0, 2])]
        >>> methods = {"gradient": jax.grad(f), "places": lambda x: jnp.arange(3.0)}
        >>> gaps = evaluate.symmetry(f, methods, rearrange=swap)(jnp.array([2.0, 3.0, 1.0]))
        >>> {name: round(float(gap.absolute), 3) for name, gap in gaps.items()}
        {'gradient': 0.0, 'places': 1.414}

    Notes:
        If the score of the rearranged input differs, the axiom says nothing, and a `RuntimeWarning`
        says so, also from compiled code. A baseline that is bound to the attribution should be
        symmetric too. A random method gets the same noise both times, which is not rearranged.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    check_real("tolerance", tolerance, low=0)

    def measure(score: Score, explain: Explain, x: PyTree, key: Any) -> Gap:
        del key
        other = rearrange(x)
        here, there = widen(score(x)), widen(score(other))
        warn_unless(
            jnp.abs(here - there) <= tolerance * jnp.maximum(jnp.abs(here), 1),
            "The model is not symmetric here: its score is {here:.4g}, and {there:.4g} for the "
            "rearranged input, so that symmetry demands nothing of its explanation.",
            here=here,
            there=there,
        )
        return gap(explain(other), rearrange(explain(x)))

    return of_methods(f, attribution, measure, name="symmetry", argnums=argnums)
