"""zennit, or a skipped test module where it is not installed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks._zennit import import_zennit as find_zennit


def import_zennit() -> Any:
    try:
        return find_zennit()
    except ImportError:
        pytest.skip('needs the peers extra: "jaxplain[peers]"', allow_module_level=True)
