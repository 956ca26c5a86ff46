"""The benchmark: each metric compiled once, interrupted and resumed, and its report."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import smooth
from jaxplain.evaluate import abpc, pixel_flipping
from jaxplain.evaluate._benchmark import benchmark
from jaxplain.evaluate._report import Report
from jaxplain.evaluate._statistics import compare

KEY = jax.random.key(0)
XS = np.asarray(jax.random.normal(jax.random.key(1), (7, 4)))


def f(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.tanh(x) * jnp.arange(1.0, 5))


METHODS = {
    "gradient": jax.grad(f),
    "product": lambda x: x * jax.grad(f)(x),
    "smooth": smooth(jax.grad(f), samples=2, sigma=0.1),
}
CONTROLS = {"constant": jnp.ones_like}
METRICS = {"abpc": abpc, "flipping": functools.partial(pixel_flipping, steps=2)}
run = functools.partial(
    benchmark, f, METHODS, METRICS, XS, key=KEY, controls=CONTROLS, resamples=50
)


@functools.cache
def report() -> Report:
    return run()


def test_values_are_those_of_each_metric_alone() -> None:
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.split(KEY)[0], jnp.arange(7))
    together = {**METHODS, **CONTROLS}
    found = jax.jit(jax.vmap(lambda x, key: abpc(f, together)(x, key=key)))(XS, keys)
    for row, name in zip(report().values["abpc"], together, strict=True):
        np.testing.assert_allclose(row, found[name], rtol=1e-12, atol=1e-12)
    curves = jax.jit(jax.vmap(pixel_flipping(f, METHODS["product"], steps=2)))(XS)
    np.testing.assert_allclose(report().values["flipping"][1], curves.area, rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_change_nothing(batch: int) -> None:
    found = run(batch=batch)
    for name, values in report().values.items():
        np.testing.assert_allclose(found.values[name], values, rtol=1e-12, atol=1e-12)


def test_each_metric_is_traced_once_for_all_methods_and_batches() -> None:
    traced = []

    def counted(f: Any, methods: Any) -> Callable[..., Any]:
        def evaluate(x: jax.Array) -> Any:
            traced.append(sorted(methods))
            return {name: f(x) for name in methods}

        return evaluate

    benchmark(f, METHODS, {"m": counted}, XS, key=KEY, controls=CONTROLS, batch=2, resamples=2)
    assert traced == [["constant", "gradient", "product", "smooth"]]


def test_progress_counts_values() -> None:
    seen: list[int] = []
    run(batch=4, progress=seen.append)
    assert seen == [4, 7, 11, 14]


class Stop(Exception):
    pass


def stop_at(done: int) -> Callable[[int], None]:
    def progress(now: int) -> None:
        if now >= done:
            raise Stop

    return progress


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.npz"
    with pytest.raises(Stop):
        run(batch=4, progress=stop_at(10), checkpoint=path)
    seen: list[int] = []
    found = run(batch=2, progress=seen.append, checkpoint=path)
    assert seen == [13, 14]
    for name, values in report().values.items():
        np.testing.assert_allclose(found.values[name], values, rtol=1e-12, atol=1e-12)
    seen.clear()
    again = run(progress=seen.append, checkpoint=path)
    assert not seen
    np.testing.assert_array_equal(again.values["abpc"], found.values["abpc"])


def test_a_checkpoint_of_another_call_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.npz"
    run(checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another call"):
        benchmark(f, METHODS, METRICS, XS + 1, key=KEY, controls=CONTROLS, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another model"):
        benchmark(
            lambda x: 2 * f(x), METHODS, METRICS, XS, key=KEY, controls=CONTROLS, checkpoint=path
        )


def test_ranks_follow_what_is_better() -> None:
    found = run(better={"flipping": "lower"})
    for metric, sign in (("abpc", -1), ("flipping", 1)):
        means = sign * np.asarray(found.values[metric]).mean(axis=1)
        expected = [1 + int(np.sum(means < own)) for own in means]
        assert found.ranks(metric) == expected


def test_which_way_is_better_is_known_of_metrics_and_their_order() -> None:
    orders = {
        order: functools.partial(pixel_flipping, order=order, steps=1) for order in ("morf", "lerf")
    }
    metrics = {**orders, "own": lambda f, methods: lambda x: {name: f(x) for name in methods}}
    found = benchmark(f, {"g": jnp.ones_like}, metrics, XS, key=KEY, controls=CONTROLS, resamples=2)
    assert found.better == {"morf": "lower", "lerf": "higher", "own": None}
    assert found.ranks("own") == [None, None]


def test_examples_for_which_a_metric_is_undefined_may_be_skipped() -> None:
    def logarithm(f: Any, methods: Any) -> Callable[..., Any]:
        return lambda x: {name: jnp.log(x[0]) if name == "smooth" else x[1] for name in methods}

    call = functools.partial(benchmark, f, METHODS, {"m": logarithm}, XS, key=KEY)
    with pytest.raises(ValueError, match="m is nan for smooth"):
        call(controls=CONTROLS)
    found = call(controls=CONTROLS, undefined="skip", resamples=10)
    known = XS[:, 0] > 0
    assert 2 <= known.sum() < 7
    assert {row["examples"] for row in found.rows} == {known.sum()}
    np.testing.assert_allclose(found.summaries["m"].mean[0], XS[known, 1].mean())
    assert found.compare("m", "smooth", "gradient", key=KEY).difference.count == known.sum()
    assert f"7 examples, {known.sum()} in m" in str(found)


def test_equal_means_share_a_rank() -> None:
    constant = {"a": jnp.ones_like, "b": jnp.zeros_like}
    found = benchmark(f, constant, {"abpc": abpc}, XS, key=KEY, controls=CONTROLS, resamples=2)
    assert found.ranks("abpc") == [1, 1, 1]


def test_controls_are_always_there() -> None:
    found = benchmark(f, {"g": jax.grad(f)}, {"abpc": abpc}, XS, key=KEY, resamples=2)
    assert found.controls == ("uniform", "random")
    np.testing.assert_array_equal(found.values["abpc"][1], np.zeros(7))
    with pytest.raises(ValueError, match="0 controls"):
        run(controls={})


def test_data_of_a_metric_come_with_its_examples() -> None:
    def weighted(f: Any, methods: Any) -> Callable[..., Any]:
        def evaluate(x: jax.Array, *, weight: jax.Array) -> Any:
            return {name: weight for name in methods}

        return evaluate

    weights = np.arange(7.0)
    found = benchmark(
        f,
        METHODS,
        {"w": weighted, "abpc": abpc},
        XS,
        key=KEY,
        controls=CONTROLS,
        batch=4,
        resamples=2,
        data={"w": {"weight": weights}},
    )
    np.testing.assert_array_equal(found.values["w"], np.tile(weights, (4, 1)))


def test_rows_and_tables() -> None:
    found = run(better={"flipping": "lower"})
    rows = found.rows
    assert len(rows) == 8
    first = rows[0]
    assert (first["metric"], first["method"], first["control"]) == ("abpc", "gradient", False)
    assert first["low"] <= first["mean"] <= first["high"] and first["examples"] == 7
    assert [row["control"] for row in rows] == [False, False, False, True] * 2
    table = found.markdown().splitlines()
    assert table[0] == "| method | abpc \u2191 | flipping \u2193 |"
    assert len(table) == 2 + 4
    assert table[-1].startswith("| constant (control) | ")
    assert all(line.count("|") == 4 for line in table)
    assert "7 examples" in str(found) and "95%" in str(found)


def test_frame_has_the_rows() -> None:
    pytest.importorskip("pandas")
    frame = report().frame()
    assert list(frame["method"]) == [row["method"] for row in report().rows]


def test_figure_has_axes_for_each_metric() -> None:
    figure = report().figure(title="methods")
    assert [axes.get_xlabel() for axes in figure.axes] == ["abpc \u2191", "flipping \u2193"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["gradient", "product", "smooth", "constant"]
    middles = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(middles, report().summaries["abpc"].mean)


def test_methods_are_compared_on_the_same_examples() -> None:
    found = report().compare("abpc", "product", "gradient", key=KEY)
    values = report().values["abpc"]
    assert found.p == compare(values[1], values[0], key=KEY).p
    with pytest.raises(ValueError, match="'lrp' is no method"):
        report().compare("abpc", "lrp", "gradient", key=KEY)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="is a method and a control"):
        run(controls={"gradient": jax.grad(f)})
    with pytest.raises(ValueError, match="choose one of abpc, flipping"):
        run(better={"roar": "lower"})
    with pytest.raises(ValueError, match="higher, lower"):
        run(better={"abpc": "more"})
    with pytest.raises(TypeError, match=r"jax.random.key\(0\)"):
        run(key=None)

    def nothing(f: Any, methods: Any) -> Callable[..., Any]:
        return lambda x: {name: f(x) / 0 for name in methods}

    with pytest.raises(ValueError, match=r"m is -?inf for gradient and example 0"):
        benchmark(f, METHODS, {"m": nothing}, XS, key=KEY, controls=CONTROLS)
    with pytest.raises(TypeError, match="same names"):
        benchmark(f, METHODS, {"m": lambda f, methods: f}, XS, key=KEY, controls=CONTROLS)
