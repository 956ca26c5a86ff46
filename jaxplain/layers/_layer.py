"""Any method, applied at a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._baselines import checked_baseline_set, shielded_baseline
from .._call import baseline_of, check_score, close, name_of, named
from .._compat import shielded
from .._errors import is_concrete
from .._keys import needs_key
from .._types import Argnums, Attribution, Model, PyTree
from ..program._cut import cut
from ..program._locate import At, checked_globs, checked_path

Method = Callable[..., Attribution]


def layer(method: Method, *, at: At, argnums: Argnums = 0, **options: Any) -> Method:
    r"""A method, applied at a layer instead of the input.

    With `bottom, top = cut(f, at)`, `layer(method, at=at)(f)` explains $\mathrm{top}(h, x)$ as a
    function of $h = \mathrm{bottom}(x)$, and a baseline $x^0$ of the input becomes
    $\mathrm{bottom}(x^0)$.

    Args:
        method: any function from a model to an attribution: `jax.grad`, `jaxplain.lrp`,
            `jaxplain.integrated_grad`, `lambda f: jaxplain.smooth(jax.grad(f))`.
        at: the path of a layer, with globs, as for `cut`; a list of paths for several at once.
        argnums: the argument (or arguments) that leads to the layer.
        **options: options of the method, `steps=20` for instance.

    Returns:
        A method: called with a model, it gives a function with the model's arguments (and
        `baseline=`, `key=`, where the method takes them) that returns an attribution like the
        value at the layer; for a list of paths a dictionary.

    Raises:
        ValueError: when called, if no value has that name, or a baseline is not like the input.
        TypeError: an option or a keyword argument that the method does not take.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x @ jnp.array([[1.0, 2.0], [0.0, 1.0]])
        ...     return jnp.sum(h**2)
        >>> explain = jaxplain.layer(jaxplain.integrated_grad, at="hidden", steps=8)(f)
        >>> explain(jnp.array([1.0, 1.0])).round(3)
        Array([1., 9.], dtype=float32)

    Notes:
        Ways around the layer, residual connections for instance, keep the values that they have at
        `x`: their share of the score is not explained. `conductance` tells how large it is. The
        input may be token ids; then a baseline has to be given (ids of padding, say). Rules of
        `lrp` for the first layer apply to the first one above the cut: to look at a layer under
        such a composite, ask for `lrp(f, rules, info=True)` and its `info.relevance`.
    """
    checked_globs(at)

    def transform(f: Model) -> Attribution:
        # Once now, so that wrong options raise here, and to know what the method needs.
        like = method(f, **options)
        kind = baseline_of(like)

        def explain(*args: Any, **kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in ("baseline", "key") if name in kwargs}
            function, x = close(f, args, kwargs, argnums)
            bottom, top = cut(lambda x: check_score(function(x), f), at=at)
            if kind is not None:
                given["baseline"] = _at_layer(bottom, given.get("baseline"), x, kind)
            return method(lambda h: top(h, x), **options)(bottom(x), **given)

        return named(explain, f"layer({name_of(method)})", f, random=needs_key(like), baseline=kind)

    transform.__name__ = transform.__qualname__ = f"layer({name_of(method)})"
    return transform


def _at_layer(bottom: Callable[[PyTree], PyTree], baseline: Any, x: PyTree, kind: str) -> PyTree:
    """What the layer is at a baseline of the input, or at each of a set of them."""
    x = jax.tree.map(jnp.asarray, x)
    if kind == "set":
        if baseline is None:
            return None  # the method says what it needs
        return jax.vmap(bottom)(shielded(checked_baseline_set(baseline, x, "layer")[0]))
    floating = all(
        jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(x)
    )
    if baseline is None and not floating:
        raise TypeError(
            "The input is not floating, so a baseline of zeros means nothing: pass baseline=, an "
            "input like x, such as ids of padding."
        )
    return bottom(shielded_baseline(baseline, x))


def neuron(f: Callable[..., Any], *, at: str, index: Any) -> Model:
    r"""A neuron as the score to explain: $n(x) = \mathrm{bottom}(x)_{\text{index}}$.

    Args:
        f: a function `f(x, *args)` of arrays.
        at: the path of one layer, with globs, as for `cut`.
        index: which unit: an integer or a tuple of integers, in the shape of the layer's value. A
            slice or `...` means the sum of what it picks: `(..., 3)` is channel 3. Or a function
            from the value to a scalar.

    Returns:
        A model with the arguments of `f`, for any method: `integrated_grad(neuron(f, ...))`.

    Raises:
        ValueError: when called, if no value or several have that name.
        IndexError: when called, if the layer has no such unit.
        TypeError: `at` is not a string.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jnp.tanh(x @ jnp.array([[1.0, 2.0], [0.0, 1.0]]))
        ...     return jnp.sum(h)
        >>> jax.grad(jaxplain.neuron(f, at="hidden", index=1))(jnp.zeros(2))
        Array([2., 1.], dtype=float32)
    """
    checked_path(at)
    bottom, _ = cut(f, at=at)

    def score(*args: Any, **kwargs: Any) -> jax.Array:
        h = bottom(*args, **kwargs)
        if callable(index):
            return jnp.asarray(index(h))
        return jnp.sum(h[checked_index(index, h.shape, at)])

    return named(score, "neuron", f)


def checked_index(index: Any, shape: tuple[int, ...], at: str) -> Any:
    """`index`, unless it is out of range: then JAX would clamp it, and this raises."""
    parts = index if isinstance(index, tuple) else (index,)
    if all(map(is_concrete, parts)):
        try:
            np.broadcast_to(False, shape)[index]
        except IndexError as error:
            raise IndexError(
                f"The value at '{at}' has shape {shape}, and no unit {index!r}: {error}."
            ) from None
    return index
