"""What a test of concepts found, as arrays and as a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._significance import middle


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConceptReport:
    """What `tcav` found: scores, p-values and a verdict for each of C concepts.

    `print(report)` shows it as a table.

    Args:
        names: the concepts.
        scores: the TCAV score against each of R random counterparts, (C, R): the share of inputs
            whose score rises towards the concept.
        derivatives: the mean derivative towards the concept, times the layer's scale, (C, R), in
            units of `f`.
        accuracies: held-out accuracy of each of these classifiers, (C, R), between 0 and 1.
        p: p-value of the mean derivative (or score, as `statistic` says), (C,), two-sided, from the
            permutation test.
        p_accuracy: p-value of the mean accuracy, (C,), one-sided, from the same permutations.
        p_t_test: p-value of Welch's two-sided t-test, (C,); too small, see `tcav`.
        permuted: what is tested, for each of P random labelings, (C, P).
        permuted_accuracies: mean accuracy of each of these, (C, P).
        control: the same for random examples against others, for the t-test, (C, R).
        converged: share of all fits that met their tolerance, (C,).
        sizes: for each concept, how many of its examples were fitted and how many held out.
        pool: number of random examples.
        statistic: what is tested: `"magnitude"` or `"sign"`.
        alpha: the level of both tests.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> row = jnp.full((1, 4), 0.875)
        >>> one = jnp.array([0.01])
        >>> facts = dict(permuted=row, permuted_accuracies=row, control=row, converged=one)
        >>> report = jaxplain.ConceptReport(
        ...     names=("striped",), scores=row, derivatives=row, accuracies=row, p=one,
        ...     p_accuracy=one, p_t_test=one, sizes=((20, 10),), pool=90, statistic="sign",
        ...     alpha=0.05, **facts)
        >>> report.verdicts
        ('raises the score',)
    """

    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    scores: Any
    derivatives: Any
    accuracies: Any
    p: Any
    p_accuracy: Any
    p_t_test: Any
    permuted: Any
    permuted_accuracies: Any
    control: Any
    converged: Any
    sizes: tuple[tuple[int, int], ...] = dataclasses.field(metadata={"static": True})
    pool: int = dataclasses.field(metadata={"static": True})
    statistic: str = dataclasses.field(metadata={"static": True})
    alpha: float = dataclasses.field(metadata={"static": True})

    @property
    def score(self) -> jax.Array:
        """The mean TCAV score of each concept, (C,), between 0 and 1."""
        return jnp.mean(self.scores, axis=-1)

    @property
    def derivative(self) -> jax.Array:
        """The mean derivative of each concept, (C,), in units of `f`."""
        return jnp.mean(self.derivatives, axis=-1)

    @property
    def accuracy(self) -> jax.Array:
        """The mean held-out accuracy of each concept, (C,)."""
        return jnp.mean(self.accuracies, axis=-1)

    @property
    def conclusive(self) -> jax.Array:
        """Whether the classifiers tell the concept from random examples, (C,)."""
        return jnp.asarray(self.p_accuracy <= self.alpha)

    @property
    def significant(self) -> jax.Array:
        """Whether both the accuracy and the score differ from what random examples give, (C,)."""
        return self.conclusive & jnp.asarray(self.p <= self.alpha)

    @property
    def fits(self) -> int:
        """The number of classifiers fitted, for all concepts together."""
        (concepts, repeats), permutations = self.scores.shape, self.permuted.shape[-1]
        return int(concepts * repeats * (2 + permutations))

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One sentence for each concept."""
        tested = self.score if self.statistic == "sign" else self.derivative
        positive = np.asarray(tested) > middle(self.statistic)
        facts = zip(self.conclusive, self.significant, positive, strict=True)
        return tuple(_verdict(*map(bool, fact)) for fact in facts)

    def __str__(self) -> str:
        heads = "concept", "score", "derivative", "p", "(t-test)", "accuracy", "p", "verdict"
        verdicts = self.verdicts
        rows = [heads, *(self._row(i, verdicts[i]) for i in range(len(self.names)))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_pad, row, widths, _LEFT)).rstrip() for row in rows]
        return "\n".join([*lines, *self._legend()])

    def _row(self, i: int, verdict: str) -> tuple[str, ...]:
        return (
            self.names[i],
            _spread(self.scores[i], ".2f", ".2f"),
            _spread(self.derivatives[i], "+.3g", ".2g"),
            _p(self.p[i]),
            _p(self.p_t_test[i]),
            f"{float(self.accuracy[i]):.2f}",
            _p(self.p_accuracy[i]),
            verdict,
        )

    def _legend(self) -> list[str]:
        repeats, permutations = self.scores.shape[-1], self.permuted.shape[-1]
        tested = "score" if self.statistic == "sign" else "derivative"
        lines = [
            "score: share of the inputs whose score rises towards the concept, 0.5 by chance.",
            "derivative: what a typical step towards the concept adds, in units of f, 0 by chance.",
            f"±: standard deviation over {repeats} random counterparts from {self.pool} examples.",
            f"p: permutation tests of the {tested} and of the accuracy with {permutations} "
            f"labelings; both must reach {self.alpha:g}.",
            f"(t-test): of the {tested}, calls random concepts significant. {self.fits} fits.",
        ]
        worst = float(np.min(np.asarray(self.converged)))
        if worst < 1:
            lines.append(f"Up to {1 - worst:.2%} of a concept's fits did not converge.")
        return lines


_LEFT = (True, *(False,) * 6, True)


def _spread(values: Any, mean: str, deviation: str) -> str:
    values = np.asarray(values, np.float64)
    return f"{values.mean():{mean}} ± {values.std(ddof=1):{deviation}}"


def _pad(text: str, width: int, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)


def _p(value: Any) -> str:
    number = float(value)
    return "<0.0001" if number < 0.0001 else f"{number:.4f}"


def _verdict(conclusive: bool, significant: bool, positive: bool) -> str:
    if not conclusive:
        return "the CAV is no better than chance"
    if not significant:
        return "not significant"
    return "raises the score" if positive else "lowers the score"
