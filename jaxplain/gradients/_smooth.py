"""Average any function of the input over noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import mean, mean_and_variance
from .._call import bind_function, check_averageable, name_of, named
from .._errors import check_choice, check_chunk, check_count, check_real
from .._keys import checked_key, normal_like, split_for
from .._tree import path_name, same_tree
from .._types import Argnums, Chunk, Info, PyTree, Scalar

STATISTICS = ("mean", "square", "variance")


def smooth(
    g: Callable[..., Any],
    *,
    samples: int = 50,
    sigma: Scalar | PyTree | None = None,
    noise_level: Scalar = 0.15,
    statistic: str = "mean",
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Callable[..., Any]:
    r"""Average a function of the input over Gaussian noise: SmoothGrad, SmoothGrad², VarGrad.

    $\frac1n \sum_i g(x + \sigma \varepsilon_i)$ with $\varepsilon_i \sim \mathcal N(0, 1)$, of any
    function: an attribution, or the model itself. `jax.grad(smooth(f))` and `smooth(jax.grad(f))`
    are the same numbers for the same key.

    Args:
        g: any function of `x`: `jax.grad(f)`, `integrated_grad(f)`, `f`. Returns floating arrays.
        samples: number of noisy inputs.
        sigma: standard deviation of the noise in the units of the input, one number or a pytree
            like `x` of numbers. If None, `noise_level` decides.
        noise_level: standard deviation as a share of the input's range, `max(x) - min(x)` of each
            leaf.
        statistic: `"mean"`, `"square"` (mean of squares) or `"variance"` (unbiased).
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to perturb.
        info: also return an `Info` with `steps` and `standard_error` (of a mean of values or of
            squares).

    Returns:
        A function with the arguments of `g`, and `key=` (a `jax.random.key`), that returns what
        `g` returns, or `(that, Info)`. Sample `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid, or a leaf has a single value and `sigma` is None.
        TypeError: when called, without a key, or if `g` returns anything but floating arrays.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(x**3)
        >>> explain = jaxplain.smooth(jax.grad(f), samples=10, sigma=0.1)
        >>> explain(jnp.ones(2), key=jax.random.key(0)).shape
        (2,)
        >>> by_class = jaxplain.smooth(jaxplain.integrated_grad(f), samples=4, chunk=2)
        >>> jax.jit(by_class)(jnp.arange(3.0), key=jax.random.key(0)).shape
        (3,)

    Notes:
        A constant input has no range, so `noise_level` adds no noise to it. A key belongs to one
        example: `jax.vmap` needs `key=jax.random.split(key, n)`, or one key bound with
        `functools.partial`.

    References:
        Smilkov et al. 2017, SmoothGrad, arXiv:1706.03825. Hooker et al. 2019, A benchmark for
        interpretability methods, arXiv:1806.10758 (squares). Adebayo et al. 2018, Local explanation
        methods for deep neural networks lack sensitivity, arXiv:1810.03307 (variance).
    """
    check_choice("statistic", statistic, STATISTICS)
    check_count("samples", samples, least=2 if statistic == "variance" or info else 1)
    check_chunk(chunk)
    check_real("noise_level", noise_level, low=0)
    for leaf in jax.tree.leaves(sigma):
        check_real("sigma", leaf, low=0)

    def smoothed(*args: Any, key: jax.Array | None = None, **kwargs: Any) -> Any:
        key = checked_key(key, f"smooth({name_of(g)})")
        _, x = bind_function(g, args, kwargs, argnums)
        scale = _noise_scale(x, sigma, noise_level)

        def sample(number: jax.Array) -> PyTree:
            noise_key, inner = split_for(g, jax.random.fold_in(key, number))
            function, _ = bind_function(g, args, {**kwargs, **inner}, argnums)
            noise = normal_like(noise_key, x)
            value = function(jax.tree.map(lambda x, s, n: x + s * n, x, scale, noise))
            check_averageable(value, g, "smooth")
            return jax.tree.map(jnp.square, value) if statistic == "square" else value

        numbers = jnp.arange(samples)
        if statistic != "variance" and not info:
            return mean(sample, numbers, chunk=chunk)
        average, variance = mean_and_variance(sample, numbers, chunk=chunk)
        if not info:
            return variance
        if statistic == "variance":
            return variance, Info(steps=jnp.asarray(samples))
        error = jax.tree.map(lambda v: jnp.sqrt(v / samples), variance)
        return average, Info(steps=jnp.asarray(samples), standard_error=error)

    return named(smoothed, "smooth", g, random=True)


def _noise_scale(x: PyTree, sigma: PyTree, noise_level: Scalar) -> PyTree:
    """The standard deviation of the noise, one number for each leaf of `x`."""
    if sigma is None:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: _range(path, leaf) * jnp.asarray(noise_level, leaf.dtype), x
        )
    if same_tree(sigma, 0):
        return jax.tree.map(lambda leaf: jnp.asarray(sigma, leaf.dtype), x)
    if not same_tree(sigma, x):
        raise ValueError(
            f"sigma has the tree {jax.tree.structure(sigma)}, but the input has "
            f"{jax.tree.structure(x)}: give one number, or one for each leaf."
        )
    return jax.tree.map(lambda leaf, s: jnp.asarray(s, leaf.dtype), x, sigma)


def _range(path: Any, leaf: jax.Array) -> jax.Array:
    if leaf.size < 2:
        raise ValueError(
            f"{path_name(path)} has a single value and so no range for noise_level to be a share "
            "of: give sigma=, in the units of the input."
        )
    return jax.lax.stop_gradient(jnp.max(leaf) - jnp.min(leaf))
