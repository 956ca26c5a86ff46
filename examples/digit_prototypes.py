"""What does a network take for a typical digit? Four answers by activation maximization.

Trains a convolutional network to read digits, and looks for the picture of each class that it is
surest of, as in section 3 of Montavon, Samek and Müller 2018, arXiv:1706.07979: with a penalty on
the size alone, started from the mean of all digits and of each class; with an expert, a mixture of
Gaussians that knows the density of digits; and in the code space of a variational autoencoder. The
mixture and the autoencoder are trained here too. Run with

    python examples/digit_prototypes.py --out out

which takes about a minute on two cores; `--quick` trains less and takes fewer steps.

What is seen in `digit_prototypes.png`, where the network gives each picture a probability of its
class of at least 0.997:

- Simple: strokes are bright, thick and broken, with dots along the frame. The 1, 4 and 7 can be
  read, the 8 cannot. From the means of the classes the 0 is rounder; most others are the same.
- With an expert: digits, but blurred, as the mixture's density is highest at the means of its
  Gaussians. The foot of the 2 is a smear, and the 4 and the 7 have ghosts of other strokes.
- In code space: the sharpest, and the most like handwriting, but for a blot in the loop of the 2
  and a filled corner of the 3. They are close to training digits, and no copies of them.
- The mixture's log density is -514 (from the mean) and -367 (from class means) without knowledge
  of the data, 796 with the expert, 603 in code space, and 386 for ten held-out digits: real digits
  are less dense than what was made to be dense. The nearest training digit is 8.6, 7.9, 3.9 and 4.2
  away, and 5.2 from a held-out digit, which has sharper edges than any mean.
- What is maximized is the log-odds of the class. The log-probability is flat where the network is
  certain: with it, simple pictures are faint, and those in code space as blurred as the means.
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from digits import EPOCHS, Digits, Trained, load_digits, train
from matplotlib.figure import Figure
from saturation import FAINT, INK, SOFT
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import jaxplain
from jaxplain import parametrizations, penalties, plot

CLASSES = np.arange(10)
SHAPE = (28, 28, 1)
CODE = 12
BATCH = 100
SIZE = 0.1  # the weight of the squared size of a picture
CODE_SIZE = 0.2  # the weight of the squared size of a code
NEIGHBORS = 10

Array = np.ndarray
Density = Callable[[jax.Array], jax.Array]


class Options(NamedTuple):
    """How much work is done."""

    epochs: int
    coder_steps: int
    components: int
    steps: int


def log_odds(logits: jax.Array, k: jax.Array) -> jax.Array:
    """Of class k against all others: unlike the log-probability, it does not stop at certainty."""
    others = jnp.where(jnp.arange(len(logits)) == k, -jnp.inf, logits)
    return logits[k] - jax.nn.logsumexp(others)


# ------------------------------------------------------------------------------------ the expert


def fit_density(images: Array, components: int, dimensions: int = 30) -> Density:
    """Fit a mixture of Gaussians in the principal components, and one Gaussian to the rest."""
    flat = images.reshape(len(images), -1)
    axes = PCA(dimensions, svd_solver="covariance_eigh").fit(flat)
    mixture = GaussianMixture(components, reg_covar=0.05, tol=1e-2, random_state=0)
    mixture.fit(axes.transform(flat))
    whiten, means, logs, directions, middle = (
        jnp.asarray(values, jnp.float32)
        for values in (
            mixture.precisions_cholesky_,
            mixture.means_,
            np.log(mixture.weights_),
            axes.components_,
            axes.mean_,
        )
    )
    left_over = flat.shape[1] - dimensions
    variance = float(axes.noise_variance_)
    constant = -dimensions / 2 * np.log(2 * np.pi) - left_over / 2 * np.log(2 * np.pi * variance)
    volumes = jnp.log(jnp.diagonal(whiten, axis1=1, axis2=2)).sum(-1)

    def log_density(x: jax.Array) -> jax.Array:
        away = x.reshape(-1) - middle
        place = directions @ away
        white = jnp.einsum("kij,ki->kj", whiten, place[None] - means)
        inside = jax.nn.logsumexp(logs + volumes - jnp.sum(white**2, axis=-1) / 2)
        rest = jnp.sum((away - place @ directions) ** 2) / (2 * variance)
        return inside - rest + constant

    return log_density


# ------------------------------------------------------------------------------- the code space


class Encoder(nn.Module):
    """Where a picture lies in code space: mean and logarithm of the standard deviation."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map pictures (N, 784) to two arrays (N, CODE)."""
        h = nn.relu(nn.Dense(256)(x))
        return nn.Dense(CODE)(h), nn.Dense(CODE)(h)


