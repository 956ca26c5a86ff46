"""The attention weights of a model, layer by layer."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from .. import _compat
from .._call import named
from .._types import PyTree
from ..program._locate import At, Located, locate
from ..program._places import Place
from ..program._trace import Program

EVERYWHERE = "**:attention"


def attention_maps(
    f: Callable[..., PyTree], *, at: At = EVERYWHERE
) -> Callable[..., OrderedDict[str, jax.Array]]:
    r"""The attention weights of every layer.

    $A_{hqk}$ is how much query $q$ of head $h$ takes from key $k$.

    Args:
        f: a function `f(x, *args)` of one example that computes attention.
        at: which weights, a glob over paths or a list of them; by default all softmaxes that weigh
            other values, `"**:attention"`.

    Returns:
        A function with the arguments of `f` that returns an ordered dictionary from paths to
        arrays of shape (heads, queries, keys), in the order of computation. A loop gives one for
        each of its steps, `"layers/attn:attention[0]"` first.

    Raises:
        ValueError: when called, if there is no attention of that name.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("attn"):
        ...         return jax.nn.softmax(x @ x.T) @ x
        >>> maps = jaxplain.attention_maps(f)(jnp.eye(3))
        >>> {path: weights.shape for path, weights in maps.items()}
        {'attn:attention': (1, 3, 3)}

    Notes:
        Weights say where a layer looks, not what it makes of what it sees: a token may be looked at
        and change nothing. What counts is a softmax over the last axis that goes into a matrix
        product and leaves an axis of queries; fused kernels compute no weights that could be shown,
        and a softmax that is rescaled, or normalised after the product, is not recognised.
    """

    def maps(x: PyTree, *args: Any, **kwargs: Any) -> OrderedDict[str, jax.Array]:
        located = locate(f, at, x, args, kwargs)
        return by_layer(located, located.values())

    return named(maps, "attention_maps", f)


def by_layer(located: Located, values: Mapping[str, jax.Array]) -> OrderedDict[str, jax.Array]:
    """Values shaped like attention weights, (heads, queries, keys), one for each layer.

    They are in the order of computation, whatever the order of the paths: layers that share the
    body of a loop take turns.
    """
    found: list[tuple[tuple[int, ...], str, jax.Array]] = []
    for path, place in located.found.items():
        if place.step:
            found.append((_when(located.program, place, place.step), path, values[path]))
            continue
        for step in itertools.product(*map(range, place.lengths)):
            name = path + (f"[{','.join(map(str, step))}]" if step else "")
            found.append((_when(located.program, place, step), name, values[path][step]))
    found.sort(key=lambda layer: layer[0])
    # Unlike a plain dictionary, an ordered one leaves jax.jit in the order in which it came.
    return OrderedDict((name, _heads(value, name)) for _, name, value in found)


def _when(program: Program, place: Place, step: tuple[int, ...]) -> tuple[int, ...]:
    """When a value is computed: for each loop around it its place and the step, then its own."""
    when: list[int] = []
    for loop, k in zip(place.loops, step, strict=True):
        scan = _compat.read_scan(loop.eqn)
        when += [program.order[loop], scan.length - 1 - k if scan.reverse else k]
        (program,) = loop.bodies
    producer = program.producer(place.value)
    return (*when, -1 if producer is None else program.order[producer])


def _heads(weights: jax.Array, path: str) -> jax.Array:
    """All axes before the last two are heads: groups of them, and a batch of one."""
    if weights.ndim < 2:
        raise ValueError(f"'{path}' has shape {weights.shape}: attention has queries and keys.")
    return weights.reshape(int(np.prod(weights.shape[:-2])), *weights.shape[-2:])


def check_self_attention(maps: Mapping[str, jax.Array], who: str) -> int:
    """The number of tokens, if all layers let the same tokens look at each other."""
    shapes = {path: weights.shape[1:] for path, weights in maps.items()}
    first = next(iter(shapes))
    tokens = shapes[first][0]
    for path, shape in shapes.items():
        if shape != (tokens, tokens):
            said = " and ".join(
                f"'{p}' has {shapes[p][0]} queries and {shapes[p][1]} keys"
                for p in dict.fromkeys((first, path))
            )
            raise ValueError(
                f"{who} follows tokens through layers of self-attention, but {said}. Choose layers "
                "that belong together with at=, for instance at='encoder/**:attention'."
            )
    return tokens
