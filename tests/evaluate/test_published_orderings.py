"""Orderings of explanations that the literature reports, on a network small enough to train."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jaxplain
from jaxplain import evaluate, rules

WIDTHS = (64, 48, 48, 48, 48, 10)
KEY = jax.random.key(0)
TRAINED_ON, SHOWN = 1400, 24

Params = list[dict[str, jax.Array]]
Explain = Callable[..., jax.Array]


class Digits(NamedTuple):
    """Handwritten digits of 8 × 8 pixels, (N, 64), and their classes (N,)."""

    xs: jax.Array
    ks: jax.Array


def logits(params: Params, x: jax.Array) -> jax.Array:
    """A network of five layers with ReLU between them; without biases on top."""
    *hidden, last = params
    for layer in hidden:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
    return x @ last["kernel"]


def score(params: Params, x: jax.Array, k: jax.Array) -> jax.Array:
    return logits(params, x)[k]


def drawn(key: jax.Array) -> Params:
    keys = jax.random.split(key, len(WIDTHS) - 1)
    shapes = zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
    return [
        {
            "kernel": jax.random.normal(key, shape) * np.sqrt(2 / shape[0]),
            "bias": jnp.zeros(shape[1]),
        }
        for key, shape in zip(keys, shapes, strict=True)
    ]


def fit(params: Params, digits: Digits, steps: int = 400) -> Params:
    """Stochastic gradient descent with momentum."""
    optimizer = optax.sgd(0.1, momentum=0.9)

    def loss(params: Params, rows: jax.Array) -> jax.Array:
        found = jax.vmap(logits, (None, 0))(params, digits.xs[rows])
        return optax.softmax_cross_entropy_with_integer_labels(found, digits.ks[rows]).mean()

    def step(state: Any, key: jax.Array) -> tuple[Any, None]:
        params, moments = state
        slope = jax.grad(loss)(params, jax.random.randint(key, (64,), 0, len(digits.ks)))
        updates, moments = optimizer.update(slope, moments, params)
        return (optax.apply_updates(params, updates), moments), None

    @jax.jit
    def train(params: Params) -> Params:
        state = params, optimizer.init(params)
        return jax.lax.scan(step, state, jax.random.split(KEY, steps))[0][0]

    return train(params)


@functools.cache
def trained() -> tuple[Params, Digits]:
    """The trained network, and some digits that it has not seen and reads."""
    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(classes))
    xs, ks = images[order] / 16, classes[order]
    params = fit(drawn(KEY), Digits(jnp.asarray(xs[:TRAINED_ON]), jnp.asarray(ks[:TRAINED_ON])))
    xs, ks = xs[TRAINED_ON:], ks[TRAINED_ON:]
    read = np.asarray(jax.jit(jax.vmap(logits, (None, 0)))(params, xs)).argmax(axis=-1)
    assert np.mean(read == ks) > 0.93
    right = np.flatnonzero(read == ks)[:SHOWN]
    return params, Digits(jnp.asarray(xs[right]), jnp.asarray(ks[right]))


def of_digits(metric: Callable[..., Any]) -> Any:
    """What a metric says of each digit, for each method."""
    found = jax.jit(jax.vmap(metric))(*trained()[1])
    return jax.tree.map(np.asarray, found)


def test_guided_backprop_hardly_depends_on_the_layers_on_top() -> None:
    """Adebayo et al. 2018, arXiv:1810.03292: the gradient passes, guided backpropagation fails."""
    methods = {
        "gradient": lambda params: jax.grad(functools.partial(score, params)),
        "guided": lambda params: jaxplain.guided_backprop(functools.partial(score, params)),
    }
    params, digits = trained()
    test = jax.jit(jax.vmap(evaluate.parameter_randomization(methods, params)))
    # Each digit has random layers of its own, so that the mean is over draws too.
    found = test(*digits, key=jax.random.split(KEY, SHOWN))
    gradient, guided = (np.asarray(found[name].similarities).mean(axis=0) for name in methods)
    assert found["gradient"].layers == ("4/*", "3/*", "2/*", "1/*", "0/*")  # from the top down
    assert np.all(np.abs(gradient) < 0.3)
    assert np.all(guided[:3] > 0.8)
    assert guided[-1] < 0.5  # on the first layer it does depend


def test_a_uniform_explanation_is_unmasked_by_pixel_flipping_alone() -> None:
    """Montavon et al. 2018: it is conserving and continuous, and says nothing."""
    params, _ = trained()
    f = functools.partial(score, params)
    methods = {"uniform": evaluate.uniform(f), "input_x_grad": jaxplain.input_x_grad(f)}

    kept = of_digits(evaluate.conservation(f, methods))
    np.testing.assert_allclose(kept["uniform"].total, 1, rtol=1e-12)
    np.testing.assert_allclose(kept["uniform"].magnitude, 1, rtol=1e-12)
    assert kept["input_x_grad"].magnitude.mean() > 2

    # Rows of eight pixels, moved sideways.
    def picture(x: jax.Array, k: jax.Array) -> jax.Array:
        return f(x.reshape(64), k)

    def of_picture(explain: Explain) -> Explain:
        return lambda x, k: explain(x.reshape(64), k).reshape(8, 8, 1)

    moved = evaluate.continuity(
        picture, {name: of_picture(explain) for name, explain in methods.items()}, shifts=2
    )
    change = of_digits(lambda x, k: moved(x.reshape(8, 8, 1), k))
    assert change["uniform"].mean() < 0.5 * change["input_x_grad"].mean()

    invariant = evaluate.input_invariance(evaluate.uniform, f)
    assert np.all(of_digits(invariant).relative < 1e-9)

    found = of_digits(evaluate.abpc(f, methods))
    np.testing.assert_array_equal(found["uniform"], 0)
    assert np.all(found["input_x_grad"] > 0)


def test_a_moderate_gamma_is_better_than_both_extremes() -> None:
    """Montavon et al. 2019: neither z⁺ (γ = 0) nor gradient × input (γ = 1)."""
    params, digits = trained()
    f = functools.partial(score, params)
    gammas = jnp.array([0.0, 0.6, 0.9, 1.0])
    traces = []

    def family(gamma: jax.Array) -> Explain:
        traces.append(gamma)
        return jaxplain.lrp(f, rules.interpolated(gamma))

    found = evaluate.select_explanation(
        family, gammas, functools.partial(evaluate.abpc, f), *digits, key=KEY
    )
    assert sum(isinstance(gamma, jax.core.Tracer) for gamma in traces) == 1  # one sweep
    assert 0.5 < found.best < 1
    ends = found.shares[jnp.array([0, 3])]
    assert float(ends.sum()) < 0.05
    for end in (0, 3):
        gap = evaluate.compare(found.values[found.index], found.values[end], key=KEY)
        assert gap.difference.low > 0
        assert gap.p < 0.05
