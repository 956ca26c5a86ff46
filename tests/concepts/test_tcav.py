"""TCAV: planted concepts are found, random ones are not, and the p-values mean what they say."""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression

from jaxplain import ConceptReport, concept_sensitivity, tcav
from jaxplain.concepts._examples import project, span
from jaxplain.concepts._experiment import Draws, Experiment, Options, compute, draw_all
from jaxplain.concepts._significance import permutation_p_value, welch_p_value

KEY = jax.random.key(0)


# -------------------------------------------------------------------------------- a planted concept


class Planted(NamedTuple):
    """A network that tells stripes from dots, examples of textures, and some of its inputs."""

    score: Any
    concepts: dict[str, np.ndarray]
    pool: np.ndarray
    striped: np.ndarray


SIDE = 10


def blobs(rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth random colours."""
    coarse = rng.uniform(size=(count, 3, 3, 3))
    rows = np.linspace(0, 2, SIDE)
    weights = np.maximum(0, 1 - np.abs(rows[:, None] - np.arange(3)))
    return np.einsum("ia,jb,nabc->nijc", weights, weights, coarse)


def texture(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """Black marks, shifted at random, on blobs."""
    i, j = np.mgrid[:SIDE, :SIDE]
    shift = rng.integers(0, 4, size=(count, 2, 1, 1))
    down, right = i + shift[:, 0], j + shift[:, 1]
    marks = right % 4 < 2
    if kind == "dots":
        marks = marks & (down % 4 < 2)
    return blobs(rng, count) * (1 - 0.9 * marks[..., None])


def inputs(rng: np.random.Generator, count: int, *, dark: float = 0.3) -> np.ndarray:
    """As many images with stripes as with dots; the lower half of some of them is dark."""
    images = np.concatenate([texture(kind, rng, count // 2) for kind in ("stripes", "dots")])
    shade = np.where(rng.uniform(size=(count, 1, 1, 1)) < dark, 0.4, 1.0)
    images[:, SIDE // 2 :] *= shade
    return images.astype(np.float32)


def logits(params: Any, x: Any) -> Any:
    """Two convolutions, and the mean."""

    def convolve(x: Any, weights: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, weights, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    with jax.named_scope("low"):
        h = jax.nn.relu(convolve(x[None], params["low"]))
    h = jax.nn.relu(convolve(h, params["high"]))
    return h.mean(axis=(0, 1, 2)) @ params["head"]


@functools.cache
def planted() -> Planted:
    """Train to tell the textures; the dark halves have nothing to do with them."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(inputs(rng, 128))
    labels = jnp.repeat(jnp.arange(2), 64)
    shapes = {"low": (3, 3, 3, 6), "high": (3, 3, 6, 6), "head": (6, 2)}
    keys = jax.random.split(jax.random.key(1), 3)
    start = {
        name: jax.random.normal(key, shape, jnp.float32) * float(np.prod(shape[:-1])) ** -0.5
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }

    def loss(params: Any) -> Any:
        logs = jax.nn.log_softmax(jax.vmap(functools.partial(logits, params))(images))
        return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], axis=1))

    def step(carry: Any, _: Any) -> Any:
        params, velocity = carry
        velocity = jax.tree.map(lambda v, g: 0.9 * v - 0.1 * g, velocity, jax.grad(loss)(params))
        return (jax.tree.map(jnp.add, params, velocity), velocity), loss(params)

    begin = start, jax.tree.map(jnp.zeros_like, start)
    (params, _), losses = jax.jit(lambda c: jax.lax.scan(step, c, None, length=250))(begin)
    assert float(losses[-1]) < 0.1

    concepts = {kind: texture(kind, rng, 24).astype(np.float32) for kind in ("stripes", "dots")}
    concepts["dark half"] = inputs(rng, 24, dark=1.0)

    def score(x: Any, k: Any) -> Any:
        values = logits(params, x)
        return values[k] - values[1 - k]

    striped = texture("stripes", rng, 30).astype(np.float32)
    return Planted(score, concepts, inputs(rng, 72), striped)


@functools.cache
def found(statistic: str = "magnitude") -> ConceptReport:
    case = planted()
    test = tcav(case.score, "low", case.concepts, case.pool, repeats=5, statistic=statistic)
    return test(case.striped, 0, key=KEY)


