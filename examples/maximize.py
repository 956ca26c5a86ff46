"""Which picture does a network answer to most? Activation maximization of SqueezeNet.

Pictures of classes and of channels are made from gray, by gradient ascent on their spectrum, in
colors that vary as those of photographs do, while they are shaken. Two classes are made without all
that too, to see what it is good for. And weights are drawn as they are. Run with

    python examples/maximize.py --out out

which takes about a minute on two cores; `--quick` makes fewer pictures in fewer steps.

- `classes.png`: flamingos with a bent neck over water, a red strawberry with seeds and leaves, a
  tripod, a blue peacock, goldfish, a mountain, a cat's ears above a patterned coat. The cup of the
  espresso is a guess. Eyes and dots are strewn over everything, parts come twice, bodies melt into
  each other: the score does not need them to be put together as they should. SqueezeNet is
  certain of all eight (1.0000, shaken too). EfficientNet-Lite0 names three: goldfish (0.65),
  flamingo (0.26) and strawberry (0.12); in the espresso it sees an isopod.
- `regularization.png`: in pixels alone there is colored noise that SqueezeNet is certain of, until
  it is shifted and turned a little: 0.001 and 0.04 are left. Penalties make it coarser, and leave
  0.03 and 0.25. Shaken in each step, outlines appear in garish colors, and SqueezeNet stays certain
  (1.00), but EfficientNet-Lite0 gives them 0.01 and 0.02. The spectrum makes surfaces of them.
- `channels.png`: of those that decide in examples/conductance.py, the three that look at the cat's
  eyes and forehead (22, 9, 18) are eyes in a furry face, 180 and 186 round rims, 94 shiny knobs,
  167 soft bulges; 82 is hard to name. Channels of fire5 are textures. Their mean activation is 403
  to 1356; in nine photographs it is at most 88, and for four of them negative in all nine.
- `weights.png`: edges, spots and colors of 3 x 3 pixels in the first layer; in the second, by its
  linear part, larger edges and colored spots, in the checkered pattern of strides.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from digit_prototypes import log_odds
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT

import jaxplain
from jaxplain import parametrizations, penalties, plot, transforms

from pretrained import SAMPLES, Pretrained, labels, load, sample_image

CLASSES = (130, 949, 872, 84, 1, 980, 285, 967)
"""Flamingo, strawberry, tripod, peacock, goldfish, volcano, Egyptian cat, espresso."""

COMPARED = 2  # this many of them are made in worse ways too

CHANNELS = {
    "**/fire7/expand3x3": (22, 9, 18, 82),
    "**/fire7/expand1x1": (167, 180, 94, 186),
    "**/fire5/expand1x1": (0, 48, 80, 104),
}
"""Convolutions, and channels of each; ReLU follows, but where it is 0 there is no gradient.

Those of fire7 decide in examples/conductance.py, where the first four count from 192.
"""

SIDE, CHANNEL_SIDE = 128, 96
DRAWS = 32  # of the transforms, to see what a class survives
SHAKE = (
    transforms.jitter(8),
    transforms.scale(0.9, 1.1),
    transforms.rotate(8),
    transforms.jitter(4),
)

Array = np.ndarray
Score = Callable[..., jax.Array]


class Options(NamedTuple):
    """How much work is done."""

    classes: int
    layers: int
    steps: int


def on_colors(model: Pretrained) -> Callable[[jax.Array], jax.Array]:
    """The logits of a picture in RGB from 0 to 1, of any size."""

    def logits(x: jax.Array) -> jax.Array:
        return model.logits(model.units.encode(255 * x))

    return logits


def ascend(f: Score, which: Sequence[int], side: int, noise: float, **options: Any) -> Array:
    """Pictures that f(x, k) is high at, for each k in one compiled call, started from gray."""
    maximize = jaxplain.maximize_activation(f, optimizer=optax.adam(0.05), **options)
    start = 0.5 + noise * jax.random.normal(jax.random.key(0), (side, side, 3))

    def one(k: jax.Array, key: jax.Array) -> jax.Array:
        return maximize(start, k, key=key if "transforms" in options else None)

    begin = time.perf_counter()
    keys = jax.random.split(jax.random.key(1), len(which))
    found = np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(which), keys))
    seconds = time.perf_counter() - begin
    print(f"  {len(which)} pictures in {options['steps']} steps: {seconds:.1f} s", flush=True)
    return found


def natural(weight: float, steps: int) -> dict[str, Any]:
    """The options that make pictures look natural; the weight is that of the spectrum's size."""
    return {
        "steps": steps,
        "parametrization": parametrizations.fourier(colors="imagenet"),
        "penalties": [penalties.on_code(penalties.l2(weight))],
        "transforms": SHAKE,
    }


