"""The example on channels runs, draws, and finds what it says it finds."""

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough

FIGURES = ("channels", "shares")


def test_conductance(tmp_path: Path) -> None:
    """Conductance is complete, foretells what channels do, and few channels make the score."""
    found = run("conductance", tmp_path)
    pictures = [f"{name}_{what}.png" for name in ("chelsea", "coffee") for what in FIGURES]
    check_figures(found, "switched_off.png", *pictures)
    assert numbers(found.text, r"^  fire7 +float32\[1,13,13,(\d+)\]") == [384]
    assert numbers(found.text, r"read (\d+) crops of 9 photographs") == [48]
    cat, coffee = re.split("^chelsea: |^coffee: ", found.text, flags=re.MULTILINE)[1:]
    assert "'Egyptian cat'" in cat
    assert "'espresso'" in coffee
    for part in (cat, coffee):
        check_completeness(part)
        check_predictions(part)
        check_switching(part)
        assert 3 <= numbers(part, r"(\d+) of them make half")[0] <= 20


def check_completeness(part: str) -> None:
    """What is missing is the error of the sum, and nothing goes around the layer."""
    pattern = r"sums to ([\d.]+) of ([\d.]+): residual ([+-][\d.]+) after 16 steps, bypass ([\d.]+)"
    total, change, residual, bypass = numbers(part, pattern)
    assert total - change == pytest.approx(residual, abs=2e-3)
    assert abs(residual) < 0.15 * change
    assert bypass == 0


def check_predictions(part: str) -> None:
    """Influence, without the activation, ranks channels worse."""
    row = r" +rank correlation ([+-][\d.]+), relative error [\d.e+]+$"
    names = ("conductance", "activation × gradient", "internal influence")
    conductance, gradient, influence = (numbers(part, rf"^  {name}{row}")[0] for name in names)
    assert conductance > 0.9
    assert gradient > 0.9
    assert 0.5 < influence < conductance - 0.1


def check_switching(part: str) -> None:
    """Ten chosen channels make a third of the score; ten at random, next to nothing."""

    def curve(name: str) -> list[float]:
        return numbers(part, rf"^  {name}" + r" +(-?\d+\.\d\d)" * 7 + "$")

    chosen, random = curve("conductance"), curve("at random")
    assert chosen == sorted(chosen)
    assert chosen[3] > 10
    assert abs(random[3]) < 0.15 * chosen[3]
    assert curve("each alone")[3] == pytest.approx(chosen[3], rel=0.1)
