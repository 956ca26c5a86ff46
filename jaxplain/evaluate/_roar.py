"""Remove and retrain: can a new model do without what an attribution calls important?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from .._types import PyTree, Scalar
from ._retrain import OfExample, cross_entropy, hit
from ._retrained import RetrainingCurves
from ._study import Pair, Progress, Study


def roar(
    init: Callable[..., PyTree],
    apply: Callable[..., PyTree],
    attributions: Mapping[str, Pair],
    train: Pair,
    test: Pair,
    *,
    optimizer: Any,
    steps: int,
    key: jax.Array,
    batch: int = 128,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    seeds: int = 5,
    loss: OfExample = cross_entropy,
    score: OfExample = hit,
    along: int | tuple[int, ...] | None = None,
    groups: PyTree | None = None,
    fill: PyTree | None = None,
    blur: Scalar | None = None,
    level: float = 0.95,
    chunk: int | None = None,
    progress: Progress = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> RetrainingCurves:
    r"""Remove and retrain: the score of models trained without the most important features.

    $\frac1N \sum_i s(g_{m,t}(\tilde x_i), y_i)$ over the test set for each method $m$ and share
    $t$, where in $\tilde x$ the share $t$ of the features with the highest attribution is replaced,
    in the training set and in the test set, and $g_{m,t}$ is trained anew on such inputs. The
    faster it falls with $t$, the more the method has found of what the labels can be told from.

    Args:
        init: new parameters, `init(key, inputs)`, from inputs with a leading axis of one: the
            `init` of a Flax model.
        apply: the outputs, `apply(params, inputs)`, both with a leading axis: its `apply`.
        attributions: for each name, those of all training and all test inputs, shaped like these
            (or without their last axis, where it is no axis of `along`).
        train: inputs and labels, arrays (or pytrees) with a leading axis; inputs are floating.
        test: held-out inputs and labels.
        optimizer: a gradient transformation of Optax, such as `optax.adam(1e-3)`.
        steps: how many steps each training takes.
        key: a random key: same key, same seeds.
        batch: examples in each step, drawn with replacement.
        shares: the shares of the features that go, in (0, 1]; 0 is always there beside them.
        seeds: how many trainings for each method and share, at least 2. Parameters and batches at
            the start are the same for all methods.
        loss: what is trained, `loss(output, label)` of one example; by default the cross-entropy of
            logits and the number of a class.
        score: what is measured, `score(output, label)` of one example; by default whether the
            largest logit is that of the class: the mean is the accuracy.
        along: the axes of one input whose positions are the features, `(0, 1)` for the pixels of a
            picture with channels; None for each element.
        groups: which elements of one input are one feature, as for `ablation`.
        fill: what takes the place of a feature, a number or a pytree like one input; None for the
            mean of the training inputs, over the positions too if `along` is given.
        blur: also the same attributions blurred along `along` by a Gaussian of this standard
            deviation, as controls: they know less of the model.
        level: of the intervals over the seeds, in (0, 1).
        chunk: at most this many trainings at once; None for all.
        progress: True for a progress bar, or a function that is called with the number of trainings
            done.
        checkpoint: a file (.npz) that keeps the scores after each chunk of trainings; the same call
            goes on from there.

    Returns:
        `RetrainingCurves`, in which a random order of the features is always there as the control
        `"random"`.

    Raises:
        ValueError: an option is invalid, lengths or shapes do not fit, a number is not finite, a
            training diverged, the model has other state than parameters, or the checkpoint is of
            another call.
        TypeError: inputs are not floating, or there is no key.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from jaxplain import evaluate
        >>> x = jax.random.normal(jax.random.key(0), (300, 4))
        >>> y = (x[:, 0] > 0).astype(int)  # only the first feature counts
        >>> init = lambda key, x: jnp.zeros((x.shape[1], 2))
        >>> apply = lambda w, x: x @ w
        >>> right = jnp.zeros_like(x).at[:, 0].set(1.0)
        >>> curves = evaluate.roar(
        ...     init, apply, {"right": (right[:200], right[200:])}, (x[:200], y[:200]),
        ...     (x[200:], y[200:]), shares=(0.25,), seeds=2, steps=50, batch=32,
        ...     optimizer=optax.sgd(1.0), key=jax.random.key(1))
        >>> whole, without = curves.means["right"]
        >>> bool(whole > 0.95), bool(without < 0.7)
        (True, True)

    Notes:
        The places that were filled can themselves tell the class, which rewards any attribution
        whose shape follows the object; blurring one often improves its curve though it adds
        nothing: compare with the controls. A feature that repeats another is not missed when it
        goes. Of equal attributions the first feature goes first. BatchNorm and dropout are not
        supported. The places of all features of all examples are kept for each method, in two
        bytes each up to 65535 features.

    References:
        Hooker et al. 2019, A benchmark for interpretability methods in deep neural networks,
        arXiv:1806.10758.
    """
    study = Study(
        order="roar",
        init=init,
        apply=apply,
        attributions=attributions,
        train=train,
        test=test,
        optimizer=optimizer,
        steps=steps,
        key=key,
        batch=batch,
        shares=shares,
        seeds=seeds,
        loss=loss,
        score=score,
        along=along,
        groups=groups,
        fill=fill,
        blur=blur,
        level=level,
        chunk=chunk,
        progress=progress,
        checkpoint=checkpoint,
    )
    return study.curves()


def kar(
    init: Callable[..., PyTree],
    apply: Callable[..., PyTree],
    attributions: Mapping[str, Pair],
    train: Pair,
    test: Pair,
    *,
    optimizer: Any,
    steps: int,
    key: jax.Array,
    batch: int = 128,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    seeds: int = 5,
    loss: OfExample = cross_entropy,
    score: OfExample = hit,
    along: int | tuple[int, ...] | None = None,
    groups: PyTree | None = None,
    fill: PyTree | None = None,
    blur: Scalar | None = None,
    level: float = 0.95,
    chunk: int | None = None,
    progress: Progress = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> RetrainingCurves:
    r"""Keep and retrain: the score of models trained without the least important features.

    As `roar`, with the share $t$ of the features with the lowest attribution replaced. The longer
    the score stays up, the more of what the labels can be told from the method has kept.

    Args:
        init: as for `roar`.
        apply: as for `roar`.
        attributions: as for `roar`.
        train: as for `roar`.
        test: as for `roar`.
        optimizer: as for `roar`.
        steps: as for `roar`.
        key: as for `roar`; with the same key the seeds are those of `roar`.
        batch: as for `roar`.
        shares: as for `roar`.
        seeds: as for `roar`.
        loss: as for `roar`.
        score: as for `roar`.
        along: as for `roar`.
        groups: as for `roar`.
        fill: as for `roar`.
        blur: as for `roar`.
        level: as for `roar`.
        chunk: as for `roar`.
        progress: as for `roar`.
        checkpoint: as for `roar`.

    Returns:
        `RetrainingCurves`, as from `roar`.

    Raises:
        ValueError: as for `roar`.
        TypeError: as for `roar`.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from jaxplain import evaluate
        >>> x = jax.random.normal(jax.random.key(0), (300, 4))
        >>> y = (x[:, 0] > 0).astype(int)
        >>> init = lambda key, x: jnp.zeros((x.shape[1], 2))
        >>> apply = lambda w, x: x @ w
        >>> right = jnp.zeros_like(x).at[:, 0].set(1.0)
        >>> curves = evaluate.kar(
        ...     init, apply, {"right": (right[:200], right[200:])}, (x[:200], y[:200]),
        ...     (x[200:], y[200:]), shares=(0.75,), seeds=2, steps=50, batch=32,
        ...     optimizer=optax.sgd(1.0), key=jax.random.key(1))
        >>> bool(curves.means["right"][1] > 0.95)
        True

    Notes:
        As for `roar`.

    References:
        Hooker et al. 2019, A benchmark for interpretability methods in deep neural networks,
        arXiv:1806.10758.
    """
    study = Study(
        order="kar",
        init=init,
        apply=apply,
        attributions=attributions,
        train=train,
        test=test,
        optimizer=optimizer,
        steps=steps,
        key=key,
        batch=batch,
        shares=shares,
        seeds=seeds,
        loss=loss,
        score=score,
        along=along,
        groups=groups,
        fill=fill,
        blur=blur,
        level=level,
        chunk=chunk,
        progress=progress,
        checkpoint=checkpoint,
    )
    return study.curves()