# -------------------------------------------------------------------------------------- classes


def make_classes(logits: Score, options: Options) -> dict[str, Array]:
    """Pictures of classes by four kinds of regularization; by all but the last, of a few."""

    def score(x: jax.Array, k: jax.Array) -> jax.Array:
        return log_odds(logits(x), k)

    pixels = {"steps": options.steps, "parametrization": parametrizations.pixels((0, 1))}
    smooth = [penalties.l2(0.005, towards=0.5), penalties.total_variation(0.01)]
    ways = {
        "pixels alone": pixels,
        "+ size and variation": pixels | {"penalties": smooth},
        "+ shaken": pixels | {"penalties": smooth, "transforms": SHAKE},
        "spectrum, colors, shaken": natural(0.3, options.steps),
    }
    *worse, best = ways
    found = {way: ascend(score, CLASSES[:COMPARED], SIDE, 0.01, **ways[way]) for way in worse}
    return found | {best: ascend(score, CLASSES[: options.classes], SIDE, 0.01, **ways[best])}


class Judged(NamedTuple):
    """What is thought of a picture.

    Attributes:
        sure: The probability of the class.
        mean: The same, in the mean over shaken copies of the picture.
        least: The least of them.
        other: The probability that another network, EfficientNet-Lite0, gives the class.
        seen: What that other network sees.
    """

    sure: float
    mean: float
    least: float
    other: float
    seen: str


def make_judge(logits: Score, other: Pretrained) -> Callable[[Array, int], Judged]:
    """Ask both networks, compiled once for all pictures."""
    shake = transforms.compose(*SHAKE)

    @jax.jit
    def ask(x: jax.Array, keys: jax.Array) -> tuple[jax.Array, ...]:
        shaken = jax.vmap(shake, (0, None))(keys, x)
        large = jax.image.resize(x, (other.size, other.size, 3), "linear")
        asked = jax.vmap(logits)(jnp.concatenate([x[None], shaken]))
        return jax.nn.softmax(asked), jax.nn.softmax(on_colors(other)(large))

    def judge(x: Array, k: int) -> Judged:
        ours, theirs = ask(x, jax.random.split(jax.random.key(2), DRAWS))
        alone, *shaken = np.asarray(ours[:, k])
        seen = labels()[int(theirs.argmax())].split(",")[0]
        return Judged(alone, np.mean(shaken), np.min(shaken), float(theirs[k]), seen)

    return judge


# ------------------------------------------------------------------------------------- channels


def make_channels(logits: Score, options: Options) -> dict[str, Array]:
    """A picture for each channel, and how much more it drives it than photographs do."""
    found = {}
    photographs = np.stack([crop(sample_image(name)) for name in SAMPLES])
    for at in list(CHANNELS)[: options.layers]:
        channels = jnp.asarray(CHANNELS[at])

        def score(x: jax.Array, channel: jax.Array, at: str = at) -> jax.Array:
            return jaxplain.activation(logits, at=at, channel=channel)(x)

        found[at] = ascend(score, channels, CHANNEL_SIDE, 0.01, **natural(1.0, options.steps))
        reached = jax.jit(jax.vmap(score))(found[at], channels)
        each = jax.jit(jax.vmap(jax.vmap(score, (0, None)), (None, 0)))(photographs, channels)
        for channel, value, usual in zip(channels, reached, each.max(axis=1), strict=True):
            print(
                f"  {at} channel {channel:3d}: mean activation {value:6.1f}, and at most "
                f"{usual:6.1f} in {len(photographs)} photographs"
            )
    return found


