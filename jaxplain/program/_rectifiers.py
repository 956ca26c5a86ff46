"""Whether an activation is a rectifier, found by trying it out: ReLU, ReLU6, leaky, reversed."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from ._ops import Kind
from ._sites import Site
from ._trace import Value, is_literal

_PROBES = np.array([-40.0, -3.0, -0.5, -0.01, 0.01, 0.5, 0.9, 40.0])


class Rectifier(NamedTuple):
    """`sign * slope * relu(sign * x)`, perhaps bounded or leaky."""

    slope: float
    sign: float


def rectifier(site: Site) -> Rectifier | None:
    """What kind of rectifier a site is, or None: one slope on one side, a smaller on the other.

    The site is evaluated on a few numbers; it has to consist of literals, as rectifiers do.
    """
    if site.kind is not Kind.ELEMENTWISE:
        return None
    responses = _responses(site)
    if responses is None:
        return None
    slopes = responses / _PROBES
    # The outermost probes may lie beyond a bound.
    for sign, steep, flat in ((1.0, slopes[4:7], slopes[1:4]), (-1.0, slopes[1:4], slopes[4:7])):
        slope = steep[1]
        leak = flat[1] / slope if slope else 1.0
        straight = np.allclose(steep, slope, rtol=1e-2)
        even = np.allclose(flat, leak * slope, rtol=1e-2, atol=1e-3)
        if slope > 0 and straight and even and -1e-3 <= leak < 0.999:
            return Rectifier(float(slope), sign)
    return None


def _responses(site: Site) -> np.ndarray[Any, Any] | None:
    values: dict[Value, Any] = {}
    dtype = site.inputs[0].aval.dtype
    with jax.ensure_compile_time_eval():
        values[site.inputs[0]] = jax.numpy.asarray(_PROBES, dtype)
        for operand in site.operands:
            constant = site.constants.get(operand)
            if constant is None:
                return None
            values[operand] = np.full(_PROBES.shape, constant)
        for equation in site.equations:
            operands = [a.val if is_literal(a) else values[a] for a in equation.inputs]
            results = equation.run(operands)
            values.update(zip(equation.outputs, results, strict=True))
        return np.asarray(values[site.outputs[0]], np.float64)
