"""The examples run, draw real pictures, and find what they say they find."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


class Run(NamedTuple):
    """What one example printed, and the folder of its figures."""

    text: str
    folder: Path


def run(name: str, folder: Path, *options: str) -> Run:
    """Run one example with `--quick`, as a user would."""
    # One device, unlike in the process of the tests; and no overflow or the like goes unnoticed.
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    environment |= {
        "JAX_PLATFORMS": "cpu",
        "PYTHONUTF8": "1",
        "PYTHONWARNINGS": "error::RuntimeWarning",
    }
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick", *options]
    process = subprocess.run(
        [*command, "--out", str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return Run(process.stdout, folder)


def check_figures(found: Run, *names: str) -> None:
    """Check that exactly these pictures were written, and that they show something."""
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(names)
    for name in names:
        assert f"Wrote {found.folder / name}" in found.text
        with Image.open(found.folder / name) as image:
            pixels = np.asarray(image.convert("RGB"), np.float64)
        height, width, _ = pixels.shape
        assert 300 < height < 5000
        assert 500 < width < 5000
        assert pixels.std() > 10
        assert len(np.unique(pixels.reshape(-1, 3)[::97], axis=0)) > 50


def numbers(text: str, pattern: str) -> list[float]:
    """Find the one match of a pattern, and return its groups as numbers."""
    matches = re.findall(pattern, text, re.MULTILINE)
    assert len(matches) == 1, (pattern, text)
    groups = matches[0] if isinstance(matches[0], tuple) else (matches[0],)
    return [float(group) for group in groups]


def test_saturation(tmp_path: Path) -> None:
    """Gradients vanish, jump and tremble, where integrated gradients do not."""
    found = run("saturation", tmp_path)
    check_figures(found, "saturation.png")
    _, saturation, threshold, noise = re.split("Saturation: |Thresholding: |Noise: ", found.text)

    def said(part: str, method: str) -> float:
        return numbers(part, rf"^  {method} +(-?[\d.]+)$")[0]

    assert said(saturation, "saliency") == 0
    assert said(saturation, "input × gradient") == 0
    assert said(saturation, "smooth gradient") == 0
    assert said(saturation, "integrated gradients") == pytest.approx(0.5, abs=0.01)
    assert said(saturation, "expected gradients") == pytest.approx(0.4, abs=0.05)
    assert said(threshold, "input × gradient") > 10
    assert said(threshold, "integrated gradients") < 0.5
    assert said(noise, "saliency") > 1
    assert said(noise, "smooth gradient") < 0.3
    assert said(noise, "integrated gradients") < 0.03


def test_digits(tmp_path: Path) -> None:
    """A short training reads most digits, and every explanation is complete."""
    found = run("digits", tmp_path)
    check_figures(found, "digits.png", "digits_mistake.png")
    assert numbers(found.text, r"^Held-out accuracy after \d+ epochs: ([\d.]+)%")[0] > 85
    assert numbers(found.text, r"converged for (\d+) of 10 digits")[0] >= 9
    residuals = re.findall(
        r"^  digit \d: +\d+ steps, residual ([+-][\d.]+) logits$", found.text, re.M
    )
    assert len(residuals) == 10
    assert all(abs(float(residual)) < 0.1 for residual in residuals)
    for method in ("input × gradient", "integrated gradients"):
        assert numbers(found.text, rf"^  {method} +([\d.]+)%$") == [0]
    for method in ("saliency", "smooth gradient", "expected gradients"):
        assert numbers(found.text, rf"^  {method} +([\d.]+)%$")[0] > 20
    predicted, lead = numbers(found.text, r"a \d read as a (\d)[\s\S]*leads logit \d by \+([\d.]+)")
    assert 0 <= predicted <= 9
    assert lead > 0


def test_baselines(tmp_path: Path) -> None:
    """One compiled explanation serves all baselines, and a constant is blind to its own color."""
    found = run("baselines", tmp_path)
    check_figures(found, "baselines.png")
    assert numbers(found.text, r"Egyptian cat, with probability (\d\.\d+)") == [0.48]
    assert numbers(found.text, r"^Called it with (\d+) baselines, .* without compiling again") == [
        8
    ]
    row = r" +([\d.e-]+) +([+-][\d.]+) +([+-][\d.]+) +([\d.]+)% +([\d.]+)%$"
    table = {
        name: numbers(found.text, rf"^{re.escape(name)}{row}")
        for name in (
            "zeros",
            "black",
            "white",
            "mean color",
            "blur",
            "uniform noise",
            "picture + noise",
            "maximum distance",
            "other pictures",
        )
    }
    for probability, difference, residual, _, _ in table.values():
        assert probability < 0.01
        assert difference > 10
        assert abs(residual) < 0.6 * difference
    assert table["black"][3] < 0.5 * table["zeros"][3]
    assert table["white"][4] < table["zeros"][4]
