"""New weights in the place of learned ones, all at once or layer by layer."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice
from .._keys import checked_key
from .._tree import first_nonfinite, widen
from .._types import PyTree
from ..training._parameters import leaves_of

ORDERS = ("top_down", "bottom_up", "each")
Layers = str | Sequence[str]


def randomize_parameters(
    params: PyTree, key: jax.Array, *, layers: Layers = "*", draw: str = "permutation"
) -> PyTree:
    r"""A model's parameters with what was learned taken out of them.

    Each chosen leaf is drawn anew: its own values in random order, or independent normal numbers of
    the same mean and standard deviation.

    Args:
        params: a pytree of parameters.
        key: a `jax.random.key`.
        layers: a glob, or several, of the paths to randomize, as in `"*/Conv_0/*"`; a path is the
            keys joined by `/`.
        draw: `"permutation"` or `"normal"`.

    Returns:
        A pytree like `params`, of the same dtypes.

    Raises:
        ValueError: an option is unknown, a glob fits no path, or a parameter is not finite.
        TypeError: without a key, or if no chosen leaf is floating.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> params = {"first": jnp.arange(4.0), "last": jnp.ones(2)}
        >>> new = evaluate.randomize_parameters(params, jax.random.key(0), layers="first")
        >>> sorted(new["first"].tolist()), new["last"]
        ([0.0, 1.0, 2.0, 3.0], Array([1., 1.], dtype=float32))

    Notes:
        Leaves whose values are all equal, such as new biases and scales, stay as they are. The
        variances that batch normalisation has stored must not be negative: permute them, or leave
        them out. A leaf's numbers depend on the key and on its place in `params` only.

    References:
        Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292.
    """
    globs = (layers,) if isinstance(layers, str) else tuple(layers)
    return Plan.of(params, globs).drawn(params, key, draw)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which leaf belongs to which layer, and the layers' names from input to output."""

    names: tuple[str, ...]
    layer_of: tuple[int | None, ...]  # of each leaf of the parameters, None if it stays

    @staticmethod
    def of(params: PyTree, globs: Sequence[str]) -> Plan:
        """The plan of the globs: a leaf belongs to the first that fits it."""
        leaves = leaves_of(params)
        floating = [
            path
            for path, leaf in leaves.items()
            if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        ]
        if not floating:
            raise TypeError(
                "params holds no floating-point arrays to randomize: pass the model's parameters, "
                "a pytree of arrays."
            )
        if (where := first_nonfinite({p: leaves[p] for p in floating}, "params")) is not None:
            raise ValueError(f"The parameters are not finite: {where}.")
        fits = {path: _first_fit(path, globs) for path in floating}
        for number, glob in enumerate(globs):
            if number not in fits.values():
                near = difflib.get_close_matches(glob, floating, n=5, cutoff=0.3) or floating[:8]
                raise ValueError(
                    f"layers={glob!r} fits none of the {len(floating)} parameters (or only those "
                    f"of an earlier one). Paths like it: {', '.join(map(repr, near))}."
                )
        return Plan(tuple(globs), tuple(fits.get(path) for path in leaves))

    def drawn(self, params: PyTree, key: Any, draw: str) -> PyTree:
        """New values for every leaf of a layer; the others as they are."""
        check_choice("draw", draw, DRAWS)
        key = checked_key(key, "randomize_parameters")
        leaves, structure = jax.tree.flatten(params)
        chosen = [i for i, layer in enumerate(self.layer_of) if layer is not None]
        keys = [jax.random.fold_in(key, i) for i in chosen]
        drawn = DRAWS[draw]([jnp.asarray(leaves[i]) for i in chosen], keys)
        new = dict(enumerate(leaves)) | dict(zip(chosen, drawn, strict=True))
        return jax.tree.unflatten(structure, list(new.values()))

    def mixed(self, params: PyTree, new: PyTree, randomized: jax.Array) -> PyTree:
        """`params` with the new values in the layers that `randomized`, (layers,), marks."""
        leaves, structure = jax.tree.flatten(params)
        mixed = [
            old if layer is None else jnp.where(randomized[layer], other, jnp.asarray(old))
            for old, other, layer in zip(leaves, jax.tree.leaves(new), self.layer_of, strict=True)
        ]
        return jax.tree.unflatten(structure, mixed)

    def steps(self, order: str) -> tuple[tuple[str, ...], np.ndarray]:
        """The name of each step, the layer that is new in it, and all that are: (steps, layers)."""
        count = len(self.names)
        own = np.eye(count, dtype=bool)
        if order == "each":
            return self.names, own
        upwards = np.tril(np.ones((count, count), bool))
        if order == "bottom_up":
            return self.names, upwards
        return self.names[::-1], upwards[:, ::-1]


def checked_layers(params: PyTree, layers: Sequence[str] | None) -> tuple[str, ...]:
    """The globs of the layers from input to output, which a dictionary does not tell."""
    if layers is not None and not isinstance(layers, str):
        return tuple(layers)
    paths = list(leaves_of(params))
    if layers is None and isinstance(params, list | tuple):
        # A list of layers is in order.
        heads = list(dict.fromkeys(path.split("/")[0] for path in paths))
        return tuple(head if head in paths else f"{head}/*" for head in heads)
    raise TypeError(
        f"layers={layers!r}: list the layers from input to output as globs over the paths of the "
        f"parameters, as in layers=('*/Conv_0/*', '*/Dense_0/*'). There are {paths[:12]}."
    )


def _permuted(leaves: list[jax.Array], keys: list[jax.Array]) -> list[jax.Array]:
    """The values of each leaf in another order.

    One sort for all leaves of a dtype, by leaf and random words: a hundred sorts take a minute to
    compile.
    """
    new = dict(enumerate(leaves))
    for dtype in {leaf.dtype for leaf in leaves}:
        places = [i for i, leaf in enumerate(leaves) if leaf.dtype == dtype and leaf.size]
        sizes = [leaves[i].size for i in places]
        owners = jnp.asarray(np.repeat(np.arange(len(places), dtype=np.uint32), sizes))
        words = jnp.concatenate([jax.random.bits(keys[i], (leaves[i].size,)) for i in places])
        values = jnp.concatenate([leaves[i].ravel() for i in places])
        shuffled = jax.lax.sort((owners, words, values), num_keys=2, is_stable=False)[2]
        parts = jnp.split(shuffled, np.cumsum(sizes)[:-1])
        new |= {i: part.reshape(leaves[i].shape) for i, part in zip(places, parts, strict=True)}
    return list(new.values())


def _normal(leaves: list[jax.Array], keys: list[jax.Array]) -> list[jax.Array]:
    """Normal numbers with the mean and the deviation of each leaf."""

    def draw(leaf: jax.Array, key: jax.Array) -> jax.Array:
        values = widen(leaf)
        noise = jax.random.normal(key, leaf.shape, values.dtype)
        return (jnp.mean(values) + jnp.std(values) * noise).astype(leaf.dtype)

    return [draw(leaf, key) for leaf, key in zip(leaves, keys, strict=True)]


DRAWS = {"permutation": _permuted, "normal": _normal}


def _first_fit(path: str, globs: Sequence[str]) -> int | None:
    return next((i for i, glob in enumerate(globs) if fnmatchcase(path, glob)), None)
