"""The engine is tested by identity: a replay that changes nothing is the function itself."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from replaying import (
    Identity,
    Linearized,
    assert_close,
    assert_identical,
    grouped,
    replayed,
    score,
    sites,
)

import jaxplain
from jaxplain import Kind
from jaxplain.program import _ops
from jaxplain.program._group import group
from jaxplain.program._run import replay
from jaxplain.program._trace import Program, trace

Function = Callable[[jax.Array], Any]
lax = jax.lax

X = jnp.array([[0.31, 0.72, 0.55], [0.84, 0.23, 0.47]])
W = jnp.array([[0.5, -1.0, 2.0, 0.3], [1.5, 0.2, -0.7, 0.9], [-0.4, 1.1, 0.6, -1.3]])
ROWS = jnp.array([1, 0, 1])


def mesh() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.devices()[:1]), ("d",)), PartitionSpec())


def indexed(operand: jax.Array, rows: jax.Array, updates: jax.Array, kind: str) -> jax.Array:
    at = operand.at[rows]
    change: Callable[..., jax.Array] = getattr(at, kind)
    return change(updates, unique_indices=False, indices_are_sorted=False)


def windows(x: jax.Array, init: float, kind: Any) -> jax.Array:
    return lax.reduce_window(x, init, kind, (1, 2), (1, 1), "VALID")


def picked(x: jax.Array, condition: jax.Array) -> jax.Array:
    return jnp.where(condition, 2 * x, jnp.sin(x))


def unary(function: Callable[..., Any], shift: float = 0.0) -> Function:
    return lambda x: function(x + shift)


# One program for every primitive of the table; `X` lies between 0 and 1.
PRIMITIVES: dict[str, Function] = {
    # Movement
    "reshape": lambda x: x.reshape(3, 2) ** 2,
    "transpose": lambda x: jnp.sin(x.T),
    "squeeze": lambda x: lax.squeeze(x[:, :1], (1,)) ** 2,
    "broadcast_in_dim": lambda x: jnp.broadcast_to(x[:, None], (2, 4, 3)) ** 2,
    "slice": lambda x: lax.slice(x, (0, 1), (2, 3)) ** 2,
    "dynamic_slice": lambda x: lax.dynamic_slice(x, (jnp.int32(0), jnp.int32(1)), (2, 2)) ** 2,
    "gather": lambda x: jnp.sin(x[ROWS]),
    "concatenate": lambda x: jnp.concatenate([x, x**2, jnp.ones((1, 3))]) ** 2,
    "pad": lambda x: lax.pad(x, 0.5 * x[0, 0], ((1, 0, 1), (0, 1, 0))) ** 2,
    "rev": lambda x: lax.rev(x, (1,)) * x,
    "dynamic_update_slice": lambda x: lax.dynamic_update_slice(x, x[:1, :2] ** 2, (1, 1)) ** 2,
    "scatter": lambda x: x.at[jnp.array([1])].set(jnp.sin(x[:1])) ** 2,
    "sort": lambda x: jnp.sort(x, axis=1) * jnp.arange(3.0)[None],
    "top_k": lambda x: lax.top_k(x, 2)[0] ** 2,
    "split": lambda x: [part**2 for part in lax.split(x, (1, 2), axis=1)],
    "stack": lambda x: jnp.stack([x, x**2]) ** 2,
    "unstack": lambda x: [row**2 for row in jnp.unstack(x)],
    "tile": lambda x: jnp.tile(x, (2, 1)) ** 2,
    "optimization_barrier": lambda x: lax.optimization_barrier(x**2) * x,
    "sharding_constraint": lambda x: lax.with_sharding_constraint(x**2, mesh()) * x,
    "convert_element_type": lambda x: x.astype(jnp.float32).astype(jnp.float64) ** 2,
    "reduce_precision": lambda x: lax.reduce_precision(x, 11, 52) ** 2,
    "copy": lambda x: jnp.array(x, copy=True) ** 2,
    "select_n": lambda x: picked(x, x > 0.5),
    # Functions of one value
    "exp": unary(jnp.exp),
    "exp2": unary(jnp.exp2),
    "logistic": unary(jax.nn.sigmoid),
    "abs": lambda x: jnp.abs(x - 0.5) * x,
    "square": unary(lax.square),
    "sqrt": unary(jnp.sqrt),
    "rsqrt": unary(lax.rsqrt),
    "cosh": unary(jnp.cosh),
    "sin": unary(jnp.sin),
    "cos": unary(jnp.cos),
    "tan": unary(jnp.tan),
    "asin": unary(jnp.arcsin),
    "acos": unary(jnp.arccos),
    "atan": unary(jnp.arctan),
    "sinh": unary(jnp.sinh),
    "tanh": unary(jnp.tanh),
    "asinh": unary(jnp.arcsinh),
    "acosh": unary(jnp.arccosh, 1.5),
    "atanh": unary(jnp.arctanh),
    "erf": unary(lax.erf),
    "erfc": unary(lax.erfc),
    "erf_inv": unary(lax.erf_inv),
    "lgamma": unary(lax.lgamma),
    "digamma": unary(lax.digamma),
    "log": unary(jnp.log),
    "log1p": unary(jnp.log1p),
    "expm1": unary(jnp.expm1),
    "cbrt": unary(jnp.cbrt),
    "sign": lambda x: jnp.sign(x - 0.5) * x**2,
    "floor": lambda x: (3 * x - jnp.floor(3 * x)) ** 2,
    "ceil": lambda x: (jnp.ceil(3 * x) - x) ** 2,
    "round": lambda x: (jnp.round(3 * x) - x) ** 2,
    "integer_pow": lambda x: x**3,
    "clamp": lambda x: lax.clamp(0.3, x, 0.6) * x,
    "bessel_i0e": unary(lax.bessel_i0e),
    "bessel_i1e": unary(lax.bessel_i1e),
    "stop_gradient": lambda x: lax.stop_gradient(x**2) * x,
    # Sums, products, quotients
    "neg": lambda x: (-x) ** 3,
    "add": lambda x: (x + x[:, ::-1]) * (x + 1.0),
    "add_any": lambda x: jax.grad(lambda x: jnp.sum(jnp.sin(x) * jnp.exp(x)))(x),
    "add_jaxvals": lambda x: jax.grad(lambda x: jnp.sum(jnp.sin(x) * jnp.exp(x)))(x),
    "sub": lambda x: (x - x[:, ::-1]) * (1.0 - x),
    "mul": lambda x: x * x[:, ::-1] * W[:2, :3],
    "div": lambda x: x / x[:, ::-1] + 1.0 / x + x / 3.0,
    "rem": lambda x: jax.lax.rem(x, x[:, ::-1]) + jax.lax.rem(x, jnp.full_like(x, 0.7)),
    "atan2": lambda x: jnp.arctan2(x, x[:, ::-1]) + jnp.arctan2(x, jnp.full_like(x, 2.0)),
    "pow": lambda x: x ** x[:, ::-1] + x**0.7 + 2.0**x,
    "reduce_sum": lambda x: jnp.sum(x, axis=1) ** 2,
    "reduce_window_sum": lambda x: windows(x, 0.0, lax.add) ** 2,
    "cumsum": lambda x: jnp.cumsum(x, axis=1) ** 2,
    "scatter_add": lambda x: indexed(x, ROWS, jnp.sin(x[ROWS]), "add") ** 2,
    "scatter_sub": lambda x: indexed(x, ROWS, jnp.sin(x[ROWS]), "subtract") ** 2,
    "reduce_prod": lambda x: jnp.prod(x, axis=1) ** 2,
    "cumprod": lambda x: jnp.cumprod(x, axis=1) ** 2,
    "dot_general": lambda x: x @ W + jnp.sum(x @ x.T),
    "conv_general_dilated": lambda x: (
        jnp.convolve(x[0], jnp.array([1.0, -2.0])) ** 2 + jnp.convolve(x[1], x[0])[:4]
    ),
    "cumlogsumexp": lambda x: lax.cumlogsumexp(x, axis=1) ** 2,
    # Maxima
    "max": lambda x: jnp.maximum(x, x[:, ::-1] ** 2) * jnp.maximum(x, 0.4),
    "min": lambda x: jnp.minimum(x, x[:, ::-1] ** 2) * jnp.minimum(x, 0.4),
    "reduce_max": lambda x: jnp.max(x, axis=1) ** 2,
    "reduce_min": lambda x: jnp.min(x, axis=1) ** 2,
    "reduce_window_max": lambda x: windows(x, -jnp.inf, lax.max) ** 2,
    "reduce_window_min": lambda x: windows(x, jnp.inf, lax.min) ** 2,
    "cummax": lambda x: lax.cummax(x, axis=1) ** 2,
    "cummin": lambda x: lax.cummin(x, axis=1) ** 2,
    # Truth values and whole numbers, inactive on the way to a choice
    "eq": lambda x: picked(x, jnp.round(2 * x) == 1.0),
    "ne": lambda x: picked(x, jnp.round(2 * x) != 1.0),
    "lt": lambda x: picked(x, x < 0.5),
    "le": lambda x: picked(x, x <= 0.5),
    "gt": lambda x: picked(x, x > 0.5),
    "ge": lambda x: picked(x, x >= 0.5),
    "and": lambda x: picked(x, (x > 0.3) & (x < 0.6)),
    "or": lambda x: picked(x, (x < 0.3) | (x > 0.6)),
    "xor": lambda x: picked(x, (x < 0.6) ^ (x < 0.3)),
    "not": lambda x: picked(x, ~(x > 0.5)),
    "is_finite": lambda x: picked(x, jnp.isfinite(x)),
    # Names and calls
    "name": lambda x: checkpoint_name(x**2, "squared") * x,
    "scan": lambda x: lax.scan(lambda c, row: (jnp.tanh(c + row), c * row), x[0], x),
    "cond": lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x),
    "while": lambda x: x * lax.while_loop(lambda i: i < 7, lambda i: 2 * i + 1, 0),
    "checkpoint": lambda x: jax.checkpoint(lambda x: jnp.sin(jnp.exp(x)))(x),
    # JAX has no derivative of these with respect to values that matter; their rows are below.
    "scatter_max": lambda x: x * indexed(X, ROWS, X[ROWS] + 0.1, "max"),
    "scatter_min": lambda x: x * indexed(X, ROWS, X[ROWS] - 0.1, "min"),
}
# JAX's names for the same primitives have changed.
SAME = {"remat2": "checkpoint", "remat": "checkpoint"}


def every_equation(program: Program) -> Iterator[Any]:
    for equation in program.equations:
        yield equation
        for body in equation.bodies:
            yield from every_equation(body)


TABLE = sorted(primitive.name for primitive in _ops._TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_every_primitive_of_the_table(name: str) -> None:
    case = PRIMITIVES.get(SAME.get(name, name.replace("-", "_")))
    assert case is not None, f"the table has {name!r}, and PRIMITIVES no program with it"
    found = {equation.primitive.name for equation in every_equation(trace(case, X).program())}
    assert name in found, f"the program for {name!r} is made of {sorted(found)}"
    assert_identical(case, X)


# Calls: functions with programs inside


@jax.custom_jvp
def bent(x: jax.Array) -> jax.Array:
    return jnp.sin(x)


@bent.defjvp
def _bent(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return bent(x), 3.0 * jnp.exp(x) * dx


@jax.custom_vjp
def scaled(x: jax.Array, factor: jax.Array) -> jax.Array:
    return x * factor


def _scaled_forward(x: jax.Array, factor: jax.Array) -> Any:
    return scaled(x, factor), (x, factor)


def _scaled_backward(kept: Any, g: jax.Array) -> Any:
    x, factor = kept
    return 7.0 * g * factor * jnp.cos(x), jnp.sum(g * x)


scaled.defvjp(_scaled_forward, _scaled_backward)


def cell(carry: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
    carry = jnp.tanh(carry @ W[:, :3] + row)
    return carry, carry * row


def nested(x: jax.Array) -> jax.Array:
    def outer(carry: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
        inner, rows = lax.scan(lambda c, r: (jnp.sin(c * r), c), carry[0] + row[0], row)
        return carry * inner, rows

    return jnp.stack([*lax.scan(outer, x[0], x)[1], lax.scan(outer, x[0], x)[0]])


def late(x: jax.Array) -> Any:
    """Of the carried values one is active from the start, one later, one after it, one never."""

    def step(carry: Any, row: jax.Array) -> Any:
        a, b, c, count = carry
        return (a * 0.9 + 0.1, b + row * a, c + b**2, count + 1), b * count.astype(b.dtype)

    zero = jnp.zeros(3)
    return lax.scan(step, (x[0], zero, zero, jnp.int32(0)), jnp.concatenate([x, x]))


def routed(x: jax.Array) -> jax.Array:
    weights, index = lax.top_k(x.sum(0), 2)
    return jnp.sum(weights[:, None] * W[index] * x.sum(), axis=0)


def branchy(x: jax.Array) -> jax.Array:
    def inner(x: jax.Array) -> jax.Array:
        return lax.cond(jnp.sum(x) > 2.0, lambda x: x**2, lambda x: 3 * x, x)

    return lax.switch(jnp.argmax(x[0]), [jnp.sin, inner, jnp.cos], x)


def dots(x: jax.Array) -> jax.Array:
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return jax.checkpoint(lambda x: jnp.tanh(x @ W) ** 2, policy=policy)(x)


def named_only(x: jax.Array) -> jax.Array:
    policy = jax.checkpoint_policies.save_only_these_names("kept")
    layer = jax.checkpoint(lambda x: jnp.sin(checkpoint_name(x @ W, "kept")), policy=policy)
    return layer(x) * layer(2 * x)


def vmapped_scan(x: jax.Array) -> jax.Array:
    return jax.vmap(lambda row: lax.scan(lambda c, e: (jnp.sin(c + e), c), row[0], row)[1])(x)


def vmapped_cond(x: jax.Array) -> jax.Array:
    return jax.vmap(jax.vmap(lambda a: lax.cond(a > 0.5, jnp.sin, jnp.exp, a)))(x)


def counted(x: jax.Array) -> jax.Array:
    return lax.fori_loop(0, 3, lambda i, c: jnp.tanh(c * W[:2, :3] + W[i, 0]), x)


def shaped(x: jax.Array) -> jax.Array:
    """A while loop over what depends on the input without a derivative."""
    steps = lax.while_loop(lambda n: n < jnp.round(x.sum()), lambda n: n + 1, jnp.zeros(()))
    return jnp.sin(x) * lax.stop_gradient(steps)


CALLS: dict[str, Function] = {
    "jit": lambda x: jax.jit(lambda x: jnp.sin(x) @ W)(x),
    "nested jit": jax.jit(
        lambda x: x * jax.jit(jax.jit(jnp.exp))(x) + jax.jit(lambda: W[:2, 0:3])()
    ),
    "shared jit": lambda x: (lambda g: g(x) * g(g(x)))(jax.jit(jnp.sin)),
    "custom_jvp of JAX": lambda x: jax.nn.relu(x - 0.5) * jax.nn.silu(x) * jax.nn.relu6(9 * x),
    "gradient inside": lambda x: jax.vmap(jax.grad(lambda r: jnp.prod(jnp.sin(r))))(x),
    "jvp inside": lambda x: jax.jvp(jnp.sin, (x,), (x**2,)),
    "remat": lambda x: jax.checkpoint(lambda x: jnp.sin(x) @ W)(x) ** 2,
    "remat with a policy": dots,
    "remat with names": named_only,
    "remat under a gradient": lambda x: jax.grad(lambda x: jnp.sum(dots(x)))(x),
    "scan, carry active": lambda x: lax.scan(cell, x[0], X),
    "scan, rows active": lambda x: lax.scan(cell, X[0], x),
    "scan, constants active": lambda x: lax.scan(lambda c, r: (c * x[0] + r, c), X[0], X),
    "scan, active later": late,
    "scan, reversed": lambda x: lax.scan(cell, X[0], x, reverse=True),
    "scan, unrolled": lambda x: lax.scan(cell, x[1], x, unroll=2),
    "scan, one step": lambda x: lax.scan(cell, x[0], x[1:]),
    "scan, no rows": lambda x: lax.scan(lambda c, _: (jnp.sin(c), c[:, 0]), x, None, length=3),
    "scan in scan": nested,
    "scan in vmap": vmapped_scan,
    "vmap in scan": lambda x: lax.scan(lambda c, r: (jax.vmap(jnp.sin)(c) * r, c), x[0], x),
    "associative_scan": lambda x: lax.associative_scan(jnp.multiply, jnp.concatenate([x, x])),
    "map": lambda x: lax.map(lambda row: jnp.sin(row) * row.sum(), x),
    "fori_loop": counted,
    "cond": lambda x: lax.cond(x.sum() > 9.0, lambda x: x @ W, lambda x: jnp.sin(x) @ W, x),
    "cond, one constant branch": lambda x: lax.cond(True, lambda x: x**2, lambda x: X, x) * x,
    "cond, predicate in the operand": lambda x: lax.cond(
        x[0, 0] > 0.3, lambda a, b: a * b, lambda a, b: a + b, x, X
    ),
    "switch, cond inside": branchy,
    "cond in vmap": vmapped_cond,
    "cond in scan": lambda x: lax.scan(
        lambda c, r: (lax.cond(r[0] > 0.5, jnp.sin, jnp.cos, c) * r, c), x[0], x
    ),
    "while, inactive": shaped,
    "routing": routed,
    "output is the input": lambda x: (x, x, jnp.ones(2)),
    "dictionaries": lambda x: {"b": [x**2, None], "a": (x, X)},
    "no use of the input": lambda x: X * 2,
    "argmax": lambda x: x[jnp.arange(2), jnp.argmax(x, axis=1)] ** 2,
}
THOROUGH = ("shared jit", "scan, one step", "cond, one constant branch")


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str) -> None:
    assert_identical(CALLS[name], X, thorough=name in THOROUGH)


@pytest.mark.parametrize("where", ["alone", "jit", "scan", "cond", "remat"])
@pytest.mark.parametrize("which", ["custom_jvp", "custom_vjp"])
def test_custom_derivatives_are_kept_where_no_rule_reaches(which: str, where: str) -> None:
    def own(x: jax.Array) -> jax.Array:
        return bent(x) * x if which == "custom_jvp" else scaled(x, jnp.asarray(2.0)) * x

    f = {
        "alone": own,
        "jit": jax.jit(own),
        "scan": lambda x: lax.scan(lambda c, r: (own(c) * r, c), x[0], x),
        "cond": lambda x: lax.cond(x.sum() > 0, own, jnp.sin, x),
        "remat": jax.checkpoint(own),
    }[where]
    assert_identical(f, X, opened=frozenset())
    opened = jax.jit(jax.grad(score(replayed(f, Identity()))))(X)
    kept = jax.jit(jax.grad(score(f)))(X)
    assert not np.allclose(opened, kept), "opened, their own derivative is gone"


def test_only_the_chosen_custom_derivative_is_opened() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.sum(bent(x)) + jnp.sum(scaled(x, jnp.asarray(2.0)))

    traced = trace(f, X)
    calls = [e.eqn for e in traced.program(frozenset()).equations if "custom" in e.primitive.name]
    assert [call.primitive.name[:10] for call in calls] == ["custom_jvp", "custom_vjp"]

    def again(x: jax.Array, place: int) -> jax.Array:
        traced = trace(f, x)
        steps = traced.program(frozenset()).equations
        eqn = [e.eqn for e in steps if "custom" in e.primitive.name][place]
        return replayed_with(f, x, traced, frozenset({id(eqn)}))

    for place, expected in ((0, jnp.cos(X) + 14 * jnp.cos(X)), (1, 3 * jnp.exp(X) + 2.0)):
        assert_close(jax.grad(again)(X, place), expected)


def replayed_with(f: Function, x: jax.Array, traced: Any, opened: frozenset[int]) -> Any:
    steps = group(traced.program(opened))
    return traced.restore(replay(steps, [x], {site: Identity() for site in steps.all_sites()}))


def test_modified_grad_keeps_the_custom_derivatives_that_it_does_not_touch() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.sum(bent(x) * jax.nn.relu(x - 0.5)) + jnp.sum(scaled(x, jnp.asarray(2.0)))

    nothing = jaxplain.modified_grad(f, jaxplain.rules.Composite())
    assert_close(nothing(X), jax.grad(f)(X))


def test_an_active_while_loop_runs_and_says_what_to_use_instead() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.sum(lax.while_loop(lambda c: jnp.sum(c) < 9.0, lambda c: 2 * c, x))

    assert_close(replayed(f)(X), f(X))
    assert_close(replayed(f, Identity())(X), f(X))
    with pytest.raises(NotImplementedError, match=r"while loop at .*test_identity.py.*lax\.scan"):
        jaxplain.lrp(f)(X)


def test_a_loop_with_bounds_of_the_input_is_an_active_while_loop() -> None:
    def f(x: jax.Array, n: jax.Array) -> jax.Array:
        return jnp.sum(lax.fori_loop(0, n, lambda i, c: jnp.sin(c), x))

    with pytest.raises(NotImplementedError, match=r"while loop .*fixed number of steps"):
        jax.jit(jaxplain.lrp(f))(X, 3)


@pytest.mark.parametrize("rule", [Identity(), Linearized()])
def test_the_pullback_of_the_forward_pass_is_the_sites_own(rule: Any) -> None:
    def f(x: jax.Array) -> Any:
        return jnp.tanh(jnp.sort(jax.nn.softmax(x @ W, axis=-1) @ W.T, axis=0)), late(x)

    scalar = score(replayed(f, rule))
    assert_close(jax.jit(jax.grad(scalar))(X), jax.grad(score(f))(X))


def test_derivatives_with_respect_to_what_is_closed_over() -> None:
    def explained(weights: jax.Array, g: Callable[..., Any]) -> jax.Array:
        def f(x: jax.Array) -> jax.Array:
            return lax.scan(lambda c, r: (jnp.tanh(c * weights + r), c @ c), X[0], x)[1]

        _, pullback = jax.vjp(score(g(f)), X)
        return jnp.sum(pullback(jnp.asarray(1.0))[0] ** 2)

    actual = jax.grad(explained)(W[0, :3], lambda f: replayed(f, Identity()))
    assert_close(actual, jax.grad(explained)(W[0, :3], lambda f: f))


# Flax


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, _: Any = None) -> tuple[jax.Array, None]:
        y = nn.LayerNorm(param_dtype=float)(x)
        return x + nn.tanh(nn.Dense(3, param_dtype=float)(y)), None


class Repeated(nn.Module):
    lifted: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.lifted == "scan":
            body = nn.scan(
                Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=2
            )
            return body()(x, None)[0]
        if self.lifted == "remat":
            return nn.remat(Block)()(x)[0]
        if self.lifted == "remat scan":
            return nn.remat_scan(Carry, lengths=(2, 1))()(x)
        mapped = nn.vmap(Block, variable_axes={"params": None}, split_rngs={"params": False})
        return mapped()(x)[0]


class Carry(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return Block()(x)[0]


@pytest.fixture
def mixed() -> Iterator[None]:
    """Flax's normalisation mixes dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("lifted", ["scan", "remat", "vmap", "remat scan"])
