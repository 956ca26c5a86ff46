"""Every value that has a name: found, listed, replaced, changed, also inside of loops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

import jaxplain
import jaxplain.flax
from jaxplain.program._edit import shifted

from models import ZOO, recurrent

scope = jax.named_scope
RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 4)) / 2
X = RNG.normal(size=4)
ROWS = RNG.normal(size=(3, 4))
KEPT = np.array([[True, True, False], [True, False, True], [True, True, True]])

# ------------------------------------------------------- at every place of networks as they are


def from_zoo(name: str) -> tuple[Callable[[Any], Any], Any]:
    return next(model for model in ZOO if model.name == name).make(np.float64)


def from_nnx(create: Callable[..., nnx.Module], *shape: int) -> tuple[Callable[[Any], Any], Any]:
    model = jaxplain.flax.function(create(rngs=nnx.Rngs(0)))
    return model, np.random.default_rng(1).normal(size=shape).astype(np.float32)


NETWORKS: dict[str, Callable[[], tuple[Callable[[Any], Any], Any]]] = {
    "lenet": lambda: from_zoo("lenet"),
    "resnet_basic": lambda: from_zoo("resnet_basic"),
    "vit": lambda: from_zoo("vit"),
    "gpt_scanned": lambda: from_zoo("gpt_scanned"),
    "lstm": lambda: from_zoo("lstm"),
    "gru": lambda: from_nnx(recurrent.GRU, 6, 3),
}
KINDS = {  # how many places there are, of which kinds
    "lenet": {"value": 6, "in": 6},
    "resnet_basic": {"value": 16, "in": 16},
    "vit": {"value": 26, "in": 30, "attention": 2},
    "gpt_scanned": {"value": 15, "in": 17, "attention": 1},
    "lstm": {"value": 24, "in": 32},
    "gru": {"value": 4, "in": 5},
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETWORKS)
def test_top_of_bottom_is_the_function_at_every_place(name: str) -> None:
    """With the value that is there, `top` is `f`; with any other one, it is not."""
    f, x = NETWORKS[name]()
    listed = jaxplain.names(f)(x)
    assert kinds(listed) == KINDS[name]

    def at_all(x: Any) -> Any:
        y, values = jaxplain.capture(f, at=list(listed))(x)
        return y, {
            path: jax.vmap(jaxplain.replace(f, at=path), in_axes=(0, None))(
                jnp.stack([h, 1.1 * h + noise(i, h)]), x
            )
            for i, (path, h) in enumerate(values.items())
        }

    y, tops = jax.jit(at_all)(x)
    assert set(tops) == set(listed)
    rounding = 100 * np.finfo(y.dtype).eps * np.max(np.abs(y))
    for path, (same, changed) in tops.items():
        np.testing.assert_allclose(same, y, atol=rounding, rtol=0, err_msg=path)
        assert np.max(np.abs(changed - y)) > 100 * rounding, path


def kinds(paths: Any) -> dict[str, int]:
    """How many paths of each kind."""
    found: dict[str, int] = {}
    for path in paths:
        kind = path.partition(":")[2].rstrip("0123456789") or "value"
        found[kind] = found.get(kind, 0) + 1
    return found


def noise(number: int, like: Any) -> Any:
    return jax.random.normal(jax.random.key(number), like.shape, like.dtype) / 10


@pytest.mark.parametrize("name", ["lstm", "gpt_scanned"])
def test_values_of_loops_are_those_of_the_unrolled_twin(name: str) -> None:
    """The same weights without a scan: what was a step is a module of its own."""
    f, x = from_zoo(name)
    twin, pairs = {
        "lstm": (
            "lstm_unrolled",
            [
                (f"LSTM/RNN_1/cell_1.scan_fn/cell_1/{name}", f"LSTM/cell_1/{name}", 5)
                for name in ("ii", "hf", "ho")
            ],
        ),
        "gpt_scanned": (
            "gpt",
            [(f"GPT/blocks{what}", f"GPT/block_*{what}", 2) for what in ("", "/attention", ":in")],
        ),
    }[name]
    unrolled, _ = from_zoo(twin)

    def both(x: Any) -> Any:
        loops = jaxplain.cut(f, at=[loop for loop, _, _ in pairs])[0](x)
        return loops, [jaxplain.cut(unrolled, at=[glob])[0](x) for _, glob, _ in pairs]

    loops, calls = jax.jit(both)(x)
    for (loop, _, length), steps in zip(pairs, calls, strict=True):
        assert len(steps) == length
        np.testing.assert_allclose(loops[loop], np.stack(list(steps.values())), rtol=1e-10)


# ------------------------------------------------------------------------------------ the listing


def nested(x: Any) -> Any:
    """A scope around two others, one of them in a loop; then a head."""
    with scope("body"):
        with scope("first"):
            h = jnp.tanh(W @ x)

        def step(h: Any, _: Any) -> Any:
            with scope("cell"):
                h = jnp.tanh(W @ h)
            return h, None

        h, _ = jax.lax.scan(step, h, None, length=3)
    with scope("head"):
        return jnp.sum(h**2)


def test_names_stand_in_the_order_of_computation() -> None:
    listed = jaxplain.names(nested)(X)
    assert list(listed) == [
        *("body:in", "body/first:in", "body/first"),
        *("body", "body/cell:in", "body/cell"),
        *("head:in", "head"),
    ]
    assert len(listed) == 8
    assert "body/cell" in listed
    assert listed["body/cell"].shape == (3, 4)
    assert listed.loops["body/cell"] == (3,)
    assert listed["head"].shape == listed.loops["head"] == ()


def test_names_print_as_a_tree() -> None:
    assert str(jaxplain.names(nested)(X)).splitlines() == [
        "name     value                    comes in (:in)",
        "-------  -----------------------  -----------------------",
        "body     float64[4]               float64[4]",
        "  first  float64[4]               float64[4]",
        "  cell   float64[3,4] in 3 steps  float64[3,4] in 3 steps",
        "head     float64[]                float64[4]",
    ]
    assert str(jaxplain.names(jnp.sum)(X)) == "no names"


def test_names_of_a_part() -> None:
    assert list(jaxplain.names(nested, at="body/*")(X)) == [
        *("body/first:in", "body/first", "body/cell:in", "body/cell")
    ]
    with pytest.raises(TypeError, match="at=3 must be a glob"):
        jaxplain.names(nested, at=3)  # type: ignore[arg-type]


def test_names_from_shapes_alone() -> None:
    """Of all arguments, of which some are what they are: a flag, a width."""

    def f(x: Any, params: Any, width: int, *, flag: bool) -> Any:
        with scope("dense"):
            h = x["a"] @ params["w"]
        return h[:width] if flag else h

    shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    listed = jaxplain.names(f)({"a": shape((4,))}, {"w": shape((4, 3))}, 2, flag=True)
    assert list(listed) == ["dense", "dense:in"]  # the weights do not come in: they are there
    assert (listed["dense"].shape, listed["dense"].dtype) == ((3,), np.float32)


def test_names_are_those_that_can_be_cut() -> None:
    """Also those in a function with a derivative of its own, which is opened only for them."""

    @jax.custom_vjp
    def sine(x: Any) -> Any:
        with scope("inner"):
            return jnp.sin(x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, g: (7 * g * jnp.cos(x),))

    def f(x: Any) -> Any:
        with scope("outer"):
            return sine(2 * x).sum()

    assert list(jaxplain.names(f)(X)) == ["outer:in", "outer", "outer/inner", "outer/inner:in"]
    np.testing.assert_allclose(jaxplain.cut(f, at="**/inner")[0](X), np.sin(2 * X))
    _, top = jaxplain.cut(f, at="outer/inner:in")
    np.testing.assert_allclose(jax.grad(top)(X, X), np.cos(X))
    # Nothing inside is asked for: the derivative stays its author's.
    assert float(jax.grad(jaxplain.cut(f, at="outer")[0])(X)[0]) == 14 * np.cos(2 * X[0])


def test_loops_of_one_name_are_numbered() -> None:
    def f(x: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            with scope("cell"):
                return jnp.tanh(h + row), None

        with scope("body"):
            x, _ = jax.lax.scan(step, x, jnp.ones((3, 4)))
            x, _ = jax.lax.scan(step, x, jnp.ones((2, 4)))
        return x

    listed = jaxplain.names(f)(X)
    assert [path for path in listed if "cell" in path] == [
        *("body/cell#0:in", "body/cell#0", "body/cell#1:in", "body/cell#1")
    ]
    assert str(listed).splitlines()[3] == "  cell#0  float64[3,4] in 3 steps  " + (
        "float64[3,4] in 3 steps"
    )
    values = jax.jit(jaxplain.cut(f, at=["**/cell", "**/cell:in"])[0])(X)
    np.testing.assert_array_equal(values["body/cell#0"][-1], values["body/cell#1:in"][0])
    with pytest.raises(ValueError, match="2 values: 'body/cell#0', 'body/cell#1'"):
        jaxplain.cut(f, at="**/cell")[0](X)


# -------------------------------------------------------------------- what comes into a module


def residual(x: Any) -> Any:
    h = jnp.sin(x)
    with scope("branch"):
        y = jnp.tanh(W @ h)
    return jnp.sum((h + y) * h)


def test_an_input_is_replaced_for_its_module_alone() -> None:
    bottom, top = jaxplain.cut(residual, at="branch:in")
    np.testing.assert_allclose(bottom(X), np.sin(X), rtol=1e-14)
    new = np.arange(4.0)
    expected = np.sum((np.sin(X) + np.tanh(W @ new)) * np.sin(X))
    np.testing.assert_allclose(top(new, X), expected, rtol=1e-12)
    np.testing.assert_allclose(
        jaxplain.edit(residual, lambda h: h - h + new, at="branch:in")(X), expected, rtol=1e-12
    )


def test_an_input_and_the_value_that_it_is() -> None:
    """A change of the value is seen by the module, and then that of its input."""

    def f(x: Any) -> Any:
        with scope("below"):
            h = 2 * x
        with scope("above"):
            y = 3 * h
        return y + h

    at = ["below", "above:in"]
    changed = jaxplain.edit(f, lambda h: h + 1, at=at)
    np.testing.assert_allclose(changed(X), 3 * (2 * X + 2) + (2 * X + 1))
    _, values = shifted(f, at=at)(dict.fromkeys(at, np.ones(4)), X)
    np.testing.assert_allclose(values["below"], 2 * X + 1)
    np.testing.assert_allclose(values["above:in"], 2 * X + 2)


def test_several_inputs_are_numbered_as_they_are_read() -> None:
    def f(x: Any) -> Any:
        a, b = jnp.sin(x), jnp.cos(x)
        with scope("pair"):
            y = b * 3 + a + jnp.ones(4)  # the ones depend on nothing: they do not come in
        return y * a

    bottom, top = jaxplain.cut(f, at=["pair:in*"])
    values = bottom(X)
    np.testing.assert_allclose(values["pair:in0"], np.cos(X))
    np.testing.assert_allclose(values["pair:in1"], np.sin(X))
    found = top({"pair:in0": X, "pair:in1": 2 * X}, X)
    np.testing.assert_allclose(found, (3 * X + 2 * X + 1) * np.sin(X))


# -------------------------------------------------------------------------------- attention weights


def weights_of(x: Any) -> Any:
    return x @ x.T


def softmax(logits: Any) -> Any:
    return jax.nn.softmax(logits, axis=-1)


def by_hand(logits: Any) -> Any:
    shares = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True)))
    return shares / jnp.sum(shares, axis=-1, keepdims=True)


def causal(logits: Any) -> Any:
    return softmax(jnp.where(jnp.tril(jnp.ones((3, 3), bool)), logits, -jnp.inf))


def dropped(logits: Any) -> Any:
    """A mask behind the softmax, which scales what it leaves."""
    return jnp.where(KEPT, softmax(logits) / 0.7, 0.0)


def cast(logits: Any) -> Any:
    return softmax(logits.astype(jnp.float32)).astype(jnp.float64)


@pytest.mark.parametrize("shares", [softmax, by_hand, causal, dropped, cast])
def test_attention_weights_are_found(shares: Callable[[Any], Any]) -> None:
    def f(x: Any) -> Any:
        with scope("attn"):
            mixed = shares(weights_of(x)) @ (2 * x)
        return jnp.sum(mixed)

    bottom, top = jaxplain.cut(f, at="attn:attention")
    found = bottom(ROWS)
    np.testing.assert_allclose(np.sum(found, axis=-1), np.ones(3), rtol=1e-6)
    np.testing.assert_allclose(top(found, ROWS), f(ROWS), rtol=1e-6)
    none = np.zeros((3, 3), found.dtype)
    np.testing.assert_allclose(top(none, ROWS), 0, atol=1e-12)


def test_attention_is_no_other_softmax() -> None:
    """Not a gate, not the classes' at the end, not one that weighs constants."""

    def f(x: Any) -> Any:
        with scope("gate"):
            x = x * softmax(x @ W)
        with scope("mixture"):
            x = softmax(x @ W) @ W
        with scope("classes"):
            return softmax(jnp.mean(x, axis=0) @ W)

    assert not [path for path in jaxplain.names(f)(ROWS) if "attention" in path]


