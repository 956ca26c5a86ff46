"""What a call may pass as `baseline=`: nothing, a number, one like `x`, or a set of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._compat import shielded
from ._tree import first_nonfinite, path_name, same_tree
from ._types import PyTree, Scalar


def checked_baseline(baseline: PyTree | Scalar | None, x: PyTree) -> PyTree:
    """`baseline` as a pytree like `x`: zeros if None, filled if a number, else checked."""
    if baseline is None:
        return jax.tree.map(jnp.zeros_like, x)
    if isinstance(baseline, float | int) or getattr(baseline, "shape", None) == ():
        _check_finite_baseline(baseline)
        for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
            _check_kind(baseline, leaf, path_name(path))
        return jax.tree.map(lambda leaf: jnp.full_like(leaf, baseline), x)
    return _matched(
        baseline,
        x,
        leading=(),
        hint=(
            "A baseline has exactly x's shape and tree, or is one number: it is never broadcast. "
            "Under jax.vmap a baseline needs x's batch axis too; bind a shared one with "
            "functools.partial(explain, baseline=...). To average over a set of baselines, use "
            "jaxplain.over_baselines."
        ),
    )


def shielded_baseline(baseline: PyTree | Scalar | None, x: PyTree) -> PyTree:
    """As `checked_baseline`; XLA does not compute what a constant one leads to while compiling."""
    return shielded(checked_baseline(baseline, x))


def checked_baseline_set(baseline: PyTree | None, x: PyTree, who: str) -> tuple[PyTree, int]:
    """A set of baselines (leading axis n on every leaf, then the shape of `x`), and n."""
    if baseline is None:
        raise TypeError(
            f"{who} averages over a set of baselines: pass baseline=, an array of shape "
            "(n, *x.shape), for instance baseline=jaxplain.baselines.samples(data, 50, key=key)."
        )
    leaves = jax.tree.leaves(baseline)
    count = int(np.shape(leaves[0])[0]) if leaves and np.ndim(leaves[0]) else 0
    matched = _matched(
        baseline,
        x,
        leading=(count,),
        hint=(
            f"{who} takes a set of baselines: x's shape with one leading axis, which runs over "
            "the set; for a single baseline use baseline=b[None]."
        ),
    )
    if count == 0:
        raise ValueError(f"{who} got an empty set of baselines.")
    return matched, count


def _matched(baseline: PyTree, x: PyTree, leading: tuple[int, ...], hint: str) -> PyTree:
    if not same_tree(baseline, x):
        raise ValueError(
            f"The baseline's tree, {jax.tree.structure(baseline)}, differs from the input's, "
            f"{jax.tree.structure(x)}. {hint}"
        )
    pairs = zip(jax.tree_util.tree_flatten_with_path(x)[0], jax.tree.leaves(baseline), strict=True)
    for (path, leaf), partner in pairs:
        if np.shape(partner) != (*leading, *leaf.shape):
            raise ValueError(
                f"{path_name(path, 'baseline')} has shape {np.shape(partner)}, but "
                f"{path_name(path)} has shape {leaf.shape}. {hint}"
            )
        _check_kind(partner, leaf, path_name(path))
    _check_finite_baseline(baseline)
    return jax.tree.map(lambda leaf, b: jnp.asarray(b).astype(leaf.dtype), x, baseline)


def _check_kind(baseline: Any, leaf: Any, name: str) -> None:
    """A baseline of whole numbers, token ids say, would be cut off in silence."""
    if jnp.issubdtype(leaf.dtype, jnp.integer) and not jnp.issubdtype(
        jnp.result_type(baseline), jnp.integer
    ):
        raise TypeError(
            f"{name} has dtype {leaf.dtype}, so its baseline must hold integers too, ids of "
            f"padding for instance, but it has dtype {jnp.result_type(baseline)}."
        )


def _check_finite_baseline(baseline: PyTree) -> None:
    if (where := first_nonfinite(baseline, "baseline")) is not None:
        raise ValueError(f"The baseline is not finite: {where}.")