def test_linen_lifted(lifted: str) -> None:
    model = Repeated(lifted)
    variables = model.init(jax.random.key(0), X)
    assert_identical(lambda x: model.apply(variables, x), X)


def test_linen_cells() -> None:
    rnn = nn.RNN(nn.GRUCell(4, param_dtype=float))
    variables = rnn.init(jax.random.key(0), X[None])
    assert_identical(lambda x: rnn.apply(variables, x[None]), X)


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(1, 2, (2, 2), rngs=rngs, param_dtype=float)
        self.norm = nnx.BatchNorm(2, use_running_average=True, rngs=rngs, param_dtype=float)
        self.attend = nnx.MultiHeadAttention(
            num_heads=2, in_features=6, decode=False, rngs=rngs, param_dtype=float
        )
        self.drop = nnx.Dropout(0.5, deterministic=True, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = nnx.relu(self.norm(self.conv(x[..., None])))
        return self.drop(self.attend(h.reshape(1, 2, 6)))


@pytest.mark.usefixtures("mixed")
def test_nnx_modules() -> None:
    assert_identical(Net(nnx.Rngs(0)), X)


def test_nnx_scan_over_layers() -> None:
    @nnx.vmap(in_axes=0, out_axes=0)
    def create(key: jax.Array) -> nnx.Linear:
        return nnx.Linear(3, 3, rngs=nnx.Rngs(key), param_dtype=float)

    layers = create(jax.random.split(jax.random.key(0), 2))

    def f(x: jax.Array) -> jax.Array:
        graph, state = nnx.split(layers)
        return lax.scan(lambda c, s: (jnp.tanh(nnx.merge(graph, s)(c)), None), x, state)[0]

    assert_identical(f, X)


def test_every_site_of_these_programs_has_a_rule() -> None:
    """The identity rules above were everywhere but at calls."""
    steps = grouped(CALLS["switch, cond inside"], X)
    kinds = {site.kind for site in steps.all_sites()}
    assert {Kind.CALL, Kind.ELEMENTWISE, Kind.SCALE} <= kinds
    assert len(sites(CALLS["switch, cond inside"], X)) == len(steps.all_sites())


def test_what_has_an_effect_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: jax.Array) -> jax.Array:
        jax.debug.print("total {}", jnp.sum(x))
        return jnp.sum(jnp.tanh(x))

    jax.block_until_ready(jaxplain.lrp(f)(jnp.ones(3)))
    jax.effects_barrier()
    assert "total 3.0" in capsys.readouterr().out
