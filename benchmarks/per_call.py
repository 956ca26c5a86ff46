"""What one call costs when the model costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
from captum.attr import IntegratedGradients, Saliency

import jaxplain

from ._contest import TOLERANCE
from ._harness import Effort, Run, check_agreement, take_turns
from ._models import Model, model
from ._report import Row, Topic, microseconds, ratio


def contenders(method: str, m: Model) -> tuple[Callable[..., Any], Run]:
    """The attribution of one example, and a call of Captum's."""
    if method == "gradient":
        saliency = Saliency(m.twin)
        return jax.grad(m.score), lambda: saliency.attribute(m.inputs, m.target, abs=False)
    integrated = IntegratedGradients(m.twin)
    return jaxplain.integrated_grad(m.score), lambda: integrated.attribute(
        m.inputs, target=m.target
    )


def measure(method: str, effort: Effort) -> Iterator[Row]:
    """A compiled call, Captum's, and one that is not compiled."""
    m = model("tiny MLP")
    attribution, captum = contenders(method, m)
    explain = jax.vmap(attribution)
    compiled = jax.jit(explain)
    difference = check_agreement(compiled(m.x, m.labels), m.from_twin(captum()), TOLERANCE)
    check_agreement(explain(m.x, m.labels), compiled(m.x, m.labels), TOLERANCE)
    runs = {
        "compiled": lambda: compiled(m.x, m.labels),
        "captum": captum,
        "uncompiled": lambda: explain(m.x, m.labels),
    }
    ours, theirs, slow = take_turns(runs, effort).values()
    yield (
        method,
        microseconds(ours),
        microseconds(theirs),
        f"**{ratio(ours.median, theirs.median)}**",
        microseconds(slow),
        ratio(slow.median, theirs.median),
        f"{difference:.0e}",
    )


TOPIC = Topic(
    name="per_call",
    title="One call on a tiny model",
    about=(
        "Microseconds to explain one example of an MLP with 16, 32 and 3 units, against Captum's "
        "`Saliency` and `IntegratedGradients` (both 50 steps): what a call costs beside the model. "
        "The last ratio is of a call that is not compiled: put one `jax.jit` outside the loop."
    ),
    columns=(
        "method",
        "compiled, µs",
        "Captum, µs",
        "**ratio**",
        "not compiled, µs",
        "ratio",
        "difference",
    ),
    subjects=("gradient", "integrated gradients"),
    measure=measure,
)
