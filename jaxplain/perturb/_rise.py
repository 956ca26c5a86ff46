"""RISE: the mean score of randomly masked inputs in which an element is kept."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._axes import checked_axes
from .._baselines import checked_baseline
from .._batch import mean, stack
from .._call import bind, name_of, named
from .._errors import check_choice, check_chunk, check_count, check_real, is_concrete
from .._keys import checked_key, one_key_each
from .._tree import path_name, wide, widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree, Scalar
from ..backprop._rule import quotient
from ._mixing import check_mixable, mixed

NORMALIZATIONS = ("probability", "coverage", "centred")


def rise(
    f: Model,
    *,
    samples: int = 4000,
    grid: int | tuple[int, ...] = 7,
    keep_probability: Scalar = 0.5,
    axes: tuple[int, ...] = (0, 1),
    normalize: str = "probability",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""The mean score of randomly masked inputs, over the masks that keep an element.

    $A_i = \frac{1}{N p} \sum_n f(x^0 + m_n \odot (x - x^0)) \, m_{n,i}$. A mask $m_n$ is a small
    grid whose cells are 1 with probability $p$ and else 0, enlarged by linear interpolation to one
    cell more than the input and shifted by a random part of a cell.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example; a probability where maps of several
            classes are compared.
        samples: number of masks, $N$.
        grid: cells of the small grid, one number or one for each of `axes`. Finer grids show
            smaller parts and need more masks.
        keep_probability: the probability $p$ that a cell is kept, above 0 and at most 1.
        axes: the axes that the grid spans, (0, 1) for HW and HWC. All elements along the others are
            masked together.
        normalize: `"probability"` divides by $N p$, as the paper does; `"coverage"` by $\sum_n
            m_{n,i}$, what was drawn, so that a constant score gives a constant map; `"centred"`
            subtracts the mean score from that, so that 0 means "does not matter".
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`. Leaves of a pytree are
            masked independently.
        info: also return an `Info` with `evaluations` and `standard_error`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros) and `key=`, that returns a pytree like `x`, or `(attribution, Info)`. Mask `n`
        uses `jax.random.fold_in(key, n)`.

    Raises:
        ValueError: an option is invalid; when called, `x` lacks one of the axes.
        TypeError: when called, without a key, or if `x` holds integers, which cannot be mixed.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.mean(x[:4, :4])
        >>> explain = jaxplain.rise(f, samples=200, grid=2, chunk=50)
        >>> saliency = explain(jnp.ones((8, 8)), key=jax.random.key(0))
        >>> bool(saliency[0, 0] > saliency[7, 7])
        True

    Notes:
        With the paper's normalization the map has an offset, about the mean score of masked inputs:
        only differences within a map mean anything. The standard error falls with the root of
        `samples`. The masks depend on the key alone: `jax.vmap` over a class index draws them
        once. `jaxplain.over_baselines(rise(f))` averages over a set of baselines.

    References:
        Petsiuk et al. 2018, RISE: Randomized input sampling for explanation of black-box models,
        arXiv:1806.07421.
    """
    check_count("samples", samples, least=2 if info else 1)
    check_choice("normalize", normalize, NORMALIZATIONS)
    check_chunk(chunk)
    masks = _Masks.checked(grid, axes, keep_probability)
    relative = normalize != "probability"

    def explain(
        *args: Any, baseline: PyTree | None = None, key: jax.Array | None = None, **kwargs: Any
    ) -> Any:
        key = checked_key(key, f"rise({name_of(f)})")
        score, x = bind(f, args, kwargs, argnums, floating=False)
        check_mixable(x, "rise")
        hidden = checked_baseline(baseline, x)

        def mask(number: jax.Array) -> PyTree:
            return masks.draw(jax.random.fold_in(key, number), x)

        def masked(number: jax.Array) -> jax.Array:
            value: jax.Array = widen(score(mixed(mask(number), x, hidden)))
            return value

        numbers = jnp.arange(samples)
        scores = stack(masked, numbers, chunk=chunk)
        if normalize == "centred":
            scores = scores - jnp.mean(scores)

        # Masks are drawn again rather than kept: all of them together may not fit in memory.
        def moments(node: tuple[jax.Array, jax.Array]) -> PyTree:
            drawn = mask(node[0])
            kept = jax.tree.map(lambda m: node[1].astype(m.dtype) * m, drawn)
            return (kept, drawn) if relative else (kept, None)

        kept, drawn = mean(moments, (numbers, scores), chunk=chunk)
        if not relative:
            drawn = jax.tree.map(lambda k: jnp.full_like(k, keep_probability), kept)
        value = jax.tree.map(lambda k, d: quotient(k, d, 0.0), kept, drawn)
        attribution = jax.tree.map(_spread, value, x)
        if not info:
            return attribution

        def influence(node: tuple[jax.Array, jax.Array]) -> PyTree:
            """The square of what one mask adds to the estimate."""

            def square(m: jax.Array, v: jax.Array, d: jax.Array) -> jax.Array:
                share, s = quotient(m, d, 0.0), node[1].astype(v.dtype)
                added = share * (s - v) if relative else share * s - v
                return jnp.square(added - s if normalize == "centred" else added)

            return jax.tree.map(square, mask(node[0]), value, drawn)

        squares = mean(influence, (numbers, scores), chunk=chunk)
        error = jax.tree.map(lambda v, leaf: _spread(_root(v / (samples - 1)), leaf), squares, x)
        return attribution, Info(standard_error=error, evaluations=jnp.asarray(samples))

    return named(explain, "rise", f, random=True)


