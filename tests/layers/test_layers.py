"""Any method at a layer, neurons as scores, and patching: formulas, laws and errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import layer_references as reference
import numpy as np
import pytest
from layer_references import NAMES

import jaxplain
from jaxplain import ablation, activation_patching, attribution_patching, cut, layer, neuron

X, BASELINE = np.random.default_rng(1).normal(size=(2, 4))
KEY = jax.random.key(7)
each_layer = pytest.mark.parametrize("at", NAMES)


def smooth_grad(f: Any, **options: Any) -> Any:
    return jaxplain.smooth(jax.grad(f), samples=4, sigma=0.1, **options)


# The method, and whether it takes a baseline ("one", "set") and a key.
METHODS: dict[str, tuple[Callable[..., Any], str | None, bool]] = {
    "grad": (jax.grad, None, False),
    "input_x_grad": (jaxplain.input_x_grad, None, False),
    "integrated_grad": (functools.partial(jaxplain.integrated_grad, steps=6), "one", False),
    "lrp": (jaxplain.lrp, None, False),
    "deeplift": (jaxplain.deeplift, "one", False),
    "deeplift_shap": (jaxplain.deeplift_shap, "set", False),
    "expected_grad": (functools.partial(jaxplain.expected_grad, samples=4), "set", True),
    "smooth(grad)": (smooth_grad, None, True),
    "smooth(integrated_grad)": (
        lambda f: jaxplain.smooth(jaxplain.integrated_grad(f, steps=3), samples=3, sigma=0.1),
        "one",
        True,
    ),
    "ablation": (ablation, "one", False),
}
each_method = pytest.mark.parametrize("name", METHODS)
SET = np.random.default_rng(2).normal(size=(3, 4))


def at_the_input(name: str) -> dict[str, Any]:
    """What a call needs beside the input, for the method at the input."""
    _, baseline, random = METHODS[name]
    given: dict[str, Any] = {"key": KEY} if random else {}
    return given | (
        {} if baseline is None else {"baseline": SET if baseline == "set" else BASELINE}
    )


def at_the_layer(f: reference.Net, at: str, name: str) -> dict[str, Any]:
    """And the same for the method at the hand-split function."""
    given = at_the_input(name)
    if METHODS[name][1] == "one":
        given["baseline"] = f.layers(BASELINE)[at]
    if METHODS[name][1] == "set":
        given["baseline"] = np.stack([f.layers(one)[at] for one in SET])
    return given


def split(f: reference.Net, at: str, h: Any, x: Any) -> Any:
    """The network from a layer on, by hand."""
    low = h if at == "low" else jnp.tanh(x @ f.first)
    high = h if at == "high" else jnp.tanh(low @ f.second)
    return high @ f.readout + low @ f.side + f.around * jnp.sin(x) @ f.direct


@each_layer
@each_method
def test_a_method_at_a_layer_is_the_method_of_the_rest(name: str, at: str) -> None:
    """Baselines of the input become the layer's, keys and sets pass through."""
    f, method = reference.net(1.0), METHODS[name][0]
    found = jax.jit(layer(method, at=at)(f))(X, **at_the_input(name))
    expected = jax.jit(method(lambda h: split(f, at, h, X)))(
        f.layers(X)[at], **at_the_layer(f, at, name)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert np.max(np.abs(found)) > 0.05


@each_method
def test_batches_and_dtypes(name: str) -> None:
    """vmap is a loop; the attribution has the layer's dtype."""
    explain = layer(METHODS[name][0], at="low")(reference.net(1.0))
    given = at_the_input(name)
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), given)
    batched = jax.jit(jax.vmap(explain))(np.stack([X, 2 * X]), **both)
    expected = jax.jit(explain)(2 * X, **given)
    np.testing.assert_allclose(batched[1], expected, rtol=1e-9, atol=1e-12)
    for dtype in ("float32", "bfloat16"):
        narrow = {k: v if k == "key" else jnp.asarray(v, dtype) for k, v in given.items()}
        found = jax.jit(explain)(jnp.asarray(2 * X, dtype), **narrow)
        assert found.dtype == dtype
        if METHODS[name][2]:  # other dtypes draw other noise
            continue
        size = np.max(np.abs(expected))
        tolerance = {"float32": 1e-5, "bfloat16": 0.1}[dtype] * size
        np.testing.assert_allclose(found.astype(np.float64), expected, atol=tolerance, rtol=0)


def test_eager_is_compiled() -> None:
    explain = layer(jaxplain.integrated_grad, at="low", steps=5)(reference.net(1.0))
    expected = jax.jit(explain)(X, baseline=BASELINE)
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-12)


