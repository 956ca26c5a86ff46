"""Waterfalls and beeswarms: what is drawn is what was given, and no text hides another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_plot import assert_well_laid_out

from jaxplain import plot

NAMES = [f"feature {i}" for i in range(30)]
DATA = np.random.default_rng(0).normal(size=(60, 30))
WEIGHTS = np.random.default_rng(1).normal(size=30) * np.geomspace(1, 0.01, 30)


def labels(figure: Any) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_waterfall_leads_from_the_baseline_to_the_input() -> None:
    scores = DATA[0] * WEIGHTS
    figure = plot.waterfall(NAMES, scores, start=-1.5, top=6, title="One of them")
    steps = figure.axes[0].patches
    assert len(steps) == 7 and labels(figure)[-1] == "24 others"
    place = -1.5
    for step in steps:
        assert step.get_x() == pytest.approx(place) or step.get_x() + step.get_width() == place
        place += step.get_width()
    assert place == pytest.approx(-1.5 + scores.sum())
    named = [scores[NAMES.index(name)] for name in labels(figure)[:-1]]
    np.testing.assert_allclose(named, [step.get_width() for step in steps[:-1]])
    assert np.all(np.diff(np.abs(named)) <= 0)
    written = [text.get_text() for text in figure.axes[0].texts]
    assert "baseline \u22121.5" in written
    assert f"input {place:.3g}".replace("-", "\u2212") in written
    assert_well_laid_out(figure)


@pytest.mark.parametrize(
    "scores", [[0.0, 0.0], [1e-9, -1e-12], [1e9, 3.0], [-5.0, -4.0], [3.0, -9]]
)
def test_a_waterfall_of_any_size(scores: list[float]) -> None:
    assert_well_laid_out(plot.waterfall(["a", "b"], scores, start=2.0))


def test_a_beeswarm_has_a_point_for_each_example() -> None:
    figure = plot.beeswarm(NAMES, DATA * WEIGHTS, DATA, top=5, title="All of them")
    weight = np.mean(np.abs(DATA * WEIGHTS), axis=0)
    assert labels(figure) == [NAMES[i] for i in np.argsort(-weight)[:5]]
    assert "25 features" in figure.axes[0].get_xlabel()
    for row, swarm in enumerate(figure.axes[0].collections):
        feature = NAMES.index(labels(figure)[row])
        where = np.asarray(swarm.get_offsets())
        np.testing.assert_allclose(
            np.sort(where[:, 0]), np.sort(DATA[:, feature] * WEIGHTS[feature])
        )
        assert np.all(np.abs(where[:, 1] - row) < 0.5), "a swarm runs into its neighbour"
        # The colour rises with the value: with the score, or against it.
        colors = swarm.get_array()[np.argsort(where[:, 0])]
        assert np.all(np.sign(WEIGHTS[feature]) * np.diff(colors) >= 0)
    assert_well_laid_out(figure)


def test_points_of_a_swarm_do_not_lie_on_one_another() -> None:
    figure = plot.beeswarm(["same"], np.ones((9, 1)), np.arange(9.0)[:, None])
    where = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert len({round(height, 6) for height in where[:, 1]}) == 9
    assert_well_laid_out(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot.waterfall(["a"], [1.0, 2.0], 0.0), "scores has 2 .*names has 1"),
        (lambda: plot.waterfall(["a"], [1.0], np.nan), "start=nan"),
        (lambda: plot.waterfall(["a"], [1.0], 0.0, top=0), "top=0"),
        (lambda: plot.beeswarm(["a"], [1.0], [1.0]), r"shape \(1,\).*\(examples, 1\)"),
        (lambda: plot.beeswarm(["a"], [[1.0]], [[1.0], [2.0]]), "1 examples and values has 2"),
        (lambda: plot.beeswarm(["a"], [[np.nan]], [[1.0]]), "scores holds 1 NaN"),
    ],
)
def test_errors(draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        draw()
