"""The examples of activation maximization run, draw, and find what they say."""

import re
from pathlib import Path

import pytest
from test_examples import check_figures, numbers, run

pytestmark = pytest.mark.thorough

FOUR = r" +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)"


def test_maximize(tmp_path: Path) -> None:
    """Every picture is read as its class; shaken, only those that were made while shaken."""
    found = run("maximize", tmp_path)
    check_figures(found, "classes.png", "regularization.png", "channels.png", "weights.png")
    _, *parts = re.split(r"^(.*): probability, shaken .*$", found.text, flags=re.M)
    ways = dict(zip(parts[::2], parts[1::2], strict=True))
    assert len(ways) == 4
    for text in ways.values():
        for name in ("flamingo", "strawberry"):
            assert numbers(text, rf"^  {name}{FOUR}")[0] >= 0.99
    pixels, *_, natural = ways.values()
    gain = 0.0
    for name in ("flamingo", "strawberry"):
        _, shaken, _, other = numbers(pixels, rf"^  {name}{FOUR}")
        assert shaken < 0.2
        _, shaken, least, other_of_natural = numbers(natural, rf"^  {name}{FOUR}")
        assert shaken >= 0.99
        assert least >= 0.9
        gain += other_of_natural - other
    # After so few steps another network does not see the class yet, but more of it.
    assert gain > 0
    line = r"^  \S+ channel +\d+: mean activation +(-?[\d.]+), and at most +(-?[\d.]+) in 9"
    channels = re.findall(line, found.text, re.M)
    assert len(channels) == 4
    assert all(float(reached) > float(usual) + 100 for reached, usual in channels)
    assert numbers(found.text, r"fire2 sees (\d+) of 63 pixels") == [15]


def test_digit_prototypes(tmp_path: Path) -> None:
    """All are read as their class; what knows the data makes pictures that are more like them."""
    found = run("digit_prototypes", tmp_path)
    check_figures(found, "digit_prototypes.png")
    row = r" +([\d.]+) +([\d.]+) +(-?[\d.]+) +([\d.]+) +([\d.]+)%$"
    rows = {
        name: numbers(found.text, rf"^  {name}{row}")
        for name in (
            "simple, from the mean",
            "simple, from class means",
            "with an expert",
            "in code space",
            "held-out digits",
        )
    }
    for name, (least, mean, *_, same) in rows.items():
        # The expert decides against certainty, where the network has not learnt long.
        if name != "held-out digits":
            assert least >= (0.9 if name == "with an expert" else 0.99)
            assert mean >= 0.98
        if not name.startswith("simple"):
            assert same >= 60
    density = {name: values[2] for name, values in rows.items()}
    simple = max(value for name, value in density.items() if name.startswith("simple"))
    assert density["with an expert"] > density["in code space"] > simple
    assert density["held-out digits"] > simple
    distance = {name: values[3] for name, values in rows.items()}
    closest = min(value for name, value in distance.items() if name.startswith("simple"))
    assert distance["with an expert"] < closest
    assert distance["in code space"] < closest
