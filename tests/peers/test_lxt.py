"""Side by side with lxt, by the authors of AttnLRP: an attention block built of its rules.

lxt adds its epsilon without a sign, and chooses it rule by rule. So the block's values are in the
hundreds and thousands, its scores divided by as much before the softmax: no epsilon matters then,
and all that is compared are the rules.

Of lxt only `lxt.explicit.functional` is used, which needs nothing but PyTorch, while the package
asks for transformers and more: install it with `pip install --no-deps lxt==2.1`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

REASON = "needs the peers extra, and pip install --no-deps lxt==2.1"
torch = pytest.importorskip("torch", reason=REASON)
lxt = pytest.importorskip("lxt.explicit.functional", reason=REASON)

import jaxplain  # noqa: E402

TOKENS, WIDTH, INNER = 6, 8, 12
SIZE = 1e3  # of the values between the layers
TEMPERATURE = SIZE**2 * WIDTH**0.5
NORM_EPS = 1e-5
LATER = np.triu(np.ones((TOKENS, TOKENS), bool), 1)  # the tokens a causal mask hides

Weights = dict[str, np.ndarray]
Block = Callable[[Any, dict[str, Any]], Any]


class Case(NamedTuple):
    """The same steps twice: of (tokens, width) and the weights, to one number."""

    there: Block  # of lxt's rules
    here: Block  # in plain JAX


def draw_weights() -> Weights:
    rng = np.random.default_rng(0)
    shapes = {
        "query": (WIDTH, WIDTH), "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH),
        "output": (WIDTH, WIDTH), "up": (INNER, WIDTH), "gate": (INNER, WIDTH),
        "down": (WIDTH, INNER), "readout": (1, WIDTH),
    }  # fmt: skip
    weights = {"norm1": rng.uniform(0.5, 1.5, WIDTH), "norm2": rng.uniform(0.5, 1.5, WIDTH)}
    weights |= {f"{name}_bias": SIZE * rng.normal(0, 0.1, WIDTH) for name in ("norm1", "norm2")}
    for name, shape in shapes.items():
        weights[name] = rng.normal(0, WIDTH**-0.5, shape)
        weights[f"{name}_bias"] = SIZE * rng.normal(0, 0.1, shape[0])
    for name in ("norm1", "norm2"):
        weights[name] *= SIZE
    weights["down"] /= SIZE  # its inputs are products
    return weights


# ------------------------------------------------------------------------------------------ in lxt


def linear_there(x: Any, w: dict[str, Any], name: str) -> Any:
    return lxt.linear_epsilon(x, w[name], w[f"{name}_bias"])


def norm_there(x: Any, w: dict[str, Any], name: str) -> Any:
    return lxt.layer_norm(x, w[name], w[f"{name}_bias"], NORM_EPS)


def attention_there(x: Any, w: dict[str, Any], *, causal: bool = False) -> Any:
    h = norm_there(x, w, "norm1")
    query, key, value = (linear_there(h, w, name) for name in ("query", "key", "value"))
    scores = lxt.mul2(lxt.matmul(query, key.T), 1 / TEMPERATURE)
    if causal:
        scores = scores.masked_fill(torch.tensor(LATER), -torch.inf)
    mixed = lxt.matmul(lxt.softmax(scores, -1), value)
    return lxt.add2(x, linear_there(mixed, w, "output"))


def gated_there(x: Any, w: dict[str, Any]) -> Any:
    h = norm_there(x, w, "norm2")
    product = lxt.mul2(linear_there(h, w, "up"), linear_there(h, w, "gate"))
    return lxt.add2(x, linear_there(product, w, "down"))


def readout_there(x: Any, w: dict[str, Any]) -> Any:
    return linear_there(lxt.mean(x, 0, False), w, "readout")[0]


# ------------------------------------------------------------------------------------------ in JAX


def linear_here(x: Any, w: dict[str, Any], name: str) -> Any:
    bias = w[f"{name}_bias"]
    return x @ w[name].T + (bias if x.ndim == 1 else bias[None])


def norm_here(x: Any, w: dict[str, Any], name: str) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + NORM_EPS)
    return centred * scale * w[name][None] + w[f"{name}_bias"][None]


def attention_here(x: Any, w: dict[str, Any], *, causal: bool = False) -> Any:
    h = norm_here(x, w, "norm1")
    query, key, value = (linear_here(h, w, name) for name in ("query", "key", "value"))
    scores = query @ key.T / TEMPERATURE
    if causal:
        scores = jnp.where(LATER, -jnp.inf, scores)
    return x + linear_here(jax.nn.softmax(scores, axis=-1) @ value, w, "output")


def gated_here(x: Any, w: dict[str, Any]) -> Any:
    h = norm_here(x, w, "norm2")
    return x + linear_here(linear_here(h, w, "up") * linear_here(h, w, "gate"), w, "down")


def readout_here(x: Any, w: dict[str, Any]) -> Any:
    return linear_here(jnp.mean(x, axis=0), w, "readout")[0]


# ---------------------------------------------------------------------------------- the comparisons


def chain(*steps: Block) -> Block:
    return lambda x, w: functools.reduce(lambda x, step: step(x, w), steps, x)


CASES = {
    "readout": Case(readout_there, readout_here),
    "attention": Case(chain(attention_there, readout_there), chain(attention_here, readout_here)),
    "causal": Case(
        chain(functools.partial(attention_there, causal=True), readout_there),
        chain(functools.partial(attention_here, causal=True), readout_here),
    ),
    "gated": Case(chain(gated_there, readout_there), chain(gated_here, readout_here)),
    "block": Case(
        chain(attention_there, gated_there, readout_there),
        chain(attention_here, gated_here, readout_here),
    ),
}


def tokens() -> np.ndarray:
    return SIZE * np.random.default_rng(1).normal(size=(TOKENS, WIDTH))


def relevance_there(block: Block) -> tuple[float, np.ndarray]:
    """The score, and its relevance."""
    x = torch.tensor(tokens()).requires_grad_()
    score = block(x, {name: torch.tensor(value) for name, value in draw_weights().items()})
    (relevance,) = torch.autograd.grad(score, x, grad_outputs=score.detach())
    return score.item(), relevance.numpy()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_blocks_are_one_function(case: Case) -> None:
    score, _ = relevance_there(case.there)
    np.testing.assert_allclose(jax.jit(case.here)(tokens(), draw_weights()), score, rtol=1e-11)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_attn_lrp(case: Case) -> None:
    """Half of a product to each factor, softmax by its own rule, the norms' scales held still."""
    _, expected = relevance_there(case.there)
    explain = jaxplain.lrp(case.here, jaxplain.rules.attn_lrp())
    found = np.asarray(jax.jit(explain)(tokens(), draw_weights()))
    assert np.max(np.abs(found - expected)) < 1e-5 * np.max(np.abs(expected))
