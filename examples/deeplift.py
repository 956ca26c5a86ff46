"""DeepLIFT on the cases of its paper: which rule, and which reference?

DeepLIFT compares every value in a network with what it is at a reference input, and hands the
difference of the scores back to the inputs. Its Rescale rule gives each activation one multiplier,
its RevealCancel rule one for what pushes it up and another for what pulls it down. This follows the
toys and the digits of Shrikumar et al. 2017, arXiv:1704.02685, with a small Flax network. Run with

    python examples/deeplift.py --out out

which takes a minute on two cores; `--quick` trains for fewer epochs and explains fewer digits.

- `toys.png`: where f is flat, the gradient is 0; at a threshold, input × gradient jumps by 10. Only
  RevealCancel shares a minimum: to all others it is due to the smaller input alone.
- `digits.png` and `erasing.png`: what speaks for an 8 rather than a 3 is erased, and the log-odds
  fall: by 16.6 in the median with Rescale and with integrated gradients, by 17.2 with RevealCancel,
  15.2 with guided backpropagation, and 5.7 at random. RevealCancel leads from 8 to 3 and from 8 to
  6, not from 9 to 1, and always erases more pixels, 9 % to 16 %. The biases of this network matter
  little: input × gradient hardly differs from Rescale.
- `references.png`: all maps sum to f(x) - f(x0), whatever x0 is. But against black, black pixels
  get nothing, and against noise 85 %: the reference says what absence means.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from digits import EPOCHS, Trained, apply, load_digits, train
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT, saturating, thresholding, tidy

import jaxplain
from jaxplain import baselines, plot, rules

PAIRS = ((8, 3), (8, 6), (9, 1))
MOST_ERASED = 157  # a fifth of all pixels, as in the paper

LINES = {
    "integrated gradients": {"color": "#2c66b8", "linewidth": 7},
    "DeepLIFT, Rescale": {"color": "#9fd0f5", "linewidth": 4},
    "DeepLIFT, RevealCancel": {"color": "#c8382c", "linewidth": 2.6, "dashes": (3, 1.5)},
    "input × gradient": {"color": "#222222", "linewidth": 1},
}
"""How the line of each method looks, the widest first, so that none hides another."""

Maps = dict[str, np.ndarray]


def attributions(f: Callable[..., jax.Array], *, steps: int = 50) -> dict[str, Callable[..., Any]]:
    """Return the methods that explain one score."""
    return {
        "integrated gradients": jaxplain.integrated_grad(f, steps=steps),
        "DeepLIFT, Rescale": jaxplain.deeplift(f, rules.Rescale()),
        "DeepLIFT, RevealCancel": jaxplain.deeplift(f, rules.RevealCancel()),
        "input × gradient": jaxplain.input_x_grad(f),
    }


def minimum(x: jax.Array) -> jax.Array:
    """Return the smaller of two positive numbers, as a network of one unit would."""
    return x[0] - jax.nn.relu(x[0] - x[1])


class Toy(NamedTuple):
    """A function, and the first and the last of the inputs that it is looked at."""

    f: Callable[[jax.Array], jax.Array]
    begin: tuple[float, ...]
    end: tuple[float, ...]
    title: str
    along: str


TOYS = (
    Toy(saturating, (0, 0), (1, 1), r"$1 - \mathrm{relu}(1 - x_1 - x_2)$", "$x_1 = x_2$"),
    Toy(thresholding, (0,), (20,), r"$\mathrm{relu}(x_1 - 10)$", "$x_1$"),
    Toy(minimum, (1.5, 0), (1.5, 3), r"$x_1 - \mathrm{relu}(x_1 - x_2)$", "$x_2$, at $x_1 = 1.5$"),
)


def explain_toys(points: int) -> Figure:
    """Draw what each method gives the first input of each toy along a line, and tell the ends."""
    figure = Figure(figsize=(11.5, 4), dpi=150, layout="constrained")
    print("What x1 gets at the end of each line, and the largest jump on the way there:")
    for axes, toy in zip(figure.subplots(1, len(TOYS)), TOYS, strict=True):
        xs = jnp.linspace(jnp.array(toy.begin, float), jnp.array(toy.end, float), points)
        axes.plot(xs[:, -1], jax.vmap(toy.f)(xs), color="#e0952b", linewidth=1.4, label="f")
        for name, method in attributions(toy.f, steps=1000).items():
            found = np.asarray(jax.jit(jax.vmap(method))(xs))[:, 0]
            axes.plot(xs[:, -1], found, label=name, **LINES[name])
            jump = np.abs(np.diff(found)).max()
            print(f"  {toy.f.__name__:12s}  {name:22s}  {found[-1]:6.3f}  {jump:6.3f}")
        axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        axes.set_xlabel(toy.along, color=SOFT)
        axes.set_title(f"$f =$ {toy.title}", fontsize=11, color=INK)
        tidy(axes)
    figure.axes[0].set_ylabel("contribution of $x_1$", color=SOFT)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    return figure


def compile_methods(net: Trained) -> dict[str, Callable[..., Any]]:
    """Compile what explains, called as (xs, k, other), the one logit of digits minus the other."""
    # Guided backpropagation is not linear in what it explains: it explains each logit by itself.
    guided = jaxplain.times_input(jaxplain.guided_backprop(jaxplain.select(net.logits)))
    score = jaxplain.contrast(net.logits)
    methods = attributions(score) | {
        "DeepLIFT, RevealCancel after dense": jaxplain.deeplift(score, rules.genomics()),
        "guided backprop × input": lambda x, k, other: guided(x, k) - guided(x, other),
    }
    order = sorted(methods, key=lambda name: not name.startswith("DeepLIFT"))
    return {name: jax.jit(jax.vmap(methods[name], (0, None, None))) for name in order}


def erase(xs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Blacken the pixels of the largest positive scores, `MOST_ERASED` of each digit at most."""
    flat = scores.reshape(len(xs), -1)
    least = np.sort(flat, axis=1)[:, -MOST_ERASED, None]
    return np.where(((flat > 0) & (flat >= least)).reshape(xs.shape), 0, xs)


