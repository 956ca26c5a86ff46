"""Side by side with Captum inside the network: its layer and neuron methods.

What is the same is compared to rounding. What is not:

- LayerConductance takes the gradient at the left end of each interval, and by default nodes that
  leave out both ends of the path: 0.1% of the sum with 50 steps, 1% with 15.
- NeuronConductance's default weights of the trapezoid are (n - 1)/n of the right ones.
- LayerDeepLift moves what goes around the layer to the baseline as well, in the multipliers of the
  steps above. Here it stays as it is at the input. They agree where nothing goes around.
- LayerGradientShap mixes at the input, takes the gradient at the layer there, and multiplies it by
  the difference at the layer: a sample of internal influence. `layer(expected_grad)` mixes at the
  layer. Its samples are Captum's own, too: it is not compared.
- A module that is called twice has one name: Captum's hooks see its last call only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.attr", reason=REASON)
captum_rules = pytest.importorskip("captum.attr._utils.lrp_rules", reason=REASON)

import jaxplain  # noqa: E402
from jaxplain import (  # noqa: E402
    ablation,
    conductance,
    cut,
    grad_cam,
    internal_influence,
    layer,
    neuron,
    neuron_conductance,
)

scope = jax.named_scope
STEPS = 12


class Twin(NamedTuple):
    """One network twice, with the same names of its layers."""

    score: Callable[[Any], Any]  # of one example, in JAX
    module: Any  # of a batch, in PyTorch
    x: np.ndarray
    baseline: np.ndarray
    unit: dict[str, tuple[int, ...]]  # of each layer a unit, in PyTorch's order

    def to_torch(self, example: np.ndarray) -> Any:
        axes = (2, 0, 1) if example.ndim == 3 else range(example.ndim)
        return torch.tensor(np.transpose(example, tuple(axes)))[None].requires_grad_()

    @property
    def pictures(self) -> bool:
        return self.x.ndim == 3

    def from_torch(self, batch: Any) -> np.ndarray:
        """Of the input."""
        array = batch.detach().numpy()[0]
        return np.transpose(array, (1, 2, 0)) if self.pictures else array

    def of_layer(self, batch: Any) -> np.ndarray:
        """Of a layer; those of pictures have an axis of one example in JAX too."""
        array = batch.detach().numpy()
        return np.transpose(array, (0, 2, 3, 1)) if self.pictures else array[0]

    def index(self, at: str) -> tuple[int, ...]:
        """The unit in JAX's order."""
        unit = self.unit[at]
        return (0, *unit[1:], unit[0]) if self.pictures else unit


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, *shape))


