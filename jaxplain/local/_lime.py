"""LIME: a linear model that imitates the score near the input."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._batch import stack
from .._call import name_of, named
from .._errors import check_choice, check_chunk, check_count, check_real, warn_unless
from .._keys import checked_key
from .._tree import widen
from .._types import Argnums, Attribution, Chunk, Info, Model, PyTree, Scalar
from ..perturb._features import Partition
from ..perturb._game import Game
from ._kernels import (
    DISTANCES,
    INPUT_DISTANCES,
    Distance,
    Kernel,
    check_distance,
    check_kernel,
    flat,
    weigh,
)
from ._model import LocalFit, LocalModel, checks_of
from ._moments import Design

SAMPLINGS = ("independent", "sizes")
SETTINGS: dict[str, dict[str, Any]] = {
    "image": {"samples": 1000, "kernel_width": 0.25},
    "text": {"samples": 5000, "kernel_width": 0.25, "sampling": "sizes", "keep": 10},
    "captum": {
        "samples": 50,
        "kernel_width": 1.0,
        "distance": "input_cosine",
        "solver": "lasso",
        "penalty": 0.01,
        "selection": "none",
    },
}


def lime(
    f: Model,
    *,
    samples: int = 1000,
    kernel_width: Scalar = 0.25,
    distance: str | Distance = "cosine",
    kernel: str | Kernel = "lime",
    solver: str = "ridge",
    penalty: Scalar | None = None,
    selection: str = "auto",
    keep: int | None = None,
    sampling: str = "independent",
    keep_probability: float = 0.5,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
    info: bool = False,
) -> Attribution:
    r"""LIME: the coefficients of a linear model fitted to the score near the input.

    Samples $z \in \{0, 1\}^M$ keep some features of $x$ and put the others to their baseline; the
    first keeps all. With the ridge the map is the $\beta$ that minimises $\sum_n \pi(z_n) (f(z_n) -
    b - \beta z_n)^2 + \lambda |\beta|^2$, with $\pi(z) = e^{-d^2 / 2 w^2}$ and $d$ the distance of
    $z$ from keeping all. Each element gets the coefficient of the feature that it belongs to.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        samples: number of samples, the input itself included.
        kernel_width: $w$, in units of the distance; the smaller, the more local. May be traced.
        distance: of $z$ from ones: `"cosine"`, `"euclidean"`, or `"hamming"` (the share of features
            that are missing); of the changed input from `x`: `"input_cosine"` or
            `"input_euclidean"`; or a function of $z$ and of ones.
        kernel: `"lime"` as above; `"exponential"`, $e^{-d^2 / w^2}$; or a function of the distances
            and the width.
        solver: `"ridge"`; `"lasso"`, for few features: $\frac{1}{2 \sum \pi} \sum_n \pi_n (\cdot)^2
            + \lambda |\beta|_1$; or `"logistic"`, for scores that are probabilities: coefficients
            of the log-odds, by weighted cross-entropy and $\frac\lambda2 |\beta|^2$.
        penalty: $\lambda$; None for 1, and 0.01 for the lasso. May be traced.
        selection: how the `keep` features are chosen: `"forward"` (one after the other, by least
            squares), `"highest_weights"` (of a fit to all), `"lasso_path"`, or `"auto"`: the first
            up to 6 features, the second from there; `"none"` keeps all.
        keep: how many features have a coefficient; None for all.
        sampling: `"independent"` keeps each feature with `keep_probability`; `"sizes"` draws how
            many are missing, 1 to all, and then which.
        keep_probability: the probability that a feature is kept, between 0 and 1.
        groups: which elements are one feature: integers that broadcast to `x`, or a pytree of them
            for a pytree. Elements with equal numbers change together, across leaves too.
        along: an axis or several, the positions on which are the features: with `along=-1` each
            channel of a picture is one feature, with `along=(0, 1)` each pixel. Without `groups`
            and `along`, every element is a feature.
        features: how many features there are, for `groups` that are data of the call and traced,
            such as the superpixels of each picture of a batch: then groups are numbered from 0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.
        info: also return an `Info` with `values` (the coefficients), `intercept`, `prediction`,
            `fidelity`, `standard_error`, `evaluations` and `converged`.

    Returns:
        A function with the arguments of `f`, `baseline=` (a pytree like `x`, one number, or None
        for zeros), `key=` and `groups=` (if none were given here), that returns a pytree like `x`,
        or `(attribution, Info)`. Sample `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid, or there are too few samples for a fit without penalty;
            when called, groups or a baseline that do not fit `x`.
        TypeError: when called, without a key, or if `f` is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: 2 * x[0] - 3 * x[1] + 1
        >>> explain = jaxplain.lime(f, samples=50, penalty=0.0, info=True)
        >>> attribution, info = explain(jnp.ones(3), key=jax.random.key(0))
        >>> [round(abs(float(value)), 3) for value in attribution], round(float(info.fidelity), 3)
        ([2.0, 3.0, 0.0], 1.0)
        >>> text = jaxplain.lime(f, **jaxplain.lime_settings("text"))

    Notes:
        - `standard_error` is that of sampling, robust to how residuals are distributed (HC3). It
          takes the choice of features as given, and knows nothing of the shrinking by a penalty.
        - `fidelity` near 0 means that the local model explains nothing of what `f` does: do not
          read its coefficients. It is 1 for a score that does not vary.
        - Weights that leave fewer than two effective samples warn; so does a solver that did not
          converge. With `info=True` both are told by `info.converged` instead.
        - Samples depend neither on the width nor on the penalty: `jax.vmap` over them evaluates the
          model once. So does `jax.vmap` over a class index, with one key.
        - Memory grows by a few numbers a sample: no solver holds all samples at once under `chunk`.
        - Words are groups of tokens, and a mask token or padding is their baseline: positions stay.
          A model that deletes words is a function of the mask instead, which can be explained too:
          `lime(jaxplain.black_box(predict))(jnp.ones(words), key=key)`.

    References:
        Ribeiro et al. 2016, "Why should I trust you?": Explaining the predictions of any
        classifier, arXiv:1602.04938.
    """
    check_count("samples", samples, least=2)
    check_distance(distance, of_inputs=True)
    check_kernel(kernel, kernel_width)
    check_choice("sampling", sampling, SAMPLINGS)
    check_real("keep_probability", keep_probability, low=0, high=1)
    check_chunk(chunk)
    partition = Partition.checked(groups, along, features)
    surrogate = LocalModel.checked(solver, penalty, selection, keep)

    def explain(
        *args: Any,
        baseline: PyTree | None = None,
        groups: PyTree | None = None,
        key: jax.Array | None = None,
        **kwargs: Any,
    ) -> Any:
        game = Game.of(
            f, args, kwargs, argnums, partition=partition, baseline=baseline, groups=groups
        )
        key = checked_key(key, f"lime({name_of(f)})")
        surrogate.check_enough(samples, game.count)

        def mask(number: jax.Array) -> jax.Array:
            drawn = _draw(jax.random.fold_in(key, number), game.count, sampling, keep_probability)
            return drawn | (number == 0)

        def evaluate(number: jax.Array) -> tuple[jax.Array, jax.Array]:
            kept = game.features.restrict(game.x, game.baseline, mask(number))
            score = widen(game.score(kept))
            return score, _distance(distance, mask(number), kept, game.x, score.dtype)

        scores, distances = stack(evaluate, jnp.arange(samples), chunk=chunk)
        weights = weigh(distances, kernel, kernel_width)
        design = Design.of(lambda number: mask(number).astype(scores.dtype), samples, chunk)
        fit = surrogate.fit(design, scores, weights, errors=info)
        values = game.spread(fit.values)
        if not info:
            warn_of(fit)
            return values
        return values, info_of(fit, samples, game.spread(fit.standard_error))

    return named(explain, "lime", f, random=True)


def lime_settings(name: str) -> dict[str, Any]:
    """The options of `lime` that make it the same as another program, by name.

    Args:
        name: `"image"` and `"text"` for the explainers of the `lime` package, `"captum"` for
            Captum's `Lime`.

    Returns:
        Keyword arguments of `lime`.

    Raises:
        ValueError: there are no settings of that name.

    Example:
        >>> import jaxplain
        >>> jaxplain.lime_settings("image")
        {'samples': 1000, 'kernel_width': 0.25}

    Notes:
        - The original explains pictures by superpixels whose mean colour is the baseline
          (`jaxplain.baselines.segment_mean`).
        - For texts it multiplies the cosine distance by 100 and takes a width of 25, which is
          the same as a width of 0.25. Words that occur twice are one feature there: `groups=ids`.
        - 50 samples, as Captum has by default, are few: give `samples=` as well.

    References:
        Ribeiro et al. 2016, arXiv:1602.04938.
    """
    check_choice("name", name, SETTINGS)
    return dict(SETTINGS[name])


def warn_of(fit: LocalFit) -> None:
    """Say so where a fit is not sound."""
    for ok, message, values in checks_of(fit):
        warn_unless(ok, message, **values)


def info_of(fit: LocalFit, samples: int, standard_error: PyTree) -> Info:
    """What is known about a local model."""
    return Info(
        values=fit.values,
        intercept=fit.intercept,
        prediction=fit.prediction,
        fidelity=fit.fidelity,
        standard_error=standard_error,
        evaluations=jnp.asarray(samples),
        converged=fit.sound,
    )


def _draw(key: jax.Array, count: int, sampling: str, keep_probability: float) -> jax.Array:
    """Which features a sample keeps."""
    if sampling == "independent":
        return jax.random.bernoulli(key, keep_probability, (count,))
    size_key, order_key = jax.random.split(key)
    missing = jax.random.randint(size_key, (), 1, count + 1)
    order = jax.random.permutation(order_key, count)
    return order >= missing


def _distance(
    distance: str | Distance, mask: jax.Array, kept: PyTree, x: PyTree, dtype: Any
) -> jax.Array:
    """How far a sample is from the input."""
    if isinstance(distance, str) and distance in INPUT_DISTANCES:
        return INPUT_DISTANCES[distance](flat(kept, dtype), flat(x, dtype))
    function = distance if callable(distance) else DISTANCES[distance]
    row = mask.astype(dtype)
    return jnp.asarray(function(row, jnp.ones_like(row))).astype(dtype)
