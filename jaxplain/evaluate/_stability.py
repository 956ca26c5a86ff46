"""Changes of the explanation, as shares of it, per change of the input, the output, or a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from .._call import Score
from .._types import Argnums, Chunk, Model, PyTree, Scalar
from ..program._cut import cut
from ..program._locate import At, checked_globs
from ._nearby import Nearby
from ._norms import distance
from ._relative import Outputs, check_floor, largest_ratio, relative_change
from ._subjects import Attributions


def relative_input_stability(
    f: Model,
    attribution: Attributions,
    *,
    outputs: Outputs | None = None,
    radius: Scalar = 0.05,
    samples: int = 50,
    noise: str = "uniform",
    floor: Scalar = 1e-6,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The largest relative change of the explanation per relative change of the input.

    $\max_{x'} \left\|\frac{A(x) - A(x')}{A(x)}\right\|_2 \,/\,
    \max\left(\left\|\frac{x - x'}{x}\right\|_2, \epsilon\right)$ with quotients element by
    element, over random $x'$ near $x$ of the same predicted class. Less is better.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a function with the arguments of `f`, or a dictionary of several. All of them
            are asked at the same inputs. Their baselines are bound with `functools.partial`.
        outputs: a function of the explained argument alone that returns the score of every class,
            (classes,); samples in which the largest is another one are left out. If None, all
            samples count. Of several arguments (`argnums`) it gets the tuple.
        radius: how far an input moves in each element, in units of the input, positive; the
            standard deviation for `noise="normal"`.
        samples: how many random inputs.
        noise: `"uniform"`, within the radius, or `"normal"`.
        floor: the $\epsilon$ above, positive; also what an element that is zero is divided by.
        chunk: at most this many attributions per example are live at once; "auto" for as many as
            run fast, None for all.
        argnums: the argument (or arguments) that is explained, floating point.

    Returns:
        A function with the arguments of `f` and `key=` that returns a number, or a dictionary of
        them. Sample `i` uses `jax.random.fold_in(key, i)`. NaN if the class changed in all samples.

    Raises:
        ValueError: an option is invalid, or `outputs` does not return a vector.
        TypeError: when called, without a key, or for an input that is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> measure = evaluate.relative_input_stability(f, jax.grad(f))
        >>> round(float(measure(jnp.ones(3), key=jax.random.key(0))), 3)
        1.0

    Notes:
        One element of the explanation that is close to zero outweighs all others. The logarithm is
        what is usually shown.

    References:
        Agarwal et al. 2022, Rethinking stability for attribution-based explanations,
        arXiv:2203.06877.
    """
    near = Nearby.checked(radius, samples, noise, chunk)
    check_floor(floor)

    def moved(score: Score, x: PyTree) -> Callable[[PyTree], jax.Array]:
        del score
        return lambda y: relative_change(y, x, floor)

    return largest_ratio(
        f, attribution, moved, near, floor, outputs, argnums, "relative_input_stability"
    )


def relative_output_stability(
    f: Model,
    attribution: Attributions,
    *,
    outputs: Outputs | None = None,
    radius: Scalar = 0.05,
    samples: int = 50,
    noise: str = "uniform",
    floor: Scalar = 1e-6,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The largest relative change of the explanation per change of the output.

    $\max_{x'} \left\|\frac{A(x) - A(x')}{A(x)}\right\|_2 \,/\, \max(\|h(x) - h(x')\|_2, \epsilon)$
    over random $x'$ near $x$ of the same predicted class; $h$ are the scores of all classes if
    `outputs` gives them, and otherwise $f$. Less is better.

    Args:
        f: as for `relative_input_stability`.
        attribution: as for `relative_input_stability`.
        outputs: as for `relative_input_stability`, and the output that is looked at.
        radius: as for `relative_input_stability`.
        samples: as for `relative_input_stability`.
        noise: as for `relative_input_stability`.
        floor: as for `relative_input_stability`.
        chunk: as for `relative_input_stability`.
        argnums: as for `relative_input_stability`.

    Returns:
        A function as that of `relative_input_stability`; the number is per unit of the output.

    Raises:
        ValueError: as for `relative_input_stability`.
        TypeError: as for `relative_input_stability`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.exp(x[0])
        >>> measure = evaluate.relative_output_stability(f, jax.grad(f))
        >>> round(float(measure(jnp.zeros(1), key=jax.random.key(0))), 3)
        1.0

    Notes:
        As for `relative_input_stability`. A sample that does not move the output is divided by
        `floor`: then the number is large.

    References:
        Agarwal et al. 2022, Rethinking stability for attribution-based explanations,
        arXiv:2203.06877.
    """
    near = Nearby.checked(radius, samples, noise, chunk)
    check_floor(floor)

    def moved(score: Score, x: PyTree) -> Callable[[PyTree], jax.Array]:
        look = score if outputs is None else outputs
        here = look(x)
        return lambda y: distance(look(y), here)

    return largest_ratio(
        f, attribution, moved, near, floor, outputs, argnums, "relative_output_stability"
    )


def relative_representation_stability(
    f: Model,
    attribution: Attributions,
    *,
    at: At,
    outputs: Outputs | None = None,
    radius: Scalar = 0.05,
    samples: int = 50,
    noise: str = "uniform",
    floor: Scalar = 1e-6,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The largest relative change of the explanation per relative change of a layer.

    $\max_{x'} \left\|\frac{A(x) - A(x')}{A(x)}\right\|_2 \,/\,
    \max\left(\left\|\frac{L(x) - L(x')}{L(x)}\right\|_2, \epsilon\right)$ with quotients element
    by element and $L$ the named value, over random $x'$ near $x$ of the same predicted class. Less
    is better.

    Args:
        f: as for `relative_input_stability`.
        attribution: as for `relative_input_stability`.
        at: the path of the representation, or a list of several, as for `jaxplain.cut`.
        outputs: as for `relative_input_stability`.
        radius: as for `relative_input_stability`.
        samples: as for `relative_input_stability`.
        noise: as for `relative_input_stability`.
        floor: as for `relative_input_stability`.
        chunk: as for `relative_input_stability`.
        argnums: as for `relative_input_stability`.

    Returns:
        A function as that of `relative_input_stability`.

    Raises:
        ValueError: as for `relative_input_stability`, or when called if nothing has that name.
        TypeError: as for `relative_input_stability`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 3 * x
        ...     return jnp.sum(h**2)
        >>> measure = evaluate.relative_representation_stability(f, jax.grad(f), at="hidden")
        >>> round(float(measure(jnp.ones(3), key=jax.random.key(0))), 3)
        1.0

    Notes:
        As for `relative_input_stability`. Behind a ReLU many elements are zero, and one that comes
        to life is divided by `floor`: then the number is small. Take the value before it.

    References:
        Agarwal et al. 2022, Rethinking stability for attribution-based explanations,
        arXiv:2203.06877.
    """
    near = Nearby.checked(radius, samples, noise, chunk)
    check_floor(floor)
    checked_globs(at)

    def moved(score: Score, x: PyTree) -> Callable[[PyTree], jax.Array]:
        bottom, _ = cut(score, at=at)
        here = bottom(x)
        return lambda y: relative_change(bottom(y), here, floor)

    return largest_ratio(
        f, attribution, moved, near, floor, outputs, argnums, "relative_representation_stability"
    )
