"""Programs that nobody wrote: replayed they are themselves, and relevance obeys its laws on them.

A program is a list of steps over a pool of values; each step reads values of the pool and adds one.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from replaying import Identity, assert_close, grouped, replayed, score

import jaxplain
from jaxplain import Kind, Site
from jaxplain.program._run import replay
from jaxplain.program._sites import Grouped

pytestmark = pytest.mark.thorough

lax = jax.lax

WIDTH = 4  # all values have the shape (3, 4), so that any step can follow any other
X = jnp.array([[0.31, -0.72, 0.55, 1.2], [-0.84, 0.23, 0.47, -0.1], [0.9, -0.35, 0.15, 0.6]])
_random = np.random.default_rng(0)
SQUARE = jnp.asarray(_random.normal(size=(3, WIDTH, WIDTH)) / 2)
VECTOR = jnp.asarray(_random.normal(size=(3, 1, WIDTH)))
FIELD = jnp.asarray(_random.normal(size=(3, 3, WIDTH)))

Array = jax.Array
Unary = Callable[[Array, int], Array]

# Steps of one value; the integer chooses among constants, so that weights are shared by chance.
UNARY: dict[str, Unary] = {
    "relu": lambda a, i: jax.nn.relu(a),
    "gelu": lambda a, i: jax.nn.gelu(a, approximate=bool(i % 2)),
    "tanh": lambda a, i: jnp.tanh(a),
    "silu": lambda a, i: a * jax.nn.sigmoid(a),
    "softplus": lambda a, i: jnp.log1p(jnp.exp(a)),
    "sine and square": lambda a, i: jnp.sin(a) + a**2 / 4,
    "scale": lambda a, i: a * VECTOR[i],
    "scale by position": lambda a, i: a * FIELD[i],
    "shift": lambda a, i: VECTOR[i] - a,
    "normalise": lambda a, i: (a - VECTOR[i]) / (1.0 + VECTOR[i] ** 2),
    "negate": lambda a, i: -a,
    "dense": lambda a, i: a @ SQUARE[i],
    "dense with a bias": lambda a, i: a @ SQUARE[i] + VECTOR[i],
    "dense from the left": lambda a, i: SQUARE[i][:3, :3] @ a * FIELD[i],
    "einsum": lambda a, i: jnp.einsum("nd,de->en", a, SQUARE[i]).T * VECTOR[i] - 0.1,
    "convolution": lambda a, i: jax.vmap(lambda r: jnp.convolve(r, VECTOR[i, 0], mode="same"))(a),
    "sum": lambda a, i: jnp.broadcast_to(a.sum(i % 2, keepdims=True), a.shape) + 0.5,
    "mean": lambda a, i: jnp.broadcast_to(a.mean(1)[:, None] * 2.0, a.shape),
    "cumsum": lambda a, i: jnp.cumsum(a, axis=i % 2) * VECTOR[i],
    "maximum": lambda a, i: jnp.broadcast_to(a.max(0), a.shape),
    "softmax": lambda a, i: jax.nn.softmax(a, axis=i % 2),
    "log_softmax": lambda a, i: jax.nn.log_softmax(a, axis=1),
    "layer norm": lambda a, i: (
        (a - a.mean(1, keepdims=True)) * lax.rsqrt(a.var(1, keepdims=True) + 0.1) * VECTOR[i]
    ),
    "rms norm": lambda a, i: a / jnp.sqrt(jnp.mean(a**2, axis=1, keepdims=True) + 0.1),
    "norm": lambda a, i: a / (0.5 + jnp.sum(a**2) ** 0.5),
    "slice": lambda a, i: jnp.tile(a[:, i : i + 2], (1, 2)),
    "reverse": lambda a, i: a[::-1],
    "concatenate": lambda a, i: jnp.concatenate([a[:, :2], FIELD[i][:, 2:]], axis=1),
    "pad": lambda a, i: jnp.pad(a[1:], ((1, 0), (0, 0)), constant_values=0.5),
    "gather": lambda a, i: a[jnp.array([2, 0, 2])],
    "scatter": lambda a, i: FIELD[i].at[jnp.array([1, 1, 2])].add(a),
    "sort": lambda a, i: jnp.sort(a, axis=1),
    "top_k": lambda a, i: jnp.tile(lax.top_k(a, 2)[0], (1, 2)),
    "stop": lambda a, i: lax.stop_gradient(a) * a,
    "mask": lambda a, i: jnp.where(FIELD[i] > 0, a, 0.0),
    "transposed twice": lambda a, i: (a.T.reshape(2, 2, 3) * 2.0).reshape(4, 3).T,
}
# Steps of two values, often the same one.
Binary = Callable[[Array, Array, int], Array]
BINARY: dict[str, Binary] = {
    "add": lambda a, b, i: a + b,
    "subtract": lambda a, b, i: a - b,
    "multiply": lambda a, b, i: a * b,
    "divide": lambda a, b, i: a / (1.0 + b**2),
    "larger": lambda a, b, i: jnp.maximum(a, b),
    "attention": lambda a, b, i: jax.nn.softmax(a @ b.T / 2.0, axis=-1) @ b,
    "gate": lambda a, b, i: a * jax.nn.sigmoid(b @ SQUARE[i]),
    "choose": lambda a, b, i: jnp.where(a > 0.1, a, b * VECTOR[i]),
    "choose by another": lambda a, b, i: jnp.where(b > a, a, 2 * a),
    "broadcast sum": lambda a, b, i: a + b.sum(0, keepdims=True),
    "concatenate two": lambda a, b, i: jnp.concatenate([a[:, :1], b[:, 1:]], axis=1),
    "scatter two": lambda a, b, i: a.at[jnp.array([1, 1])].add(b[:2]),
    "update": lambda a, b, i: lax.dynamic_update_slice(a, b[:1, :2], (i, 1)),
}
WRAPPERS = ("none", "none", "none", "jit", "remat", "scan", "cond", "vmap")


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: what it does, the values it reads, counted from the latest, and constants."""

    name: str
    reads: tuple[int, int]
    constant: int
    wrapper: str