def weights_of(module: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


# ---------------------------------------------------------------------------------- three networks


class Chain(torch.nn.Sequential):
    """Modules by name, one after the other.

    Captum's hooks of a ReLU and of a max pooling right behind it would meet, and its LRP has no
    rule for a module that flattens: hence a copy, and a flattening that is no module.
    """

    def __init__(self, **steps: Any) -> None:
        super().__init__()
        for name, step in steps.items():
            self.add_module(name, step)

    def forward(self, x: Any) -> Any:
        for name, step in self.named_children():
            x = x.clone() if name == "pool" else x
            x = step(x.flatten(1) if name == "last" else x)
        return x


def mlp() -> Twin:
    nn = torch.nn
    module = Chain(
        first=nn.Linear(6, 7), tanh=nn.Tanh(), second=nn.Linear(7, 8), relu=nn.ReLU(),
        last=nn.Linear(8, 1),
    ).double()  # fmt: skip
    w = weights_of(module)

    def score(x: Any) -> Any:
        for name, activation in (("first", jnp.tanh), ("second", jax.nn.relu)):
            with scope(name):
                x = w[f"{name}.weight"] @ x + w[f"{name}.bias"]
            x = activation(x)
        return (w["last.weight"] @ x + w["last.bias"])[0]

    return Twin(score, module, *draw(6), {"first": (2,), "second": (5,)})


def cnn() -> Twin:
    nn = torch.nn
    module = Chain(
        conv1=nn.Conv2d(3, 4, 3, padding=1), relu1=nn.ReLU(), pool=nn.MaxPool2d(2),
        conv2=nn.Conv2d(4, 3, 3), relu2=nn.ReLU(), last=nn.Linear(12, 1),
    ).double()  # fmt: skip
    w = weights_of(module)

    def convolve(x: Any, name: str, padding: str) -> Any:
        layout = ("NHWC", "OIHW", "NHWC")
        with scope(name):
            x = jax.lax.conv_general_dilated(
                x, w[f"{name}.weight"], (1, 1), padding, dimension_numbers=layout
            )
            return x + w[f"{name}.bias"][None, None, None]

    def score(x: Any) -> Any:
        x = jax.nn.relu(convolve(x[None], "conv1", "SAME"))
        with scope("pool"):
            size = (1, 2, 2, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, size, size, "VALID")
        x = jax.nn.relu(convolve(x, "conv2", "VALID"))[0].transpose(2, 0, 1).ravel()
        return (w["last.weight"] @ x + w["last.bias"])[0]

    units = {"conv1": (1, 3, 4), "pool": (2, 0, 3), "conv2": (1, 0, 1)}
    return Twin(score, module, *draw(8, 8, 3), units)


class TorchBlock(torch.nn.Module):
    """Attention, then an MLP, both beside a residual; read out from the mean of the tokens."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        nn = torch.nn
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.shares, self.mixed = nn.Softmax(dim=-1), nn.Identity()
        self.inner, self.relu, self.outer = nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, width)
        self.tanh, self.last = nn.Tanh(), nn.Linear(width, 1)

    def forward(self, x: Any) -> Any:
        shares = self.shares(self.queries(x) @ self.keys(x).transpose(1, 2))
        x = self.mixed(x + shares @ self.values(x))
        x = x + self.outer(self.relu(self.inner(x)))
        return self.last(self.tanh(x.mean(1)))


def block() -> Twin:
    module = TorchBlock().double()
    w = weights_of(module)

    def dense(x: Any, name: str) -> Any:
        with scope(name):
            return x @ w[f"{name}.weight"].T + w[f"{name}.bias"][None]

    def score(x: Any) -> Any:
        queries, keys, values = (dense(x, name) for name in ("queries", "keys", "values"))
        with scope("shares"):
            shares = jax.nn.softmax(queries @ keys.T, axis=-1)
        mixed = shares @ values
        with scope("mixed"):
            x = x + mixed
        x = x + dense(jax.nn.relu(dense(x, "inner")), "outer")
        return dense(jnp.tanh(jnp.mean(x, axis=0))[None], "last")[0, 0]

    units = {"keys": (1, 2), "shares": (1, 0), "mixed": (2, 3), "inner": (0, 5)}
    return Twin(score, module, *draw(3, 4), units)


@functools.cache
def twin_of(make: Callable[[], Twin]) -> Twin:
    torch.manual_seed(3)
    return make()


def places(makes: dict[Callable[[], Twin], tuple[str, ...]]) -> Any:
    """Tests of these layers of these networks."""
    cases = [
        pytest.param(make, at, id=f"{make.__name__}-{at}")
        for make, ats in makes.items()
        for at in ats
    ]
    return pytest.mark.parametrize(("make", "at"), cases)


EVERYWHERE = {
    mlp: ("first", "second"),
    cnn: ("conv1", "pool", "conv2"),
    block: ("keys", "shares", "mixed", "inner"),
}
SEPARATING = {**EVERYWHERE, block: ("mixed",)}
everywhere, separating = places(EVERYWHERE), places(SEPARATING)


def there(twin: Twin, at: str, name: str, **options: Any) -> Any:
    """Captum's result at a layer, or of its unit."""
    explain = getattr(captum, name)(twin.module, twin.module.get_submodule(at))
    if name.startswith("Neuron"):
        found = explain.attribute(twin.to_torch(twin.x), twin.unit[at], **options)
        return twin.from_torch(found)
    return twin.of_layer(explain.attribute(twin.to_torch(twin.x), **options))


def assert_same(here: Any, expected: np.ndarray, tolerance: float = 1e-9) -> None:
    """Apart by no more than this share of the largest entry, which is not zero."""
    size = np.max(np.abs(expected))
    assert size > 1e-4
    assert np.shape(here) == expected.shape
    np.testing.assert_allclose(here, expected, atol=tolerance * size, rtol=0)


def baseline_of(twin: Twin) -> Any:
    return {"baselines": twin.to_torch(twin.baseline)}


# ------------------------------------------------------------------------------------------- layers


@everywhere
def test_layer_activation(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    assert_same(jax.jit(cut(twin.score, at=at)[0])(twin.x), there(twin, at, "LayerActivation"))


def test_what_comes_into_a_layer_and_what_it_is_called() -> None:
    """Their `attribute_to_layer_input` is our `:in`; their Softmax's output our `:attention`."""
    twin = twin_of(block)
    expected = there(twin, "inner", "LayerActivation", attribute_to_layer_input=True)
    assert_same(cut(twin.score, at="inner:in")[0](twin.x), expected)
    expected = there(twin, "shares", "LayerActivation")
    assert_same(cut(twin.score, at="shares:attention")[0](twin.x), expected)


def test_the_gradient_of_what_comes_into_a_layer() -> None:
    """Theirs is that of the tensor, for all who read it; ours is that of the layer alone."""
    twin = twin_of(block)
    options = {"attribute_to_layer_input": True}
    expected = there(twin, "keys", "LayerGradientXActivation", **options)
    assert_same(jax.jit(jaxplain.input_x_grad(twin.score))(twin.x), expected)
    names = ("queries:in", "keys:in", "values:in", "mixed:in0")
    explain = layer(jaxplain.input_x_grad, at=list(names))(twin.score)
    parts = jax.jit(explain)(twin.x)
    assert_same(sum(np.asarray(part) for part in parts.values()), expected)
    assert np.max(np.abs(parts["keys:in"] - expected)) > 0.1 * np.max(np.abs(expected))


@everywhere
def test_layer_gradient_x_activation(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    here = jax.jit(layer(jaxplain.input_x_grad, at=at)(twin.score))(twin.x)
    assert_same(here, there(twin, at, "LayerGradientXActivation"))


@everywhere
def test_layer_integrated_gradients(make: Callable[[], Twin], at: str) -> None:
    """Float32 weights of theirs: 1e-7 or so."""
    twin = twin_of(make)
    expected = there(twin, at, "LayerIntegratedGradients", n_steps=STEPS, **baseline_of(twin))
    explain = jax.jit(layer(jaxplain.integrated_grad, at=at, steps=STEPS)(twin.score))
    assert_same(explain(twin.x, baseline=twin.baseline), expected, 1e-6)


@everywhere
def test_layer_conductance(make: Callable[[], Twin], at: str) -> None:
    """Ours from the left; from the right it is theirs the other way; the trapezoid their mean."""
    twin = twin_of(make)
    options = {"n_steps": STEPS, "method": "riemann_trapezoid"}
    left = there(twin, at, "LayerConductance", **options, **baseline_of(twin))
    back = twin._replace(x=twin.baseline, baseline=twin.x)
    right = -there(back, at, "LayerConductance", **options, **baseline_of(back))
    expected = {"left": left, "right": right, "trapezoid": (left + right) / 2}

    def all_rules(x: Any, baseline: Any) -> Any:
        return {
            rule: conductance(twin.score, at=at, steps=STEPS, rule=rule)(x, baseline=baseline)
            for rule in expected
        }

    here = jax.jit(all_rules)(twin.x, twin.baseline)
    for rule, found in here.items():
        assert_same(found, expected[rule], 1e-6)
    if at not in ("pool", "conv2"):  # where no unit's gradient changes on the way
        assert np.max(np.abs(left - right)) > 1e-3 * np.max(np.abs(left))


def test_their_default_conductance_misses_both_ends() -> None:
    """For a linear model: what lies between Gauss-Legendre's first node and its last."""
    module = Chain(first=torch.nn.Linear(2, 3), last=torch.nn.Linear(3, 1)).double()
    w = weights_of(module)

    def score(x: Any) -> Any:
        with scope("first"):
            h = w["first.weight"] @ x
        return (w["last.weight"] @ h)[0]

    twin = Twin(score, module, *draw(2), {})
    expected = there(twin, "first", "LayerConductance", n_steps=14, **baseline_of(twin))
    here = jax.jit(conductance(score, at="first", steps=3))(twin.x, baseline=twin.baseline)
    between = np.ptp(np.polynomial.legendre.leggauss(15)[0]) / 2
    assert_same(between * np.asarray(here), expected, 1e-6)
    assert between == pytest.approx(0.988, abs=1e-3)


@everywhere
def test_internal_influence(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    expected = there(twin, at, "InternalInfluence", n_steps=STEPS, **baseline_of(twin))
    explain = jax.jit(internal_influence(twin.score, at=at, steps=STEPS))
    assert_same(explain(twin.x, baseline=twin.baseline), expected, 1e-6)


@places({cnn: ("conv1", "pool", "conv2")})
def test_layer_grad_cam(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    here = jax.jit(grad_cam(twin.score, at, relu=False, resize=None))(twin.x)
    assert_same(here, there(twin, at, "LayerGradCam")[0, ..., 0])


@separating
def test_layer_deeplift(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    expected = there(twin, at, "LayerDeepLift", **baseline_of(twin))
    here = jax.jit(layer(jaxplain.deeplift, at=at)(twin.score))(twin.x, baseline=twin.baseline)
    assert_same(here, expected)


def test_layer_deeplift_where_something_goes_around() -> None:
    """Their tanh sees the residual change too. Ours sums to what the layer alone changes."""
    twin = twin_of(block)
    expected = there(twin, "outer", "LayerDeepLift", **baseline_of(twin))
    bottom, top = cut(twin.score, at="outer")
    explain = jax.jit(layer(jaxplain.deeplift, at="outer")(twin.score))
    here = explain(twin.x, baseline=twin.baseline)
    change = top(bottom(twin.x), twin.x) - top(bottom(twin.baseline), twin.x)
    np.testing.assert_allclose(np.sum(here), change, rtol=1e-9)
    assert abs(np.sum(expected) - change) > 0.01 * abs(change)


@separating
def test_layer_deeplift_shap(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    baselines = np.stack([twin.baseline, 0 * twin.x, twin.baseline[::-1]])
    turned = torch.cat([twin.to_torch(one) for one in baselines])
    expected = there(twin, at, "LayerDeepLiftShap", baselines=turned)
    here = jax.jit(layer(jaxplain.deeplift_shap, at=at)(twin.score))(twin.x, baseline=baselines)
    assert_same(here, expected)


@places({mlp: ("first", "second"), cnn: ("conv1", "conv2")})
def test_layer_lrp(make: Callable[[], Twin], at: str) -> None:
    """Captum ties rules to the modules, so these are not the ones that the other tests share."""
    torch.manual_seed(3)
    twin = make()
    for step in twin.module.modules():
        if isinstance(step, torch.nn.Linear | torch.nn.Conv2d):
            step.rule = captum_rules.EpsilonRule(0.01)
    expected = there(twin, at, "LayerLRP")
    # As it starts: theirs gives a layer the relevance of its output, and so does a cut.
    explain = layer(jaxplain.lrp, at=at, rules=jaxplain.rules.Epsilon(0.01))
    assert_same(jax.jit(explain(twin.score))(twin.x), expected, 1e-6)


@everywhere
def test_layer_feature_ablation(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    expected = there(twin, at, "LayerFeatureAblation", perturbations_per_eval=16)
    bottom, top = cut(twin.score, at=at)
    here = jax.jit(lambda x: ablation(lambda h: top(h, x))(bottom(x)))(twin.x)
    assert_same(here, expected)


# ------------------------------------------------------------------------------------------ neurons


def unit_of(twin: Twin, at: str) -> Any:
    return neuron(twin.score, at=at, index=twin.index(at))


@everywhere
def test_neuron_gradient(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    assert_same(jax.jit(jax.grad(unit_of(twin, at)))(twin.x), there(twin, at, "NeuronGradient"))


@everywhere
def test_neuron_integrated_gradients(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    expected = there(twin, at, "NeuronIntegratedGradients", n_steps=STEPS, **baseline_of(twin))
    explain = jax.jit(jaxplain.integrated_grad(unit_of(twin, at), steps=STEPS))
    assert_same(explain(twin.x, baseline=twin.baseline), expected, 1e-6)


@everywhere
def test_neuron_conductance(make: Callable[[], Twin], at: str) -> None:
    """By Gauss-Legendre as it is; by their trapezoid with weights that sum to (n - 1)/n."""
    twin = twin_of(make)
    rules = {"gauss_legendre": ("gausslegendre", 1.0), "trapezoid": ("riemann_trapezoid", 11 / 12)}

    def both(x: Any, baseline: Any) -> Any:
        index = twin.index(at)
        return {
            rule: neuron_conductance(twin.score, at=at, index=index, steps=STEPS, rule=rule)(
                x, baseline=baseline
            )
            for rule in rules
        }

    here = jax.jit(both)(twin.x, twin.baseline)
    for rule, (method, share) in rules.items():
        options = {"n_steps": STEPS, "method": method, **baseline_of(twin)}
        expected = there(twin, at, "NeuronConductance", **options)
        assert_same(share * np.asarray(here[rule]), expected, 1e-6)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
@places({mlp: ("first", "second"), cnn: ("conv1", "pool", "conv2")})
def test_neuron_deeplift(make: Callable[[], Twin], at: str) -> None:
    """Not of the block: its products of two values have no rule there."""
    twin = twin_of(make)
    expected = there(twin, at, "NeuronDeepLift", **baseline_of(twin))
    here = jax.jit(jaxplain.deeplift(unit_of(twin, at)))(twin.x, baseline=twin.baseline)
    assert_same(here, expected)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU:UserWarning")
@places({cnn: ("pool", "conv2"), block: ("outer",)})
def test_neuron_guided_backprop(make: Callable[[], Twin], at: str) -> None:
    """Of units with a ReLU below them."""
    twin = twin_of(make)
    twin.unit.setdefault("outer", (1, 2))
    here = jax.jit(jaxplain.guided_backprop(unit_of(twin, at)))(twin.x)
    assert_same(here, there(twin, at, "NeuronGuidedBackprop"))


@everywhere
def test_neuron_feature_ablation(make: Callable[[], Twin], at: str) -> None:
    twin = twin_of(make)
    options = {"perturbations_per_eval": 16, **baseline_of(twin)}
    expected = there(twin, at, "NeuronFeatureAblation", **options)
    here = jax.jit(ablation(unit_of(twin, at)))(twin.x, baseline=twin.baseline)
    assert_same(here, expected)


# --------------------------------------------------------------------------------- a reused module


def test_a_module_that_is_called_twice() -> None:
    """Here each call has its own path; there the hook's last call is all that one can ask for."""
    dense = torch.nn.Linear(3, 3).double()

    class Reused(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = dense

        def forward(self, x: Any) -> Any:
            return torch.tanh(self.dense(torch.tanh(self.dense(x)))).sum(1, keepdim=True)

    w = weights_of(dense)

    def score(x: Any) -> Any:
        for _ in range(2):
            with scope("dense"):
                x = jnp.asarray(weight) @ x + bias
            x = jnp.tanh(x)
        return jnp.sum(x)

    weight, bias = jnp.asarray(w["weight"]), jnp.asarray(w["bias"])
    twin = Twin(score, Reused(), *draw(3), {})
    values = cut(score, at=["dense"])[0](twin.x)
    assert list(values) == ["dense#0", "dense#1"]
    np.testing.assert_allclose(values["dense#0"], w["weight"] @ twin.x + w["bias"], rtol=1e-9)
    assert_same(values["dense#1"], there(twin, "dense", "LayerActivation"))