def test_several_attentions_of_one_scope_are_numbered() -> None:
    def f(x: Any) -> Any:
        with scope("m"):
            y = softmax(weights_of(x)) @ x
            return jnp.sum(softmax(weights_of(y)) @ y)

    values = jaxplain.cut(f, at=["m:attention"])[0](ROWS)
    assert list(values) == ["m:attention#0", "m:attention#1"]
    np.testing.assert_allclose(values["m:attention#0"], softmax(weights_of(ROWS)), rtol=1e-12)
    with pytest.raises(ValueError, match="2 values: 'm:attention#0', 'm:attention#1'"):
        jaxplain.cut(f, at="m:attention")[0](ROWS)


def test_attention_outside_of_all_scopes() -> None:
    def f(x: Any) -> Any:
        return jnp.sum(softmax(weights_of(x)) @ x)

    for at in (":attention", "**:attention"):
        found = jaxplain.cut(f, at=at)[0](ROWS)
        np.testing.assert_allclose(found, softmax(weights_of(ROWS)), rtol=1e-12)


@pytest.mark.parametrize("dropout", [False, True])
def test_attention_of_flax(dropout: bool) -> None:
    """It is what linen sows; dropout acts behind it."""
    module = nn.MultiHeadDotProductAttention(
        num_heads=2, dropout_rate=0.5, deterministic=not dropout, param_dtype=jnp.float64
    )
    mask = nn.make_causal_mask(jnp.ones((1, 3)), dtype=bool)
    variables = jax.jit(functools.partial(module.copy(deterministic=True).init, mask=mask))(
        jax.random.key(0), ROWS[None]
    )
    rngs = {"dropout": jax.random.key(1)}

    def f(x: Any) -> Any:
        return module.apply(variables, x[None], mask=mask, rngs=rngs).sum()

    bottom, top = jaxplain.cut(f, at="**:attention")
    found = jax.jit(bottom)(ROWS)
    without = module.copy(deterministic=True)
    _, sown = without.apply(
        variables, ROWS[None], mask=mask, sow_weights=True, mutable=["intermediates"]
    )
    np.testing.assert_allclose(found, sown["intermediates"]["attention_weights"][0], rtol=1e-10)
    np.testing.assert_allclose(jax.jit(top)(found, ROWS), jax.jit(f)(ROWS), rtol=1e-10)


