"""Invariance: equal functions get equal explanations, however they are computed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._call import close, explained, named
from .._errors import check_real, warn_unless
from .._keys import needs_key
from .._tree import same_tree, widen
from .._types import Argnums, Model, PyTree, Scalar
from ._gap import Gap, gap
from ._linearity import Make


def implementation_invariance(
    make_attribution: Make, functions: Sequence[Model], *, tolerance: Scalar = 1e-4
) -> Callable[..., Any]:
    r"""How much an explanation depends on the way the function is written.

    The largest distance between the explanation of the first of several equal functions and those
    of the others.

    Args:
        make_attribution: a method, as in `lambda f: jaxplain.lrp(f)`: gives an attribution for any
            model.
        functions: two models or more with the same arguments and the same values; those of
            `equal_functions`, for instance.
        tolerance: functions are said to be equal if their scores differ by at most this share of
            the first, or by at most this.

    Returns:
        A function with the arguments of the models, and `baseline=` and `key=` if the method takes
        them, that returns a `Gap`, relative to the longer of the two.

    Raises:
        ValueError: there are fewer than two functions, or an option is invalid.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> functions = evaluate.equal_functions()["maximum"]
        >>> x = jnp.array([2.0, 1.0])
        >>> float(evaluate.implementation_invariance(jax.grad, functions)(x).absolute)
        0.0
        >>> make = lambda f: jaxplain.lrp(f, jaxplain.rules.ZPlus())
        >>> gap = evaluate.implementation_invariance(make, functions[:3])(x)
        >>> bool(gap.relative > 0.1)
        True

    Notes:
        Functions that differ at this input raise a `RuntimeWarning`, also from compiled code. Where
        a function has a kink, even its gradient depends on how it is written.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    functions = tuple(functions)
    check_real("tolerance", tolerance, low=0)
    if len(functions) < 2:
        raise ValueError(
            f"implementation_invariance compares equal functions, but got {len(functions)}: give "
            "two or more, such as evaluate.equal_functions()['maximum']."
        )
    first, *others = map(make_attribution, functions)

    def evaluate(*args: Any, **kwargs: Any) -> Gap:
        options = {name: kwargs[name] for name in kwargs if name not in ("baseline", "key")}
        scores = [widen(jnp.asarray(f(*args, **options))) for f in functions]
        for score in scores[1:]:
            _warn_if_different(scores[0], score, tolerance)
        found = first(*args, **kwargs)
        gaps = [gap(other(*args, **kwargs), found) for other in others]
        return Gap(
            functools.reduce(jnp.maximum, [each.absolute for each in gaps]),
            functools.reduce(jnp.maximum, [each.relative for each in gaps]),
        )

    return named(evaluate, "implementation_invariance", functions[0], random=needs_key(first))


def input_invariance(
    make_attribution: Make,
    f: Model,
    *,
    shift: Scalar | PyTree = -1.0,
    shifted: Model | None = None,
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""How much an explanation changes if all inputs are shifted and the model takes it back.

    With $f'(x) = f(x - m)$, the distance of $A_{f'}(x + m)$ from $A_f(x)$. Gradients pass, products
    of gradient and input do not; methods with a baseline pass if the baseline is shifted too.

    Args:
        make_attribution: a method, as in `lambda f: jaxplain.lrp(f)`: gives an attribution for any
            model.
        f: the model, `f(x, *args) -> scalar` of one example.
        shift: $m$, in units of the input: one number, or a pytree like `x`.
        shifted: $f'$, with the first layer's bias adjusted. If None, `f` after a subtraction, which
            is the same function: LRP and DeepLIFT take it as a part of the first layer.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f`, and `baseline=` and `key=` if the method takes them,
        that returns a `Gap`, relative to the longer of the two. A baseline given here is an input
        like any other and shifted too; the method's own, zeros, stays.

    Raises:
        ValueError: when called, if `shift` is not like the input.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> x = jnp.array([1.0, 2.0])
        >>> float(evaluate.input_invariance(jax.grad, f)(x).absolute)
        0.0
        >>> of_integrated = evaluate.input_invariance(jaxplain.integrated_grad, f)
        >>> [round(float(of_integrated(x, **b).relative), 2) for b in ({}, {"baseline": 0.0})]
        [0.34, 0.0]

    Notes:
        A method that depends on the zero of the input's scale is not wrong by that alone, if zero
        means something: no ink, or no token. It is where the zero was chosen at will.

    References:
        Kindermans et al. 2019, The (un)reliability of saliency methods, arXiv:1711.00867.
    """

    def there(*args: Any, **kwargs: Any) -> Any:
        model, x = close(f, args, kwargs, argnums)
        return model(jax.tree.map(jnp.subtract, x, _like(shift, x)))

    here = make_attribution(f)
    moved = make_attribution(there if shifted is None else shifted)

    def evaluate(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> Gap:
        x = explained(args, argnums, f)

        def plus(x: PyTree) -> PyTree:
            return jax.tree.map(jnp.add, x, _like(shift, x))

        before, after = {**kwargs}, {**kwargs}
        if baseline is not None:
            before["baseline"] = checked_baseline(baseline, x)
            after["baseline"] = plus(before["baseline"])
        of_moved, _ = close(moved, args, after, argnums)
        return gap(of_moved(plus(x)), here(*args, **before))

    return named(evaluate, "input_invariance", f, random=needs_key(here))


def _like(shift: PyTree, x: PyTree) -> PyTree:
    """One number for all elements, or a pytree like `x`."""
    if same_tree(shift, 0) and jnp.ndim(shift) == 0:
        return jax.tree.map(lambda leaf: jnp.full_like(leaf, shift), x)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (shift, x)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"shift= has shapes {shapes[0]}, but the input has {shapes[1]}: give one number, or a "
            "pytree like the input."
        )
    return jax.tree.map(lambda leaf, m: jnp.asarray(m, leaf.dtype), x, shift)


def _warn_if_different(first: jax.Array, other: jax.Array, tolerance: Scalar) -> None:
    warn_unless(
        jnp.abs(first - other) <= tolerance * jnp.maximum(jnp.abs(first), 1),
        "The functions are not equal here: {first:.4g} and {other:.4g}. Their explanations may "
        "differ for that reason alone.",
        first=first,
        other=other,
    )
