"""What do negative contributions do to an explanation?

Layer-wise relevance propagation shares the relevance of a unit among its inputs, in proportion to
what each contributed to it. Contributions of the two signs cancel, so shares may be many times what
there is to share. The rule here lets the negative ones count by a factor γ: with γ = 0 they do not
count (z⁺, the rule of deep Taylor decomposition), with γ = 1 they count in full, which on a network
of ReLUs is gradient × input. One picture is explained for all γ in one compiled call, `jax.vmap`
over γ, since the numbers of a rule may be traced. Run with

    python examples/gamma.py --out out

which takes about a minute on two cores. `gamma.png` shows five maps; `gamma_curves.png` measures
them, all in shares of the score f(x) that is explained, against γ and against depth:

- Conservation. ΣR stays near 1 for every γ: 0.99 at γ = 0 and 0.87 at γ = 1, the rest is what the
  network's biases absorb. Σ|R| does not: it is 0.99 at γ = 0, but 51 at γ = 1, and grows layer by
  layer on the way down to the pixels. That map is a small difference of large numbers.
- Continuity. The picture is moved by one to four pixels, which changes its score by 6 % at most.
  Σ|ΔR| is how much the relevance of the pixels changes: 1.1 at γ = 0, but 78 at γ = 1. In shares of
  Σ|R| instead, and after the map has been moved back, it is 0.7 and 1.3. Not even z⁺ follows a move
  by a single pixel, since the first two layers of this network have strides of two; a move by four
  pixels it follows, all but 0.23 of it, and gradient × input does not (0.97).

Up to γ = 0.75 either measure stays near that of z⁺; gradient × input is the extreme case.

Which γ is the best, then? A uniform map would pass both measures. Does the order of the pixels say
what the score rests on? `evaluate.select_explanation` takes them away in that order and in its
reverse, for all γ and many pictures in one compiled call. `gamma_selection.png` shows the area
between the two curves, in logits, and in which share of data sets drawn anew each γ is the best:

- On eight photographs z⁺ leads with 11.27, but is hardly told from γ = 0.3 (11.18) or 0.6 (11.05).
  Gradient × input has 2.4, worse for all eight.
- On 200 digits and a network of four layers it is the other way round: z⁺ has 8.8, γ = 0.95 11.2,
  and gradient × input 11.3, the best in 99 % of the data sets.
- So no γ between is the best of either, and either end is bad for one network: z⁺ has 78 % of what
  can be had from digits, gradient × input 21 % of that from photographs. γ = 0.9 has 96 % and 92 %.
  More cancels in the deeper network. Choose γ for the network at hand.
"""

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from digits import load_digits, train
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jaxplain
from jaxplain import evaluate, features, plot, rules

from pretrained import Pretrained, labels, load, sample_image

SHOWN = (0.0, 0.3, 0.6, 0.9, 1.0)
GAMMAS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.95, 1.0)
SHIFTS = (1, 2, 3, 4)

PHOTOGRAPHS = (
    "astronaut",
    "camera",
    "chelsea",
    "china",
    "coffee",
    "flower",
    "motorcycle_left",
    "rocket",
)
PATCH, STEPS = 8, 16
"""Patches of so many pixels squared go from photographs, single pixels from digits, in steps."""

MOST_LINES = 10
"""If there are no more pictures, each has a line."""

FIRES = tuple(f"fire{i}" for i in range(9, 1, -1))
DEPTHS = ("conv10", *(f"{fire}/squeeze1x1" for fire in FIRES), "conv1")
"""The layers that all relevance goes through, one after the other, from the logit down."""
TICKS = ("conv10", *FIRES, "conv1", "pixels")

COLORS = ("#123a80", "#2c66b8", "#3aa6b9", "#e0952b", "#c8382c")
SOFT, FAINT = "#666666", "#c8c8c8"

Score = Callable[[jax.Array, int], jax.Array]
Sweep = Callable[[jax.Array, int], list[jax.Array]]


class Measured(NamedTuple):
    """All in shares of the score.

    Attributes:
        sums: ΣR of the pixels for each γ, (G,).
        sizes: Σ|R| for each depth and γ, the pixels last, (D, G).
        changes: The largest Σ|ΔR| of all shifts, likewise.
        moved_back: Σ|ΔR| of the pixels after each shift and moving the map back, (S, G).
    """

    sums: np.ndarray
    sizes: np.ndarray
    changes: np.ndarray
    moved_back: np.ndarray


def make_sweep(score: Score, gammas: jax.Array) -> Sweep:
    """Compile one explanation for all γ: the relevance at each depth, that of the pixels last."""

    def at(gamma: jax.Array, x: jax.Array, k: int) -> list[jax.Array]:
        relevance, info = jaxplain.lrp(score, rules.interpolated(gamma), info=True)(x, k)
        inside = [info.relevance[f"SqueezeNet/{name}:conv_general_dilated"] for name in DEPTHS]
        return [*inside, relevance]

    sweep = jax.jit(jax.vmap(at, (0, None, None)))
    return lambda x, k: sweep(gammas, x, k)


