"""Networks with a state: LSTM, GRU and a selective state-space model."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from ._zoo import Model, from_nnx, linen


def start(x: jax.Array, width: int) -> jax.Array:
    """Make the state before the first step."""
    return jnp.zeros((x.shape[0], width), x.dtype)


class LSTM(nn.Module):
    """Two layers of LSTM, in scans or unrolled; the logits of the last state."""

    unrolled: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in range(2):
            carry = (start(x, 8), start(x, 8))
            cell = nn.LSTMCell(8, name=f"cell_{layer}")
            if self.unrolled:
                outputs = []
                for step in range(x.shape[1]):
                    carry, output = cell(carry, x[:, step])
                    outputs.append(output)
                x = jnp.stack(outputs, axis=1)
            else:
                x = nn.RNN(cell)(x, initial_carry=carry)
        return nn.Dense(4)(x[:, -1])


class BidirectionalLSTM(nn.Module):
    """An optimized LSTM each way in time; the mean of what they say."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        carry = (start(x, 6), start(x, 6))
        forward = nn.RNN(nn.OptimizedLSTMCell(6))(x, initial_carry=carry)
        backward = nn.RNN(nn.OptimizedLSTMCell(6), reverse=True, keep_order=True)(
            x, initial_carry=carry
        )
        x = jnp.concatenate([forward, backward], axis=-1)
        return nn.Dense(4)(jnp.mean(x, axis=1))


class GRU(nnx.Module):
    """A gated recurrent unit; the logits of the last state."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.cell = nnx.GRUCell(3, 8, rngs=rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        def step(state: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
            return self.cell(state, x)

        state, _ = jax.lax.scan(step, start(x, 8), x.swapaxes(0, 1))
        return self.head(state)


class MambaBlock(nn.Module):
    """A causal convolution and a state-space scan whose steps depend on the input, gated."""

    states: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = 2 * x.shape[-1]
        inner, gate = jnp.split(nn.Dense(2 * width, use_bias=False)(x), 2, axis=-1)
        conv = nn.Conv(width, (3,), padding="CAUSAL", feature_group_count=width)
        inner = nn.silu(conv(inner))
        step = nn.softplus(nn.Dense(width)(nn.Dense(2, use_bias=False)(inner)))
        write, read = jnp.split(nn.Dense(2 * self.states, use_bias=False)(inner), 2, axis=-1)

        log_decay = self.param("log_decay", nn.initializers.zeros, (width, self.states), x.dtype)
        decay = jnp.exp(-step[..., None] * jnp.exp(log_decay)[None, None])
        drive = (step * inner)[..., None] * write[:, :, None, :]

        def combine(
            left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
        ) -> tuple[jax.Array, jax.Array]:
            return left[0] * right[0], left[1] * right[0] + right[1]

        _, state = jax.lax.associative_scan(combine, (decay, drive), axis=1)
        skip = self.param("skip", nn.initializers.ones, (width,))
        y = jnp.einsum("btds,bts->btd", state, read) + inner * skip[None, None]
        return nn.Dense(x.shape[-1], use_bias=False)(y * nn.silu(gate))


class Mamba(nn.Module):
    """Two selective state-space blocks; the last position's logits."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(2):
            x = x + MambaBlock()(nn.RMSNorm()(x))
        return nn.Dense(4)(nn.RMSNorm()(x)[:, -1])


lstm = linen("lstm", "recurrent", LSTM(), (5, 3))
lstm_unrolled = linen(
    "lstm_unrolled", "recurrent", LSTM(unrolled=True), (5, 3), drawn_for=("lstm", LSTM())
)

MODELS: list[Model] = [
    lstm,
    lstm_unrolled,
    linen("lstm_bidirectional", "recurrent", BidirectionalLSTM(), (5, 3)),
    from_nnx("gru", "recurrent", lambda rngs: GRU(rngs=rngs), (6, 3)),
    linen("mamba", "recurrent", Mamba(), (6, 8)),
]
TWINS: list[tuple[Model, Model]] = [(lstm, lstm_unrolled)]
