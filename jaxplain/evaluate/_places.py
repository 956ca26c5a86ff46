"""In which order the features of a whole data set go: by each attribution, and by controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._tree import count_examples, first_nonfinite
from .._types import PyTree, Scalar
from ..baselines import blur
from ..perturb._features import Features
from ..perturb._game import Game
from ._flipping import ranks
from ._subjects import relevance_of

RANDOM = "random"


def blurred_name(name: str) -> str:
    """What the blurred attributions of a method are called."""
    return f"{name}, blurred"


def places_of(
    attributions: Mapping[str, PyTree],
    inputs: PyTree,
    features: Features,
    *,
    sign: int,
    sigma: Scalar | None,
    axes: tuple[int, ...] | None,
    key: jax.Array,
) -> jax.Array:
    """The place of each feature, 0 for the first to go, (methods, examples, features).

    The methods, then each of them blurred if there is a `sigma`, then a random order. `sign` is -1
    if the highest attribution goes first.
    """
    count = count_examples(inputs, "inputs")
    like = jax.tree.map(lambda leaf: leaf[0], inputs)

    def of_method(name: str, found: PyTree, spread: Scalar | None) -> jax.Array:
        def of_example(found: PyTree) -> jax.Array:
            seen = found if spread is None else blur(found, spread, axes=axes or ())
            game = Game(_unasked, like, like, features)
            return ranks(sign * relevance_of(seen, game, _source(name))).astype(_dtype(features))

        places: jax.Array = jax.jit(jax.vmap(of_example))(found)
        return places

    for name, found in attributions.items():
        _check(name, found, count)
    parts = [of_method(name, found, None) for name, found in attributions.items()]
    if sigma is not None:
        parts += [of_method(name, found, sigma) for name, found in attributions.items()]
    noise = jax.random.uniform(key, (count, features.count))
    return jnp.stack([*parts, jax.vmap(ranks)(noise).astype(_dtype(features))])


def _dtype(features: Features) -> Any:
    """The smallest that holds all places, and their number: there are many."""
    return jnp.uint16 if features.count < 2**16 else jnp.int32


def _check(name: str, found: PyTree, count: int) -> None:
    if (where := first_nonfinite(found, f"attributions[{name!r}]")) is not None:
        raise ValueError(f"{where}: attributions that are not finite have no order.")
    if any(np.shape(leaf)[:1] != (count,) for leaf in jax.tree.leaves(found)):
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(found)]
        raise ValueError(
            f"attributions[{name!r}] has shapes {shapes} for {count} inputs: give a pair, the "
            "attributions of all training inputs and those of all test inputs."
        )


def _source(name: str) -> Callable[..., Any]:
    """Something of that name, for messages."""

    def source() -> None: ...

    source.__name__ = f"attributions[{name!r}]"
    return source


def _unasked(x: PyTree) -> jax.Array:
    raise NotImplementedError("Nothing is asked of the model while features are put in order.")