def sizes(relevances: Sequence[np.ndarray]) -> np.ndarray:
    """Σ|R| at each depth, for each γ."""
    return np.stack([np.abs(r, dtype=np.float64).reshape(len(r), -1).sum(1) for r in relevances])


def measure(sweep: Sweep, x: jax.Array, k: int, value: float) -> tuple[np.ndarray, Measured]:
    """Explain a picture and its shifts; return the maps (G, H, W, 3) of the first, and numbers."""
    first = [np.asarray(r) for r in sweep(x, k)]
    changes, moved_back = [], []
    for shift in SHIFTS:
        # What leaves on one side comes in on the other.
        moved = [np.asarray(r) for r in sweep(jnp.roll(x, shift, 1), k)]
        changes.append(sizes([a - b for a, b in zip(moved, first, strict=True)]))
        moved_back.append(sizes([np.roll(moved[-1], -shift, 2) - first[-1]])[0])
    sums = first[-1].sum((1, 2, 3), dtype=np.float64)
    numbers = (sums, sizes(first), np.max(changes, 0), np.stack(moved_back))
    return first[-1], Measured(*(number / value for number in numbers))


def print_table(gammas: Sequence[float], found: Measured) -> None:
    """One line for each γ."""
    print("   γ    ΣR/f   Σ|R|/f   largest Σ|ΔR|/f   ... over Σ|R|, moved back by 1, 2, 3, 4")
    for i, gamma in enumerate(gammas):
        relative = "  ".join(f"{back:.2f}" for back in found.moved_back[:, i] / found.sizes[-1, i])
        print(
            f"{gamma:4.2f}  {found.sums[i]:6.3f}  {found.sizes[-1, i]:7.2f}   "
            f"{found.changes[-1, i]:15.2f}   {relative:>40s}"
        )


