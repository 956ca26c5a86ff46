"""What do negative contributions do to an explanation?

Layer-wise relevance propagation shares the relevance of a unit among its inputs, in proportion to
what each contributed to it. Contributions of the two signs cancel, so shares may be many times what
there is to share. The rule here lets the negative ones count by a factor γ: with γ = 0 they do not
count (z⁺, the rule of deep Taylor decomposition), with γ = 1 they count in full, which on a network
of ReLUs is gradient × input. One picture is explained for all γ in one compiled call, `jax.vmap`
over γ, since the numbers of a rule may be traced. Run with

    python examples/gamma.py --out out

which takes half a minute on two cores. `gamma.png` shows five maps; `gamma_curves.png` measures
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
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jaxplain
from jaxplain import plot, rules

from pretrained import labels, load, sample_image

SHOWN = (0.0, 0.3, 0.6, 0.9, 1.0)
GAMMAS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.95, 1.0)
SHIFTS = (1, 2, 3, 4)

FIRES = tuple(f"fire{i}" for i in range(9, 1, -1))
DEPTHS = ("conv10", *(f"{fire}/squeeze1x1" for fire in FIRES), "conv1")
"""The layers that all relevance goes through, one after the other, from the logit down."""
TICKS = ("conv10", *FIRES, "conv1", "pixels")

COLORS = ("#123a80", "#2c66b8", "#3aa6b9", "#e0952b", "#c8382c")
SOFT, FAINT = "#666666", "#c8c8c8"

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


def make_sweep(score: Callable[[jax.Array, int], jax.Array], gammas: jax.Array) -> Sweep:
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


def main() -> None:
    """Explain, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="five values of γ instead of nine")
    options = parser.parse_args()

    gammas = SHOWN if options.quick else GAMMAS
    model = load("squeezenet")
    x = jnp.asarray(model.preprocess(sample_image("chelsea")))
    logits = jax.jit(model.logits)(x)
    k = int(logits.argmax())
    print(f"Explaining the logit of {labels()[k]!r}, {logits[k]:.2f}.")

    sweep = make_sweep(jaxplain.select(model.logits), jnp.array(gammas))
    maps, found = measure(sweep, x, k, float(logits[k]))
    print_table(gammas, found)
    ends = {0.0: "\n(z⁺)", 1.0: "\n(gradient × input)"}
    shown = {f"γ = {g:g}{ends.get(g, '')}": maps[gammas.index(g)] for g in SHOWN}
    figures = {
        "gamma.png": plot.grid(model.to_display(np.asarray(x)), shown),
        "gamma_curves.png": draw_curves(gammas, found),
    }
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file)}")


if __name__ == "__main__":
    main()
