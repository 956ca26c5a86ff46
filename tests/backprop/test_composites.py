"""Which rule lands on which site: selectors, composites, presets, and what is told of mistakes."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain
from jaxplain import Kind, rules
from jaxplain.rules import (
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Pass,
    Propagated,
    Rule,
    Selector,
    ZPlus,
)


class Block(nn.Module):
    """A convolution beside a shortcut."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return x + nn.relu(nn.Conv(4, (3, 3))(x))


class Network(nn.Module):
    """A stem, one block called twice, another, and two dense layers."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Conv(4, (3, 3), name="stem")(x))
        shared = Block(name="shared")
        x = shared(shared(x))
        x = Block()(x)
        x = nn.max_pool(x, (2, 2), strides=(2, 2)).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(5, name="hidden")(x))
        return nn.Dense(3, name="head")(x)


MODEL = Network()
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 2)), jnp.float32)
with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    VARIABLES = MODEL.init(jax.random.key(0), X[None])


def score(x: Any) -> Any:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return MODEL.apply(VARIABLES, x[None])[0, 1]


def mlp(x: Any) -> Any:
    """Dense layers in plain JAX, two of them in a named scope."""
    x = jax.nn.relu(x @ jnp.ones((3, 4)))
    with jax.named_scope("body"):
        x = jax.nn.relu(x @ jnp.ones((4, 4)))
        with jax.named_scope("inner"):
            x = jax.nn.relu(x @ jnp.ones((4, 4)))
    return (x @ jnp.ones((4, 2)))[0]


def landed(f: Any, composite: Any, x: Any = X, **options: Any) -> dict[str, str]:
    """The rule of each site, by the last two parts of its name, without running anything."""
    ledger = jax.eval_shape(jaxplain.show(f, composite, **options), x)
    return {"/".join(row.name.split("/")[-2:]): row.rule for row in ledger.rows}


@dataclasses.dataclass(frozen=True)
class Marked(Epsilon):
    """A rule of its own name, to see where it lands."""


def marked(f: Any, what: Any, x: Any = X) -> list[str]:
    """The sites that a selector chooses."""
    return [
        name
        for name, rule in landed(f, Composite([(what, Marked())]), x).items()
        if rule == "Marked"
    ]


STEM, HEAD, HIDDEN = (
    "Network/stem:conv_general_dilated",
    "Network/head:dot_general",
    "Network/hidden:dot_general",
)
ONE, TWO, THREE = (
    "shared/Conv_0#0:conv_general_dilated",
    "shared/Conv_0#1:conv_general_dilated",
    "Block_0/Conv_0:conv_general_dilated",
)
AFFINE = Kind.AFFINE

SELECTED: dict[str, tuple[Any, list[str]]] = {
    "kind": (Kind.CONV, [STEM, ONE, TWO, THREE]),
    "kinds": (Kind.CONV | Kind.DENSE, [STEM, ONE, TWO, THREE, HIDDEN, HEAD]),
    "kind()": (rules.kind(Kind.DENSE), [HIDDEN, HEAD]),
    "whole path": ("Network/stem", [STEM]),
    "any depth": ("**/Conv_0", [ONE, TWO, THREE]),
    "one level": ("Network/*/Conv_0", [ONE, TWO, THREE]),
    "wrong level": ("Network/Conv_*", []),
    "part of a name": (rules.path("Network/h*") & rules.kind(AFFINE), [HIDDEN, HEAD]),
    "question mark": ("Network/hea?", [HEAD]),
    "all calls": ("**/shared/Conv_0", [ONE, TWO]),
    "first call": ("**/shared/Conv_0#0", [ONE]),
    "second call": ("**/shared/Conv_0#1", [TWO]),
    "everything below": (rules.path("Network/shared/**") & rules.kind(Kind.CONV), [ONE, TWO]),
    "a path means layers": ("Network/shared/**", [ONE, TWO]),
    "first": (rules.first(), [STEM]),
    "first of a kind": (rules.first(Kind.DENSE), []),
    "last": (rules.last(), [HEAD]),
    "last of a kind": (rules.last(Kind.CONV), []),
    "depth": (rules.kind(AFFINE) & rules.depth(1, 3), [ONE, TWO]),
    "depth of the end": (rules.kind(AFFINE) & rules.depth(4, 99), [HIDDEN, HEAD]),
    "and, not": (rules.path("**/Conv_0") & ~rules.path("**/shared/*"), [THREE]),
    "or": (rules.first() | rules.last(), [STEM, HEAD]),
    "and of a string": (rules.kind(Kind.CONV) & "**/shared/*", [ONE, TWO]),
    "predicate": (lambda site: site.kind in AFFINE and site.outputs[0].shape[-1] == 3, [HEAD]),
    "named": (Selector(lambda site: site.kind in AFFINE and "k_0" in site.path, "k"), [THREE]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*matches no site")
@pytest.mark.parametrize("name", SELECTED)
def test_selectors(name: str) -> None:
    what, wanted = SELECTED[name]
    assert marked(score, what) == wanted


def test_scopes_name_the_sites_of_plain_functions() -> None:
    x = jnp.ones(3)
    assert marked(mlp, rules.path("body") & rules.kind(AFFINE), x) == ["body:dot_general"]
    assert marked(mlp, rules.path("body/**") & rules.kind(AFFINE), x) == [
        "body:dot_general",
        "body/inner:dot_general",
    ]
    assert marked(mlp, rules.path("body/inner") & rules.kind(AFFINE), x) == [
        "body/inner:dot_general"
    ]


def test_inputs_that_enter_in_two_places_have_two_first_layers() -> None:
    def f(x: Any) -> Any:
        left = jax.nn.relu(x["a"] @ jnp.ones((2, 3)))
        return jnp.sum(
            jnp.tanh(jnp.concatenate([left, x["b"]]) @ jnp.ones((4, 2))) @ jnp.ones((2, 2))
        )

    def alone(x: Any) -> Any:
        left, right = x["a"] @ jnp.ones((2, 3)), x["b"] @ jnp.ones((1, 3))
        return jnp.sum(jnp.tanh(left * right) @ jnp.ones((3, 2)))

    x = {"a": jnp.ones(2), "b": jnp.ones(1)}
    assert len(marked(alone, rules.first(), x)) == 2
    # The second layer sees one input raw, but the other through a layer.
    assert len(marked(f, rules.first(), x)) == 1


def test_the_first_match_wins() -> None:
    pairs: list[tuple[Any, Rule]] = [
        ("**/shared/Conv_0#1", Flat()),
        (Kind.CONV, ZPlus()),
        ("**/shared/Conv_0", Gamma()),
        (AFFINE, AlphaBeta()),
    ]
    found = landed(score, Composite(pairs))
    assert [found[name] for name in (STEM, ONE, TWO, HEAD)] == [
        "ZPlus",
        "ZPlus",
        "Flat",
        "AlphaBeta",
    ]
    reverse = landed(score, Composite(pairs[::-1]))
    assert {reverse[name] for name in (STEM, ONE, TWO, HEAD)} == {"AlphaBeta"}


def test_composites_are_joined_in_order() -> None:
    left, right = Composite([(rules.first(), Flat())]), Composite([(AFFINE, ZPlus())])
    joined = landed(score, left | right)
    assert (joined[STEM], joined[ONE], joined[HEAD]) == ("Flat", "ZPlus", "ZPlus")
    other = landed(score, right | left)
    assert (other[STEM], other[HEAD]) == ("ZPlus", "ZPlus")
    with_rule = landed(score, left | Gamma())
    assert (with_rule[STEM], with_rule[ONE], with_rule[HEAD]) == ("Flat", "Gamma", "Gamma")
    three = landed(score, left | Composite([(Kind.DENSE, Gamma())]) | rules.epsilon_alpha2_beta1())
    assert (three[STEM], three[ONE], three[HEAD]) == ("Flat", "AlphaBeta", "Gamma")


def test_a_bare_rule_is_for_all_layers() -> None:
    found = landed(score, ZPlus())
    for name in (STEM, ONE, TWO, THREE, HIDDEN, HEAD):
        assert found[name] == "ZPlus"
    others = {rule for name, rule in found.items() if "dot" not in name and "conv" not in name}
    assert others == {"Pass", "Norm", "Follow"}


# Rule of the first convolution, of the others, of the dense layers.
PRESETS: dict[str, tuple[Composite, tuple[str, str, str]]] = {
    "epsilon": (rules.epsilon(), ("Epsilon", "Epsilon", "Epsilon")),
    "epsilon_plus": (rules.epsilon_plus(), ("ZPlus", "ZPlus", "Epsilon")),
    "epsilon_plus_flat": (rules.epsilon_plus_flat(), ("Flat", "ZPlus", "Epsilon")),
    "epsilon_alpha2_beta1": (
        rules.epsilon_alpha2_beta1(),
        ("AlphaBeta", "AlphaBeta", "Epsilon"),
    ),
    "epsilon_alpha2_beta1_flat": (
        rules.epsilon_alpha2_beta1_flat(),
        ("Flat", "AlphaBeta", "Epsilon"),
    ),
    "epsilon_gamma_box": (rules.epsilon_gamma_box(0.0, 1.0), ("ZBox", "Gamma", "Epsilon")),
    "gamma": (rules.gamma(), ("Gamma", "Gamma", "Gamma")),
    "interpolated": (rules.interpolated(0.5), ("Interpolated", "Interpolated", "Interpolated")),
    "excitation_backprop": (rules.excitation_backprop(), ("ZPlus", "ZPlus", "ZPlus")),
    "deep_taylor": (rules.deep_taylor(), ("WSquare", "ZPlus", "ZPlus")),
    "deep_taylor, bounded": (rules.deep_taylor(0.0, 1.0), ("ZBox", "ZPlus", "ZPlus")),
    "attn_lrp": (rules.attn_lrp(), ("Epsilon", "Epsilon", "Epsilon")),
    "cp_lrp": (rules.cp_lrp(), ("Epsilon", "Epsilon", "Epsilon")),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    composite, (first, convolution, dense) = PRESETS[name]
    found = landed(score, composite)
    assert found[STEM] == first
    assert {found[other] for other in (ONE, TWO, THREE)} == {convolution}
    assert {found[HIDDEN], found[HEAD]} == {dense}


def attention(x: Any) -> Any:
    """Attention, a gate, a norm and a log-softmax of one sequence."""
    w = jnp.ones((3, 3))
    x = (x - x.mean(axis=-1, keepdims=True)) * jax.lax.rsqrt(x.var(axis=-1, keepdims=True) + 1e-3)
    mixed = jax.nn.softmax((x @ w) @ (x @ w).T) @ (x @ w)
    gated = jax.nn.silu(mixed @ w) * (mixed @ w)
    return jax.nn.log_softmax(jnp.sum(gated, axis=0))[0]


def by_kind(f: Any, composite: Any, x: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in jax.eval_shape(jaxplain.show(f, composite), x).rows:
        found.setdefault(row.kind, set()).add(row.rule)
    return found


def test_presets_of_transformers() -> None:
    x = jnp.ones((4, 3))
    attn = by_kind(attention, rules.attn_lrp(), x)
    assert attn["SOFTMAX"] == attn["LOG_SOFTMAX"] == {"Softmax"}
    assert attn["PRODUCT"] == {"Product"} and attn["NORMALIZATION"] == {"Epsilon"}
    held = by_kind(attention, rules.cp_lrp(), x)
    assert held["SOFTMAX"] == {"Stop"} and held["PRODUCT"] == {"Product"}
    assert by_kind(attention, rules.epsilon(), x) == attn
    assert by_kind(attention, None, x) == attn


@pytest.mark.parametrize("name", PRESETS)
def test_presets_do_not_warn_of_what_a_model_lacks(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax.eval_shape(jaxplain.lrp(lambda x: jnp.tanh(x)[0], PRESETS[name][0]), X[0, 0])


# ------------------------------------------------------------------------------------ mistakes


def test_a_rule_for_another_kind_raises() -> None:
    with pytest.raises(
        ValueError,
        match=r"Gamma is no rule for .*ELEMENTWISE.*test_composites\.py.*it is one for DENSE, CONV",
    ):
        landed(score, Composite([(Kind.ELEMENTWISE, Gamma())]))
    with pytest.raises(ValueError, match="Softmax is no rule for"):
        landed(score, Composite([("**/stem", rules.Softmax())]))


@pytest.mark.parametrize(
    ("glob", "near"),
    [("**/Conv0", "Conv_0"), ("Network/stam", "Network/stem"), ("head", "Network/head")],
)
def test_a_path_that_matches_nothing_warns_with_near_misses(glob: str, near: str) -> None:
    with pytest.warns(UserWarning, match=f"ZPlus for '{_escaped(glob)}' matches no site.*{near}"):
        landed(score, Composite([(glob, ZPlus())]))


def _escaped(glob: str) -> str:
    return glob.replace("*", r"\*")


def test_unmatched_pairs_without_paths_warn_too() -> None:
    with pytest.warns(UserWarning, match="ZPlus for kind SOFTMAX matches no site"):
        landed(score, Composite([(Kind.SOFTMAX, ZPlus())]))
    with pytest.warns(UserWarning, match=r"No site of this model has a path.*named_scope"):
        landed(lambda x: jnp.sum(x), Composite([("layer", ZPlus())]))


def test_a_warning_is_kept_when_a_preset_follows() -> None:
    with pytest.warns(UserWarning, match="'typo' matches no site"):
        landed(score, Composite([("typo", ZPlus())]) | rules.epsilon_plus())


def test_a_pair_that_is_always_overruled_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        landed(score, Composite([(AFFINE, ZPlus()), (Kind.DENSE, Gamma())]))


def test_what_is_no_composite_is_refused() -> None:
    for wrong in ("epsilon", [(AFFINE, ZPlus())], Epsilon, 0.25):
        with pytest.raises(TypeError, match=r"is neither a rule nor a composite"):
            jaxplain.lrp(score, wrong)
    for pair in ((AFFINE,), (AFFINE, ZPlus), AFFINE, (AFFINE, ZPlus(), 1)):
        with pytest.raises(TypeError, match="give pairs of a selector and a rule"):
            Composite([pair])
    with pytest.raises(TypeError, match="does not select sites"):
        Composite([(3, ZPlus())])
    with pytest.raises(ValueError, match="low must not exceed high"):
        rules.depth(3, 1)


def test_steps_without_a_rule_raise_all_at_once() -> None:
    def f(x: Any) -> Any:
        return jnp.sum(jax.lax.igamma(x, x[::-1])) + jnp.sum(jnp.abs(jnp.fft.fft(x)))

    x = jnp.array([1.0, 2.0, 3.0])
    with pytest.raises(
        NotImplementedError,
        match=r"(?s)2 step.*igamma.*test_composites\.py.*fft.*missing='gradient'",
    ):
        landed(f, None, x)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jax.lax.igamma(x, x[::-1]))))(x)
    through = jaxplain.lrp(lambda x: jnp.sum(jax.lax.igamma(x, x[::-1])), missing="gradient")
    ones = jaxplain.lrp(
        lambda x: jnp.sum(jax.lax.igamma(x, x[::-1])),
        Composite([(Kind.SUM, _Ones())]),
        missing="gradient",
    )
    assert np.all(np.isfinite(jax.jit(through)(x)))
    np.testing.assert_allclose(jax.jit(ones)(x), gradient, rtol=1e-12)


@dataclasses.dataclass(frozen=True)
class _Ones(Rule):
    """Hands relevance one to each input."""

    kinds = Kind.SUM

    def propagate(self, call: Any, relevances: Any) -> Propagated:
        return Propagated((jnp.ones_like(call.inputs[0]),))


# ---------------------------------------------------------------------------- as a pytree, as text


def test_composites_are_pytrees_of_their_numbers() -> None:
    composite = Composite([(rules.first(), Gamma(0.5, 0.1)), (AFFINE, ZPlus(0.2))])
    assert jax.tree.leaves(composite) == [0.5, 0.1, 0.2]
    doubled = jax.tree.map(lambda leaf: 2 * leaf, composite)
    found = jax.jit(lambda c: jaxplain.lrp(mlp, c)(jnp.arange(3.0)))(doubled)
    direct = Composite([(rules.first(), Gamma(1.0, 0.2)), (AFFINE, ZPlus(0.4))])
    np.testing.assert_allclose(
        found, jax.jit(jaxplain.lrp(mlp, direct))(jnp.arange(3.0)), rtol=1e-12
    )


def test_composites_and_selectors_print_what_they_are() -> None:
    composite = Composite([(rules.path("**/a") & ~rules.last(), Pass()), (Kind.DENSE, ZPlus(0.5))])
    assert repr(composite) == (
        "Composite([('**/a' and not last layers, Pass()), (kind DENSE, ZPlus(epsilon=0.5))])"
    )


def test_show_prints_a_table_that_closes() -> None:
    table = jax.jit(jaxplain.show(mlp, rules.epsilon_plus_flat()))(jnp.arange(3.0))
    lines = str(table).splitlines()
    columns = ["received", "distributed", "bias", "stabilizer", "rule"]
    assert lines[0].split() == ["site", "kind", "shape", "rule", *columns]
    assert lines[2].split()[1:4] == ["DENSE", "4", "Flat"]
    assert any(line.startswith("body/inner:dot_general") for line in lines)
    assert lines[-1].startswith("seed 192 = inputs 192 + absorbed")


def test_a_bare_rule_that_fits_nothing_warns() -> None:
    with pytest.warns(UserWarning, match="Uniform for kind MAX matches no site"):
        jaxplain.lrp(lambda x: jnp.sum(x), rules.Uniform())(jnp.ones(2))
