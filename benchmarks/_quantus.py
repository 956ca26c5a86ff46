"""Quantus, which is an optional peer here, on the twin of a model and on the same explanations."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ._harness import Run
from ._models import Model
from ._zennit import import_zennit

MISSING = 'SKIPPED: needs Quantus, pip install --no-deps quantus==0.6.0, beside "jaxplain[peers]"'
QUIET = {"disable_warnings": True, "display_progressbar": False}


def import_quantus() -> Any | None:
    """The package, or None where it is not installed."""
    try:
        if not hasattr(np, "trapz"):  # NumPy 2 renamed it
            np.trapz = np.trapezoid  # type: ignore[attr-defined]
        import_zennit()  # Quantus imports it, and that fails beside some versions of torchvision
        return importlib.import_module("quantus")
    except ImportError:
        return None


def gradients(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray[Any, Any]:
    """The gradient of each score, as a function that Quantus calls."""
    x = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_(True)
    scores = model(x)[torch.arange(len(x)), torch.as_tensor(targets)]
    return torch.autograd.grad(scores.sum(), x)[0].numpy()


def theirs(
    quantus: Any,
    name: str,
    options: Mapping[str, Any],
    m: Model,
    relevance: Any,
    mask: np.ndarray[Any, Any],
    softmax: bool,
) -> Run:
    """The metric of Quantus of that name, made once, of the whole batch."""
    metric = getattr(quantus, name)(**QUIET, **options)
    given = {"model": m.twin, "x_batch": m.inputs.numpy(), "y_batch": np.asarray(m.labels)}
    maps = np.moveaxis(np.asarray(relevance), -1, 1)
    return functools.partial(
        metric,
        **given,
        a_batch=maps,
        s_batch=np.moveaxis(mask, -1, 1),
        explain_func=gradients,
        device="cpu",
        channel_first=True,
        softmax=softmax,
        batch_size=len(maps),
    )
