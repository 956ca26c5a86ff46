"""LIME: which superpixels make SqueezeNet see a cat, and how much of that is LIME's settings?

Explains a photograph of a cat as the authors' program does, and then varies what it leaves open:
the score, the superpixels, the kernel, the number of samples, and how many superpixels a sample
hides. (`moons.py` shows LIME on two features, where everything can be seen.) Run with

    python examples/superpixels.py --out out

which takes five to ten minutes on two cores, most of them for the stability of up to 3000 samples;
`--quick` draws fewer samples and takes one or two. What is seen:

- The score is the log-odds of a house cat, the five classes together. LIME was made for
  probabilities, but a probability has one value for all pictures that are no cats, and most samples
  are none: from the same samples, the local model of the log-odds has an R² of 0.64, that of the
  probability 0.40, and it gives the picture with everything hidden a probability of -0.29. Even of
  the log-odds, the local model predicts 0.6 for the photograph, where the network says 4.7.
- `superpixels.png`: the cheek below the eye, the inside of the eye and the bridge of the nose say
  "cat". By SLIC's superpixels it is the brow with the rim of the eye, then the way from the eye
  down to the nose, and both irises: the borders decide what can be found.
- `widths.png`: half of the superpixels are hidden in LIME's samples, and none of these is close to
  the photograph. So widths from 0.2 upwards change little, and the R² is 0.62 for the largest.
  Narrower ones leave few samples: at 0.09 the R² is 0.81, with errors more than twice as large, and
  from 0.05 downwards there are fewer than two effective samples, all coefficients go to zero by the
  ridge's penalty, and the standard errors with them. What helps is to hide less: if nine in ten
  are kept, the R² is 0.91 and the prediction about 5 at all widths, and the cheek has 3.17 where
  LIME's own samples give it 1.70. Hidden alone it takes 2.27 (diamonds). Over all superpixels,
  coefficients correlate with that by 0.90 instead of 0.63.
- `path.png`, `simpler.png`: by the lasso, there is no simple explanation of this score: an R² of
  0.20 with 5 superpixels, 0.40 with 10, 0.57 with 20. Some of that is the lasso's shrinking.
- `stability.png`: of the top five, two explanations of 100 samples with different keys share 44 %,
  of 1000 84 %, of 3000 92 %. Their 95 % intervals overlap always, at 100 samples too, where they
  are wide: that index alone says little. Of 1000 samples, a coefficient has a standard deviation of
  0.08 over keys, as its standard error told from one key (0.09); at the width of 0.1 it has 0.13.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from saturation import FAINT, INK, SOFT, tidy
from skimage.segmentation import find_boundaries

import jaxplain
from jaxplain import plot
from jaxplain.features import quickshift, slic

from pretrained import Pretrained, load, sample_image

CATS = np.arange(281, 286)
"""The house cats of ImageNet: tabby, tiger cat, Persian, Siamese, Egyptian."""

SCALES = ("log-odds", "probability")
LOG_ODDS = 0
TOP = 5
CHUNK = 25
COLORS = ("#2c66b8", "#c8382c", "#2e8b57", "#e0952b", "#7a4fa3")
"""One for each of the top superpixels."""

SHARES = {"half": 0.5, "most": 0.9}
"""How many superpixels a sample keeps, and the probability of each."""

WIDTH = 0.25
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
    """Return the log-odds, or the probability, that the network sees a house cat."""

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


def draw_superpixels(pictures: dict[str, Picture], maps: dict[str, jax.Array]) -> Figure:
    """Draw all coefficients, and the superpixels that say most for a cat."""
    images, shown, titles = [], [], []
    for name, picture in pictures.items():
        top = jaxplain.top_features(maps[name], TOP, groups=picture.segments)
        images += [picture.edged, picture.shown]
        shown += [maps[name], jnp.where(top, maps[name], 0)]
        titles += [f"{name}: all {picture.count}", f"{name}: the top {TOP}"]
    return plot.overlay(
        np.stack(images), np.stack(shown), title=titles, percentile=100, channels="mean"
    )


# ------------------------------------------------------------------------------ the kernel width


def sweep(
    score: Score, picture: Picture, widths: np.ndarray, *, samples: int
) -> dict[str, jaxplain.Info]:
    """Fit a local model for each kernel width; the network runs once for all of them."""
    masked = of_masks(score, picture)

    def fit(width: jax.Array, share: float) -> jaxplain.Info:
        lime = jaxplain.lime(
            masked,
            samples=samples,
            kernel_width=width,
            keep_probability=share,
            chunk=CHUNK,
            info=True,
        )
        return lime(jnp.ones(picture.count), LOG_ODDS, key=KEY)[1]

    return {
        name: jax.jit(jax.vmap(functools.partial(fit, share=share)))(jnp.asarray(widths))
        for name, share in SHARES.items()
    }


def print_widths(widths: np.ndarray, swept: dict[str, jaxplain.Info], alone: jax.Array) -> None:
    """Tell what the local models of some widths say, and how like the truth nearby they are."""
    most = int(jnp.argmax(alone))
    print(f"Hiding superpixel {most} alone lowers the log-odds most, by {alone[most]:.2f}.")
    nearest = int(np.abs(np.log(widths / WIDTH)).argmin())
    for name, info in swept.items():
        likeness = np.corrcoef(info.values[nearest], alone)[0, 1]
        print(f"  Where samples keep {name}, coefficients correlate with it by {likeness:.2f}.")
    for name, info in swept.items():
        print(f"Samples that keep {name} of the superpixels:")
        for i in range(0, len(widths), 5):
            sure = "" if info.converged[i] else "  (fewer than two effective samples)"
            most = int(jnp.argmax(info.values[i]))
            print(
                f"  width {widths[i]:.2f}: R² {info.fidelity[i]:.2f}, local prediction "
                f"{info.prediction[i]:+.2f}, superpixel {most} first with "
                f"{info.values[i, most]:.2f} ± {info.standard_error[i, most]:.2f}{sure}"
            )


def bare(axes: Axes, title: str) -> None:
    """Take away what a picture does not need."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10, color=INK)


