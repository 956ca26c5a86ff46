"""The local model: linear, fitted to weighted samples of the score, with few features if wanted."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import check_choice, check_count, check_real, is_concrete
from .._types import Scalar
from ..backprop._rule import quotient
from ._lasso import lasso
from ._moments import Design, dot, moments
from ._reweighted import logistic
from ._ridge import System, robust_errors
from ._selection import SELECTIONS, select_features

PENALTIES = {"ridge": 1.0, "lasso": 0.01, "logistic": 1.0}
FEWEST = 2  # effective samples, below which the weights leave nothing but the input

TOO_FEW = (
    "LIME's weights leave {samples:.2f} effective samples, so that the coefficients say nothing: "
    "the kernel is too narrow for samples as far away as these. Give a larger kernel_width=, or "
    "draw nearer samples with a larger keep_probability=."
)
UNCONVERGED = (
    "The solver of the local model did not converge: give a larger penalty=, and with "
    "solver='logistic' scores that are probabilities."
)


class LocalFit(NamedTuple):
    """A fitted local model."""

    values: jax.Array  # (features,), coefficients
    intercept: jax.Array  # (), the prediction where all interpretable values are zero
    prediction: jax.Array  # (), at the first sample
    fidelity: jax.Array  # (), weighted R²
    standard_error: Any  # (features,), or None if it was not asked for
    converged: jax.Array  # (), bool: of the solver
    effective: jax.Array  # (), how many samples of equal weight would be worth as much

    @property
    def sound(self) -> jax.Array:
        """Whether the solver converged on samples enough."""
        return self.converged & (self.effective >= FEWEST)


@dataclasses.dataclass(frozen=True)
class LocalModel:
    """How a local model is fitted."""

    solver: str = "ridge"
    penalty: Scalar = 1.0
    selection: str = "none"
    keep: int | None = None

    @staticmethod
    def checked(
        solver: str, penalty: Scalar | None, selection: str, keep: int | None
    ) -> LocalModel:
        """Raise unless all options are known."""
        check_choice("solver", solver, PENALTIES)
        check_choice("selection", selection, SELECTIONS)
        check_real("penalty", 0.0 if penalty is None else penalty, low=0)
        if keep is not None:
            check_count("keep", keep, hint="Leave keep=None to keep all features.")
            if selection == "none":
                raise ValueError(
                    f"keep={keep} features are to be kept, but selection='none' keeps all: choose "
                    "selection='auto', or leave out keep=."
                )
        return LocalModel(
            solver, PENALTIES[solver] if penalty is None else penalty, selection, keep
        )

    def check_enough(self, samples: int, count: int) -> None:
        """Raise if as many coefficients as samples would be fitted without a penalty."""
        kept = min(self.keep or count, count)
        free = (
            self.solver != "logistic"
            and is_concrete(self.penalty)
            and not np.any(np.asarray(self.penalty) > 0)
        )
        if free and samples <= kept:
            raise ValueError(
                f"samples={samples} cannot determine {kept} coefficients and an intercept without "
                f"a penalty: give samples={2 * kept} at least, or a penalty= above 0."
            )

    def fit(
        self, design: Design, scores: jax.Array, weights: jax.Array, *, errors: bool = False
    ) -> LocalFit:
        """The local model of these samples: rows, scores and weights."""
        if self.solver == "logistic":
            fitted = self._log_odds(design, scores, weights, errors)
        else:
            fitted = self._linear(design, scores, weights, errors)
        effective = quotient(jnp.sum(weights) ** 2, jnp.sum(weights**2), 0.0)
        return fitted._replace(effective=jax.lax.stop_gradient(effective))

    def _linear(
        self, design: Design, scores: jax.Array, weights: jax.Array, errors: bool
    ) -> LocalFit:
        # Squares are taken of shares of the largest distance: those of tiny scores underflow.
        unit = jax.lax.stop_gradient(jnp.max(jnp.abs(scores - scores[0])))
        unit = jnp.where(unit > 0, unit, 1)
        shares = scores / unit
        found = moments(design, shares, weights)
        origin = design.origin
        used = select_features(found, origin, self.selection, self.keep or len(origin))
        converged, pull = jnp.asarray(True), jnp.zeros_like(origin)
        if self.solver == "ridge":
            system = System.of(found.gram, self.penalty, used)
            values = system.solve(found.cross)
        else:
            penalty = jnp.asarray(self.penalty, unit.dtype) / unit
            values, system, signs, converged = lasso(found, penalty, used)
            pull = penalty * signs
        intercept = found.score - dot(values, found.row)
        lost = quotient(found.unexplained(values), found.spread, 0.0)
        error = None
        if errors:
            error = unit * robust_errors(design, shares, weights, found, values, system, pull)
        return LocalFit(
            values=unit * values,
            intercept=unit * intercept,
            prediction=unit * (intercept + dot(values, origin)),
            fidelity=1 - lost,
            standard_error=error,
            converged=converged,
            effective=unit,
        )

    def _log_odds(
        self, design: Design, scores: jax.Array, weights: jax.Array, errors: bool
    ) -> LocalFit:
        plain = moments(design, scores, weights)
        origin = design.origin
        used = select_features(plain, origin, self.selection, self.keep or len(origin))
        fit = logistic(design, scores, weights, self.penalty, used)
        values, intercept = fit.coefficients, fit.intercept
        fitted = jax.nn.sigmoid(intercept + design.predict(values))
        lost = quotient(jnp.sum(weights * (scores - fitted) ** 2), plain.spread, 0.0)
        error = None
        if errors:
            error = robust_errors(design, *fit.working, fit.found, values, fit.system)
        return LocalFit(
            values=values,
            intercept=jax.nn.sigmoid(intercept),
            prediction=jax.nn.sigmoid(intercept + dot(values, origin)),
            fidelity=1 - lost,
            standard_error=error,
            converged=fit.converged,
            effective=intercept,
        )


def checks_of(fit: LocalFit) -> tuple[tuple[jax.Array, str, dict[str, Any]], ...]:
    """What should hold of a fit, and what to say where it does not."""
    return (
        (fit.effective >= FEWEST, TOO_FEW, {"samples": fit.effective}),
        (fit.converged, UNCONVERGED, {}),
    )
