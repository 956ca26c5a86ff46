"""The example of influence runs, finds wrong labels, and foretells training without some digits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough


def test_influence(tmp_path: Path) -> None:
    found = run("influence", tmp_path)
    check_figures(found, "found.png", "suspects.png", "traced.png", "retrained.png")
    assert numbers(found.text, r"held-out accuracy ([\d.]+)%")[0] > 85
    right, wrong = numbers(found.text, r"mean loss ([\d.]+) with right and ([\d.]+) with wrong")
    assert wrong > right + 1

    rows = re.findall(r"^  (\w[\w ,-]*?)  +([\d.]+)% +([\d.]+)%$", found.text, re.M)
    precision = {name: float(first) for name, first, _ in rows}
    assert len(precision) == 6
    assert precision["self-influence"] >= 80
    assert precision["self-influence, last layer"] >= 80
    assert precision["self-TracIn"] > 60
    assert precision["random"] < 20
    assert numbers(found.text, r"^Of the first 20 by self-influence (\d+) are wrong")[0] >= 17

    changes = {
        name: (float(predicted), float(measured))
        for name, predicted, measured in re.findall(
            r"^  (\w[\w ,]*?)  +predicted ([+-][\d.]+)  retrained ([+-][\d.]+)$", found.text, re.M
        )
    }
    assert min(changes["most helpful, 1 to 20"]) > 0.3
    assert max(changes["most harmful, 1 to 20"]) < -0.3
    assert abs(changes["none"][1]) < 0.2
    assert numbers(found.text, r"^  Hessian +(-?[\d.]+)  [\d.]+$")[0] > 0.8