@pytest.mark.parametrize("name", ["gpt", "gpt_fused", "gpt_scanned", "bert", "t5", "llama"])
def test_attention_of_the_zoo(name: str) -> None:
    """Two blocks each: shares of the positions, none of what comes later or of what is padding."""
    f, x = from_zoo(name)
    found = jax.jit(jaxplain.cut(f, at=["**:attention"])[0])(x)
    stacked = np.concatenate(
        [np.reshape(value, (-1, len(x), len(x))) for value in found.values()], dtype=np.float64
    )
    heads = 4 if name == "llama" else 2
    assert stacked.shape == (2 * heads, len(x), len(x))
    np.testing.assert_allclose(stacked.sum(axis=-1), np.ones(stacked.shape[:2]), rtol=1e-6)
    if name.startswith(("gpt", "llama")):
        np.testing.assert_array_equal(np.triu(stacked, 1), np.zeros_like(stacked))
    if name == "bert":
        assert np.max(stacked[..., -2:]) == 0


# ---------------------------------------------------------------------------------- inside of loops


def recurrent_net(rows: Any, reverse: bool = False) -> Any:
    """A cell whose value is carried, and a name for what is stacked."""

    def step(h: Any, row: Any) -> Any:
        with scope("cell"):
            h = jnp.tanh(W @ h + row)
        return h, checkpoint_name(2 * h, "seen")

    h, seen = jax.lax.scan(step, jnp.ones(4) / 2, rows, reverse=reverse)
    return jnp.sum(h**2) + jnp.sum(jnp.sin(seen))