def crop(image: Array) -> Array:
    """The middle of a photograph at the size of the pictures of channels, from 0 to 1."""
    side = min(image.shape[:2])
    top, left = ((size - side) // 2 for size in image.shape[:2])
    square = image[top : top + side, left : left + side].astype(np.float32) / 255
    return np.asarray(jax.image.resize(square, (CHANNEL_SIDE, CHANNEL_SIDE, 3), "linear"))


# ------------------------------------------------------------------------------------- pictures


def show(axes: Axes, picture: Array, title: str = "", caption: str = "") -> None:
    """Draw one picture."""
    axes.imshow(picture, vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9, color=INK, pad=4)
    axes.set_xlabel(caption, fontsize=8, color=SOFT, labelpad=3)
    axes.spines[:].set(color=FAINT, linewidth=0.6)


def draw_classes(xs: Array, judged: list[Judged]) -> Figure:
    """All classes, up to four in a row."""
    rows = -(-len(xs) // 4)
    figure = Figure(figsize=(9.2, 2.6 * rows), dpi=150, layout="constrained")
    panels = figure.subplots(rows, 4, squeeze=False).ravel()
    for panel in panels[len(xs) :]:
        panel.axis("off")
    for panel, x, k, found in zip(panels, xs, CLASSES, judged, strict=False):
        seen = f"EfficientNet-Lite0: {found.other:.2f}, sees {found.seen}"
        show(panel, x, labels()[k].split(",")[0], seen)
    return figure


def draw_ways(ways: dict[str, Array], judged: dict[str, list[Judged]]) -> Figure:
    """The same classes by each way."""
    figure = Figure(figsize=(9.2, 5.3), dpi=150, layout="constrained")
    for column, way in zip(figure.subplots(COMPARED, len(ways)).T, ways, strict=True):
        for i, panel in enumerate(column):
            shaken = f"shaken: {judged[way][i].mean:.2f}, at least {judged[way][i].least:.2f}"
            show(panel, ways[way][i], way if i == 0 else "", shaken)
    return figure


def draw_channels(found: dict[str, Array]) -> Figure:
    """One row for each layer."""
    figure = Figure(figsize=(7.2, 1.95 * len(found)), dpi=150, layout="constrained")
    axes = figure.subplots(len(found), 4, squeeze=False)
    for row, (at, xs) in zip(axes, found.items(), strict=True):
        row[0].set_ylabel(at.strip("*/"), fontsize=9, color=INK)
        for panel, x, channel in zip(row, xs, CHANNELS[at], strict=True):
            show(panel, x, f"channel {channel}")
    return figure


def draw_weights(model: Pretrained, logits: Score) -> Figure:
    """The first layer's kernels, and the linear part of the network up to the second."""
    first = model.variables["params"]["conv1"]["kernel"][:, :, ::-1]  # blue comes first in it
    x = jnp.full((63, 63, 3), 0.5)
    units = range(64, 128)  # of the larger of both kernels
    weigh = jaxplain.effective_weights(logits, at="**/fire2", units=units, chunk=16)
    second = np.asarray(jax.jit(weigh)(x))
    inside = np.flatnonzero(np.abs(second).sum(axis=(0, 2, 3)))
    seen = slice(inside[0], inside[-1] + 1)
    print(f"  the middle of fire2 sees {len(inside)} of {len(x)} pixels along either side")
    grids = {
        "conv1: weights": jaxplain.weight_grid(first),
        "fire2, large kernels: effective weights": jaxplain.weight_grid(
            second[:, seen, seen], axis=0
        ),
    }
    figure = Figure(figsize=(9.2, 4.9), dpi=150, layout="constrained")
    for panel, (title, picture) in zip(figure.subplots(1, 2), grids.items(), strict=True):
        show(panel, np.asarray(picture), title)
    return figure


def main() -> None:
    """Make the pictures, ask both networks about them, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer pictures and steps")
    parsed = parser.parse_args()
    options = Options(3, 1, 32) if parsed.quick else Options(len(CLASSES), len(CHANNELS), 128)
    model = load("squeezenet")
    logits = on_colors(model)

    print("Classes:")
    ways = make_classes(logits, options)
    judge = make_judge(logits, load("efficientnet_lite0"))
    judged = {
        way: [judge(x, k) for x, k in zip(xs, CLASSES, strict=False)] for way, xs in ways.items()
    }
    for way, opinions in judged.items():
        print(f"{way}: probability, shaken (mean, least), EfficientNet-Lite0's, and what it sees")
        for k, found in zip(CLASSES, opinions, strict=False):
            told = " ".join(f"{number:7.4f}" for number in found[:4])
            print(f"  {labels()[k].split(',')[0]:14s} {told}  {found.seen}")
    print("Channels:")
    channels = make_channels(logits, options)
    print("Weights:")
    figures = {
        "weights.png": draw_weights(model, logits),
        "channels.png": draw_channels(channels),
        "classes.png": draw_classes(ways[best := list(ways)[-1]], judged[best]),
        "regularization.png": draw_ways(ways, judged),
    }
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, parsed.out / file, dpi=150)}")


if __name__ == "__main__":
    main()
