"""Black boxes: what `predict` is given, what it gives back, what happens when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import ablation, black_box, kernel_shap, lime, lrp, rules, select

draw = np.random.default_rng(11).normal
X, WEIGHTS = draw(size=(4,)), draw(size=(4, 3))
ALL = np.stack([X + i for i in range(5)])


class Predict:
    """A model with a record of the batches that it was given."""

    def __init__(self, fails: Callable[[np.ndarray], bool] = lambda rows: False) -> None:
        self.sizes: list[int] = []
        self.fails = fails

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        assert type(rows) is np.ndarray and rows.flags.writeable
        self.sizes.append(len(rows))
        if self.fails(rows):
            raise OSError("the line is dead")
        values = formula(rows)
        rows[:] = np.nan  # what it is given is its own
        return values


def formula(rows: Any) -> Any:
    return np.tanh(rows @ WEIGHTS) + rows[:, :1] * rows[:, 1:2]


def removed(x: np.ndarray, k: int) -> np.ndarray:
    """Ablation by hand."""
    without = np.where(np.eye(4, dtype=bool), 0.0, x)
    return formula(x[None])[0, k] - formula(without)[:, k]


def box_of(predict: Any, **options: Any) -> Any:
    return black_box(predict, outputs=(3,), **options)


def test_values_eager_compiled_and_mapped_in_any_nest() -> None:
    predict = Predict()
    box = box_of(predict, remember=False)
    np.testing.assert_array_equal(box(X), formula(X[None])[0])
    np.testing.assert_array_equal(jax.jit(box)(X), formula(X[None])[0])
    np.testing.assert_array_equal(jax.jit(jax.vmap(box))(ALL), formula(ALL))
    nested = jax.jit(jax.vmap(jax.vmap(jax.vmap(box)), in_axes=1))(ALL.reshape(1, 5, 1, 4))
    np.testing.assert_array_equal(nested, formula(ALL).reshape(5, 1, 1, 3))
    assert predict.sizes == [1, 1, 5, 5]
    assert box.evaluations == 12


def test_an_empty_batch_is_not_evaluated() -> None:
    predict = Predict()
    assert jax.vmap(box_of(predict))(np.zeros((0, 4))).shape == (0, 3)
    assert predict.sizes == []


def test_scalar_output_and_a_plain_number_for_outputs() -> None:
    assert jax.jit(black_box(lambda rows: rows.sum(axis=1)))(X).shape == ()
    assert jax.jit(black_box(lambda rows: rows, outputs=4))(X).shape == (4,)
    # Lists, truth values and integers are numbers too.
    assert float(black_box(lambda rows: [len(row) for row in rows])(X)) == 4.0
    assert black_box(lambda rows: rows > 0, outputs=4)(X).dtype == jnp.float64


def test_trees_with_leaves_that_are_not_mapped_over() -> None:
    shapes: list[Any] = []

    def predict(rows: Any) -> Any:
        shapes.append((rows["a"].shape, rows["b"][0].shape))
        return rows["a"].sum(axis=1) * rows["b"][0]

    box = black_box(predict)
    a, b = draw(size=(2, 3)), draw(size=(5,))
    over_b = jax.vmap(lambda a, b: box({"a": a, "b": (b,)}), in_axes=(None, 0))
    found = jax.jit(jax.vmap(over_b, in_axes=(0, None)))(a, b)
    np.testing.assert_allclose(found, a.sum(axis=1)[:, None] * b, rtol=1e-14)
    found = jax.jit(over_b)(a[0], b)
    np.testing.assert_allclose(found, a[0].sum() * b, rtol=1e-14)
    assert shapes == [((10, 3), (10,))]  # the second time all rows were known


def test_pieces_of_a_batch_and_equal_rows_once() -> None:
    predict = Predict()
    box = box_of(predict, batch=2)
    found = jax.jit(jax.vmap(box))(ALL[[0, 1, 0, 2, 3, 3, 4]])
    np.testing.assert_array_equal(found, formula(ALL)[[0, 1, 0, 2, 3, 3, 4]])
    assert predict.sizes == [2, 2, 1]
    jax.jit(jax.vmap(box))(ALL + [[0.0], [0.0], [0.0], [1.0], [1.0]])
    assert predict.sizes == [2, 2, 1, 1]  # one of the two is another example's row
    assert box.evaluations == 6
    box.forget()
    jax.jit(box)(X)
    assert box.evaluations == 7


@pytest.mark.parametrize("remember", [False, 0, 2])
def test_how_many_rows_are_remembered(remember: Any) -> None:
    box = box_of(Predict(), remember=remember)
    mapped = jax.jit(jax.vmap(box))
    np.testing.assert_array_equal(mapped(ALL), formula(ALL))
    assert box.evaluations == 5
    mapped(ALL[3:])  # the latest
    assert box.evaluations == 5 + (0 if remember else 2)
    mapped(ALL[:1])
    assert box.evaluations == 5 + (1 if remember else 3)


def test_rows_of_another_dtype_or_shape_are_other_rows() -> None:
    box = black_box(lambda rows: rows.reshape(len(rows), -1).sum(axis=1) + rows.ndim)
    assert float(box(np.zeros(2))) == 2.0
    assert float(box(np.zeros((1, 2)))) == 3.0
    assert float(box(np.zeros(4, np.float32))) == 2.0  # the bytes of two float64
    assert box.evaluations == 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int8", "bool"])
def test_dtypes_that_are_handed_over(dtype: str) -> None:
    seen: list[Any] = []

    def predict(rows: np.ndarray) -> Any:
        seen.append(rows.dtype)
        return rows.sum(axis=1)

    box, x = black_box(predict, remember=False), jnp.asarray([1, 0, 3], dtype)
    assert float(box(x)) == float(jax.jit(box)(x)) == (2.0 if dtype == "bool" else 4.0)
    assert seen == [np.float32 if dtype == "bfloat16" else np.dtype(dtype)] * 2


def test_single_precision_without_the_64_bit_mode() -> None:
    box = black_box(lambda rows: rows.astype(np.float64).sum(axis=1))
    with jax.enable_x64(False):
        x = jnp.ones(3)
        assert box(x).dtype == jax.jit(box)(x).dtype == jnp.float32
        huge = black_box(lambda rows: np.full(len(rows), 1e60))
        with pytest.raises(ValueError, match=r"1\.e\+60 for row 0 .* finite number of float32"):
            huge(x)


@pytest.mark.parametrize("chunk", [None, 3])
def test_ablation_evaluates_each_row_once(chunk: int | None) -> None:
    predict = Predict()
    box = box_of(predict)
    explain = ablation(select(box), chunk=chunk)
    found = jax.jit(explain)(X, 1)
    np.testing.assert_allclose(found, removed(X, 1), rtol=1e-12)
    assert box.evaluations == 5 and len(predict.sizes) == (2 if chunk is None else 3)
    # All classes at once cost no more than one.
    box.forget()
    found = jax.jit(jax.vmap(explain, (None, 0)))(X, jnp.arange(3))
    np.testing.assert_allclose(found[2], removed(X, 2), rtol=1e-12)
    assert box.evaluations == 10
    # Examples, and the classes of each: nested batches are one batch.
    del predict.sizes[:]
    found = jax.jit(jax.vmap(jax.vmap(explain, (None, 0)), (0, None)))(ALL[1:3], jnp.arange(3))
    np.testing.assert_allclose(found[1, 2], removed(ALL[2], 2), rtol=1e-12)
    assert box.evaluations == 20 and len(predict.sizes) == (2 if chunk is None else 3)


@pytest.mark.parametrize("method", [kernel_shap, lime])
def test_methods_that_sample_are_those_of_the_same_model_in_jax(method: Any) -> None:
    """All classes of an example, with one key: the rows of one class."""

    def model(x: Any) -> Any:
        return jnp.tanh(x @ WEIGHTS) + x[0] * x[1]

    box = box_of(Predict())
    classes = jnp.arange(3)
    found, expected = (
        jax.jit(
            jax.vmap(partial(method(select(f), chunk=6), key=jax.random.key(1)), in_axes=(None, 0))
        )(X, classes)
        for f in (box, model)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert 0 < box.evaluations <= 16  # there are no more subsets of four features


def test_ablation_eagerly() -> None:
    np.testing.assert_allclose(ablation(select(box_of(Predict())))(X, 0), removed(X, 0), rtol=1e-12)


def test_the_same_where_the_runtime_is_not_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    predict = Predict(fails=lambda rows: bool((rows[:, 0] == ALL[3, 0]).any()))
    box = box_of(predict)
    assert "pure_callback" in str(jax.make_jaxpr(box)(X))
    found = jax.jit(jax.vmap(jax.vmap(box)))(ALL[None, :3])
    np.testing.assert_array_equal(found[0], formula(ALL[:3]))
    with pytest.raises(jax.errors.JaxRuntimeError, match="row 3 of 5"):
        jax.block_until_ready(jax.jit(jax.vmap(box))(ALL))


def test_batches_over_several_devices() -> None:
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    xs = jax.device_put(np.concatenate([ALL[:4], ALL[:4] - 9]), sharding)
    box = box_of(Predict())
    np.testing.assert_array_equal(jax.jit(jax.vmap(box))(xs), formula(np.asarray(xs)))
    assert box.evaluations == 8


# ------------------------------------------------------------------------------------ derivatives


def test_there_is_no_derivative() -> None:
    box = box_of(Predict())
    score = select(box)
    derivatives: list[Callable[[Any], Any]] = [
        lambda x: jax.grad(score)(x, 0),
        lambda x: jax.jit(jax.grad(score), static_argnums=1)(x, 0),
        lambda x: jax.jvp(box, (x,), (x,)),
        lambda x: jax.grad(lambda x: jnp.sum(ablation(score)(x, 0)))(x),
    ]
    for derivative in derivatives:
        with pytest.raises(NotImplementedError, match=r"black_box\(Predict\) has no derivative"):
            derivative(jnp.asarray(X))
    with pytest.raises(NotImplementedError, match="have no rule"):
        lrp(score, rules.epsilon())(jnp.asarray(X), 0)


def test_there_is_no_derivative_of_a_chunked_explanation() -> None:
    explain = ablation(black_box(lambda rows: rows[:, 0]), chunk=2)
    jax.config.update("jax_check_tracer_leaks", False)  # JAX's own check fails on any exception
    try:
        with pytest.raises(NotImplementedError, match="no derivative"):
            jax.grad(lambda x: jnp.sum(explain(x)))(jnp.asarray(X))
    finally:
        jax.config.update("jax_check_tracer_leaks", True)


def test_other_arguments_of_the_score_have_derivatives() -> None:
    box = black_box(lambda rows: rows[:, 0])
    explain = ablation(lambda x, w: w**2 * box(x), chunk=2)
    slope = jax.jit(jax.grad(lambda w: explain(jnp.asarray(X), w)[0]))(1.5)
    np.testing.assert_allclose(slope, 3 * X[0], rtol=1e-12)


# ----------------------------------------------------------------------------------------- errors


def run(box: Any, way: str) -> Any:
    mapped = jax.vmap(box)
    return jax.block_until_ready((jax.jit(mapped) if "jit" in way else mapped)(ALL))


@pytest.mark.parametrize("way", ["vmap", "jit and vmap"])
def test_the_row_that_fails_is_named_and_the_others_are_kept(way: str) -> None:
    bad = ALL[3, 0]
    predict = Predict(fails=lambda rows: bool((rows[:, 0] == bad).any()))
    box = box_of(predict)
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        run(box, way)
    message = str(caught.value).rstrip()
    assert message.endswith(str(box.failure))
    assert "Predict raised OSError: the line is dead" in str(box.failure)
    assert "row 3 of 5 (from 0), x: float64[4] = [" in str(box.failure)
    assert isinstance(box.failure, RuntimeError) and isinstance(box.failure.__cause__, OSError)
    # The whole, its halves, the halves of the second: [3] alone, before [4].
    assert predict.sizes == [5, 2, 3, 1, 2, 1] and box.evaluations == 3
    predict.fails = lambda rows: False
    np.testing.assert_array_equal(run(box, way), formula(ALL))
    assert predict.sizes[6:] == [2]


def test_errors_are_what_they_are_outside_of_transforms() -> None:
    with pytest.raises(RuntimeError, match="row 0 of 1") as caught:
        box_of(Predict(fails=lambda rows: True))(X)
    assert isinstance(caught.value.__cause__, OSError)


def test_finished_pieces_are_kept() -> None:
    predict = Predict(fails=lambda rows: predict.down)
    predict.down = False  # type: ignore[attr-defined]
    counts: list[int] = []

    def report(count: int) -> None:
        counts.append(count)
        predict.down = count >= 4  # type: ignore[attr-defined]

    box = box_of(predict, batch=2, progress=report)
    with pytest.raises(jax.errors.JaxRuntimeError, match="row 4 of 5"):
        run(box, "jit and vmap")
    assert counts == [2, 4]
    predict.down = False  # type: ignore[attr-defined]
    np.testing.assert_array_equal(run(box, "jit and vmap"), formula(ALL))
    assert counts == [2, 4, 5]


def test_a_piece_that_passes_in_halves_is_an_error_all_the_same() -> None:
    box = box_of(Predict(fails=lambda rows: len(rows) > 3))
    with pytest.raises(jax.errors.JaxRuntimeError, match="rows, 0 to 4 of 5. It passes in halves"):
        run(box, "jit and vmap")
    assert isinstance(box.failure.__cause__, OSError)
    np.testing.assert_array_equal(run(box, "jit and vmap"), formula(ALL))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_predictions_that_are_not_finite(value: float) -> None:
    def predict(rows: np.ndarray) -> np.ndarray:
        values = formula(rows)
        values[rows[:, 0] == ALL[2, 0], 1] = value
        return values

    box = box_of(predict)
    with pytest.raises(jax.errors.JaxRuntimeError):
        run(box, "jit and vmap")
    with pytest.raises(
        ValueError, match=rf"predict gave \[.* {value} .*\] for row 2 of 5 \(from 0"
    ):
        raise box.failure
    assert box.evaluations == 4
    with pytest.raises(ValueError, match="row 0 of 1"):
        box(ALL[2])


SHAPES: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "columns": (formula, r"shape \(1, 3\) and .* expected shape \(1,\).* set outputs=\(3,\)"),
    "a sum over rows": (np.sum, r"shape \(\) .* one prediction for each row"),
    "nothing": (lambda rows: None, "a NoneType of shape"),
    "names": (lambda rows: ["a"] * len(rows), "not names of classes"),
    "complex": (lambda rows: rows[:, 0] + 1j, "dtype complex128; expected numbers"),
    "too many": (lambda rows: np.zeros(len(rows) + 1), r"1 row\(s\) .* shape \(2,\)"),
}


@pytest.mark.parametrize("mistake", SHAPES)
def test_predictions_of_another_shape(mistake: str) -> None:
    predict, message = SHAPES[mistake]
    with pytest.raises(ValueError, match=message):
        black_box(predict)(X)


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"outputs": -1}, "outputs=-1 is not a whole number of at least 1"),
    ({"outputs": (2, 0)}, "outputs=0"),
    ({"outputs": [3]}, r"outputs=\[3\] must be a shape"),
    ({"batch": 0}, "batch=0 .* Leave batch=None"),
    ({"remember": -1}, "remember=-1"),
    ({"remember": 1.5}, "remember=1.5"),
]


@pytest.mark.parametrize("mistake", range(len(OPTIONS)))
def test_options_that_are_invalid(mistake: int) -> None:
    options, message = OPTIONS[mistake]
    with pytest.raises(ValueError, match=message):
        black_box(formula, **options)


def test_inputs_that_are_no_numbers() -> None:
    box = black_box(formula)
    with pytest.raises(TypeError, match="without an array"):
        box({})
    with pytest.raises(TypeError, match="takes real numbers, but got x: complex128"):
        box(X + 1j)


# -------------------------------------------------------------------------- threads and progress


def test_threads_take_turns() -> None:
    inside: list[int] = []
    crowd: list[int] = []
    door = threading.Event()

    def predict(rows: np.ndarray) -> np.ndarray:
        inside.append(1)
        door.wait(0.02)
        crowd.append(len(inside))
        inside.pop()
        return formula(rows)

    box = box_of(predict)
    mapped = jax.jit(jax.vmap(box)).lower(ALL).compile()
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(np.asarray(mapped(ALL)))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and all((found == formula(ALL)).all() for found in results)
    assert crowd == [1] and box.evaluations == 5


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    box = box_of(Predict(), progress=True)
    jax.jit(jax.vmap(box))(ALL).block_until_ready()
    box(X - 7)
    del box
    shown = capsys.readouterr().err
    assert "Predict: " in shown and " rows" in shown


def test_progress_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxplain\[progress\]'"):
        black_box(formula, progress=True)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux only")
def test_one_core_is_enough() -> None:
    """With one core the runtime has one thread: nothing may wait for it in a callback."""
    code = """
import os
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
import jax, jax.numpy as jnp
from jaxplain import black_box, kernel_shap, lime
box = black_box(lambda rows: rows.sum(axis=1))
run = jax.jit(lambda xs: jax.vmap(box)(xs * 2) + jax.vmap(box)(xs * 3))
for i in range(5):
    print(float(run(jnp.ones((64, 1000)) + i)[0]))
"""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["5000.0", "10000.0", "15000.0", "20000.0", "25000.0"], (
        done.stderr
    )