class Decoder(nn.Module):
    """What picture a code stands for."""

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """Map codes (N, CODE) to the log-odds of 784 pixels being white."""
        for _ in range(2):
            z = nn.relu(nn.Dense(256)(z))
        return nn.Dense(784)(z)


class Coder(NamedTuple):
    """The parameters of a trained variational autoencoder."""

    encoder: optax.Params
    decoder: optax.Params

    def encode(self, xs: Array) -> jax.Array:
        """The most likely codes (N, CODE) of pictures."""
        return Encoder().apply(self.encoder, xs.reshape(len(xs), -1))[0]

    def decode(self, z: jax.Array) -> jax.Array:
        """The picture (28, 28, 1) of one code."""
        return jax.nn.sigmoid(Decoder().apply(self.decoder, z[None])[0]).reshape(SHAPE)


def train_coder(images: Array, steps: int) -> Coder:
    """Train a variational autoencoder with Adam, all steps in one compiled loop."""
    xs = jnp.asarray(images.reshape(len(images), -1))
    keys = jax.random.split(jax.random.key(0), 3)
    start = Coder(Encoder().init(keys[0], xs[:1]), Decoder().init(keys[1], jnp.zeros((1, CODE))))
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    def loss_of(coder: Coder, batch: jax.Array, key: jax.Array) -> jax.Array:
        mean, log_deviation = Encoder().apply(coder.encoder, batch)
        codes = mean + jnp.exp(log_deviation) * jax.random.normal(key, mean.shape)
        drawn = Decoder().apply(coder.decoder, codes)
        missed = optax.sigmoid_binary_cross_entropy(drawn, batch).sum(axis=-1)
        # How far the code's distribution is from the prior, a standard normal one.
        spread = jnp.exp(2 * log_deviation) - 2 * log_deviation - 1
        return jnp.mean(missed + (mean**2 + spread).sum(axis=-1) / 2)

    def step(carry: Any, number: jax.Array) -> Any:
        coder, state = carry
        choose, draw = jax.random.split(jax.random.fold_in(keys[2], number))
        batch = xs[jax.random.randint(choose, (BATCH,), 0, len(xs))]
        loss, gradient = jax.value_and_grad(loss_of)(coder, batch, draw)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(coder, updates), state), loss

    def loop(coder: Coder) -> Any:
        return jax.lax.scan(step, (coder, optimizer.init(coder)), jnp.arange(steps))

    (coder, _), losses = jax.jit(loop)(start)
    print(f"Autoencoder: {losses[:20].mean():.0f} nats a digit at first, {losses[-20:].mean():.0f}")
    return coder


# --------------------------------------------------------------------------------- the four rows


