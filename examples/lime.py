"""LIME: which superpixels make SqueezeNet see a cat, and how much of that is LIME's settings?

Run with

    python examples/lime.py --out out

which takes about four minutes on two cores; `--quick` draws fewer samples.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT, tidy
from skimage.segmentation import find_boundaries
from sklearn.datasets import make_moons
from sklearn.neural_network import MLPClassifier

import jaxplain
from jaxplain import plot
from jaxplain.features import quickshift, slic

from pretrained import Pretrained, load, sample_image

CATS = np.arange(281, 286)
"""The classes of ImageNet that are cats of the house: tabby, tiger cat, Persian, Siamese, Egyptian."""

SCALES = ("log-odds", "probability")
LOG_ODDS = 0
TOP = 5
CHUNK = 25
COLORS = ("#2c66b8", "#c8382c", "#2e8b57", "#e0952b", "#7a4fa3")
"""One for each of the top superpixels."""

SHARES = {"half": 0.5, "most": 0.9}
"""How many superpixels a sample keeps, and the probability of each."""

KEY = jax.random.key(0)

Score = Callable[[jax.Array, jax.Array], jax.Array]


class Picture(NamedTuple):
    """A photograph in the units of the network, and its superpixels.

    Attributes:
        x: (H, W, 3).
        shown: The same from 0 to 1, (H, W, 3).
        segments: The number of each pixel's superpixel, (H, W, 1).
        hidden: The photograph with all superpixels hidden, in their mean color, (H, W, 3).
        count: How many superpixels there are.
    """

    x: jax.Array
    shown: np.ndarray
    segments: np.ndarray
    hidden: jax.Array
    count: int

    @property
    def edged(self) -> np.ndarray:
        """The photograph with thin borders around its superpixels, (H, W, 3)."""
        borders = find_boundaries(self.segments[..., 0], mode="inner")
        return np.where(borders[..., None], 0.35 + 0.65 * self.shown, self.shown)

    def paint(self, values: jax.Array) -> np.ndarray:
        """Give each pixel the value of its superpixel: (count,) to (H, W)."""
        return np.asarray(values)[self.segments[..., 0]]


def segmented(model: Pretrained, photograph: np.ndarray, segments: np.ndarray) -> Picture:
    """Put a photograph and its superpixels together."""
    x = jnp.asarray(photograph)
    hidden = jaxplain.baselines.segment_mean(x, segments)
    return Picture(x, model.to_display(photograph), segments, hidden, int(segments.max()) + 1)


def cat_score(model: Pretrained) -> Score:
    """Return the log-odds, or the probability, that the network sees some cat of the house."""

    def score(x: jax.Array, scale: jax.Array) -> jax.Array:
        logits = model.logits(x)
        some = jax.nn.logsumexp(logits[CATS])
        other = jax.nn.logsumexp(jnp.delete(logits, CATS, assume_unique_indices=True))
        return jnp.stack([some - other, jax.nn.sigmoid(some - other)])[scale]

    return score


def of_masks(score: Score, picture: Picture) -> Score:
    """Return the score as a function of how much of each superpixel is kept, (count,)."""

    def masked(kept: jax.Array, scale: jax.Array) -> jax.Array:
        share = kept[picture.segments]
        return score(picture.hidden + share * (picture.x - picture.hidden), scale)

    return masked


# ------------------------------------------------------------------------------ the explanation


def explain(score: Score, picture: Picture, *, samples: int) -> tuple[jax.Array, jaxplain.Info]:
    """LIME as its authors' program does it, on both scales from the same pictures."""
    settings = jaxplain.lime_settings("image") | {"samples": samples}
    lime = jaxplain.lime(score, groups=picture.segments, chunk=CHUNK, info=True, **settings)

    @jax.jit
    def on_both() -> tuple[jax.Array, jaxplain.Info]:
        one = lambda scale: lime(picture.x, scale, baseline=picture.hidden, key=KEY)  # noqa: E731
        return jax.vmap(one)(jnp.arange(len(SCALES)))

    return on_both()


def print_fit(score: Score, picture: Picture, info: jaxplain.Info) -> None:
    """Tell what the local models say of the photograph, and what the network says."""
    print(f"  {'':11s}  score  all hidden  intercept  local prediction    R²")
    for i, scale in enumerate(SCALES):
        ends = [float(score(x, jnp.asarray(i))) for x in (picture.x, picture.hidden)]
        print(
            f"  {scale:11s} {ends[0]:+6.2f} {ends[1]:+11.2f} {info.intercept[i]:+10.2f} "
            f"{info.prediction[i]:+17.2f}  {info.fidelity[i]:.2f}"
        )


