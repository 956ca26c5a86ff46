"""What counts as absent? One picture, integrated gradients, nine baselines.

Integrated gradients explain the difference between the score of a picture and the score of a
baseline, so the answer depends on what the baseline is. Here the same compiled explanation of a
cat, by SqueezeNet, is called with eight baselines; expected gradients average over a set of other
photographs. The tour follows Sturmfels et al. 2020, Visualizing the impact of feature attribution
baselines, Distill. Run with

    python examples/baselines.py --out out

which takes about a minute on two cores; `--quick` takes fewer steps.
"""

import argparse
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jaxplain
from jaxplain import baselines, plot

from pretrained import Pretrained, labels, load, sample_image

PICTURE = "chelsea"
OTHERS = ("rocket", "coffee", "china", "flower", "motorcycle_left", "astronaut")
COLUMNS = 5
INK, SOFT = "#222222", "#666666"


class Answer(NamedTuple):
    """What integrated gradients say with one baseline, or with a set of them.

    Attributes:
        attribution: What each pixel's channels add to the logit, (H, W, 3).
        difference: By how much the logit exceeds the mean logit of the baselines.
        probability: The mean probability of the explained class at the baselines.
    """

    attribution: np.ndarray
    difference: float
    probability: float

    @property
    def pixels(self) -> np.ndarray:
        """What each pixel adds, (H, W)."""
        return self.attribution.sum(-1)

    @property
    def residual(self) -> float:
        """By how much the attribution misses the difference it should sum to."""
        return float(self.pixels.sum(dtype=np.float64)) - self.difference


def make_baselines(model: Pretrained, x: jax.Array) -> dict[str, jax.Array]:
    """Make a baseline of every kind, in the units of the model."""
    noise, more_noise = jax.random.split(jax.random.key(0))
    # `uniform` takes one range for all channels, but this model's channels have a range each.
    random = baselines.uniform(x, key=noise) * (model.high - model.low) + model.low
    return {
        "zeros": baselines.zeros(x),
        "black": baselines.constant(x, model.low),
        "white": baselines.constant(x, model.high),
        "mean color": baselines.constant(x, x.mean((0, 1))),
        "blur": baselines.blur(x, 10.0),
        "uniform noise": random,
        "picture + noise": baselines.gaussian(x, 64.0, key=more_noise),
        "maximum distance": baselines.maximum_distance(x, model.low, model.high),
    }


def explain_each(
    model: Pretrained, x: jax.Array, k: int, kinds: Mapping[str, jax.Array], *, steps: int
) -> dict[str, Answer]:
    """Explain class `k` with integrated gradients from each baseline, compiled only once."""
    integrate = jaxplain.integrated_grad(jaxplain.select(model.logits), steps=steps, chunk=8)
    begin = time.perf_counter()
    # A compiled function cannot compile again: a baseline is an argument like any other.
    explain = jax.jit(integrate).lower(x, k, baseline=x).compile()
    print(f"Compiled integrated gradients of {steps} steps in {time.perf_counter() - begin:.1f} s.")
    begin = time.perf_counter()
    answers = {
        name: answer(model, x, k, explain(x, k, baseline=baseline), baseline[None])
        for name, baseline in kinds.items()
    }
    each = (time.perf_counter() - begin) / len(kinds)
    print(f"Called it with {len(kinds)} baselines, {each:.1f} s each, without compiling again.")
    return answers


def explain_expected(
    model: Pretrained, x: jax.Array, k: int, others: jax.Array, *, samples: int
) -> Answer:
    """Explain class `k` with expected gradients, whose baselines are other pictures."""
    expect = jaxplain.expected_grad(jaxplain.select(model.logits), samples=samples, chunk=8)
    attribution = jax.jit(expect)(x, k, baseline=others, key=jax.random.key(0))
    return answer(model, x, k, attribution, others)


def answer(
    model: Pretrained, x: jax.Array, k: int, attribution: jax.Array, references: jax.Array
) -> Answer:
    """Put an attribution beside what the network makes of its baselines, a set (N, H, W, 3)."""
    logits = np.stack([apply(model, picture) for picture in (x, *references)])
    difference = logits[0, k] - logits[1:, k].mean()
    probability = jax.nn.softmax(logits[1:])[:, k].mean()
    return Answer(np.asarray(attribution), float(difference), float(probability))


@functools.partial(jax.jit, static_argnums=0)
def apply(model: Pretrained, x: jax.Array) -> jax.Array:
    """Return the logits of one picture."""
    return model.logits(x)


def print_answers(answers: Mapping[str, Answer], picture: np.ndarray) -> None:
    """Print completeness, and how much each answer gives to dark and to bright pixels."""
    brightness = picture.mean(-1)
    dark = brightness <= np.quantile(brightness, 0.1)
    bright = brightness >= np.quantile(brightness, 0.9)
    print("baseline          p(cat)  difference  residual  darkest 10%  brightest 10%")
    for name, found in answers.items():
        sizes = np.abs(found.pixels)
        shares = [sizes[region].sum() / sizes.sum() for region in (dark, bright)]
        print(
            f"{name:16s}  {found.probability:6.0e}  {found.difference:+10.2f}  "
            f"{found.residual:+8.2f}  {shares[0]:11.1%}  {shares[1]:13.1%}"
        )
    print(
        "The last two columns are shares of the absolute attribution: pixels near the color of "
        "the baseline get little of it, whatever they mean. The last residual is chance, since "
        "expected gradients are a random sum; it shrinks with the number of samples."
    )


