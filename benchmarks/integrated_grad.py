"""Integrated gradients against Captum."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
from captum.attr import IntegratedGradients

import jaxplain

from ._contest import COLUMNS, HOW_TO_READ, TOLERANCE, Size, contest, own_sizes, sizes
from ._harness import Effort, Run, check_agreement
from ._models import MODELS, Model, model
from ._report import Row, Topic

STEPS = 50


@functools.cache
def explain(name: str, chunk: Size) -> Run:
    """The compiled explanation of a model's batch."""
    m = model(name)
    attribution = jaxplain.integrated_grad(m.score, steps=STEPS, chunk=chunk)
    compiled = jax.jit(jax.vmap(attribution)).lower(m.x, m.labels).compile()
    return functools.partial(compiled, m.x, m.labels)


def captum(m: Model, size: Size) -> Run:
    """The same with Captum, `size` steps of each example in one pass."""
    return functools.partial(
        IntegratedGradients(m.twin).attribute,
        m.inputs,
        target=m.target,
        n_steps=STEPS,
        internal_batch_size=size and size * len(m.inputs),
    )


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Both at their best."""
    m = model(name)
    ours = {size: explain(name, size) for size in own_sizes(effort)}
    theirs = {size: captum(m, size) for size in sizes(effort)}

    def difference(size: Size, peer_size: Size) -> float:
        return check_agreement(ours[size](), m.from_twin(theirs[peer_size]()), TOLERANCE)

    yield contest(m.title, ours, theirs, difference, effort)


TOPIC = Topic(
    name="integrated_grad",
    title="Integrated gradients, 50 Gauss-Legendre steps, against Captum",
    about=(
        "`jax.jit(jax.vmap(jaxplain.integrated_grad(f, chunk=...)))` against "
        "`captum.attr.IntegratedGradients` with `internal_batch_size`: the same weights, inputs "
        f"and zero baseline. Before they are timed, both must agree to {TOLERANCE:.0%}; the last "
        "column is the norm of the difference as a share of Captum's norm, all in float32. "
        + HOW_TO_READ
    ),
    columns=COLUMNS,
    subjects=MODELS,
    measure=measure,
)
