"""The example of TCAV runs, draws real pictures, and concludes nothing from nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import check_figures, run

pytestmark = pytest.mark.thorough


def test_tcav(tmp_path: Path) -> None:
    found = run("tcav", tmp_path)
    check_figures(found, "concepts.png", "tcav.png")
    means = dict(re.findall(r"^  (\w+) +([+-][\d.]+ +[+-][\d.]+ +[+-][\d.]+)$", found.text, re.M))
    scores = {name: [float(number) for number in row.split()] for name, row in means.items()}
    assert len(scores) == 8
    assert scores["dots"][1] > scores["random"][1] + 3  # dots do look like a honeycomb
    row = r"^(\w+) +([\d.]+) ± .* (<?[\d.]+) +(<?[\d.]+) +([\d.]+) +(<?[\d.]+)  (\S.*)$"
    rows = re.findall(row, found.text, re.M)
    assert len(rows) == 2 * 7
    verdicts = {name: verdict for name, *_, verdict in rows if name == "nothing"}
    assert verdicts == {"nothing": "the CAV is no better than chance"}
    accuracies = {name: float(accuracy) for name, *_, accuracy, _, _ in rows}
    assert all(value > 0.8 for name, value in accuracies.items() if name != "nothing")
    assert sum(verdict.endswith("the score") for *_, verdict in rows) >= 2
