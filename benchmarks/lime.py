"""LIME of a picture against the lime package, and against the model's own forward passes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from lime import lime_image

from jaxplain import lime
from jaxplain._batch import stack
from jaxplain.baselines import segment_mean
from jaxplain.local._kernels import DISTANCES, weigh
from jaxplain.local._model import LocalModel
from jaxplain.local._moments import Design

from ._contest import Size, size_name
from ._harness import Effort, check_agreement, fastest, search, take_turns
from ._models import Model, model
from ._report import Row, Topic, milliseconds, ratio

SAMPLES = 1000
SQUARES = 7  # a side: 49 superpixels
SIZES: dict[str, tuple[Size, ...]] = {"CNN of 1": (10, 25, 50, 100), "SqueezeNet": (1, 5, 25)}
TOLERANCE = 1e-3


def segments(m: Model) -> np.ndarray[Any, Any]:
    """Squares, (H, W)."""
    places = [np.arange(side) * SQUARES // side for side in m.x.shape[1:3]]
    return places[0][:, None] * SQUARES + places[1][None]


def ours(m: Model, size: Size) -> Callable[..., jax.Array]:
    """The map of one picture: a function of the picture, its label, the hidden picture, a key."""

    def explain(x: jax.Array, k: jax.Array, hidden: jax.Array, key: jax.Array) -> jax.Array:
        attribution = lime(m.score, samples=SAMPLES, groups=segments(m)[..., None], chunk=size)
        return attribution(x, k, baseline=hidden, key=key)

    return jax.jit(explain)


def passes(m: Model, size: Size) -> Callable[..., jax.Array]:
    """The model's forward passes of as many pictures, and nothing else."""

    def run(x: jax.Array, k: jax.Array, scales: jax.Array) -> jax.Array:
        scores: jax.Array = stack(lambda scale: m.score(scale * x, k), scales, chunk=size)
        return scores

    return jax.jit(run)


class Theirs:
    """The lime package with its defaults, our squares, and the model's twin."""

    def __init__(self, m: Model) -> None:
        self.model, self.label, self.shape = m, int(m.labels[0]), m.x.shape[1:]
        picture = np.asarray(m.x[0], float)
        self.picture = np.broadcast_to(picture, (*picture.shape[:2], 3)).copy()
        self.explainer = lime_image.LimeImageExplainer(random_state=0)
        self.samples: tuple[Any, ...] = ()
        lime_image.tqdm = lambda rows: rows  # no progress bar
        inner = self.explainer.data_labels

        def recorded(*args: Any, **kwargs: Any) -> Any:
            self.samples = inner(*args, **kwargs)
            return self.samples

        self.explainer.data_labels = recorded

    def logits(self, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Of a batch of pictures with three channels, which lime insists on."""
        channels = np.moveaxis(batch[..., : self.shape[-1]], -1, 1)
        with torch.no_grad():
            return np.asarray(self.model.twin(torch.from_numpy(channels.astype(np.float32).copy())))

    def explain(self, size: int) -> np.ndarray[Any, Any]:
        """Coefficients of the squares."""
        found = self.explainer.explain_instance(
            self.picture,
            self.logits,
            labels=(self.label,),
            top_labels=None,
            num_samples=SAMPLES,
            batch_size=size,
            segmentation_fn=lambda image: segments(self.model),
        )
        return np.array([value for _, value in sorted(found.local_exp[self.label])])


def difference(m: Model, theirs: Theirs, hidden: jax.Array, size: Size) -> float:
    """Our model, weights and fit on the samples that lime drew, against its coefficients."""
    coefficients = theirs.explain(10)
    rows = jnp.asarray(theirs.samples[0], jnp.float32)
    squares = segments(m)

    def score(row: jax.Array) -> jax.Array:
        kept = jnp.where(row[squares][..., None] == 1, m.x[0], hidden)
        return m.score(kept, m.labels[0])

    @jax.jit
    def fit(rows: jax.Array) -> jax.Array:
        distances = jax.vmap(lambda row: DISTANCES["cosine"](row, rows[0]))(rows)
        scores = stack(score, rows, chunk=size)
        return LocalModel().fit(Design.given(rows), scores, weigh(distances, "lime", 0.25)).values

    return check_agreement(fit(rows), coefficients, TOLERANCE)


def measure(name: str, effort: Effort) -> Iterator[Row]:
    """Either side at its best."""
    m = model(name)
    x, k, key = m.x[0], m.labels[0], jax.random.key(0)
    hidden = segment_mean(x, segments(m)[..., None])
    sizes = SIZES[name][1:2] if effort.quick else SIZES[name]
    arguments, scales = (x, k, hidden, key), jnp.linspace(0.9, 1.1, SAMPLES)
    mine = {
        size: functools.partial(ours(m, size).lower(*arguments).compile(), *arguments)
        for size in sizes
    }
    forward = {
        size: functools.partial(passes(m, size).lower(x, k, scales).compile(), x, k, scales)
        for size in sizes
    }
    theirs = Theirs(m)
    peers = {size: functools.partial(theirs.explain, size or SAMPLES) for size in sizes}
    size, best = fastest(search(mine, effort)), fastest(search(forward, effort))
    peer_size = fastest(search(peers, effort))
    apart = difference(m, theirs, hidden, size)
    times = take_turns(
        {"ours": mine[size], "theirs": peers[peer_size], "forward": forward[best]}, effort
    )
    took, peer, least = times["ours"], times["theirs"], times["forward"]
    yield (
        m.title,
        milliseconds(took),
        size_name(size),
        milliseconds(peer),
        size_name(peer_size),
        f"**{ratio(took.median, peer.median)}**",
        milliseconds(least),
        ratio(took.median, least.median),
        f"{apart:.0e}",
    )


TOPIC = Topic(
    name="lime",
    title="LIME of a picture, 1000 samples, against lime",
    about=(
        "`jaxplain.lime(f, samples=1000, groups=squares, chunk=...)` against "
        "`lime.lime_image.LimeImageExplainer` of the same network in torch, without its progress "
        "bar, with the same 49 squares and their mean colours, both at the chunk that suits them "
        "best. The second ratio is of jaxplain's whole explanation to the forward passes of its "
        "model for 1000 pictures at their best chunk, and nothing else: 1 would be free. Either "
        "side draws its own samples; the last column is the difference of coefficients where ours "
        "are fitted on the samples that lime drew."
    ),
    columns=(
        "model, batch",
        "jaxplain, ms",
        "chunk",
        "lime, ms",
        "its chunk",
        "**ratio**",
        "forward passes, ms",
        "ratio",
        "difference",
    ),
    subjects=tuple(SIZES),
    measure=measure,
)
