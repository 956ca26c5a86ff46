"""Explain a real picture: what did an ImageNet network look at?

    python examples/quickstart.py --image cat.jpg --out out

prints the five likeliest classes, explains the first one by every gradient method, and writes
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
from jaxplain import baselines, plot

from models import Pretrained, labels, load, read_image, sample_image

BACKGROUND = ("coffee", "camera", "rocket", "motorcycle_left", "astronaut")
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
    explain: jaxplain.Attribution
    start: Callable[[jax.Array], jax.Array] | None = None


class Result(NamedTuple):
    """An attribution with what the table prints about it."""

    attribution: np.ndarray
    total: float
    residual: float | None
    compiling: float
    running: float


def methods(score: Score, model: Pretrained, steps: int) -> dict[str, Method]:
    """Every method, by the name that `--methods` knows it by."""
    key = jax.random.key(0)
    others = jnp.stack([jnp.asarray(model.preprocess(sample_image(name))) for name in BACKGROUND])
    gradient = jax.grad(score)
    blurred = partial(baselines.blur, sigma=30.0)
    smooth = partial(jaxplain.smooth, samples=steps, chunk=5)
    path = {"steps": steps, "chunk": 5}
    expected = jaxplain.expected_grad(score, samples=2 * steps, chunk=5)
    zero = lambda x: jnp.zeros_like(x)[None]  # noqa: E731
    return {
        "saliency": Method("saliency", jaxplain.saliency(score)),
        "input_x_grad": Method("input × gradient", jaxplain.input_x_grad(score)),
        "smooth": Method("SmoothGrad", partial(smooth(gradient), key=key)),
        "smooth_square": Method(
            "SmoothGrad²", partial(smooth(gradient, statistic="square"), key=key)
        ),
        "vargrad": Method("VarGrad", partial(smooth(gradient, statistic="variance"), key=key)),
        "integrated_grad": Method(
            "integrated gradients", jaxplain.integrated_grad(score, **path), zero
        ),
        "blur_integrated_grad": Method(
            "blur integrated gradients",
            jaxplain.blur_integrated_grad(score, sigma=30.0, **path),
            lambda x: blurred(x)[None],
        ),
        "guided_integrated_grad": Method(
            "guided integrated gradients",
            jaxplain.guided_integrated_grad(score, steps=2 * steps),
            zero,
        ),
        "expected_grad": Method(
            "expected gradients", partial(expected, baseline=others, key=key), lambda x: others
        ),
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
    def along(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def at(alpha: jax.Array) -> tuple[jax.Array, jax.Array]:
            score = jaxplain.select(model.logits)
            slope = jnp.sum(jaxplain.interior_grad(score, alpha)(x, k) * x)
            return jax.nn.softmax(model.logits(alpha * x))[k], slope

        return jax.lax.map(at, alphas, batch_size=5)

    probability, slope = along(x)
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
    table = methods(score, model, options.steps)
    chosen = options.methods or list(table)
    print(f"\nexplaining the logit of {names[k]!r}, {logits[k]:.2f}:")
    print(f"{'method':24s} {'sums to':>11s}   {'residual':>9s}   {'compiled':>9s} {'ran':>9s}")
    results = {}
    for name in chosen:
        results[table[name].title] = explain(table[name], score, x, k)
        print_row(name, results[table[name].title])

    shown = model.to_display(np.asarray(x))
    attributions = {title: result.attribution for title, result in results.items()}
    captions = {title: caption(result) for title, result in results.items()}
    first = "integrated gradients" if "integrated gradients" in results else next(iter(results))
    short = names[k].split(",")[0]
    figures = {
        "methods.png": plot.grid(shown, attributions, columns=5, captions=captions),
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
        print(f"wrote {plot.save(figure, options.out / file)}")
    return 0


KNOWN = (
    "saliency input_x_grad smooth smooth_square vargrad integrated_grad blur_integrated_grad "
    "guided_integrated_grad expected_grad"
).split()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Explain what an ImageNet network saw.")
    parser.add_argument("--image", type=Path, help="a picture; default: the cat of scikit-image")
    parser.add_argument(
        "--model", default="squeezenet", choices=["squeezenet", "efficientnet_lite0"]
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=KNOWN,
        metavar="METHOD",
        help=f"some of: {', '.join(KNOWN)}",
    )
    parser.add_argument("--steps", type=int, default=50, help="gradients per method (default 50)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="six gradients per method")
    options = parser.parse_args(arguments)
    if options.quick:
        options.steps = 6
    if options.steps < 2:
        parser.error("--steps must be at least 2")
    return options


if __name__ == "__main__":
    sys.exit(main())
