"""What a global surrogate is, how far it can be trusted, and what it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._tree_surrogate import Tree, rules


def _static() -> Any:
    return dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Surrogate:
    """A simple model in place of another one, and how well it stands in for it.

    Called with one example it is a JAX function like the model, so any attribution explains it:
    `jaxplain.ablation(report)(x)`. `print(report)` shows what it says; where the fidelity is too
    low the text begins by refusing to speak for the model.

    Args:
        fitted: the simple model, a function of one example; its arrays are its attributes.
        fidelity: on the inputs held out: R², at most 1, for scores; for classes the share of inputs
            on which it agrees with the model, between 0 and 1.
        fidelity_fitted: the same on the inputs that it was fitted to.
        chance: for classes, the agreement of one class for all inputs, the most frequent among
            those fitted; 0 for scores, whose R² counts from the mean.
        deviations: the standard deviation of each feature over all inputs, (F,), in its unit.
        kind: `"linear"`, `"logistic"` or `"tree"`.
        model: the name of the model that it stands in for.
        sizes: how many inputs it was fitted to, and how many were held out.
        least_fidelity: below this it does not speak for the model.
        names: the name of each feature.
        units: the unit of each feature, or "".
        classes: the name of each class; () for scores.
        remarks: what else was noticed, a sentence each.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> inputs = jax.random.normal(jax.random.key(0), (100, 2))
        >>> report = jaxplain.surrogate(
        ...     lambda x: 3 * x[0] + 1, inputs, names=("age", "height"), key=jax.random.key(1))
        >>> report.faithful, [round(float(number), 3) for number in report.coefficients]
        (True, [3.0, 0.0])
        >>> round(float(report(jnp.ones(2))), 3)
        4.0
    """

    fitted: Any
    fidelity: Any
    fidelity_fitted: Any
    chance: Any
    deviations: Any
    kind: str = _static()
    model: str = _static()
    sizes: tuple[int, int] = _static()
    least_fidelity: float = _static()
    names: tuple[str, ...] = _static()
    units: tuple[str, ...] = _static()
    classes: tuple[str, ...] = _static()
    remarks: tuple[str, ...] = _static()

    def __call__(self, x: jax.Array) -> jax.Array:
        """The surrogate's score of one example, (), or a number for each class, (K,)."""
        found: jax.Array = self.fitted(x)
        return found

    @property
    def faithful(self) -> bool:
        """Whether it may speak for the model: it reaches `least_fidelity`, and beats chance."""
        enough = float(self.fidelity) >= self.least_fidelity
        return enough and float(self.fidelity) > float(self.chance)

    @property
    def coefficients(self) -> Any:
        """What one unit of each feature adds, (F,), or to each class, (K, F); None for a tree."""
        return None if self.kind == "tree" else self.fitted.weights

    @property
    def standardised(self) -> Any:
        """What one standard deviation of each feature adds, like `coefficients`."""
        if self.kind == "tree":
            return None
        weights = self.fitted.weights
        deviations = jnp.asarray(self.deviations, weights.dtype)
        return weights * jnp.broadcast_to(deviations, weights.shape)

    @property
    def rules(self) -> str:
        """A tree as indented questions; of a linear model, nothing."""
        if not isinstance(self.fitted, Tree):
            return ""
        return "\n".join(rules(self.fitted, self.question, self.answer))

    def question(self, node: int, sign: str = "<=") -> str:
        """What is asked at a node of a tree: `age <= 40 years`; `>` for the answer no."""
        feature = int(np.asarray(self.fitted.feature)[node])
        unit = f" {self.units[feature]}" if self.units[feature] else ""
        threshold = float(np.asarray(self.fitted.threshold)[node])
        return f"{self.names[feature]} {sign} {threshold:.4g}{unit}"

    def best(self, node: int) -> int:
        """The class of a node of a tree."""
        return int(np.argmax(np.asarray(self.fitted.values)[node]))

    def answer(self, node: int) -> str:
        """What a leaf of a tree says: a score, or a class and its share."""
        value = np.asarray(self.fitted.values)[node]
        if not self.classes:
            return f"{float(value):.4g}"
        best = self.best(node)
        return f"{self.classes[best]}, {float(value[best]):.0%}"

    @property
    def refusal(self) -> str:
        """Why it must not be taken for the model; nothing if it may."""
        if self.faithful:
            return ""
        low = f"less than least_fidelity={self.least_fidelity:g}"
        if float(self.fidelity) >= self.least_fidelity:
            low = f"no more than {float(self.chance):.3g}, that of the same answer for all"
        return (
            f"NOT FAITHFUL: on {self.sizes[1]} held-out inputs this surrogate of {self.model} has "
            f"{self._measure()} {float(self.fidelity):.3g}, {low}. What it says is no explanation "
            f"of {self.model}."
        )

    @property
    def headline(self) -> str:
        """What it is and its fidelity, in one line."""
        head = (
            f"{self.kind} surrogate of {self.model}: {self._measure()} {float(self.fidelity):.4g} "
            f"on {self.sizes[1]} held-out inputs, {float(self.fidelity_fitted):.4g} on the "
            f"{self.sizes[0]} fitted"
        )
        if self.classes:
            head += f"; the same answer for all would have {float(self.chance):.4g}"
        return f"{head}."

    def __str__(self) -> str:
        body = [self.rules] if self.kind == "tree" else self._table()
        return "\n".join(filter(None, [self.refusal, self.headline, *self.remarks, *body]))

    def _measure(self) -> str:
        return "agreement" if self.classes else "R²"

    def _table(self) -> list[str]:
        """A row for each feature, the largest effect per standard deviation first."""
        own = np.atleast_2d(np.asarray(self.coefficients))
        standard = np.atleast_2d(np.asarray(self.standardised))
        intercepts = np.atleast_1d(np.asarray(self.fitted.intercept))
        columns = [f"{name} " for name in self.classes] or [""]
        heads = [f"{c}{what}" for c in columns for what in ("per unit", "per deviation")]
        rows = [["feature", *heads]]
        for i in np.argsort(-np.abs(standard).max(axis=0), kind="stable"):
            unit = f" ({self.units[i]})" if self.units[i] else ""
            pairs = zip(own[:, i], standard[:, i], strict=True)
            rows.append([f"{self.names[i]}{unit}", *(f"{v:+.4g}" for pair in pairs for v in pair)])
        rows.append(["intercept", *(s for b in intercepts for s in (f"{b:+.4g}", ""))])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [_line(row, widths) for row in rows]


def _line(row: list[str], widths: list[int]) -> str:
    first, *rest = (
        text.rjust(width) if i else text.ljust(width)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