@pytest.mark.thorough
def test_planted_concept_is_found_and_an_unrelated_one_is_not() -> None:
    report = found()
    assert report.verdicts == ("raises the score", "lowers the score", "not significant")
    assert float(report.p[0]) < 0.01
    assert float(report.p[1]) < 0.01
    assert float(report.score[0]) > 0.9
    assert float(report.score[1]) < 0.5
    assert np.all(np.asarray(report.conclusive))  # the unrelated one is told well, too
    assert np.all(np.asarray(report.converged) == 1)


def test_random_examples_are_not_a_concept() -> None:
    """Nothing tells them from the pool, so nothing is concluded."""
    case = planted()
    concepts = {"nothing": inputs(np.random.default_rng(5), 24)}
    test = tcav(case.score, "low", concepts, case.pool, repeats=5)
    assert test(case.striped, 0, key=KEY).verdicts == ("the CAV is no better than chance",)


def test_score_of_like_gradients_cannot_be_significant() -> None:
    """The score of the planted concept is 1, and so is that of many a random vector."""
    report = found("sign")
    assert float(report.score[0]) == 1
    assert float(report.p[0]) > 0.05
    extreme = np.mean(np.isin(np.asarray(report.permuted[0]), [0, 1]))
    assert float(report.p[0]) == pytest.approx((1 + 199 * extreme) / 200, abs=1e-6)
    np.testing.assert_array_equal(report.scores, found().scores)


def test_report_is_a_table_with_nothing_hidden() -> None:
    heads, stripes, *_ = str(found()).splitlines()
    assert heads.split() == [
        "concept",
        "score",
        "derivative",
        "p",
        "(t-test)",
        "accuracy",
        "p",
        "verdict",
    ]
    assert stripes.split()[:4] == ["stripes", "1.00", "±", "0.00"]
    assert stripes.endswith("raises the score")
    assert found().fits == 3 * 5 * (2 + 199)
    assert f"{found().fits} fits" in str(found())
    assert found().sizes == ((16, 8),) * 3
    leaves = jax.tree.leaves(found())
    assert len(leaves) == 10
    assert all(leaf.shape[0] == 3 for leaf in leaves)


# ----------------------------------------------------------------------------- one fit, written out


class Small(NamedTuple):
    """A function that is not linear after its layer, and few examples."""

    examples: np.ndarray
    inputs: np.ndarray

    @staticmethod
    def score(x: Any) -> Any:
        with jax.named_scope("hidden"):
            h = jnp.tanh(2 * x)
        return jnp.sum(jnp.sin(h * jnp.arange(1.0, 6.0))) + h[0] * h[1]

    def experiment(self, l2: float = 0.03, held: int = 3) -> tuple[Experiment, np.ndarray]:
        activations = np.tanh(2 * self.examples)
        slopes = np.cos(np.tanh(2 * self.inputs) * np.arange(1, 6)) * np.arange(1, 6)
        slopes[:, :2] += np.tanh(2 * self.inputs[:, 1::-1])

        @jax.jit
        def made(activations: Any, slopes: Any) -> tuple[Any, Any]:
            within = span(activations)
            return within, project(slopes, activations, within)

        return Experiment(*made(activations, slopes), jnp.asarray(l2), held), activations


def small() -> Small:
    rng = np.random.default_rng(3)
    return Small(rng.normal(size=(30, 5)), rng.normal(size=(7, 5)))


def test_products_with_gradients_are_jvps_along_scikit_learns_vectors() -> None:
    """Each fit equals one in the layer itself, and its derivatives those of `jax.jvp`."""
    case, rng = small(), np.random.default_rng(4)
    experiment, activations = case.experiment()
    orders = np.stack([rng.permutation(30) for _ in range(4)])
    draws = Draws(jnp.asarray(orders[:, :9]), jnp.asarray(orders[:, 9:18]))
    trials = jax.jit(jax.vmap(experiment.trial))(draws)
    scale = np.sqrt(np.mean(np.sum((activations - activations.mean(0)) ** 2, axis=1)))
    along = jax.jit(
        lambda xs, v: jax.vmap(concept_sensitivity(Small.score, "hidden", v))(xs)
    )  # traced in v
    for i, order in enumerate(orders):
        train = np.concatenate([order[3:9], order[12:18]])
        test = np.concatenate([order[:3], order[9:12]])
        z = (activations - activations.mean(0)) / scale
        model = LogisticRegression(C=1 / (12 * 0.03), tol=1e-10, max_iter=10_000)
        model.fit(z[train], np.repeat([1, 0], 6))
        v = model.coef_[0] / np.linalg.norm(model.coef_)
        slopes = np.asarray(along(case.inputs, v))
        np.testing.assert_allclose(trials.scores[i], np.mean(slopes > 0), rtol=1e-12)
        np.testing.assert_allclose(trials.derivatives[i], scale * slopes.mean(), atol=1e-5)
        assert float(trials.accuracies[i]) == model.score(z[test], np.repeat([1, 0], 3))


