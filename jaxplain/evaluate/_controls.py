"""Explanations that know nothing of the model, to see what a metric makes of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._axes import checked_axes
from .._call import bind, named
from .._keys import checked_key, normal_like
from .._tree import cast_like, path_name, widen
from .._types import Argnums, Attribution, Model, PyTree

CHANNELS = (1, 3, 4)
"""How many a picture has: grey, colours, colours with opacity."""


def uniform(f: Model, *, argnums: Argnums = 0) -> Attribution:
    r"""The same relevance for every element, that of the score: a control for metrics.

    $A_i = f(x) / d$ for each of the $d$ elements of $x$, so that the score is conserved.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        argnums: as for `pixel_flipping`.

    Returns:
        An attribution: a function with the arguments of `f` that returns a pytree like `x`,
        floating also for token ids.

    Raises:
        TypeError: when called, if `f` is not scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> evaluate.uniform(f)(jnp.arange(3.0))
        Array([1.6666666, 1.6666666, 1.6666666], dtype=float32)
        >>> float(evaluate.conservation(f, evaluate.uniform(f))(jnp.arange(3.0)).total)
        1.0

    Notes:
        It changes with the input as the score does, and is zero or negative where that is. Metrics
        of order put equal elements in the order of the array: a picture is taken away from its
        upper left corner on. `random` has no such order.

    References:
        Montavon et al. 2018, Methods for interpreting and understanding deep neural networks,
        arXiv:1706.07979, on explanations that conserve the score and say nothing. Adebayo et al.
        2018, Sanity checks for saliency maps, arXiv:1810.03292, on controls.
    """

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums, floating=False)
        share = widen(score(x)) / sum(leaf.size for leaf in jax.tree.leaves(x))
        return jax.tree.map(lambda leaf: jnp.full(leaf.shape, share, leaf.dtype), _floating(x))

    return named(explain, "uniform", f)


def random(f: Model, *, argnums: Argnums = 0) -> Attribution:
    r"""Random relevance: a control for metrics.

    $A_i \sim \mathcal N(0, 1)$, independent.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example; it is not called.
        argnums: as for `pixel_flipping`.

    Returns:
        An attribution: a function with the arguments of `f`, and `key=`, that returns a pytree like
        `x`, floating also for token ids.

    Raises:
        TypeError: when called, without a key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x)
        >>> evaluate.random(f)(jnp.arange(3.0), key=jax.random.key(0)).shape
        (3,)
        >>> curve = evaluate.pixel_flipping(f, evaluate.random(f))
        >>> curve(jnp.arange(3.0), key=jax.random.key(0)).scores[jnp.array([0, -1])]
        Array([3., 0.], dtype=float32)

    Notes:
        In a dictionary of attributions each random one has numbers of its own.

    References:
        Hooker et al. 2019, A benchmark for interpretability methods in deep neural networks,
        arXiv:1806.10758.
    """

    def explain(*args: Any, key: Any = None, **kwargs: Any) -> PyTree:
        x = bind(f, args, kwargs, argnums, floating=False)[1]
        return normal_like(checked_key(key, "random"), _floating(x))

    return named(explain, "random", f, random=True)


def edges(f: Model, *, axes: tuple[int, ...] = (0, 1), argnums: Argnums = 0) -> Attribution:
    r"""The edges of a picture: a control that looks like an explanation.

    The length of the gradient by Sobel's filter, $\sqrt{(S_1 * x)^2 + (S_2 * x)^2}$: the difference
    along one axis, $(-1, 0, 1)$, smoothed along the others, $(1, 2, 1)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example; it is not called.
        axes: the spatial axes of `x`; all others are channels, each filtered on its own.
        argnums: as for `pixel_flipping`.

    Returns:
        An attribution: a function with the arguments of `f` that returns a pytree like `x`.

    Raises:
        ValueError: when called, if `x` has no such axes.
        TypeError: when called, `x` is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> picture = jnp.zeros((3, 4)).at[:, 2:].set(1)
        >>> evaluate.edges(lambda x: jnp.sum(x))(picture)
        Array([[0., 4., 4., 0.],
               [0., 4., 4., 0.],
               [0., 4., 4., 0.]], dtype=float32)

    Notes:
        The border is continued by its own values, so that it is no edge.

    References:
        Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292: edge detectors look
        like saliency maps and pass none of the tests.
    """

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        x = bind(f, args, kwargs, argnums)[1]
        return cast_like(jax.tree_util.tree_map_with_path(of_leaf, widen(x)), x)

    def of_leaf(path: Any, leaf: jax.Array) -> jax.Array:
        spatial = checked_axes(axes, leaf.shape, path_name(path))
        square = sum(jnp.square(_slope(leaf, axis, spatial)) for axis in spatial)
        nonzero = square > 0
        return jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, square, 1)), 0)

    return named(explain, "edges", f)


def default_controls(f: Model, x: PyTree) -> dict[str, Attribution]:
    """The controls of a benchmark for inputs like `x`; edges if it is a picture."""
    controls = {"uniform": uniform(f), "random": random(f)}
    axes = _spatial_axes(x)
    return controls if axes is None else {**controls, "edges": edges(f, axes=axes)}


def _spatial_axes(x: PyTree) -> tuple[int, int] | None:
    """Height and width, if `x` is a picture: one floating array with an axis of channels."""
    leaves = jax.tree.leaves(x)
    if len(leaves) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        return None
    shape = leaves[0].shape
    if len(shape) != 3:
        return None
    if shape[-1] in CHANNELS:
        return 0, 1
    return (1, 2) if shape[0] in CHANNELS else None


def _floating(x: PyTree) -> PyTree:
    """`x`, with numbers that have a relevance in the place of token ids."""

    def of_leaf(leaf: jax.Array) -> jax.Array:
        real = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf if real else jnp.zeros(leaf.shape, jnp.result_type(float))

    return jax.tree.map(of_leaf, x)


def _slope(leaf: jax.Array, along: int, spatial: list[int]) -> jax.Array:
    """Sobel's filter along one axis."""
    for axis in spatial:
        before, after = _neighbours(leaf, axis)
        leaf = after - before if axis == along else before + 2 * leaf + after
    return leaf


def _neighbours(leaf: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The values before and after each element, its own at the border."""
    places = jnp.arange(leaf.shape[axis])
    last = leaf.shape[axis] - 1
    before = jnp.take(leaf, jnp.maximum(places - 1, 0), axis=axis)
    return before, jnp.take(leaf, jnp.minimum(places + 1, last), axis=axis)
