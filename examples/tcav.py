"""TCAV: which textures raise the score of a class in SqueezeNet, and which only seem to?

A concept is given by examples, here 24 each: photographs with stripes, dots or a checkerboard
painted over, and crops of scikit-image's pictures of brick, grass and coins. A vector separates
them from crops of other photographs in a layer; the derivative of a class's score along it says
whether more of the concept raises the score. The score is by how much the class's logit exceeds
the mean of all, and the inputs are 24 crops of seven photographs, half of them in gray: there is no
zebra, honeycomb or stone wall among them. Run with

    python examples/tcav.py --out out

which takes two to six minutes on two cores; `--quick` tests one layer and two classes with fewer
examples, in about one.

- Before all vectors, the scores of the examples themselves: dots look like a honeycomb (a score of
  12.0, where random crops have 2.9), grass like a stone wall (7.9 and -5.8), stripes a little like
  a zebra (2.7 and -0.2); coins are the contrary of one (-11.0).
- `tcav.png`: in fire8, 13 of 18 effects are significant, and all of these have the sign of that
  difference. Dots have a TCAV score of 0.89 for the honeycomb, grass of 1.00 for the stone wall.
  The stripes of a zebra are not significant: 0.63. Nor is brick for the stone wall, and it has the
  wrong sign: these bricks, which stand upright, look most like a prison to this network.
- In fire5, 11 are significant, and 4 of these have the wrong sign: stripes "lower" the score of a
  zebra, p = 0.005. The derivative is what a small step in the layer does to photographs; stripes
  are not a small step. So a significant concept is a fact about derivatives, and should be compared
  with the examples' own scores.
- "nothing", more crops of the photographs, is refused everywhere: no classifier tells them from
  the pool, 0.48 and 0.51 of the held-out examples are told right.
- `concepts.png` shows examples. The brick, grass and coins are gray, so half of the pool is; but
  each is crops of a single picture, and the vector points to whatever else that picture has.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image
from saturation import FAINT, INK, SOFT, tidy

from jaxplain import ConceptReport, plot, tcav

from pretrained import Pretrained, load, read_image, sample_image
from pretrained.packages import package_folder

SIDE = 227
PHOTOGRAPHS = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle_left", "rocket")
CLASSES = {"zebra": 340, "honeycomb": 599, "stone wall": 825}
SHADES = {"fire5": "#7fb2e5", "fire8": "#1d4f91"}
"""The layers, and their colors."""

Draw = Callable[[np.random.Generator], np.ndarray]
Reports = dict[tuple[str, str], ConceptReport]  # by class and layer


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a random square, a third to all of the shorter side, flip it or not, and scale it."""
    side = int(min(image.shape[:2]) * rng.uniform(1 / 3, 1))
    top, left = (rng.integers(0, size - side + 1) for size in image.shape[:2])
    square = image[top : top + side, left : left + side, :: rng.choice((-1, 1))]
    scaled = Image.fromarray(np.ascontiguousarray(square)).resize((SIDE, SIDE))
    return np.asarray(scaled, np.float64)


