"""Whether an activation is a rectifier, found by trying it out: ReLU, ReLU6 and leaky ReLU."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ._ops import Kind
from ._sites import Site
from ._trace import Value, is_literal

_PROBES = np.array([-40.0, -3.0, -0.5, -0.01, 0.01, 0.5, 0.9, 40.0])


def is_rectifier(site: Site) -> bool:
    """Whether a site is the identity above zero, up to a bound, and a smaller slope below it.

    The site is evaluated on a few numbers; it has to consist of literals, as rectifiers do.
    """
    if site.kind is not Kind.ELEMENTWISE:
        return False
    responses = _responses(site)
    if responses is None:
        return False
    below, above = responses[:4] / _PROBES[:4], responses[4:7] / _PROBES[4:7]
    slope = below[0]
    identity = np.allclose(above, 1, rtol=1e-2)
    linear = np.allclose(below, slope, rtol=1e-2, atol=1e-3)
    return bool(identity and linear and -1e-3 <= slope < 0.999 and responses[7] >= 0.9 * _PROBES[6])


def _responses(site: Site) -> np.ndarray[Any, Any] | None:
    values: dict[Value, Any] = {}
    dtype = site.inputs[0].aval.dtype
    with jax.ensure_compile_time_eval():
        values[site.inputs[0]] = jax.numpy.asarray(_PROBES, dtype)
        for operand in site.operands:
            constant = site.constants.get(operand)
            if constant is None:
                return None
            values[operand] = constant
        for equation in site.equations:
            operands = [a.val if is_literal(a) else values[a] for a in equation.inputs]
            results = equation.run(operands)
            values.update(zip(equation.outputs, results, strict=True))
        return np.asarray(values[site.outputs[0]], np.float64)
