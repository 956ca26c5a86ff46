"""zennit, also beside a PyTorch without CUDA.

zennit imports two classes of torchvision's to recognise its residual networks. On Linux
torchvision's wheels load only beside the CUDA build of PyTorch. Nothing here uses torchvision, so
empty classes take those two places while zennit is imported, and only where torchvision fails.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def import_zennit() -> Any:
    """The package; raises `ImportError` where it is not installed."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        before = {name: sys.modules.get(name) for name in _NAMES}
        sys.modules.update(_empty_torchvision())
        try:
            return importlib.import_module("zennit.composites") and importlib.import_module(
                "zennit"
            )
        finally:
            for name, module in before.items():
                if module is None:
                    sys.modules.pop(name, None)
                else:
                    sys.modules[name] = module
    return _package()


def _package() -> Any:
    importlib.import_module("zennit.composites")
    return importlib.import_module("zennit")


_NAMES = ("torchvision", "torchvision.models", "torchvision.models.resnet")


def _empty_torchvision() -> dict[str, ModuleType]:
    modules = {name: ModuleType(name) for name in _NAMES}
    for block in ("BasicBlock", "Bottleneck"):
        setattr(modules[_NAMES[-1]], block, type(block, (), {}))
    return modules
