"""Which explanation is right? Ten methods and three controls on photographs.

Explains what EfficientNet-Lite0 sees in seven photographs by ten methods, beside three controls
that know nothing of the network: the same relevance everywhere, random relevance, and the edges of
the picture. Then it measures them. (`sanity.py` asks what becomes of explanations when the network
forgets, the class changes and the picture moves.) Run with

    python examples/evaluate.py --out out

which takes two to three minutes on two cores; `--quick` takes three photographs and five methods,
and less than one. Methods are asked once; all metrics read the same maps. What is seen:

- `flipping.png`: the logit while patches of 16 x 16 pixels are blurred, of the cat and of the cup.
  The two photographs do not agree: occlusion has an area between the curves of 3.85 on the cup and
  of 0.54 on the cat, LRP 0.62 and 2.71; only DeepLIFT is good on both (2.66 and 2.78). Blurred from
  its upper left corner on ("uniform"), the cat keeps its logit until three quarters are gone.
- `flipping.gif`: the cat loses its patches, by LRP and by chance, beside the curves. LRP takes the
  eyes and the nose first.
- `object_coffee.png`, `object_motorcycle_left.png`: all maps, with the object drawn around by hand.
  Over the six photographs with an object, which covers 33 % of them, LRP has 72 % of its positive
  relevance on it, Grad-CAM and SmoothGrad² 58 %. The edges have 53 %, more than seven of the ten
  methods: objects have more edges than what is behind them. Gradient × input has 27 %, less than
  chance.
- `benchmark.png`, `report.md`: five metrics over all photographs. By the area between the curves
  LRP (3.45) and DeepLIFT (3.32) come first, and then the edges (2.71), before the other eight
  methods: blurring takes away most where edges are, and this metric alone cannot tell knowledge of
  the network from that. All three are within each other's 95 % intervals, with seven photographs.
  By random subsets (faithfulness correlation) occlusion leads with 0.38, and the edges have 0.13.
  Guided backprop has an area of -1.91 and a correlation of -0.06: the sum of its signed values over
  a patch says nothing of what the patch is worth. Sparseness is no measure of truth: the edges are
  second (0.61).

Occlusion, DeepLIFT and integrated gradients compare with gray, where flipping puts a blur: what is
best here need not be so with another baseline.
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT, tidy
from skimage.draw import polygon2mask

import jaxplain
from jaxplain import baselines, evaluate, features, plot, rules

from pretrained import Pretrained, labels, load, sample_image

OUTLINES = {
    "coffee": "30,50 40,18 70,2 110,0 150,6 176,24 182,60 170,96 160,124 140,150 110,164 78,158 "
    "72,178 48,178 46,140 36,110",
    "camera": "112,52 148,52 150,100 136,134 152,132 180,224 102,224 122,146 128,100 112,90",
    "motorcycle_left": "0,72 10,62 60,84 100,92 140,70 172,70 162,46 176,24 200,40 224,44 224,212 "
    "204,202 190,172 170,176 110,196 98,208 60,176 30,182 0,176",
    "chelsea": "",
    "china": "36,0 50,0 56,22 112,56 100,68 118,90 104,108 132,136 118,146 130,168 144,188 124,204 "
    "134,224 50,224 0,184 0,52 24,36",
    "flower": "104,36 145,44 176,74 188,116 178,160 148,188 104,198 62,190 32,160 22,116 34,74 "
    "64,44",
    "rocket": "108,66 114,58 120,66 120,224 104,224 106,90",
}
"""The photographs, and what the network names in each: a polygon x,y in pixels, drawn by hand.

