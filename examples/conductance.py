"""Which channels of a layer decide, and what is each of them for?

The 384 channels of a late layer of SqueezeNet, fire7, share out the score of a picture by their
conductance. The first five are explained one by one: where they look (`crp`, and conductance by
pixel), and in which of 216 random crops of nine photographs they matter most. Then channels are
switched off: each gets the values that it has for a plain picture of the mean color. Run with

    python examples/conductance.py --out out

which takes one to two minutes on two cores; `--quick` takes fewer steps and crops.

- `*_shares.png`: nine channels of 384 make half of what the cat scores, six half of the coffee. But
  half of the channels speak against it, together as much as 118 % and 189 % of the change.
- `*_channels.png`: for the cat, one channel looks at both eyes (214), one at eyes and cheeks (201),
  one at the striped forehead (210), and one at fur anywhere (167); for the coffee, the rim toward
  us (180), the handle, the spoon and the rim (94), the right side (274), the coffee itself (186).
  Conductance by pixel is much noisier than conditional relevance. Crops of the same photograph come
  first throughout. Crops of others seldom help: with nine photographs there is little to choose
  from, so what unites a cat's forehead and a cup from inside can only be guessed.
- `switched_off.png`: without the first ten by conductance the logit falls by 12.0 of 26.1 (cat)
  and 14.5 of 31.2 (coffee), without ten at random by 0.7 and 0.8.
- What does the score lose without one channel? Activation × gradient foretells it best (rank
  correlation 0.98, relative error 0.16), since it looks at this picture only. Conductance, a mean
  over pictures on the way from gray, ranks as well (0.94), but its numbers are off by 35 % to 47 %.
  Internal influence, which leaves the activation out, ranks worse (0.71 to 0.74).
- Conductance converges slowly here: after 16 steps 9 % of the cat's score are missing, after 150 it
  is 0.4 %, and 1.1 % of the coffee's.
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT, tidy

import jaxplain
from jaxplain import plot, rules

from pretrained import SAMPLES, Pretrained, labels, load, sample_image

LAYER = "**/fire7"
PHOTOGRAPHS = ("chelsea", "coffee")
TOP = 5
COUNTS = (1, 2, 5, 10, 20, 50, 100)
"""How many channels are switched off together."""

Score = Callable[..., jax.Array]
Array = np.ndarray


class Options(NamedTuple):
    """How much work is done."""

    steps: int
    steps_by_pixel: int
    crops: int
    draws: int  # random sets of channels


class Methods(NamedTuple):
    """What is asked about the layer, compiled once for all pictures."""

    score: Callable[..., Any]
    layer: dict[str, Callable[..., Any]]  # name -> (x, k) -> attribution like the layer
    patching: Callable[..., Any]
    conditional: Callable[..., Any]  # (x, k, channels) -> a map for each
    through: Callable[..., Any]  # (x, k, channels) -> a map for each
    without: Callable[..., Any]  # (x, k, masks) -> scores


def compile_methods(f: Score, x0: jax.Array, options: Options) -> Methods:
    """Methods at the layer; `x0`, a picture of the mean color of ImageNet, is their baseline."""
    steps = options.steps
    off = jax.jit(jaxplain.cut(f, at=LAYER)[0])(x0, 0)
    patch = jaxplain.activation_patching(f, at=LAYER, along=-1, chunk=32)

    def conditional(x: jax.Array, k: jax.Array, channels: jax.Array) -> jax.Array:
        def one(c: jax.Array) -> jax.Array:
            preset = rules.epsilon_plus_flat()
            return jaxplain.crp(f, preset, at=LAYER, channels=c)(x, k)

        return jax.vmap(one)(channels)

    def through(x: jax.Array, k: jax.Array, channels: jax.Array, baseline: jax.Array) -> jax.Array:
        def one(c: jax.Array) -> jax.Array:
            explain = jaxplain.neuron_conductance(
                f, at=LAYER, index=(..., c), steps=options.steps_by_pixel, chunk=4
            )
            return explain(x, k, baseline=baseline)

        return jax.lax.map(one, channels)

    def without(x: jax.Array, k: jax.Array, masks: jax.Array) -> jax.Array:
        def score(mask: jax.Array) -> jax.Array:
            return jaxplain.edit(f, lambda h: jnp.where(mask, off, h), at=LAYER)(x, k)

        return jax.lax.map(score, masks, batch_size=8)

    def compare(method: Callable[..., Any]) -> Callable[..., Any]:
        # An argument, not a constant: the compiler would run the network on a constant, slowly.
        return functools.partial(jax.jit(method), baseline=x0)

    return Methods(
        jax.jit(f),
        {
            "conductance": compare(
                jaxplain.conductance(f, at=LAYER, steps=steps, chunk=4, info=True)
            ),
            "activation × gradient": jax.jit(jaxplain.layer(jaxplain.input_x_grad, at=LAYER)(f)),
            "internal influence": compare(
                jaxplain.internal_influence(f, at=LAYER, steps=steps // 2, chunk=4)
            ),
        },
        compare(patch),
        jax.jit(conditional),
        compare(through),
        jax.jit(without),
    )


def run(what: str, method: Callable[..., Any], *args: Any) -> Any:
    """Call a method, and tell how long it took, compiling included."""
    begin = time.perf_counter()
    result = jax.block_until_ready(method(*args))
    print(f"  {what:32s} {time.perf_counter() - begin:6.1f} s", flush=True)
    return result


# ------------------------------------------------------------------------------ reference examples


def crops(model: Pretrained, count: int) -> Array:
    """Random square parts of the photographs, in the model's units, each picture in its turn."""
    rng = np.random.default_rng(0)
    photographs = [sample_image(name) for name in SAMPLES]
    found = []
    for i in range(count):
        image = photographs[i % len(photographs)]
        shortest = min(image.shape[:2])
        side = int(shortest * rng.uniform(0.35, 1))
        top, left = (rng.integers(0, size - side + 1) for size in image.shape[:2])
        found.append(model.preprocess(image[top : top + side, left : left + side]))
    return np.stack(found)


