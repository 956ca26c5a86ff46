"""What a layer's value at one input does to the score of another."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._call import bind, named
from .._tree import cast_like, map_wide, subtract
from .._types import Argnums, Attribution, Chunk, Model, PyTree
from ..perturb._ablation import ablation
from ..program._locate import At
from ..program._lower import lower
from ._layer import layer


def activation_patching(
    f: Model,
    *,
    at: At,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Attribution:
    r"""Activation patching: what the score loses when units take their values from another input.

    $A_u = f(x) - \mathrm{top}(h_{u \leftarrow h^0}, x)$ with $h = \mathrm{bottom}(x)$ and
    $h^0 = \mathrm{bottom}(x^0)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, with globs, as for `cut`; a list of paths for several.
        groups: which elements are patched together: integers that broadcast to the value.
        along: an axis or several of the value, the positions on which are patched one at a time:
            `along=-1` for channels, `along=-2` for the tokens of a transformer. Without `groups`
            and `along`, every element by itself.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) that leads to the layer.

    Returns:
        A function with the arguments of `f`, and `baseline=`, the other input, that returns an
        attribution like the value at the layer: each element has the number of its group.

    Raises:
        ValueError: an option is invalid; when called, if no value has that name, or the other
            input has another shape than `x`.
        TypeError: when called without `baseline=`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x @ jnp.array([[1.0, 2.0], [0.0, 1.0]])
        ...     return h[0] * h[1]
        >>> patch = jaxplain.activation_patching(f, at="hidden")
        >>> patch(jnp.array([1.0, 1.0]), baseline=jnp.array([1.0, -1.0]))
        Array([0., 2.], dtype=float32)

    Notes:
        This removes what `x` has (noising). For the other direction, what does `x` restore in the
        other input, exchange the two and the sign. For zero ablation cut the model and use
        `ablation(top)`; the mean activation of a data set is a baseline for that, too. It is
        `layer(ablation, at=at)`.

    References:
        Vig et al. 2020, Causal mediation analysis for interpreting neural NLP, arXiv:2004.12265.
        Meng et al. 2022, Locating and editing factual associations in GPT, arXiv:2202.05262.
    """
    patched = layer(ablation, at=at, argnums=argnums, groups=groups, along=along, chunk=chunk)(f)
    return _between(patched, "activation_patching", f)


def attribution_patching(f: Model, *, at: At, argnums: Argnums = 0) -> Attribution:
    r"""Attribution patching: activation patching of every unit at once, to first order.

    $A_j = (h_j - h^0_j) \, \frac{\partial\, \mathrm{top}}{\partial h_j}(h, x)$ with
    $h = \mathrm{bottom}(x)$ and $h^0 = \mathrm{bottom}(x^0)$: one gradient instead of an evaluation
    for each unit.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, with globs, as for `cut`; a list of paths for several.
        argnums: the argument (or arguments) that leads to the layer.

    Returns:
        A function with the arguments of `f`, and `baseline=`, the other input, that returns an
        attribution like the value at the layer.

    Raises:
        ValueError: when called, if no value has that name, or the other input has another shape
            than `x`.
        TypeError: when called without `baseline=`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x @ jnp.array([[1.0, 2.0], [0.0, 1.0]])
        ...     return h[0] * h[1]
        >>> patch = jaxplain.attribution_patching(f, at="hidden")
        >>> patch(jnp.array([1.0, 1.0]), baseline=jnp.array([1.0, -1.0]))
        Array([0., 2.], dtype=float32)

    Notes:
        First order is wrong where the score saturates between the two values, attention that looks
        at one token only for instance: check the largest with `activation_patching`.

    References:
        Syed et al. 2023, Attribution patching outperforms automated circuit discovery,
        arXiv:2310.10348.
    """
    return _between(layer(_first_order, at=at, argnums=argnums)(f), "attribution_patching", f)


def _between(patched: Attribution, name: str, f: Model) -> Attribution:
    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> PyTree:
        if baseline is None:
            raise TypeError(
                f"{name} compares two inputs: pass the other one as baseline=, an array like x."
            )
        return patched(*args, baseline=baseline, **kwargs)

    return named(explain, name, f)


def _first_order(f: Model) -> Attribution:
    """The change from a baseline, times the gradient."""

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, 0)
        change = subtract(x, checked_baseline(baseline, x))
        return cast_like(map_wide(jnp.multiply, change, lower(jax.grad(score))(x)), x)

    return named(explain, "first_order", f)
