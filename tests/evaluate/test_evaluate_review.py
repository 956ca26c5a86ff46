"""Numbers that looked right and were not: what is unknown, undefined, or the same by accident."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.evaluate import (
    Curve,
    Report,
    abpc,
    avg_sensitivity,
    benchmark,
    blur_removal,
    completeness,
    comprehensiveness,
    conservation,
    consistency,
    deletion,
    edges,
    effective_complexity,
    efficient_mprt,
    gaussian_perturbation,
    infidelity,
    insertion,
    local_lipschitz,
    max_sensitivity,
    monotonicity,
    non_sensitivity,
    parameter_randomization,
    pixel_flipping,
    pointing_game,
    random,
    relative_input_stability,
    relative_output_stability,
    road,
    sensitivity_a,
    sensitivity_n,
    sufficiency,
    uniform,
    uniform_removal,
)
from jaxplain.evaluate._controls import default_controls
from jaxplain.evaluate._norms import ratio

KEY = jax.random.key(0)
X = jnp.array([1.0, -2.0, 0.5])
METRICS: dict[str, Callable[..., Any]] = {
    "abpc": abpc,
    "comprehensiveness": comprehensiveness,
    "deletion": deletion,
    "effective_complexity": functools.partial(effective_complexity, tolerance=0.1),
    "insertion": insertion,
    "monotonicity": monotonicity,
    "non_sensitivity": non_sensitivity,
    "pixel_flipping": pixel_flipping,
    "sensitivity_a": sensitivity_a,
    "sufficiency": sufficiency,
}
NEARBY = (max_sensitivity, avg_sensitivity, local_lipschitz, relative_input_stability)


def f(x: jax.Array) -> jax.Array:
    return x @ jnp.array([1.0, 4.0, 2.0], x.dtype)


def number(found: Any) -> float:
    return float(getattr(found, "area", found))


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_known_has_no_order(name: str) -> None:
    def half_known(x: jax.Array) -> jax.Array:
        return x.at[1].set(jnp.nan)

    methods = {"known": jax.grad(f), "half": half_known}
    found = jax.jit(METRICS[name](f, methods))(X)
    assert np.isfinite(number(found["known"]))
    assert np.isnan(number(found["half"]))
    if isinstance(found["half"], Curve):
        np.testing.assert_array_equal(found["half"].shares, found["known"].shares)


@pytest.mark.parametrize("name", METRICS)
def test_a_score_that_is_not_known_is_compared_with_nothing(name: str) -> None:
    def lost(x: jax.Array) -> jax.Array:
        return jnp.where(jnp.any(x == 0), jnp.nan, f(x))  # where something is gone

    assert np.isnan(number(jax.jit(METRICS[name](lost, jnp.ones_like))(X)))


def test_explanations_that_are_not_finite_are_not_alike() -> None:
    labels = jnp.array([0, 0, 1])
    unknown = jnp.full((3, 2), jnp.nan)
    with pytest.raises(ValueError, match=r"explanations\[0, 0\] is nan"):
        consistency(unknown, labels, top=1)
    found = jax.jit(functools.partial(consistency, top=1))(unknown, labels)
    assert np.isnan(found.shares).all()

    for value in (jnp.nan, jnp.inf):
        test = efficient_mprt(lambda p, v=value: lambda x: jnp.full(4, v) * p[0], [jnp.ones(4)])
        assert np.isnan(jax.jit(test)(jnp.ones(4), key=KEY))


def test_a_method_does_not_see_the_noise_of_the_metric() -> None:
    x = {"a": jnp.zeros(3), "b": jnp.zeros(1000)}

    def flat(x: dict[str, jax.Array]) -> jax.Array:
        return 0 * jnp.sum(x["b"])

    def noise(x: dict[str, jax.Array], *, key: jax.Array) -> dict[str, jax.Array]:
        return {"a": jnp.zeros(3), "b": jax.random.normal(key, (1000,))}

    noise.__needs_key__ = True  # type: ignore[attr-defined]
    perturbation = gaussian_perturbation(1.0)
    measure = infidelity(flat, {"first": noise, "second": noise}, perturbation=perturbation)
    found = jax.jit(measure)(x, key=KEY)
    # The square of a product of two independent vectors is 1000 on average, of one with itself
    # 1000**2, of which a hundredth is left in the mean over 100 samples.
    assert 500 < found["first"] < 2000
    assert 500 < found["second"] < 2000
    assert found["first"] != found["second"]


def test_infidelity_looks_at_what_really_went() -> None:
    weights = jnp.asarray(np.random.default_rng(0).normal(size=50))
    x = jnp.asarray(np.random.default_rng(1).normal(size=50) * 30, jnp.bfloat16)

    def linear(x: jax.Array) -> jax.Array:
        return jnp.sum(x.astype(jnp.float64) * weights)

    methods = {"gradient": lambda x: jax.grad(linear)(x), "zero": jnp.zeros_like}
    # Not compiled: what is fused may have more digits than bfloat16.
    found = infidelity(linear, methods, samples=10)(x, key=KEY)
    assert found["gradient"] < 1e-4 * found["zero"]


def test_change_relative_to_nothing_is_infinite() -> None:
    def dead_here(x: jax.Array) -> jax.Array:
        return jax.nn.relu(x - X)

    for metric in (max_sensitivity, avg_sensitivity):
        found = jax.jit(metric(f, {"dead": dead_here, "zero": jnp.zeros_like}))(X, key=KEY)
        assert np.isposinf(found["dead"])
        assert found["zero"] == 0
        measure = jax.jit(metric(f, dead_here, relative=False))
        assert 0 < measure(X, key=KEY) < 0.1


def test_one_quotient_for_all() -> None:
    above = jnp.array([0.0, 1.0, -1.0, jnp.nan, 6.0])
    below = jnp.array([0, 0, 0, 0, 3])
    np.testing.assert_array_equal(ratio(above, below), [0, jnp.inf, -jnp.inf, jnp.nan, 2])
    slopes = jax.grad(lambda a, b: ratio(a, b), argnums=(0, 1))(0.0, 0.0)
    assert slopes == (0, 0)


@pytest.mark.parametrize("metric", NEARBY)
def test_noise_below_the_last_digit_is_no_robustness(metric: Callable[..., Any]) -> None:
    def square(x: jax.Array) -> jax.Array:
        return jnp.sum(x**2)

    measure = jax.jit(metric(square, jax.grad(square)))
    assert measure(jnp.full(3, 1.0), key=KEY) > 0
    assert np.isnan(measure(jnp.full(3, 1e20), key=KEY))


def test_a_sample_that_keeps_the_class_counts_though_another_does_not() -> None:
    def outputs(x: jax.Array) -> jax.Array:
        return jnp.stack([x[0], -x[0]])

    measure = relative_output_stability(f, lambda x: x, outputs=outputs, radius=0.5)
    assert np.isfinite(jax.jit(measure)(jnp.array([0.1, 1.0, 1.0]), key=KEY))


def test_tiny_explanations_can_be_alike() -> None:
    def make(params: list[jax.Array]) -> Callable[..., jax.Array]:
        return lambda x: x * 1e-30 + 0 * params[0]

    params = [jnp.arange(3.0, dtype=jnp.float32)]
    measure = parameter_randomization(make, params, similarity="cosine")
    found = jax.jit(measure)(jnp.ones(3, jnp.float32), key=KEY)
    np.testing.assert_allclose(found.similarities, 1, rtol=1e-6)


def test_the_area_of_a_curve_is_a_mean_whatever_it_spans() -> None:
    part = Curve(jnp.array([0.2, 0.3, 0.6]), jnp.array([5.0, 5.0, 5.0]))
    np.testing.assert_allclose(part.area, 5)
    sloped = Curve(jnp.array([0.5, 0.7]), jnp.array([[1.0, 3.0], [0.0, 1.0]])[0])
    np.testing.assert_allclose(sloped.area, 2)
    assert Curve(jnp.array([0.5]), jnp.array([3.0])).area == 3
    assert Curve(jnp.array([0.5, 0.5]), jnp.array([3.0, 4.0])).area == 3.5
    batch = Curve(jnp.array([[0.5], [0.4]]), jnp.array([[3.0], [1.0]]))
    np.testing.assert_array_equal(batch.area, [3, 1])


def picture_score(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.tanh(x[:2])) + 3


@functools.cache
def report() -> Report:
    pictures = jax.random.uniform(jax.random.key(1), (5, 4, 4, 1))
    metrics = {
        "road": functools.partial(road, percentages=(50,), noise=0),
        "sizes": functools.partial(sensitivity_n, sizes=(4,), samples=20),
    }
    methods = {"gradient": jax.grad(picture_score)}
    return benchmark(picture_score, methods, metrics, pictures, key=KEY, resamples=20)


def test_a_benchmark_of_single_points_has_numbers() -> None:
    for name in ("road", "sizes"):
        assert np.all(np.asarray(report().values[name])[0] != 0)
    scores = report().values["road"]
    assert np.all(np.asarray(scores) > 1)


def test_every_report_of_pictures_shows_where_edges_land() -> None:
    assert report().controls == ("uniform", "random", "edges")
    assert "edges (control)" in report().markdown()


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 5, 3), (0, 1)), ((6, 5, 1), (0, 1)), ((3, 6, 5), (1, 2)), ((5, 6, 7), None)],
)
def test_the_edges_of_a_benchmark_are_along_the_picture(
    shape: tuple[int, ...], axes: tuple[int, int] | None
) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape))
    controls = default_controls(jnp.sum, x)
    assert ("edges" in controls) == (axes is not None)
    if axes is not None:
        np.testing.assert_array_equal(controls["edges"](x), edges(jnp.sum, axes=axes)(x))


@pytest.mark.parametrize(
    "x", [X, jnp.zeros((6, 5)), (jnp.zeros((4, 4, 3)), X), jnp.zeros((2, 2, 3), int)]
)
def test_what_is_no_picture_has_no_edges(x: Any) -> None:
    assert set(default_controls(jnp.sum, x)) == {"uniform", "random"}


def test_the_uniform_control_hands_out_the_score() -> None:
    def score(tree: dict[str, jax.Array], factor: float) -> jax.Array:
        return factor * (jnp.sum(tree["a"] ** 2) + jnp.sum(tree["b"]))

    tree = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    explain = uniform(score)
    found = explain(tree, -2.0)
    np.testing.assert_allclose(found["a"], -18 / 7)
    np.testing.assert_allclose(found["b"], -18 / 7, rtol=1e-6)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tree)
    assert explain(single, jnp.bfloat16(-2.0))["b"].dtype == jnp.bfloat16
    whole = jax.jit(conservation(score, explain))(tree, -2.0)
    np.testing.assert_allclose([whole.total, whole.magnitude], 1, rtol=1e-6)
    # Without a score at the baseline that is completeness too.
    np.testing.assert_allclose(completeness(score, explain)(tree, -2.0).absolute, 0, atol=1e-5)
    swapped = uniform(lambda factor, tree: score(tree, factor), argnums=1)(-2.0, tree)
    np.testing.assert_array_equal(swapped["a"], found["a"])
    with pytest.raises(TypeError, match="must return one real number"):
        uniform(lambda x: x)(X)


def test_controls_explain_token_ids() -> None:
    table = jax.random.normal(KEY, (9, 4))

    def score(ids: jax.Array) -> jax.Array:
        return jnp.sum(jnp.tanh(table[ids]))

    ids = jnp.array([[1, 5, 5, 2, 0, 8]] * 4)
    assert jnp.issubdtype(uniform(score)(ids[0]).dtype, jnp.floating)
    assert len(np.unique(random(score)(ids[0], key=KEY))) == 6
    methods = {"first": lambda ids: table[ids][:, 0]}
    found = benchmark(score, methods, {"out": comprehensiveness}, ids, key=KEY, resamples=20)
    assert found.names == ("first", "uniform", "random")
    assert len(np.unique(found.values["out"][2])) > 1


EXAMPLES = jnp.ones((3, 3))
bench = functools.partial(benchmark, f, key=KEY)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: abpc(f, jnp.ones((9, 9))), TypeError, r"float64\[9,9\].*Not what it returned"),
        (lambda: abpc(f, "lrp"), TypeError, "abpc got 'lrp': give an attribution"),
        (lambda: abpc(f, lambda x: jax.lax.complex(x, x))(X), TypeError, "relevance is real"),
        (lambda: abpc(f, jax.grad(f))(X, key=KEY), TypeError, "leave key= out"),
        (lambda: pointing_game(f, jax.grad(f))(X), TypeError, r"data=\{'pointing_game': \{'mask'"),
        (lambda: abpc(f, f, removal=blur_removal), TypeError, r"removal=blur_removal\(\)"),
        (lambda: bench([f], {"m": abpc}, EXAMPLES), TypeError, "methods is a list"),
        (lambda: bench({"a": f}, [abpc], EXAMPLES), TypeError, "metrics is a list"),
        (lambda: bench({"a": f}, {"m": abpc(f, f)}, EXAMPLES), TypeError, "makes a metric"),
        (lambda: bench({"a": f}, {"m": abpc}, EXAMPLES[:1]), ValueError, "got one example"),
    ],
)
def test_errors_say_what_to_type(
    wrong: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        wrong()


def test_any_function_of_two_is_a_removal() -> None:
    def noisy(x: jax.Array, kept: jax.Array, *, key: jax.Array) -> jax.Array:
        return jnp.where(kept, x, jax.random.normal(key, x.shape))

    operators = (blur_removal(axes=(0,)), uniform_removal(), noisy, jnp.multiply)
    for removal in (*operators, functools.partial(noisy, key=KEY)):
        pixel_flipping(f, jax.grad(f), removal=removal)
