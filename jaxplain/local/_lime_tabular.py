"""LIME for tables: samples drawn from the training data's statistics, as the original does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import Score, bind, name_of, named
from .._errors import check_choice, check_chunk, check_count
from .._keys import checked_key
from .._tree import widen
from .._types import Argnums, Attribution, Chunk, Model, Scalar
from ._kernels import DISTANCES, Distance, Kernel, check_distance, check_kernel, weigh
from ._lime import info_of, warn_of
from ._model import LocalModel
from ._moments import Design
from ._table import Discretize, TableStatistics, table_statistics

CENTRES = ("mean", "input")


def lime_tabular(
    f: Model,
    data: Any,
    *,
    categorical: Sequence[int] = (),
    discretize: Discretize = "quartile",
    around: str = "mean",
    samples: int = 5000,
    kernel_width: Scalar | None = None,
    distance: str | Distance = "euclidean",
    kernel: str | Kernel = "lime",
    solver: str = "ridge",
    penalty: Scalar | None = None,
    selection: str = "auto",
    keep: int | None = 10,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""LIME for tables: what it does to the score that a feature lies in the same bin as in `x`.

    Each sample draws a bin for every feature, as often as it occurs in the data, and a value from
    the normal distribution of the data in that bin, cut off at its ends. The map is the linear fit
    of `lime` to $z_i = 1$ where sample and input are in the same bin (or have the same category).
    Without bins, values are normal around the mean, and $z_i = (x_i - \mu_i) / \sigma_i$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example, a vector (features,).
        data: the training data, (rows, features), or their `table_statistics`.
        categorical: the columns whose values are names, not sizes.
        discretize: where the bins of the other columns end: `"quartile"`, `"decile"`, one array of
            edges for each column, or None for no bins.
        around: without bins, where samples are drawn: around the `"mean"` of the data, or around
            the `"input"`; with the standard deviation of the data either way.
        samples: number of samples, the input itself included.
        kernel_width: in units of the distance; None for $0.75 \sqrt M$. May be traced.
        distance: between $z$ of a sample and of the input: `"euclidean"`, `"cosine"`, `"hamming"`
            (the share of entries that differ), or a function of the two.
        kernel: `"lime"`, $e^{-d^2 / 2 w^2}$; `"exponential"`, $e^{-d^2 / w^2}$; or a function of
            the distances and the width.
        solver: `"ridge"`, `"lasso"`, or `"logistic"` for probabilities, as in `lime`.
        penalty: $\lambda$; None for 1, and 0.01 for the lasso. May be traced.
        selection: how the `keep` features are chosen: `"forward"`, `"highest_weights"`,
            `"lasso_path"`, `"auto"` or `"none"`, as in `lime`.
        keep: how many features have a coefficient; None for all.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument to explain, as in `jax.grad`.
        info: also return an `Info` with `values` (the coefficients), `intercept`, `prediction`,
            `fidelity`, `standard_error`, `evaluations` and `converged`.

    Returns:
        A function with the arguments of `f` and `key=`, that returns a vector like `x`, or
        `(attribution, Info)`. Sample `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option or the data are invalid; when called, if `x` has another shape.
        TypeError: when called, without a key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, jaxplain
        >>> data = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        >>> f = lambda x: jax.nn.sigmoid(3 * x[0])
        >>> explain = jax.jit(jaxplain.lime_tabular(f, data, samples=500))
        >>> attribution = explain(jnp.array([1.5, 0.0, 0.0]), key=jax.random.key(0))
        >>> int(jnp.argmax(attribution))
        0

    Notes:
        - With bins a coefficient is about the bin as a whole: inputs in the same bins have nearly
          the same explanation. Without, it is per standard deviation of the feature.
        - A category that the data do not have is unlike all samples.
        - Where all data in a bin are equal, samples are that value (the `lime` package puts 0).
        - `info` and the warnings are as in `lime`.

    References:
        Ribeiro et al. 2016, "Why should I trust you?": Explaining the predictions of any
        classifier, arXiv:1602.04938.
    """
    check_count("samples", samples, least=2)
    check_distance(distance, of_inputs=False)
    check_kernel(kernel, 1.0 if kernel_width is None else kernel_width)
    check_choice("around", around, CENTRES)
    check_chunk(chunk)
    statistics = _statistics(data, categorical, discretize)
    if around == "input" and statistics.discretized:
        raise ValueError(
            "around='input' has no meaning with bins, which are drawn as often as they occur in "
            "the data: give discretize=None too."
        )
    surrogate = LocalModel.checked(solver, penalty, selection, keep)
    count = len(statistics.mean)
    surrogate.check_enough(samples, count)
    width = 0.75 * count**0.5 if kernel_width is None else kernel_width

    def explain(*args: Any, key: jax.Array | None = None, **kwargs: Any) -> Any:
        score, x = _bind_vector(f, args, kwargs, argnums, count)
        key = checked_key(key, f"lime_tabular({name_of(f)})")
        table = _Sampler(statistics, x, around)

        def draw(number: jax.Array) -> tuple[jax.Array, jax.Array]:
            values, row = table.draw(jax.random.fold_in(key, number))
            first = number == 0
            return jnp.where(first, x, values), jnp.where(first, table.origin, row)

        function = distance if callable(distance) else DISTANCES[distance]

        def evaluate(number: jax.Array) -> tuple[jax.Array, jax.Array]:
            values, row = draw(number)
            found = widen(score(values))
            row, origin = row.astype(found.dtype), table.origin.astype(found.dtype)
            return found, jnp.asarray(function(row, origin)).astype(found.dtype)

        scores, distances = stack(evaluate, jnp.arange(samples), chunk=chunk)
        weights = weigh(distances, kernel, width)
        design = Design.of(lambda number: draw(number)[1].astype(scores.dtype), samples, chunk)
        fit = surrogate.fit(design, scores, weights, errors=info)
        values = fit.values.astype(x.dtype)
        if not info:
            warn_of(fit)
            return values
        return values, info_of(fit, samples, fit.standard_error.astype(x.dtype))

    return named(explain, "lime_tabular", f, random=True)


