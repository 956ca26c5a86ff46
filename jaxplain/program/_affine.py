"""Affine sites: a dot or convolution, or a sum, with the inactive steps around it, folded.

Rules that treat positive and negative weights differently need the weights: `Linear` shows a site
as `linear(inputs, weights) + bias`, with the scaling steps folded into one effective weight.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ._chains import Effect, Step
from ._layers import Layer
from ._ops import Kind
from ._trace import Equation, is_float


@dataclasses.dataclass(frozen=True)
class Linear:
    """A site as `linear(inputs, weights) + bias`.

    Args:
        inputs: the inputs, multiplied by the scaling steps before the weights.
        weights: the effective weights, one for each input.
        linear: the map, linear in the inputs and linear in the weights.
        bias: the site's value at zero input, or None where that is zero.
        scales: what each input was multiplied by on its way in.
    """

    inputs: tuple[jax.Array, ...]
    weights: tuple[jax.Array, ...]
    linear: Callable[[tuple[jax.Array, ...], tuple[jax.Array, ...]], jax.Array]
    bias: jax.Array | None
    scales: tuple[Any, ...]


def linear_view(
    layer: Layer, read: Callable[[Any], Any], at_zero: Callable[[], jax.Array]
) -> Linear:
    """A layer on given numbers; `read` gives the number of a value, `at_zero` the site's at 0."""
    if layer.core is None:
        return _diagonal(layer, read)
    data = read(layer.steps[0].data if layer.before else layer.core.inputs[layer.slot])
    entering = _entering(layer, data, read)
    dtype = layer.core.inputs[layer.slot].aval.dtype
    x = data.astype(dtype) * jnp.asarray(entering[0], dtype)
    operands = 1 if layer.core.op.kind is Kind.SUM else 2
    plain = entering[1] is None and len(layer.core.inputs) == operands
    bias = _bias(layer.after, read) if plain else at_zero()
    if layer.core.op.kind is Kind.SUM:
        scale = jnp.asarray(_affine_run(layer.after, read)[0], x.dtype)
        return Linear((x,), (scale,), _summing(layer, read), bias, (1.0,))
    kernel = read(layer.core.inputs[1 - layer.slot])
    weight = _fold(layer, kernel, read)
    return Linear((x,), (weight,), _contracting(layer), bias, (entering[0],))


