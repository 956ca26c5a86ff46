"""Feature ablation: what the score loses when a feature is put to its baseline."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .._call import named
from .._errors import check_chunk
from .._types import Argnums, Attribution, Chunk, Model, PyTree
from ._features import Partition
from ._game import Game


def ablation(
    f: Model,
    *,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Attribution:
    r"""What the score loses when one feature is put to its baseline.

    $A_u = f(x) - f(x_{u \leftarrow x^0})$, where $x_{u \leftarrow x^0}$ is $x$ with all elements of
    feature $u$ at their baseline. Each element gets the value of the feature that it belongs to.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        features: how many features there are, for `groups` that are data of the call and traced,
            such as the superpixels of each picture of a batch: then groups are numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros) and `groups=` (if none were given here), that returns a pytree like `x`.

    Raises:
        ValueError: both `groups` and `along` are given; when called, an axis that `x` does not
            have, groups that do not broadcast to `x`, or a baseline of another shape.
        TypeError: `groups` are not integers, or traced without `features`; when called, if `f` is
            not scalar.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x[0] * x[1] + x[2]
        >>> x = jnp.array([2.0, 3.0, 4.0])
        >>> jaxplain.ablation(f)(x)
        Array([6., 6., 4.], dtype=float32)
        >>> jaxplain.ablation(f, groups=jnp.array([0, 0, 1]))(x)
        Array([6., 6., 4.], dtype=float32)

    Notes:
        One evaluation for each feature, and one more. The value of a group is that of the group as
        a whole, not divided among its elements, so the map does not sum to anything. Features that
        stand in for each other get nothing: one is still there when the other is gone.

    References:
        Zeiler and Fergus 2014, Visualizing and understanding convolutional networks,
        arXiv:1311.2901.
    """
    check_chunk(chunk)
    partition = Partition.checked(groups, along, features)

    def explain(
        *args: Any, baseline: PyTree | None = None, groups: PyTree | None = None, **kwargs: Any
    ) -> PyTree:
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        numbers = jnp.arange(game.count, dtype=jnp.int32)
        without = game.values(lambda feature: numbers != feature, numbers, chunk=chunk)
        return game.spread(game.value(numbers >= 0) - without)

    return named(explain, "ablation", f)
