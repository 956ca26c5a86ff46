"""Curves: a score against the share of the input that is gone, or there."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve:
    r"""A score while more and more of the input is taken away, or brought back.

    Args:
        shares: the shares of the features that are gone, or present for a metric that brings them
            back, ascending within [0, 1], (points,).
        scores: the score there, in units of the metric: mostly those of `f`, (points,).

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
        """The integral by the trapezoidal rule: the mean score if the shares go from 0 to 1."""
        widths = jnp.diff(self.shares, axis=-1)
        middles = (self.scores[..., 1:] + self.scores[..., :-1]) / 2
        return jnp.sum(widths.astype(middles.dtype) * middles, axis=-1)