The cat fills its picture, so it has no outline.
"""
SHOWN = ("coffee", "motorcycle_left")
FLIPPED = ("chelsea", "coffee")

PATCH, BLUR = 16, 10.0  # pixels
KEY = jax.random.key(0)
CONTROLS = ("uniform", "random", "edges")
QUICK_METHODS = ("gradient × input", "integrated gradients", "guided backprop", "LRP", "Grad-CAM")
QUICK_NAMES = ("chelsea", "coffee", "motorcycle_left")

COLORS = ("#3aa6b9", "#7a4fa3", "#d46fae", "#2c66b8", "#123a80")
COLORS += ("#2e8b57", "#c8382c", "#8a5a3c", "#e0952b", "#8fbf5a")
"""One for each method."""

Score = Callable[..., jax.Array]
Maps = dict[str, np.ndarray]


class Task(NamedTuple):
    """What methods are given: the score to explain, other photographs, how much work to spend."""

    score: Score
    others: jax.Array
    samples: int
    stride: int


def smooth(task: Task, statistic: str) -> Callable[..., jax.Array]:
    """The gradient over noise on the picture, averaged."""
    return functools.partial(
        jaxplain.smooth(jax.grad(task.score), samples=task.samples, statistic=statistic, chunk=1),
        key=KEY,
    )


METHODS: dict[str, Callable[[Task], Callable[..., jax.Array]]] = {
    "gradient × input": lambda t: jaxplain.input_x_grad(t.score),
    "SmoothGrad × input": lambda t: jaxplain.times_input(smooth(t, "mean")),
    "SmoothGrad²": lambda t: smooth(t, "square"),
    "integrated gradients": lambda t: jaxplain.integrated_grad(t.score, steps=t.samples, chunk=1),
    "expected gradients": lambda t: functools.partial(
        jaxplain.expected_grad(t.score, samples=t.samples, chunk=1), baseline=t.others, key=KEY
    ),
    "guided backprop": lambda t: jaxplain.guided_backprop(t.score),
    "LRP": lambda t: jaxplain.lrp(t.score, rules.epsilon_plus_flat()),
    "DeepLIFT": lambda t: jaxplain.deeplift(t.score),
    "Grad-CAM": lambda t: jaxplain.grad_cam(t.score, "**/head"),
    "occlusion": lambda t: jaxplain.occlusion(t.score, window=(32, 32), stride=t.stride, chunk=4),
    "uniform": lambda t: evaluate.uniform(t.score),
    "random": lambda t: functools.partial(evaluate.random(t.score), key=KEY),
    "edges": lambda t: evaluate.edges(t.score),
}


class Study(NamedTuple):
    """Photographs and their explanations.

    Attributes:
        model: The network.
        score: The logit of a class, `score(x, k)`.
        names: Of the photographs.
        xs: The photographs in the network's units, (N, 224, 224, 3).
        ks: The class that the network sees in each, (N,).
        maps: The relevance of each pixel by each method, (N, 224, 224).
    """

    model: Pretrained
    score: Score
    names: tuple[str, ...]
    xs: jax.Array
    ks: jax.Array
    maps: Maps

    def shown(self, name: str) -> np.ndarray:
        """One photograph as RGB from 0 to 1."""
        return self.model.to_display(np.asarray(self.xs[self.names.index(name)]))

    def of(self, name: str) -> tuple[jax.Array, jax.Array, Maps]:
        """One photograph, its class and its explanations."""
        i = self.names.index(name)
        return self.xs[i], self.ks[i], {method: m[i] for method, m in self.maps.items()}


def task_of(model: Pretrained, names: Sequence[str], *, quick: bool) -> tuple[Task, jax.Array]:
    """The task, and the class that the network sees in each of its photographs."""
    xs = jnp.stack([jnp.asarray(model.preprocess(sample_image(name))) for name in names])
    ks = jax.jit(jax.vmap(model.logits))(xs).argmax(-1)
    said = ", ".join(f"{labels()[k]} ({name})" for name, k in zip(names, ks, strict=True))
    print(f"EfficientNet-Lite0 sees {said}.")
    task = Task(jaxplain.select(model.logits), xs, 4 if quick else 20, 32 if quick else 24)
    return task, ks


def methods_for(task: Task, *, quick: bool) -> dict[str, Callable[..., jax.Array]]:
    """Methods, and the controls after them."""
    names = (*QUICK_METHODS, *CONTROLS) if quick else METHODS
    return {name: METHODS[name](task) for name in names}


def explain_all(methods: Mapping[str, Any], xs: jax.Array, ks: jax.Array) -> Maps:
    """The relevance of each pixel, the sum over its channels, (N, H, W)."""
    maps = {}
    for name, method in methods.items():
        begin, explain = time.perf_counter(), jax.jit(method)
        found = [np.asarray(explain(x, k)) for x, k in zip(xs, ks, strict=True)]
        maps[name] = np.stack([m if m.ndim == 2 else m.sum(-1) for m in found])
        seconds = time.perf_counter() - begin
        print(f"  {name:20s} {seconds:5.1f} s for {len(xs)} pictures", flush=True)
    return maps


def stored(score: Score, names: Mapping[str, Any]) -> tuple[Score, dict[str, Any]]:
    """The score, and methods that look up what was explained before, as functions (x, k, maps).

    All metrics that only read an explanation can then do so without explaining again.
    """

    def look_up(x: jax.Array, k: jax.Array, maps: Maps, *, name: str) -> Any:
        return maps[name]

    of_maps = {name: functools.partial(look_up, name=name) for name in names}
    return lambda x, k, maps: score(x, k), of_maps


# ------------------------------------------------------------------------------ pixel flipping


def flip(found: Study, name: str, *, steps: int) -> dict[str, dict[str, evaluate.Curve]]:
    """Curves of both orders by method, patches being blurred."""
    f, methods = stored(found.score, found.maps)
    x, k, maps = found.of(name)
    curves = {}
    for order in ("morf", "lerf"):
        metric = evaluate.pixel_flipping(
            f, methods, order=order, steps=steps, groups=features.patches(x, PATCH), chunk=1
        )
        said = jax.jit(metric)(x, k, maps, baseline=baselines.blur(x, BLUR))
        curves[order] = {method: said[method] for method in maps}  # in their own order again
    return curves


def between(curves: Mapping[str, Mapping[str, evaluate.Curve]], method: str) -> float:
    """The area between the curves of a method (ABPC)."""
    return float(curves["lerf"][method].area - curves["morf"][method].area)


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """How the line of each method is drawn; controls are gray."""
    colors = dict(zip(METHODS, COLORS, strict=False))
    dashes = dict(zip(CONTROLS, ("-", "--", ":"), strict=True))
    gray = {name: {"color": SOFT, "linestyle": dash} for name, dash in dashes.items()}
    return {n: gray[n] if n in gray else {"color": colors[n], "linewidth": 1.6} for n in names}


def draw_flipping(flipped: Mapping[str, Any]) -> Figure:
    """One column for each photograph, both orders below each other."""
    figure = Figure(figsize=(4.6 * len(flipped) + 2.4, 6.4), dpi=150, layout="constrained")
    grid = figure.subplots(2, len(flipped), sharex=True, sharey="col", squeeze=False)
    first = next(iter(flipped.values()))
    for column, (name, curves) in zip(grid.T, flipped.items(), strict=True):
        column[0].set_title(f"{name}: the most relevant first", fontsize=10, color=INK)
        column[1].set_title("the least relevant first", fontsize=10, color=INK)
        for axes, order in zip(column, ("morf", "lerf"), strict=True):
            for method, style in styles(curves[order]).items():
                curve = curves[order][method]
                axes.plot(curve.shares, curve.scores, **style)
            tidy(axes)
        column[1].set_xlabel("share of the picture that is blurred", color=SOFT)
    grid[0, 0].set_ylabel("logit", color=SOFT)
    grid[1, 0].set_ylabel("logit", color=SOFT)
    means = {m: np.mean([between(c, m) for c in flipped.values()]) for m in first["morf"]}
    lines = dict(zip(styles(first["morf"]), grid[0, 0].lines, strict=True))
    ranked = sorted(means, key=lambda method: -means[method])
    figure.legend(
        [lines[method] for method in ranked],
        [
            f"{means[method]:+.2f}  {method}".replace("-", "\N{MINUS SIGN}", 1)
            if means[method] < 0
            else f"{means[method]:+.2f}  {method}"
            for method in ranked
        ],
        title="area between them, in the mean",
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    return figure


def print_flipping(flipped: Mapping[str, Any]) -> None:
    """The areas between the curves."""
    print("Area between the curves (logits), least minus most relevant first:")
    for method in next(iter(flipped.values()))["morf"]:
        parts = "  ".join(f"{name} {between(c, method):+6.2f}" for name, c in flipped.items())
        print(f"  {method:20s} {parts}")


def patch_places(relevance: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The place in the order of flipping, most relevant first, of each pixel's patch."""
    patches = np.bincount(groups.ravel(), weights=relevance.ravel())
    places = np.argsort(np.argsort(-patches, kind="stable"))
    return places[groups[..., 0]]


