"""Three ways in which a gradient misleads, on functions small enough to know the answer.

- Saturation: where more of an input changes nothing, the gradient is zero, whatever the input did.
- Thresholding: gradient times input jumps where the function does not, since a bias is left out.
- Noise: where a function trembles a little, its gradient trembles a lot.

Each panel of the figure shows what five methods say as the input moves. Run with

    python examples/saturation.py --out out

which takes a few seconds; `--quick` draws coarser curves from fewer samples.
"""

import argparse
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jaxplain
from jaxplain import plot

LINES = {
    "integrated gradients": ("#2c66b8", 3.4),
    "expected gradients": ("#2e8b57", 1.2),
    "smooth gradient": ("#7a4fa3", 1.4),
    "input × gradient": ("#e0952b", 1.2),
    "saliency": ("#c8382c", 0.9),
}
"""The color and the width of each method's line, the widest first, so that none hides another."""

INK, SOFT, FAINT = "#222222", "#666666", "#c8c8c8"
WAVES = (61.0, 83.0, 109.0, 137.0)


class Toy(NamedTuple):
    """A function of one or two numbers, and how to look at it.

    Attributes:
        name: What fails here.
        formula: The function, as a title.
        f: The function of an array (d,).
        d: How many inputs it has. All of them are t in the figure.
        end: Where t, which begins at 0, ends.
        sigma: The standard deviation of the noise of smooth gradients.
        background: The baselines of expected gradients are uniform between 0 and this.
    """

    name: str
    formula: str
    f: Callable[[jax.Array], jax.Array]
    d: int
    end: float
    sigma: float
    background: float


class Curves(NamedTuple):
    """Along t: the function, and what each method gives its first input."""

    t: np.ndarray
    f: np.ndarray
    methods: dict[str, np.ndarray]


def saturating(x: jax.Array) -> jax.Array:
    """Rise with the sum of two inputs up to 1, and stay there."""
    return 1 - jax.nn.relu(1 - x[0] - x[1])


def thresholding(x: jax.Array) -> jax.Array:
    """Stay at 0 up to a threshold of 10, and rise from there."""
    return jax.nn.relu(x[0] - 10)


def trembling(x: jax.Array) -> jax.Array:
    """Rise in a straight line, with four fast and tiny waves on it."""
    return x[0] + 0.004 * sum(jnp.sin(frequency * x[0]) for frequency in WAVES)


SATURATION = Toy(
    "Saturation",
    "$f = 1 - \\mathrm{relu}(1 - x_1 - x_2)$ at $x_1 = x_2 = t$",
    saturating,
    d=2,
    end=1.0,
    sigma=0.1,
    background=0.2,
)
THRESHOLD = Toy(
    "Thresholding",
    "$f = \\mathrm{relu}(x - 10)$ at $x = t$",
    thresholding,
    d=1,
    end=20.0,
    sigma=1.0,
    background=5.0,
)
NOISE = Toy(
    "Noise",
    "$f = x\\,+$ four waves of height 0.004, at $x = t$",
    trembling,
    d=1,
    end=1.0,
    sigma=0.1,
    background=0.2,
)


def trace(toy: Toy, *, points: int, samples: int) -> Curves:
    """Explain one toy at many inputs, all of them in one compiled call for each method."""
    f = toy.f
    t = jnp.linspace(0, toy.end, points)
    xs = jnp.tile(t[:, None], toy.d)
    keys = jax.random.split(jax.random.key(0), points)
    background = jax.random.uniform(jax.random.key(1), (100, toy.d), maxval=toy.background)
    smoothed = jaxplain.smooth(jaxplain.saliency(f), samples=samples, sigma=toy.sigma)
    expected = jaxplain.expected_grad(f, samples=samples)
    expected = functools.partial(expected, baseline=background)
    found = {
        "saliency": jax.jit(jax.vmap(jaxplain.saliency(f)))(xs),
        "input × gradient": jax.jit(jax.vmap(jaxplain.input_x_grad(f)))(xs),
        "smooth gradient": jax.jit(jax.vmap(smoothed))(xs, key=keys),
        "expected gradients": jax.jit(jax.vmap(expected))(xs, key=keys),
        "integrated gradients": jax.jit(jax.vmap(jaxplain.integrated_grad(f, steps=200)))(xs),
    }
    methods = {name: np.asarray(values)[:, 0] for name, values in found.items()}
    return Curves(np.asarray(t), np.asarray(jax.vmap(f)(xs)), methods)


