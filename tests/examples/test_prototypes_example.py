"""The example of prototypes runs, draws real pictures, and its prototypes beat random ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough


def test_prototypes(tmp_path: Path) -> None:
    found = run("prototypes", tmp_path)
    check_figures(found, "prototypes.png", "weights.png", "accuracy.png", "similar.png")
    for space in ("pixels", "features"):
        last, first = numbers(
            found.text, rf"^By {space}, gamma [\d.e-]+: 80 .* to ([\d.e-]+), from ([\d.e-]+) with"
        )
        assert 0 < last < first / 5
    _, *parts = re.split("^Accuracy of the nearest prototype by ", found.text, flags=re.M)
    for part in parts:
        rows = {
            name: [float(value) for value in re.findall(r"([\d.]+)%", values)]
            for name, values in re.findall(r"^  ([\w -]+?)  +([\d.% ]+)$", part, re.M)
        }
        chosen, random = rows["MMD-critic"], rows["at random"]
        assert len(chosen) == len(random) == 4
        assert all(a > b for a, b in zip(chosen, random, strict=True))
        assert chosen[0] > random[0] + 10  # ten prototypes, one of each class
    assert len(parts) == 2
    shares = re.findall(r"^  \d: +([\d.% ]+)$", found.text, re.M)
    assert len(shares) == 10
    for row in shares:
        values = [float(value) for value in re.findall(r"([\d.]+)%", row)]
        assert sum(values) == pytest.approx(100, abs=1)
        assert max(values) < 80
    right, wrong = numbers(found.text, r"by features ([\d.]+)% have .* right, and ([\d.]+)% where")
    assert right > wrong + 20
    true, read = numbers(found.text, r"mistake is a (\d) read as a (\d)")
    assert true != read
    neighbors = re.findall(r"^  (\S.*?) +((?:\d ){7}\d) +[\d.]+ to [\d.]+$", found.text, re.M)
    assert len(neighbors) == 4
