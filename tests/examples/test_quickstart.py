"""The main job: explain a real picture by a real network."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import quickstart
from test_examples import check_figures, run

import jaxplain

from pretrained import load, sample_image

pytestmark = pytest.mark.thorough

CAT = 285
# The tests' quick compilation makes plain loops of convolutions in a scan, fifty times slower.
OPTIMIZED = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


def test_it_names_the_cat_and_explains_it(tmp_path: Path) -> None:
    methods = ("saliency", "integrated_grad", "guided_backprop", "lrp_epsilon_plus_flat")
    found = run("quickstart", tmp_path, "--methods", *methods)
    assert re.search(r"^ +47\.\d%  Egyptian cat \(285\)$", found.text, re.MULTILINE)
    assert re.search(r"^saliency .* - ", found.text, re.MULTILINE)
    assert re.search(r"^integrated_grad +\+2\d\.\d+ +[+-]\d\.\d+ ", found.text, re.MULTILINE)
    assert re.search(r"^guided_backprop .* - ", found.text, re.MULTILINE)
    assert re.search(r"^lrp_epsilon_plus_flat +\+28\.\d+ +- ", found.text, re.MULTILINE)
    check_figures(found, "methods.png", "overlay.png", "path.png")


def test_every_method_has_a_title_of_its_own() -> None:
    x = jnp.zeros((8, 8, 3))
    task = quickstart.Task(jnp.sum, x[None], 2, x[:1, :1] - 1, x[:1, :1] + 1)
    titles = [method(task).title for method in quickstart.METHODS.values()]
    assert len(set(titles)) == len(titles) == 15


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_that_is_no_picture_gets_one_sentence(
    exists: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cat.jpg"
    if exists:
        file.write_text("not a picture")
    assert quickstart.main(["--image", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(file) in printed.err and len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("tolerance", [None, 1e-2])
def test_squeezenet_is_complete(tolerance: float | None) -> None:
    """To 2 % with 50 Gauss-Legendre steps, and to 1 % where that is asked for."""
    model = load("squeezenet")
    score = jaxplain.select(model.logits)
    x = jnp.asarray(model.preprocess(sample_image("chelsea")))
    explain = jaxplain.integrated_grad(score, chunk=5, tolerance=tolerance, info=True)
    attribution, info = jax.jit(explain, compiler_options=OPTIMIZED)(x, CAT)
    difference = score(x, CAT) - score(jnp.zeros_like(x), CAT)
    assert abs(info.residual) < (tolerance or 2e-2) * abs(difference)
    assert abs(jnp.sum(attribution) - difference - info.residual) < 1e-3 * abs(difference)
    assert int(info.steps) >= 50
    assert tolerance is None or bool(info.converged)
