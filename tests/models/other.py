"""MLPs, and networks of sets, graphs and pairs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

from ._zoo import Model, Weights, from_nnx, linen, raw


class MLP(nn.Module):
    """Dense layers with relu, some in a sequence."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Sequential([nn.Dense(12), nn.relu, nn.Dense(12), nn.relu])(x)
        return nn.Dense(4)(x)


class MLPNNX(nnx.Module):
    """Dense layers with a residual, in nnx."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.linear1 = nnx.Linear(6, 12, rngs=rngs)
        self.linear2 = nnx.Linear(12, 12, rngs=rngs)
        self.linear3 = nnx.Linear(12, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.linear1(x))
        x = x + nnx.relu(self.linear2(x))
        return self.linear3(x)


class MixerMLP(nn.Module):
    """The MLP that mixes, over the last axis."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(12)(x)))


class MLPMixer(nn.Module):
    """Patches mixed over places, then over channels."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(8, (4, 4), strides=(4, 4))(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        for _ in range(2):
            y = jnp.swapaxes(nn.LayerNorm()(x), 1, 2)
            x = x + jnp.swapaxes(MixerMLP()(y), 1, 2)
            x = x + MixerMLP()(nn.LayerNorm()(x))
        return nn.Dense(4)(jnp.mean(nn.LayerNorm()(x), axis=1))


class GraphNet(nn.Module):
    """Messages along the edges of a fixed graph, summed and maximized at each node."""

    senders: tuple[int, ...] = (0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 2)
    receivers: tuple[int, ...] = (1, 0, 2, 1, 3, 2, 4, 3, 0, 4, 2, 0)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.vmap(self.one)(x)

    def one(self, nodes: jax.Array) -> jax.Array:
        senders, receivers = np.array(self.senders), np.array(self.receivers)
        degree = jax.ops.segment_sum(jnp.ones(len(senders), nodes.dtype), receivers, len(nodes))
        for _ in range(2):
            edges = jnp.concatenate([nodes[senders], nodes[receivers]], axis=-1)
            messages = nn.relu(nn.Dense(8)(edges))
            total = jax.ops.segment_sum(messages, receivers, num_segments=len(nodes))
            most = jax.ops.segment_max(messages, receivers, num_segments=len(nodes))
            update = jnp.concatenate([nodes, total / degree[:, None], most], axis=-1)
            nodes = nn.relu(nn.Dense(8)(update))
        return nn.Dense(4)(jnp.concatenate([nodes.mean(axis=0), nodes.max(axis=0)]))


class DeepSets(nnx.Module):
    """The same network for each element, their sum, and a network for that."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.phi = nnx.Sequential(
            nnx.Linear(3, 8, rngs=rngs), nnx.tanh, nnx.Linear(8, 8, rngs=rngs), nnx.relu
        )
        self.rho = nnx.Sequential(
            nnx.Linear(8, 8, rngs=rngs), nnx.selu, nnx.Linear(8, 4, rngs=rngs)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.rho(jnp.sum(self.phi(x), axis=1))


class Siamese(nn.Module):
    """One encoder for two inputs, compared by their distance and by their product."""

    @nn.compact
    def __call__(self, x: dict[str, jax.Array]) -> jax.Array:
        encoder = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(8), nn.tanh])
        a, b = encoder(x["left"]), encoder(x["right"])
        compared = jnp.concatenate([jnp.abs(a - b), a * b], axis=-1)
        return nn.Dense(4)(compared)


def raw_net(weights: Weights, x: Any) -> jax.Array:
    """Layers of einsum and jax.numpy, one bilinear, with a norm and a clip."""
    x = jnp.einsum("td,dh->th", x, weights["inner"]) + weights["inner_bias"][None, :]
    x = jnp.where(x > 0, x, 0.1 * x)
    pairs = jnp.einsum("th,hgk,sg->tsk", x, weights["pair"], x) / 8
    pairs = jnp.maximum(pairs, 0) + jnp.log1p(jnp.exp(-(pairs**2)))
    pooled = jnp.sqrt(jnp.sum(pairs**2, axis=(0, 1)) + 1e-3)
    pooled = pooled / (1e-3 + jnp.linalg.norm(pooled))
    hidden = jnp.clip(pooled @ weights["hidden"] + weights["hidden_bias"], -2, 2)
    return jnp.dot(hidden, weights["out"]) + weights["out_bias"]


RAW_WEIGHTS = {
    "inner": (3, 6),
    "inner_bias": (6,),
    "pair": (6, 6, 8),
    "hidden": (8, 8),
    "hidden_bias": (8,),
    "out": (8, 4),
    "out_bias": (4,),
}

MODELS: list[Model] = [
    linen("mlp", "other", MLP(), (6,)),
    from_nnx("mlp_nnx", "other", lambda rngs: MLPNNX(rngs=rngs), (6,)),
    linen("mlp_mixer", "other", MLPMixer(), (12, 12, 3)),
    linen("graph", "other", GraphNet(), (5, 4)),
    from_nnx("deep_sets", "other", lambda rngs: DeepSets(rngs=rngs), (5, 3)),
    linen("siamese", "other", Siamese(), {"left": (6,), "right": (6,)}),
    raw("raw", "other", raw_net, RAW_WEIGHTS, (4, 3)),
]