Steps = tuple[Step, ...]


@st.composite
def programs(draw: st.DrawFn) -> Steps:
    names = st.sampled_from([*UNARY, *BINARY])
    step = st.builds(
        Step,
        names,
        st.tuples(st.integers(0, 2), st.integers(0, 3)),
        st.integers(0, 2),
        st.sampled_from(WRAPPERS),
    )
    return tuple(draw(st.lists(step, min_size=1, max_size=6)))


def function(step: Step) -> Callable[[Array, Array], Array]:
    """A step as a function of two values."""

    def plain(a: Array, b: Array) -> Array:
        if step.name in UNARY:
            return UNARY[step.name](a, step.constant)
        return BINARY[step.name](a, b, step.constant)

    def loop(a: Array, b: Array) -> Array:
        weights = jnp.stack([VECTOR, VECTOR[::-1]])[:, step.constant]
        return lax.scan(lambda c, w: (jnp.tanh(plain(c, b) * w), None), a, weights)[0]

    def branches(a: Array, b: Array) -> Array:
        return lax.cond(a[0, 0] > 0.2, plain, lambda a, b: a * 0.5 + b, a, b)

    def batch(a: Array, b: Array) -> Array:
        return jax.vmap(plain)(jnp.stack([a, 0.5 * a]), jnp.stack([b, b])).sum(0)

    wrapped: dict[str, Callable[[Array, Array], Array]] = {
        "none": plain,
        "jit": jax.jit(plain),
        "remat": jax.checkpoint(plain),
        "scan": loop,
        "cond": branches,
        "vmap": batch,
    }
    return wrapped[step.wrapper]


def build(steps: Steps) -> Callable[[Array], Array]:
    """A program as a function; the latest value is its result."""

    def f(x: Array) -> Array:
        pool = [x]
        for step in steps:
            a, b = (pool[-1 - min(place, len(pool) - 1)] for place in step.reads)
            pool.append(function(step)(a, b))
        return pool[-1]

    return f


def scalar(steps: Steps) -> Callable[[Array], Array]:
    f = build(steps)
    return lambda x: jnp.sum(f(x) * FIELD[0]) + 0.3


settings = hypothesis.settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.generate],  # shrinking compiles for minutes
    suppress_health_check=list(hypothesis.HealthCheck),
)


@hypothesis.settings(settings, max_examples=6)
@hypothesis.given(programs())
def test_replayed_they_are_themselves(steps: Steps) -> None:
    """Eager, so that the operations of one example are compiled already in the next."""
    f = build(steps)

    def derivatives(g: Callable[[Array], Array]) -> Any:
        value, pullback = jax.vjp(score(g), X)
        return value, pullback(value)

    expected = derivatives(f)
    assert_close(derivatives(replayed(f, opened=frozenset())), expected)
    assert_close(derivatives(replayed(f, Identity())), expected)


@hypothesis.settings(settings, max_examples=2)
@hypothesis.given(programs())
def test_replayed_in_batches_and_differentiated_again(steps: Steps) -> None:
    f = build(steps)

    def derivatives(g: Callable[[Array], Array], x: Array) -> Any:
        gradient = jax.grad(score(g))
        return g(x), gradient(x), jax.grad(lambda x: jnp.sum(jnp.sin(gradient(x))))(x)

    batch = jnp.stack([X, 0.9 * X + 0.01])
    functions = (f, replayed(f, Identity()))
    found = jax.jit(jax.vmap(lambda x: [derivatives(g, x) for g in functions]))(batch)
    assert_close(found[1], found[0])


