"""DeepLIFT as people call it: batches, baselines, composites, ledgers, sequences, mistakes."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import Kind, rules

_draw = np.random.default_rng(7)
W, U = (jnp.asarray(_draw.normal(size=(6, 6))) for _ in range(2))
V = jnp.asarray(_draw.normal(size=6))
XS = jnp.asarray(_draw.normal(size=(5, 6)))
B = jnp.asarray(_draw.normal(size=6))


def net(x: jax.Array) -> jax.Array:
    h = jax.nn.relu(x @ W)
    return jax.nn.softmax(jnp.tanh(h @ U) * x) @ V + jnp.max(h)


# Batches and baselines


def test_an_example_does_not_depend_on_its_batch() -> None:
    explain = jax.jit(jax.vmap(functools.partial(jaxplain.deeplift(net), baseline=B)))
    together = explain(XS)
    others = explain(jnp.concatenate([XS[:1], 100 * XS[1:]]))
    np.testing.assert_array_equal(together[0], others[0])
    alone = jax.jit(jaxplain.deeplift(net))
    for x, row in zip(XS, together, strict=True):
        np.testing.assert_allclose(alone(x, baseline=B), row, rtol=1e-10, atol=1e-14)


def test_a_shared_baseline_is_computed_once() -> None:
    def flops(explain: Any, *args: Any, **kwargs: Any) -> float:
        analysis = jax.jit(explain).lower(*args, **kwargs).compile().cost_analysis()
        return float(analysis["flops"])

    wide = jnp.ones((64, 64))
    f = lambda x: jnp.tanh(jnp.tanh(x @ wide) @ wide).sum()  # noqa: E731
    xs = jnp.ones((32, 64))
    one_pass = 2 * 32 * 64 * 64 * 2
    shared = flops(jax.vmap(functools.partial(jaxplain.deeplift(f), baseline=xs[0])), xs)
    own = flops(jax.vmap(jaxplain.deeplift(f)), xs, baseline=xs)
    gradient = flops(jax.vmap(jax.grad(f)), xs)
    assert own - shared > 0.9 * one_pass
    assert shared < 1.3 * gradient


def test_deeplift_shap_is_the_mean_over_baselines() -> None:
    single = jax.jit(jaxplain.deeplift(net))
    expected = np.mean([single(XS[0], baseline=b) for b in XS[1:]], axis=0)
    explain = jax.jit(jaxplain.deeplift_shap(net, chunk=3))
    np.testing.assert_allclose(explain(XS[0], baseline=XS[1:]), expected, rtol=1e-10)


# Integrated gradients


def test_one_nonlinearity_on_each_path_is_the_integrated_gradient() -> None:
    def shallow(x: jax.Array) -> jax.Array:
        return jnp.tanh(x @ W) @ V + jax.nn.softplus(x @ U) @ V - jnp.sum(x**2)

    integrated = jax.jit(jaxplain.integrated_grad(shallow, steps=60))(XS[0], baseline=B)
    compared = jax.jit(jaxplain.deeplift(shallow))(XS[0], baseline=B)
    np.testing.assert_allclose(compared, integrated, rtol=1e-8, atol=1e-10)


def test_deeper_they_part_and_both_sum_to_the_change() -> None:
    def deep(x: jax.Array) -> jax.Array:
        return jnp.tanh(jnp.tanh(x @ W) @ U) @ V

    integrated = jax.jit(jaxplain.integrated_grad(deep, steps=80))(XS[0], baseline=B)
    compared = jax.jit(jaxplain.deeplift(deep))(XS[0], baseline=B)
    np.testing.assert_allclose(compared.sum(), integrated.sum(), rtol=1e-6)
    assert np.abs(compared - integrated).max() > 1e-2


def test_only_reveal_cancel_shares_a_minimum() -> None:
    f = lambda x: x[0] - jax.nn.relu(x[0] - x[1])  # noqa: E731
    x = jnp.array([1.0, 3.0])
    np.testing.assert_allclose(jaxplain.integrated_grad(f)(x), [1.0, 0.0])
    np.testing.assert_allclose(jaxplain.deeplift(f)(x), [1.0, 0.0])
    np.testing.assert_allclose(jaxplain.deeplift(f, rules.RevealCancel())(x), [0.5, 0.5])


# Composites and ledgers


def test_composites_choose_by_site() -> None:
    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("first"):
            h = jax.nn.relu(x @ W)
        with jax.named_scope("second"):
            return jnp.tanh(h @ U) @ V

    composite = rules.Composite([("second", rules.RevealCancel())])
    ledger = jax.jit(jaxplain.show(f, composite))(XS[0], baseline=B)
    chosen = {row.name.split("/")[0]: row.rule for row in ledger.rows if row.kind == "ELEMENTWISE"}
    assert chosen == {"first:max": "Rescale", "second:tanh": "RevealCancel"}


def test_genomics_is_by_the_layer_before() -> None:
    kernel = jnp.asarray(_draw.normal(size=(3, 1, 4)))

    def f(x: jax.Array) -> jax.Array:
        h = jax.lax.conv_general_dilated(
            x[None, :, None], kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )
        h = jax.nn.relu(h).reshape(-1)
        return jax.nn.relu(h @ jnp.ones((24, 3))).sum()

    ledger = jax.jit(jaxplain.show(f, rules.genomics()))(XS[0], baseline=B)
    assert [row.rule for row in ledger.rows if row.kind == "ELEMENTWISE"] == [
        "Rescale",
        "RevealCancel",
    ]


def test_the_ledger_balances_at_every_site() -> None:
    contributions, info = jax.jit(jaxplain.deeplift(net, info=True))(XS[0], baseline=B)
    ledger = info.ledger
    np.testing.assert_allclose(ledger.received, ledger.distributed, atol=1e-12)
    np.testing.assert_allclose(ledger.output, net(XS[0]) - net(B))
    np.testing.assert_allclose(ledger.inputs, contributions.sum())
    assert set(info.relevance) == {row.name for row in ledger.rows}
    for row, received in zip(ledger.rows, ledger.received, strict=True):
        np.testing.assert_allclose(info.relevance[row.name].sum(), received, atol=1e-12)
    table = str(ledger)
    assert "softmax" not in table and "SOFTMAX" in table and "LogMean" in table
    assert table.splitlines()[-1].startswith("change of the output")


def test_a_loop_reports_all_its_steps() -> None:
    def f(x: jax.Array) -> jax.Array:
        def step(h: jax.Array, row: jax.Array) -> Any:
            return jnp.tanh(h @ W + row), None

        return jax.lax.scan(step, x, jnp.stack([x, 2 * x, 3 * x]))[0] @ V

    _, info = jax.jit(jaxplain.deeplift(f, info=True))(XS[0], baseline=B)
    (tanh,) = (name for name in info.relevance if name.startswith("tanh"))
    assert info.relevance[tanh].shape == (3, 6)


def test_a_rule_of_ones_own() -> None:
    @dataclasses.dataclass(frozen=True)
    class Stop(rules.DifferenceRule):
        kinds = main = Kind.ELEMENTWISE

        def propagate(self, change: Any, multipliers: Any) -> rules.Multiplied:
            return rules.Multiplied(tuple(jnp.zeros_like(x) for x in change.inputs))

    f = lambda x: jnp.tanh(x[0]) + x[1]  # noqa: E731
    np.testing.assert_allclose(jaxplain.deeplift(f, Stop())(jnp.array([1.0, 2.0])), [0.0, 2.0])


def test_the_explanation_trains() -> None:
    """The gradient with respect to the parameters is that of what was computed."""

    def loss(w: jax.Array) -> jax.Array:
        f = lambda x: jnp.tanh(jax.nn.softmax(x @ w) @ w) @ V  # noqa: E731
        return jnp.sum(jaxplain.deeplift(f)(XS[0], baseline=B) ** 2)

    gradient = jax.jit(jax.grad(loss))(W)
    direction = jnp.asarray(_draw.normal(size=W.shape))
    ends = [jax.jit(loss)(W + s * 1e-6 * direction) for s in (1, -1)]
    np.testing.assert_allclose(jnp.sum(gradient * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_at_a_cut() -> None:
    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("hidden"):
            h = jax.nn.relu(x @ W)
        return jnp.tanh(h @ U) @ V

    bottom, top = jaxplain.cut(f, at="hidden")
    h, reference = bottom(XS[0]), bottom(B)
    contributions = jax.jit(jaxplain.deeplift(top))(h, XS[0], baseline=reference)
    np.testing.assert_allclose(contributions.sum(), f(XS[0]) - f(B), rtol=1e-10)


# Sequences


def sequence(letters: str) -> jax.Array:
    return jax.nn.one_hot(jnp.array(["ACGT".index(letter) for letter in letters]), 4, dtype=float)


def pairs(tokens: Any) -> collections.Counter[tuple[int, int]]:
    return collections.Counter(itertools.pairwise(int(t) for t in tokens))


def shuffled(x: jax.Array, count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    draw = jax.jit(lambda x, key: jaxplain.baselines.dinucleotide_shuffles(x, count, key=key))
    return np.asarray(draw(x, jax.random.key(seed)))


def test_shuffles_keep_all_pairs() -> None:
    tokens = _draw.integers(0, 4, 120)
    shuffles = shuffled(jax.nn.one_hot(jnp.asarray(tokens), 4, dtype=float), 30)
    assert shuffles.shape == (30, 120, 4)
    np.testing.assert_array_equal(shuffles.sum(-1), 1)
    rows = shuffles.argmax(-1)
    assert all(pairs(row) == pairs(tokens) for row in rows)
    assert len({tuple(row) for row in rows}) == 30


@pytest.mark.parametrize("letters", ["ACAGACGA", "AACCAACCA", "ACGTACG", "AAAA", "AC", "A"])
def test_every_shuffle_is_equally_likely(letters: str) -> None:
    x = sequence(letters)
    tokens = np.asarray(x.argmax(-1))
    middles = set(itertools.permutations(tokens[1:-1].tolist())) if len(tokens) > 2 else {()}
    ends = ([int(tokens[0])], [int(tokens[-1])] if len(tokens) > 1 else [])
    possible = {
        (*ends[0], *middle, *ends[1])
        for middle in middles
        if pairs((*ends[0], *middle, *ends[1])) == pairs(tokens)
    }
    draws = 2000
    found = collections.Counter(tuple(map(int, row)) for row in shuffled(x, draws).argmax(-1))
    assert set(found) == possible
    expected = draws / len(possible)
    spread = 5 * np.sqrt(expected)  # five standard deviations and more
    assert all(abs(count - expected) < spread for count in found.values())


def test_shuffles_are_keyed() -> None:
    x = sequence("ACGTTGCAACGGTACCAGT")
    np.testing.assert_array_equal(shuffled(x, 4), shuffled(x, 6)[:4])
    assert (shuffled(x, 4) != shuffled(x, 4, seed=1)).any()


def test_what_is_not_one_hot_raises() -> None:
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="not one-hot"):
        jaxplain.baselines.dinucleotide_shuffles(jnp.full((5, 4), 0.25), 2, key=key)
    with pytest.raises(ValueError, match="jax.vmap"):
        jaxplain.baselines.dinucleotide_shuffles(jnp.zeros((2, 5, 4)), 2, key=key)


def test_hypothetical_contributions() -> None:
    x, kernel = sequence("ACGTTGCA"), jnp.asarray(_draw.normal(size=(8, 4)))
    f = lambda x: jnp.tanh(jnp.sum(kernel * x)) + jnp.sum(kernel * x) ** 2  # noqa: E731
    baseline = jnp.full((8, 4), 0.25)
    explain = jaxplain.hypothetical(jaxplain.deeplift(f, multipliers=True))
    given = jax.jit(explain)(x, baseline=baseline)
    m = np.asarray(jax.jit(jaxplain.deeplift(f, multipliers=True))(x, baseline=baseline))
    letters = np.eye(4)
    for position, letter in itertools.product(range(8), range(4)):
        expected = m[position] @ (letters[letter] - 0.25)
        np.testing.assert_allclose(given[position, letter], expected, rtol=1e-9, atol=1e-12)
    # At the letters that are there, it is the contribution of the position.
    contributions = jax.jit(jaxplain.deeplift(f))(x, baseline=baseline)
    np.testing.assert_allclose((given * x).sum(-1), contributions.sum(-1), rtol=1e-9)


def test_hypothetical_over_shuffles() -> None:
    x = sequence("ACGTTGCAAC")
    f = lambda x: jnp.tanh(x[2:5] * 3).sum() * x.sum()  # noqa: E731
    explain = jaxplain.over_baselines(jaxplain.hypothetical(jaxplain.deeplift(f, multipliers=True)))
    shuffles = jnp.asarray(shuffled(x, 3))
    assert jax.jit(explain)(x, baseline=shuffles).shape == (10, 4)
    with pytest.raises(TypeError, match="without info=True"):
        jaxplain.hypothetical(jaxplain.deeplift(f, multipliers=True, info=True))(x)


# Mistakes


def test_rules_of_another_method_raise() -> None:
    with pytest.raises(TypeError, match="Epsilon is no DifferenceRule.*jaxplain.lrp"):
        jaxplain.deeplift(net, rules.epsilon())(XS[0])
    with pytest.raises(TypeError, match="Rescale is no Rule.*jaxplain.deeplift"):
        jaxplain.lrp(net, rules.Rescale())(XS[0])
    with pytest.raises(ValueError, match="RevealCancel is no rule for.*DENSE"):
        jaxplain.deeplift(net, rules.Composite([(Kind.DENSE, rules.RevealCancel())]))(XS[0])


def test_what_has_no_rule_raises() -> None:
    f = lambda x: jax.lax.linalg.cholesky(jnp.outer(x, x) + 9 * jnp.eye(6)).sum()  # noqa: E731
    with pytest.raises(NotImplementedError, match="cholesky.*test_methods"):
        jaxplain.deeplift(f)(XS[0])
    _, info = jax.jit(jaxplain.deeplift(f, missing="gradient", info=True))(XS[0], baseline=B)
    assert abs(float(info.residual)) < 1e-10 < abs(float(info.unattributed))
    with pytest.warns(RuntimeWarning, match="cholesky"):
        jax.block_until_ready(jaxplain.deeplift(f, missing="gradient")(XS[0], baseline=B))
    with pytest.raises(ValueError, match="missing='ignore' is unknown"):
        jaxplain.deeplift(f, missing="ignore")


def test_a_loop_without_a_bound_raises() -> None:
    f = lambda x: jax.lax.while_loop(lambda v: v.sum() < 9, lambda v: 2 * v, jnp.abs(x)).sum()  # noqa: E731
    with pytest.raises(NotImplementedError, match="while loop.*jax.lax.scan"):
        jaxplain.deeplift(f)(XS[0])


def test_a_score_that_is_not_finite_raises() -> None:
    with pytest.raises(ValueError, match="not finite at one of them.*another baseline"):
        jaxplain.deeplift(lambda x: (x / jnp.linalg.norm(x)).sum())(XS[0])


def test_a_baseline_of_another_shape_raises() -> None:
    with pytest.raises(ValueError, match="never broadcast"):
        jaxplain.deeplift(net)(XS[0], baseline=XS)
    with pytest.raises(TypeError, match="set of baselines"):
        jaxplain.deeplift_shap(net)(XS[0])