def test_options_are_the_methods() -> None:
    f = reference.net(1.0)
    explain = layer(jaxplain.integrated_grad, at="low", steps=5, chunk=2, info=True)(f)
    attribution, info = jax.jit(explain)(X, baseline=BASELINE)
    assert int(info.steps) == 5
    # On a straight line in the layer, and what goes around it stays where it is.
    change = split(f, "low", f.layers(X)["low"], X) - split(f, "low", f.layers(BASELINE)["low"], X)
    np.testing.assert_allclose(attribution.sum() - info.residual, change, rtol=1e-9)


def test_a_list_of_layers_is_explained_together() -> None:
    """The two layers are the two arguments of one function."""
    f = reference.net(1.0)

    def rest(h: Any) -> Any:
        return h["high"] @ f.readout + h["low"] @ f.side + jnp.sin(X) @ f.direct

    found = jax.jit(layer(jaxplain.integrated_grad, at=["low", "high"], steps=4)(f))(
        X, baseline=BASELINE
    )
    explain = jax.jit(jaxplain.integrated_grad(rest, steps=4))
    expected = explain(f.layers(X), baseline=f.layers(BASELINE))
    assert set(found) == {"low", "high"}
    for at in NAMES:
        np.testing.assert_allclose(found[at], expected[at], rtol=1e-10)


def test_other_arguments_pass_through() -> None:
    f = reference.net(1.0)

    def select(scale: Any, x: Any, *, power: int) -> Any:
        return (scale * f(x)) ** power

    explain = layer(jaxplain.integrated_grad, at="low", argnums=1, steps=4)(select)
    found = jax.jit(functools.partial(explain, power=1))(3.0, X, baseline=BASELINE)
    expected = jax.jit(layer(jaxplain.integrated_grad, at="low", steps=4)(f))(X, baseline=BASELINE)
    np.testing.assert_allclose(found, 3 * expected, rtol=1e-12)
    assert explain.__name__ == "layer(integrated_grad)(select)"


def test_combinators_go_around_and_inside() -> None:
    """A set of baselines for a layer's method; noise at the input, or at the layer."""
    f = reference.net(1.0)
    at_low = layer(jaxplain.integrated_grad, at="low", steps=4)(f)
    found = jax.jit(jaxplain.over_baselines(at_low))(X, baseline=SET)
    each = [jax.jit(at_low)(X, baseline=one) for one in SET]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-10)

    outside = jaxplain.smooth(layer(jax.grad, at="low")(f), samples=4, sigma=0.1)
    inside = layer(smooth_grad, at="low")(f)
    apart = jax.jit(outside)(X, key=KEY) - jax.jit(inside)(X, key=KEY)
    assert np.max(np.abs(apart)) > 1e-4  # the noise is of four inputs, or of five units
    with pytest.raises(TypeError, match=r"key=jax.random.key\(0\)"):
        inside(X)


