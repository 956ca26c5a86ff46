"""Pixel flipping: how the score falls while the most relevant features are taken away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._errors import check_choice, check_chunk, check_count
from .._types import Argnums, Chunk, Model, PyTree
from ..perturb._features import Partition
from ._curves import Curve
from ._removal import Removal, check_removal, is_random, remaining
from ._subjects import Attributions, Call, Measure, Subject

ORDERS = {"morf": -1, "lerf": 1}
Counts: TypeAlias = Callable[[int], np.ndarray]


def pixel_flipping(
    f: Model,
    attribution: Attributions,
    *,
    order: str = "morf",
    steps: int | None = None,
    removal: Removal | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The score while features are put to the baseline, one after the other by their relevance.

    $f(x^{(k)})$ where $x^{(k)}$ is $x$ with its $k$ most relevant features at the baseline, for $k$
    from 0 to all. The faster it falls, the more of what the score rests on has been named.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a function with the arguments of `f` that returns a pytree like `x`, or a
            dictionary of several. Their own baselines are bound with `functools.partial`.
        order: `"morf"`, the most relevant first, or `"lerf"`, the least relevant first: then the
            score should stay up for long. Of equal ones the first goes first.
        steps: in how many steps, of equal shares as far as possible; None for one feature at a
            time.
        removal: an operator `removal(x, kept) -> x` that takes away what is not kept, such as
            `evaluate.blur_removal()`; None for the baseline of the call. One with a parameter
            `key` is random.
        groups: which elements are one feature, as for `ablation`; its relevance is the sum.
        along: an axis or several, the positions on which are the features: `along=(0, 1)` for the
            pixels of a picture with channels.
        features: how many features there are, for `groups` that are data of the call.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) that was explained.

    Returns:
        A function with the arguments of `f`, `baseline=` (zeros by default; none beside
        `removal`), `groups=` (if none were given here) and `key=` (if an attribution or `removal`
        needs one), that returns a `Curve`, or a dictionary of them.

    Raises:
        ValueError: an option is invalid; when called, an attribution is not like the input.
        TypeError: when called, if `f` is not scalar, a key is missing or of no use, or a baseline
            comes beside `removal`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0])
        >>> x = jnp.ones(3)
        >>> evaluate.pixel_flipping(f, jax.grad(f))(x).scores
        Array([7., 3., 1., 0.], dtype=float32)
        >>> evaluate.pixel_flipping(f, jax.grad(f), order="lerf")(x).scores
        Array([7., 6., 4., 0.], dtype=float32)

    Notes:
        What the score says of a half-erased input depends on the baseline as much as on the
        explanation: compare explanations, with a random one among them, never numbers by
        themselves.

    References:
        Bach et al. 2015, On pixel-wise explanations for non-linear classifier decisions by
        layer-wise relevance propagation. Samek et al. 2017, Evaluating the visualization of what a
        deep neural network has learned, arXiv:1509.06321.
    """
    check_choice("order", order, ORDERS)
    flips = Flips.checked(steps, chunk, removal)
    partition = Partition.checked(groups, along, features)

    def measure(subject: Subject, key: Any) -> Curve:
        return flips.curve(subject, key, order=order)

    return flips.metric(f, attribution, measure, partition, argnums, name="pixel_flipping")