def flipping_frames(
    found: Study, name: str, pair: tuple[str, str], curves: Any
) -> Iterator[Figure]:
    """Two pictures that lose their patches, and how the score falls: one figure for each step."""
    x, _, maps = found.of(name)
    groups = features.patches(x, PATCH)
    shown, count = found.shown(name), int(groups.max()) + 1
    blurred = found.model.to_display(np.asarray(baselines.blur(x, BLUR)))
    places = {method: patch_places(maps[method], groups) for method in pair}
    colors = dict(zip(pair, ("#c8382c", SOFT), strict=True))
    shares = np.asarray(curves[pair[0]].shares)
    for step, share in enumerate(shares):
        figure = Figure(figsize=(9.6, 3.3), layout="constrained")
        *pictures, chart = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
        for axes, method in zip(pictures, pair, strict=True):
            gone = places[method] < round(share * count)
            axes.imshow(np.where(gone[..., None], 0.25 + 0.5 * blurred, shown))
            bare(axes, f"by {method}")
            chart.plot(shares, curves[method].scores, color=colors[method], alpha=0.2)
            line = slice(0, step + 1)
            chart.plot(
                shares[line], curves[method].scores[line], color=colors[method], label=method
            )
            chart.plot(share, curves[method].scores[step], "o", color=colors[method])
        tidy(chart)
        chart.set_xlabel("share of the picture that is blurred", color=SOFT)
        chart.set_title(f"logit of {labels()[int(found.of(name)[1])]!r}", fontsize=10, color=INK)
        chart.legend(frameon=False, fontsize=9, labelcolor=INK)
        chart.margins(x=0.03)
        yield figure


