"""Depthwise convolutions as sums over the window: the same numbers, and the same derivatives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.program._depthwise import depthwise, is_depthwise
from jaxplain.program._lower import lower
from jaxplain.program._trace import trace

_draw = np.random.default_rng(0)
NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 7, 6, 3), (3, 3, 1, 3), {"padding": "SAME"}),
    "strided": ((2, 7, 6, 3), (3, 3, 1, 3), {"padding": "SAME", "window_strides": (2, 2)}),
    "uneven strides": ((1, 9, 8, 2), (5, 2, 1, 2), {"padding": "VALID", "window_strides": (3, 2)}),
    "strides beyond the window": (
        (1, 9, 8, 2),
        (2, 1, 1, 2),
        {"padding": ((1, 0), (0, 0)), "window_strides": (3, 3)},
    ),
    "dilated": (
        (1, 9, 8, 2),
        (3, 3, 1, 2),
        {"padding": ((2, 3), (0, 1)), "rhs_dilation": (2, 1), "window_strides": (1, 2)},
    ),
    "dilated and strided": (
        (1, 11, 8, 2),
        (3, 2, 1, 2),
        {"padding": ((2, 3), (1, 1)), "rhs_dilation": (3, 2), "window_strides": (2, 2)},
    ),
    "channels first": (
        (2, 3, 7, 6),
        (3, 1, 3, 3),
        {"padding": "SAME", "dimension_numbers": NCHW},
    ),
    "one axis": (
        (2, 9, 4),
        (4, 1, 4),
        {"padding": ((3, 0),), "window_strides": (1,), "dimension_numbers": ("NWC", "WIO", "NWC")},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name: str) -> None:
    shape, window, options = CASES[name]
    options = {"window_strides": (1, 1), "dimension_numbers": NHWC, **options}
    groups = shape[1] if options["dimension_numbers"] is NCHW else shape[-1]
    x, kernel = (jnp.asarray(_draw.normal(size=s)) for s in (shape, window))

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, feature_group_count=groups, **options)

    program = trace(plain, x, kernel).program()
    (equation,) = (e for e in program.equations if e.op.kind.name == "CONV")
    assert is_depthwise(equation)

    def summed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return depthwise(equation, (x, kernel))

    np.testing.assert_allclose(summed(x, kernel), plain(x, kernel), rtol=1e-10, atol=1e-12)
    seed = jnp.asarray(_draw.normal(size=plain(x, kernel).shape))

    def derivatives(f: Any) -> Any:
        def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
            return jnp.sum(jnp.sin(f(x, kernel)) * seed)

        def slope(x: jax.Array, kernel: jax.Array) -> jax.Array:
            return jnp.sum(jax.grad(loss)(x, kernel) ** 2)

        return jax.jit(
            lambda x, kernel: (
                jax.grad(loss, argnums=(0, 1))(x, kernel),
                jax.grad(slope, argnums=(0, 1))(x, kernel),
            )
        )(x, kernel)

    pairs = zip(
        jax.tree.leaves(derivatives(summed)), jax.tree.leaves(derivatives(plain)), strict=True
    )
    for given, expected in pairs:
        np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-11)

    # The derivative of one that strides is a convolution of a picture with zeros in between.
    slope = jax.grad(lambda x: jnp.sum(plain(x, kernel) * seed))
    lowered = jax.jit(lower(slope))
    assert "stablehlo.convolution" not in lowered.lower(x).as_text()
    np.testing.assert_allclose(lowered(x), slope(x), rtol=1e-10, atol=1e-12)


OTHERS = {
    "one group": ((1, 5, 5, 3), (3, 3, 3, 3), 1),
    "groups of two": ((1, 5, 5, 4), (3, 3, 2, 4), 2),
    "several outputs for each channel": ((1, 5, 5, 3), (3, 3, 1, 6), 3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_convolutions_are_left_alone(name: str) -> None:
    shape, window, groups = OTHERS[name]
    x, kernel = jnp.ones(shape), jnp.ones(window)
    program = trace(
        lambda x: jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=NHWC, feature_group_count=groups
        ),
        x,
    ).program()
    assert not any(is_depthwise(equation) for equation in program.equations)
