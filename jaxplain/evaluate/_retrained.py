"""What retraining found: the score of retrained models against the share of inputs that is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class RetrainingCurves:
    """The held-out score of models that were retrained without some of the inputs.

    Args:
        shares: the S shares of the features that are gone, 0 first, (S,).
        scores: for each attribution and control, the score for each share and seed, (S, seeds).
        controls: which of the names are controls.
        level: of the intervals, in (0, 1).
        order: `"roar"`, the most important gone first, or `"kar"`, the least important.

    Example:
        >>> import numpy as np
        >>> from jaxplain import evaluate
        >>> scores = {"gradient": np.array([[1.0, 0.8], [0.5, 0.5]])}
        >>> curves = evaluate.RetrainingCurves(np.array([0.0, 0.5]), scores, (), 0.95, "roar")
        >>> curves.means["gradient"]
        array([0.9, 0.5])
    """

    shares: Array
    scores: Mapping[str, Array]
    controls: tuple[str, ...]
    level: float
    order: str

    @property
    def means(self) -> dict[str, Array]:
        """The mean score over the seeds, for each name and share, (S,)."""
        return {name: scores.mean(axis=-1) for name, scores in self.scores.items()}

    @property
    def errors(self) -> dict[str, Array]:
        """Half the width of Student's confidence interval of that mean, (S,)."""
        return {name: self._half_width(scores) for name, scores in self.scores.items()}

    @property
    def areas(self) -> dict[str, float]:
        """The mean score over the shares, by the trapezoidal rule: in ROAR, lower is better."""
        span = self.shares[-1] - self.shares[0]
        return {
            name: float(np.trapezoid(mean, self.shares) / span) for name, mean in self.means.items()
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each name and share: mean, interval, number of seeds."""
        means, errors = self.means, self.errors
        return [
            {
                "method": name,
                "control": name in self.controls,
                "share": float(share),
                "mean": float(means[name][place]),
                "low": float(means[name][place] - errors[name][place]),
                "high": float(means[name][place] + errors[name][place]),
                "seeds": scores.shape[-1],
            }
            for name, scores in self.scores.items()
            for place, share in enumerate(self.shares)
        ]

    def difference(self, first: str, second: str) -> tuple[Array, Array]:
        """The mean of the first minus the second, and half the width of its interval, each (S,).

        Seeds are the same for both, so what depends on the seed alone cancels.
        """
        for name in (first, second):
            if name not in self.scores:
                raise ValueError(f"{name!r} is unknown: choose one of {', '.join(self.scores)}.")
        differences = self.scores[first] - self.scores[second]
        return differences.mean(axis=-1), self._half_width(differences)

    def figure(self, *, title: str | None = None, ylabel: str = "held-out score") -> Figure:
        """Draw the means over the shares, with their intervals as bands."""
        from ..plot import curves

        marked = {name: name for name in self.scores}
        marked |= {name: f"{name} (control)" for name in self.controls}
        return curves(
            self.shares,
            {marked[name]: mean for name, mean in self.means.items()},
            errors={marked[name]: error for name, error in self.errors.items()},
            xlabel="share of the features that is gone",
            ylabel=ylabel,
            title=title,
        )

    def _half_width(self, scores: Array) -> Array:
        seeds = scores.shape[-1]
        quantile = special.stdtrit(seeds - 1, (1 + self.level) / 2)
        half: Array = quantile * scores.std(axis=-1, ddof=1) / np.sqrt(seeds)
        return half
