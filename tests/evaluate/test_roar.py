"""Remove and retrain: the trainings of a loop, from few programs, with what is gone gone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from jaxplain.evaluate._retrained import RetrainingCurves
from jaxplain.evaluate._roar import kar, roar

KEY = jax.random.key(0)
rng = np.random.default_rng(0)
INPUTS = rng.normal(size=(60, 5)).astype(np.float32) + np.float32(0.5)
LABELS = (INPUTS[:, 0] + 0.5 * INPUTS[:, 3] > 0.75).astype(np.int32)
RIGHT = np.tile(np.float32([2, 0, 0, 1, 0]), (60, 1)) + 0.01 * rng.random((60, 5), np.float32)
TRAIN, TEST = (INPUTS[:40], LABELS[:40]), (INPUTS[40:], LABELS[40:])
RATE, STEPS, BATCH = 0.5, 12, 8


def init(key: jax.Array, inputs: jax.Array) -> dict[str, jax.Array]:
    assert inputs.shape == (1, 5)
    return {"w": jax.random.normal(key, (5, 2), jnp.float32), "b": jnp.zeros(2, jnp.float32)}


def apply(params: dict[str, jax.Array], inputs: jax.Array) -> jax.Array:
    return inputs @ params["w"] + params["b"][None]


methods = {"right": (RIGHT[:40], RIGHT[40:]), "wrong": (-RIGHT[:40], -RIGHT[40:])}
options: dict[str, Any] = {
    "optimizer": optax.sgd(RATE),
    "steps": STEPS,
    "batch": BATCH,
    "shares": (0.2, 0.6),
    "seeds": 2,
    "key": KEY,
}
run = functools.partial(roar, init, apply, methods, TRAIN, TEST, **options)


@functools.cache
def curves() -> RetrainingCurves:
    return run()


def retrained(attributions: Any, share: float, seed: int, sign: int) -> float:
    """The accuracy of one model, trained in NumPy from the definitions."""
    mean = TRAIN[0].mean(axis=0)

    def without(inputs: np.ndarray, found: np.ndarray) -> np.ndarray:
        inputs = inputs.astype(np.float64)
        for x, a in zip(inputs, found, strict=True):
            gone = np.argsort(sign * a, kind="stable")[: round(share * 5)]
            x[gone] = mean[gone]
        return inputs

    training = jax.random.split(KEY, 3)[0]
    own, order = jax.random.split(jax.random.fold_in(training, seed))
    params = {k: np.asarray(v, np.float64) for k, v in init(own, INPUTS[:1]).items()}
    train, test = without(TRAIN[0], attributions[0]), without(TEST[0], attributions[1])
    for step in range(STEPS):
        rows = np.asarray(jax.random.randint(jax.random.fold_in(order, step), (BATCH,), 0, 40))
        x, y = train[rows], TRAIN[1][rows]
        logits = x @ params["w"] + params["b"]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = (odds / odds.sum(axis=1, keepdims=True) - np.eye(2)[y]) / BATCH
        params["w"] -= RATE * x.T @ slope
        params["b"] -= RATE * slope.sum(axis=0)
    return float(np.mean((test @ params["w"] + params["b"]).argmax(axis=1) == TEST[1]))


def test_scores_are_those_of_trainings_one_by_one() -> None:
    for name, pair in methods.items():
        for place, share in enumerate((0.0, 0.2, 0.6)):
            expected = [retrained(pair, share, seed, -1) for seed in range(2)]
            np.testing.assert_allclose(curves().scores[name][place], expected, rtol=1e-6)


def test_kar_removes_the_least_important() -> None:
    found = kar(init, apply, methods, TRAIN, TEST, **options)
    for place, share in enumerate((0.0, 0.2, 0.6)):
        expected = [retrained(methods["right"], share, seed, 1) for seed in range(2)]
        np.testing.assert_allclose(found.scores["right"][place], expected, rtol=1e-6)
    np.testing.assert_array_equal(found.scores["right"], curves().scores["wrong"])
    assert (found.order, curves().order) == ("kar", "roar")


def test_a_random_order_is_always_there() -> None:
    assert curves().controls == ("random",)
    assert list(curves().scores) == ["right", "wrong", "random"]
    for scores in curves().scores.values():  # with nothing gone all are the same
        np.testing.assert_array_equal(scores[0], curves().scores["right"][0])


@pytest.mark.parametrize("chunk", [1, 5])
def test_chunks_change_nothing(chunk: int) -> None:
    found = run(chunk=chunk)
    for name, scores in curves().scores.items():
        np.testing.assert_allclose(found.scores[name], scores, rtol=1e-6)


def test_all_trainings_are_one_program() -> None:
    traced = []

    def counted(params: Any, inputs: jax.Array) -> jax.Array:
        traced.append(inputs.shape)
        return apply(params, inputs)

    roar(init, counted, methods, TRAIN, TEST, **options, chunk=4)
    assert traced.count((BATCH, 5)) == 2  # in the step, and in the test


class Stop(Exception):
    pass


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "roar.npz"

    def stop(done: int) -> None:
        if done >= 7:
            raise Stop

    with pytest.raises(Stop):
        run(chunk=7, progress=stop, checkpoint=path)
    seen: list[int] = []
    found = run(chunk=7, progress=seen.append, checkpoint=path)
    assert seen == [14]  # 2 with nothing gone, 3 * 2 * 2 others
    for name, scores in curves().scores.items():
        np.testing.assert_allclose(found.scores[name], scores, rtol=1e-6)
    with pytest.raises(ValueError, match="belongs to another call"):
        run(checkpoint=path, steps=STEPS + 1)
    with pytest.raises(ValueError, match="belongs to another model"):
        roar(init, lambda p, x: 3 * apply(p, x), methods, TRAIN, TEST, **options, checkpoint=path)


def test_fill_takes_the_place_of_what_is_gone() -> None:
    """With all gone, nothing is left but the bias, whatever is filled in."""
    seen = run(shares=(1.0,), fill=0.0).scores["right"][1]
    ones = np.mean(TEST[1])
    assert np.all(np.isclose(seen, ones) | np.isclose(seen, 1 - ones))
    with pytest.raises(ValueError, match="baseline"):
        run(fill=np.zeros(4, np.float32))


class Small(nn.Module):
    """Of pictures with channels."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = nn.relu(nn.Conv(2, (3, 3), name="conv")(x))
        return nn.Dense(2, name="dense")(h.reshape(h.shape[0], -1))