def log_odds(net: Trained, xs: np.ndarray, k: int, other: int) -> np.ndarray:
    """Return by how much the one logit exceeds the other."""
    logits = np.asarray(apply(net.params, xs))
    return logits[:, k] - logits[:, other]


def measure(net: Trained, xs: np.ndarray, maps: Maps, k: int, other: int) -> Maps:
    """Erase what each method says speaks for the class, and return how far the log-odds fall."""
    before = log_odds(net, xs, k, other)
    change = before - log_odds(net, np.zeros_like(xs), k, other)
    print(f"Erasing {k} to get {other}: the fall of the log-odds, over {len(xs)} digits.")
    print(f"  {'':34s}   median    mean  >= Rescale  pixels  largest residual")
    falls = {}
    for name, scores in maps.items():
        erased = erase(xs, scores)
        fall = falls[name] = before - log_odds(net, erased, k, other)
        share = (fall >= falls["DeepLIFT, Rescale"]).mean()
        pixels = (erased != xs).sum((1, 2, 3)).mean()
        residual = np.abs(scores.sum((1, 2, 3)) - change).max()
        print(
            f"  {name:34s}  {np.median(fall):7.2f} {fall.mean():7.2f}  {share:10.0%} "
            f"{pixels:7.1f}  {residual:16.2g}"
        )
    return falls


def draw_falls(falls: Mapping[tuple[int, int], Maps]) -> Figure:
    """Draw the falls of the log-odds of all digits as boxes, one panel for each pair."""
    figure = Figure(figsize=(11.5, 5.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(falls), sharey=True)
    for axes, ((k, other), found) in zip(panels, falls.items(), strict=True):
        middle = {"color": INK, "linewidth": 1.6}
        boxes = axes.boxplot(list(found.values()), patch_artist=True, medianprops=middle)
        for name, box in zip(found, boxes["boxes"], strict=True):
            box.set_facecolor("#f3b8a8" if name.startswith("DeepLIFT") else "#dddddd")
        axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        axes.set_title(f"{k} to {other}", fontsize=11, color=INK)
        tidy(axes)
        style = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(1, len(found) + 1), list(found), **style)
    panels[0].set_ylabel("fall of the log-odds when erased", color=SOFT)
    return figure


def show(axes: Axes, picture: np.ndarray, title: str = "", caption: str = "") -> None:
    """Draw a digit, from black to white, or a map, from blue to red."""
    cmap, low = ("gray", 0) if picture.ndim == 3 else ("RdBu_r", -1)
    axes.imshow(picture, cmap, vmin=low, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9, color=INK, pad=4)
    axes.set_xlabel(caption.replace(" -", " \u2212"), fontsize=8, color=SOFT, labelpad=3)
    axes.spines[:].set(color=FAINT, linewidth=0.6)