def abpc(
    f: Model,
    attribution: Attributions,
    *,
    steps: int | None = None,
    removal: Removal | None = None,
    groups: PyTree | None = None,
    along: int | tuple[int, ...] | None = None,
    features: int | None = None,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The area between the curves of pixel flipping, least minus most relevant first.

    $\int f_{\mathrm{LeRF}}(s) - f_{\mathrm{MoRF}}(s) \, ds$ over the share $s$ that is gone, in
    units of `f`: 0 on average for an explanation that knows nothing, whatever the baseline.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        steps: as for `pixel_flipping`.
        removal: as for `pixel_flipping`.
        groups: as for `pixel_flipping`.
        along: as for `pixel_flipping`.
        features: as for `pixel_flipping`.
        chunk: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function as that of `pixel_flipping`, of a number, or a dictionary of them.

    Raises:
        ValueError: as for `pixel_flipping`.
        TypeError: as for `pixel_flipping`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0])
        >>> methods = {"constant": jnp.ones_like, "gradient": jax.grad(f)}
        >>> jax.tree.map(jnp.round, evaluate.abpc(f, methods)(jnp.ones(3)))
        {'constant': Array(0., dtype=float32), 'gradient': Array(2., dtype=float32)}

    Notes:
        Two evaluations for each step. A constant explanation gives 0 since both orders are then the
        same.

    References:
        Bluecher, Vielhaben and Strodthoff 2024, Decoupling pixel flipping and occlusion strategy
        for consistent XAI benchmarks, arXiv:2401.06654.
    """
    flips = Flips.checked(steps, chunk, removal)
    partition = Partition.checked(groups, along, features)

    def measure(subject: Subject, key: Any) -> jax.Array:
        curves = {order: flips.curve(subject, key, order=order) for order in ORDERS}
        return curves["lerf"].area - curves["morf"].area

    return flips.metric(f, attribution, measure, partition, argnums, name="abpc")


@dataclasses.dataclass(frozen=True)
class Flips:
    """How features are taken away: in how many steps, and what takes their place.

    `steps` is a number of equal ones; or a function from the number of features to how many of
    them are gone after each step.
    """

    steps: int | Counts | None = None
    chunk: Chunk = "auto"
    removal: Removal | None = None

    @staticmethod
    def checked(
        steps: int | Counts | None = None, chunk: Chunk = "auto", removal: Removal | None = None
    ) -> Flips:
        """Raise unless the options are valid."""
        if steps is not None and not callable(steps):
            check_count("steps", steps)
        check_chunk(chunk)
        check_removal(removal)
        return Flips(steps, chunk, removal)

    def metric(
        self,
        f: Model,
        attribution: Attributions,
        measure: Measure,
        partition: Partition,
        argnums: Argnums,
        *,
        name: str,
    ) -> Callable[..., Any]:
        """A metric of features that takes no baseline where an operator takes its place."""
        call = Call(partition, argnums, baseline=self.removal is None)
        return call.metric(f, attribution, measure, name=name, random=is_random(self.removal))

    def curve(
        self, subject: Subject, key: Any, *, order: str = "morf", insert: bool = False
    ) -> Curve:
        """The curve of one order."""
        value = remaining(subject.game, self.removal, key)
        return flip(subject, order, self.steps, self.chunk, value=value, insert=insert)


def flip(
    subject: Subject,
    order: str,
    steps: int | Counts | None,
    chunk: Chunk,
    *,
    value: Callable[[PyTree], jax.Array] | None = None,
    insert: bool = False,
) -> Curve:
    """The curve of one order. With `insert`, nothing is there at first, and features come.

    `value` is the score of what is kept, if nothing else takes its place than the baseline.
    """
    game = subject.game
    # Of each element, once: to look a mask up costs more than to make it.
    places = game.features.of_elements(ranks(ORDERS[order] * subject.relevance))
    counts = steps(game.count) if callable(steps) else removed(game.count, steps)
    of_kept = remaining(game, None, None) if value is None else value

    def score(count: jax.Array) -> jax.Array:
        return of_kept(jax.tree.map(lambda at: at < count if insert else at >= count, places))

    scores: jax.Array = stack(score, jnp.asarray(counts), chunk=chunk)
    return Curve(jnp.asarray(counts / game.count, scores.dtype), scores)


def ranks(values: jax.Array) -> jax.Array:
    """The place of each value among all of them in ascending order; of equal ones the first."""
    order = jnp.argsort(values, stable=True)
    places = jnp.zeros(len(values), jnp.int32)
    return places.at[order].set(jnp.arange(len(values), dtype=jnp.int32))


def removed(count: int, steps: int | None) -> np.ndarray:
    """How many of `count` features are gone after each step, from none to all."""
    steps = count if steps is None else min(steps, count)
    return np.round(np.linspace(0, count, steps + 1)).astype(np.int32)