def grayed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the colors away from every second picture: some concepts are gray."""
    gray = np.broadcast_to(image.mean(-1, keepdims=True), image.shape)
    return gray if rng.uniform() < 0.5 else image


def marks(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Draw where a texture is dark, at a random scale, angle and shift."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(16, 44)
    grid = np.mgrid[:SIDE, :SIDE] / period
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    u, v = np.tensordot(turn, grid, 1) + rng.uniform(size=(2, 1, 1))
    if kind == "stripes":
        return u % 1 < 0.5
    if kind == "checkerboard":
        return (u % 1 < 0.5) ^ (v % 1 < 0.5)
    return (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.12  # dots


def sources(photographs: list[np.ndarray]) -> dict[str, Draw]:
    """Return what draws one example of each concept."""
    data = package_folder("skimage") / "data"

    def photograph(rng: np.random.Generator) -> np.ndarray:
        return grayed(crop(photographs[rng.integers(len(photographs))], rng), rng)

    def painted(kind: str) -> Draw:
        def draw(rng: np.random.Generator) -> np.ndarray:
            return np.where(marks(kind, rng)[..., None], 0.15, 1.0) * photograph(rng)

        return draw

    def picture(name: str) -> Draw:
        image = read_image(data / f"{name}.png")
        return lambda rng: crop(image, rng)

    return {
        "stripes": painted("stripes"),
        "dots": painted("dots"),
        "checkerboard": painted("checkerboard"),
        "brick": picture("brick"),
        "grass": picture("grass"),
        "coins": picture("coins"),
        "nothing": photograph,
    }


def batch(model: Pretrained, draw: Draw, count: int, seed: int) -> np.ndarray:
    """Draw examples in the units of the network."""
    rng = np.random.default_rng(seed)
    return np.stack([model.units.encode(draw(rng)) for _ in range(count)])


def above_mean(model: Pretrained) -> Callable[..., jax.Array]:
    """Return by how much a logit exceeds the mean of all: what is painted over lowers them all."""

    def score(x: jax.Array, k: int) -> jax.Array:
        logits = model.logits(x)
        return logits[k] - logits.mean()

    return score


def print_scores(score: Callable[..., jax.Array], sets: dict[str, np.ndarray]) -> None:
    """Tell what the network says of the examples themselves."""
    print("Mean score of the examples:" + "".join(f"{name:>14s}" for name in CLASSES))
    of_all = jax.jit(jax.vmap(lambda x: jnp.stack([score(x, k) for k in CLASSES.values()])))
    for name, images in sets.items():
        means = np.asarray(of_all(images)).mean(axis=0)
        print(f"  {name:24s} " + "".join(f"{mean:+14.2f}" for mean in means), flush=True)


def spread_of(report: ConceptReport) -> np.ndarray:
    """Return the lower ends of all error bars, then the upper ends."""
    derivatives = np.asarray(report.derivatives, np.float64)
    means, errors = derivatives.mean(axis=1), derivatives.std(axis=1, ddof=1)
    return np.concatenate([means - errors, means + errors])


def draw_bars(axes: Axes, name: str, reports: Reports) -> None:
    """Draw the derivatives of one class: a bar for each concept and layer."""
    found = {layer: report for (of, layer), report in reports.items() if of == name}
    height = 0.8 / len(found)
    for row, (layer, report) in enumerate(found.items()):
        low, high = np.split(spread_of(report), 2)
        values, errors = (low + high) / 2, (high - low) / 2
        for i, value in enumerate(values):
            sure = bool(report.significant[i])
            style = {"color": SHADES[layer]} if sure else {"color": "white", "edgecolor": FAINT}
            place = i + (row - (len(found) - 1) / 2) * height
            axes.barh(place, value, height * 0.9, xerr=errors[i], ecolor=SOFT, **style)
            text = f"{float(report.score[i]):.2f}" + ("" if sure else " n.s.")
            offset, side = (4, "left") if value >= 0 else (-4, "right")
            axes.annotate(
                text,
                (value + np.sign(value) * errors[i], place),
                xytext=(offset, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=7,
                color=INK if sure else SOFT,
            )
    axes.axvline(0, color=SOFT, linewidth=0.8)
    ends = np.concatenate([[0.0], *(spread_of(report) for report in found.values())])
    room = 0.2 * np.ptp(ends)
    axes.set_xlim(ends.min() - room, ends.max() + room)
    axes.set_ylim(len(report.names) - 0.5, -0.5)
    axes.set_title(name, fontsize=11, color=INK)
    axes.set_xlabel("change of the score by a typical step to the concept", color=SOFT)
    tidy(axes)
    axes.set_yticks(range(len(report.names)), report.names)


def draw_scores(reports: Reports) -> Figure:
    """Draw one panel for each class."""
    names = list(dict.fromkeys(name for name, _ in reports))
    layers = list(dict.fromkeys(layer for _, layer in reports))
    figure = Figure(figsize=(4.6 * len(names) + 1, 5), dpi=150, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        draw_bars(axes, name, reports)
    handles = [Patch(color=SHADES[layer], label=layer) for layer in layers]
    handles.append(Patch(facecolor="white", edgecolor=FAINT, label="not significant (n.s.)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(
        "The number is the TCAV score: the share of inputs whose score rises", color=INK
    )
    return figure


def draw_examples(model: Pretrained, sets: dict[str, np.ndarray], count: int = 6) -> Figure:
    """Show the first examples of each set, a row each."""
    figure = Figure(figsize=(1.3 * count + 1.3, 1.3 * len(sets)), dpi=150, layout="constrained")
    for axes, (name, images) in zip(figure.subplots(len(sets), count), sets.items(), strict=True):
        for panel, image in zip(axes, images, strict=False):
            panel.imshow(model.to_display(image))
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
    return figure


def main() -> None:
    """Draw examples, test the concepts, and draw what they do to each class."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer examples, layers and classes")
    options = parser.parse_args()
    count, repeats = (12, 10) if options.quick else (24, 20)
    layers = tuple(SHADES)[1:] if options.quick else tuple(SHADES)
    classes = tuple(CLASSES)[:2] if options.quick else tuple(CLASSES)

    model = load("squeezenet")
    draws = sources([sample_image(name) for name in PHOTOGRAPHS])
    concepts = {
        name: batch(model, draw, count, seed) for seed, (name, draw) in enumerate(draws.items())
    }
    pool = batch(model, draws["nothing"], 4 * count, 100)
    xs = batch(model, draws["nothing"], count, 101)
    score = above_mean(model)
    print_scores(score, concepts | {"random": pool})

    reports: Reports = {}
    for layer in layers:
        test = tcav(score, f"**/{layer}", concepts, pool, repeats=repeats, chunk=8)
        for name in classes:
            reports[name, layer] = report = test(xs, CLASSES[name], key=jax.random.key(0))
            print(f"\n{name}, {layer}:\n{report}", flush=True)
    figures = {
        "concepts.png": draw_examples(model, concepts | {"random": pool}),
        "tcav.png": draw_scores(reports),
    }
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file, dpi=150)}")


if __name__ == "__main__":
    main()