def print_top(picture: Picture, info: jaxplain.Info) -> None:
    """Tell the largest coefficients, with standard errors, on both scales."""
    # The errors are spread over the picture; the first pixel of each superpixel has its own.
    first = np.unique(picture.segments, return_index=True)[1]
    for i, scale in enumerate(SCALES):
        values = np.asarray(info.values[i])
        errors = np.asarray(info.standard_error[i][..., 0]).ravel()[first]
        largest = np.argsort(-values)[:TOP]
        said = [f"{k}: {values[k]:+.3f} ± {errors[k]:.3f}" for k in largest]
        print(f"  {scale:11s} superpixels " + ", ".join(said))


def draw_superpixels(explained: dict[str, tuple[Picture, jax.Array]]) -> Figure:
    """Draw all coefficients, and the superpixels that say most for a cat."""
    images, maps, titles = [], [], []
    for name, (picture, attribution) in explained.items():
        top = jaxplain.top_features(attribution, TOP, groups=picture.segments)
        images += [picture.edged, picture.shown]
        maps += [attribution, jnp.where(top, attribution, 0)]
        titles += [f"{name}: all {picture.count}", f"{name}: the top {TOP}"]
    maps = [np.asarray(part).mean(axis=-1) for part in maps]
    return plot.overlay(np.stack(images), np.stack(maps), title=titles, percentile=100)


# ------------------------------------------------------------------------------ the kernel width


def sweep(
    score: Score, picture: Picture, widths: jax.Array, *, samples: int
) -> dict[str, jaxplain.Info]:
    """Fit a local model for each kernel width; the network runs once for all of them."""
    masked = of_masks(score, picture)
    found = {}
    for name, share in SHARES.items():

        def fit(width: jax.Array, share: float = share) -> jaxplain.Info:
            lime = jaxplain.lime(
                masked,
                samples=samples,
                kernel_width=width,
                keep_probability=share,
                chunk=CHUNK,
                info=True,
            )
            return lime(jnp.ones(picture.count), LOG_ODDS, key=KEY)[1]

        found[name] = jax.jit(jax.vmap(fit))(widths)
    return found


def print_widths(widths: np.ndarray, swept: dict[str, jaxplain.Info]) -> None:
    """Tell what the local models of some widths say."""
    for name, info in swept.items():
        print(f"  samples that keep {name} of the superpixels:")
        for i in range(0, len(widths), 8):
            sure = "" if info.converged[i] else "  (fewer than two effective samples)"
            most = int(jnp.argmax(info.values[i]))
            print(
                f"    width {widths[i]:.2f}: R² {info.fidelity[i]:.2f}, local prediction "
                f"{info.prediction[i]:+6.2f}, superpixel {most:2d} first with "
                f"{info.values[i, most]:+.2f} ± {info.standard_error[i, most]:.2f}{sure}"
            )


def draw_top(axes: Axes, picture: Picture, top: np.ndarray) -> None:
    """Draw the photograph with the top superpixels in their colors."""
    numbers = np.full(picture.count, TOP)
    numbers[top] = np.arange(TOP)
    gray = picture.edged @ [0.299, 0.587, 0.114]
    axes.imshow(0.3 + 0.7 * gray, cmap="gray", vmin=0, vmax=1)
    places = np.ma.masked_equal(picture.paint(numbers), TOP)
    axes.imshow(places, cmap=ListedColormap(COLORS), vmin=-0.5, vmax=TOP - 0.5, alpha=0.6)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_unsound(axes: Axes, widths: np.ndarray, info: jaxplain.Info) -> None:
    """Shade the widths that leave nearly no weight to any sample, and mark the default."""
    unsound = widths[~np.asarray(info.converged)]
    if len(unsound):
        axes.axvspan(widths[0], unsound.max(), color=FAINT, alpha=0.35, linewidth=0)
    axes.axvline(0.25, color=SOFT, linewidth=0.8, linestyle=":")


