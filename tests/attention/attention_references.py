"""Slow references in NumPy: a transformer written out, and what is read from its attention.

Nothing here uses the library or JAX. The gradient by the attention weights is a finite difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray
Layer = dict[str, Array]


# ---------------------------------------------------------------------------- a small transformer


@dataclasses.dataclass(frozen=True, eq=False)
class Transformer:
    """Post-norm blocks of self-attention and a dense layer; the first token makes the logits."""

    layers: list[Layer]
    head: Array

    def __call__(self, x: Array, shifts: Sequence[Any]) -> tuple[Array, list[Array]]:
        """Logits, and the attention weights (heads, tokens, tokens), to which shifts are added."""
        maps = []
        for layer, shift in zip(self.layers, shifts, strict=True):
            mixed = np.zeros_like(x)
            weights = []
            for h in range(len(layer["query"])):
                query, key, value = (x @ layer[name][h] for name in ("query", "key", "value"))
                scores = np.exp(query @ key.T)
                weights.append(scores / scores.sum(axis=1, keepdims=True) + shift[h])
                mixed = mixed + weights[h] @ value @ layer["out"][h]
            maps.append(np.stack(weights))
            x = normalized(x + mixed)
            x = normalized(x + np.tanh(x @ layer["dense"]))
        return x[0] @ self.head, maps


def normalized(x: Array) -> Array:
    """Each token less its mean, with a variance of one."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-6)


def transformer(width: int = 4, heads: int = 2, layers: int = 2, classes: int = 3) -> Transformer:
    """Random weights, large enough that no token is looked at as much as another."""
    normal = np.random.default_rng(5).normal
    shapes = {name: (heads, width, 2) for name in ("query", "key", "value")}
    shapes |= {"out": (heads, 2, width), "dense": (width, width)}
    drawn = [{name: normal(size=shape) for name, shape in shapes.items()} for _ in range(layers)]
    return Transformer(drawn, normal(size=(width, classes)))


def slopes(model: Transformer, x: Array, k: int, step: float = 1e-5) -> list[Array]:
    """How logit `k` changes with each attention weight, later layers following."""
    tokens, heads = len(x), len(model.layers[0]["query"])
    zeros = [np.zeros((heads, tokens, tokens)) for _ in model.layers]
    found = [np.zeros_like(zero) for zero in zeros]
    for i, zero in enumerate(zeros):
        for place in np.ndindex(zero.shape):
            ends = []
            for sign in (1, -1):
                shifts = [other.copy() for other in zeros]
                shifts[i][place] = sign * step
                ends.append(model(x, shifts)[0][k])
            found[i][place] = (ends[0] - ends[1]) / (2 * step)
    return found


# ------------------------------------------------------------------------- what is read from maps


def rollout(maps: Sequence[Array], residual: float = 0.5, heads: str = "mean") -> Array:
    """Abnar and Zuidema 2020, eq. 1: what reaches each token, one token of the input at a time."""
    tokens = maps[0].shape[-1]
    reached = np.zeros((tokens, tokens))
    for source in range(tokens):
        amount = np.eye(tokens)[source]
        for weights in maps:
            joint = {"mean": np.mean, "max": np.max, "min": np.min}[heads](weights, axis=0)
            joint = joint / joint.sum(axis=1, keepdims=True)
            amount = np.array(
                [
                    residual * amount[q]
                    + (1 - residual) * sum(joint[q, k] * amount[k] for k in range(tokens))
                    for q in range(tokens)
                ]
            )
        reached[:, source] = amount
    return reached


def transformer_relevance(maps: Sequence[Array], gradients: Sequence[Array]) -> Array:
    """Chefer et al. 2021, equations 5 and 6 for self-attention, element by element."""
    tokens = maps[0].shape[-1]
    relevance = np.eye(tokens)
    for weights, gradient in zip(maps, gradients, strict=True):
        joint = np.zeros((tokens, tokens))
        for q, k in np.ndindex(tokens, tokens):
            parts = [max(g[q, k] * a[q, k], 0) for g, a in zip(gradient, weights, strict=True)]
            joint[q, k] = sum(parts) / len(parts)
        before = relevance.copy()
        for q, i in np.ndindex(tokens, tokens):
            relevance[q, i] = before[q, i] + sum(joint[q, k] * before[k, i] for k in range(tokens))
    return relevance
