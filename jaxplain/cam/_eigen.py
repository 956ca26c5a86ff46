"""Eigen-CAM: the direction in which a layer's values vary most."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._tree import precision
from .._types import Argnums, Attribution, Model
from ._grid import Layout
from ._layer import Layer, class_activation_map


def eigen_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Eigen-CAM: the layer's values along their first principal component.

    $M = \tilde A v_1$, where $\tilde A$ is the matrix of positions times channels, centred over the
    positions, and $v_1$ its first right singular vector.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`; None leaves it at the layer's resolution.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
        channel_axis: the axis of the channels, counted from the end, of the layer and of the input;
            a pair if they differ.
        argnums: the argument to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns the map: an array of the input's height
        and width, or of its length.

    Raises:
        ValueError: an option is invalid; when called, if no layer or several have that name, or its
            positions cannot be laid over the input.
        TypeError: when called, if `f` is not scalar, or `x` is not floating, or not one array and
            `resize` is not None.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x * jnp.array([1.0, 0.5])
        ...     return jnp.sum(h)
        >>> jaxplain.eigen_cam(f, "hidden", relu=False)(jnp.array([[[1.0], [3.0]]])).round(3)
        Array([[-1.118,  1.118]], dtype=float32)

    Notes:
        The score plays no part: the map is the same for every class. The sign of a singular vector
        is arbitrary; it is chosen so that the map correlates positively with the sum of the values
        over the channels. Where values are constant, the map is zero. Under differentiation the
        first singular value must stand alone for the derivative to be defined; directions of equal
        singular values are held still.

    References:
        Muhammad and Yeasin 2020, Eigen-CAM, arXiv:2008.00299.
    """
    layout = Layout(relu, resize, grid, channel_axis)
    return class_activation_map(
        f, at, "eigen_cam", lambda layer: principal(layer.activations()), layout, argnums
    )


def eigen_grad_cam(
    f: Model,
    at: str,
    *,
    relu: bool = True,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] = -1,
    argnums: Argnums = 0,
) -> Attribution:
    r"""Eigen-CAM of the layer's values times their gradients, which depends on the class.

    As `eigen_cam`, with $G \odot A$ in the place of $A$, where $G = \partial f / \partial A$.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of a layer, as for `jaxplain.cut`: convolutions, tokens or a signal.
        relu: drop the negative part of the map.
        resize: how the map is enlarged to the input's height and width: `"nearest"`, `"linear"` or
            `"cubic"`; None leaves it at the layer's resolution.
        grid: rows and columns of a layer of tokens, if they cannot be told from their number;
            tokens before the grid's (a class token, registers) are left out.
        channel_axis: the axis of the channels, counted from the end, of the layer and of the input;
            a pair if they differ.
        argnums: the argument to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns the map: an array of the input's height
        and width, or of its length.

    Raises:
        ValueError: an option is invalid; when called, if no layer or several have that name, or its
            positions cannot be laid over the input.
        TypeError: when called, if `f` is not scalar, or `x` is not floating, or not one array and
            `resize` is not None.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = x * jnp.array([1.0, 0.5])
        ...     return jnp.sum(h[..., 0])
        >>> jaxplain.eigen_grad_cam(f, "hidden", relu=False)(jnp.array([[[1.0], [3.0]]])).round(3)
        Array([[-1.,  1.]], dtype=float32)

    Notes:
        The sign is chosen so that the map correlates positively with the sum of $G \odot A$ over
        the channels, which is `hires_cam`. All else is as for `eigen_cam`.

    References:
        Muhammad and Yeasin 2020, Eigen-CAM, arXiv:2008.00299. With gradients: Gildenblat and
        contributors 2021, PyTorch library for CAM methods.
    """
    layout = Layout(relu, resize, grid, channel_axis)

    def draw(layer: Layer) -> jax.Array:
        return principal(layer.gradients() * layer.activations())

    return class_activation_map(f, at, "eigen_grad_cam", draw, layout, argnums)


def principal(values: jax.Array) -> jax.Array:
    """Centred values (*grid, channels) along their first right singular vector: (*grid,)."""
    matrix = values.reshape(-1, values.shape[-1])
    matrix = matrix - jnp.mean(matrix, axis=0, keepdims=True)
    positions, channels = matrix.shape
    # The smaller of the two Gram matrices has the same vector, or its image.
    if positions <= channels:
        squares, vectors = symmetric_eigen(matrix @ matrix.T)
        varies = squares[-1] > 0
        map = vectors[:, -1] * jnp.where(varies, jnp.sqrt(jnp.where(varies, squares[-1], 1)), 0)
    else:
        map = matrix @ symmetric_eigen(matrix.T @ matrix)[1][:, -1]
    agreement = jnp.dot(map, jnp.sum(matrix, axis=1))
    return jnp.where(agreement < 0, -map, map).reshape(values.shape[:-1])


@jax.custom_jvp
def symmetric_eigen(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    Its derivative is finite where eigenvalues coincide, as the zeros of a matrix of low rank do:
    vectors that may be turned among each other are held still.
    """
    vectors, squares = jax.lax.linalg.eigh(matrix)
    return squares, vectors


@symmetric_eigen.defjvp
def _symmetric_eigen_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    squares, vectors = symmetric_eigen(*primals)
    moved = vectors.T @ tangents[0] @ vectors
    gaps = squares[None, :] - squares[:, None]
    rounding = precision(squares.dtype).eps * squares.shape[0] * jnp.max(jnp.abs(squares))
    apart = jnp.abs(gaps) > rounding
    turned = jnp.where(apart, moved / jnp.where(apart, gaps, 1), 0)
    return (squares, vectors), (jnp.diagonal(moved), vectors @ turned)