def draw_widths(
    picture: Picture, widths: np.ndarray, swept: dict[str, jaxplain.Info], score: float
) -> Figure:
    """Draw coefficients, R² and local predictions against the kernel width."""
    default = int(np.abs(np.log(widths / 0.25)).argmin())
    top = np.argsort(-np.asarray(swept["half"].values[default]))[:TOP]
    figure = Figure(figsize=(12, 6.4), dpi=150, layout="constrained")
    layout = [["picture", "half", "most"], ["fidelity", "prediction", "legend"]]
    panels = figure.subplot_mosaic(layout)
    draw_top(panels["picture"], picture, top)
    panels["half"].sharey(panels["most"])
    for name, info in swept.items():
        axes = panels[name]
        draw_unsound(axes, widths, info)
        for k, color in zip(top, COLORS, strict=True):
            values = np.asarray(info.values[:, k])
            reach = 2 * np.asarray(info.standard_error[:, k])
            axes.plot(widths, values, color=color)
            axes.fill_between(
                widths, values - reach, values + reach, color=color, alpha=0.18, linewidth=0
            )
        axes.set_title(f"coefficients, samples keep {name}", fontsize=11, color=INK)
    for axes, name in ((panels["fidelity"], "fidelity"), (panels["prediction"], "prediction")):
        for (share, info), style in zip(swept.items(), ("-", "--"), strict=True):
            axes.plot(
                widths, getattr(info, name), style, color=INK, label=f"samples that keep {share}"
            )
    panels["prediction"].axhline(score, color=COLORS[0], linewidth=1, label="the network's score")
    figure_axes = [axes for name, axes in panels.items() if name not in ("picture", "legend")]
    for axes in figure_axes:
        tidy(axes)
        axes.set_xscale("log")
        axes.set_xlabel("kernel width", color=SOFT)
    panels["legend"].axis("off")
    return figure


# ------------------------------------------------------------------------------ stability


def repeat(
    score: Score, picture: Picture, widths: jax.Array, counts: jax.Array, *, repeats: int
) -> jaxplain.Stability:
    """How far explanations with other keys agree, for each width and each number of samples.

    The kernel gives the samples after the first `count` no weight, so that the explanations with
    fewer samples share the pictures of those with most: each is what LIME says with so many.
    """
    masked = of_masks(score, picture)

    def of(width: jax.Array, count: jax.Array) -> jaxplain.Stability:
        def kernel(distances: jax.Array, width: jax.Array) -> jax.Array:
            drawn = jnp.arange(len(distances)) < count
            return jnp.where(drawn, jnp.exp(-((distances / width) ** 2) / 2), 0)

        lime = jaxplain.lime(
            masked,
            samples=int(counts[-1]),
            kernel_width=width,
            kernel=kernel,
            chunk=CHUNK,
            info=True,
        )
        again = jaxplain.stability(lime, repeats=repeats, keep=TOP, chunk=1)
        return again(jnp.ones(picture.count), LOG_ODDS, key=KEY)

    over_counts = jax.vmap(of, in_axes=(None, 0))
    return jax.jit(jax.vmap(over_counts, in_axes=(0, None)))(widths, counts)


def draw_stability(widths: np.ndarray, counts: np.ndarray, found: jaxplain.Stability) -> Figure:
    """Draw both indices against the number of samples, and print them."""
    lines = {}
    for i, width in enumerate(widths):
        lines[f"same superpixels (VSI), width {width:.2f}"] = found.variables[i]
        lines[f"same coefficients (CSI), width {width:.2f}"] = found.coefficients[i]
    print("Stability over keys with " + ", ".join(map(str, counts)) + " samples:")
    for name, values in lines.items():
        print(f"  {name:40s}" + "".join(f" {value:6.2f}" for value in values))
    figure = plot.curves(
        np.log10(counts), lines, xlabel="samples of an explanation", ylabel="stability index"
    )
    figure.axes[0].set_xticks(np.log10(counts), [f"{count}" for count in counts])
    figure.axes[0].set_ylim(0, 1.02)
    return figure


# ------------------------------------------------------------------------------ simplicity


def simplify(
    score: Score, picture: Picture, penalties: jax.Array, *, samples: int
) -> jaxplain.LimePath:
    """Local models from few superpixels to all, on both scales."""
    path = jaxplain.lime_path(of_masks(score, picture), penalties, samples=samples, chunk=CHUNK)
    one = lambda scale: path(jnp.ones(picture.count), scale, key=KEY)  # noqa: E731
    return jax.jit(jax.vmap(one))(jnp.arange(len(SCALES)))


def best_fidelity(complexity: np.ndarray, fidelity: np.ndarray, count: int) -> np.ndarray:
    """The largest R² of the models with at most 0, 1, ... `count` superpixels."""
    best = np.zeros(count + 1)
    np.maximum.at(best, complexity, fidelity)
    return np.maximum.accumulate(best)


def main() -> None:
    """Explain the cat, vary what LIME leaves open, and draw LIME on two features."""


if __name__ == "__main__":
    main()