def test_layer_wider_than_examples_are_many_changes_nothing() -> None:
    """An orthonormal map into many dimensions: the same span, so the same fits."""
    rng = np.random.default_rng(6)
    wide = np.linalg.qr(rng.normal(size=(90, 5)))[0].T
    a, g = rng.normal(size=(30, 5)), rng.normal(size=(7, 5))

    @jax.jit
    def measured(a: Any, g: Any) -> Any:
        within = span(a)
        gram = within.features @ within.features.T * within.scale**2
        return gram, project(g, a, within) @ within.features.T

    for narrow, other in zip(measured(a, g), measured(a @ wide, g @ wide), strict=True):
        np.testing.assert_allclose(other, narrow, atol=1e-11)
    centred = a - a.mean(0)
    np.testing.assert_allclose(measured(a, g)[0], centred @ centred.T, atol=1e-11)


def test_draws_are_what_they_should_be() -> None:
    options = {"size": 6, "repeats": 4, "permutations": 300}
    drawn = jax.jit(functools.partial(draw_all, count=20, **options))(KEY)
    observed, permuted, control = jax.tree.map(np.asarray, drawn)
    for draw in drawn:
        both = np.sort(np.concatenate([draw.positive, draw.negative], axis=1), axis=1)
        assert np.all(np.diff(both, axis=1) > 0)  # no example twice
    np.testing.assert_array_equal(np.sort(observed.positive), np.tile(np.arange(6), (4, 1)))
    assert observed.negative.min() >= 6
    assert min(control.positive.min(), control.negative.min()) >= 6
    labels = np.sort(permuted.positive.reshape(300, 4, 6))
    assert np.all(labels == labels[:, :1])  # one labeling, several counterparts
    assert len({tuple(sorted(row)) for row in permuted.negative[:4]}) > 1
    # All examples are the concept's equally often: 300 * 6 / 20 times, within 5 deviations.
    times = np.bincount(labels[:, 0].ravel(), minlength=20)
    assert np.all(np.abs(times - 90) < 5 * np.sqrt(90 * 0.7))


# ------------------------------------------------------------------------------------- the p-values


@functools.cache
def null_p_values(repeats: int, permutations: int) -> dict[str, np.ndarray]:
    """200 experiments whose concept is drawn like the pool."""
    options = Options(repeats, permutations, None, 1 / 3, "magnitude", 10_000)

    @jax.jit
    @jax.vmap
    def experiment(key: Any) -> Any:
        keys = jax.random.split(key, 4)
        stretch = jnp.arange(1.0, 9.0)[None]
        activations = jax.random.normal(keys[0], (24, 8)) * stretch
        gradients = jax.random.normal(keys[1], (1, 8)) + jax.random.normal(keys[2], (6, 8))
        parts = gradients, activations[:6], activations[6:], keys[3]
        facts = compute(*parts, jnp.asarray(0.01), options)
        return {name: facts[name] for name in ("p", "p_accuracy", "p_t_test")}

    return jax.tree.map(np.asarray, experiment(jax.random.split(jax.random.key(6), 200)))


def accepted(share: float) -> tuple[float, float]:
    """The 99.9 % interval of the number of 200 experiments that reach a p-value of `share`."""
    return scipy.stats.binom.interval(0.999, 200, share)


@pytest.mark.thorough
@pytest.mark.parametrize("level", [0.05, 0.25, 0.5])
def test_random_concepts_are_significant_as_often_as_the_level_says(level: float) -> None:
    low, high = accepted(level)
    assert low <= np.sum(null_p_values(3, 19)["p"] <= level + 1e-9) <= high


