"""What becomes of an explanation when the network forgets, the class changes, the picture moves?

Three tests that take no pixel away, of the methods and photographs of `evaluate.py`. Run with

    python examples/sanity.py --out out

which takes three to four minutes on two cores; `--quick` takes fewer methods, samples and pictures,
and about one. What is seen:

- `randomization.png`: kernels are put in random order, from the output on, and the magnitudes of
  relevance are compared with those of the trained network. Guided backprop fails: it does not see
  that the classifier and the head are new (rank correlation 1.00), and hardly that the last six
  blocks are (0.90). LRP with z⁺ is little better as to the head (0.94), although the classifier
  alone changes it (0.68): what is left positive is much the same whatever the upper weights are.
  Grad-CAM changes at once (-0.12). Gradients fall to 0.5 and stay there down to the first blocks:
  multiplied by the picture, they have its contours. The edges stay as they are.
- `mosaic.png`: four photographs in one, and the share of positive relevance in the one whose class
  is explained; by chance 25 %. In the mean it is 73 % for Grad-CAM, 71 % for LRP, 70 % for
  occlusion and 58 % for SmoothGrad², but 33 % for guided backprop and 37 % for gradient × input.
- `translation.gif`: a cup moves to the right, pixel by pixel. Of LRP's relevance, 5 % to 8 % does
  not move with it by an even number of pixels, and 33 % by an odd one: the first layer has a stride
  of two. Of gradient × input it is 60 % in the mean. SmoothGrad, meant to be steadier, has 68 %:
  the noise of its ten samples, the same at every place, does not move. Continuity (over two pixels
  to either side) is 27 for gradient × input, 20 for SmoothGrad and 3.4 for LRP.
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from evaluate import (
    KEY,
    METHODS,
    Maps,
    Task,
    bare,
    explain_all,
    methods_for,
    stored,
    styles,
    task_of,
    wrote,
)
from matplotlib.figure import Figure
from saturation import INK, SOFT, tidy

import jaxplain
from jaxplain import evaluate, plot

from pretrained import Pretrained, labels, load

IN_MOSAIC = ("chelsea", "coffee", "motorcycle_left", "camera")
LAYERS = {
    "stem/*kernel": "stem",
    "Block_[0-4]/*kernel": "blocks 0\u20134",
    "Block_[5-9]/*kernel": "blocks 5\u20139",
    "Block_1?/*kernel": "blocks 10\u201315",
    "head/*kernel": "head",
    "classifier/*kernel": "classifier",
}
"""The parts of the network from its input to its output, as globs over its kernels."""
FORGETTING = (
    "gradient × input",
    "SmoothGrad × input",
    "integrated gradients",
    "guided backprop",
    "LRP",
    "Grad-CAM",
    "edges",
)
QUICK_FORGETTING = ("gradient × input", "guided backprop", "LRP", "edges")
MOVED = ("gradient × input", "SmoothGrad × input", "LRP")
REACH = 12  # pixels to either side

Attribution = Callable[..., jax.Array]


# ------------------------------------------------------------------------- the network forgets


def forget(
    model: Pretrained, task: Task, ks: jax.Array, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """How alike the magnitudes of each method stay, from the output on, in the mean: (parts,)."""
    rest = {name: part for name, part in model.variables.items() if name != "params"}

    def maker(name: str) -> Callable[[Any], Attribution]:
        def make(params: Any) -> Attribution:
            def logits(x: jax.Array) -> jax.Array:
                return model.module.apply({"params": params, **rest}, x[None])[0]

            return METHODS[name](task._replace(score=jaxplain.select(logits)))

        return make

    # All methods at once, so that the new parameters are drawn once.
    test = evaluate.parameter_randomization(
        {name: maker(name) for name in names},
        model.variables["params"],
        layers=tuple(LAYERS),
        absolute=True,
        chunk=1,
    )
    compiled = jax.jit(functools.partial(test, key=KEY))
    each = [compiled(x, k) for x, k in zip(task.others, ks, strict=True)]
    return {name: np.mean([found[name].similarities for found in each], axis=0) for name in names}


def print_forgetting(found: Mapping[str, np.ndarray]) -> None:
    """One row for each method, one column for each part of the network."""
    print("Rank correlation of magnitudes with the explanation of the network itself, when new are")
    print(" " * 22 + "".join(f"{'+ ' * (i > 0) + n:>16s}" for i, n in enumerate(parts())))
    for name, values in found.items():
        print(f"  {name:20s}" + "".join(f"{value:16.2f}" for value in values))


def parts() -> list[str]:
    """The parts of the network from its output to its input."""
    return list(LAYERS.values())[::-1]


def draw_forgetting(found: Mapping[str, np.ndarray]) -> Figure:
    """How alike each method stays while more and more of the network is new."""
    figure = Figure(figsize=(8.6, 3.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for name, style in styles(found).items():
        axes.plot([1, *found[name]], marker="o", markersize=3.5, label=name, **style)
    tidy(axes)
    ticks = ["nothing", *(("+ " if i else "") + name for i, name in enumerate(parts()))]
    axes.set_xticks(range(len(ticks)), ticks)
    axes.margins(x=0.02)
    axes.set_xlabel("what is new in the network, from the output on", color=SOFT)
    axes.set_ylabel("rank correlation of magnitudes", color=SOFT)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK)
    return figure


# --------------------------------------------------------------------------- the class changes


class Mosaic(NamedTuple):
    """Four photographs in one.

    Attributes:
        x: The mosaic in the network's units, (224, 224, 3).
        masks: Where each photograph is, (4, 224, 224).
        maps: By method the relevance for the class of each, (4, 224, 224).
        shares: By method the share of positive relevance where the class is, (4,).
    """

    x: jax.Array
    masks: jax.Array
    maps: Maps
    shares: dict[str, np.ndarray]


def four_in_one(task: Task, ks: jax.Array, *, quick: bool) -> Mosaic:
    """Explain four photographs in one for the class of each."""
    n, height, width, channels = task.others.shape
    small = task.others.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))
    pairs = [evaluate.mosaic(small, np.arange(4) == i) for i in range(4)]
    x, masks = pairs[0][0], jnp.stack([mask for _, mask in pairs])
    maps = explain_all(methods_for(task, quick=quick), jnp.stack([x] * 4), ks)
    f, methods = stored(task.score, maps)
    metric = evaluate.focus(f, methods, along=(0, 1))
    each = jax.jit(jax.vmap(lambda k, maps, mask: metric(x, k, maps, mask=mask)))
    found = each(ks, maps, masks)
    return Mosaic(x, masks, maps, {name: np.asarray(found[name]) for name in maps})


def print_mosaic(mosaic: Mosaic) -> None:
    """The share of the positive relevance in the photograph of the class."""
    print("Share of the positive relevance in the photograph of the class (by chance 25%):")
    for name, each in mosaic.shares.items():
        said = "  ".join(f"{n} {share:4.0%}" for n, share in zip(IN_MOSAIC, each, strict=True))
        print(f"  {name:20s} mean {each.mean():4.0%}   {said}")


def draw_mosaic(model: Pretrained, mosaic: Mosaic, ks: jax.Array, number: int) -> Figure:
    """All maps for the class of one of the photographs."""
    word = labels()[int(ks[number])]
    maps = {name: found[number] for name, found in mosaic.maps.items()}
    captions = {name: f"{each[number]:.0%} in the {word}" for name, each in mosaic.shares.items()}
    shown = model.to_display(np.asarray(mosaic.x))
    return plot.grid(shown, maps, columns=(len(maps) + 2) // 2, captions=captions)


# --------------------------------------------------------------------------- the picture moves


class Moving(NamedTuple):
    """A picture that moves sideways.

    Attributes:
        shifts: In pixels, (T,).
        pictures: The picture after each, (T, 224, 224, 3).
        maps: By method its relevance, (T, 224, 224).
        changed: By method the share of relevance that does not move with it, (T,).
        continuity: By method, of maps of size 1, per unit of the picture.
    """

    shifts: np.ndarray
    pictures: np.ndarray
    maps: Maps
    changed: dict[str, np.ndarray]
    continuity: dict[str, float]


def moved(x: np.ndarray, shift: int) -> np.ndarray:
    """The picture moved to the right; gray comes in."""
    found = np.zeros_like(x)
    width = x.shape[1] - abs(shift)
    found[:, max(shift, 0) :][:, :width] = x[:, max(-shift, 0) :][:, :width]
    return found


def changed(here: np.ndarray, there: np.ndarray, shift: int) -> float:
    """The share of relevance that differs after moving back, where both pictures show the same."""
    width = here.shape[1] - abs(shift)
    before = here[:, max(-shift, 0) :][:, :width]
    after = there[:, max(shift, 0) :][:, :width]
    return float(np.abs(after - before).sum() / (np.abs(after) + np.abs(before)).sum())


def of_size_one(attribution: Attribution) -> Attribution:
    """Relevance in shares of all its magnitudes, so that methods have one unit."""

    def explain(x: jax.Array, k: jax.Array) -> jax.Array:
        relevance = attribution(x, k)
        return relevance / jnp.sum(jnp.abs(relevance))

    return explain


def move(task: Task, x: jax.Array, k: jax.Array, *, every: int) -> Moving:
    """Explain a picture wherever it is."""
    shifts = np.arange(-REACH, REACH + 1, every)
    pictures = np.stack([moved(np.asarray(x), int(shift)) for shift in shifts])
    methods = {name: of_size_one(METHODS[name](task)) for name in MOVED}
    maps = explain_all(methods, jnp.asarray(pictures), jnp.broadcast_to(k, len(shifts)))
    change = {
        name: np.array(
            [changed(m[len(m) // 2], there, int(t)) for there, t in zip(m, shifts, strict=True)]
        )
        for name, m in maps.items()
    }
    test = jax.jit(evaluate.continuity(task.score, methods, shifts=2, chunk=1))
    found = test(x, k)
    return Moving(shifts, pictures, maps, change, {name: float(found[name]) for name in MOVED})


def print_moving(moving: Moving) -> None:
    """Continuity, and how well explanations move with the picture."""
    print("Continuity, in thousandths of the map per unit of the picture (less is better); and the")
    print("share of relevance that does not move with the picture:")
    for name, value in moving.continuity.items():
        away = moving.changed[name][moving.shifts != 0]
        print(
            f"  {name:20s} {1000 * value:6.2f}   {away.min():4.0%} to {away.max():4.0%}, "
            f"mean {away.mean():4.0%}"
        )


def moving_frames(model: Pretrained, moving: Moving) -> Iterator[Figure]:
    """The picture, its explanations and how much they have changed: one figure for each place."""
    for i in range(len(moving.shifts)):
        figure = Figure(figsize=(9.6, 5.2), layout="constrained")
        names = ("picture", *MOVED)
        panels = figure.subplot_mosaic([names, ["chart"] * len(names)], height_ratios=(1.25, 1))
        panels["picture"].imshow(model.to_display(moving.pictures[i]))
        bare(panels["picture"], "the picture moves")
        chart = panels["chart"]
        for name, style in styles(MOVED).items():
            values = plot.normalize(moving.maps[name][i])
            panels[name].imshow(values, cmap="bwr", vmin=-1, vmax=1)
            bare(panels[name], f"{name}\ncontinuity {1000 * moving.continuity[name]:.1f}")
            chart.plot(moving.shifts, moving.changed[name], label=name, **style)
            chart.plot(moving.shifts[i], moving.changed[name][i], "o", color=style["color"])
        tidy(chart)
        chart.set_ylim(0, 1)
        chart.set_xlabel("pixels to the right", color=SOFT)
        chart.set_title("share of the relevance that does not move with it", fontsize=10, color=INK)
        chart.legend(loc="upper center", ncols=len(MOVED), frameon=False, fontsize=9)
        yield figure


def main() -> None:
    """Test, tell and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer methods, samples and pictures")
    options = parser.parse_args()
    quick, out, begin = options.quick, options.out, time.perf_counter()
    model = load("efficientnet_lite0")
    task, ks = task_of(model, IN_MOSAIC, quick=quick)

    few = task._replace(others=task.others[: 1 if quick else 2], samples=4 if quick else 10)
    names = QUICK_FORGETTING if quick else FORGETTING
    found = forget(model, few, ks[: len(few.others)], names)
    print_forgetting(found)
    wrote(draw_forgetting(found), out / "randomization.png")

    mosaic = four_in_one(task, ks, quick=quick)
    print_mosaic(mosaic)
    number = IN_MOSAIC.index("motorcycle_left")
    wrote(draw_mosaic(model, mosaic, ks, number), out / "mosaic.png")

    coffee = IN_MOSAIC.index("coffee")
    moving = move(few, task.others[coffee], ks[coffee], every=4 if quick else 1)
    print_moving(moving)
    path = plot.animate(moving_frames(model, moving), out / "translation.gif", fps=6, dpi=80)
    print(f"Wrote {path}\nTook {time.perf_counter() - begin:.0f} s.")


if __name__ == "__main__":
    main()
