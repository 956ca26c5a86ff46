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
from ..program._cut import cut
from ..program._edit import edit
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
        at: the path of a layer, with globs, as for `cut`.
        channels: a channel or several; may be traced, so that `jax.vmap` over it explains all.
        axis: the axis of the layer's value that the channels lie on.
        seed: as for `lrp`: `"score"` or `"one"`.
        missing: as for `lrp`.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns relevance like `x`.

    Raises:
        ValueError: when called, if no value or several have that name, or a rule does not fit.
        IndexError: when called, if the layer has no such channel.
        NotImplementedError: when called, if steps have no rule.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

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
    composite = epsilon() if rules is None else as_composite(rules)

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        bottom, top = cut(score, at=at)
        layer = jax.eval_shape(bottom, x)
        mask = _mask(layer, channels, axis, at)
        name: Any = checkpoint_name
        marked = edit(score, lambda h: name(h, _MARK), at=at)

        def relevance(mask: jax.Array) -> PyTree:
            gate = Composite(
                [(Selector(_is_marked, "the chosen channels", kinds=True), _Only(mask))]
            )
            return lrp(marked, gate | composite, seed=seed, missing=missing)(x)

        if not _goes_around(top, layer, x):
            return relevance(mask)
        # With all channels shut, what is left is what goes around. One forward pass serves both.
        both = jax.vmap(relevance)(jnp.stack([mask, jnp.zeros_like(mask)]))
        open_, shut = (jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in range(2))
        return subtract(open_, shut)

    return named(explain, "crp", f)


def _is_marked(site: Site) -> bool:
    return site.kind is Kind.NAME and site.path.rsplit("/", 1)[-1] == _MARK


def _mask(layer: Any, channels: Any, axis: int, at: str) -> jax.Array:
    """One for the chosen channels, broadcast to the layer's rank."""
    if not -len(layer.shape) <= axis < len(layer.shape):
        raise IndexError(f"axis={axis} for '{at}', which has shape {layer.shape}.")
    size = layer.shape[axis]
    chosen = jnp.atleast_1d(jnp.asarray(channels))
    if not jnp.issubdtype(chosen.dtype, jnp.integer):
        raise TypeError(f"channels={channels!r} must be an integer or several.")
    if is_concrete(chosen) and not np.all(
        (-size <= np.asarray(chosen)) & (np.asarray(chosen) < size)
    ):
        raise IndexError(
            f"channels={channels!r} for '{at}' of shape {layer.shape}: axis {axis} has {size}."
        )
    hit = jnp.any(jnp.arange(size)[:, None] == (chosen % size)[None, :], axis=1)
    shape = [1] * len(layer.shape)
    shape[axis] = size
    return hit.reshape(shape).astype(layer.dtype)


def _goes_around(top: Callable[..., Any], layer: Any, x: PyTree) -> bool:
    """Whether the score depends on the input by other ways than the layer."""
    h = jnp.zeros(layer.shape, layer.dtype)
    program = trace(lambda x: top(h, x), x).program()
    return any(program.is_active(atom) for atom in program.outputs)