@pytest.mark.thorough
def test_random_concepts_are_told_no_better_than_the_level_says() -> None:
    """Accuracies tie, which makes the test more careful."""
    assert np.sum(null_p_values(3, 19)["p_accuracy"] <= 0.05 + 1e-9) <= accepted(0.05)[1]


@pytest.mark.thorough
def test_t_test_calls_random_concepts_significant() -> None:
    assert np.sum(null_p_values(20, 1)["p_t_test"] <= 0.05) > accepted(0.05)[1]


def test_permutation_p_value_counts_itself_and_ties() -> None:
    permuted = jnp.array([0.0, 1.0, 2.0, 2.0 - 1e-16, 3.0])
    p = jax.jit(permutation_p_value)
    for observed, reached in [(4.0, 0), (3.0, 1), (2.0, 3), (-1.0, 5)]:
        assert float(p(jnp.asarray(observed), permuted)) == pytest.approx((1 + reached) / 6)


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(8)
    welch = jax.jit(welch_p_value)
    for shift in (0, 0.5, 3):
        first, second = rng.normal(size=12) + shift, 4 * rng.normal(size=12)
        expected = scipy.stats.ttest_ind(first, second, equal_var=False).pvalue
        np.testing.assert_allclose(welch(first, second), expected, rtol=1e-10)
    constant = np.ones(12)
    assert float(welch(constant, constant)) == 1
    assert float(welch(constant, 2 * constant)) == 0
    expected = scipy.stats.ttest_1samp(second, 1.0).pvalue
    np.testing.assert_allclose(welch(constant, second), expected, rtol=1e-10)


# -------------------------------------------------------------------------------- calls, and errors


def test_chunks_batches_and_progress_change_nothing() -> None:
    case = small()
    concepts = {"a": case.examples[:7], "b": 1 + case.examples[:7]}
    pool = case.examples[7:]
    options = {"repeats": 3, "permutations": 19}
    seen: list[int] = []
    plain = tcav(Small.score, "hidden", concepts, pool, **options)(case.inputs, key=KEY)
    test = tcav(
        Small.score, "hidden", concepts, pool, **options, chunk=4, batch=20, progress=seen.append
    )
    again = jax.jit(test)(case.inputs, key=KEY)
    assert seen == [1, 2]
    assert again.names == plain.names == ("a", "b")
    for left, right in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-9)
    other = test(case.inputs, key=jax.random.key(9))
    assert float(jnp.max(jnp.abs(other.derivatives - plain.derivatives))) > 1e-3


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small()
    concept, pool = {"a": case.examples[:7]}, case.examples[7:]
    build = functools.partial(tcav, Small.score, "hidden")
    with pytest.raises(ValueError, match=r"pool has 13 random examples.*'a'.* 7: at least 14"):
        build(concept, pool[:13])
    with pytest.raises(ValueError, match=r"concepts\['a'\] has 5 examples"):
        build({"a": case.examples[:5]}, pool)
    with pytest.raises(ValueError, match="of concepts.* and of random differ"):
        build({"a": np.ones((7, 4))}, pool)
    with pytest.raises(TypeError, match="a dictionary from names .* but is ndarray"):
        build(case.examples, pool)
    with pytest.raises(TypeError, match="only floating-point inputs"):
        build({"a": np.ones((7, 5), int)}, pool)
    with pytest.raises(ValueError, match=r"permutations=18 .* at least 19.* alpha=0\.05"):
        build(concept, pool, permutations=18)
    with pytest.raises(ValueError, match="repeats=1 "):
        build(concept, pool, repeats=1)
    with pytest.raises(ValueError, match="choose one of magnitude, sign"):
        build(concept, pool, statistic="mean")
    with pytest.raises(ValueError, match="alpha=0 must be positive"):
        build(concept, pool, alpha=0)
    with pytest.raises(TypeError, match=r"key=jax\.random\.key\(0\)"):
        build(concept, pool)(case.inputs)
    with pytest.raises(ValueError, match="of xs and of random differ"):
        build(concept, pool)(case.inputs[0], key=KEY)
    with pytest.raises(ValueError, match="Nearest names: 'hidden'"):
        tcav(Small.score, "hiden", concept, pool)(case.inputs, key=KEY)
    with pytest.raises(TypeError, match="must return one real number"):
        tcav(jax.named_scope("hidden")(jnp.tanh), "hidden", concept, pool)(case.inputs, key=KEY)
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxplain\[optax\]'"):
        build(concept, pool)
