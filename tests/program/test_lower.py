"""Lowering changes how fast a program runs, never what it computes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import lower


def array(*shape: int) -> jax.Array:
    """Random numbers, the same for the same shape."""
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape))


def conv(x: Any, kernel: Any, **options: Any) -> Any:
    options = {"window_strides": (1, 1), "padding": "SAME", **options}
    return jax.lax.conv_general_dilated(x, kernel, **options)


def pool(x: Any, window: tuple[int, int], strides: tuple[int, int], padding: str = "SAME") -> Any:
    shape, steps = (1, *window, 1), (1, *strides, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, shape, steps, padding)


NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
X, KERNEL = array(2, 7, 6, 4), array(3, 3, 4, 5)

PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "plain": (lambda x: conv(x, KERNEL, **NHWC), (X,)),
    "NCHW": (lambda x: conv(x, array(5, 4, 3, 3)), (array(2, 4, 7, 6),)),
    "strided": (lambda x: conv(x, KERNEL, window_strides=(2, 2), **NHWC), (X,)),
    "dilated": (
        lambda x: conv(
            x, KERNEL, padding=((2, 1), (0, 1)), rhs_dilation=(2, 1), lhs_dilation=(1, 2), **NHWC
        ),
        (X,),
    ),
    "grouped": (lambda x: conv(x, array(3, 3, 1, 8), feature_group_count=4, **NHWC), (X,)),
    "depthwise": (lambda x: conv(x, array(3, 3, 1, 4), feature_group_count=4, **NHWC), (X,)),
    "one axis": (
        lambda x: conv(
            x, array(3, 4, 5), window_strides=(1,), dimension_numbers=("NWC", "WIO", "NCW")
        ),
        (array(2, 7, 4),),
    ),
    "three axes": (
        lambda x: conv(x, array(6, 4, 2, 2, 3), window_strides=(1, 1, 1)),
        (array(1, 4, 4, 5, 3),),
    ),
    "two inputs, a tree": (
        lambda tree, y: {"sum": jnp.sum(conv(tree["x"], KERNEL, **NHWC)) + y, "y": jax.nn.relu(y)},
        ({"x": X}, jnp.array(2.0)),
    ),
    "nested jit, custom rules, control flow": (
        lambda x: jax.lax.cond(
            jnp.sum(x) > 0,
            jax.jit(lambda x: jax.nn.relu(conv(x, KERNEL, **NHWC))),
            jax.checkpoint(lambda x: jax.nn.silu(2 * conv(x, KERNEL, **NHWC))),
            x,
        ),
        (X,),
    ),
    "depthwise, strided": (
        lambda x: conv(x, array(3, 2, 1, 4), feature_group_count=4, window_strides=(2, 3), **NHWC),
        (X,),
    ),
    "depthwise, strided and dilated": (
        lambda x: conv(
            x,
            array(2, 3, 1, 4),
            feature_group_count=4,
            window_strides=(3, 2),
            rhs_dilation=(2, 1),
            padding=((2, 1), (0, 3)),
            **NHWC,
        ),
        (X,),
    ),
    "depthwise, transposed": (
        lambda x: conv(
            x,
            array(3, 3, 1, 4),
            feature_group_count=4,
            lhs_dilation=(2, 3),
            padding=((-1, 3), (2, -2)),
            **NHWC,
        ),
        (X,),
    ),
    "max pooling": (lambda x: pool(x, (2, 2), (2, 2)), (X,)),
    "max pooling that overlaps, ties": (lambda x: pool(x, (3, 3), (2, 2)), (jnp.round(X),)),
    "max pooling with gaps": (lambda x: pool(x, (1, 2), (3, 3), "VALID"), (X,)),
    "max pooling, channels first": (
        lambda x: jax.vmap(lambda x: pool(x.transpose(2, 0, 1)[..., None], (2, 2), (1, 2)))(x),
        (X,),
    ),
    "max pooling and scan": (
        lambda x: jax.lax.scan(
            lambda carry, row: (carry + jnp.max(row), jax.nn.relu(row)),
            0.0,
            conv(x, KERNEL, **NHWC),
        ),
        (X,),
    ),
}

programs = pytest.mark.parametrize(("fn", "args"), PROGRAMS.values(), ids=PROGRAMS.keys())


def weighted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar that every output has a say in."""
    return lambda *args: sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(fn(*args)))


