"""PatternNet and PatternAttribution: backward passes with patterns in place of the weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, name_of, named
from .._types import Argnums, Attribution, Model, PyTree
from ..program._ops import Kind
from ..program._run import Call
from ..program._sites import Grouped, Site
from ._fit_patterns import Patterns, layers_of
from ._modified import backward
from ._rule import Arrays, Propagated, Rule


@dataclasses.dataclass(frozen=True)
class _WithWeights(Rule):
    """The gradient of a layer with other weights."""

    weights: Any

    kinds = Kind.AFFINE

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        view = call.site.linear(call.inputs, call.operands)
        _, pullback = jax.vjp(lambda xs: view.linear(xs, (self.weights,)), view.inputs)
        (pulled,) = pullback(relevances[0])[0]
        return Propagated((pulled * jnp.asarray(view.scales[0], pulled.dtype),))


def pattern_net(f: Model, patterns: Patterns, *, argnums: Argnums = 0) -> Attribution:
    r"""The signal in the input: the score sent back with patterns in place of weights.

    $s_{in} = a\, s_{out}$ in each layer, from $s = f(x)$; elsewhere the model's own derivative.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        patterns: of the same layers, from `fit_patterns`.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a signal like `x`, in units of `x`.

    Raises:
        ValueError: when called, if the patterns are not those of the model's layers.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> logits = lambda x: x @ jnp.array([[1.0], [-1.0]])
        >>> data = jax.random.normal(jax.random.key(0), (500, 2)) * jnp.array([1.0, 0.0])
        >>> fitted = jaxplain.fit_patterns(logits, [data])
        >>> jaxplain.pattern_net(lambda x: logits(x)[0], fitted)(jnp.array([2.0, 1.0]))
        Array([1., 0.], dtype=float32)

    References:
        Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and
        PatternAttribution, ICLR.
    """
    return _with_patterns(f, patterns, argnums, "pattern_net")


def pattern_attribution(f: Model, patterns: Patterns, *, argnums: Argnums = 0) -> Attribution:
    r"""How much of the score comes from the signal in each input: weights times patterns.

    $r_{in} = (w \odot a)\, r_{out}$ in each layer, from $r = f(x)$; elsewhere the model's own
    derivative.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        patterns: of the same layers, from `fit_patterns`.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns an attribution like `x`, in units of `f`.

    Raises:
        ValueError: when called, if the patterns are not those of the model's layers.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> logits = lambda x: x @ jnp.array([[1.0], [-1.0]])
        >>> data = jax.random.normal(jax.random.key(0), (500, 2)) * jnp.array([1.0, 0.0])
        >>> fitted = jaxplain.fit_patterns(logits, [data])
        >>> jaxplain.pattern_attribution(lambda x: logits(x)[0], fitted)(jnp.array([2.0, 1.0]))
        Array([ 1., -0.], dtype=float32)

    References:
        Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and
        PatternAttribution, ICLR.
    """
    return _with_patterns(f, patterns, argnums, "pattern_attribution")


def _with_patterns(f: Model, patterns: Patterns, argnums: Argnums, name: str) -> Attribution:
    def explain(*args: Any, **kwargs: Any) -> PyTree:
        score, x = bind(f, args, kwargs, argnums)

        def choose(grouped: Grouped) -> dict[Site, Rule]:
            sites = layers_of(grouped)
            if len(sites) != len(patterns.patterns):
                raise ValueError(
                    f"{name} got patterns of {len(patterns.patterns)} layers "
                    f"({', '.join(patterns.names)}), but {name_of(f)} has {len(sites)} "
                    f"({', '.join(site.label for site in sites)}). Fit them on the same model: "
                    "jaxplain.fit_patterns(logits, batches)."
                )
            product = name == "pattern_attribution"
            pairs = zip(sites, patterns.patterns, strict=True)
            return {s: (_TimesWeights if product else _WithWeights)(a) for s, a in pairs}

        return backward(score, x, choose, seed="score")

    return named(explain, name, f)


@dataclasses.dataclass(frozen=True)
class _TimesWeights(_WithWeights):
    """The gradient of a layer with other weights times its own."""

    def propagate(self, call: Call, relevances: Arrays) -> Propagated:
        view = call.site.linear(call.inputs, call.operands)
        return _WithWeights(self.weights * view.weights[0]).propagate(call, relevances)
