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
        """The mean of the score over the shares, by the trapezoidal rule, whatever they span."""
        widths = jnp.diff(self.shares, axis=-1).astype(self.scores.dtype)
        middles = (self.scores[..., 1:] + self.scores[..., :-1]) / 2
        span = jnp.sum(widths, axis=-1)
        mean = jnp.sum(widths * middles, axis=-1) / jnp.where(span == 0, 1, span)
        return jnp.where(span == 0, jnp.mean(self.scores, axis=-1), mean)
