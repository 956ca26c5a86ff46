"""Sobol indices of the parts of an input: in what share of the score's variance each takes part."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._axes import checked_axes
from .._call import explained, named
from .._errors import check_chunk
from .._tree import path_name
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree
from ._features import Partition
from ._game import Game
from ._mixing import check_mixable
from ._partitions import grid as grid_labels
from ._sobol import check_designs, check_exchanged, total_indices

CELLS = 8


def sobol(
    f: Model,
    *,
    grid: int | tuple[int, ...] | None = None,
    axes: tuple[int, ...] = (0, 1),
    designs: int = 32,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Total Sobol indices: the share of the score's variance in which a feature has part.

    $A_u = E[\mathrm{Var}(Y \mid m_{-u})] \,/\, \mathrm{Var}(Y)$ of the score $Y = f(x^0 + m \odot
    (x - x^0))$, where $m$ is one number per feature, uniform in [0, 1]. Estimated by Jansen's
    formula on a Sobol' sequence, so there is no randomness.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        grid: cells along each of `axes`, one number or one for each: a cell is a feature. Without
            any of `grid`, `groups` and `along` there are 8 × 8 cells.
        axes: the axes that the grid cuts, (0, 1) for HW and HWC.
        designs: points in each of the two sets of masks, a power of two. Too few for the number of
            features are refused: their sets of masks would agree in some of them.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=0` each
            position of a sequence, or each entry of a vector, is one feature.
        features: how many features there are, for `groups` that are data of the call and traced,
            such as the superpixels of each picture of a batch: then groups are numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `values`, the index of each feature, and `evaluations`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros) and `groups=` (if no features were given here), that returns a pytree like `x`,
        or `(attribution, Info)`.

    Raises:
        ValueError: more than one option says what a feature is, or `designs` is not a power of two;
            when called, there are too few for the features, the features do not fit `x`, or a
            baseline has another shape.
        TypeError: `groups` are not integers, or traced without `features`; when called, if `f` is
            not scalar, or `x` holds integers, which cannot be mixed.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: 2 * x[0] + x[1]
        >>> [round(float(v), 2) for v in jaxplain.sobol(f, along=0, designs=1024)(jnp.ones(3))]
        [0.8, 0.2, 0.0]

    Notes:
        `designs * (features + 2)` evaluations. An index says how much a feature matters, not
        whether it raises the score or lowers it: it is never negative. Indices of features that act
        together count their interaction for each, and sum to more than one; without interactions
        they sum to one. The masks are the same for all inputs: `jax.vmap` over a class index
        evaluates the model once. `jaxplain.over_baselines(sobol(f))` averages over a set of
        baselines.

    References:
        Fel et al. 2021, Look at the variance! Efficient black-box explanations with Sobol-based
        sensitivity analysis, arXiv:2111.04138. Jansen 1999, Analysis of variance designs for model
        output.
    """
    check_chunk(chunk)
    check_designs(designs)
    partition = Partition.checked(groups, along, features)
    own = groups is not None or along is not None
    if grid is not None and (own or features is not None):
        raise ValueError(
            "grid= and groups=, along= or features= both say what a feature is: give one of them."
        )

    def explain(
        *args: Any, baseline: PyTree | None = None, groups: PyTree | None = None, **kwargs: Any
    ) -> Any:
        if groups is not None and grid is not None:
            raise TypeError(
                "groups= came with the call, but the method was made with grid=: leave one out."
            )
        if groups is None and not own and features is None:
            groups = _cells(explained(args, argnums, f), CELLS if grid is None else grid, axes)
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        check_mixable(game.x, "sobol")
        check_exchanged(game.count, designs)
        indices = total_indices(game.value, game.count, designs=designs, chunk=chunk)
        attribution = game.spread(indices)
        if not info:
            return attribution
        count = designs * (game.count + 2)
        return attribution, Info(values=indices, evaluations=jnp.asarray(count))

    return named(explain, "sobol", f)


def _cells(x: PyTree, cells: int | tuple[int, ...], axes: tuple[int, ...]) -> PyTree:
    """The cells of each leaf, numbered on from leaf to leaf."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(x)
    labels, first = [], 0
    for path, leaf in leaves:
        shape = jnp.shape(leaf)
        try:
            checked_axes(axes, shape, path_name(path))
        except ValueError as error:
            raise ValueError(
                f"{error} Or say otherwise what a feature is: along=0 for each entry of a vector."
            ) from None
        own = grid_labels(leaf, cells, axes)
        labels.append(own + first)
        first += own.size and int(own.max()) + 1
    return jax.tree.unflatten(structure, labels)