def picture(count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((count, 4, 4, 2), np.float32), np.arange(count, dtype=np.int32) % 2


def test_a_flax_model_passes_directly_and_blurred_attributions_are_controls() -> None:
    train, test = picture(10), picture(6)
    maps = {
        "full": (train[0], test[0]),
        "map": (train[0].sum(axis=-1), test[0].sum(axis=-1)),  # as Grad-CAM's, no channels
    }
    shared = {**options, "along": (0, 1), "steps": 2, "shares": (0.5,), "batch": 4}
    model = Small()
    found = roar(model.init, model.apply, maps, train, test, **shared, blur=1.0)
    assert found.controls == ("full, blurred", "map, blurred", "random")
    for blurred in ("", ", blurred"):
        first, second = (found.scores[name + blurred] for name in ("full", "map"))
        np.testing.assert_array_equal(first, second)


def test_state_beside_the_parameters_is_refused() -> None:
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            return nn.Dense(2)(nn.BatchNorm(use_running_average=True)(x))

    model = Normed()
    with pytest.raises(ValueError, match="batch_stats beside params"):
        roar(model.init, model.apply, methods, TRAIN, TEST, **options)


def linear(share: np.ndarray) -> np.ndarray:
    return np.stack([1 - share, 1 - share - 0.1 * share, 1 - share + 0.1 * share], axis=-1)


def test_means_intervals_and_areas() -> None:
    shares = np.array([0.0, 0.5, 1.0])
    found = RetrainingCurves(
        shares, {"a": linear(shares), "b": linear(shares) + 0.1}, ("b",), 0.9, "roar"
    )
    np.testing.assert_allclose(found.means["a"], [1, 0.5, 0])
    for row in found.rows[:3]:
        place = list(shares).index(row["share"])
        if row["share"]:
            low, high = stats.ttest_1samp(linear(shares)[place], 0).confidence_interval(0.9)
            np.testing.assert_allclose((row["low"], row["high"]), (low, high), atol=1e-12)
    assert found.rows[0]["low"] == found.rows[0]["high"] == 1
    assert found.areas["a"] == pytest.approx(0.5)
    mean, half = found.difference("b", "a")
    np.testing.assert_allclose(mean, 0.1)
    np.testing.assert_allclose(half, 0, atol=1e-12)
    with pytest.raises(ValueError, match="choose one of a, b"):
        found.difference("c", "a")


def test_figure_has_a_line_for_each_name() -> None:
    figure = curves().figure(title="ROAR")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["right", "wrong", "random (control)"]


def refused(error: type[Exception], match: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=match):
        call()


def test_bad_input_is_refused() -> None:
    at = functools.partial(roar, init, apply)
    nan = {"right": (np.full_like(RIGHT[:40], np.nan), RIGHT[40:])}
    refused(ValueError, "must rise", lambda: run(shares=(0.5, 0.2)))
    refused(ValueError, "shares=", lambda: run(shares=(1.5,)))
    refused(ValueError, "seeds=1", lambda: run(seeds=1))
    refused(ValueError, "needs the axes", lambda: run(blur=1.0))
    refused(TypeError, r"jax.random.key\(0\)", lambda: run(key=None))
    refused(ValueError, "not finite", lambda: at(nan, TRAIN, TEST, **options))
    refused(ValueError, "name of a control", lambda: at({"random": 0}, TRAIN, TEST, **options))
    refused(TypeError, "give a pair", lambda: at({"a": RIGHT}, TRAIN, TEST, **options))
    swapped = {"right": (RIGHT[40:], RIGHT[:40])}
    refused(ValueError, "for 40 inputs", lambda: at(swapped, TRAIN, TEST, **options))
    other = {"right": (RIGHT[:40, :3], RIGHT[40:, :3])}
    refused(ValueError, r"attributions\['right'\] gave", lambda: at(other, TRAIN, TEST, **options))
    whole = (INPUTS[:40].astype(int), LABELS[:40])
    refused(TypeError, "floating", lambda: at(methods, whole, TEST, **options))
    beyond = (INPUTS[40:], LABELS[40:] + 1)
    refused(ValueError, "between 1 and 2", lambda: at(methods, TRAIN, beyond, **options))
    onehot = (INPUTS[:40], np.eye(2)[LABELS[:40]])
    refused(TypeError, "number of a class", lambda: at(methods, onehot, TEST, **options))
    refused(ValueError, "seed 0 by right with 0", lambda: run(optimizer=optax.sgd(1e38), steps=6))
