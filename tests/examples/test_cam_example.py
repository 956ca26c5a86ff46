"""The class activation maps' example runs, draws, and finds what it says."""

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough


def test_cam(tmp_path: Path) -> None:
    """Maps at the last layer point at their photograph of four; Eigen-CAM knows no class."""
    found = run("cam", tmp_path)
    check_figures(found, "chelsea.png", "coffee.png", "mosaic.png", "tokens.png")
    line = r"^  (\S+) +correlates with Grad-CAM by ([\d.]+)$"
    likeness = dict(re.findall(line, found.text, re.M))
    assert len(likeness) == 8
    assert likeness["HiResCAM"] == likeness["XGrad-CAM"] == "1.0000"
    assert float(likeness["Eigen-CAM"]) < 0.99
    shares = dict(re.findall(r"^  (\S+) +mean +(\d+)%   chelsea", found.text, re.M))
    assert float(shares["Grad-CAM"]) > 60
    assert float(shares["Eigen-CAM"]) == pytest.approx(25, abs=2)
    assert float(shares["Grad-CAM"]) > float(shares["LayerCAM"]) + 10
    assert numbers(found.text, r"reads ([\d.]+)% of the held-out scenes")[0] > 40
    by_chance, *_ = numbers(found.text, r"^  \(all pixels\) +(\d+)% in the box")
    for name in ("HiResCAM", "LayerCAM"):
        assert numbers(found.text, rf"^  {name} +(\d+)% in the box")[0] > by_chance + 5