def tell_saturation(curves: Curves) -> None:
    """Compare the methods where the function has long stopped to rise."""
    rise = curves.f[-1] - curves.f[0]
    print(f"Saturation: from (0, 0) to (1, 1) f rises by {rise:.3f}, all of it before (0.5, 0.5).")
    print("At (1, 1), the first of the two equal inputs gets")
    tell(curves, lambda values: values[-1])
    print("  The gradient is 0 where f is flat, and so is its average over noise that stays there.")


def tell_threshold(curves: Curves) -> None:
    """Compare the largest jumps between neighboring inputs."""

    def jump(values: np.ndarray) -> float:
        return np.abs(np.diff(values)).max()

    apart = curves.t[1] - curves.t[0]
    print(
        f"Thresholding: between inputs {apart:.3f} apart f moves by {jump(curves.f):.3f} at most."
    )
    print("The answers move by")
    tell(curves, jump)
    print("  Input × gradient leaves out the bias of -10, and so jumps by 10 at the threshold.")


def tell_noise(curves: Curves) -> None:
    """Compare how far everything strays from a straight line."""

    def strays(values: np.ndarray) -> float:
        line = np.polynomial.Polynomial.fit(curves.t, values, 1)
        return np.abs(values - line(curves.t)).max()

    print(f"Noise: f strays from a straight line by {strays(curves.f):.3f} at most.")
    print("The answers stray from one by")
    tell(curves, strays)
    print("  A gradient multiplies each wave by its frequency. An average or a sum undoes that.")


def tell(curves: Curves, measure: Callable[[np.ndarray], float]) -> None:
    """Print one number for each method."""
    for name, values in curves.methods.items():
        print(f"  {name:20s}  {measure(values):6.3f}")


def draw(toys: Mapping[Toy, Curves]) -> Figure:
    """Draw each function above what the methods say about it, one column each."""
    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots(2, len(toys), sharex="col", height_ratios=(1, 2.6))
    for (above, below), (toy, curves) in zip(axes.T, toys.items(), strict=True):
        above.set_title(toy.name, fontsize=11, color=INK, pad=20)
        above.text(0.5, 1.07, toy.formula, transform=above.transAxes, ha="center", color=SOFT)
        above.plot(curves.t, curves.f, color=INK, linewidth=1.2)
        for name, (color, width) in LINES.items():
            below.plot(curves.t, curves.methods[name], color=color, linewidth=width, label=name)
        below.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        below.set_xlabel("t", color=SOFT)
        for part in (above, below):
            tidy(part)
        above.locator_params(axis="y", nbins=2)
    axes[0, 0].set_ylabel("f", color=SOFT, rotation=0, labelpad=10)
    axes[1, 0].set_ylabel("attribution of the first input", color=SOFT)
    handles, names = axes[1, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9
    )
    return figure


def tidy(axes: Axes) -> None:
    """Take away what is not needed to read a curve."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.8)
    axes.tick_params(labelsize=8, labelcolor=SOFT, color=FAINT, length=3)
    axes.locator_params(nbins=5)
    axes.margins(x=0)


def main() -> None:
    """Explain, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="fewer points and samples")
    options = parser.parse_args()
    points, samples = (201, 200) if options.quick else (801, 2000)

    toys = (SATURATION, THRESHOLD, NOISE)
    found = {toy: trace(toy, points=points, samples=samples) for toy in toys}
    tell_saturation(found[SATURATION])
    tell_threshold(found[THRESHOLD])
    tell_noise(found[NOISE])
    print(f"Wrote {plot.save(draw(found), options.out / 'saturation.png')}")


if __name__ == "__main__":
    main()
