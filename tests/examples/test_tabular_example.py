"""The example of tables runs, and what it says of both models adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import check_figures, run

pytestmark = pytest.mark.thorough


def test_tabular(tmp_path: Path) -> None:
    found = run("tabular", tmp_path)
    kinds = ("all", "importance", "one", "tree")
    check_figures(
        found, *(f"{kind}_{name}.png" for kind in kinds for name in ("network", "forest"))
    )
    right = re.findall(r"^The (\w+) is right about ([\d.]+)% of 169", found.text, re.M)
    assert [name for name, _ in right] == ["network", "forest"]
    assert all(float(share) > 90 for _, share in right)
    missed = re.findall(r"miss their sum by at most (\S+)\.$", found.text, re.M)
    assert len(missed) == 2 and all(float(most) < 1e-4 for most in missed)
    fidelity = re.findall(
        r"^tree surrogate of (\w+): R² ([\d.]+) on 120 held-out", found.text, re.M
    )
    assert [name for name, _ in fidelity] == ["network", "forest"]
    assert all(float(share) > 0.8 for _, share in fidelity)
