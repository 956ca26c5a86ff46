"""Which few digits stand for all of them, and which do they leave out?

Of 4000 real handwritten digits MMD-critic chooses prototypes and criticisms, each class its own.
Digits are compared by their pixels, or by what the hidden dense layer of a trained network makes
of them. ProtoDash gives prototypes weights. Then prototypes have to prove themselves: held-out
digits get the class of the nearest one. Last, a misread digit is explained by similar cases. Run
with

    python examples/prototypes.py --out out

which takes about a minute on two cores; `--quick` trains for fewer epochs on the same digits
and chooses from 1000 of them.

- `prototypes.png`: the eight prototypes of a class differ in slant, width and thickness, whatever
  they are compared by. In pixels the second nine looks like a four; by features the first three has
  dots beside it, which the network overlooks. The criticisms are of all classes: with `labels=`,
  those of different classes are as unlike as can be. Most are good digits, bold or wide ones; a few
  are odd, such as the last one by features, a bold 2 that is cut off.
- `accuracy.png`: ten prototypes, one of each class, read 94.4 % of the held-out digits by features,
  ten at random 78.9 %; by pixels 65.0 % and 42.0 %. The lead shrinks, to 0.6 and 4.8 points with
  320. Without labels MMD-critic and ProtoDash are no better than random digits of each class while
  there are few prototypes: they do not know that there are ten classes to cover.
- `weights.png`: the first of six stands for 29 % to 45 % of its class, the others for 7 % to 19 %.
- `similar.png`: a 1 with a foot is read as a 2. No layer finds another like it: the nearest are
  twos, and one seven with a foot. Relevance for 1 finds mostly the same digits as relevance for 2:
  what speaks for the one speaks against the other.
- Of the eight nearest digits 98.8 % have the class that is read where it is right, 66.5 % where it
  is wrong. But for 22.7 % of the misread digits all eight have it; for this one seven have it.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from digits import EPOCHS, Digits, Mistake, Trained, load_digits, train, worst_mistake
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT

import jaxplain
from jaxplain import plot

LAYER = "**/Dense_0"
ACROSS = 8
"""So many pictures in a row."""

SHOWN = 10 * ACROSS
"""Prototypes that are drawn: of each class about as many, since all are equally frequent."""

RED = "#c8382c"
LINES = {
    "MMD-critic": {"color": "#2c66b8", "linewidth": 2.2},
    "without labels": {"color": "#9fd0f5", "linewidth": 1.6},
    "ProtoDash": {"color": "#2e8b57", "linewidth": 1.6},
    "at random": {"color": SOFT, "linewidth": 1.2},
}


class Space(NamedTuple):
    """How digits are compared.

    Attributes:
        name: What is compared.
        features: From one digit to what is compared; None for its pixels.
        known: The training digits as vectors (N, d).
        asked: The held-out digits as vectors (M, d).
    """

    name: str
    features: Callable[[jax.Array], jax.Array] | None
    known: np.ndarray
    asked: np.ndarray


def spaces(net: Trained, train_set: Digits, test_set: Digits) -> list[Space]:
    """Return pixels and the network's features, for all digits."""
    below, _ = jaxplain.cut(net.logits, at=LAYER)

    def hidden(x: jax.Array) -> jax.Array:
        return jax.nn.relu(below(x)).reshape(-1)

    def of_all(digits: Digits) -> np.ndarray:
        return np.asarray(jax.jit(jax.vmap(hidden))(digits.images))

    def flat(digits: Digits) -> np.ndarray:
        return digits.images.reshape(len(digits.images), -1)

    return [
        Space("pixels", None, flat(train_set), flat(test_set)),
        Space("features", hidden, of_all(train_set), of_all(test_set)),
    ]


