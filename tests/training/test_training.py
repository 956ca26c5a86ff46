"""A training set in memory and a stream of batches answer alike."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.training._examples import batches_of
from jaxplain.training._parameters import choose
from jaxplain.training._resume import Digest, SavedState, fingerprint
from jaxplain.training._training import Arrays, Batches, Training

XS = np.random.default_rng(0).normal(size=(11, 3))
YS = np.arange(11)
CUT = [(XS[:4], YS[:4]), (XS[4:8], YS[4:8]), (XS[8:], YS[8:])]


def of_block(scale: jax.Array, block: Any, weights: jax.Array) -> jax.Array:
    xs, ys = block
    return scale * jnp.einsum("n,nd->d", weights * ys.astype(float), xs)


def of_example(scale: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return scale * jnp.sum(x) * y.astype(float)


def in_memory(chunk: int | None = None) -> Arrays:
    return Arrays((jnp.asarray(XS), jnp.asarray(YS)), chunk)


@pytest.mark.parametrize(
    "training",
    [in_memory(), in_memory(4), in_memory(1), Batches(CUT), Batches([list(b) for b in CUT])],
    ids=["at once", "chunks", "one by one", "stream", "lists"],
)
def test_sums_and_values_of_all_examples(training: Training) -> None:
    scale = jnp.asarray(2.0)
    assert training.count == 11
    np.testing.assert_allclose(training.total(of_block, scale), 2 * YS @ XS, rtol=1e-12)
    np.testing.assert_allclose(
        training.each(of_example, scale), 2 * XS.sum(axis=1) * YS, rtol=1e-12
    )
    doubled = training.repeat(lambda s: s < 100, lambda s: 2 * s, jnp.asarray(3))
    assert doubled == 192


def test_a_walk_draws_examples_or_takes_them_as_they_come() -> None:
    def note(scale: jax.Array, state: Any, block: Any) -> Any:
        rows, count = state
        rows = jax.lax.dynamic_update_index_in_dim(rows, scale * block[1][0], count, 0)
        return rows, count + 1

    start = jnp.zeros(1000, int), jnp.asarray(0)
    taken, count = Batches(CUT).walk(note, jnp.asarray(1), start, count=7)
    assert count == 7 and taken[:7].tolist() == [0, 4, 8, 0, 4, 8, 0]

    key = jax.random.key(0)
    drawn, count = in_memory().walk(note, jnp.asarray(1), start, count=1000, size=2, key=key)
    assert count == 1000
    # Each of 11 examples is drawn 91 times, give or take 5 standard deviations.
    assert np.all(np.abs(np.bincount(drawn, minlength=11) - 1000 / 11) < 5 * np.sqrt(1000 / 11))


def test_batches_of_arrays() -> None:
    assert [len(ys) for _, ys in batches_of((XS, YS), 4)] == [4, 4, 3]
    assert [len(ys) for _, ys in batches_of((XS, YS), None)] == [11]
    np.testing.assert_array_equal(np.concatenate([xs for xs, _ in batches_of((XS, YS), 3)]), XS)


def test_progress_counts_from_the_start_of_each_work() -> None:
    seen: list[int] = []
    training = Batches(CUT, seen.append)
    for _ in range(2):
        work = training.work()
        work.total(of_block, jnp.asarray(1.0))
        work.each(of_example, jnp.asarray(1.0))
    assert seen == 2 * [4, 8, 11, 15, 19, 22]


class Shrinking:
    """Another number of batches each time."""

    def __init__(self) -> None:
        self.left = 3

    def __iter__(self) -> Iterator[Any]:
        self.left -= 1
        return iter(CUT[: self.left + 1])


def test_a_stream_that_changes_is_refused() -> None:
    training = Batches(Shrinking())
    with pytest.raises(ValueError, match="gave 3 batches when it was read first and 2 now"):
        training.total(of_block, jnp.asarray(1.0))


def test_a_digest_sees_values_and_not_batches() -> None:
    def digest(batches: Any) -> str:
        result = Digest()
        for batch in batches:
            result.add(batch)
        return str(result)

    assert digest(CUT) == digest([(XS, YS)])
    assert digest(CUT) != digest([(XS, YS + 1)])
    assert digest(CUT) != digest([(XS.astype(np.float32), YS)])
    assert fingerprint({"a": 1}, {"x": XS}) != fingerprint({"a": 2}, {"x": XS})
    assert fingerprint({"a": 1}, {"x": XS}) != fingerprint({"a": 1}, {"y": XS})
    assert fingerprint({}, jax.random.key(0)) != fingerprint({}, jax.random.key(1))


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = {"key": jax.random.key(3), "x": jnp.asarray(XS, jnp.float32), "n": jnp.asarray(2)}
    saved = SavedState(tmp_path / "state", "name", 1.0)
    assert saved.load(state) is None
    saved.save(state)
    loaded = saved.load(jax.tree.map(jnp.zeros_like, state) | {"key": jax.random.key(0)})
    assert loaded is not None and loaded["x"].dtype == jnp.float32
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(plain(a), plain(b)), loaded, state)
    assert saved.load(state, "finished") is None
    with pytest.raises(ValueError, match="another call"):
        SavedState(tmp_path / "state", "other", 1.0).load(state)
    with pytest.raises(ValueError, match="another loss: that of the example was 1 and is 2 now"):
        SavedState(tmp_path / "state", "name", 2.0).load(state)


def plain(leaf: jax.Array) -> Any:
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if typed else leaf)


def test_parameters_are_chosen_by_path() -> None:
    params = {
        "a": {"w": jnp.ones(2), "b": jnp.zeros(1)},
        "c": [jnp.ones(3), 7],
        "key": jax.random.key(0),
    }
    assert choose(params).paths == ("a/b", "a/w", "c/0")
    assert choose(params, ["c/*", "*/w"]).paths == ("a/w", "c/0")
    chosen = choose(params, "a/*")
    moved = chosen.put(params, {"a/b": jnp.full(1, 5.0), "a/w": jnp.full(2, 6.0)})
    assert moved["a"]["b"] == 5 and moved["c"][1] == 7
    assert choose(jnp.ones(2)).paths == ("params",)
    with pytest.raises(ValueError, match="Paths like it: 'a/w'"):
        choose(params, "a/v")
    with pytest.raises(ValueError, match="Two parameters have the same path"):
        choose({"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}})


def test_a_stream_that_is_shuffled_raises() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(12, 3))

    class Shuffled:
        def __iter__(self) -> Any:
            yield from ((part,) for part in np.split(rng.permutation(data), 3))

    stream = Batches(Shuffled())
    with pytest.raises(ValueError, match="Batch 0 of train is another one"):
        stream.total(lambda operand, block, weights: jnp.sum(block[0]), None)


def test_a_stream_keeps_nothing_alive() -> None:
    def watched() -> Any:
        large = jnp.arange(1000.0)
        stream = Batches([(np.ones((2, 3)),)])
        stream.total(lambda operand, block, weights: jnp.sum(large) * jnp.sum(block[0]), None)
        return weakref.ref(large)

    large = watched()
    gc.collect()
    assert large() is None


def test_progress_bar_of_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    stream = Batches([(np.ones((2, 3)),)] * 3, True)
    stream.total(lambda operand, block, weights: jnp.sum(block[0]), None)
    assert "train:" in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress=3 must be True for a progress bar"):
        Batches([(np.ones((2, 3)),)], 3)  # type: ignore[arg-type]
