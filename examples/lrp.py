"""Layer-wise relevance propagation on real networks: which rules, and where does relevance go?

Explains what a network says about a picture with the presets of the literature, side by side in
`lrp.png`. Then it prints the ledger of one of them (`--ledger`), which says for each step of the
network which rule applied and how much relevance biases, stabilizers and the rule itself absorbed,
writes it to `ledger.txt`, and draws the largest entries in `ledger.png`. `lrp_choices.png` shows
what two choices do: a rule of its own for layers chosen by name, and biases that hand their share
on to their inputs instead of absorbing it. Run with

    python examples/lrp.py --out out
    python examples/lrp.py --out out_lite0 --model efficientnet_lite0

which takes about a minute on two cores. The two networks have much to say about conservation:

- SqueezeNet has small biases. Rules that favor positive contributions lose 1 % or 3 % of the score
  to them, ε 13 %, most of it in one layer.
- EfficientNet-Lite0 has BatchNorm, whose offsets are biases, after nearly every convolution. With
  z⁺ they absorb all but a few ten-thousandths: the maps are clear, but sum to next to nothing. With
  ε, single layers absorb more than the score, with either sign. With `bias="spread"` nine tenths
  arrive, but that map is of no use: it shows where biases are, not what the network saw.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxplain
from jaxplain import Ledger, plot, rules

from pretrained import Pretrained, labels, load, read_image, sample_image

NAMED = {"squeezenet": "**/squeeze1x1", "efficientnet_lite0": "**/project/conv"}
"""Layers of each network that get a rule of their own: those which narrow many channels to few."""

QUICK = ("epsilon", "epsilon_plus_flat", "epsilon_gamma_box")

Score = Callable[..., jax.Array]
Explain = Callable[..., jax.Array]


def bounds(model: Pretrained) -> tuple[jax.Array, jax.Array]:
    """Return black and white, between which all inputs of a network lie."""
    return jnp.asarray(model.low[None, None]), jnp.asarray(model.high[None, None])


PRESETS: dict[str, Callable[[Pretrained], rules.Composite]] = {
    "epsilon": lambda model: rules.epsilon(),
    "epsilon_plus": lambda model: rules.epsilon_plus(),
    "epsilon_plus_flat": lambda model: rules.epsilon_plus_flat(),
    "epsilon_alpha2_beta1_flat": lambda model: rules.epsilon_alpha2_beta1_flat(),
    "epsilon_gamma_box": lambda model: rules.epsilon_gamma_box(*bounds(model)),
    "deep_taylor": lambda model: rules.deep_taylor(*bounds(model)),
    "excitation_backprop": lambda model: rules.excitation_backprop(),
}


class Result(NamedTuple):
    """Relevance (H, W, 3), and the seconds it took to compile and to run."""

    relevance: np.ndarray
    compiling: float
    running: float


def choices(score: Score, model: str) -> dict[str, Explain]:
    """Return a rule by layer name, and biases that are spread, to compare with plain presets."""
    by_name = rules.Composite([(NAMED[model], rules.Gamma(0.5))]) | rules.epsilon()
    return {
        f"epsilon,\nγ in {NAMED[model]}": jaxplain.lrp(score, by_name),
        "epsilon_plus_flat,\nbiases spread": jaxplain.lrp(
            score, rules.epsilon_plus_flat(), bias="spread"
        ),
    }


def explain(method: Explain, x: jax.Array, k: int) -> Result:
    """Compile one explanation, and run it."""
    begin = time.perf_counter()
    compiled = jax.jit(method).lower(x, k).compile()
    built = time.perf_counter()
    relevance = np.asarray(compiled(x, k))
    return Result(relevance, built - begin, time.perf_counter() - built)


def print_row(name: str, found: Result, value: float) -> None:
    """One line of the table: what the relevance sums to, and its size."""
    total = found.relevance.sum(dtype=np.float64)
    size = np.abs(found.relevance).sum(dtype=np.float64)
    print(
        f"{name.replace(chr(10), ' '):36s} {total:9.4f} {total / value:9.2%} {size:10.4f} "
        f"{found.compiling:8.1f} s {found.running:6.1f} s",
        flush=True,
    )


def draw_ledger(ledger: Ledger, preset: str) -> Figure:
    """Draw what absorbed most; the bars sum to what did not reach the pixels."""
    names, scores = [], []
    for row, *parts in zip(ledger.rows, ledger.bias, ledger.stabilizer, ledger.rule, strict=True):
        # The network's own name in front and the operation behind say little.
        site = row.name.partition("/")[2].partition(":")[0] or row.name
        for what, part in zip(("biases", "stabilizer", "rule"), parts, strict=True):
            names.append(f"{site}: {what}")
            scores.append(float(part))
    seed, arrived = float(ledger.seed), float(ledger.inputs)
    title = f"{preset}: of {seed:.2f}, {arrived:.2f} reached the pixels"
    return plot.bars(names, np.array(scores), top=12, title=title, xlabel="relevance absorbed")


def summary(ledger: Ledger) -> str:
    """Return one line that says what all sites absorbed."""
    parts = {"biases": ledger.bias, "stabilizers": ledger.stabilizer, "rules": ledger.rule}
    said = ", ".join(f"{name} {float(part.sum()):.4f}" for name, part in parts.items())
    return f"Of {float(ledger.seed):.4f}, {float(ledger.inputs):.4f} reached the pixels; {said}."


def main() -> None:
    """Explain by all presets, audit one of them, and draw."""
    options = parse()
    try:
        image = sample_image("chelsea") if options.image is None else read_image(options.image)
    except ValueError as error:
        sys.exit(str(error))
    model = load(options.model)
    x = jnp.asarray(model.preprocess(image))
    logits = np.asarray(jax.jit(model.logits)(x))
    k, value = int(logits.argmax()), float(logits.max())
    score = jaxplain.select(model.logits)
    print(f"{model.name} sees {labels()[k]!r}. Explaining its logit, {value:.4f}:")

    print(f"{'rules':36s} {'ΣR':>9s} {'of score':>9s} {'Σ|R|':>10s} {'compiled':>10s} {'ran':>8s}")
    names = QUICK if options.quick else tuple(PRESETS)
    methods = {name: jaxplain.lrp(score, PRESETS[name](model)) for name in names}
    found = {}
    for name, method in (methods | choices(score, options.model)).items():
        found[name] = explain(method, x, k)
        print_row(name, found[name], value)

    # The ledger is an ordinary output: it can be compiled like any other.
    ledger = jax.jit(jaxplain.show(score, PRESETS[options.ledger](model)))(x, k)
    print(f"\nThe ledger of {options.ledger}:\n{ledger}\n\n{summary(ledger)}\n")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ledger.txt").write_text(f"{ledger}\n", encoding="utf-8")
    print(f"Wrote {options.out / 'ledger.txt'}")

    shown = model.to_display(np.asarray(x))
    maps = {name: result.relevance for name, result in found.items()}
    compared = [name for name in maps if name.startswith(("epsilon,", "epsilon_plus_flat"))]
    figures = {
        "lrp.png": plot.grid(shown, {name: maps[name] for name in methods}, columns=4),
        "lrp_choices.png": plot.grid(shown, {n: maps[n] for n in ("epsilon", *sorted(compared))}),
        "ledger.png": draw_ledger(ledger, options.ledger),
    }
    for file, figure in figures.items():
        print(f"Wrote {plot.save(figure, options.out / file)}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="a picture; default: the cat of scikit-image")
    parser.add_argument("--model", default="squeezenet", choices=list(NAMED))
    parser.add_argument(
        "--ledger", default="epsilon", choices=list(PRESETS), help="the preset to audit"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="three presets only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