def draw_curves(gammas: Sequence[float], found: Measured) -> Figure:
    """Draw both measures, against γ above and against depth below."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    ((above_left, above_right), (below_left, below_right)) = figure.subplots(2, 2, sharey=True)
    draw_lines(
        above_left,
        gammas,
        {"Σ|R|": found.sizes[-1], "ΣR": found.sums},
        "Conservation: the relevance of all pixels",
    )
    draw_lines(
        above_right,
        gammas,
        {
            "Σ|ΔR|": found.changes[-1],
            "Σ|ΔR|, the map moved back": found.moved_back.max(0),
            "Σ|ΔR|, moved by 4 and back": found.moved_back[-1],
        },
        "Continuity: what changes as the picture moves",
    )
    draw_depths(below_left, gammas, found.sizes, "Σ|R|, layer by layer")
    draw_depths(below_right, gammas, found.changes, "Σ|ΔR|, layer by layer")
    for axes in (above_left, below_left):
        axes.set_ylabel("share of the score")
    return figure


def draw_lines(
    axes: Axes, gammas: Sequence[float], lines: dict[str, np.ndarray], title: str
) -> None:
    """Draw numbers against γ."""
    for (name, line), color in zip(lines.items(), COLORS[::-2], strict=False):
        axes.plot(gammas, line, label=name, color=color, marker="o", markersize=3.5)
    axes.set_xlabel("γ: by how much negative contributions count")
    tidy(axes, title)


def draw_depths(axes: Axes, gammas: Sequence[float], values: np.ndarray, title: str) -> None:
    """Draw numbers (D, G) from the logit down to the pixels, one line for each γ shown."""
    for gamma, color in zip(SHOWN, COLORS, strict=True):
        line = values[:, gammas.index(gamma)]
        axes.plot(range(len(TICKS)), line, label=f"γ = {gamma:g}", color=color, marker="o", ms=3.5)
    axes.set_xticks(range(len(TICKS)), TICKS, rotation=45, ha="right", rotation_mode="anchor")
    tidy(axes, title)


def tidy(axes: Axes, title: str) -> None:
    """A logarithmic scale, a legend, and quiet lines."""
    axes.set_yscale("log")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT)
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
    axes.tick_params(labelcolor=SOFT, color=FAINT, labelleft=True)
    axes.legend(frameon=False, fontsize=9)


class Subject(NamedTuple):
    """Pictures to choose γ with.

    Attributes:
        name: What they are.
        score: The network's logit of a class.
        xs: The pictures, in the network's units (N, H, W, C).
        classes: The class that is explained in each (N,).
        groups: The patches that go as one.
    """

    name: str
    score: Score
    xs: np.ndarray
    classes: np.ndarray
    groups: np.ndarray


def photographs(model: Pretrained, names: Sequence[str]) -> Subject:
    """Photographs, and what the network takes them for; 0 is the mean color of ImageNet."""
    xs = np.stack([model.preprocess(sample_image(name)) for name in names])
    classes = np.asarray(jax.jit(jax.vmap(model.logits))(xs)).argmax(-1)
    groups = features.patches(xs[0], PATCH)
    return Subject("photographs", jaxplain.select(model.logits), xs, classes, groups)


def digits(count: int, epochs: int) -> Subject:
    """Held-out digits, of a network that is trained here; 0 is black."""
    train_set, test_set = load_digits()
    net = train(train_set, test_set, epochs=epochs)
    xs, classes = (part[:count] for part in test_set)
    groups = features.patches(xs[0], 1)
    return Subject("digits", jaxplain.select(net.logits), xs, classes, groups)


def choose(subject: Subject, gammas: jax.Array) -> evaluate.Selection:
    """Explain all pictures with all γ in one call, and see whose order of patches is the best."""

    def family(gamma: jax.Array) -> Callable[..., jax.Array]:
        return jaxplain.lrp(subject.score, rules.interpolated(gamma))

    metric = functools.partial(
        evaluate.abpc, subject.score, steps=STEPS, groups=subject.groups, chunk=4
    )
    return evaluate.select_explanation(
        family, gammas, metric, subject.xs, subject.classes, key=jax.random.key(0), chunk=4
    )


def print_choice(found: evaluate.Selection, name: str) -> None:
    """One line for each γ, and how sure the best is."""
    summary, best = found.summary, found.values[found.index]
    print(f"Area between the curves of {len(best)} {name}, in logits; 0 is chance:")
    print("    γ     mean  95 % interval   best in")
    for i, gamma in enumerate(found.parameters):
        interval = f"{summary.low[i]:5.2f} to {summary.high[i]:5.2f}"
        print(f"  {gamma:4.2f}  {summary.mean[i]:6.2f}  {interval}  {found.shares[i]:7.1%}")
    print(f"  The best is {found.best:.2f}, in {found.confidence:.0%} of the data sets redrawn.")
    for end in {0, len(found.parameters) - 1} - {found.index}:
        gap = evaluate.compare(best, found.values[end], key=jax.random.key(1))
        print(
            f"  It is better than {found.parameters[end]:.2f} for "
            f"{int((best > found.values[end]).sum())} of {len(best)}, by {gap.difference.mean:.2f} "
            f"({gap.difference.low:.2f} to {gap.difference.high:.2f}), p = {gap.p:.4f}."
        )


def draw_choices(choices: dict[str, evaluate.Selection]) -> Figure:
    """Draw the metric against γ, and how often each γ is the best."""
    figure = Figure(figsize=(10, 3.3 * len(choices)), layout="constrained")
    rows = figure.subplots(len(choices), 2, width_ratios=(3, 2), squeeze=False)
    for (left, right), (name, found) in zip(rows, choices.items(), strict=True):
        gammas, summary = np.asarray(found.parameters), found.summary
        if len(found.values.T) <= MOST_LINES:
            left.plot(gammas, found.values, color=FAINT, linewidth=0.9)
        left.fill_between(gammas, summary.low, summary.high, color=COLORS[1], alpha=0.2, lw=0)
        left.plot(gammas, summary.mean, color=COLORS[0], marker="o", ms=4, label="mean")
        left.axhline(0, color=SOFT, linewidth=0.8, linestyle=":", label="chance")
        left.set_ylabel("area between the curves, logits")
        left.set_title(f"How well {name} are ordered", loc="left", fontsize=11)
        left.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 0.05))
        places = np.arange(len(gammas))
        right.bar(places, 100 * np.asarray(found.shares), color=COLORS[1], width=0.7)
        right.set_xticks(places, [f"{gamma:.2g}" for gamma in gammas])
        right.set_ylabel("best in % of data sets redrawn")
        right.set_title("How sure is the best γ?", loc="left", fontsize=11)
        for axes in (left, right):
            axes.set_xlabel("γ: by how much negative contributions count")
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set(color=FAINT)
            axes.tick_params(labelcolor=SOFT, color=FAINT)
    return figure


def main() -> None:
    """Explain, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument(
        "--quick", action="store_true", help="five values of γ instead of nine, and fewer pictures"
    )
    options = parser.parse_args()

    gammas = SHOWN if options.quick else GAMMAS
    model = load("squeezenet")
    x = jnp.asarray(model.preprocess(sample_image("chelsea")))
    logits = jax.jit(model.logits)(x)
    k = int(logits.argmax())
    print(f"Explaining the logit of {labels()[k]!r}, {logits[k]:.2f}.")

    score = jaxplain.select(model.logits)
    sweep = make_sweep(score, jnp.array(gammas))
    maps, found = measure(sweep, x, k, float(logits[k]))
    print_table(gammas, found)
    names, count, epochs = (PHOTOGRAPHS[:4], 50, 2) if options.quick else (PHOTOGRAPHS, 200, 4)
    choices = {}
    for subject in (photographs(model, names), digits(count, epochs)):
        choices[subject.name] = choose(subject, jnp.array(gammas))
        print_choice(choices[subject.name], subject.name)
    ends = {0.0: "\n(z⁺)", 1.0: "\n(gradient × input)"}
    shown = {f"γ = {g:g}{ends.get(g, '')}": maps[gammas.index(g)] for g in SHOWN}
    figures = {
        "gamma.png": plot.grid(model.to_display(np.asarray(x)), shown),
        "gamma_curves.png": draw_curves(gammas, found),
        "gamma_selection.png": draw_choices(choices),
    }
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file)}")


if __name__ == "__main__":
    main()
