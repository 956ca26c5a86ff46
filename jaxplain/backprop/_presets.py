"""Named composites from the literature."""

from __future__ import annotations

from typing import Any

from ..program._ops import Kind
from ._composite import Composite, first, preset
from ._epsilon import Epsilon, Norm
from ._input_rules import Flat, WSquare, ZBox
from ._products import Product, Softmax
from ._signed import AlphaBeta, Gamma, Interpolated, ZPlus

_DENSE, _CONV, _AFFINE = Kind.DENSE, Kind.CONV, Kind.AFFINE


def epsilon(epsilon: Any = 1e-6) -> Composite:
    """LRP-ε everywhere, with the same stabiliser at every site.

    Args:
        epsilon: the stabiliser; may be traced. Towards 0 it becomes LRP-0.

    Returns:
        A composite.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> jaxplain.lrp(lambda x: (x**2).sum(), jaxplain.rules.epsilon())(jnp.array([1.0, 2.0]))
        Array([1., 4.], dtype=float32)

    References:
        Bach et al. 2015, PLoS ONE.
    """
    return epsilon_everywhere(epsilon)


def epsilon_everywhere(epsilon: Any) -> Composite:
    return preset(
        [
            (Kind.LINEAR & ~Kind.SCALE | Kind.NORMALIZATION, Epsilon(epsilon)),
            (Kind.PRODUCT, Product(epsilon=epsilon)),
            (Kind.LOG_SOFTMAX | Kind.LOGSUMEXP, Softmax(epsilon)),
        ]
    )


def epsilon_plus(epsilon: Any = 1e-6) -> Composite:
    """ε in dense layers, z⁺ in convolutions.

    Args:
        epsilon: the stabiliser of the dense layers; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.epsilon_plus())(jnp.ones(2)).round(3)
        Array([ 2., -1.], dtype=float32)

    References:
        Kohlbrenner et al. 2020, Towards best practice in explaining neural network decisions with
        LRP, IJCNN.
    """
    return preset([(_CONV, ZPlus()), (_DENSE, Epsilon(epsilon))])


def epsilon_plus_flat(epsilon: Any = 1e-6) -> Composite:
    """ε in dense layers, z⁺ in convolutions, flat in the first layer, dense or convolution.

    Args:
        epsilon: the stabiliser of the dense layers; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.epsilon_plus_flat())(jnp.ones(2)).round(3)
        Array([1., 1.], dtype=float32)

    References:
        Lapuschkin et al. 2019, Nature Communications. Kohlbrenner et al. 2020, IJCNN.
    """
    return preset([(first(), Flat())]) | epsilon_plus(epsilon)


def epsilon_alpha2_beta1(epsilon: Any = 1e-6) -> Composite:
    """ε in dense layers, α2β1 in convolutions.

    Args:
        epsilon: the stabiliser of the dense layers; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.epsilon_alpha2_beta1())(jnp.ones(2)).round(3)
        Array([ 2., -1.], dtype=float32)

    References:
        Kohlbrenner et al. 2020, IJCNN.
    """
    return preset([(_CONV, AlphaBeta(2.0, 1.0)), (_DENSE, Epsilon(epsilon))])


def epsilon_alpha2_beta1_flat(epsilon: Any = 1e-6) -> Composite:
    """ε in dense layers, α2β1 in convolutions, flat in the first layer.

    Args:
        epsilon: the stabiliser of the dense layers; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.epsilon_alpha2_beta1_flat())(jnp.ones(2)).round(3)
        Array([1., 1.], dtype=float32)

    References:
        Kohlbrenner et al. 2020, IJCNN.
    """
    return preset([(first(), Flat())]) | epsilon_alpha2_beta1(epsilon)