def test_steps_of_a_loop_are_explained() -> None:
    """All steps at once, as if each were an input; or one."""

    def f(rows: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            with jax.named_scope("cell"):
                h = jnp.tanh(h + row)
            return h, h

        return jnp.sum(jax.lax.scan(step, jnp.zeros(3), rows)[1] ** 2)

    rows = np.random.default_rng(4).normal(size=(4, 3))
    h, states = np.zeros(3), []
    for row in rows:
        h = np.tanh(h + row)
        states.append(h)
    found = jax.jit(layer(jaxplain.input_x_grad, at="cell")(f))(rows)
    np.testing.assert_allclose(found, 2 * np.stack(states) ** 2, rtol=1e-11)
    found = jax.jit(layer(jax.grad, at="cell[-2]")(f))(rows)
    expected = 2 * states[2] + 2 * states[3] * (1 - states[3] ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_derivatives_of_an_explanation() -> None:
    """As finite differences, also where second derivatives of the layers below are needed."""
    f = reference.net(1.0)
    explain = layer(jaxplain.integrated_grad, at="low", steps=4)(f)
    value = jax.jit(lambda x: jnp.sum(jnp.sin(explain(x, baseline=BASELINE))))
    slope = jax.jit(jax.grad(value))(X)
    for i, way in enumerate(np.eye(4)):
        numeric = (value(X + 1e-5 * way) - value(X - 1e-5 * way)) / 2e-5
        np.testing.assert_allclose(slope[i], numeric, rtol=1e-6, atol=1e-9)


# --------------------------------------------------------------------------------------- token ids

TABLE = np.random.default_rng(5).normal(size=(9, 3))
IDS, PADDING = np.array([3, 1, 4]), np.zeros(3, int)


def of_tokens(ids: Any) -> Any:
    with jax.named_scope("embed"):
        h = jnp.asarray(TABLE)[ids]
    return jnp.sum(jnp.prod(jnp.tanh(h), axis=0))


def test_ids_are_explained_at_their_embedding() -> None:
    explain = layer(jaxplain.integrated_grad, at="embed", steps=8)(of_tokens)
    found = jax.jit(explain)(IDS, baseline=PADDING)
    by_hand = jax.jit(
        jaxplain.integrated_grad(lambda h: jnp.sum(jnp.prod(jnp.tanh(h), axis=0)), steps=8)
    )
    np.testing.assert_allclose(found, by_hand(TABLE[IDS], baseline=TABLE[PADDING]), rtol=1e-11)
    relevance = jax.jit(layer(jaxplain.lrp, at="embed")(of_tokens))(IDS)  # needs no baseline
    assert relevance.shape == (3, 3)
    patched = jax.jit(attribution_patching(of_tokens, at="embed"))(IDS, baseline=PADDING)
    slope = jax.jit(layer(jax.grad, at="embed")(of_tokens))(IDS)
    np.testing.assert_allclose(patched, slope * (TABLE[IDS] - TABLE[PADDING]), rtol=1e-11)


def test_ids_need_a_baseline_of_ids() -> None:
    explain = layer(jaxplain.integrated_grad, at="embed", steps=8)(of_tokens)
    with pytest.raises(TypeError, match="ids of padding"):
        explain(IDS)
    with pytest.raises(ValueError, match=r"int64\[2\]|\(2,\)"):
        explain(IDS, baseline=np.zeros(2, int))
    with pytest.raises(TypeError, match="integers too"):
        explain(IDS, baseline=np.array([0.9, 1.7, 0.0]))


def test_a_set_of_baselines_of_ids() -> None:
    explain = jax.jit(layer(jaxplain.deeplift_shap, at="embed")(of_tokens))
    sets = np.stack([PADDING, PADDING + 2])
    each = [jax.jit(layer(jaxplain.deeplift, at="embed")(of_tokens))(IDS, baseline=b) for b in sets]
    np.testing.assert_allclose(explain(IDS, baseline=sets), np.mean(each, axis=0), rtol=1e-10)


# ----------------------------------------------------------------------------------------- neurons


@each_layer
def test_a_neuron_is_a_score(at: str) -> None:
    f = reference.net(1.0)
    unit = neuron(f, at=at, index=1)
    np.testing.assert_allclose(jax.jit(unit)(X), f.layers(X)[at][1], rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.grad(unit))(X), f.jacobian(at, X)[1], rtol=1e-11)
    explain = jax.jit(jaxplain.integrated_grad(unit, steps=40))
    difference = f.layers(X)[at][1] - f.layers(BASELINE)[at][1]
    np.testing.assert_allclose(explain(X, baseline=BASELINE).sum(), difference, rtol=1e-9)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (-1, lambda h: h[-1]),
        (slice(1, 3), lambda h: h[1:3].sum()),
        (..., lambda h: h.sum()),
        (np.array([0, 2]), lambda h: h[0] + h[2]),
        (lambda h: jnp.max(h) - h[0], lambda h: np.max(h) - h[0]),
    ],
)
def test_several_units_are_summed(index: Any, expected: Callable[[Any], Any]) -> None:
    f = reference.net()
    found = jax.jit(neuron(f, at="low", index=index))(X)
    np.testing.assert_allclose(found, expected(f.layers(X)["low"]), rtol=1e-12)


def test_a_neuron_of_a_function_that_is_no_score() -> None:
    """The layer's value is asked for, whatever the function returns; its index may be traced."""

    def logits(x: Any, width: int) -> Any:
        with jax.named_scope("low"):
            h = jnp.sin(x)
        return h[:width], x

    found = jax.jit(lambda i: neuron(logits, at="low", index=i)(X, 2))(3)
    np.testing.assert_allclose(found, np.sin(X[3]), rtol=1e-12)


@pytest.mark.parametrize("index", [5, -6, (0, 0), (..., 9)])
def test_a_unit_that_is_not_there(index: Any) -> None:
    with pytest.raises(IndexError, match=r"The value at 'low' has shape \(5,\), and no unit"):
        neuron(reference.net(), at="low", index=index)(X)


# ---------------------------------------------------------------------------------------- patching