def batches(xs: Array, size: int = 16) -> Iterator[Array]:
    """The same pictures, a few at a time."""
    for start in range(0, len(xs), size):
        yield xs[start : start + size]


def find_references(model: Pretrained, xs: Array) -> jaxplain.References:
    """All crops, for each channel the one first in which it matters most to what is seen there."""

    def winner(x: jax.Array) -> jax.Array:
        return model.logits(x).max()

    return jaxplain.reference_examples(
        winner, batches(xs), at=LAYER, rules=rules.epsilon_plus_flat(), count=len(xs)
    )


# ----------------------------------------------------------------------------- what channels do


class Found(NamedTuple):
    """What was found in one picture."""

    name: str
    shown: Array
    label: str
    channels: Array  # (512,), conductance of each
    drops: Array  # what the score loses without each
    top: Array
    maps: dict[str, Array]  # column title -> a map for each of the top channels
    curves: dict[str, Array]  # order -> what is lost without the first channels


def explain(model: Pretrained, f: Methods, name: str, options: Options) -> Found:
    """Ask everything about one picture."""
    x = jnp.asarray(model.preprocess(sample_image(name)))
    k = int(jnp.argmax(jax.jit(model.logits)(x)))
    value, base = float(f.score(x, k)), float(f.score(jnp.zeros_like(x), k))
    print(f"\n{name}: {labels()[k]!r}, logit {value:.3f}, and {base:.3f} without a picture")
    layer = {title: run(title, method, x, k) for title, method in f.layer.items()}
    conductance, info = layer["conductance"]
    layer["conductance"] = conductance
    print(
        f"  conductance sums to {float(conductance.sum()):.4f} of {value - base:.4f}: residual "
        f"{float(info.residual):+.4f} after {int(info.steps)} steps, bypass "
        f"{float(info.bypass):.4f}"
    )
    predicted = {title: np.asarray(a).sum((0, 1, 2)) for title, a in layer.items()}
    channels = predicted["conductance"]
    top = np.argsort(-channels)[:TOP]
    drops = np.asarray(run("activation patching", f.patching, x, k)[0, 0, 0])
    tell(predicted, drops, value - base)

    maps = {
        "conditional relevance": np.asarray(run("crp", f.conditional, x, k, top)).sum(-1),
        "conductance by pixel": np.asarray(run("neuron conductance", f.through, x, k, top)).sum(-1),
    }
    for i, c in enumerate(top):
        pixels = maps["conductance by pixel"][i].sum()
        print(
            f"  channel {c:3d}: conductance {channels[c]:.3f}, by pixel {pixels:.3f}, patching "
            f"{drops[c]:.3f}, conditional relevance {maps['conditional relevance'][i].sum():.3f}"
        )
    curves = switch_off(f, x, k, value, predicted | {"each alone": drops}, options)
    shown = model.to_display(np.asarray(x))
    return Found(name, shown, labels()[k], channels, drops, top, maps, curves)


