"""LIME's examples run, draw, and find how much of an explanation its settings make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough

FIGURES = ("path", "simpler", "stability", "superpixels", "widths")


def test_moons(tmp_path: Path) -> None:
    """Near the point both features lower the probability; farther away the first raises it."""
    found = run("moons", tmp_path)
    check_figures(found, "boundary.png")
    assert numbers(found.text, r"tells ([\d.]+)% right")[0] > 90
    assert numbers(found.text, r"was asked (\d+) times") == [2000]  # once for all widths
    row = r"coefficients ([+-][\d.]+) and ([+-][\d.]+), "
    near, _, far = (
        numbers(found.text, rf"^  width {width}: .*{row}") for width in ("0.15", "1.06", "5.00")
    )
    assert max(near) < -0.1
    assert far[0] > 0.05


def test_superpixels(tmp_path: Path) -> None:
    found = run("superpixels", tmp_path)
    check_figures(found, *(f"{name}.png" for name in FIGURES))
    heads = "quickshift, |SLIC, |Samples that keep half|Samples that keep most|Fidelity|Stability"
    parts = re.split(f"^(?:{heads})", found.text, flags=re.M)
    _, quickshift, slic, half, most, path, stability = parts
    for part in (quickshift, slic):
        fits = {scale: fit(part, scale) for scale in ("log-odds", "probability")}
        assert fits["log-odds"]["R²"] > fits["probability"]["R²"] + 0.1
        # Pictures of which half is hidden are no cats, and the photograph is far from them.
        assert fits["log-odds"]["score"] > fits["log-odds"]["prediction"] + 2
        assert fits["probability"]["intercept"] < 0

    wide, near = widths(half), widths(most)
    unsound = [width for width, (_, _, sure) in wide.items() if not sure]
    assert unsound
    assert max(unsound) < 0.1
    assert all(sure for _, _, sure in near.values())
    assert all(fidelity > 0.85 for fidelity, *_ in near.values())
    own = numbers(quickshift, r"^  log-odds +([+-][\d.]+) +-")[0]
    assert near[0.3][1] == pytest.approx(own, abs=1)

    log_odds = numbers(path, r"of the log-odds: ([\d.]+) with 1, ([\d.]+) with 5, .* ([\d.]+) with")
    assert log_odds == sorted(log_odds)
    rows = re.findall(r"^  width ([\d.]+)  (\w+) .*?((?: +[\d.]+)+)$", stability, re.M)
    indices = {(width, name): [float(v) for v in row.split()] for width, name, row in rows}
    assert len(indices) == 6
    assert indices["0.25", "the"][-1] > indices["0.10", "the"][0]
    for width in ("0.25", "0.10"):
        assert indices[width, "intervals"][-1] > 0.8
    deviations = indices["0.25", "deviation"]
    assert deviations[-1] < deviations[0]


def fit(part: str, scale: str) -> dict[str, float]:
    """Read one row of the table of local models."""
    row = numbers(part, rf"^  {scale} +{5 * '([+-]?[.0-9]+) *'}$")
    return dict(zip(("score", "hidden", "intercept", "prediction", "R²"), row, strict=True))


def widths(part: str) -> dict[float, tuple[float, float, bool]]:
    """Read R² and the local prediction of each width, and whether there were samples enough."""
    rows = re.findall(
        r"^  width ([\d.]+): R² ([\d.]+), local prediction ([+-][\d.]+), .*?(\(fewer.*)?$",
        part,
        re.M,
    )
    assert len(rows) == 9
    return {float(w): (float(r), float(said), not few) for w, r, said, few in rows}