def epsilon_gamma_box(low: Any, high: Any, *, epsilon: Any = 1e-6, gamma: Any = 0.25) -> Composite:
    """ε in dense layers, γ in convolutions, zᴮ in a first convolution.

    Args:
        low: lower bound of the inputs, in the model's own input units: a number, or an array that
            broadcasts to the input; may be traced.
        high: upper bound, likewise.
        epsilon: the stabiliser of the dense layers; may be traced.
        gamma: how much positive contributions are favoured in convolutions; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: `low` exceeds `high`, or another number is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.epsilon_gamma_box(-1.0, 1.0))(jnp.ones(2)).round(3)
        Array([ 2., -1.], dtype=float32)

    References:
        Montavon et al. 2019, Layer-wise relevance propagation: an overview, Springer LNCS 11700.
        Anders et al. 2021, Software for dataset-wide XAI, arXiv:2106.13200.
    """
    return preset(
        [
            (first(Kind.CONV), ZBox(low, high)),
            (_CONV, Gamma(gamma)),
            (_DENSE, Epsilon(epsilon)),
        ]
    )


def gamma(gamma: Any = 0.25, *, epsilon: Any = 1e-6) -> Composite:
    """γ in dense layers and convolutions.

    Args:
        gamma: how much positive contributions are favoured; may be traced.
        epsilon: the stabiliser; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: a number is negative.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -2.0])
        >>> jaxplain.lrp(f, jaxplain.rules.gamma(1.0))(jnp.ones(2)).round(2)
        Array([ 1.5, -0.5], dtype=float32)

    References:
        Montavon et al. 2019, Springer LNCS 11700.
    """
    return preset([(_AFFINE, Gamma(gamma, epsilon))])


def interpolated(gamma: Any, *, epsilon: Any = 1e-6) -> Composite:
    """Between z⁺ (`gamma=0`) and gradient × input (`gamma=1`) in dense layers and convolutions.

    Args:
        gamma: by how much negative contributions count, from 0 to 1; may be traced.
        epsilon: the stabiliser; may be traced.

    Returns:
        A composite.

    Raises:
        ValueError: `gamma` is not between 0 and 1.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, -2.0])
        >>> jaxplain.lrp(f, jaxplain.rules.interpolated(0.5))(jnp.ones(2)).round(2)
        Array([ 1.5, -0.5], dtype=float32)

    References:
        Montavon et al. 2018, Digital Signal Processing.
    """
    return preset([(_AFFINE, Interpolated(gamma, epsilon)), (Kind.ADD | Kind.SUM, Norm(epsilon))])


def excitation_backprop() -> Composite:
    """z⁺ in every dense layer and convolution: the probability that a neuron wins.

    Returns:
        A composite; use it with `seed="one"` for probabilities.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, 2.0, -1.0])
        >>> explain = jaxplain.lrp(f, jaxplain.rules.excitation_backprop(), seed="one")
        >>> explain(jnp.ones(3)).round(2)
        Array([0.5, 0.5, 0. ], dtype=float32)

    References:
        Zhang et al. 2018, Top-down neural attention by excitation backprop, IJCV.
    """
    return preset([(_AFFINE, ZPlus())])


def deep_taylor(low: Any = None, high: Any = None) -> Composite:
    """Deep Taylor decomposition: z⁺ inside, zᴮ or w² in the first layer.

    Args:
        low: lower bound of the inputs for zᴮ; without bounds the first layer takes w².
        high: upper bound.

    Returns:
        A composite.

    Raises:
        ValueError: only one bound is given, or `low` exceeds `high`.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([1.0, -1.0])
        >>> jaxplain.lrp(f, jaxplain.rules.deep_taylor(), seed="one")(jnp.ones(2)).round(2)
        Array([0.5, 0.5], dtype=float32)

    References:
        Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor
        decomposition, Pattern Recognition.
    """
    if (low is None) != (high is None):
        raise ValueError(
            f"deep_taylor(low={low}, high={high}) needs both bounds of the inputs, or neither."
        )
    entrance = WSquare() if low is None else ZBox(low, high)
    return preset([(first(), entrance), (_AFFINE, ZPlus())])
