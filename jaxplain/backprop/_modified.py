"""Gradients with the backward pass of chosen sites replaced: guided backprop and its relatives."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, name_of, named
from .._types import Argnums, Attribution, Model, PyTree
from ..program._flow import annotate
from ..program._group import group
from ..program._lower import lower
from ..program._ops import Kind
from ..program._rectifiers import rectifier
from ..program._run import Call, replay
from ..program._sites import Grouped, Site
from ..program._trace import trace
from ._assign import UnmatchedWarning, assign
from ._composite import Composite, as_composite
from ._rule import Arrays, Propagated, Rule


def modified_grad(f: Model, composite: Composite | Rule, *, argnums: Argnums = 0) -> Attribution:
    r"""The gradient, with the backward pass of some sites replaced by rules.

    As `jax.grad(f)`, but at the sites that `composite` selects the rule takes the gradient from
    the outputs to the inputs.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        composite: a `rules.Composite` of `(selector, rule)` pairs, or one rule. A rule's
            `propagate(call, relevances)` gets gradients and returns gradients.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a pytree like `x`.

    Raises:
        ValueError: when called, if a rule is given to a site of a kind that it is not made for.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import dataclasses, jax.numpy as jnp, jaxplain
        >>> from jaxplain.rules import Composite, Stop
        >>> f = lambda x: jnp.tanh(x[0]) + 2 * x[1]
        >>> frozen = Composite([(jaxplain.Kind.ELEMENTWISE, Stop())])
        >>> jaxplain.modified_grad(f, frozen)(jnp.ones(2))
        Array([0., 2.], dtype=float32)

    Notes:
        With an empty composite it is `jax.grad(f)` exactly. Custom derivatives of functions inside
        `f` are kept unless a rule applies within them.
    """
    composite = as_composite(composite)

    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)
        return backward(score, x, lambda grouped: assign(grouped, composite, Rule))

    return named(explain, "modified_grad", f)


def backward(
    score: Any, x: PyTree, choose: Callable[[Grouped], dict[Site, Rule]], *, seed: str = "one"
) -> PyTree:
    """The gradient of `score`, or its value sent back, with rules at the sites that are chosen."""
    traced = trace(score, x)
    chosen = choose(annotate(group(traced.program())))
    # Custom derivatives stay in force where no rule reaches inside.
    opened = frozenset(id(call) for site in chosen for e in site.equations for call in e.calls)
    grouped = annotate(group(traced.program(opened)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmatchedWarning)  # given once already
        rules = choose(grouped)
    leaves, structure = jax.tree.flatten(x)

    @lower
    def gradient(leaves: list[Any]) -> list[Any]:
        y, pullback = jax.vjp(lambda leaves: replay(grouped, leaves, rules)[0], leaves)
        (slopes,) = pullback(y if seed == "score" else jnp.ones_like(y))
        return slopes  # type: ignore[no-any-return]

    return jax.tree.unflatten(structure, gradient(leaves))


@dataclasses.dataclass(frozen=True)
class GuidedReLU(Rule):
    r"""Guided backprop at a rectifier: $g_{in} = g_{out}\, 1[g_{out} > 0]\, \sigma'(x)$.

    Returns:
        A rule for `modified_grad`, at activations.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: -jax.nn.relu(x[0]) + jax.nn.relu(x[1])
        >>> jaxplain.modified_grad(f, jaxplain.rules.GuidedReLU())(jnp.ones(2))
        Array([0., 1.], dtype=float32)

    References:
        Springenberg et al. 2015, Striving for simplicity: the all convolutional net,
        arXiv:1412.6806.
    """

    kinds = Kind.ELEMENTWISE
    linearize = True

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        assert call.pullback is not None
        return Propagated(call.pullback((_rectified(call, relevances[0])[0],)))


@dataclasses.dataclass(frozen=True)
class DeconvReLU(Rule):
    r"""Deconvolution at a rectifier: $g_{in} = \max(g_{out}, 0)$, whatever the input was.

    Returns:
        A rule for `modified_grad`, at activations.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.relu(x[0]) - jax.nn.relu(x[1])
        >>> jaxplain.modified_grad(f, jaxplain.rules.DeconvReLU())(-jnp.ones(2))
        Array([1., 0.], dtype=float32)

    References:
        Zeiler and Fergus 2014, Visualizing and understanding convolutional networks, ECCV.
    """

    kinds = Kind.ELEMENTWISE

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        kept, slope = _rectified(call, relevances[0])
        return Propagated((kept * jnp.asarray(slope, kept.dtype),))


def _rectified(call: Call, gradient: jax.Array) -> tuple[jax.Array, float]:
    """The gradient where it is positive, and the slope of the rectifier.

    `-min(-x, 0)` is a rectifier too: at its inner, reversed half the signs are exchanged.
    """
    form = rectifier(call.site)
    if form is not None and form.sign < 0:
        return jnp.minimum(gradient, 0), form.slope
    return jnp.maximum(gradient, 0), 1.0 if form is None else form.slope


def guided_backprop(f: Model, *, argnums: Argnums = 0) -> Attribution:
    r"""The gradient, with negative gradients dropped at every rectifier.

    At each rectifier $g_{in} = g_{out}\, 1[g_{out} > 0]\, 1[x > 0]$, also for ReLU6 (zero above its
    bound) and leaky ReLU (its own slope), however they are spelled.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a pytree like `x`.

    Raises:
        ValueError: when called, if the model has no rectifier.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: -jax.nn.relu(x[0]) + jax.nn.relu(x[1])
        >>> jaxplain.guided_backprop(f)(jnp.ones(2))
        Array([0., 1.], dtype=float32)

    Notes:
        It shows edges more than reasons: pictures hardly change when the weights are randomised
        (Adebayo et al. 2018).

    References:
        Springenberg et al. 2015, Striving for simplicity: the all convolutional net,
        arXiv:1412.6806.
    """
    return _at_rectifiers(f, GuidedReLU(), argnums, "guided_backprop")


def deconvnet(f: Model, *, argnums: Argnums = 0) -> Attribution:
    r"""The gradient, with rectifiers applied to the gradient instead of their own derivative.

    At each rectifier $g_{in} = \max(g_{out}, 0)$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a pytree like `x`.

    Raises:
        ValueError: when called, if the model has no rectifier.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.relu(x[0]) - jax.nn.relu(x[1])
        >>> jaxplain.deconvnet(f)(-jnp.ones(2))
        Array([1., 0.], dtype=float32)

    References:
        Zeiler and Fergus 2014, Visualizing and understanding convolutional networks, ECCV.
    """
    return _at_rectifiers(f, DeconvReLU(), argnums, "deconvnet")


def _at_rectifiers(f: Model, rule: Rule, argnums: Argnums, name: str) -> Attribution:
    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)

        def choose(grouped: Grouped) -> dict[Site, Rule]:
            rules = {site: rule for site in grouped.all_sites() if rectifier(site)}
            if not rules:
                raise ValueError(
                    f"{name} changes the gradient at rectifiers, and {name_of(f)} has none (ReLU, "
                    "ReLU6, leaky ReLU, however spelled). For other activations use jaxplain.lrp, "
                    "jaxplain.integrated_grad, or jaxplain.modified_grad with a rule of your own."
                )
            return rules

        return backward(score, x, choose)

    return named(explain, name, f)
