"""What LIME knows of a table: in which cells the values of each feature lie, and how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .._errors import check_choice

Array: TypeAlias = np.ndarray[Any, Any]
Discretize: TypeAlias = str | Sequence[Any] | None

PERCENTILES = {"quartile": (25, 50, 75), "decile": tuple(range(10, 100, 10))}
NARROWEST = 1e-11  # added to standard deviations, so that a cell of equal values has one


@dataclasses.dataclass(frozen=True)
class TableStatistics:
    """What `lime_tabular` takes from a data set; small, and it shows no row of it.

    Features have cells: the values of a categorical one, the bins of one that is discretized.
    Unused cells have the frequency 0.

    Args:
        mean: of each feature, (features,).
        scale: standard deviation of each feature, 1 for constant ones, (features,).
        categorical: which features are categorical, (features,) of bool.
        discretized: whether the others have bins.
        edges: between bins, ascending and filled up with infinity, (features, cells - 1).
        values: that the cells of categorical features stand for, (features, cells).
        frequencies: the share of the data in each cell, (features, cells).
        low: the lower end of each bin, (features, cells).
        high: the upper end of each bin, (features, cells).
        means: of the data in each bin, (features, cells).
        deviations: standard deviations of the data in each bin, (features, cells).

    Example:
        >>> import numpy as np, jaxplain
        >>> data = np.random.default_rng(0).normal(size=(100, 3))
        >>> jaxplain.table_statistics(data).frequencies[0]
        array([0.25, 0.25, 0.25, 0.25])
    """

    mean: Array
    scale: Array
    categorical: Array
    discretized: bool
    edges: Array
    values: Array
    frequencies: Array
    low: Array
    high: Array
    means: Array
    deviations: Array


def table_statistics(
    data: Any, *, categorical: Sequence[int] = (), discretize: Discretize = "quartile"
) -> TableStatistics:
    """The statistics of a data set that `lime_tabular` needs instead of the data.

    Args:
        data: the training data, (rows, features).
        categorical: the columns whose values are names, not sizes.
        discretize: where the bins of the other columns end: `"quartile"`, `"decile"`, one array of
            edges for each column (of categorical ones it is not used), or None for no bins.

    Returns:
        The statistics, NumPy arrays.

    Raises:
        ValueError: the data are not a finite matrix, or an option is invalid.

    Example:
        >>> import numpy as np, jaxplain
        >>> data = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]])
        >>> jaxplain.table_statistics(data, categorical=[1]).values[1, :2]
        array([0., 1.])

    Notes:
        A bin holds its upper edge and not its lower one. Edges that coincide are one.

    References:
        Ribeiro et al. 2016, arXiv:1602.04938.
    """
    data = _checked(data)
    names = _columns(categorical, data.shape[1])
    edges = _edges(data, names, discretize)
    used = [e if i not in names else np.zeros(0) for i, e in enumerate(edges)]
    levels = [np.unique(column) if i in names else None for i, column in enumerate(data.T)]
    cells = max([len(e) + 1 for e in used] + [len(level) for level in levels if level is not None])
    table = np.zeros((6, data.shape[1], cells))
    values, frequencies, low, high, means, deviations = table
    values[...], padded = np.nan, np.full((data.shape[1], cells - 1), np.inf)
    for i, (column, ends, level) in enumerate(zip(data.T, used, levels, strict=True)):
        padded[i, : len(ends)] = ends
        cell = np.searchsorted(ends if level is None else level, column)
        frequencies[i] = np.bincount(cell, minlength=cells) / len(column)
        if level is not None:
            values[i, : len(level)] = level
            continue
        bins = len(ends) + 1
        low[i, :bins] = [column.min(), *ends]
        high[i, :bins] = [*ends, column.max()]
        for k in set(cell.tolist()):
            means[i, k] = column[cell == k].mean()
            deviations[i, k] = column[cell == k].std()
    mean, scale = data.mean(axis=0), data.std(axis=0)
    scale[scale <= 10 * np.finfo(float).eps * np.abs(mean)] = 1
    return TableStatistics(
        mean=mean,
        scale=scale,
        categorical=np.isin(np.arange(data.shape[1]), list(names)),
        discretized=discretize is not None,
        edges=padded,
        values=values,
        frequencies=frequencies,
        low=low,
        high=high,
        means=means,
        deviations=deviations + NARROWEST,
    )


def _checked(data: Any) -> Array:
    table = np.asarray(data)
    if table.ndim != 2 or table.dtype.kind not in "fiub" or not len(table):
        raise ValueError(
            f"The data must be a table of numbers, (rows, features), but have shape {table.shape} "
            f"and dtype {table.dtype}: number the values of categorical columns."
        )
    table = table.astype(np.float64)
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(
            f"The data are not finite: row {row} has {table[row, column]} in column {column}."
        )
    return table


def _columns(categorical: Sequence[int], count: int) -> set[int]:
    for column in categorical:
        if not isinstance(column, int | np.integer) or not 0 <= column < count:
            raise ValueError(
                f"categorical={list(categorical)} names column {column!r}, but the data have the "
                f"columns 0 to {count - 1}."
            )
    return {int(column) for column in categorical}


def _edges(data: Array, names: set[int], discretize: Discretize) -> list[Array]:
    """The ends of the bins of each column."""
    count = data.shape[1]
    if discretize is None:
        return [np.zeros(0)] * count
    if isinstance(discretize, str):
        check_choice("discretize", discretize, PERCENTILES)
        ends = np.percentile(data, PERCENTILES[discretize], axis=0)
        return [np.unique(column) for column in ends.T]
    if len(discretize) != count:
        raise ValueError(
            f"discretize has the edges of {len(discretize)} columns, but the data have {count}: "
            "give one array for each, an empty one where there is a single bin."
        )
    return [np.unique(np.asarray(ends, float)) for ends in discretize]