def draw_top(axes: Axes, picture: Picture, top: np.ndarray) -> None:
    """Draw the photograph with the top superpixels in their colors."""
    numbers = np.full(picture.count, TOP)
    numbers[top] = np.arange(TOP)
    gray = picture.edged @ [0.299, 0.587, 0.114]
    axes.imshow(0.3 + 0.7 * gray, cmap="gray", vmin=0, vmax=1)
    places = np.ma.masked_equal(picture.paint(numbers), TOP)
    axes.imshow(places, cmap=ListedColormap(COLORS), vmin=-0.5, vmax=TOP - 0.5, alpha=0.6)
    bare(axes, f"the top {TOP} at LIME's own width, 0.25")


def draw_sample(axes: Axes, model: Pretrained, score: Score, picture: Picture, name: str) -> None:
    """Draw one picture that keeps this share of the superpixels, and its score."""
    kept = jax.random.bernoulli(jax.random.key(1), SHARES[name], (picture.count,))
    x = jnp.where(picture.paint(kept)[..., None], picture.x, picture.hidden)
    axes.imshow(model.to_display(np.asarray(x)))
    bare(axes, f"a sample that\nkeeps {name}")
    said = f"{float(score(x, LOG_ODDS)):+.1f}".replace("-", "\N{MINUS SIGN}")
    axes.set_xlabel(f"log-odds {said}", fontsize=9, color=SOFT)


