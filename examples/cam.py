"""Class activation maps: where in the picture is what the score rests on?

Explains EfficientNet-Lite0 at its last layer, and a small vision transformer, trained here, at its
tokens, by all maps but the one that is too slow: Score-CAM would run EfficientNet once for each of
1280 channels, so it is shown on the transformer alone. Run with

    python examples/cam.py --out out

which takes a few minutes on two cores; `--quick` trains less and takes about one. What is seen:

- `chelsea.png`, `coffee.png`: one photograph each under all maps. They agree on the inside of the
  cup, and all but Eigen-CAM on the cat's cheek below the eye; Eigen-CAM prefers the nose. A mean
  and one dense layer follow, so Grad-CAM, XGrad-CAM and HiResCAM are one map here.
- `mosaic.png`: four photographs in one, and the map of the class of each. Of Grad-CAM, 73 % lies in
  the right photograph (by chance 25 %), of Ablation-CAM 63 %. Of Grad-CAM++ and LayerCAM, which
  drop what speaks against a class, 40 % and 38 %: what all classes have in common remains.
  Eigen-CAM knows no class, and shows the cat each time.
- `tokens.png`: digits among clutter, with the grid of 4 x 6 tokens recovered from the picture's
  size. Here the maps do poorly. Of 200 scenes that are read (94 % are), 17 % of the picture lies
  in the digit's box. At the second block, Grad-CAM has 19 % there, HiResCAM 33 %, LayerCAM 35 %
  and Score-CAM 40 %, with its largest value in the box in 75 % of the scenes. At the last layer,
  where attention has spread the digit over all tokens, all but Score-CAM have 17 % to 22 %. The
  plain gradient by the pixels has 67 %, its largest value in the box in 90 %. Up to two fifths of
  the maps (of Ablation-CAM at the end: two thirds) are zero, having no positive part: tokens have
  values of both signs, for which these methods were not made.
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
from digits import Digits, load_digits

import jaxplain
import jaxplain.flax
from jaxplain import plot

from pretrained import Pretrained, labels, load, sample_image

MAPS: dict[str, Callable[..., Any]] = {
    "Grad-CAM": jaxplain.grad_cam,
    "Grad-CAM++": jaxplain.grad_cam_plus_plus,
    "XGrad-CAM": jaxplain.xgrad_cam,
    "HiResCAM": jaxplain.hires_cam,
    "LayerCAM": jaxplain.layer_cam,
    "Ablation-CAM": functools.partial(jaxplain.ablation_cam, chunk=64),
    "Score-CAM": functools.partial(jaxplain.score_cam, chunk=16),
    "Eigen-CAM": jaxplain.eigen_cam,
    "Eigen-Grad-CAM": jaxplain.eigen_grad_cam,
}
LAST = "**/head"
PHOTOGRAPHS = ("chelsea", "coffee")
MOSAIC = {"chelsea": 282, "coffee": 967, "motorcycle_left": 665, "camera": 872}
"""Four photographs, and the class of ImageNet that EfficientNet-Lite0 sees in each."""

Score = Callable[..., jax.Array]
Maps = dict[str, np.ndarray]

# ----------------------------------------------------------------- a convolutional network


def explain(score: Score, at: str, xs: np.ndarray, ks: np.ndarray, *names: str) -> Maps:
    """Maps for each picture and class by the named methods, one compiled call per method."""
    maps = {}
    for name in names:
        begin = time.perf_counter()
        compiled = jax.jit(MAPS[name](score, at))
        maps[name] = np.stack([compiled(x, k) for x, k in zip(xs, ks, strict=True)])
        seconds = time.perf_counter() - begin
        print(f"  {name:15s} {seconds:6.1f} s for {len(xs)} maps at {at}", flush=True)
    return maps


def mosaic(model: Pretrained) -> np.ndarray:
    """Four photographs in one picture, in the model's units."""
    parts = [model.preprocess(sample_image(name)) for name in MOSAIC]
    tall = [np.concatenate(pair, axis=1) for pair in (parts[:2], parts[2:])]
    return np.concatenate(tall, axis=0)[::2, ::2]


def quadrants(size: int) -> np.ndarray:
    """Where each photograph of the mosaic lies: (4, size, size), 1 inside."""
    inside = np.zeros((4, size, size))
    half = size // 2
    for i in range(4):
        row, column = divmod(i, 2)
        inside[i, row * half : (row + 1) * half, column * half : (column + 1) * half] = 1
    return inside