def tell(predicted: dict[str, Array], drops: Array, change: float) -> None:
    """How the channels share the score, and how well each method foretells what a channel does."""
    channels = predicted["conductance"]
    ranked = np.sort(channels)[::-1]
    half = int(np.searchsorted(np.cumsum(ranked), change / 2)) + 1
    print(
        f"  {(channels > 0).sum()} of {len(channels)} channels speak for it, {half} of them make "
        f"half of it; the first has {ranked[0] / change:.1%}, and all against it "
        f"{channels[channels < 0].sum() / change:.1%}"
    )
    for name, scores in predicted.items():
        correlation = rank_correlation(scores, drops)
        error = np.abs(scores - drops).sum() / np.abs(drops).sum()
        print(f"  {name:24s} rank correlation {correlation:+.3f}, relative error {error:.3g}")


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's, for numbers without ties."""
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def switch_off(
    f: Methods, x: jax.Array, k: int, value: float, orders: dict[str, Array], options: Options
) -> dict[str, Array]:
    """What the score loses without the first channels of each order, and of random ones."""
    rng = np.random.default_rng(1)
    size = len(next(iter(orders.values())))
    ranks = {name: np.argsort(np.argsort(-scores)) for name, scores in orders.items()}
    ranks |= {f"random {i}": rng.permutation(size) for i in range(options.draws)}
    masks = np.stack([rank < count for rank in ranks.values() for count in COUNTS])
    lost = value - np.asarray(run("switching off", f.without, x, k, masks))
    lost = lost.reshape(len(ranks), len(COUNTS))
    curves = {name: lost[i] for i, name in enumerate(orders)}
    curves["at random"] = lost[len(orders) :].mean(axis=0)
    print(f"  {'logit lost without':24s}" + "".join(f"{count:8d}" for count in COUNTS))
    for name, curve in curves.items():
        print(f"  {name:24s}" + "".join(f"{number:8.2f}" for number in curve))
    return curves


# ------------------------------------------------------------------------------------- pictures


def draw_channels(found: Found, xs: Array, references: jaxplain.References) -> Figure:
    """The top channels, one a row: where they look here, and what they are used for elsewhere."""
    columns = 1 + len(found.maps) + 4
    figure = Figure(figsize=(1.6 * columns, 1.72 * TOP), dpi=110, layout="constrained")
    axes = figure.subplots(TOP, columns)
    for row, c in zip(axes, found.top, strict=True):
        i = int(np.flatnonzero(found.top == c)[0])
        row[0].imshow(found.shown)
        row[0].set_ylabel(f"channel {c}\n{found.channels[c]:.2f}", color=INK)
        for panel, values in zip(row[1:], found.maps.values(), strict=False):
            scale = np.percentile(np.abs(values[i]), 99.5) or 1
            panel.imshow(values[i], cmap="seismic", vmin=-scale, vmax=scale)
        ranked = np.asarray(references.indices[c])
        others = ranked[ranked % len(SAMPLES) != tuple(SAMPLES).index(found.name)]
        for panel, index in zip(row[-4:], [*ranked[:2], *others[:2]], strict=True):
            panel.imshow(xs[index])
    titles = [found.label, *found.maps, "used most in", "then in", "elsewhere, in", "then in"]
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=9, color=INK)
    for panel in axes.ravel():
        panel.set(xticks=[], yticks=[])
    return figure


def draw_shares(found: Found) -> Figure:
    """Bars of the channels' conductance; they sum to the change of the score."""
    names = [f"channel {c}" for c in range(len(found.channels))]
    title = f"{found.label}: conductance of {LAYER.strip('*/')}"
    return plot.bars(names, found.channels, top=15, title=title, xlabel="logit")


def draw_curves(results: list[Found]) -> Figure:
    """What is lost as more and more channels are switched off."""
    figure = Figure(figsize=(5 * len(results), 3.8), dpi=130, layout="constrained")
    for axes, found in zip(np.ravel(figure.subplots(1, len(results))), results, strict=True):
        for name, curve in found.curves.items():
            style = {"color": FAINT, "linewidth": 3} if name == "at random" else {}
            axes.plot(COUNTS, curve, label=name, marker="o", markersize=3, **style)
        tidy(axes)
        axes.set_xscale("log")
        axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
        axes.minorticks_off()
        axes.set_xlabel("channels switched off", color=SOFT)
        axes.set_title(found.label, color=INK)
    figure.axes[0].set_ylabel("logit lost", color=SOFT)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Find the channels, explain each, switch them off, and draw."""
    parsed = parse()
    options = Options(16, 8, 48, 4) if parsed.quick else Options(150, 24, 216, 16)
    model = load("squeezenet")
    f = jaxplain.select(model.logits)
    x0 = jnp.zeros((model.size, model.size, 3))
    print(f"What SqueezeNet names:\n{jaxplain.names(f)(x0, 0)}\n")

    xs = crops(model, options.crops)
    references = run("reference examples", find_references, model, xs)
    print(f"  read {references.examples} crops of {len(SAMPLES)} photographs")
    compiled = compile_methods(f, x0, options)
    results = [explain(model, compiled, name, options) for name in PHOTOGRAPHS]

    shown = np.stack([model.to_display(x) for x in xs])
    figures = {"switched_off.png": draw_curves(results)}
    for found in results:
        figures[f"{found.name}_channels.png"] = draw_channels(found, shown, references)
        figures[f"{found.name}_shares.png"] = draw_shares(found)
    parsed.out.mkdir(parents=True, exist_ok=True)
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, parsed.out / file)}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer steps, crops and draws")
    return parser.parse_args()


if __name__ == "__main__":
    main()
