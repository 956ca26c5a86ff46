"""Explain a real picture: what did an ImageNet network look at?

    python examples/quickstart.py --image cat.jpg --out out

prints the five likeliest classes, explains the first one by every method, and writes
`methods.png` (all methods side by side), `overlay.png` (integrated gradients over the picture) and
`path.png` (the score and its gradient on the way from black to the picture). Without `--image`, it
explains the cat that comes with scikit-image.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxplain
from jaxplain import baselines, plot, rules

from pretrained import Pretrained, labels, load, read_image, sample_image

OTHERS = ("coffee", "camera", "rocket", "motorcycle_left", "astronaut")
Score = Callable[..., jax.Array]


class Method(NamedTuple):
    """A method as this script shows it.

    Attributes:
        title: What stands over its picture.
        explain: From the picture and the class to its attribution.
        start: From the picture to the set of pictures whose mean score it explains against; None
            if it does not promise to sum to a difference of scores.
    """

    title: str
    explain: Callable[..., jax.Array]
    start: Callable[[jax.Array], jax.Array] | None = None


class Result(NamedTuple):
    """An attribution with what the table prints about it."""

    attribution: np.ndarray
    total: float
    residual: float | None
    compiling: float
    running: float


class Task(NamedTuple):
    """What every method is given: the score to explain, and how much work to spend.

    Attributes:
        score: The logit of a class, `score(x, k)`.
        others: Other photographs, a set of baselines.
        steps: Gradients per path or mean.
        low: A black pixel in the model's units, (1, 1, 3).
        high: A white one.
    """

    score: Score
    others: jax.Array
    steps: int
    low: jax.Array
    high: jax.Array

    def smooth(self, statistic: str) -> Callable[..., jax.Array]:
        explain = jaxplain.smooth(
            jax.grad(self.score), samples=self.steps, statistic=statistic, chunk=CHUNK
        )
        return partial(explain, key=jax.random.key(0))

    def lrp(self, preset: str, *bounds: jax.Array) -> Method:
        composite = getattr(rules, preset)(*bounds)
        return Method(f"LRP: {preset}", jaxplain.lrp(self.score, composite))


CHUNK = 5  # a few pictures at a time keep a CPU's caches warm and its memory small
BLUR = 30.0  # pixels


def mean_colour(x: jax.Array) -> jax.Array:
    """Zero in the model's units is the mean colour of ImageNet."""
    return jnp.zeros_like(x)[None]


METHODS: dict[str, Callable[[Task], Method]] = {
    "saliency": lambda t: Method("saliency", jaxplain.saliency(t.score)),
    "input_x_grad": lambda t: Method("input × gradient", jaxplain.input_x_grad(t.score)),
    "smooth": lambda t: Method("SmoothGrad", t.smooth("mean")),
    "smooth_square": lambda t: Method("SmoothGrad²", t.smooth("square")),
    "vargrad": lambda t: Method("VarGrad", t.smooth("variance")),
    "integrated_grad": lambda t: Method(
        "integrated gradients",
        jaxplain.integrated_grad(t.score, steps=t.steps, chunk=CHUNK),
        mean_colour,
    ),
    "blur_integrated_grad": lambda t: Method(
        "blur integrated gradients",
        jaxplain.blur_integrated_grad(t.score, sigma=BLUR, steps=t.steps, chunk=CHUNK),
        lambda x: baselines.blur(x, BLUR)[None],
    ),
    "guided_integrated_grad": lambda t: Method(
        "guided integrated gradients",
        jaxplain.guided_integrated_grad(t.score, steps=2 * t.steps),
        mean_colour,
    ),
    "expected_grad": lambda t: Method(
        "expected gradients",
        partial(
            jaxplain.expected_grad(t.score, samples=2 * t.steps, chunk=CHUNK),
            baseline=t.others,
            key=jax.random.key(0),
        ),
        lambda x: t.others,
    ),
    "guided_backprop": lambda t: Method("guided backprop", jaxplain.guided_backprop(t.score)),
    "deconvnet": lambda t: Method("deconvnet", jaxplain.deconvnet(t.score)),
    "lrp_epsilon": lambda t: t.lrp("epsilon"),
    "lrp_epsilon_plus_flat": lambda t: t.lrp("epsilon_plus_flat"),
    "lrp_epsilon_gamma_box": lambda t: t.lrp("epsilon_gamma_box", t.low, t.high),
    "lrp_deep_taylor": lambda t: t.lrp("deep_taylor", t.low, t.high),
}


