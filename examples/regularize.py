"""Can a network be taught to be right for the right reasons?

Each training digit gets a bright spot above it whose place gives its class away, as a watermark or
a ruler in a photograph may. A network trained on them is right about new digits with such spots,
but for the wrong reason: where the spots lie, it reads the spot and not the digit.

Explanations are differentiable functions, so they can be trained. The second network has the same
data and one more term in its loss: the size of the relevance, as layer-wise relevance propagation
finds it, of the margin above the digit. (Ross et al. 2017 do so with gradients: `--by gradient`.)
It is told where not to look, and has to read the digit. Run with

    python examples/regularize.py --out out

which takes a minute on two cores; `--quick` trains for fewer epochs. `regularize.png` shows what
either network sees in held-out digits whose spots lie. `--by epsilon_plus` is worth a try: in the
convolutions its relevance is blind to negative contributions, so a network can still use a spot to
rule out classes, and is fooled more often than with ε.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from digits import ConvNet, Digits, apply, batches, first_of_each_class, load_digits

import jaxplain
from jaxplain import plot, rules

EPOCHS = 6
STRENGTH = 10.0
MARGIN = 4
"""The rows above the digits, which are black but for the spots."""

Score = Callable[[jax.Array, jax.Array], jax.Array]
Explain = Callable[[Score], Callable[[jax.Array, jax.Array], jax.Array]]

METHODS: Mapping[str, Explain] = {
    # A larger stabilizer than for pictures: derivatives divide by its square.
    "epsilon": lambda score: jaxplain.lrp(score, rules.epsilon(0.1)),
    "epsilon_plus": lambda score: jaxplain.lrp(score, rules.epsilon_plus(0.1)),
    "gradient": jaxplain.saliency,
}


def with_spots(digits: Digits, places: np.ndarray) -> Digits:
    """Add a bright spot of two pixels by two above each digit, in one of ten places."""
    images = digits.images.copy()
    for image, place in zip(images, places, strict=True):
        image[1:3, 4 + 2 * place : 6 + 2 * place] = 1
    return Digits(images, digits.labels)


def held_out(digits: Digits, seed: int = 0) -> dict[str, Digits]:
    """Return digits with spots that are right, with spots that never are, and without."""
    off = np.random.default_rng(seed).integers(1, 10, len(digits.labels))
    return {
        "spots tell the class": with_spots(digits, digits.labels),
        "spots lie": with_spots(digits, (digits.labels + off) % 10),
        "no spots": digits,
    }


def lead(params: optax.Params) -> Score:
    """Return the function to explain: by how much the logit of a class exceeds their mean."""

    def score(x: jax.Array, k: jax.Array) -> jax.Array:
        logits = ConvNet().apply(params, x[None])[0]
        return logits[k] - logits.mean()

    return score


def make_step(
    optimizer: optax.GradientTransformation, explain: Explain, strength: float
) -> Callable[..., Any]:
    """Compile one step of training, which differentiates the loss and the explanation in it."""

    def loss_of(params: optax.Params, batch: Digits) -> jax.Array:
        logits = ConvNet().apply(params, batch.images)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
        if not strength:
            return loss
        relevance = jax.vmap(explain(lead(params)))(batch.images, batch.labels)
        return loss + strength * jnp.abs(relevance[:, :MARGIN]).sum((1, 2, 3)).mean()

    @jax.jit
    def step(
        params: optax.Params, state: optax.OptState, batch: Digits
    ) -> tuple[optax.Params, optax.OptState, jax.Array]:
        loss, gradient = jax.value_and_grad(loss_of)(params, batch)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    return step


def train(digits: Digits, explain: Explain, strength: float, epochs: int) -> optax.Params:
    """Train a network with Adam."""
    count = epochs * len(list(batches(digits, seed=0)))
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, count))
    params = ConvNet().init(jax.random.key(0), digits.images[:1])
    state = optimizer.init(params)
    step = make_step(optimizer, explain, strength)
    for epoch in range(epochs):
        losses = []
        for batch in batches(digits, seed=epoch):
            params, state, loss = step(params, state, batch)
            losses.append(loss)
        print(f"  epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}", flush=True)
    return params


class Seen(NamedTuple):
    """What a network makes of digits: the classes it reads (N,), and why (N, 28, 28)."""

    read: np.ndarray
    relevance: np.ndarray


def look(params: optax.Params, explain: Explain, digits: Digits) -> Seen:
    """Read digits, and explain for each the class that was read."""
    read = np.asarray(apply(params, digits.images).argmax(-1))
    relevance = jax.jit(jax.vmap(explain(lead(params))))(digits.images, read)
    return Seen(read, np.asarray(relevance)[..., 0])


def report(params: optax.Params, explain: Explain, tests: Mapping[str, Digits]) -> float:
    """Print how often a network is right and where it looks; return how often if spots lie."""
    for name, digits in tests.items():
        right = float(np.mean(apply(params, digits.images).argmax(-1) == digits.labels))
        print(f"  {name:21s} {right:6.1%} right")
    size = np.abs(look(params, explain, tests["spots lie"]).relevance)
    share = size[:, :MARGIN].sum() / size.sum()
    print(f"  share of the relevance that lies above the digits: {share:.1%}")
    lied = tests["spots lie"]
    return float(np.mean(apply(params, lied.images).argmax(-1) == lied.labels))


def montage(pictures: np.ndarray) -> np.ndarray:
    """Lay out ten pictures (10, H, W) as one, in two rows."""
    rows = [np.concatenate(list(row), axis=1) for row in (pictures[:5], pictures[5:])]
    return np.concatenate(rows)


def main() -> None:
    """Train twice, explain and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--by", choices=list(METHODS), default="epsilon", help="what to penalize")
    parser.add_argument("--strength", type=float, default=STRENGTH, help="weight of the penalty")
    parser.add_argument("--quick", action="store_true", help="train for two epochs")
    options = parser.parse_args()

    explain, epochs = METHODS[options.by], 2 if options.quick else EPOCHS
    train_set, test_set = load_digits()
    tests = held_out(test_set)
    shown = first_of_each_class(tests["spots lie"])
    marked = with_spots(train_set, train_set.labels)
    maps, captions = {}, {}
    for name, strength in {"plain training": 0.0, "relevance penalized": options.strength}.items():
        print(f"{name[0].upper()}{name[1:]}:")
        params = train(marked, explain, strength, epochs)
        right = report(params, explain, tests)
        seen = look(params, explain, shown)
        read = " ".join(map(str, seen.read))
        maps[name] = montage(seen.relevance)
        captions[name] = f"reads {read}; {right:.0%} right where spots lie"

    figure = plot.grid(montage(shown.images[..., 0]), maps, columns=3, captions=captions)
    print(f"Wrote {plot.save(figure, options.out / 'regularize.png')}")


if __name__ == "__main__":
    main()