def nearest(space: Space, places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the place of the prototype that is nearest to each point."""
    chosen = space.known[places]
    squares = (chosen**2).sum(1) - 2 * points @ chosen.T  # but for what all have in common
    return places[squares.argmin(axis=1)]


class Choice(NamedTuple):
    """Places of prototypes, in the order of their choice, and of criticisms."""

    prototypes: np.ndarray
    criticisms: np.ndarray


def choose(space: Space, digits: Digits, count: int) -> Choice:
    """Choose prototypes, and what the first `SHOWN` of them leave out."""
    options = {"features": space.features, "labels": digits.labels}
    found, info = jaxplain.prototypes(digits.images, count, info=True, **options)
    outside = jaxplain.criticisms(digits.images, found[:SHOWN], 2 * ACROSS, **options)
    places, outside = np.asarray(found), np.asarray(outside)
    right = digits.labels[nearest(space, places[:SHOWN], space.known)] == digits.labels
    print(
        f"By {space.name}, gamma {float(info.gamma):.3g}: {SHOWN} prototypes bring the squared "
        f"discrepancy to {float(info.mmd2[SHOWN - 1]):.2e}, from {float(info.mmd2[9]):.2e} with "
        f"10. The nearest of them has another class for {1 - right.mean():.1%} of all digits, and "
        f"for {(~right[outside]).sum()} of {len(outside)} criticisms."
    )
    return Choice(places, outside)


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay digits (N, 28, 28, 1) out in rows, black on white with thin lines between them."""
    padded = np.pad(1 - images[..., 0], ((0, -len(images) % columns), (1, 1), (1, 1)))
    padded[len(images) :] = 1
    padded[:, [0, -1]] = padded[:, :, [0, -1]] = 0.85
    rows = padded.reshape(-1, columns, *padded.shape[1:]).swapaxes(1, 2)
    return rows.reshape(-1, columns * padded.shape[2])


def draw_choices(choices: Mapping[str, Choice], digits: Digits) -> Figure:
    """Draw the prototypes in rows by class, and the criticisms below."""
    figure = Figure(figsize=(9.4, 7.4), dpi=150, layout="constrained")
    above, below = figure.subplots(2, len(choices), height_ratios=(10, 2))
    for upper, lower, (name, choice) in zip(above, below, choices.items(), strict=True):
        picture = np.zeros((10 * ACROSS, *digits.images.shape[1:]), np.float32)
        for k in range(10):
            of_class = [place for place in choice.prototypes[:SHOWN] if digits.labels[place] == k]
            for column, place in enumerate(of_class[:ACROSS]):
                picture[k * ACROSS + column] = digits.images[place]
        frame(upper, mosaic(picture, ACROSS), f"prototypes by {name}")
        frame(lower, mosaic(digits.images[choice.criticisms], ACROSS), "criticisms")
        for i, place in enumerate(choice.criticisms):
            row, column = divmod(i, ACROSS)
            style = {"fontsize": 7, "color": RED, "ha": "left", "va": "top"}
            lower.text(30 * column + 2, 30 * row + 2, str(digits.labels[place]), **style)
    return figure


def frame(axes: Axes, picture: np.ndarray, title: str = "") -> None:
    """Show a gray picture without axes."""
    axes.imshow(picture, "gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10, color=INK)
    axes.spines[:].set_visible(False)


def draw_weights(space: Space, digits: Digits) -> Figure:
    """Draw each class by six of its digits, with the share that each stands for (ProtoDash)."""
    figure = Figure(figsize=(10.4, 5.2), dpi=150, layout="constrained")
    panels = figure.subplots(5, 12)
    for k, row in enumerate(panels.reshape(10, 6)):
        of_class = digits.images[digits.labels == k]
        places, weights = jaxplain.protodash(of_class, 6, features=space.features)
        shares = np.asarray(weights / weights.sum())
        for axes, place, share in zip(row, places, shares, strict=True):
            frame(axes, 1 - of_class[place][..., 0])
            axes.set_xlabel(f"{share:.0%}", fontsize=8, color=SOFT, labelpad=2)
        print(f"  {k}: " + " ".join(f"{share:5.1%}" for share in shares))
    return figure


Curves = dict[str, np.ndarray]


def accuracies(
    space: Space, choice: Choice, digits: Digits, test_set: Digits, counts: tuple[int, ...]
) -> Curves:
    """Classify held-out digits by the nearest of so many prototypes; at random, 20 times."""

    def accuracy(places: np.ndarray) -> float:
        guess = digits.labels[nearest(space, places, space.asked)]
        return float((guess == test_set.labels).mean())

    plain = jaxplain.prototypes(digits.images, max(counts), features=space.features)
    dashed, _ = jaxplain.protodash(digits.images, max(counts), features=space.features)
    rng = np.random.default_rng(0)
    by_class = [np.flatnonzero(digits.labels == k) for k in range(10)]

    def at_random(count: int) -> np.ndarray:
        # As many of each class: nothing is left to chance but which.
        return np.concatenate([rng.choice(places, count // 10, False) for places in by_class])

    def first(places: np.ndarray) -> np.ndarray:
        return np.array([accuracy(places[:count]) for count in counts])

    curves = {
        "MMD-critic": first(choice.prototypes),
        "without labels": first(np.asarray(plain)),
        "ProtoDash": first(np.asarray(dashed)),
        "at random": np.array(
            [[accuracy(at_random(count)) for _ in range(20)] for count in counts]
        ),
    }
    everything = accuracy(np.arange(len(digits.labels)))
    print(f"Accuracy of the nearest prototype by {space.name}; with all digits {everything:.1%}:")
    print(f"  {'prototypes':12s}" + "".join(f"{count:>8d}" for count in counts))
    for name, curve in curves.items():
        means = curve.reshape(len(counts), -1).mean(axis=1)
        print(f"  {name:12s}" + "".join(f"{mean:8.1%}" for mean in means), flush=True)
    return curves | {"all": np.array(everything)}


def draw_curves(curves: Mapping[str, Curves], counts: tuple[int, ...], accuracy: float) -> Figure:
    """Draw the accuracy of the nearest prototype against their number, a panel for each space."""
    figure = Figure(figsize=(9.6, 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True)
    for axes, (name, found) in zip(panels, curves.items(), strict=True):
        draws = found["at random"]
        axes.fill_between(counts, draws.min(1), draws.max(1), color=FAINT, alpha=0.4, linewidth=0)
        for label, style in LINES.items():
            line = found[label].reshape(len(counts), -1).mean(axis=1)
            axes.plot(counts, line, label=label, marker="o", markersize=3.5, **style)
        axes.axhline(found["all"], color=INK, linestyle=":", linewidth=1, label="all digits")
        axes.axhline(accuracy, color=RED, linestyle="--", linewidth=1, label="the network")
        axes.set_title(f"compared by {name}", fontsize=11, color=INK)
        axes.set_xscale("log")
        axes.set_xlabel("prototypes", color=SOFT)
        tidy_log(axes, counts)
    panels[0].set_ylabel("held-out accuracy", color=SOFT)
    panels[-1].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def tidy_log(axes: Axes, counts: tuple[int, ...]) -> None:
    """Label the counts themselves."""
    axes.minorticks_off()
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.8)
    axes.tick_params(labelsize=8, labelcolor=SOFT, color=FAINT, length=3)


Find = Callable[..., jaxplain.Neighbors]


def explain_by_cases(net: Trained, digits: Digits, test_set: Digits) -> Figure:
    """Find what is like a misread digit, and whether neighbors tell mistakes from the rest."""
    mistake = worst_mistake(net, test_set)
    score = jaxplain.select(net.logits)

    def find(k: int, **options: Any) -> Find:
        # Which logit matters to relevance alone.
        return jaxplain.nearest_examples(
            score, digits.images, k, count=ACROSS, chunk=500, **options
        )

    features: Callable[[jax.Array], jax.Array] = jax.nn.relu
    by_features = find(0, at=LAYER, of=features)
    finds = {
        "first layer": (find(0, at="**/Conv_0", of=features), 0),
        "last features": (by_features, 0),
        f"relevance for {mistake.predicted},\nas read": (
            find(mistake.predicted, at=LAYER, by="relevance"),
            mistake.predicted,
        ),
        f"relevance for {mistake.true},\nits class": (
            find(mistake.true, at=LAYER, by="relevance"),
            mistake.true,
        ),
    }
    print_credibility(net, by_features, digits, test_set)
    return draw_similar(finds, mistake, digits)


def print_credibility(net: Trained, find: Find, digits: Digits, test_set: Digits) -> None:
    """Say how many neighbors have the class that a held-out digit is given."""
    of_all = jax.jit(lambda xs: jax.lax.map(lambda x: find(x, 0).indices, xs, batch_size=20))
    read = net.probabilities(test_set.images).argmax(-1)
    same = (digits.labels[np.asarray(of_all(test_set.images))] == read[:, None]).mean(axis=1)
    right = read == test_set.labels
    print(
        f"Of the {ACROSS} nearest digits by features {same[right].mean():.1%} have the class that "
        f"is read, where it is right, and {same[~right].mean():.1%} where it is wrong. All have it "
        f"for {(same[right] == 1).mean():.1%} of the digits read right, and for "
        f"{(same[~right] == 1).mean():.1%} of those misread."
    )


def draw_similar(finds: Mapping[str, tuple[Find, int]], mistake: Mistake, digits: Digits) -> Figure:
    """Draw the misread digit, and the nearest training digits, a row for each way to compare."""
    figure = Figure(figsize=(1.05 * (ACROSS + 2), 1.35 * len(finds)), dpi=150, layout="constrained")
    print("Classes of the nearest digits, and their cosine distances:")
    rows = figure.subplots(len(finds), ACROSS + 1)
    for row, (name, (find, k)) in zip(rows, finds.items(), strict=True):
        found = find(mistake.image, k)
        classes = digits.labels[np.asarray(found.indices)]
        frame(row[0], 1 - mistake.image[..., 0], f"{mistake.true}, read {mistake.predicted}")
        row[0].set_ylabel(name, fontsize=8, color=SOFT, rotation=0, ha="right", va="center")
        for axes, place, label in zip(row[1:], found.indices, classes, strict=True):
            frame(axes, 1 - digits.images[place][..., 0], str(label))
        ends = float(found.distances[0]), float(found.distances[-1])
        print(
            f"  {name.replace(chr(10), ' '):26s} {' '.join(map(str, classes))}"
            f"   {ends[0]:.3f} to {ends[1]:.3f}"
        )
    return figure


def main() -> None:
    """Choose, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer epochs, digits and prototypes")
    options = parser.parse_args()
    epochs, most = (2, 1000) if options.quick else (EPOCHS, 4000)
    counts = (10, 20, 40, 80) if options.quick else (10, 20, 40, 80, 160, 320)

    train_set, test_set = load_digits()
    net = train(train_set, test_set, epochs=epochs)
    digits = Digits(*(part[:most] for part in train_set))
    choices, curves = {}, {}
    for space in spaces(net, digits, test_set):
        choices[space.name] = choose(space, digits, max(counts))
        curves[space.name] = accuracies(space, choices[space.name], digits, test_set, counts)
    print("Shares of a class that its six prototypes stand for, by features (ProtoDash):")
    weights = draw_weights(space, digits)
    similar = explain_by_cases(net, digits, test_set)
    figures = {
        "prototypes.png": draw_choices(choices, digits),
        "weights.png": weights,
        "accuracy.png": draw_curves(curves, counts, net.accuracy),
        "similar.png": similar,
    }
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file, dpi=150)}")


if __name__ == "__main__":
    main()