def states(rows: np.ndarray, reverse: bool, changes: dict[int, np.ndarray] | None = None) -> Any:
    """The states of each step by hand, and the output; some states may be given."""
    h, found = np.ones(4) / 2, np.zeros((len(rows), 4))
    for k in range(len(rows))[:: -1 if reverse else 1]:
        h = np.tanh(W @ h + rows[k])
        h = (changes or {}).get(k, h)
        found[k] = h
    return found, np.sum(h**2) + np.sum(np.sin(2 * found))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("step", [None, 0, 1, -1])
def test_cells_of_a_scan(step: int | None, reverse: bool) -> None:
    """All steps stacked, in the order of the rows; or one of them."""
    f = functools.partial(recurrent_net, reverse=reverse)
    at = "cell" if step is None else f"cell[{step}]"
    bottom, top = (jax.jit(part) for part in jaxplain.cut(f, at=at))
    expected, _ = states(ROWS, reverse)
    which = slice(None) if step is None else step
    np.testing.assert_allclose(bottom(ROWS), expected[which], rtol=1e-12)
    new = np.random.default_rng(3).normal(size=np.shape(expected[which]))
    changes = dict(enumerate(new)) if step is None else {step % 3: new}
    np.testing.assert_allclose(top(new, ROWS), states(ROWS, reverse, changes)[1], rtol=1e-12)