def explain(method: Method, score: Score, x: jax.Array, k: int) -> Result:
    """Compile one method, run it, and check what it sums to."""
    begin = time.perf_counter()
    compiled = jax.jit(method.explain).lower(x, k).compile()
    built = time.perf_counter()
    attribution = np.asarray(compiled(x, k))
    done = time.perf_counter()
    total = float(attribution.sum(dtype=np.float64))
    residual = None
    if method.start is not None:
        scores = jax.jit(jax.vmap(score, (0, None)))
        difference = scores(x[None], k)[0] - jnp.mean(scores(method.start(x), k))
        residual = total - float(difference)
    return Result(attribution, total, residual, built - begin, done - built)


def print_prediction(logits: np.ndarray, names: tuple[str, ...]) -> None:
    """The five likeliest classes with their probabilities."""
    probabilities = np.asarray(jax.nn.softmax(logits))
    for k in np.argsort(-probabilities)[:5]:
        print(f"  {probabilities[k]:6.1%}  {names[k]} ({k})")


def print_row(name: str, result: Result) -> None:
    """One line of the table of methods."""
    residual = "     -" if result.residual is None else f"{result.residual:+9.3f}"
    print(
        f"{name:24s} {result.total:+11.3f}   {residual:>9s}   "
        f"{result.compiling:7.1f} s {result.running:7.1f} s",
        flush=True,
    )


def draw_path(model: Pretrained, x: jax.Array, k: int, name: str) -> Any:
    """The prediction, and the slope of the score, along the line from zero to the picture."""
    alphas = jnp.linspace(0.0, 1.0, 101)

    @jax.jit
    def along(x: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
        def at(alpha: jax.Array) -> tuple[jax.Array, jax.Array]:
            score = jaxplain.select(model.logits)
            slope = jnp.sum(jaxplain.interior_grad(score, alpha)(x, k) * x)
            return jax.nn.softmax(model.logits(alpha * x))[k], slope

        return jax.lax.map(at, alphas, batch_size=5)

    probability, slope = along(x, k)
    return plot.curves(
        alphas,
        {f"probability of {name}": probability, "slope / largest slope": _share(slope)},
        xlabel="α: from the baseline (0) to the picture (1)",
        ylabel="value on the path",
        title="Where on the path does the score change?",
    )


def _share(values: jax.Array) -> jax.Array:
    largest = jnp.max(jnp.abs(values))
    return values / jnp.where(largest > 0, largest, 1)


def caption(result: Result) -> str:
    """What stands under a method's picture."""
    residual = "" if result.residual is None else f"residual {result.residual:+.2f}, "
    return f"{residual}{result.running:.1f} s"


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        image = sample_image("chelsea") if options.image is None else read_image(options.image)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2

    model, names = load(options.model), labels()
    x = jnp.asarray(model.preprocess(image))
    logits = np.asarray(jax.jit(model.logits)(x))
    k = int(logits.argmax())
    print(f"{options.model} sees:")
    print_prediction(logits, names)

    score = jaxplain.select(model.logits)
    others = jnp.stack([jnp.asarray(model.preprocess(sample_image(n))) for n in OTHERS])
    low, high = (jnp.asarray(bound[None, None]) for bound in (model.low, model.high))
    task = Task(score, others, options.steps, low, high)
    print(f"\nexplaining the logit of {names[k]!r}, {logits[k]:.2f}:")
    print(f"{'method':24s} {'sums to':>11s}   {'residual':>9s}   {'compiled':>9s} {'ran':>9s}")
    results = {}
    for name in options.methods or METHODS:
        method = METHODS[name](task)
        results[method.title] = explain(method, score, x, k)
        print_row(name, results[method.title])

    shown = model.to_display(np.asarray(x))
    attributions = {title: result.attribution for title, result in results.items()}
    captions = {title: caption(result) for title, result in results.items()}
    first = "integrated gradients" if "integrated gradients" in results else next(iter(results))
    short = names[k].split(",")[0]
    figures = {
        "methods.png": plot.grid(shown, attributions, columns=4, captions=captions),
        # Single pixels are too fine to see over a picture: their averages over 2 pixels are not.
        "overlay.png": plot.overlay(
            shown,
            baselines.blur(attributions[first].sum(-1), 2.0),
            title=f"{first}: {short}",
        ),
        "path.png": draw_path(model, x, k, short),
    }
    print()
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file)}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Explain what an ImageNet network saw.")
    parser.add_argument("--image", type=Path, help="a picture; default: the cat of scikit-image")
    parser.add_argument(
        "--model", default="squeezenet", choices=["squeezenet", "efficientnet_lite0"]
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        metavar="METHOD",
        help=f"some of: {', '.join(METHODS)}",
    )
    parser.add_argument(
        "--steps", type=int, default=50, help="gradients per path or mean (default 50)"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="six gradients per path or mean")
    options = parser.parse_args(arguments)
    if options.quick:
        options.steps = 6
    if options.steps < 2:
        parser.error("--steps must be at least 2")
    return options


if __name__ == "__main__":
    sys.exit(main())
