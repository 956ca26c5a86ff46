"""Composites for `deeplift`."""

from __future__ import annotations

from ..backprop._composite import Composite, Selector, preset
from ..program._ops import Kind
from ._rescale import Rescale
from ._reveal_cancel import RevealCancel


def rescale() -> Composite:
    """Rescale at all activations: DeepLIFT's default.

    Returns:
        A composite for `deeplift`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> jaxplain.deeplift(lambda x: jax.nn.relu(x[0]), jaxplain.rules.rescale())(jnp.ones(2))
        Array([1., 0.], dtype=float32)

    References:
        Shrikumar et al. 2017, arXiv:1704.02685.
    """
    return preset([(Kind.ELEMENTWISE, Rescale())])


def reveal_cancel() -> Composite:
    """RevealCancel at all activations.

    Returns:
        A composite for `deeplift`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.relu(x[0] - x[1])
        >>> jaxplain.deeplift(f, jaxplain.rules.reveal_cancel())(jnp.array([1.0, 1.0]))
        Array([ 0.5, -0.5], dtype=float32)

    References:
        Shrikumar et al. 2017, arXiv:1704.02685.
    """
    return preset([(Kind.ELEMENTWISE, RevealCancel())])


def genomics() -> Composite:
    """RevealCancel at activations of dense layers, Rescale at all others.

    What the authors recommend for convolutional networks on sequences: single contributions to a
    convolution are noisy, those to a dense layer cancel in telling ways.

    Returns:
        A composite for `deeplift`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.relu(x @ jnp.array([1.0, -1.0]))
        >>> jaxplain.deeplift(f, jaxplain.rules.genomics())(jnp.ones(2))
        Array([ 0.5, -0.5], dtype=float32)

    References:
        Shrikumar et al. 2017, arXiv:1704.02685.
    """
    return preset([(after(Kind.DENSE), RevealCancel()), (Kind.ELEMENTWISE, Rescale())])


def after(which: Kind) -> Selector:
    """Activations of the given kinds of sites, seen through movement and scaling.

    Args:
        which: the kinds that come before, `Kind.DENSE | Kind.CONV` for instance.

    Returns:
        A selector.

    Example:
        >>> import jaxplain
        >>> from jaxplain.rules import Composite, RevealCancel, after
        >>> Composite([(after(jaxplain.Kind.DENSE), RevealCancel())])
        Composite([(activations after DENSE, RevealCancel())])
    """
    return Selector(
        lambda site: site.kind is Kind.ELEMENTWISE and any(o in which for o in site.origins if o),
        f"activations after {which.name}",
        kinds=True,
    )
