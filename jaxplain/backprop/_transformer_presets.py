"""Named composites for transformers."""

from __future__ import annotations

from typing import Any

from ..program._ops import Kind
from ._composite import Composite, preset
from ._passing import Stop
from ._presets import epsilon_everywhere
from ._products import Product


def attn_lrp(epsilon: Any = 1e-6) -> Composite:
    """AttnLRP for transformers: ε in layers, products shared evenly, softmax by its expansion.

    Args:
        epsilon: the stabiliser of all sites; may be traced.

    Returns:
        A composite: ε in linear sites and normalisation (its scale held constant), products
        (attention, gates) shared half and half, softmax by its Taylor expansion.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: (jax.nn.softmax(x @ x.T) @ x)[0, 0]
        >>> jaxplain.lrp(f, jaxplain.rules.attn_lrp())(jnp.eye(2)).shape
        (2, 2)

    References:
        Achtibat et al. 2024, AttnLRP: attention-aware layer-wise relevance propagation for
        transformers, ICML.
    """
    return epsilon_everywhere(epsilon)


def cp_lrp(epsilon: Any = 1e-6) -> Composite:
    """CP-LRP for transformers: attention weights, gates and normalisation held constant.

    Args:
        epsilon: the stabiliser of all sites; may be traced.

    Returns:
        A composite: relevance goes through the values of attention alone, none to queries and
        keys, and through the linear part of gated units.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: (jax.nn.softmax(x @ x.T) @ x)[0, 0]
        >>> jaxplain.lrp(f, jaxplain.rules.cp_lrp())(jnp.eye(2)).sum().round(3)
        Array(0.731, dtype=float32)

    References:
        Ali et al. 2022, XAI for transformers: better explanations through conservative
        propagation, ICML.
    """
    gates = Product(detach=Kind.SOFTMAX | Kind.ELEMENTWISE, epsilon=epsilon)
    return preset([(Kind.PRODUCT, gates), (Kind.SOFTMAX, Stop())]) | attn_lrp(epsilon)
