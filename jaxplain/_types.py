"""The types that users meet: what a model is, what an attribution is, what `info=True` adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax

PyTree: TypeAlias = Any
Scalar: TypeAlias = Any  # a float, or an array of shape ()
Argnums: TypeAlias = int | tuple[int, ...]
Chunk: TypeAlias = int | Literal["auto"] | None  # evaluations at once
Model: TypeAlias = Callable[..., Any]
Attribution: TypeAlias = Callable[..., Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Info:
    r"""What is known about an explanation beside its numbers: the second output under `info=True`.

    A field that a method has nothing to say about is `None`. `Info` is a pytree, so it passes
    through `jax.jit` and gains a leading axis under `jax.vmap`.

    Args:
        steps: number of gradients in the final sum, an integer of shape ().
        evaluations: number of model evaluations in all, the search for the steps included.
        residual: convergence delta $\sum_i A_i - (f(x) - f(x^0))$, in units of `f`; what is
            `unattributed` counts with the sum.
        converged: whether the residual, or the standard error, met the tolerance asked for, or a
            local model's fit came to rest, a boolean of shape ().
        standard_error: standard error of the mean over samples, or of a local model's coefficients,
            a pytree like the attribution.
        ledger: what each site received and handed on, a `Ledger` or `Differences`.
        relevance: relevance (or contribution) of each site's output, by name; a loop has a leading
            axis of steps.
        weights: relevance of each layer's effective weights, by name, shaped like them.
        unattributed: what no input is given the credit for, in units of `f`.
        bypass: what goes around the layer that was explained, in units of `f`.
        values: the value of each feature, (features,), or of each window, for occlusion.
        intercept: the local model's prediction at the baseline, in units of `f`.
        prediction: the local model's prediction at the input, in units of `f`.
        fidelity: the weighted R² of the local model on its samples, at most 1.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.sum(x**2)
        >>> explain = jaxplain.integrated_grad(f, steps=8, info=True)
        >>> attribution, info = explain(jnp.array([1.0, 2.0]))
        >>> int(info.steps), abs(float(info.residual)) < 1e-5
        (8, True)
    """

    steps: Any = None
    evaluations: Any = None
    residual: Any = None
    converged: Any = None
    standard_error: Any = None
    ledger: Any = None
    relevance: Any = None
    weights: Any = None
    unattributed: Any = None
    bypass: Any = None
    values: Any = None
    intercept: Any = None
    prediction: Any = None
    fidelity: Any = None
