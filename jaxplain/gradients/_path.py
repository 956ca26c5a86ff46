"""Integrals of the gradient along any path from a baseline to the input.

One engine serves the straight line, scale space and a user's own path: a path is a function
`path(alpha, x, baseline)`, its velocity comes from `jax.jvp`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._baselines import checked_baseline
from .._batch import size_for, stack, weighted_sum
from .._call import Score, bind, named
from .._errors import check_chunk, check_count, check_real, warn_unless
from .._tree import cast_like, map_wide, total, widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree, Scalar
from ._adaptive import PANEL, adapt
from ._quadrature import quadrature

Path = Callable[[jax.Array, PyTree, PyTree], PyTree]


def straight_line(alpha: jax.Array, x: PyTree, baseline: PyTree) -> PyTree:
    r"""The path of integrated gradients: $\gamma(\alpha) = x^0 + \alpha (x - x^0)$.

    Args:
        alpha: where on the path, a number in [0, 1].
        x: the input, a pytree of arrays.
        baseline: where the path starts, a pytree like `x`.

    Returns:
        The point on the path, a pytree like `x`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.straight_line(jnp.float32(0.25), jnp.array([4.0, 8.0]), jnp.zeros(2))
        Array([1., 2.], dtype=float32)
    """

    def interpolate(x: jax.Array, baseline: jax.Array) -> jax.Array:
        return baseline + alpha.astype(x.dtype) * (x - baseline)

    return cast_like(map_wide(interpolate, x, baseline), x)


def path_integrated_grad(
    f: Model,
    path: Path,
    *,
    steps: int = 50,
    rule: str = "gauss_legendre",
    chunk: Chunk = "auto",
    tolerance: Scalar | None = None,
    max_steps: int = 1000,
    atol: Scalar = 1e-3,
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""Integrate the gradient along a path of your own.

    $A_i = \int_0^1 \partial_i f(\gamma(\alpha)) \, \gamma_i'(\alpha) \, d\alpha$, which sums to
    $f(\gamma(1)) - f(\gamma(0))$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        path: `path(alpha, x, baseline) -> point`, differentiable in the number `alpha` in [0, 1],
            with `path(1, x, baseline) = x`. A path that needs no baseline ignores it.
        steps: number of gradients; with `tolerance`, the number to start from.
        rule: `"gauss_legendre"`, `"middle"`, `"trapezoid"`, `"left"` or `"right"`.
        chunk: at most this many gradients per example are live at once; "auto" for as many as run
            fast, None for all (with `tolerance`: for `steps` of them).
        tolerance: if given, sub-intervals of the path are bisected, worst first, until the
            residual, and the root sum of squares of the sub-intervals' residuals, are under
            `tolerance * (|f(x) - f(x0)| + atol)`, for each example on its own.
        max_steps: the ceiling on the number of gradients with `tolerance`.
        atol: the difference of scores, in units of `f`, under which the tolerance is absolute.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `steps`, `evaluations`, `residual` and `converged`.

    Returns:
        A function with the arguments of `f`, and `baseline=` (a pytree like `x`, one number, or
        None for zeros), that returns a pytree like `x`, or `(attribution, Info)`.

    Raises:
        ValueError: an option is invalid; when called, a baseline of another shape than `x`.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> detour = lambda alpha, x, x0: x0 + jnp.array([alpha, alpha**2]) * (x - x0)
        >>> explain = jaxplain.path_integrated_grad(lambda x: x[0] * x[1], detour)
        >>> explain(jnp.ones(2)).round(4)
        Array([0.3333, 0.6667], dtype=float32)

    Notes:
        An explanation that misses the tolerance warns with a `RuntimeWarning`, also from compiled
        code; under `info=True` it says so in `info.converged` instead.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """
    nodes, weights = quadrature(rule, steps)
    check_chunk(chunk)
    check_real("atol", atol, low=0)
    if tolerance is not None:
        check_real("tolerance", tolerance, low=0)
        hint = f"It is the ceiling, and steps={steps} is where the search starts."
        check_count("max_steps", max_steps, least=max(PANEL, steps), hint=hint)

    def explain(*args: Any, baseline: PyTree | None = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums)
        line = _Line(score, path, x, checked_baseline(baseline, x))
        if tolerance is None:
            attribution = line.integrate(jnp.asarray(nodes), jnp.asarray(weights), chunk)
            if not info:
                return attribution
            residual, _ = line.residual(attribution)
            counts = jnp.asarray(steps), jnp.asarray(steps + 2)
            return attribution, Info(*counts, residual)

        attribution, report = adaptive(line)
        if info:
            return attribution, report
        warn_unless(
            report.converged,
            missed,
            residual=report.residual,
            steps=report.steps,
            tolerance=jnp.asarray(tolerance),
        )
        return attribution

    def adaptive(line: _Line) -> tuple[PyTree, Info]:
        found = adapt(
            line.slope,
            rule=rule,
            steps=steps,
            max_steps=max_steps,
            threshold=threshold,
            chunk=chunk,
        )
        # Nodes that were not needed are skipped by the chunk.
        size = min(steps, size_for(line.gradient, found.nodes, chunk))
        attribution = line.integrate(found.nodes, found.weights, size, skip=True)
        residual, difference = line.residual(attribution)
        converged = found.converged & (jnp.abs(residual) <= threshold(difference))
        evaluations = found.evaluations + found.steps + 2
        return attribution, Info(found.steps, evaluations, residual, converged)

    def threshold(difference: jax.Array) -> jax.Array:
        return jnp.asarray(tolerance * (jnp.abs(difference) + atol), difference.dtype)

    missed = (
        "The path integral did not converge: residual {residual:.3g} after {steps} steps, "
        "with tolerance={tolerance:.3g}. "
        f"Raise max_steps={max_steps}, or pass info=True and look at info.converged."
    )
    return named(explain, "path_integrated_grad", f)


@dataclasses.dataclass(frozen=True)
class _Line:
    """The score along one path: everything the integral needs to know about a call."""

    score: Score
    path: Path
    x: PyTree
    baseline: PyTree

    def at(self, alpha: jax.Array) -> PyTree:
        return self.path(alpha, self.x, self.baseline)

    def slope(self, alpha: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Score and slope by forward differentiation; only for choosing nodes, so constant."""
        along = jax.jvp(lambda a: self.score(self.at(a)), (alpha,), (jnp.ones_like(alpha),))
        value, slope = jax.lax.stop_gradient(along)
        return value.astype(alpha.dtype), slope.astype(alpha.dtype)

    def gradient(self, alpha: jax.Array) -> PyTree:
        """Gradient times velocity: what one node contributes."""
        point, velocity = jax.jvp(self.at, (alpha,), (jnp.ones_like(alpha),))
        return map_wide(jnp.multiply, jax.grad(self.score)(point), velocity)

    def integrate(
        self, nodes: jax.Array, weights: jax.Array, chunk: Chunk, *, skip: bool = False
    ) -> PyTree:
        integral = weighted_sum(self.gradient, nodes, weights, chunk=chunk, skip=skip)
        return cast_like(integral, self.x)

    def residual(self, attribution: PyTree) -> tuple[jax.Array, jax.Array]:
        """What the attribution sums to beyond the difference of the ends, and that difference."""
        start, end = widen(stack(lambda alpha: self.score(self.at(alpha)), jnp.arange(2.0)))
        return total(attribution) - (end - start), end - start
