"""Every metric of every method over a data set, with controls beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._call import name_of
from .._chunks import chunk_size
from .._errors import check_choice, check_count
from .._keys import checked_key
from .._progress import bar
from .._types import Attribution, Model, PyTree
from ._controls import default_controls
from ._dataset import as_number, call, checked_examples, key_of, rows_of
from ._finished import Finished
from ._report import Report, defined
from ._selection import BETTER
from ._statistics import summarize
from ._ways import known_way

Metric = Callable[[Model, dict[str, Attribution]], Callable[..., Any]]
UNDEFINED = ("raise", "skip")


def benchmark(
    f: Model,
    methods: Mapping[str, Attribution],
    metrics: Mapping[str, Metric],
    xs: PyTree,
    *args: Any,
    key: jax.Array,
    controls: Mapping[str, Attribution] | None = None,
    better: Mapping[str, str] | None = None,
    data: Mapping[str, Mapping[str, Any]] | None = None,
    batch: int | None = None,
    undefined: str = "raise",
    level: float = 0.95,
    resamples: int = 1000,
    progress: bool | Callable[[int], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Report:
    r"""All metrics of all methods over a data set, with intervals, ranks and controls.

    $\frac1n \sum_i m(f, A)(x_i)$ for each metric $m$ and method $A$. Each metric is compiled once,
    for all methods together, so that they share whatever does not depend on the method.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        methods: attributions by name. Their own baselines are bound with `functools.partial`.
        metrics: by name, functions `(f, attributions) -> evaluate` such as `evaluate.abpc`, or
            `functools.partial(evaluate.abpc, steps=20)`; of a curve the area counts.
        xs: the examples, an array or a pytree with a leading axis. NumPy arrays stay in the
            memory of the host but for one batch.
        *args: further arguments of `f`, one for each example, as with `jax.vmap`.
        key: a random key: same key, same numbers, whatever the batch. All metrics get the same.
        controls: explanations that know nothing of the model, by name. They stand in the report as
            the methods do. None for `uniform`, `random`, and for pictures `edges`: where an example
            is one array of three axes, the last or the first of which has 1, 3 or 4 channels.
        better: for metrics by name, whether `"higher"` or `"lower"` is better. Those of this
            package are known; without it your own have no rank.
        data: for metrics by name, what their calls need beside, one for each example:
            `{"pointing_game": {"mask": masks}}`.
        batch: at most this many examples at once; None for all. A metric's own `chunk` bounds what
            is evaluated for each.
        undefined: what to do where a metric is NaN: `"raise"`, or `"skip"` those examples, for all
            methods in this metric, so that means stay comparable; the report says how many are
            left. Infinity always raises.
        level: of the intervals, as for `summarize`.
        resamples: as for `summarize`.
        progress: True for a progress bar, or a function that is called after each batch with the
            number of pairs of a metric and an example that are done.
        checkpoint: a file (.npz) that keeps what is done, after each batch; the same call goes on
            from there.

    Returns:
        A `Report`: `print` it, or take its `rows`, `frame()`, `markdown()` or `figure()`.

    Raises:
        ValueError: lengths differ, names clash or are unknown, there is no control, a metric is
            not finite, or the checkpoint is of another call.
        TypeError: a metric does not give a number or a curve for each method, or there is no key.

    Example:
        >>> import functools, jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(jnp.tanh(x) ** 3)
        >>> methods = {"gradient": jax.grad(f), "input": lambda x: x}
        >>> report = evaluate.benchmark(
        ...     f, methods, {"abpc": evaluate.abpc}, jax.random.normal(jax.random.key(0), (30, 4)),
        ...     controls={"constant": jnp.ones_like}, key=jax.random.key(1))
        >>> [(row["method"], row["rank"]) for row in report.rows]
        [('gradient', 2), ('input', 1), ('constant', 3)]

    Notes:
        A checkpoint knows the examples, the names and the key, and whether the model gives the same
        score for the first example. It does not see that a method or an option of a metric has
        changed behind its name: give another path then. Metrics disagree: read the intervals, and
        whether a method is better than the controls, before the ranks.

    References:
        Hedström et al. 2023, Quantus: an explainable AI toolkit for responsible evaluation of
        neural network explanations and beyond, arXiv:2202.06861. Adebayo et al. 2018, Sanity checks
        for saliency maps, arXiv:1810.03292, on why controls belong in every report.
    """
    _check_kinds(methods, metrics, controls)
    _check_names(metrics, better, data)
    check_choice("undefined", undefined, UNDEFINED)
    given = {name: dict((data or {}).get(name, {})) for name in metrics}
    count = checked_examples(xs, args, {k: v for part in given.values() for k, v in part.items()})
    if count < 2:
        raise ValueError("benchmark got one example, of whose mean nothing is known: give two.")
    check_count("batch", count if batch is None else batch)
    together = _together(f, methods, controls, xs)
    measure, draw = jax.random.split(checked_key(key, "benchmark"))

    values = np.zeros((len(metrics), len(together), count), jnp.result_type(float))
    done = np.zeros(len(metrics), np.int32)
    options = {"metrics": list(metrics), "methods": list(together)}
    parts = xs, args, given, measure
    finished = Finished(checkpoint, options, parts, lambda: jax.jit(f)(*rows_of((xs, *args), 0)))
    done, values = finished.load((done, values))
    total = len(metrics) * count
    report = bar("benchmark", " values", total) if progress is True else progress or None

    for place, (name, metric) in enumerate(metrics.items()):
        over = _compiled(f, together, metric)
        examples = Examples(xs, args, given[name], measure)
        for part, places in _batches(int(done[place]), count, batch):
            found = np.asarray(over(*examples.at(places)))[:, : part.stop - part.start]
            _check_finite(found, name, tuple(together), part.start, undefined)
            values[place][:, part], done[place] = found, part.stop
            finished.save((done, values))
            if report is not None:
                report(int(done.sum()))

    named = {name: jnp.asarray(values[place]) for place, name in enumerate(metrics)}
    summaries = {
        name: summarize(defined(found).T, key=draw, level=level, resamples=resamples)
        for name, found in named.items()
    }
    ways = {name: (better or {}).get(name, known_way(m)) for name, m in metrics.items()}
    controlled = tuple(name for name in together if name not in methods)
    return Report(tuple(methods), controlled, named, summaries, ways, level)


class Examples(NamedTuple):
    """What a metric is called with, for all examples."""

    xs: PyTree
    args: tuple[Any, ...]
    data: Mapping[str, Any]
    key: jax.Array

    def at(self, places: np.ndarray) -> tuple[Any, ...]:
        """Arguments, data and keys of some of them."""
        keys = jax.vmap(key_of, (None, 0))(self.key, jnp.asarray(places))
        return (*rows_of(((self.xs, *self.args), dict(self.data)), places), keys)


def _batches(start: int, count: int, batch: int | None) -> Iterator[tuple[slice, np.ndarray]]:
    """Batches of one size, so that they share a program: the last example fills up the last."""
    size = chunk_size(count, batch)
    for first in range(start, count, size):
        places = np.minimum(np.arange(first, first + size), count - 1)
        yield slice(first, min(first + size, count)), places


def _compiled(
    f: Model, together: dict[str, Attribution], metric: Metric
) -> Callable[..., jax.Array]:
    """A metric over a batch: the numbers of all methods, (methods, examples)."""
    evaluate = metric(f, together)

    def of_example(args: Any, data: Any, key: jax.Array) -> jax.Array:
        found = call(evaluate, args, data, key)
        if not isinstance(found, Mapping) or set(found) != set(together):
            raise TypeError(
                f"{name_of(metric)} gave {type(found).__name__} for a dictionary of methods, not a "
                "dictionary with the same names: a metric is a function (f, attributions) that "
                "returns a function of one example."
            )
        return jnp.stack([as_number(found[name], metric) for name in together])

    return jax.jit(jax.vmap(of_example, out_axes=1))


def _together(
    f: Model,
    methods: Mapping[str, Attribution],
    controls: Mapping[str, Attribution] | None,
    xs: PyTree,
) -> dict[str, Attribution]:
    """The methods, and the controls after them."""
    if controls is None:
        controls = default_controls(f, rows_of(xs, 0))
    if not methods or not controls:
        raise ValueError(
            f"benchmark got {len(methods)} methods and {len(controls)} controls: it needs at least "
            "one of each. With controls=None there are uniform and random explanations."
        )
    if both := set(methods) & set(controls):
        raise ValueError(f"{', '.join(sorted(both))} is a method and a control: rename one.")
    return {**methods, **controls}


def _check_kinds(methods: Any, metrics: Any, controls: Any) -> None:
    """Raise unless all come by name, and metrics are still to be made."""
    for option, given in (("methods", methods), ("metrics", metrics), ("controls", controls or {})):
        if not isinstance(given, Mapping):
            raise TypeError(f"{option} is a {type(given).__name__}: give a dictionary, by name.")
    for name, metric in metrics.items():
        if not callable(metric) or hasattr(metric, "__takes_baseline__"):
            raise TypeError(
                f"metrics[{name!r}] is {name_of(metric)}: give a function (f, attributions) that "
                "makes a metric: evaluate.abpc, or functools.partial(evaluate.abpc, steps=20)."
            )


def _check_names(
    metrics: Mapping[str, Metric],
    better: Mapping[str, str] | None,
    data: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    if not metrics:
        raise ValueError("benchmark got no metrics: give a dictionary of at least one.")
    for option, names in (("better", better or {}), ("data", data or {})):
        for name in names:
            check_choice(f"{option}: metric", name, metrics)
    for name, way in (better or {}).items():
        check_choice(f"better[{name!r}]", way, BETTER)


def _check_finite(
    found: np.ndarray, metric: str, names: tuple[str, ...], start: int, undefined: str
) -> None:
    wrong = np.argwhere(np.isinf(found) if undefined == "skip" else ~np.isfinite(found))
    if len(wrong):
        method, place = wrong[0]
        raise ValueError(
            f"{metric} is {found[method, place]} for {names[method]} and example {start + place}: "
            "look at that explanation, or leave the metric or the example out. With "
            "undefined='skip' examples for which a metric is NaN do not count in it."
        )
