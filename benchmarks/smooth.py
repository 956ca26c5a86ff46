"""SmoothGrad against Captum."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
from captum.attr import NoiseTunnel, Saliency

import jaxplain

from ._contest import COLUMNS, HOW_TO_READ, TOLERANCE, Size, contest, own_sizes, sizes
from ._harness import Effort, check_agreement
from ._models import MODELS, Model, model
from ._report import Row, Topic

SAMPLES = 50
SIGMA = 0.1


def smoothed(m: Model, chunk: Size = None) -> Callable[..., jax.Array]:
    """SmoothGrad of a batch: a function of the batch, its labels, a key each and sigma."""

    def explain(x: jax.Array, k: jax.Array, key: jax.Array, sigma: jax.Array) -> jax.Array:
        attribution = jaxplain.smooth(jax.grad(m.score), samples=SAMPLES, sigma=sigma, chunk=chunk)
        return attribution(x, k, key=key)

    return jax.jit(jax.vmap(explain, in_axes=(0, 0, 0, None)))


def arguments(m: Model, sigma: float = SIGMA) -> tuple[Any, ...]:
    """What `smoothed(m)` is called with."""
    return m.x, m.labels, jax.random.split(jax.random.key(2), len(m.x)), sigma


def captum(m: Model, size: Size) -> Callable[[float], Any]:
    """The same with Captum, `size` samples of each example in one pass: a function of sigma."""
    tunnel = NoiseTunnel(Saliency(m.twin))
    return lambda sigma: tunnel.attribute(
        m.inputs,
        target=m.target,
        nt_type="smoothgrad",
        nt_samples=SAMPLES,
        nt_samples_batch_size=size,
        stdevs=sigma,
        abs=False,
    )


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Both at their best."""
    m = model(name)
    ours = {size: smoothed(m, size).lower(*arguments(m)).compile() for size in own_sizes(effort)}
    theirs = {size: captum(m, size) for size in sizes(effort)}

    def difference(size: Size, peer_size: Size) -> float:
        without_noise = ours[size](*arguments(m, sigma=0.0))
        return check_agreement(without_noise, m.from_twin(theirs[peer_size](0.0)), TOLERANCE)

    yield contest(
        m.title,
        {size: functools.partial(run, *arguments(m)) for size, run in ours.items()},
        {size: functools.partial(run, SIGMA) for size, run in theirs.items()},
        difference,
        effort,
    )


TOPIC = Topic(
    name="smooth",
    title="SmoothGrad, 50 samples, against Captum",
    about=(
        "`jaxplain.smooth(jax.grad(f), samples=50, chunk=...)` against "
        "`captum.attr.NoiseTunnel(Saliency(net))` with `abs=False` and `nt_samples_batch_size`. "
        "The noise differs, so agreement is checked on the same compiled functions with noise of "
        "standard deviation zero, where both must give the plain gradient (last column). "
        + HOW_TO_READ
    ),
    columns=COLUMNS,
    subjects=MODELS,
    measure=measure,
)
