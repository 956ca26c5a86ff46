"""Concept relevance propagation: relevance that flows through chosen channels alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from .._call import bind, named
from .._errors import is_concrete
from .._tree import subtract
from .._types import Argnums, Attribution, Model, PyTree
from ..backprop._composite import Composite, Selector, as_composite
from ..backprop._lrp import lrp
from ..backprop._presets import epsilon
from ..backprop._rule import Arrays, Propagated, Rule
from ..program._cut import replace
from ..program._edit import edit
from ..program._locate import checked_path, locate_one
from ..program._ops import Kind
from ..program._run import Call
from ..program._sites import Site
from ..program._trace import trace

_MARK = "jaxplain.concept"


@dataclasses.dataclass(frozen=True)
class _Only(Rule):
    """Relevance passes where the mask is one."""

    mask: Any
    kinds = Kind.NAME

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        return Propagated((relevances[0] * self.mask.astype(relevances[0].dtype),))


def crp(
    f: Model,
    rules: Composite | Rule | None = None,
    *,
    at: str,
    channels: int | Sequence[int] | jax.Array,
    axis: int = -1,
    seed: str = "score",
    missing: str = "error",
    argnums: Argnums = 0,
) -> Attribution:
    r"""Concept relevance propagation: the part of `lrp` that flows through chosen channels.

    At the layer, $R_j \leftarrow R_j$ for the chosen channels and $0$ for all others. Summed over
    all channels of a layer that nothing goes around, it is `lrp(f, rules)`.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: as for `lrp`.
        at: the path of a layer, with globs, as for `cut`; in a loop that of one step,
            `"**/layers/attn[0]"`.
        channels: a channel or several; may be traced, so that `jax.vmap` over it explains all. What
            is traced cannot raise when it is out of range: then all relevance is NaN.
        axis: the axis of the layer's value that the channels lie on.
        seed: as for `lrp`: `"score"` or `"one"`.
        missing: as for `lrp`.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns relevance like `x`.

    Raises:
        ValueError: when called, if no value or several have that name, if it is a loop's and no
            step is chosen, or a rule does not fit.
        IndexError: when called, if the layer has no such channel.
        NotImplementedError: when called, if steps have no rule.
        TypeError: `at` is not a string; when called, if `channels` are not integers, `f` is not
            scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jax.nn.relu(x @ jnp.array([[2.0, -1.0], [1.0, 3.0]]))
        ...     return h.sum()
        >>> x = jnp.array([1.0, 2.0])
        >>> jaxplain.crp(f, at="hidden", channels=0)(x).round(3)
        Array([2., 2.], dtype=float32)
        >>> each = lambda c: jaxplain.crp(f, at="hidden", channels=c)(x)
        >>> jax.vmap(each)(jnp.arange(2)).sum(0).round(3)
        Array([1., 8.], dtype=float32)

    Notes:
        What goes around the layer, by residual connections, is left out. The value is a boundary
        here: between a convolution and its BatchNorm it keeps them from being explained as one, so
        choose the value after the BatchNorm or the activation.

    References:
        Achtibat et al. 2023, From attribution maps to human-understandable explanations through
        concept relevance propagation, arXiv:2206.03208.
    """
    checked_path(at)
    composite = epsilon() if rules is None else as_composite(rules)

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        layer = _one_value(score, x, at)
        mask = _mask(layer, channels, axis, at)
        marked = _marked(score, at)

        def relevance(mask: jax.Array) -> PyTree:
            gate = Composite(
                [(Selector(_is_marked, "the chosen channels", kinds=True), _Only(mask))]
            )
            return lrp(marked, gate | composite, seed=seed, missing=missing)(x)

        if not _goes_around(replace(score, at=at), layer, x):
            return relevance(mask)
        # With all channels shut, what is left is what goes around. One forward pass serves both.
        both = jax.vmap(relevance)(jnp.stack([mask, jnp.zeros_like(mask)]))
        open_, shut = (jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in range(2))
        return subtract(open_, shut)

    return named(explain, "crp", f)


def relevance_at(
    score: Callable[[PyTree], Any], x: PyTree, composite: Composite, at: str
) -> jax.Array:
    """The relevance that `lrp` gives a layer on its way to the input.

    To explain what follows the layer by itself would be something else: composites have rules for
    the first layer, which would be the next one then.
    """
    (place,) = locate_one(score, at, x, (), {}).found.values()
    _, info = lrp(_marked(score, at), composite, info=True)(x)
    (relevance,) = (r for path, r in info.relevance.items() if _MARK in path)
    return jnp.asarray(relevance[place.step] if place.step else relevance)


def _marked(score: Callable[[PyTree], Any], at: str) -> Callable[[PyTree], Any]:
    """The same function, with a step of its own for the layer's value."""
    name: Any = checkpoint_name
    return edit(score, lambda h: name(h, _MARK), at=at)


def _is_marked(site: Site) -> bool:
    return site.kind is Kind.NAME and site.path.rsplit("/", 1)[-1] == _MARK


def _one_value(score: Callable[[PyTree], Any], x: PyTree, at: str) -> Any:
    """Shape and dtype of the value at the layer, which must be one, not one for each step."""
    (place,) = locate_one(score, at, x, (), {}).found.values()
    if place.loops and not place.step:
        steps = " × ".join(map(str, place.lengths))
        first = ",".join("0" * len(place.lengths))
        raise ValueError(
            f"'{place.path}' is computed in each of {steps} steps of a loop, and relevance flows "
            f"from one step to another. Choose one, for instance at='{place.path}[{first}]'."
        )
    return place.like


def _mask(layer: Any, channels: Any, axis: int, at: str) -> jax.Array:
    """One for the chosen channels, broadcast to the layer's rank."""
    check_axis(axis, layer.shape, at)
    size = layer.shape[axis]
    # jnp.asarray traces under jax.jit: numbers that are known must be looked at before.
    known = all(is_concrete(leaf) for leaf in jax.tree.leaves(channels))
    chosen: Any = np.atleast_1d(channels) if known else jnp.atleast_1d(jnp.asarray(channels))
    if not jnp.issubdtype(chosen.dtype, jnp.integer):
        raise TypeError(f"channels={channels!r} must be an integer or several.")
    exists = (-size <= chosen) & (chosen < size)
    if known and not exists.all():
        raise IndexError(
            f"channels={channels!r} for '{at}' of shape {layer.shape}: axis {axis} has {size}."
        )
    hit = (np.arange(size)[:, None] == (chosen % size)[None, :]).any(axis=1)
    shape = [1] * len(layer.shape)
    shape[axis] = size
    return jnp.where(exists.all(), hit.reshape(shape).astype(layer.dtype), jnp.nan)


def check_axis(axis: int, shape: tuple[int, ...], at: str) -> None:
    """Raise unless the layer's value has the axis."""
    if not -len(shape) <= axis < len(shape):
        raise IndexError(f"axis={axis} for '{at}', which has shape {shape}.")


def _goes_around(top: Callable[..., Any], layer: Any, x: PyTree) -> bool:
    """Whether the score depends on the input by other ways than the layer."""
    h = jnp.zeros(layer.shape, layer.dtype)
    program = trace(lambda x: top(h, x), x).program()
    return any(program.is_active(atom) for atom in program.outputs)
