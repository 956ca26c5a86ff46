"""Global surrogates: a simple model that is fitted to what another model says."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from .._call import checked_input, name_of
from .._errors import check_choice, check_chunk, check_count, check_real, is_concrete
from .._keys import checked_key
from .._tree import describe
from .._types import Model
from ._answers import ask
from ._linear_surrogate import deviations, least_squares, logistic_regression
from ._surrogate_report import Surrogate
from ._tree_surrogate import fit_tree

KINDS = ("linear", "logistic", "tree")


def surrogate(
    f: Model,
    inputs: jax.Array,
    *args: Any,
    kind: str = "linear",
    key: jax.Array,
    held_out: float = 0.3,
    least_fidelity: float = 0.8,
    depth: int | None = None,
    l2: float | None = None,
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    chunk: int | None = None,
) -> Surrogate:
    r"""Fit a model that can be read to what `f` says of some data, and measure how true it is.

    The model minimises its distance to the predictions $f(x_i)$, not to any truth, on a part of
    the data. Its fidelity is measured on the rest: for scores
    $R^2 = 1 - \sum_i (g(x_i) - f(x_i))^2 / \sum_i (f(x_i) - \bar f)^2$, for classes the share of
    inputs on which $\arg\max_k g_k(x_i) = \arg\max_k f_k(x_i)$.

    Args:
        f: the model, `f(x, *args)` of one example: a score, (), or a number for each of K classes,
            (K,), logits or probabilities, of which only the largest counts.
        inputs: the data that the explanation is about, (n, F), floats, integers or truth values.
        *args: further arguments of `f`, the same for all examples.
        kind: `"linear"`, least squares for a score; `"logistic"`, multinomial logistic regression
            for classes; `"tree"`, a decision tree for either.
        key: a random key, for the split of the data and for ties between a tree's questions.
        held_out: the share of the inputs on which fidelity is measured, between 0 and 1.
        least_fidelity: with less than this the report refuses to speak for `f`, and a warning says
            so.
        depth: how many questions a tree asks at most, one after the other; 3 if None.
        l2: the penalty $\frac{\lambda}{2} |W|^2$ on a logistic regression's coefficients per
            standard deviation, beside the mean loss of the inputs; 0.001 if None.
        names: names of the F features.
        units: their units, or "" for those that have none.
        classes: names of the K classes.
        chunk: at most this many predictions of `f` are computed at once; None for all of them.

    Returns:
        A `Surrogate`: the fitted model as a JAX function of one example, its fidelity, its
        coefficients in the features' units and per standard deviation, or its rules.

    Raises:
        ValueError: the inputs are not (n, F), too few or not finite, `f` says the same of all of
            them or something that is not finite, or an option is invalid.
        TypeError: `f` gives a score where classes are asked for or the other way round, there is
            no key, or inputs are traced.
        ImportError: `kind="tree"`, and scikit-learn is not installed.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.where(x[0] * x[1] > 0, 1.0, 0.0)
        >>> inputs = jax.random.rademacher(jax.random.key(0), (100, 2), jnp.float32)
        >>> report = jaxplain.surrogate(
        ...     f, inputs, kind="tree", depth=2, names=("a", "b"), key=jax.random.key(1))
        >>> print(report)
        tree surrogate of <lambda>: R² 1 on 30 held-out inputs, 1 on the 70 fitted.
        a <= 0
        |   b <= 0: 1  (16 inputs)
        |   b > 0: 0  (19 inputs)
        a > 0
        |   b <= 0: 0  (20 inputs)
        |   b > 0: 1  (15 inputs)

    Notes:
        - The steps are those of Molnar's book: choose data, ask the model, choose a kind of model
          that can be read, fit it to the answers, measure how well it repeats them, and only then
          read it. High fidelity on these data says nothing of data of another kind.
        - Agreement is easily high where one class is frequent: what that class alone would reach
          is given as `chance`, and a surrogate that does no better is refused whatever it reaches.
        - Coefficients have their usual caveats: one speaks of a feature while all others stay as
          they are, and where features are collinear there are many equally good ones, of which
          the smallest per standard deviation are given, and a remark says so. Those of a logistic
          regression have mean zero over the classes.
        - Linear models are fitted in float64, trees by scikit-learn to inputs in float32. Nothing
          is differentiated, so `f` may be a black box; the surrogate itself can be differentiated.

    References:
        Molnar, Interpretable machine learning, chapter Global surrogate. Craven and Shavlik 1996,
        Extracting tree-structured representations of trained networks, NeurIPS.
    """
    check_chunk(chunk)
    check_choice("kind", kind, KINDS)
    check_real("least_fidelity", least_fidelity, low=0, high=1)
    depth, l2 = _checked_options(kind, depth, l2)
    key = checked_key(key, "surrogate")
    inputs = _checked_inputs(inputs)
    answers = ask(f, inputs, args, kind, chunk)
    count = None if answers.classes is None else answers.classes
    labels = _checked_names("classes", classes, count or 0, "class {}")
    columns = inputs.shape[1]
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    fit, held = _split(len(inputs), held_out, random)
    table = np.asarray(inputs, np.float64)

    remarks: list[str] = []
    fitted: Any
    if kind == "tree":
        seed = int(random.integers(2**31))
        fitted = fit_tree(table[fit], answers.targets[fit], count, depth, seed, answers.dtype)
    elif count is None:
        fitted, rank = least_squares(table[fit], answers.targets[fit], answers.dtype)
        if rank < np.count_nonzero(deviations(table[fit])):
            remarks.append("Features are collinear: other coefficients would fit equally well.")
    else:
        fitted, converged = logistic_regression(
            table[fit], answers.targets[fit], count, l2, answers.dtype
        )
        if not converged:
            remarks.append("The fit did not converge: a larger l2 makes it easier.")

    guesses = np.asarray(jax.jit(jax.vmap(fitted))(inputs))
    report = Surrogate(
        fitted=fitted,
        fidelity=answers.fidelity(guesses, held),
        fidelity_fitted=answers.fidelity(guesses, fit),
        chance=answers.chance(fit, held),
        deviations=deviations(table),
        kind=kind,
        model=name_of(f),
        sizes=(len(fit), len(held)),
        least_fidelity=float(least_fidelity),
        names=_checked_names("names", names, columns, "x[{}]"),
        units=_checked_names("units", units, columns, ""),
        classes=labels,
        remarks=tuple(remarks),
    )
    if report.refusal:
        warnings.warn(report.refusal, RuntimeWarning, stacklevel=2)
    return report


def _checked_options(kind: str, depth: int | None, l2: float | None) -> tuple[int, float]:
    for option, value, of in (("depth", depth, "tree"), ("l2", l2, "logistic")):
        if value is not None and kind != of:
            raise ValueError(f"{option}={value!r} is an option of kind={of!r}: leave it out.")
    if depth is not None:
        check_count("depth", depth)
    if l2 is not None:
        check_real("l2", l2, low=0)
    return 3 if depth is None else int(depth), 0.001 if l2 is None else float(l2)


def _checked_inputs(inputs: Any) -> jax.Array:
    if not is_concrete(inputs):
        raise TypeError("surrogate fits a model outside of jax.jit and jax.vmap: call it there.")
    array: jax.Array = checked_input(inputs, floating=False)
    if getattr(array, "ndim", None) != 2 or not array.shape[1]:
        raise ValueError(
            f"inputs must be a table, (n, F), but is {describe(array, 'inputs')}. Of pictures or "
            "texts, give features that have a meaning, and a model of these."
        )
    return array


def _split(
    count: int, held_out: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The places of the inputs to fit, and of those that are held out."""
    check_real("held_out", held_out, low=0, high=1)
    held = round(count * float(held_out))
    if held < 2 or count - held < 2:
        raise ValueError(
            f"held_out={held_out} of {count} inputs leaves {count - held} to fit and {held} to "
            "measure fidelity: at least 2 of either are needed, and hundreds are better."
        )
    order = random.permutation(count)
    return order[held:], order[:held]


def _checked_names(
    option: str, given: Sequence[str] | None, count: int, default: str
) -> tuple[str, ...]:
    if given is None:
        return tuple(default.format(i) for i in range(count))
    if isinstance(given, str) or len(given) != count:
        raise ValueError(f"{option}={given!r} must hold {count} names.")
    return tuple(map(str, given))
