"""What a model of the zoo is, and how its weights and its input are drawn."""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

Forward = Callable[[Any], jax.Array]
Weights = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Model:
    """A small network as its author would write it, on one example.

    `make(dtype)` gives the function from an input to a vector of logits, and an input;
    `make(dtype, bias=False)` gives the same function with every additive parameter zero.
    """

    name: str
    make: Callable[..., tuple[Forward, Any]]
    family: str


def linen(
    name: str,
    family: str,
    module: nn.Module,
    shape: Any,
    *,
    drawn_for: tuple[str, nn.Module] | None = None,
    convert: Callable[[Weights], Weights] = lambda weights: weights,
) -> Model:
    """Describe a linen module that takes a batch of inputs of this shape (a pytree of shapes).

    A twin takes the weights that `convert` makes of those drawn for another model.
    """
    seed, source = drawn_for or (name, module)

    def build(dtype: Any, bias: bool) -> tuple[Forward, Any]:
        example = _example(seed, shape, np.float32)
        with _lenient():
            shapes = jax.eval_shape(source.init, jax.random.key(0), _batch_of_one(example))
        variables = convert(_weights(seed, shapes, dtype, bias))

        def forward(x: Any) -> jax.Array:
            with _lenient():
                return module.apply(variables, _batch_of_one(x))[0]

        return forward, _example(seed, shape, dtype)

    return _model(name, family, build)


def from_nnx(name: str, family: str, create: Callable[[nnx.Rngs], nnx.Module], shape: Any) -> Model:
    """Describe an nnx module that takes a batch of inputs of this shape."""

    def build(dtype: Any, bias: bool) -> tuple[Forward, Any]:
        graph, state = nnx.split(nnx.eval_shape(lambda: create(nnx.Rngs(0))))
        nnx.replace_by_pure_dict(state, _weights(name, nnx.to_pure_dict(state), dtype, bias))
        module = nnx.merge(graph, state)

        def forward(x: Any) -> jax.Array:
            with _lenient():
                return module(_batch_of_one(x))[0]

        return forward, _example(name, shape, dtype)

    return _model(name, family, build)


def raw(
    name: str,
    family: str,
    apply: Callable[[Weights, Any], jax.Array],
    weights: dict[str, tuple[int, ...]],
    shape: Any,
) -> Model:
    """Describe a function of weights of these shapes and of one input."""

    def build(dtype: Any, bias: bool) -> tuple[Forward, Any]:
        shapes = {key: jax.ShapeDtypeStruct(value, np.float32) for key, value in weights.items()}
        drawn = _weights(name, shapes, dtype, bias)
        return lambda x: apply(drawn, x), _example(name, shape, dtype)

    return _model(name, family, build)


def _model(name: str, family: str, build: Callable[[Any, bool], tuple[Forward, Any]]) -> Model:
    cached = functools.lru_cache(maxsize=None)(build)

    def make(dtype: Any, bias: bool = True) -> tuple[Forward, Any]:
        return cached(np.dtype(dtype), bias)

    return Model(name, make, family)


def _lenient() -> AbstractContextManager[None]:
    # Flax's own LayerNorm and avg_pool mix dtypes.
    return jax.numpy_dtype_promotion("standard")


def _batch_of_one(x: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[None], x)


def _example(name: str, shape: Any, dtype: Any) -> Any:
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def draw(leaf: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(rng.normal(size=leaf), dtype)

    return jax.tree.map(draw, shape, is_leaf=lambda leaf: isinstance(leaf, tuple))


def _weights(name: str, shapes: Weights, dtype: Any, bias: bool) -> Weights:
    def draw(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        keys = [name, *(str(entry.key) for entry in path)]
        return jnp.asarray(_draw(keys, leaf.shape, bias), dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _draw(keys: list[str], shape: tuple[int, ...], bias: bool) -> np.ndarray:
    """Draw one weight, far from its usual initial value where that one is 0 or 1.

    NumPy draws it: the weights are the same at each dtype, and nothing has to be compiled.
    """
    rng = np.random.default_rng(zlib.crc32("/".join(keys).encode()))
    noise = rng.normal(size=shape)
    *_, module, leaf = keys
    if "bias" in leaf or leaf in ("mean", "pos_embedding", "class_token"):
        return 0.1 * noise if bias else np.zeros(shape)
    if leaf == "var":
        return rng.uniform(0.5, 1.5, size=shape)
    if len(shape) == 1 or leaf == "log_decay":
        return 1 + 0.1 * noise
    # Of an attention's projections only the last has its inputs in more than one axis.
    fan_in = shape[0] if module in ("query", "key", "value") else math.prod(shape[:-1])
    if leaf.startswith("expert"):
        fan_in = shape[1]
    return math.sqrt(2 / fan_in) * noise