class _Sampler:
    """Draws inputs, and the interpretable row of each."""

    def __init__(self, statistics: TableStatistics, x: jax.Array, around: str) -> None:
        self.statistics, self.x, self.dtype = statistics, x, x.dtype
        self.centre = x if around == "input" else self._const(statistics.mean)
        named_cell = x[:, None] == self._const(statistics.values)
        binned = jnp.sum(x[:, None] > self._const(statistics.edges), axis=1)
        known = jnp.where(jnp.any(named_cell, axis=1), jnp.argmax(named_cell, axis=1), -1)
        self.cell = jnp.where(statistics.categorical, known, binned)
        in_cells = statistics.categorical | statistics.discretized
        self.in_cells: np.ndarray[Any, Any] = in_cells
        self.origin = jnp.where(in_cells, jnp.ones_like(x), self._standardized(x))

    def draw(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """An input and its row."""
        cell_key, value_key = jax.random.split(key)
        cell = self._draw_cell(cell_key)
        size = self._draw_in_bin(value_key, cell) if self.statistics.discretized else None
        if size is None:
            noise = jax.random.normal(value_key, self.x.shape, self.dtype)
            size = self.centre + noise * self._const(self.statistics.scale)
        name = self._of(self.statistics.values, cell)
        values = jnp.where(self.statistics.categorical, name, size)
        same = (cell == self.cell).astype(self.dtype)
        return values, jnp.where(self.in_cells, same, self._standardized(values))

    def _draw_cell(self, key: jax.Array) -> jax.Array:
        """One cell for each feature, as often as it occurs."""
        ends = np.cumsum(self.statistics.frequencies, axis=1)
        later = np.cumsum(self.statistics.frequencies[:, ::-1], axis=1)[:, ::-1] - (
            self.statistics.frequencies
        )
        ends[later <= 0] = np.inf  # the last cell that occurs takes what rounding leaves
        place = jax.random.uniform(key, self.x.shape, self.dtype)
        return jnp.sum(place[:, None] >= self._const(ends), axis=1)

    def _draw_in_bin(self, key: jax.Array, cell: jax.Array) -> jax.Array:
        """From the normal distribution of each bin, cut off at its ends."""
        s = self.statistics
        low, high, mean, deviation = (
            self._of(part, cell) for part in (s.low, s.high, s.means, s.deviations)
        )
        ends = (low - mean) / deviation, (high - mean) / deviation
        normal = jax.random.truncated_normal(key, *ends, dtype=self.dtype)
        return jnp.clip(mean + deviation * normal, low, high)

    def _standardized(self, values: jax.Array) -> jax.Array:
        return (values - self._const(self.statistics.mean)) / self._const(self.statistics.scale)

    def _of(self, table: np.ndarray[Any, Any], cell: jax.Array) -> jax.Array:
        return jnp.take_along_axis(self._const(table), cell[:, None], axis=1)[:, 0]

    def _const(self, table: np.ndarray[Any, Any]) -> jax.Array:
        return jnp.asarray(table, self.dtype)


def _statistics(data: Any, categorical: Sequence[int], discretize: Discretize) -> TableStatistics:
    if not isinstance(data, TableStatistics):
        return table_statistics(data, categorical=categorical, discretize=discretize)
    if len(categorical) or not (isinstance(discretize, str) and discretize == "quartile"):
        raise ValueError(
            "categorical= and discretize= were given beside statistics that were made with their "
            "own: give them to table_statistics."
        )
    return data


def _bind_vector(
    f: Model, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Argnums, count: int
) -> tuple[Score, jax.Array]:
    score, x = bind(f, args, kwargs, argnums)
    if getattr(x, "shape", None) != (count,):
        given = getattr(x, "shape", jax.tree.structure(x))
        raise ValueError(
            f"lime_tabular explains one row of {count} features, as the data have, but x is "
            f"{given}: explain one example and map a batch with jax.vmap, or explain other "
            "shapes with jaxplain.lime."
        )
    return score, x