def bare(axes: Axes, title: str) -> None:
    """Take away what a picture does not need."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=FAINT)
    axes.set_title(title, fontsize=10, color=INK)


# ------------------------------------------------------------------------------ the objects


def outline(name: str) -> np.ndarray:
    """The corners (x, y) of the polygon around the object, (P, 2)."""
    return np.array([corner.split(",") for corner in OUTLINES[name].split()], float).reshape(-1, 2)


def masks_of(found: Study) -> np.ndarray:
    """Where the object is in each photograph, (N, 224, 224)."""
    size = (found.model.size, found.model.size)
    corners = [outline(name)[:, ::-1] for name in found.names]
    return np.stack([polygon2mask(size, c) if len(c) else np.ones(size, bool) for c in corners])


def on_object(found: Study, masks: np.ndarray) -> dict[str, dict[str, float]]:
    """By photograph with an object and by method: the share of positive relevance on it."""
    f, methods = stored(found.score, found.maps)
    metric = jax.jit(evaluate.relevance_mass_accuracy(f, methods, along=(0, 1)))
    shares = {}
    for name, mask in zip(found.names, masks, strict=True):
        if not mask.all():
            said = metric(*found.of(name), mask=mask)
            shares[name] = {method: float(said[method]) for method in found.maps}
    return shares


def print_objects(shares: Mapping[str, Mapping[str, float]]) -> None:
    """A table of photographs and methods."""
    print("Share of the positive relevance on the object (uniform: the share it covers):")
    print(" " * 22 + "  ".join(f"{name.split('_')[0]:>10s}" for name in shares))
    for method in next(iter(shares.values())):
        row = "  ".join(f"{part[method]:10.0%}" for part in shares.values())
        print(f"  {method:20s}{row}")


def draw_object(found: Study, name: str, shares: Mapping[str, float]) -> Figure:
    """All maps of one photograph, with the outline of the object."""
    maps = found.of(name)[2]
    captions = {method: f"{share:.0%} inside" for method, share in shares.items()}
    figure = plot.grid(found.shown(name), maps, columns=(len(maps) + 2) // 2, captions=captions)
    corners = outline(name)[np.arange(len(outline(name)) + 1) % len(outline(name))]
    for axes in figure.axes[: 1 + len(maps)]:
        limits = axes.get_xlim(), axes.get_ylim()
        axes.plot(*corners.T, color="#1a9850", linewidth=1.0)
        axes.set(xlim=limits[0], ylim=limits[1])
    return figure


# ------------------------------------------------------------------------------ the benchmark


def measure(found: Study, masks: np.ndarray, *, steps: int, samples: int) -> evaluate.Report:
    """Six metrics of all explanations over all photographs."""
    f, methods = stored(found.score, found.maps)
    groups = features.patches(found.xs[0], PATCH)
    blurred = np.stack([np.asarray(baselines.blur(x, BLUR)) for x in found.xs])
    every = {
        "area between curves": functools.partial(
            evaluate.abpc, steps=steps, groups=groups, chunk=1
        ),
        "faithfulness correlation": functools.partial(
            evaluate.faithfulness_correlation, samples=samples, groups=groups, chunk=1
        ),
        "share on object": functools.partial(evaluate.relevance_mass_accuracy, along=(0, 1)),
        "pointing game": functools.partial(evaluate.pointing_game, along=(0, 1)),
        "sparseness": functools.partial(evaluate.sparseness, along=(0, 1)),
    }
    hidden, inside = {"baseline": blurred}, {"mask": masks}
    return evaluate.benchmark(
        f,
        {name: method for name, method in methods.items() if name not in CONTROLS},
        every,
        found.xs,
        found.ks,
        found.maps,
        controls={name: methods[name] for name in CONTROLS},
        data={
            "area between curves": hidden,
            "faithfulness correlation": hidden,
            "share on object": inside,
            "pointing game": inside,
        },
        key=KEY,
        batch=1,
        undefined="skip",  # the cat has no outline
    )


def wrote(figure: Figure, path: Path) -> None:
    """Save a figure, and say so."""
    print(f"Wrote {plot.save(figure, path)}", flush=True)


def main() -> None:
    """Explain, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer photographs and methods")
    options = parser.parse_args()
    quick, out, begin = options.quick, options.out, time.perf_counter()

    model, names = load("efficientnet_lite0"), QUICK_NAMES if quick else tuple(OUTLINES)
    task, ks = task_of(model, names, quick=quick)
    maps = explain_all(methods_for(task, quick=quick), task.others, ks)
    found = Study(model, task.score, names, task.others, ks, maps)

    steps = 7 if quick else 28
    flipped = {name: flip(found, name, steps=steps) for name in FLIPPED[: 1 if quick else 2]}
    print_flipping(flipped)
    wrote(draw_flipping(flipped), out / "flipping.png")
    frames = flipping_frames(found, "chelsea", ("LRP", "random"), flipped["chelsea"]["morf"])
    print(f"Wrote {plot.animate(frames, out / 'flipping.gif', fps=4, hold=2)}", flush=True)

    masks = masks_of(found)
    objects = on_object(found, masks)
    print_objects(objects)
    for name in SHOWN:
        wrote(draw_object(found, name, objects[name]), out / f"object_{name}.png")

    report = measure(found, masks, steps=steps // (1 if quick else 2), samples=20 if quick else 100)
    print(report)
    wrote(report.figure(), out / "benchmark.png")
    (out / "report.md").write_text(f"{report}\n", encoding="utf-8")
    print(f"Wrote {out / 'report.md'}")
    print(f"Took {time.perf_counter() - begin:.0f} s.")


if __name__ == "__main__":
    main()