def maximize_all(
    net: Trained, digits: Digits, density: Density, coder: Coder, steps: int
) -> dict[str, Array]:
    """Find a picture of each class in four ways, one compiled call each."""
    means = np.stack([digits.images[digits.labels == k].mean(axis=0) for k in CLASSES])
    overall = np.broadcast_to(digits.images.mean(axis=0), means.shape)
    settle = optax.adam(optax.cosine_decay_schedule(0.03, steps))
    pixels = parametrizations.pixels((0, 1))

    def score(x: jax.Array, k: jax.Array) -> jax.Array:
        return log_odds(net.logits(x), k)

    maximize = functools.partial(jaxplain.maximize_activation, score, steps=steps, optimizer=settle)
    simple = maximize(parametrization=pixels, penalties=[penalties.l2(SIZE)])
    expert = maximize(parametrization=pixels, penalties=[penalties.expert(density)])
    coded = maximize(
        parametrization=parametrizations.code(coder.decode),
        penalties=[penalties.on_code(penalties.l2(CODE_SIZE))],
    )
    rows = {
        "simple, from the mean": (simple, overall),
        "simple, from class means": (simple, means),
        "with an expert": (expert, means),
        "in code space": (coded, coder.encode(means)),
    }
    found = {}
    for name, (method, starts) in rows.items():
        begin = time.perf_counter()
        found[name] = np.asarray(jax.jit(jax.vmap(method))(starts, CLASSES))
        print(f"  {name:24s} {time.perf_counter() - begin:5.1f} s", flush=True)
    return found


def neighbors(xs: Array, digits: Digits) -> tuple[Array, Array]:
    """The rows of the nearest training digits of each picture, and how far the first is."""
    flat = digits.images.reshape(len(digits.images), -1)
    squares = ((xs.reshape(len(xs), 1, -1) - flat[None]) ** 2).sum(axis=-1)
    nearest = np.argsort(squares, axis=-1)[:, :NEIGHBORS]
    return nearest, np.sqrt(squares.min(axis=-1))


def tell(net: Trained, rows: dict[str, Array], density: Density, digits: Digits) -> None:
    """Say how sure the network is of each row, and how much it is like digits."""
    densities = jax.jit(jax.vmap(density))
    print(
        f"{'':25s}  probability of the class   log density   distance to    class of the\n"
        f"{'':25s}  least     mean             mean          nearest digit  ten nearest"
    )
    for name, xs in rows.items():
        sure = net.probabilities(xs)[CLASSES, CLASSES]
        nearest, distance = neighbors(xs, digits)
        same = np.mean(digits.labels[nearest] == CLASSES[:, None])
        print(
            f"  {name:24s} {sure.min():.4f}    {sure.mean():.4f}         "
            f"{densities(xs).mean():8.1f}      {distance.mean():6.2f}         {same:6.1%}"
        )


def draw(rows: dict[str, Array]) -> Figure:
    """One row of ten pictures for each way."""
    figure = Figure(figsize=(11, 1.06 * len(rows) + 0.2), dpi=150, layout="constrained")
    for axes, (name, xs) in zip(figure.subplots(len(rows), 10), rows.items(), strict=True):
        for panel, x in zip(axes, xs, strict=True):
            panel.imshow(x, "gray", vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(color=FAINT, linewidth=0.6)
        title = name.replace(", ", ",\n").replace(" to ", "\nto ")
        axes[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    figure.supxlabel("black is 0, white is 1", fontsize=8, color=SOFT)
    return figure


def main() -> None:
    """Train the three models, maximize, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="train less, and take fewer steps")
    parsed = parser.parse_args()
    options = Options(4, 700, 12, 100) if parsed.quick else Options(EPOCHS, 4000, 40, 300)

    digits, held_out = load_digits()
    net = train(digits, held_out, epochs=options.epochs)
    density = fit_density(digits.images, options.components)
    coder = train_coder(digits.images, options.coder_steps)
    rows = maximize_all(net, digits, density, coder, options.steps)

    nearest, _ = neighbors(rows["in code space"], digits)
    shown = rows | {"training digits nearest to these": digits.images[nearest[:, 0]]}
    first = [int(np.flatnonzero(held_out.labels == k)[0]) for k in CLASSES]
    tell(net, rows | {"held-out digits": held_out.images[first]}, density, digits)
    print(f"Wrote {plot.save(draw(shown), parsed.out / 'digit_prototypes.png', dpi=150)}")


if __name__ == "__main__":
    main()
