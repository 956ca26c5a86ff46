"""The example of remove and retrain runs, and squares come out better than what they square."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough


def test_roar(tmp_path: Path) -> None:
    found = run("roar", tmp_path)
    check_figures(found, "roar.png", "kar.png", "roar_digits.png")
    accuracy = numbers(found.text, r"is explained reads ([\d.]+)% of the held-out")[0]
    assert accuracy > 92

    _, roar, noise, kar = re.split(r"^(?:ROAR|KAR): .*$", found.text, flags=re.MULTILINE)
    row = r"^  (\S.*?)  +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$"

    def table(text: str) -> dict[str, list[float]]:
        return {name: [float(n) for n in rest] for name, *rest in re.findall(row, text, re.M)}

    removed = table(roar)
    assert len(removed) == 21  # ten methods, as they are and blurred, and a random order
    mean = {name: values[-1] for name, values in removed.items()}
    assert mean["SmoothGrad²"] < mean["gradient"]
    assert mean["VarGrad"] < mean["gradient"]
    # The mask tells what the network read.
    assert mean["gradient of what is read"] > removed["random"][0]
    assert abs(removed["gradient of what is read"][2] - accuracy) < 1

    swept = table(noise)
    assert len(swept) == 8
    assert swept["VarGrad, noise 1"][-1] < mean["gradient"] - 3
    assert swept["VarGrad, noise 1"][-1] < swept["VarGrad, noise 0.15"][-1]
    kept = table(kar)
    assert len(kept) == 11
    assert min(kept, key=lambda name: kept[name][-1]) == "random"
    assert kept["random"][0] == removed["random"][0]