def test_the_input_of_a_step_is_replaced_for_that_step_alone() -> None:
    _, top = jaxplain.cut(recurrent_net, at="cell:in1[1]")  # W @ h reads the state first
    assert jaxplain.names(recurrent_net)(ROWS)["cell:in1"].shape == (3, 4)
    rows = ROWS.copy()
    rows[1] = X
    np.testing.assert_allclose(jax.jit(top)(X, ROWS), states(rows, False)[1], rtol=1e-12)


def test_names_given_in_a_loop() -> None:
    """`seen` is what is stacked; its replacement leaves the states as they are."""
    bottom, top = jaxplain.cut(recurrent_net, at="seen")
    found = bottom(ROWS)
    np.testing.assert_allclose(found, 2 * states(ROWS, False)[0], rtol=1e-12)
    last = states(ROWS, False)[0][-1]
    np.testing.assert_allclose(top(0 * found, ROWS), np.sum(last**2), rtol=1e-12)


def grid(x: Any) -> Any:
    """A loop in a loop; the inner one runs backwards, and its state is thrown away."""

    def outer(h: Any, _: Any) -> Any:
        def inner(g: Any, k: Any) -> Any:
            with scope("cell"):
                g = jnp.sin(g + k.astype(g.dtype))
            return g, None

        with scope("row"):
            g, _ = jax.lax.scan(inner, 2 * h, jnp.arange(3), reverse=True)
        return h + 1, g

    return jnp.sum(jax.lax.scan(outer, x, None, length=2)[1] ** 2)


def test_loops_in_loops() -> None:
    listed = jaxplain.names(grid)(X)
    assert (listed["row/cell"].shape, listed.loops["row/cell"]) == ((2, 3, 4), (2, 3))
    assert (listed["row"].shape, listed.loops["row"]) == ((2, 4), (2,))
    expected = np.zeros((2, 3, 4))
    for i in range(2):
        g = 2 * (X + i)
        for k in (2, 1, 0):
            expected[i, k] = g = np.sin(g + k)
    np.testing.assert_allclose(jaxplain.cut(grid, at="row/cell")[0](X), expected, rtol=1e-12)
    for step in ("[1,2]", "[-1, -1]"):
        bottom, top = jaxplain.cut(grid, at="row/cell" + step)
        np.testing.assert_allclose(bottom(X), expected[1, 2], rtol=1e-12)
    found = top(X, X)  # of step 2, the first to be computed
    g = np.sin(np.sin(X + 1) + 0)
    np.testing.assert_allclose(found, np.sum(expected[0, 0] ** 2) + np.sum(g**2), rtol=1e-12)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("cell[3]", r"'cell' is computed in loops of 3 steps, so it has no step \[3\]"),
        ("cell[-4]", r"no step \[-4\]"),
        ("cell[0,0]", r"'cell' is computed in loops of 3 steps, so it has no step \[0, 0\]"),
        ("out[0]", r"'out' is computed in no loop, so it has no step \[0\]"),
        ("cel[0]", r"No value is named 'cel\[0\]'. Nearest names: 'cell'"),
    ],
)
def test_steps_that_are_not_there(at: str, message: str) -> None:
    def f(rows: Any) -> Any:
        with scope("out"):
            return recurrent_net(rows) * 2

    def bare(rows: Any) -> Any:
        y = recurrent_net(rows)
        with scope("out"):
            return y * 2

    assert "out/cell" in jaxplain.names(f)(ROWS)
    with pytest.raises(ValueError, match=message):
        jaxplain.cut(bare, at=at)[0](ROWS)