def shares(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The share of each map (N, H, W) that lies inside."""
    return (maps * inside).sum((1, 2)) / maps.sum((1, 2))


def print_likeness(maps: Maps) -> None:
    """How much each map is like Grad-CAM."""
    for name, values in maps.items():
        likeness = np.corrcoef(values.ravel(), maps["Grad-CAM"].ravel())[0, 1]
        print(f"  {name:15s} correlates with Grad-CAM by {likeness:.4f}")


def print_quadrants(maps: Maps, inside: np.ndarray) -> None:
    """The share of each map that lies in the photograph of its class."""
    print("Share of the map in the photograph of the class, of four (by chance: 25%):")
    for name, values in maps.items():
        each = shares(values, inside)
        parts = "  ".join(f"{part} {share:4.0%}" for part, share in zip(MOSAIC, each, strict=True))
        print(f"  {name:15s} mean {each.mean():4.0%}   {parts}")


def convolutional(out: Path) -> None:
    """EfficientNet-Lite0 on photographs, and on four photographs in one."""
    model = load("efficientnet_lite0")
    score = jaxplain.select(model.logits)
    photographs = np.stack([model.preprocess(sample_image(name)) for name in PHOTOGRAPHS])
    ks = np.asarray(jax.jit(jax.vmap(model.logits))(photographs)).argmax(-1)
    print(f"EfficientNet-Lite0 sees {' and '.join(repr(labels()[k]) for k in ks)}.")

    four = np.stack([mosaic(model)] * len(MOSAIC))
    xs, classes = np.concatenate([photographs, four]), np.array([*ks, *MOSAIC.values()])
    # Score-CAM would run the network once for each of 1280 channels.
    fast = [name for name in MAPS if name != "Score-CAM"]
    both = explain(score, LAST, xs, classes, *fast)
    maps = {name: values[: len(ks)] for name, values in both.items()}
    print(f"At {LAST}:")
    print_likeness(maps)
    for i, name in enumerate(PHOTOGRAPHS):
        # As many copies of the photograph as there are methods, each below its map.
        shown = model.to_display(np.stack([photographs[i]] * len(maps)))
        over = np.stack([values[i] for values in maps.values()])
        figure = plot.overlay(shown, over, title=list(maps), percentile=100, alpha=0.7)
        print(f"Wrote {plot.save(figure, out / f'{name}.png')}")

    last = {name: values[len(ks) :] for name, values in both.items()}
    print_quadrants(last, quadrants(model.size))
    draw(model.to_display(four), last, out / "mosaic.png")


def draw(images: np.ndarray, maps: Maps, path: Path) -> None:
    """One row for each picture, one column for each method."""
    print(f"Wrote {plot.save(plot.grid(images, maps, percentile=100), path)}")


# ----------------------------------------------------------------------- a vision transformer

PATCH, WIDTH = 7, 64
HEIGHT, BREADTH, SIDE = 28, 42, 14
CLUTTER, PIECE = 5, 5
CLASSES = 4
BATCH = 50
TOKENS = ("**/Block_1/norm", "**/Block_3/norm", "ViT/norm")
"""What the second and the last attention read, and the tokens at the end."""


class Block(nn.Module):
    """Attention and a dense layer with GELU, each behind a norm and around itself."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map tokens (N, n, width) to tokens."""
        x = x + nn.SelfAttention(num_heads=4, name="attention")(nn.LayerNorm(name="norm")(x))
        h = nn.gelu(nn.Dense(2 * WIDTH)(nn.LayerNorm()(x)))
        return x + nn.Dense(WIDTH)(h)


class ViT(nn.Module):
    """A vision transformer of four blocks that reads the class off a token of its own."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map pictures (N, 28, 42, 1) to logits (N, 10)."""
        x = nn.relu(nn.Conv(16, (3, 3), name="stem")(x))
        x = nn.relu(nn.Conv(WIDTH, (2 * PATCH, 2 * PATCH), strides=PATCH, name="patches")(x))
        x = x.reshape(len(x), -1, WIDTH)
        first = self.param("class_token", nn.initializers.normal(0.02), (1, 1, WIDTH))
        x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 1, WIDTH)), x], axis=1)
        x = x + self.param("places", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(4):
            x = Block()(x)
        x = nn.LayerNorm(name="norm")(x)
        return nn.Dense(CLASSES)(jnp.concatenate([x[:, 0], x[:, 1:].mean(axis=1)], axis=-1))


class Scenes(NamedTuple):
    """Pictures (N, 28, 42, 1) with a digit among clutter, its class, and where it is."""

    images: np.ndarray
    labels: np.ndarray
    inside: np.ndarray  # (N, 28, 42), 1 in the digit's box of 14 x 14


def scatter(digits: Digits, rng: np.random.Generator) -> Scenes:
    """Put each digit somewhere on a canvas, among pieces of other digits."""
    count = len(digits.labels)
    small = digits.images.reshape(count, SIDE, 2, SIDE, 2, 1).mean((2, 4))
    images = np.zeros((count, HEIGHT, BREADTH, 1), np.float32)
    inside = np.zeros((count, HEIGHT, BREADTH))
    for i in range(count):
        for _ in range(CLUTTER):
            row, column = rng.integers(HEIGHT - PIECE), rng.integers(BREADTH - PIECE)
            top, left = rng.integers(3, 7, 2)
            piece = small[rng.integers(count), top : top + PIECE, left : left + PIECE]
            images[i, row : row + PIECE, column : column + PIECE] = piece
        row, column = rng.integers(HEIGHT - SIDE + 1), rng.integers(BREADTH - SIDE + 1)
        box = np.s_[row : row + SIDE, column : column + SIDE]
        inside[i][box] = 1
        images[i][box] = small[i]
    return Scenes(images, digits.labels, inside)


def train(digits: Digits, *, epochs: int) -> optax.Params:
    """Train a `ViT` on digits that are scattered anew in every epoch."""
    rng = np.random.default_rng(0)
    steps = epochs * (len(digits.labels) // BATCH)
    rate = optax.warmup_cosine_decay_schedule(0.0, 2e-3, steps // 10, steps)
    optimizer = optax.adamw(rate, weight_decay=0.02)
    params = ViT().init(jax.random.key(0), jnp.zeros((1, HEIGHT, BREADTH, 1)))
    state = optimizer.init(params)

    @jax.jit
    def step(params: optax.Params, state: optax.OptState, images: Any, classes: Any) -> Any:
        def loss_of(params: optax.Params) -> jax.Array:
            logits = ViT().apply(params, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, classes).mean()

        loss, gradient = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    for epoch in range(epochs):
        order = rng.permutation(len(digits.labels))
        scenes = scatter(Digits(digits.images[order], digits.labels[order]), rng)
        losses = []
        for start in range(0, len(order), BATCH):
            part = np.s_[start : start + BATCH]
            params, state, loss = step(params, state, scenes.images[part], scenes.labels[part])
            losses.append(float(loss))
        print(f"Epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}", flush=True)
    return params


def explain_tokens(score: Score, at: str, scenes: Scenes) -> Maps:
    """Maps of all methods for each scene, one compiled call per method."""
    found = {}
    for name, method in MAPS.items():
        compiled = jax.jit(jax.vmap(method(score, at)))
        found[name] = np.asarray(compiled(scenes.images, scenes.labels))
    return found


def print_shares(maps: Maps, inside: np.ndarray) -> None:
    """How much of each map lies in the digit's box, and how often its largest value does."""
    for name, values in maps.items():
        some = values.max((1, 2)) > 0  # a map may be zero, having no positive part
        said = f"zero for {len(values) - some.sum()} of {len(values)}"
        if some.any():
            largest = values[some].reshape(some.sum(), -1).argmax(-1)
            hit = inside[some].reshape(some.sum(), -1)[np.arange(some.sum()), largest]
            share = shares(values[some], inside[some])
            said = f"{share.mean():4.0%} in the box, the largest value in {hit.mean():4.0%}, {said}"
        print(f"  {name:15s} {said}")


def transformer(out: Path, *, quick: bool) -> None:
    """A vision transformer on digits among clutter, with the place of the digit known."""
    train_set, test_set = (
        Digits(d.images[d.labels < CLASSES], d.labels[d.labels < CLASSES]) for d in load_digits()
    )
    params = train(train_set, epochs=8 if quick else 24)
    scenes = scatter(test_set, np.random.default_rng(1))
    read = np.asarray(jax.jit(ViT().apply)(params, scenes.images)).argmax(-1)
    right = np.flatnonzero(read == scenes.labels)
    print(f"The vision transformer reads {len(right) / len(read):.1%} of the held-out scenes.")
    right = right[: 40 if quick else 200]
    scenes = Scenes(*(part[right] for part in scenes))

    score = jaxplain.select(jaxplain.flax.function(ViT(), params))
    gradient = jax.jit(jax.vmap(jaxplain.saliency(score, absolute=True)))
    beside = {
        "(all pixels)": np.ones_like(scenes.inside),
        "(ink)": scenes.images[..., 0],
        "(saliency)": np.asarray(gradient(scenes.images, scenes.labels))[..., 0],
    }
    print(f"Share of the map in the digit's box, over {len(right)} scenes that were read:")
    print_shares(beside, scenes.inside)
    rows = [int(np.flatnonzero(scenes.labels == k)[0]) for k in range(CLASSES)]
    for at in TOKENS[:1] if quick else TOKENS:
        maps = explain_tokens(score, at, scenes)
        print(f"At {at}, 24 tokens and one for the class:")
        print_shares(maps, scenes.inside)
        if at == TOKENS[0]:
            shown = {name: values[rows] for name, values in maps.items()}
            draw(scenes.images[rows], shown, out / "tokens.png")


def main() -> None:
    """Explain a convolutional network and a vision transformer, draw, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument(
        "--quick", action="store_true", help="train for fewer epochs, and explain fewer scenes"
    )
    options = parser.parse_args()
    convolutional(options.out)
    transformer(options.out, quick=options.quick)


if __name__ == "__main__":
    main()
