"""Curves: a score against the share of the input that is gone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve:
    r"""A score while more and more of the input is put to the baseline.

    Args:
        shares: the shares of the features that are gone, from 0 to 1, (steps + 1,).
        scores: the score there, in units of `f`, (steps + 1,).

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> curve = evaluate.Curve(jnp.array([0.0, 0.5, 1.0]), jnp.array([4.0, 2.0, 0.0]))
        >>> float(curve.area)
        2.0
    """

    shares: jax.Array
    scores: jax.Array

    @property
    def area(self) -> jax.Array:
        """The mean of the score over the shares, by the trapezoidal rule."""
        widths = jnp.diff(self.shares, axis=-1)
        middles = (self.scores[..., 1:] + self.scores[..., :-1]) / 2
        return jnp.sum(widths.astype(middles.dtype) * middles, axis=-1)