@programs
def test_values_and_derivatives_are_the_functions_own(
    fn: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    expected = jax.jit(fn)(*args)
    chex.assert_trees_all_close(jax.jit(lower(fn))(*args), expected, rtol=1e-12, atol=1e-12)

    gradient = jax.jit(jax.grad(weighted(fn)))(*args)
    lowered = jax.jit(lower(jax.grad(weighted(fn))))(*args)
    chex.assert_trees_all_close(lowered, gradient, rtol=1e-12, atol=1e-12)


def test_gradient_in_a_loop_has_only_fast_layouts() -> None:
    def gradient(x: Any) -> Any:
        return jax.grad(lambda x: jnp.sum(jnp.sin(conv(x, KERNEL, **NHWC))))(x)

    def layouts(fn: Callable[..., Any]) -> set[str]:
        text = jax.jit(fn).lower(X).as_text()
        return set(re.findall(r"dim_numbers = (\S+)", text.replace(", ", ",")))

    canonical = "[b,0,1,f]x[0,1,i,o]->[b,0,1,f],window"
    assert layouts(gradient) - {canonical}  # what JAX makes of it
    assert layouts(lower(gradient)) == {canonical}


@pytest.mark.parametrize("name", ["depthwise, strided", "max pooling that overlaps, ties"])
def test_the_platform_is_chosen_when_it_is_compiled_for(name: str) -> None:
    gradient = jax.jit(lower(jax.grad(weighted(PROGRAMS[name][0]))))

    def slow_operations(platform: str) -> bool:
        text = jax.export.export(gradient, platforms=[platform])(X).mlir_module()
        return "stablehlo.convolution" in text or "select_and_scatter" in text

    assert slow_operations("cuda")  # where it is fast
    assert slow_operations("tpu")
    assert not slow_operations("cpu")


def test_it_can_be_switched_off() -> None:
    explain = jaxplain.saliency(weighted(PROGRAMS["max pooling"][0]))
    with jaxplain.lowering(False):
        as_written = jax.jit(explain).lower(X).as_text()
    fast = jax.jit(lambda x: explain(x)).lower(X).as_text()
    assert "select_and_scatter" in as_written
    assert "select_and_scatter" not in fast


def test_keyword_arguments_and_names_stay() -> None:
    def scaled(x: Any, *, by: Any) -> Any:
        return pool(x, (2, 2), (2, 2)) * by

    assert jaxplain.lower(scaled).__name__ == "scaled"
    chex.assert_trees_all_close(jaxplain.lower(scaled)(X, by=2.0), scaled(X, by=2.0))


def test_depthwise_convolutions_are_gone_and_have_derivatives_in_both_modes() -> None:
    fn = PROGRAMS["depthwise"][0]
    assert "stablehlo.convolution" not in jax.jit(lower(fn)).lower(X).as_text()
    direction = array(*X.shape)
    expected = jax.jit(lambda x: jax.jvp(fn, (x,), (direction,)))(X)
    lowered = jax.jit(lambda x: jax.jvp(lower(fn), (x,), (direction,)))(X)
    chex.assert_trees_all_close(lowered, expected, rtol=1e-12, atol=1e-12)


def test_vmap_of_lowered_and_lowered_of_vmap() -> None:
    xs = array(3, 2, 7, 6, 4)
    fn = jax.grad(lambda x: jnp.sum(jnp.sin(conv(x, KERNEL, **NHWC))))
    expected = jax.jit(jax.vmap(fn))(xs)
    chex.assert_trees_all_close(jax.jit(jax.vmap(lower(fn)))(xs), expected, rtol=1e-12)
    chex.assert_trees_all_close(jax.jit(lower(jax.vmap(fn)))(xs), expected, rtol=1e-12)


def test_gradient_with_respect_to_what_the_function_closes_over() -> None:
    def loss(kernel: Any, wrap: Callable[..., Any]) -> Any:
        fn = jax.grad(lambda x: jnp.sum(jnp.sin(conv(x, kernel, **NHWC))))
        return jnp.sum(wrap(fn)(X) ** 2)

    expected = jax.jit(jax.grad(lambda k: loss(k, lambda fn: fn)))(KERNEL)
    lowered = jax.jit(jax.grad(lambda k: loss(k, lower)))(KERNEL)
    chex.assert_trees_all_close(lowered, expected, rtol=1e-11)