def print_agreement(answers: Mapping[str, Answer]) -> None:
    """Say which two baselines agree most, and which least."""
    names = list(answers)
    alike = np.corrcoef([found.pixels.ravel() for found in answers.values()])
    rows, columns = np.triu_indices(len(names), 1)
    for what, place in (("most", np.argmax), ("least", np.argmin)):
        pair = int(place(alike[rows, columns]))
        first, second = names[rows[pair]], names[columns[pair]]
        value = alike[rows[pair], columns[pair]]
        print(f"The two answers that agree {what}: {first} and {second}, correlation {value:.2f}.")


def draw(
    picture: np.ndarray, pictures: Mapping[str, np.ndarray], answers: Mapping[str, Answer], p: float
) -> Figure:
    """Draw each baseline above the attribution it leads to, the picture itself first."""
    blocks = -(-(1 + len(answers)) // COLUMNS)
    figure = Figure(figsize=(11, 4.95 * blocks), dpi=150)
    parts = figure.subfigures(blocks, hspace=0)
    for place, (name, found) in enumerate([("the picture", None), *answers.items()]):
        block, column = divmod(place, COLUMNS)
        if column == 0:
            axes = parts[block].subplots(2, COLUMNS)
            parts[block].subplots_adjust(0.005, 0.05, 0.995, 0.94, wspace=0.05, hspace=0.1)
        above, below = axes[:, column]
        if found is None:
            show(above, picture, name, f"p(cat) = {p:.2f}")
            write_legend(below)
            continue
        show(above, pictures[name], name, f"p(cat) = {found.probability:.1g}")
        caption = f"difference {found.difference:+.1f}, residual {found.residual:+.2f}"
        show(below, painted(picture, found.attribution), "", caption.replace("-", "\u2212"))
    return figure


def write_legend(axes: Axes) -> None:
    """Say in words what the other panels show."""
    lines = (
        "Below each baseline:",
        "where the logit comes from",
        "on the way from there",
        "to the picture.",
        "",
        "Red raises it, blue lowers it.",
        "Each map has its own scale",
        "and is blurred by 2 pixels",
        "to be seen at this size.",
    )
    style = {"ha": "center", "va": "center", "fontsize": 9, "color": SOFT, "linespacing": 1.4}
    axes.text(0.5, 0.5, "\n".join(lines), **style)
    axes.axis("off")


def painted(picture: np.ndarray, attribution: np.ndarray) -> np.ndarray:
    """Return the picture in gray with the blurred attribution over it, as RGB."""
    # Single pixels differ in sign from their neighbors and would cancel in the eye anyway.
    smoothed = baselines.blur(attribution, 2.0)
    figure = plot.overlay(picture, smoothed, alpha=0.9, colorbar=False)
    return np.asarray(figure.axes[0].images[0].get_array())


def show(axes: Axes, picture: np.ndarray, title: str, caption: str) -> None:
    """Draw one picture with a title above and a caption below."""
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10, color=INK, pad=4)
    axes.set_xlabel(caption, fontsize=8, color=SOFT, labelpad=3)
    axes.spines[:].set(color="#c8c8c8", linewidth=0.6)


def mosaic(pictures: list[np.ndarray]) -> np.ndarray:
    """Lay six square pictures out as one, two rows of three, each cut to its middle."""
    side = len(pictures[0]) // 2
    width = 2 * side // 3
    left = (side - width) // 2
    tiles = [picture[: 2 * side : 2, ::2][:, left : left + width] for picture in pictures]
    return np.concatenate([np.concatenate(tiles[i : i + 3], axis=1) for i in (0, 3)])


def main() -> None:
    """Explain, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="take fewer steps")
    options = parser.parse_args()
    steps, samples = (8, 16) if options.quick else (50, 100)

    model = load("squeezenet")
    x = jnp.asarray(model.preprocess(sample_image(PICTURE)))
    others = jnp.stack([model.preprocess(sample_image(name)) for name in OTHERS])
    probabilities = jax.nn.softmax(apply(model, x))
    k = int(probabilities.argmax())
    p = float(probabilities[k])
    print(f"SqueezeNet sees: {labels()[k]}, with probability {p:.2f}.")

    kinds = make_baselines(model, x)
    answers = explain_each(model, x, k, kinds, steps=steps)
    answers["other pictures"] = explain_expected(model, x, k, others, samples=samples)
    picture = model.to_display(x)
    print_answers(answers, picture)
    print_agreement(answers)

    pictures = {name: model.to_display(baseline) for name, baseline in kinds.items()}
    pictures["other pictures"] = mosaic([model.to_display(other) for other in others])
    figure = draw(picture, pictures, answers, p)
    print(f"Wrote {plot.save(figure, options.out / 'baselines.png', dpi=150)}")


if __name__ == "__main__":
    main()