PRESETS = {
    "epsilon": jaxplain.rules.epsilon(1e-3),
    "epsilon_plus_flat": jaxplain.rules.epsilon_plus_flat(1e-3),
    "cp_lrp": jaxplain.rules.cp_lrp(1e-3),
}


@pytest.mark.filterwarnings("ignore:.*matches no site")
@pytest.mark.parametrize("preset", PRESETS)
@hypothesis.settings(settings, max_examples=4)
@hypothesis.given(programs())
def test_the_ledger_closes(preset: str, steps: Steps) -> None:
    f, rules = scalar(steps), PRESETS[preset]
    relevance, info = jaxplain.lrp(f, rules, info=True)(X)
    size = max(1.0, float(jnp.max(info.ledger.size)))
    assert np.all(np.isfinite(relevance))
    assert abs(float(info.ledger.residual)) <= 1e-9 * size
    np.testing.assert_allclose(jaxplain.lrp(f, rules)(X), relevance, rtol=1e-9, atol=1e-12 * size)


@pytest.mark.filterwarnings("ignore:.*matches no site")
@pytest.mark.parametrize("preset", PRESETS)
@hypothesis.settings(settings, max_examples=1)
@hypothesis.given(programs())
def test_in_batches_and_compiled(preset: str, steps: Steps) -> None:
    explain = jaxplain.lrp(scalar(steps), PRESETS[preset])
    batch = jnp.stack([X, 0.9 * X + 0.01])
    expected = jnp.stack([explain(x) for x in batch])
    size = max(1.0, float(jnp.max(jnp.abs(expected))))
    for found in (jax.jit(jax.vmap(explain))(batch), jnp.stack(list(map(jax.jit(explain), batch)))):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * size)


DIFFERENCE_PRESETS = {
    "rescale": jaxplain.rules.rescale(),
    "reveal_cancel": jaxplain.rules.reveal_cancel(),
}


@pytest.mark.parametrize("preset", DIFFERENCE_PRESETS)
@hypothesis.settings(settings, max_examples=6)
@hypothesis.given(programs(), st.sampled_from([0.0, 0.5, 1.0]))
def test_differences_sum_to_the_change(preset: str, steps: Steps, share: float) -> None:
    f = scalar(steps)
    baseline = share * X + (1 - share) * X[::-1, ::-1]
    explain = jax.jit(jaxplain.deeplift(f, DIFFERENCE_PRESETS[preset], info=True))
    contributions, info = explain(X, baseline=baseline)
    size = max(
        1.0,
        float(jnp.abs(contributions).sum()),
        *(float(jnp.abs(r).sum()) for r in info.relevance.values()),
    )
    change = float(f(X)) - float(f(baseline))
    total = contributions.sum() + info.unattributed
    np.testing.assert_allclose(total, change, rtol=0, atol=1e-10 * size)


def view_error(site: Site, inputs: tuple[Any, ...], operands: tuple[Any, ...]) -> Array:
    """By how much a site's linear view differs from the site, and from being linear."""
    view = site.linear(inputs, operands)
    (output,) = site(inputs, operands)
    value = view.linear(view.inputs, view.weights)
    bias = 0.0 if view.bias is None else view.bias
    error = jnp.max(jnp.abs(value + bias - output))
    twice = jax.tree.map(lambda leaf: 2 * leaf, (view.inputs, view.weights))
    for changed in ((twice[0], view.weights), (view.inputs, twice[1])):
        error = jnp.maximum(error, jnp.max(jnp.abs(view.linear(*changed) - 2 * value)))
    return error / jnp.maximum(1.0, jnp.max(jnp.abs(output)))


@hypothesis.settings(settings, max_examples=6)
@hypothesis.given(programs())
def test_linear_views_are_the_sites(steps: Steps) -> None:
    """Each linear site outside of loops, on made-up inputs and the program's own weights."""
    f = scalar(steps)

    program = grouped(f, X)
    for site in program.sites:
        if site.kind in Kind.LINEAR:
            flat = [jnp.cos(jnp.arange(1.0 + np.prod(v.shape))[1:]) for v in site.inputs]
            inputs = tuple(a.reshape(v.shape) for a, v in zip(flat, site.inputs, strict=True))
            assert float(view_error(site, inputs, operands_of(program, site))) < 1e-12


def operands_of(program: Grouped, site: Site) -> tuple[Any, ...]:
    """The numbers of a site's inactive operands."""
    inside = dataclasses.replace(program.program, outputs=site.operands)
    return tuple(replay(dataclasses.replace(program, program=inside), [X], {}))
