"""What takes the place of features that are gone: operators `removal(x, kept) -> x`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from .. import baselines
from .._call import name_of
from .._errors import check_real
from .._tree import describe, path_name, same_tree, wide, widen
from .._types import PyTree, Scalar
from ..perturb._game import Game

Removal: TypeAlias = Callable[..., PyTree]


def mean_removal(*, axes: tuple[int, ...] = (0, 1)) -> Removal:
    r"""What is gone takes the picture's mean colour.

    $x'_{ic} = \frac1n \sum_j x_{jc}$ over all n places j, gone or not.

    Args:
        axes: the spatial axes, (0, 1) for HW and HWC. All others keep their own means.

    Returns:
        An operator `removal(x, kept) -> x` for the `removal=` of a metric, where `kept` is a pytree
        of truth values that broadcast to the leaves of `x`.

    Raises:
        TypeError: when called, the input is not floating.
        ValueError: when called, the input lacks one of the axes.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> gone = evaluate.mean_removal(axes=(0,))
        >>> gone(jnp.array([1.0, 2.0, 6.0]), jnp.array([True, True, False]))
        Array([1., 2., 3.], dtype=float32)

    References:
        Rieger and Hansen 2020, IROF: a low resource evaluation metric for explanation methods,
        arXiv:2003.08747.
    """

    def mean(path: Any, leaf: jax.Array) -> jax.Array:
        check_axes(leaf, axes, path_name(path))
        average = jnp.mean(leaf.astype(wide(leaf.dtype)), axis=axes, keepdims=True)
        return jnp.broadcast_to(average.astype(leaf.dtype), leaf.shape)

    def remove(x: PyTree, kept: PyTree) -> PyTree:
        check_floating(x, "mean_removal")
        return choose(kept, x, jax.tree_util.tree_map_with_path(mean, x))

    return remove


def blur_removal(sigma: Scalar = 10.0, *, axes: tuple[int, ...] = (0, 1)) -> Removal:
    """What is gone is blurred: it keeps its colours and loses its shapes.

    Args:
        sigma: the standard deviation of the Gaussian in pixels, as for `baselines.blur`.
        axes: the spatial axes, (0, 1) for HW and HWC.

    Returns:
        An operator as that of `mean_removal`.

    Raises:
        ValueError: `sigma` is negative; when called, the input lacks one of the axes.
        TypeError: when called, the input is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> gone = evaluate.blur_removal(1.0, axes=(0,))
        >>> gone(jnp.array([0.0, 1.0, 0.0]), jnp.array([True, False, True])).round(2)
        Array([0.  , 0.45, 0.  ], dtype=float32)

    Notes:
        The whole picture is blurred, what stays with what goes, so a little of what stays is seen
        where something went. The same as `baseline=baselines.blur(x, sigma)` with the call.

    References:
        Petsiuk et al. 2018, RISE: randomized input sampling for explanation of black-box models,
        arXiv:1806.07421.
    """
    check_real("sigma", sigma, low=0)

    def remove(x: PyTree, kept: PyTree) -> PyTree:
        check_floating(x, "blur_removal")
        return choose(kept, x, baselines.blur(x, sigma, axes=axes))

    return remove


def uniform_removal(low: Any = 0.0, high: Any = 1.0) -> Removal:
    """What is gone is noise, uniform between `low` and `high`.

    Args:
        low: the least value, a number or one per channel, in the units of the model's input.
        high: the greatest value, likewise.

    Returns:
        An operator as that of `mean_removal`, a random one: `removal(x, kept, key=key)`. A metric
        with it needs `key=` with the call.

    Raises:
        ValueError: `low` exceeds `high`; when called, one of them is neither a number nor as long
            as the last axis.
        TypeError: when called, the input is not floating.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> gone = evaluate.uniform_removal(4.0, 5.0)
        >>> gone(jnp.zeros(3), jnp.array([True, False, True]), key=jax.random.key(0)) > 0
        Array([False,  True, False], dtype=bool)

    Notes:
        An element that is gone has the same noise in all steps of a curve, and for all
        explanations.

    References:
        Samek et al. 2017, Evaluating the visualization of what a deep neural network has learned,
        arXiv:1509.06321.
    """
    check_real("high - low", jnp.subtract(high, low), low=0)

    def remove(x: PyTree, kept: PyTree, *, key: jax.Array) -> PyTree:
        check_floating(x, "uniform_removal")
        return choose(kept, x, baselines.uniform(x, low, high, key=key))

    return remove


def choose(kept: PyTree, x: PyTree, other: PyTree) -> PyTree:
    """`x` where it is kept, and `other` elsewhere."""
    return jax.tree.map(jnp.where, kept, x, other)


def is_random(removal: Removal | None) -> bool:
    """Whether an operator has a parameter `key` that is not bound yet."""
    if removal is None:
        return False
    try:
        key = inspect.signature(removal).parameters.get("key")
    except (TypeError, ValueError):  # some callables have no signature
        return False
    return key is not None and key.default is inspect.Parameter.empty


def check_removal(removal: Any) -> None:
    """Raise unless `removal` is None or an operator."""
    if removal is not None and not callable(removal):
        raise TypeError(
            f"removal={removal!r} is not an operator removal(x, kept) -> x: give one, such as "
            "evaluate.blur_removal(), or None for the baseline of the call."
        )
    if removal is not None and not _takes_two(removal):
        raise TypeError(
            f"{name_of(removal)} does not take (x, kept), as an operator does. If it makes one, "
            f"call it: removal={name_of(removal)}()."
        )


def _takes_two(removal: Removal) -> bool:
    try:
        signature = inspect.signature(removal)
    except (TypeError, ValueError):  # some callables have no signature
        return True
    key = {"key": None} if "key" in signature.parameters else {}
    bound = getattr(removal, "keywords", {})
    try:
        signature.bind(None, None, **{name: key[name] for name in key if name not in bound})
    except TypeError:
        return False
    return True


def remaining(
    game: Game, removal: Removal | None, key: jax.Array | None
) -> Callable[[PyTree], jax.Array]:
    """The score as a function of which elements stay: truth values that broadcast to the input.

    All of them get the same key: then two inputs differ in what is gone, and in nothing else.
    """
    if removal is None:
        return lambda kept: widen(game.score(choose(kept, game.x, game.baseline)))
    options = {"key": jax.random.split(key)[1]} if is_random(removal) and key is not None else {}

    def value(kept: PyTree) -> jax.Array:
        changed = removal(game.x, kept, **options)
        score: jax.Array = widen(game.score(_checked(changed, game.x, removal)))
        return score

    return value


def _checked(changed: PyTree, x: PyTree, removal: Removal) -> PyTree:
    """What an operator made of `x`, if it is like `x`."""
    if not same_tree(changed, x) or describe(changed) != describe(x):
        raise ValueError(
            f"The removal {name_of(removal)} made {describe(changed)} of {describe(x)}: an "
            "operator removal(x, kept) returns what is like x, where(kept, x, other)."
        )
    return changed


def check_floating(x: PyTree, who: str) -> None:
    """Raise unless all leaves are floating: there is nothing between two token ids."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{who} mixes or draws numbers, but {path_name(path)} has dtype {leaf.dtype}: give "
                "floating inputs, or removal=None and the ids of padding as baseline=."
            )


def check_axes(leaf: jax.Array, axes: tuple[int, ...], where: str) -> None:
    """Raise unless the leaf has all of the axes."""
    if not all(-leaf.ndim <= axis < leaf.ndim for axis in axes):
        raise ValueError(
            f"{where} has shape {leaf.shape} and lacks one of axes={axes}: name its spatial axes, "
            "(0, 1) for HW and HWC."
        )