def test_a_loop_without_steps() -> None:
    def f(x: Any) -> Any:
        def step(h: Any, _: Any) -> Any:
            with scope("cell"):
                return jnp.tanh(h), None

        return jax.lax.scan(step, x, None, length=0)[0]

    bottom, top = jaxplain.cut(f, at="cell")
    assert bottom(X).shape == (0, 4)
    np.testing.assert_array_equal(top(bottom(X), X), X)


@pytest.mark.parametrize("at", ["yes", "yes:in", "**/yes"])
def test_a_branch_is_no_place(at: str) -> None:
    def f(x: Any) -> Any:
        def yes(x: Any) -> Any:
            with scope("yes"):
                return jnp.sin(x)

        return jax.lax.cond(jnp.sum(x) > 0, yes, lambda x: x, x)

    def looped(x: Any) -> Any:
        return jax.lax.scan(lambda h, _: (f(h), None), x, None, length=2)[0]

    for function in (f, looped):
        with pytest.raises(ValueError, match="inside the branch at .*test_places.py.* only if"):
            jaxplain.cut(function, at=at)[0](X)


@pytest.mark.parametrize("at", ["half", "half:in"])
def test_a_loop_of_unknown_length_is_no_place(at: str) -> None:
    def f(x: Any) -> Any:
        def halve(h: Any) -> Any:
            with scope("half"):
                return h / 2

        return jax.lax.while_loop(lambda h: jnp.sum(h**2) > 1, halve, x)

    with pytest.raises(ValueError, match="inside the while loop at .*test_places.py.*lax.scan"):
        jaxplain.cut(f, at=at)[0](X)


# -------------------------------------------------------------------------- transforms around it


def transformed(x: Any) -> Any:
    """A named value inside of vmap, inside of jit, inside of checkpoint, inside of a loop."""

    def inner(row: Any) -> Any:
        with scope("deep"):
            return jnp.tanh(row @ W)

    @jax.checkpoint
    def step(rows: Any, _: Any) -> Any:
        return jax.jit(jax.vmap(inner))(rows), None

    return jnp.sum(jax.lax.scan(step, x, None, length=2)[0] ** 2)


def test_a_place_below_vmap_jit_checkpoint_and_scan() -> None:
    bottom, top = jaxplain.cut(transformed, at="deep")
    first = np.tanh(ROWS @ W)
    expected = np.stack([first, np.tanh(first @ W)])
    found = jax.jit(bottom)(ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(top)(found, ROWS), transformed(ROWS), rtol=1e-12)


@pytest.mark.parametrize("at", ["deep", "deep[0]", "deep[1]", "deep:in"])
def test_derivatives_through_a_cut(at: str) -> None:
    """By way of the value and around it they make up the function's own, in reverse and forward."""
    bottom, top = jaxplain.cut(transformed, at=at)

    def composed(x: Any) -> Any:
        return top(bottom(x), x)

    expected = jax.jit(jax.grad(transformed))(ROWS)
    for derivative in (jax.grad, jax.jacfwd):
        np.testing.assert_allclose(jax.jit(derivative(composed))(ROWS), expected, rtol=1e-10)
    if at == "deep[1]":  # nothing goes around the last step
        assert not np.any(jax.jit(jax.grad(top, argnums=1))(bottom(ROWS), ROWS))


def test_vmap_of_a_cut_is_a_loop_over_examples() -> None:
    bottom, top = jaxplain.cut(recurrent_net, at=["cell[1]", "cell:in*"])
    batch = np.stack([ROWS, 2 * ROWS])
    values = jax.jit(jax.vmap(bottom))(batch)
    outputs = jax.jit(jax.vmap(top))(values, batch)
    for i, rows in enumerate(batch):
        one = jax.jit(bottom)(rows)
        assert set(one) == {"cell[1]", "cell:in0", "cell:in1"}
        for path, value in one.items():
            np.testing.assert_allclose(values[path][i], value, rtol=1e-12)
        np.testing.assert_allclose(outputs[i], recurrent_net(rows), rtol=1e-12)


# ---------------------------------------------------------------------------- lists, and capture


