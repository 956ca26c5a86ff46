"""Numbers of tokens over the picture that they were cut from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain


def test_each_patch_gets_its_token() -> None:
    picture = jnp.zeros((4, 6, 3))
    values = jnp.arange(7.0) - 1  # a class token, then 2 x 3 patches of 2 x 2 pixels
    found = jax.jit(lambda v: jaxplain.token_map(v, picture, resize="nearest"))(values)
    expected = np.kron(np.arange(6.0).reshape(2, 3), np.ones((2, 2)))
    np.testing.assert_array_equal(found, expected)


def test_without_resizing_it_is_the_grid() -> None:
    picture = jnp.zeros((4, 6))
    found = jaxplain.token_map(jnp.arange(8.0), picture, resize=None, grid=(2, 3))
    np.testing.assert_array_equal(found, [[2, 3, 4], [5, 6, 7]])


def test_tokens_that_are_few_beside_their_patches() -> None:
    """Of 11 tokens over a square picture, 9 are patches: 4 patches and 7 others would be odd."""
    found = jaxplain.token_map(jnp.arange(11.0), jnp.zeros((10, 10, 3)), resize=None)
    np.testing.assert_array_equal(found, np.arange(2.0, 11.0).reshape(3, 3))


def test_what_is_no_vector_or_fits_no_grid_raises() -> None:
    with pytest.raises(ValueError, match=r"one number for each token.*\(2, 2\).*attention_rollout"):
        jaxplain.token_map(jnp.ones((2, 2)), jnp.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"30 tokens.*Give grid="):
        jaxplain.token_map(jnp.ones(30), jnp.zeros((10, 40, 3)))
