"""The table of methods: one row each, with what it promises. The laws are in test_laws.py."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxplain
from jaxplain import rules
from jaxplain._call import explained


@dataclasses.dataclass(frozen=True)
class Method:
    """One attribution method and the laws it is held to."""

    name: str
    make: Callable[..., Any]  # f -> attribution
    random: bool = False
    baseline: str = "one"  # "none": takes none, "one": like x, "set": a set of them
    complete: bool = False  # sums to f(x) - f(baseline)
    linear: str | None = "x - baseline"  # what a linear model's weights are multiplied by
    chunked: bool = False
    of_layer: bool = False  # an attribution like the value named "hidden"

    def explain(self, f: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return self.make(f, **options)

    def keywords(self, x: Any, *, seed: int = 0) -> dict[str, Any]:
        """The keyword arguments that a call with input `x` needs."""
        extra: dict[str, Any] = {}
        if self.random:
            extra["key"] = jax.random.key(seed)
        if self.baseline == "one":
            extra["baseline"] = jax.tree.map(lambda leaf: 0.3 * jnp.cos(leaf), x)
        if self.baseline == "set":
            extra["baseline"] = jax.tree.map(
                lambda leaf: jnp.stack([0.3 * jnp.cos(leaf), 0.1 * leaf, jnp.sin(leaf)]), x
            )
        return extra


def detour(alpha: Any, x: Any, baseline: Any) -> Any:
    """A curved path, for the path engine."""
    bend = alpha**2
    return jax.tree.map(lambda a, b: b + bend.astype(a.dtype) * (a - b), x, baseline)


def _smooth(inner: Callable[..., Any]) -> Callable[..., Any]:
    def make(f: Any, **options: Any) -> Any:
        return jaxplain.smooth(inner(f), samples=6, sigma=0.05, **options)

    return make


def _lrp(preset: Callable[[], Any]) -> Callable[..., Any]:
    def make(f: Any, **options: Any) -> Any:
        return jaxplain.lrp(f, preset(), **options)

    return make


def _over_baselines(f: Any, **options: Any) -> Any:
    return jaxplain.over_baselines(jaxplain.integrated_grad(f, steps=12), **options)


def _at_hidden(
    name: str,
    transform: Any,
    *,
    baseline: str = "one",
    chunked: bool = False,
    of_layer: bool = False,
    **options: Any,
) -> Method:
    """A method of a layer, which a linear model does not have."""
    make = functools.partial(transform, at="hidden", **options)
    return Method(name, make, False, baseline, False, None, chunked, of_layer)


def _layer(f: Any, **options: Any) -> Any:
    return jaxplain.layer(jaxplain.integrated_grad, at="hidden", steps=12, **options)(f)


def _owen(f: Any, **options: Any) -> Any:
    """Owen values of the elements, of which each two neighbours are a union."""

    def explain(*args: Any, **keywords: Any) -> Any:
        leaves, structure = jax.tree.flatten(explained(args, options.get("argnums", 0), f))
        ends = np.cumsum([leaf.size for leaf in leaves])
        pairs = [
            (np.arange(leaf.size).reshape(leaf.shape) + end - leaf.size) // 2
            for leaf, end in zip(leaves, ends, strict=True)
        ]
        unions = jax.tree.unflatten(structure, pairs)
        return jaxplain.owen(f, unions=unions, **options)(*args, **keywords)

    return explain


METHODS = [
    Method("grad", jax.grad, baseline="none", linear="1"),
    Method("saliency", jaxplain.saliency, baseline="none", linear="1"),
    Method("input_x_grad", jaxplain.input_x_grad, baseline="none", linear="x"),
    Method(
        "times_input",
        lambda f: jaxplain.times_input(jax.grad(f)),
        baseline="none",
        linear="x",
    ),
    Method("interior_grad", functools.partial(jaxplain.interior_grad, alpha=0.3), linear="1"),
    Method(
        "integrated_grad",
        functools.partial(jaxplain.integrated_grad, steps=12),
        complete=True,
        chunked=True,
    ),
    Method(
        "integrated_grad(tolerance)",
        functools.partial(
            jaxplain.integrated_grad, steps=10, tolerance=1e-6, max_steps=60, atol=1e-2
        ),
        complete=True,
        chunked=True,
    ),
    Method(
        "path_integrated_grad",
        lambda f, **options: jaxplain.path_integrated_grad(f, detour, steps=16, **options),
        complete=True,
        chunked=True,
    ),
    Method(
        "blur_integrated_grad",
        functools.partial(jaxplain.blur_integrated_grad, sigma=1.5, axes=(0,), steps=30),
        baseline="none",
        linear=None,
        chunked=True,
    ),
    Method("guided_integrated_grad", functools.partial(jaxplain.guided_integrated_grad, steps=20)),
    Method(
        "expected_grad",
        functools.partial(jaxplain.expected_grad, samples=7),
        random=True,
        baseline="set",
        linear=None,
        chunked=True,
    ),
    Method("over_baselines", _over_baselines, baseline="set", linear=None, chunked=True),
    Method(
        "smooth(grad)",
        _smooth(jax.grad),
        random=True,
        baseline="none",
        linear="1",
        chunked=True,
    ),
    Method(
        "smooth(integrated_grad)",
        _smooth(functools.partial(jaxplain.integrated_grad, steps=12)),
        random=True,
        linear=None,
        chunked=True,
    ),
    Method("lrp(zero)", _lrp(lambda: rules.epsilon(0.0)), baseline="none", linear="x"),
    Method("lrp(epsilon_plus)", _lrp(rules.epsilon_plus), baseline="none", linear=None),
    Method("lrp(gamma)", _lrp(lambda: rules.gamma(0.3)), baseline="none", linear=None),
    Method("lrp(cp_lrp)", _lrp(lambda: rules.cp_lrp(0.0)), baseline="none", linear="x"),
    Method("deep_taylor", jaxplain.deep_taylor, baseline="none", linear=None),
    Method("excitation_backprop", jaxplain.excitation_backprop, baseline="none", linear=None),
    Method("deeplift", jaxplain.deeplift, complete=True),
    Method(
        "deeplift(reveal_cancel)",
        lambda f, **options: jaxplain.deeplift(f, rules.reveal_cancel(), **options),
        complete=True,
    ),
    Method("deeplift_shap", jaxplain.deeplift_shap, baseline="set", linear=None, chunked=True),
    Method(
        "modified_grad",
        lambda f, **options: jaxplain.modified_grad(f, rules.Composite(), **options),
        baseline="none",
        linear="1",
    ),
    Method("ablation", jaxplain.ablation, chunked=True),
    Method("occlusion", functools.partial(jaxplain.occlusion, window=(1,)), chunked=True),
    Method(
        "rise",
        functools.partial(jaxplain.rise, samples=9, grid=3, axes=(0,)),
        random=True,
        linear=None,
        chunked=True,
    ),
    Method(
        "sobol",
        functools.partial(jaxplain.sobol, along=-1, designs=16),
        linear=None,
        chunked=True,
    ),
    Method("exact_shapley", jaxplain.exact_shapley, complete=True, chunked=True),
    Method(
        "kernel_shap",
        functools.partial(jaxplain.kernel_shap, samples=20),
        random=True,
        complete=True,
        chunked=True,
    ),
    Method(
        "shapley_sampling",
        functools.partial(jaxplain.shapley_sampling, samples=6),
        random=True,
        complete=True,
        chunked=True,
    ),
    Method("owen", _owen, complete=True, chunked=True),
    Method(
        "lime",
        functools.partial(jaxplain.lime, samples=24, penalty=0.0),
        random=True,
        chunked=True,
    ),
    _at_hidden("neuron_conductance", jaxplain.neuron_conductance, index=2, chunked=True),
    _at_hidden("crp", jaxplain.crp, channels=1, baseline="none"),
    _at_hidden("conductance", jaxplain.conductance, chunked=True, of_layer=True),
    _at_hidden("internal_influence", jaxplain.internal_influence, chunked=True, of_layer=True),
    _at_hidden("activation_patching", jaxplain.activation_patching, chunked=True, of_layer=True),
    _at_hidden("attribution_patching", jaxplain.attribution_patching, of_layer=True),
    Method("layer(integrated_grad)", _layer, linear=None, chunked=True, of_layer=True),
]