def test_a_list_of_paths_is_a_dictionary() -> None:
    bottom, top = jaxplain.cut(nested, at=["body/first", "**/cell[-1]"])
    values = bottom(X)
    assert list(values) == ["body/first", "body/cell[-1]"]
    np.testing.assert_allclose(top(values, X), nested(X), rtol=1e-12)
    values["body/cell[-1]"] = 2 * X
    np.testing.assert_allclose(top(values, X), np.sum(4 * X**2), rtol=1e-12)
    assert list(jaxplain.cut(nested, at=["head"])[0](X)) == ["head"]


@pytest.mark.parametrize("given", [X, {"body/first": X}, {"body/first": X, "body/cel": X}])
def test_a_list_asks_for_a_dictionary(given: Any) -> None:
    with pytest.raises(ValueError, match="must be a dictionary with a value for each"):
        jaxplain.replace(nested, at=["body/first", "body/cell"])(given, X)


def test_each_path_of_a_list_must_fit() -> None:
    with pytest.raises(ValueError, match="No value is named 'haed'. Nearest names: 'head'"):
        jaxplain.cut(nested, at=["body", "haed"])[0](X)


@pytest.mark.parametrize("at", [[], 3, None, ["head", 3]])
def test_what_is_no_path(at: Any) -> None:
    with pytest.raises(TypeError, match="must be the path of a value.*jaxplain.names"):
        jaxplain.cut(nested, at=at)


def test_near_misses_are_of_the_same_kind() -> None:
    with pytest.raises(ValueError, match="Nearest names: 'head:in'"):
        jaxplain.cut(nested, at="haed:in")[0](X)


def test_everything_is_the_results_of_scopes() -> None:
    """What comes in and attention weights have to be asked for."""
    _, values = jax.jit(jaxplain.capture(nested, at="**"))(X)
    assert set(values) == {"body", "body/first", "body/cell", "head"}
    _, values = jax.jit(jaxplain.capture(nested, at=["**:in", "**/cell"]))(X)
    assert set(values) == {"body:in", "body/first:in", "body/cell:in", "head:in", "body/cell"}
    f, x = from_zoo("gpt_scanned")
    assert not [p for p in jax.eval_shape(jaxplain.capture(f, at="**"), x)[1] if ":" in p]


def test_replacements_are_like_what_is_there() -> None:
    with pytest.raises(ValueError, match=r"'body/cell' is h: float64\[3,4\].*float64\[4\]"):
        jaxplain.replace(nested, at="**/cell")(X, X)
    with pytest.raises(ValueError, match=r"'head:in' is h: float64\[4\].*float32\[4\]"):
        jaxplain.replace(nested, at="head:in")(X.astype(np.float32), X)


def test_cutting_what_was_cut() -> None:
    """The parts of a cut have names again."""
    _, top = jaxplain.cut(nested, at="body/first")
    again, _ = jaxplain.cut(lambda h: top(h, X), at="body/cell[0]")
    np.testing.assert_allclose(jax.jit(again)(X), np.tanh(W @ X), rtol=1e-12)


# ------------------------------------------------------------------------------------------- edits


def test_an_edit_in_a_loop_is_of_every_step() -> None:
    changed = jaxplain.edit(recurrent_net, lambda h: 0.5 * h, at="cell")
    h, total = np.ones(4) / 2, 0.0
    for row in ROWS:
        h = 0.5 * np.tanh(W @ h + row)
        total += np.sum(np.sin(2 * h))
    np.testing.assert_allclose(jax.jit(changed)(ROWS), np.sum(h**2) + total, rtol=1e-12)


def test_an_edit_of_one_step() -> None:
    changed = jaxplain.edit(recurrent_net, lambda h: 0 * h, at="cell[-2]")
    expected = states(ROWS, False, {1: np.zeros(4)})[1]
    np.testing.assert_allclose(jax.jit(changed)(ROWS), expected, rtol=1e-12)