def _entering(layer: Layer, data: jax.Array, read: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Scale and shift of the steps before the core, in the arrangement of the input."""
    if all(step.effect is not Effect.MOVE for step in layer.before):
        return _affine_run(layer.before, read)

    def run(x: jax.Array) -> jax.Array:
        for step in layer.before:
            operands = [
                x if i == step.slot else read(a) for i, a in enumerate(step.equation.inputs)
            ]
            (x,) = step.equation.run(operands)
        return x

    # The steps only scale, shift and rearrange, so their transpose at ones is the scale.
    shift, pullback = jax.vjp(run, jnp.zeros_like(data))
    (scale,) = pullback(jnp.ones_like(shift))
    return scale, shift


def _contracting(layer: Layer) -> Callable[..., jax.Array]:
    """The dot or convolution and what rearranges its result, without scales and shifts."""
    core, slot = layer.core, layer.slot
    assert core is not None

    def linear(inputs: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]) -> jax.Array:
        x = _rearrange(layer.before, inputs[0])
        operands = (x, weights[0]) if slot == 0 else (weights[0], x)
        return _rearrange(layer.after, core.run(operands)[0])

    return linear


def _summing(layer: Layer, read: Callable[[Any], Any]) -> Callable[..., jax.Array]:
    core = layer.core
    assert core is not None
    others = [None if i == layer.slot else read(atom) for i, atom in enumerate(core.inputs)]
    # What is added to, by a scatter-add for instance, is part of the bias.
    others = [jnp.zeros_like(o) if o is not None and is_float(o) else o for o in others]

    def linear(inputs: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]) -> jax.Array:
        operands = [inputs[0] if other is None else other for other in others]
        result = _rearrange(layer.after, core.run(operands)[0])
        dtype = max(result.dtype, weights[0].dtype, key=lambda dtype: dtype.itemsize)
        return result.astype(dtype) * weights[0].astype(dtype)

    return linear


def _diagonal(layer: Layer, read: Callable[[Any], Any]) -> Linear:
    x = read(layer.steps[0].data)
    scale, shift = _affine_run(layer.after, read)
    dtype = layer.after[-1].output.aval.dtype
    shift = None if shift is None else jnp.asarray(shift, dtype)

    def linear(inputs: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]) -> jax.Array:
        return (inputs[0] * weights[0]).astype(dtype)

    return Linear((x,), (jnp.asarray(scale, x.dtype),), linear, shift, (1.0,))


def _rearrange(steps: tuple[Step, ...], value: jax.Array) -> jax.Array:
    for step in steps:
        if step.effect in (Effect.MOVE, Effect.CAST):
            (value,) = step.equation.run([value])
    return value


def _affine_run(steps: tuple[Step, ...], read: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Scale and shift of a run without moves, in broadcastable shapes; shift None if none."""
    scale: Any = 1.0
    shift: Any = None
    for step in steps:
        if step.effect is Effect.MOVE:
            continue
        scale, shift = _advance(step, scale, read), _shifted(step, shift, read)
    return scale, shift


def _advance(step: Step, scale: Any, read: Callable[[Any], Any]) -> Any:
    """The scale so far, after one more step."""
    if step.negates:
        return -scale
    if step.effect is Effect.SCALE:
        other = read(step.other)
        return scale * other if step.equation.primitive is jax.lax.mul_p else scale / other
    return scale


def _shifted(step: Step, shift: Any, read: Callable[[Any], Any]) -> Any:
    """The shift so far, after one more step: what the step makes of it, or of zero."""
    if step.effect is Effect.SHIFT:
        other = read(step.other)
        if step.equation.primitive is not jax.lax.sub_p:
            return other if shift is None else shift + other
        before = 0.0 if shift is None else shift
        return other - before if step.negates else before - other
    if shift is None:
        return None
    if step.effect is Effect.CAST:
        return shift.astype(step.output.aval.dtype)
    return _advance(step, shift, read)


def _bias(steps: tuple[Step, ...], read: Callable[[Any], Any]) -> Any:
    """The value of the steps after the core at zero, in a shape that broadcasts to the result."""
    bias: Any = None
    for step in steps:
        if step.effect is not Effect.MOVE:
            bias = _shifted(step, bias, read)
        elif bias is not None:
            full = jnp.broadcast_to(bias, step.data.shape)
            (bias,) = step.equation.run([full])
    return bias


def _fold(layer: Layer, kernel: jax.Array, read: Callable[[Any], Any]) -> jax.Array:
    """The kernel times all scales after the core."""
    folds = iter(layer.folds)
    for step in layer.after:
        if step.negates:
            kernel = -kernel
        elif step.effect is Effect.SCALE:
            scale = _on_kernel(read(step.other), next(folds), kernel.ndim)
            scale = scale.astype(kernel.dtype)
            multiplies = step.equation.primitive is jax.lax.mul_p
            kernel = kernel * scale if multiplies else kernel / scale
    return kernel


def _on_kernel(scale: Any, fold: dict[int, int], rank: int) -> jax.Array:
    """A scale of the result as a scale of the kernel; it is constant along all other axes."""
    scale = jnp.asarray(scale)
    axes = sorted(fold)
    index = tuple(slice(None) if axis in fold else 0 for axis in range(scale.ndim))
    scale = scale[index]
    shape = [1] * rank
    for place, axis in enumerate(axes):
        shape[fold[axis]] = scale.shape[place]
    order = sorted(range(len(axes)), key=lambda place: fold[axes[place]])
    return jnp.transpose(scale, order).reshape(shape)


def sum_view(inputs: Sequence[jax.Array], evaluate: Callable[..., jax.Array]) -> Linear:
    """A sum of several active values, such as a scatter-add onto one, with weights 1."""

    def linear(inputs: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]) -> jax.Array:
        return evaluate([x * w for x, w in zip(inputs, weights, strict=True)])

    ones = tuple(jnp.ones((), x.dtype) for x in inputs)
    return Linear(tuple(inputs), ones, linear, None, (1.0,) * len(ones))


def add_view(equation: Equation, read: Callable[[Any], Any]) -> Linear:
    """The sum or difference of two active values as a linear map with weights 1 and ±1."""
    left, right = (read(atom) for atom in equation.inputs)
    sign = -1 if equation.primitive is jax.lax.sub_p else 1
    if equation.inputs[0] is equation.inputs[1]:  # x + x or x - x: one input, twice or not at all
        twice = (jnp.full((), 1 + sign, left.dtype),)
        return Linear((left,), twice, lambda xs, ws: xs[0] * ws[0], None, (1.0,))

    def linear(inputs: tuple[jax.Array, ...], weights: tuple[jax.Array, ...]) -> jax.Array:
        return inputs[0] * weights[0] + inputs[1] * weights[1]

    ones = (jnp.ones((), left.dtype), jnp.full((), sign, right.dtype))
    return Linear((left, right), ones, linear, None, (1.0, 1.0))