@each_layer
@pytest.mark.parametrize("grouped", [False, True])
def test_activation_patching(at: str, grouped: bool) -> None:
    f = reference.net(1.0)
    size = f.layers(X)[at].size
    groups = np.arange(size) // 2 if grouped else np.arange(size)
    expected = reference.activation_patching(f, at, X, BASELINE, groups)
    options = {"groups": groups} if grouped else {}
    for chunk in (None, 2):
        explain = jax.jit(activation_patching(f, at=at, chunk=chunk, **options))
        np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-9, atol=1e-12)


def test_positions_are_patched_one_at_a_time() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("tokens"):
            h = jnp.sin(x)
        return jnp.sum(jnp.prod(h, axis=0))

    x, other = np.random.default_rng(6).normal(size=(2, 3, 2))
    found = jax.jit(activation_patching(f, at="tokens", along=-2))(x, baseline=other)
    for i in range(3):
        patched = np.sin(np.where(np.arange(3)[:, None] == i, other, x))
        expected = np.sum(np.prod(np.sin(x), axis=0)) - np.sum(np.prod(patched, axis=0))
        np.testing.assert_allclose(found[i], [expected, expected], rtol=1e-10)


def test_several_layers_are_patched_one_unit_at_a_time() -> None:
    """What comes later in the list keeps the value that it has."""
    f = reference.net(1.0)
    found = jax.jit(activation_patching(f, at=["low", "high"]))(X, baseline=BASELINE)
    change = {at: f.layers(X)[at] - f.layers(BASELINE)[at] for at in NAMES}
    np.testing.assert_allclose(found["low"], f.side * change["low"], rtol=1e-9)
    np.testing.assert_allclose(found["high"], f.readout * change["high"], rtol=1e-9)


@each_layer
def test_attribution_patching(at: str) -> None:
    f = reference.net(1.0)
    expected = reference.attribution_patching(f, at, X, BASELINE)
    explain = jax.jit(attribution_patching(f, at=at))
    np.testing.assert_allclose(explain(X, baseline=BASELINE), expected, rtol=1e-11)


def test_first_order_is_right_for_small_changes() -> None:
    f = reference.net(1.0)

    def apart(size: float) -> float:
        near = X + size * (BASELINE - X)
        exact, linear = (
            jax.jit(patch(f, at="low"))(X, baseline=near)
            for patch in (activation_patching, attribution_patching)
        )
        return float(np.max(np.abs(exact - linear)))

    assert apart(1e-3) / apart(1e-2) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("patch", [activation_patching, attribution_patching])
def test_patching_needs_the_other_input(patch: Callable[..., Any]) -> None:
    explain = patch(reference.net(), at="low")
    with pytest.raises(TypeError, match=f"{patch.__name__} compares two inputs.*baseline="):
        explain(X)
    with pytest.raises(ValueError, match=r"float64\[3\]|\(3,\)"):
        explain(X, baseline=np.zeros(3))


# ------------------------------------------------------------------------------------------ errors


def test_options_are_checked_with_the_model() -> None:
    f = reference.net()
    with pytest.raises(ValueError, match="steps=0"):
        layer(jaxplain.integrated_grad, at="low", steps=0)(f)
    with pytest.raises(TypeError, match="stepz"):
        layer(jaxplain.integrated_grad, at="low", stepz=3)(f)
    with pytest.raises(TypeError, match="must be the path of a value"):
        layer(jaxplain.integrated_grad, at=[])


def test_what_is_said_of_a_wrong_call() -> None:
    f = reference.net()
    with pytest.raises(ValueError, match="No value is named 'lwo'. Nearest names: 'low'"):
        layer(jax.grad, at="lwo")(f)(X)
    with pytest.raises(ValueError, match=r"'\*' is the name of 2 values: 'low', 'high'"):
        layer(jax.grad, at="*")(f)(X)
    with pytest.raises(TypeError, match="must return one real number"):
        layer(jax.grad, at="low")(lambda x: (f(x), x))(X)
    with pytest.raises(ValueError, match=r"float64\[3\]|\(3,\)"):
        layer(jaxplain.integrated_grad, at="low")(f)(X, baseline=np.zeros(3))


@pytest.mark.parametrize("given", [{"baseline": BASELINE}, {"key": KEY}])
def test_what_a_method_does_not_take(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(given))):
        layer(jaxplain.lrp, at="low")(reference.net())(X, **given)


def test_the_cut_is_the_public_one() -> None:
    """`layer` is `cut` and the method, in one step."""
    f = reference.net(1.0)
    bottom, top = cut(f, at="low")
    expected = jax.jit(jaxplain.lrp(top))(bottom(X), X)
    np.testing.assert_allclose(jax.jit(layer(jaxplain.lrp, at="low")(f))(X), expected, rtol=1e-12)