def test_an_edit_that_is_singular_at_another_step() -> None:
    """A root whose derivative is infinite at step 0, where it is not taken."""

    def f(rows: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            with scope("sum"):
                h = h + row
            return h, None

        return jax.lax.scan(step, jnp.zeros(()), rows)[0]

    changed = jax.jit(jaxplain.edit(f, jnp.sqrt, at="sum[1]"))
    rows = np.array([0.0, 4.0, 1.0])
    assert float(changed(rows)) == 3
    np.testing.assert_allclose(jax.jit(jax.grad(changed))(rows), [1 / 4, 1 / 4, 1])


def test_a_value_with_two_names_is_changed_once() -> None:
    def f(x: Any) -> Any:
        with scope("outer"), scope("inner"):
            h = 2 * x
        return h

    changed = jaxplain.edit(f, lambda h: 10 * h, at="**")
    np.testing.assert_allclose(changed(X), 20 * X)
    np.testing.assert_allclose(jaxplain.edit(f, lambda h: 10 * h, at=["**", "**:in"])(X), 200 * X)


def test_methods_see_an_edit() -> None:
    changed = jaxplain.edit(residual, lambda h: h.at[0].set(0), at="branch")
    slope = np.cos(X) * (2 * np.sin(X) + np.tanh(W @ np.sin(X)) * (np.arange(4) > 0))
    weighted = (1 - np.tanh(W @ np.sin(X)) ** 2) * np.sin(X) * (np.arange(4) > 0)
    slope += np.cos(X) * (W.T @ weighted)
    np.testing.assert_allclose(jax.jit(jax.grad(changed))(X), slope, rtol=1e-10)


def test_an_edit_keeps_shape_and_dtype() -> None:
    with pytest.raises(ValueError, match=r"float64\[4\], but change made it h: float64\[\]"):
        jaxplain.edit(residual, jnp.sum, at="branch")(X)
    with pytest.raises(ValueError, match="No value is named 'brnch'"):
        jaxplain.edit(residual, jnp.sin, at="brnch")(X)


# ------------------------------------------------------------------------ shifts: total derivatives


@pytest.mark.parametrize("at", [["cell"], ["cell[0]", "cell[2]"], ["cell:in0", "seen"]])
def test_shifts_give_total_derivatives(at: list[str]) -> None:
    """As finite differences do: what comes later depends on what was shifted before."""
    shift = shifted(recurrent_net, at=at)
    zeros = {
        path: 0 * np.asarray(h) for path, h in jaxplain.cut(recurrent_net, at=at)[0](ROWS).items()
    }
    output = jax.jit(lambda shifts: shift(shifts, ROWS)[0])
    np.testing.assert_allclose(output(zeros), recurrent_net(ROWS), rtol=1e-14)
    slopes = jax.jit(jax.grad(output))(zeros)
    for path, zero in zeros.items():
        for place in np.ndindex(zero.shape):
            step = np.zeros_like(zero)
            step[place] = 1e-5
            ends = [output({**zeros, path: sign * step}) for sign in (1, -1)]
            np.testing.assert_allclose(slopes[path][place], (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


def test_shifts_return_the_shifted_values() -> None:
    _, values = shifted(nested, at=["body/first", "head"])(
        {"body/first": np.ones(4), "head": np.ones(())}, X
    )
    np.testing.assert_allclose(values["body/first"], np.tanh(W @ X) + 1, rtol=1e-12)
    direct = jaxplain.replace(nested, at="body/first")(values["body/first"], X)
    np.testing.assert_allclose(values["head"], direct + 1, rtol=1e-12)


def two_names(x: Any) -> Any:
    with jax.named_scope("outer"), jax.named_scope("inner"):
        h = 2 * x
    return jnp.sum(h**2)


def test_a_value_with_two_names_is_cut_once() -> None:
    """Otherwise one of two replacements would be lost without a word."""
    bottom, top = jaxplain.cut(two_names, at=["**"])
    h = jax.jit(bottom)(jnp.ones(2))
    assert list(h) == ["outer"]
    np.testing.assert_allclose(jax.jit(jax.grad(top))(h, jnp.ones(2))["outer"], [4, 4])


def test_names_that_overlap_are_not_cut_together() -> None:
    def f(x: Any) -> Any:
        with jax.named_scope("before"):
            h = 2 * x
        with jax.named_scope("after"):
            y = jnp.tanh(h)
        return jnp.sum(y + h)

    with pytest.raises(ValueError, match="'before' and 'after:in' are one value"):
        jaxplain.cut(f, at=["before", "after:in"])[0](jnp.ones(2))


def test_an_edited_value_keeps_its_name() -> None:
    edited = jaxplain.edit(two_names, lambda h: 10 * h, at="outer/inner")
    for at in ("outer", "outer/inner"):
        np.testing.assert_allclose(jax.jit(jaxplain.cut(edited, at=at)[0])(jnp.ones(2)), [20, 20])