def draw_digit(net: Trained, x: np.ndarray, maps: Maps, k: int, other: int) -> Figure:
    """Draw the first of each method's maps, that of the digit x, above what erasing leaves."""
    figure = Figure(figsize=(1.5 * (1 + len(maps)), 3.9), dpi=150, layout="constrained")
    axes = figure.subplots(2, 1 + len(maps))
    show(axes[0, 0], x[0], "the digit", f"log-odds {log_odds(net, x, k, other)[0]:+.1f}")
    says = f"Red speaks for {k}\nrather than {other},\nblue against it.\n\nBelow: red erased."
    axes[1, 0].text(0.5, 0.5, says, ha="center", va="center", fontsize=9, color=SOFT)
    axes[1, 0].axis("off")
    for (above, below), (name, scores) in zip(axes.T[1:], maps.items(), strict=True):
        left = erase(x, scores[:1])
        title = name.replace(", ", "\n").replace(" × ", "\n× ").replace(" after", "\nafter")
        show(above, plot.normalize(scores[0]), title)
        show(below, left[0], "", f"log-odds {log_odds(net, left, k, other)[0]:+.1f}")
    return figure


def draw_references(net: Trained, x: np.ndarray, data: np.ndarray, count: int) -> Figure:
    """Explain a digit (28, 28, 1) against four sets of references (R, 28, 28, 1), a row each."""
    k, other = PAIRS[0]
    keys = jax.random.split(jax.random.key(0), count)
    references = {
        "black": baselines.zeros(x)[None],
        "blurred": baselines.blur(x, 4.0)[None],
        "mean of the training digits": baselines.mean(data)[None],
        f"noise, mean over {count}": jax.vmap(lambda key: baselines.uniform(x, key=key))(keys),
    }
    score = jaxplain.contrast(net.logits)
    methods = {
        "Rescale": jax.jit(jaxplain.deeplift_shap(score, rules.Rescale())),
        "RevealCancel": jax.jit(jaxplain.deeplift_shap(score, rules.RevealCancel())),
    }
    figure = Figure(figsize=(7, 9.6), dpi=150, layout="constrained")
    axes = figure.subplots(len(references), 1 + len(methods))
    at_x = log_odds(net, x[None], k, other)[0]
    print(f"The log-odds of {k} and {other}, {at_x:.4f}, explained against four references:")
    for row, (name, several) in zip(axes, references.items(), strict=True):
        change = at_x - log_odds(net, several, k, other).mean()
        show(row[0], several[0], name, f"$f(x) - f(x^0)$ = {change:+.3f}")
        for panel, (rule, method) in zip(row[1:], methods.items(), strict=True):
            found = np.asarray(method(x, k, other, baseline=several))
            show(panel, plot.normalize(found), rule, f"sum {found.sum():+.3f}")
            share = np.abs(found[x == 0]).sum() / np.abs(found).sum()
            print(
                f"  {name:27s}  {rule:12s}  sum {found.sum():+8.4f}  difference {change:+8.4f}  "
                f"on black pixels {share:4.0%}"
            )
    return figure


def main() -> None:
    """Train, explain, erase, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer epochs, digits, and points")
    options = parser.parse_args()
    epochs, digits, points, noises = (3, 25, 201, 10) if options.quick else (EPOCHS, 100, 801, 50)

    figures = {"toys.png": explain_toys(points)}
    train_set, test_set = load_digits()
    net = train(train_set, test_set, epochs=epochs)
    methods = compile_methods(net)
    falls = {}
    for k, other in PAIRS:
        xs = test_set.images[test_set.labels == k][:digits]
        maps = {name: np.asarray(method(xs, k, other)) for name, method in methods.items()}
        maps["random"] = np.random.default_rng(0).normal(size=xs.shape) * xs
        falls[k, other] = measure(net, xs, maps, k, other)
        if (k, other) == PAIRS[0]:
            figures["digits.png"] = draw_digit(net, xs[:1], maps, k, other)
    figures["erasing.png"] = draw_falls(falls)

    x = test_set.images[test_set.labels == PAIRS[0][0]][0]
    figures["references.png"] = draw_references(net, x, train_set.images, noises)
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file, dpi=150)}")


if __name__ == "__main__":
    main()
