"""The examples of evaluation run, draw, and find which explanations know the network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from test_examples import Run, check_figures, run

pytestmark = pytest.mark.thorough

FIGURES = ("benchmark.png", "flipping.png", "object_coffee.png", "object_motorcycle_left.png")


def test_evaluate(tmp_path: Path) -> None:
    """LRP is above all controls in curves and on objects; edges are no poor explanation."""
    found = run("evaluate", tmp_path)
    check_figures(found, *FIGURES, beside=("flipping.gif", "report.md"))
    check_animation(found, "flipping.gif", frames=8)
    *_, curves, objects, report = re.split(
        r"^(?:Area between|Share of the positive|\| method)", found.text, flags=re.M
    )
    areas, shares = rows(curves), rows(objects)
    controls = ("uniform", "random", "edges")
    assert list(areas) == list(shares)
    assert areas["uniform"] == [0.0]
    assert areas["LRP"][0] > max(areas[name][0] for name in controls)
    for place in range(2):
        assert shares["LRP"][place] > max(shares[name][place] for name in controls)
        assert shares["random"][place] == pytest.approx(shares["uniform"][place], abs=2)
    assert (tmp_path / "report.md").read_text(encoding="utf-8").strip() in found.text
    assert "3 examples, 2 in share on object, 2 in pointing game" in report
    assert len(re.findall(r"^\| .* \(control\) \|", report, re.M)) == 3


def test_sanity(tmp_path: Path) -> None:
    """Guided backprop hardly sees that the network is new; LRP follows class and picture."""
    found = run("sanity", tmp_path)
    check_figures(found, "mosaic.png", "randomization.png", beside=("translation.gif",))
    check_animation(found, "translation.gif", frames=7)
    _, forgotten, mosaic, moving = re.split(
        "^(?:Rank correlation|Share of the positive|Continuity)", found.text, flags=re.M
    )
    alike, shares, moved = rows(forgotten), rows(mosaic), rows(moving)
    assert alike["edges"] == [1.0] * 6
    assert min(alike["guided backprop"][:3]) > 0.8
    assert max(alike["gradient × input"]) < 0.7
    assert shares["uniform"] == [25.0] * 5
    assert shares["random"][0] == pytest.approx(25, abs=1)
    for name in ("LRP", "Grad-CAM"):
        assert shares[name][0] > 60
    assert shares["guided backprop"][0] < 45
    assert moved["LRP"][0] < moved["gradient × input"][0] / 3  # continuity
    assert moved["LRP"][-1] < moved["gradient × input"][-1] / 3


def rows(part: str) -> dict[str, list[float]]:
    """The numbers of each row that begins with the name of a method, in a column of its own."""
    lines = re.findall(r"^  (\S.{19}) ?(.*\d.*)$", part, re.M)
    return {
        name.strip(): [float(number) for number in re.findall(r"[+-]?\d+(?:\.\d+)?", values)]
        for name, values in lines
        if " s for " not in values
    }


def check_animation(found: Run, name: str, *, frames: int) -> None:
    """Check that a GIF was written, and that its pictures change."""
    assert f"Wrote {found.folder / name}" in found.text
    with Image.open(found.folder / name) as image:
        assert image.n_frames == frames
        first = image.convert("RGB")
        image.seek(frames - 1)
        assert first.tobytes() != image.convert("RGB").tobytes()