def draw_coefficients(
    axes: Axes,
    widths: np.ndarray,
    info: jaxplain.Info,
    top: np.ndarray,
    alone: jax.Array,
    name: str,
) -> None:
    """Draw the coefficients of some superpixels, with two standard errors to each side."""
    unsound = widths[~np.asarray(info.converged)]
    if len(unsound):
        axes.axvspan(widths[0], unsound.max(), color=FAINT, alpha=0.35, linewidth=0)
        axes.text(
            np.sqrt(widths[0] * unsound.max()),
            0.97,
            "fewer than 2 effective samples",
            transform=axes.get_xaxis_transform(),
            rotation=90,
            fontsize=7,
            color=SOFT,
            ha="center",
            va="top",
        )
    for k, color in zip(top, COLORS, strict=True):
        values, reach = np.asarray(info.values[:, k]), 2 * np.asarray(info.standard_error[:, k])
        axes.plot(widths, values, color=color)
        low, high = values - reach, values + reach
        axes.fill_between(widths, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(widths[-1] * 1.12, alone[k], "D", color=color, markersize=5, clip_on=False)
    axes.set_title(f"coefficients (log-odds), samples keep {name}", fontsize=10, color=INK)


def draw_widths(
    model: Pretrained,
    score: Score,
    picture: Picture,
    widths: np.ndarray,
    swept: dict[str, jaxplain.Info],
    alone: jax.Array,
) -> Figure:
    """Draw coefficients, R² and local predictions against the kernel width.

    Diamonds are by how much the score falls if a superpixel alone is hidden.
    """
    nearest = int(np.abs(np.log(widths / WIDTH)).argmin())
    top = np.argsort(-np.asarray(swept["half"].values[nearest]))[:TOP]
    figure = Figure(figsize=(12, 6.6), dpi=150, layout="constrained")
    upper = ["picture", "picture", "half", "half", "most", "most"]
    lower = ["a half", "a most", "fidelity", "fidelity", "prediction", "prediction"]
    panels = figure.subplot_mosaic([upper, lower])
    draw_top(panels["picture"], picture, top)
    panels["half"].sharey(panels["most"])
    for (name, info), style in zip(swept.items(), ("-", "--"), strict=True):
        draw_sample(panels[f"a {name}"], model, score, picture, name)
        draw_coefficients(panels[name], widths, info, top, alone, name)
        for part in ("fidelity", "prediction"):
            label = f"samples keep {name}"
            panels[part].plot(widths, getattr(info, part), style, color=INK, label=label)
    diamond = Line2D([], [], color=SOFT, marker="D", markersize=5, linestyle="")
    panels["half"].legend(
        handles=[diamond],
        labels=["fall if it alone is hidden"],
        loc="upper right",
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    panels["fidelity"].set_title("R² of the local model", fontsize=10, color=INK)
    panels["fidelity"].set_ylim(0, 1)
    panels["prediction"].set_title("its prediction for the photograph", fontsize=10, color=INK)
    own = float(score(picture.x, LOG_ODDS))
    panels["prediction"].axhline(own, color=SOFT, linewidth=0.8, label="the network's log-odds")
    for part in ("half", "most", "fidelity", "prediction"):
        axes = panels[part]
        tidy(axes)
        axes.axvline(WIDTH, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        ticks = [0.03, 0.1, 0.25, 1, 3]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("kernel width", color=SOFT)
    for part in ("fidelity", "prediction"):
        panels[part].legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


# ------------------------------------------------------------------------------ stability


def repeat(
    score: Score, picture: Picture, widths: np.ndarray, counts: np.ndarray, *, repeats: int
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
    return jax.jit(jax.vmap(over_counts, in_axes=(0, None)))(
        jnp.asarray(widths), jnp.asarray(counts)
    )


def print_stability(widths: np.ndarray, counts: np.ndarray, found: jaxplain.Stability) -> None:
    """Tell both indices, and the standard deviation of a coefficient over keys."""
    print("Stability over keys:   samples" + "".join(f"{count:6d}" for count in counts))
    for i, width in enumerate(widths):
        rows = {
            f"the same {TOP} (VSI)": found.variables[i],
            "intervals (CSI)": found.coefficients[i],
            "deviation": found.deviation[i].mean(axis=-1),
        }
        for name, values in rows.items():
            print(f"  width {width:.2f}  {name:19s}" + "".join(f"{v:6.2f}" for v in values))


def draw_stability(widths: np.ndarray, counts: np.ndarray, found: jaxplain.Stability) -> Figure:
    """Draw the indices, and the deviation of coefficients, against the number of samples."""
    figure = Figure(figsize=(9.5, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (width, color) in enumerate(zip(widths, COLORS, strict=False)):
        label = f"width {width:g}"
        left.plot(
            counts, found.variables[i], "o-", color=color, label=f"the same {TOP} (VSI), {label}"
        )
        # The dashes of one line lie in the gaps of the other, since both are often at 1.
        left.plot(
            counts,
            found.coefficients[i],
            linestyle=(2 * i, (2, 2)),
            color=color,
            label=f"overlapping intervals (CSI), {label}",
        )
        right.plot(counts, found.deviation[i].mean(axis=-1), "o-", color=color, label=label)
    left.set_title("stability indices", fontsize=10, color=INK)
    right.set_title(
        "standard deviation of a coefficient over keys (log-odds)", fontsize=10, color=INK
    )
    for axes in (left, right):
        tidy(axes)
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count}" for count in counts])
        axes.set_xticks([], minor=True)
        axes.margins(x=0.04)
        axes.set_ylim(0, 1.04 if axes is left else None)
        axes.set_xlabel("samples of one explanation", color=SOFT)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


# ------------------------------------------------------------------------------ simplicity


def simplify(
    score: Score, picture: Picture, penalties: np.ndarray, *, samples: int
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


def draw_path(path: jaxplain.LimePath, count: int) -> Figure:
    """Draw R² against the number of superpixels, on both scales, and print some."""
    complexity, fidelity = np.asarray(path.complexity), np.asarray(path.fidelity)
    lines = {
        scale: best_fidelity(complexity[i], fidelity[i], count) for i, scale in enumerate(SCALES)
    }
    numbers = np.arange(count + 1)
    for scale, line in lines.items():
        said = ", ".join(f"{line[k]:.2f} with {k}" for k in (1, 5, 10, 20, count))
        print(f"  R² of the {scale}: {said}")
    return plot.curves(
        numbers, lines, xlabel="superpixels of the local model, at most", ylabel="its R²"
    )


def draw_simpler(picture: Picture, path: jaxplain.LimePath) -> Figure:
    """Draw local models of the log-odds with few superpixels, and with more."""
    complexity = np.asarray(path.complexity[LOG_ODDS])
    shown = [int(np.abs(complexity - size).argmin()) for size in (1, 3, 8, 20)]
    maps = np.stack([picture.paint(path.values[LOG_ODDS, i]) for i in shown])
    titles = [
        f"{complexity[i]} of {picture.count}: R² {path.fidelity[LOG_ODDS, i]:.2f}" for i in shown
    ]
    images = np.stack([picture.shown] * len(shown))
    return plot.overlay(images, maps, title=titles, percentile=100)


def photograph(out: Path, *, quick: bool) -> None:
    """Explain the cat, and vary what LIME leaves open."""
    samples = 300 if quick else 1000
    model = load("squeezenet")
    x = model.preprocess(sample_image("chelsea"))
    shown = model.to_display(x)
    score = cat_score(model)
    labels = {"quickshift": quickshift(shown), "SLIC": slic(shown, 50)}
    pictures = {name: segmented(model, x, found) for name, found in labels.items()}
    maps = {}
    for name, picture in pictures.items():
        attribution, info = explain(score, picture, samples=samples)
        maps[name] = attribution[LOG_ODDS]
        print(f"{name}, {picture.count} superpixels, {samples} samples:")
        print_fit(score, picture, info)
        print_top(picture, info)
    wrote(draw_superpixels(pictures, maps), out / "superpixels.png")

    picture = pictures["quickshift"]
    widths = np.geomspace(0.03, 3, 41)
    swept = sweep(score, picture, widths, samples=samples)
    alone = jax.jit(jaxplain.ablation(of_masks(score, picture), chunk=CHUNK))
    falls = alone(jnp.ones(picture.count), LOG_ODDS)
    print_widths(widths, swept, falls)
    wrote(draw_widths(model, score, picture, widths, swept, falls), out / "widths.png")

    print("Fidelity against simplicity:")
    path = simplify(score, picture, np.geomspace(1.5, 5e-4, 60), samples=samples)
    wrote(draw_path(path, picture.count), out / "path.png")
    wrote(draw_simpler(picture, path), out / "simpler.png")

    counts = np.array([50, 100, 200] if quick else [100, 300, 1000, 3000])
    some = np.array([WIDTH, 0.1])
    found = repeat(score, picture, some, counts, repeats=3 if quick else 5)
    print_stability(some, counts, found)
    wrote(draw_stability(some, counts, found), out / "stability.png")


def wrote(figure: Figure, path: Path) -> None:
    """Save a figure, and say so."""
    print(f"Wrote {plot.save(figure, path)}", flush=True)


def main() -> None:
    """Explain the cat, and vary what LIME leaves open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    options = parser.parse_args()
    photograph(options.out, quick=options.quick)


if __name__ == "__main__":
    main()
