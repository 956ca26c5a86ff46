"""Numbers of the tokens of a vision transformer, as a map of the picture."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ._grid import Layout, find_grid


def token_map(
    values: jax.Array,
    x: jax.Array,
    *,
    resize: str | None = "linear",
    grid: tuple[int, ...] | None = None,
) -> jax.Array:
    r"""One number for each token, laid over the picture that the tokens were cut from.

    Args:
        values: a number for each token, floats of shape (tokens,), such as a row of
            `attention_rollout`. Tokens before those of the picture are left out.
        x: the picture, (height, width, channels).
        resize: `"linear"`, `"nearest"`, `"cubic"`, or None for one number per patch.
        grid: rows and columns of the patches, where they cannot be told from the sizes.

    Returns:
        A map of the picture's height and width, or of `grid` without resizing.

    Raises:
        ValueError: no grid of square patches over the picture has so many tokens, or `values` is
            not a vector.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> picture = jnp.zeros((4, 4, 3))
        >>> jaxplain.token_map(jnp.arange(5.0), picture, resize=None)  # a class token and 2 x 2
        Array([[1., 2.],
               [3., 4.]], dtype=float32)
    """
    values = jnp.asarray(values)
    if values.ndim != 1:
        raise ValueError(
            f"token_map takes one number for each token, a vector, but values has shape "
            f"{values.shape}. Choose a row: attention_rollout(f)(x)[0] is that of a class token."
        )
    tokens = values[:, None]
    found = find_grid(tokens, x, Layout(resize=resize, grid=grid), "values")
    return found.enlarge(found.arrange(tokens)[..., 0], resize)