@dataclasses.dataclass(frozen=True)
class _Masks:
    """How masks are drawn: cells along each axis, and the probability that one is kept."""

    cells: tuple[int, ...]
    axes: tuple[int, ...]
    keep: Scalar

    @staticmethod
    def checked(grid: int | tuple[int, ...], axes: tuple[int, ...], keep: Scalar) -> _Masks:
        """Raise unless there is a number of cells for each axis."""
        cells = grid if isinstance(grid, tuple) else (grid,) * len(axes)
        if len(cells) != len(axes) or not axes:
            raise ValueError(
                f"grid={grid} must be one number, or one for each of axes={axes}, at least one."
            )
        for count in cells:
            check_count("grid", count)
        check_real("keep_probability", keep, low=0, high=1)
        if is_concrete(keep) and keep == 0:
            raise ValueError(
                "keep_probability=0 keeps nothing: give a number above 0, such as 0.5."
            )
        return _Masks(cells, axes, keep)

    def draw(self, key: jax.Array, x: PyTree) -> PyTree:
        """One mask for each leaf, of size 1 on the axes that the grid does not span."""
        leaves, structure = jax.tree_util.tree_flatten_with_path(x)
        keys = one_key_each(key, len(leaves))
        masks = [
            self._of_leaf(own, leaf, path_name(path))
            for own, (path, leaf) in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, masks)

    def _of_leaf(self, key: jax.Array, leaf: jax.Array, where: str) -> jax.Array:
        axes = checked_axes(self.axes, leaf.shape, where)
        placed = sorted(zip(axes, self.cells, strict=True))
        shape = [dict(placed).get(axis, 1) for axis in range(leaf.ndim)]
        coins = math.prod(shape)
        # One draw for everything: on a CPU each costs more than the few numbers in it.
        drawn = jax.random.uniform(key, (coins + len(placed),), wide(leaf.dtype))
        kept = drawn[:coins] < jnp.asarray(self.keep, drawn.dtype)
        mask = kept.astype(drawn.dtype).reshape(shape)
        widths = [-(-leaf.shape[axis] // count) for axis, count in placed]
        shifts = jnp.floor(drawn[coins:] * np.asarray(widths, drawn.dtype))
        for (axis, count), width, shift in zip(placed, widths, shifts, strict=True):
            weights = _interpolation(leaf.shape[axis], count, width, shift, mask.dtype)
            enlarged = jnp.tensordot(weights, mask, (1, axis), precision="highest")
            mask = jnp.moveaxis(enlarged, 0, axis)
        return mask


def _interpolation(size: int, cells: int, width: int, shift: jax.Array, dtype: Any) -> jax.Array:
    """The weights of the cells at each place, (size, cells); they sum to one.

    The grid is enlarged to `cells + 1` times `width` places, of which `size` are cut out.
    """
    place = jnp.arange(size, dtype=dtype) + shift + np.asarray(0.5, dtype)
    place = place * np.asarray(cells / ((cells + 1) * width), dtype) - np.asarray(0.5, dtype)
    place = jnp.clip(place, 0, cells - 1)
    distance = jnp.abs(place[:, None] - jnp.arange(cells, dtype=dtype)[None])
    return jnp.maximum(1 - distance, 0)


def _spread(value: jax.Array, leaf: jax.Array) -> jax.Array:
    """The same value for all elements that are masked together."""
    return jnp.broadcast_to(value.astype(leaf.dtype), leaf.shape)


def _root(square: jax.Array) -> jax.Array:
    """The square root, whose derivative at zero is zero."""
    safe = jnp.where(square > 0, square, 1)
    return jnp.where(square > 0, jnp.sqrt(safe), 0)
