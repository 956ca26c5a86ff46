"""Regions: patches of a picture that are taken away one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice, check_count
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Features, Partition
from ..perturb._partitions import patches
from ._curves import Curve
from ._flipping import ORDERS, Flips
from ._removal import Removal, uniform_removal
from ._subjects import Attributions, Subject

UNIFORM = uniform_removal()


def region_perturbation(
    f: Model,
    attribution: Attributions,
    *,
    patch: int | tuple[int, ...] = 9,
    axes: tuple[int, ...] = (0, 1),
    order: str = "morf",
    regions: int = 100,
    removal: Removal | None = UNIFORM,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The area over the curve of the score while patches are overwritten, most relevant first.

    $\mathrm{AOPC} = \frac{1}{L+1} \sum_{k=0}^{L} f(x^{(0)}) - f(x^{(k)})$ where the $k$ most
    relevant of a grid of patches are replaced by noise in $x^{(k)}$: large where the patches named
    first matter most.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`; the relevance of a patch is the sum.
        patch: how many elements a patch spans, one number or one for each of `axes`. The last
            patches are smaller where it does not divide the size of the input.
        axes: the axes that are cut, (0, 1) for HW and HWC. A patch spans all others.
        order: as for `pixel_flipping`.
        regions: $L$, how many patches are replaced, all of them if there are fewer.
        removal: as for `pixel_flipping`, by default uniform noise in [0, 1], as
            `evaluate.uniform_removal(low, high)` in the units of the model's input.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f` and `key=` (if `removal` or an attribution needs one;
        and `baseline=` with `removal=None`) that returns a number in units of `f`, or a dictionary
        of them.

    Raises:
        ValueError: an option is invalid; when called, the input lacks one of the axes.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: 8 * jnp.mean(x[:2, :2])
        >>> measure = evaluate.region_perturbation(f, jax.grad(f), patch=2, removal=None)
        >>> measure(jnp.ones((4, 4)))
        Array(6.4, dtype=float32)

    Notes:
        The same noise in each step, so what is gone stays as it is while more goes, and for all
        attributions. For the curve itself call `pixel_flipping` with `groups=features.patches(...)`
        and the same `removal`.

    References:
        Samek et al. 2017, Evaluating the visualization of what a deep neural network has learned,
        arXiv:1509.06321.
    """
    check_choice("order", order, ORDERS)
    check_count("regions", regions)

    def counts(count: int) -> np.ndarray:
        return np.arange(min(regions, count) + 1, dtype=np.int32)

    flips = Flips.checked(counts, chunk, removal)
    partition = Patches.of_size(patch, axes)

    def measure(subject: Subject, key: Any) -> jax.Array:
        scores = flips.curve(subject, key, order=order).scores
        return jnp.mean(scores[0] - scores)

    return flips.metric(f, attribution, measure, partition, argnums, name="region_perturbation")


def selectivity(
    f: Model,
    attribution: Attributions,
    *,
    patch: int | tuple[int, ...] = 4,
    axes: tuple[int, ...] = (0, 1),
    steps: int | None = None,
    removal: Removal | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The score while patches are put to the baseline, the most relevant first.

    $f(x^{(k)})$ where $x^{(k)}$ is $x$ with its $k$ most relevant patches at the baseline, for $k$
    from 0 to all. The smaller the area under it, the more selective the explanation.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`; the relevance of a patch is the sum.
        patch: as for `region_perturbation`.
        axes: as for `region_perturbation`.
        steps: as for `pixel_flipping`.
        removal: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        As for `pixel_flipping`; `.area` of the `Curve` is the score of the explanation.

    Raises:
        ValueError: as for `region_perturbation`.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x * jnp.arange(4.0))
        >>> evaluate.selectivity(f, jax.grad(f), patch=2)(jnp.ones((2, 4))).scores
        Array([12.,  2.,  0.], dtype=float32)

    References:
        Montavon et al. 2018, Methods for interpreting and understanding deep neural networks,
        arXiv:1706.07979.
    """
    flips = Flips.checked(steps, chunk, removal)
    partition = Patches.of_size(patch, axes)

    def measure(subject: Subject, key: Any) -> Curve:
        return flips.curve(subject, key)

    return flips.metric(f, attribution, measure, partition, argnums, name="selectivity")


@dataclasses.dataclass(frozen=True)
class Patches(Partition):
    """Features are patches; how many there are shows when the input is there."""

    size: int | tuple[int, ...] = 1
    axes: tuple[int, ...] = (0, 1)

    @staticmethod
    def of_size(size: int | tuple[int, ...], axes: tuple[int, ...]) -> Patches:
        """Raise unless the size is one number of elements, or one for each axis."""
        sizes = size if isinstance(size, tuple) else (size,) * len(axes)
        for span in sizes:
            check_count("patch", span)
        if len(sizes) != len(axes):
            raise ValueError(f"patch={size} has {len(sizes)} numbers for axes={axes}.")
        return Patches(size=size, axes=axes)

    def of(self, x: PyTree, groups: PyTree | None = None) -> Features:
        """The patches of all leaves, numbered on from leaf to leaf."""
        leaves, structure = jax.tree.flatten(x)
        labels, count = [], 0
        for leaf in leaves:
            own = patches(leaf, self.size, self.axes) + count
            count = int(own.max(initial=count - 1)) + 1
            labels.append(own)
        return Partition(groups=jax.tree.unflatten(structure, labels)).of(x, groups)
