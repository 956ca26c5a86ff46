"""Side by side with Captum: the same weights in PyTorch and in JAX, the same explanations.

Captum sums with float32 weights, even in float64: so its integrals are right to 1e-7 or so of the
largest terms, and the comparisons of integrals to 1e-5. All else is compared to float64's digits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.attr", reason=REASON)

import jaxplain  # noqa: E402

from pretrained import load, sample_image  # noqa: E402
from pretrained.squeezenet import FIRES, POOLED, WEIGHTS  # noqa: E402


class Twin(NamedTuple):
    """One network twice, an input and a baseline; `to_torch` turns one example's axes."""

    score: Callable[[Any], Any]  # of one example, in JAX
    module: Any  # of a batch, in PyTorch
    x: np.ndarray
    baseline: np.ndarray
    axes: tuple[int, ...]

    def to_torch(self, example: np.ndarray) -> Any:
        return torch.tensor(np.transpose(example, self.axes))[None].requires_grad_()

    def from_torch(self, batch: Any) -> np.ndarray:
        return np.transpose(batch.detach().numpy()[0], np.argsort(self.axes))


def weights_of(module: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, *shape))


# ---------------------------------------------------------------------------------- three networks


def mlp() -> Twin:
    """Tanh, then ReLU."""
    nn = torch.nn
    module = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 1))
    w = weights_of(module.double())

    def score(x: Any) -> Any:
        x = jnp.tanh(w["0.weight"] @ x + w["0.bias"])
        x = jax.nn.relu(w["2.weight"] @ x + w["2.bias"])
        return (w["4.weight"] @ x + w["4.bias"])[0]

    return Twin(score, module, *draw(6), axes=(0,))


def convolve(x: Any, weight: Any, bias: Any, *, stride: int = 1, padding: int = 0) -> Any:
    """Convolve NHWC with PyTorch's weights (out, in, height, width)."""
    layout = ("NHWC", "HWIO", "NHWC")
    kernel, pads = np.transpose(weight, (2, 3, 1, 0)), [(padding, padding)] * 2
    out = jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=layout)
    return out + bias[None, None, None]


def max_pool(x: Any) -> Any:
    size = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, size, size, "VALID")


def cnn() -> Twin:
    """Convolutions of NCHW there and of NHWC here, with ReLU and max pooling."""
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 3, stride=2), nn.Softplus(), nn.Flatten(), nn.Linear(16, 1),
    )  # fmt: skip
    w = weights_of(module.double())

    def score(x: Any) -> Any:
        x = jax.nn.relu(convolve(x[None], w["0.weight"], w["0.bias"], padding=1))
        x = jax.nn.softplus(convolve(max_pool(x), w["3.weight"], w["3.bias"], stride=2))
        return (w["6.weight"] @ x[0].transpose(2, 0, 1).ravel() + w["6.bias"])[0]

    return Twin(score, module, *draw(10, 10, 3), axes=(2, 0, 1))


def encoder() -> Twin:
    """A transformer block of PyTorch's own (norms first, GELU), read out by a mean over tokens."""
    block = torch.nn.TransformerEncoderLayer(
        d_model=8, nhead=2, dim_feedforward=12, dropout=0.0, activation="gelu",
        batch_first=True, norm_first=True,
    )  # fmt: skip
    module = torch.nn.Sequential(block.double().eval(), MeanReadout(8).double())
    w = {name.removeprefix("0."): value for name, value in weights_of(module).items()}

    def norm(x: Any, name: str) -> Any:
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
        return centred * scale * w[f"{name}.weight"][None] + w[f"{name}.bias"][None]

    def dense(x: Any, weight: str, bias: str) -> Any:
        return x @ w[weight].T + w[bias][None]

    def attention(x: Any) -> Any:
        projected = dense(x, "self_attn.in_proj_weight", "self_attn.in_proj_bias")
        query, key, value = jnp.moveaxis(projected.reshape(len(x), 3, 2, 4), 0, 2)
        shares = jax.nn.softmax(jnp.einsum("hqc,hkc->hqk", query, key) / 2, axis=-1)
        mixed = jnp.einsum("hqk,hkc->qhc", shares, value).reshape(len(x), 8)
        return dense(mixed, "self_attn.out_proj.weight", "self_attn.out_proj.bias")

    def score(x: Any) -> Any:
        x = x + attention(norm(x, "norm1"))
        inner = jax.nn.gelu(dense(norm(x, "norm2"), "linear1.weight", "linear1.bias"), False)
        x = x + dense(inner, "linear2.weight", "linear2.bias")
        return w["1.readout"] @ jnp.tanh(jnp.mean(x, axis=0))

    return Twin(score, module, *draw(5, 8), axes=(0, 1))


class MeanReadout(torch.nn.Module):
    """One number from the mean of all tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.readout = torch.nn.Parameter(torch.randn(width))

    def forward(self, x: Any) -> Any:
        return (torch.tanh(x.mean(1)) @ self.readout)[:, None]


@functools.cache
def twin_of(make: Callable[[], Twin]) -> Twin:
    torch.manual_seed(0)
    return make()


@pytest.fixture(params=[mlp, cnn, encoder], ids=lambda make: make.__name__)
def twin(request: pytest.FixtureRequest) -> Twin:
    return twin_of(request.param)


# ---------------------------------------------------------------------------------- the comparisons


def test_twins_are_one_network(twin: Twin) -> None:
    for example in (twin.x, twin.baseline):
        there = twin.module(twin.to_torch(example)).item()
        np.testing.assert_allclose(jax.jit(twin.score)(example), there, rtol=1e-12)


def test_saliency(twin: Twin) -> None:
    x = twin.to_torch(twin.x)
    for absolute in (True, False):
        there = twin.from_torch(captum.Saliency(twin.module).attribute(x, abs=absolute))
        here = jax.jit(jaxplain.saliency(twin.score, absolute=absolute))(twin.x)
        np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-13)


def test_input_x_grad(twin: Twin) -> None:
    there = captum.InputXGradient(twin.module).attribute(twin.to_torch(twin.x))
    here = jax.jit(jaxplain.input_x_grad(twin.score))(twin.x)
    np.testing.assert_allclose(here, twin.from_torch(there), rtol=1e-9, atol=1e-13)


def integrated_there(twin: Twin, method: str, steps: int) -> tuple[np.ndarray, float]:
    attribution, delta = captum.IntegratedGradients(twin.module).attribute(
        twin.to_torch(twin.x), twin.to_torch(twin.baseline),
        method=method, n_steps=steps, return_convergence_delta=True,
    )  # fmt: skip
    return twin.from_torch(attribution), delta.item()


METHODS = {
    "left": "riemann_left",
    "right": "riemann_right",
    "middle": "riemann_middle",
    "gauss_legendre": "gausslegendre",
}


@pytest.mark.parametrize("rule", METHODS)
def test_integrated_grad_and_its_residual(twin: Twin, rule: str) -> None:
    there, delta = integrated_there(twin, METHODS[rule], 20)
    explain = jaxplain.integrated_grad(twin.score, steps=20, rule=rule, info=True)
    here, info = jax.jit(explain)(twin.x, baseline=twin.baseline)
    size = np.max(np.abs(there))
    np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6 * size)
    np.testing.assert_allclose(info.residual, delta, rtol=1e-5, atol=1e-6 * size)
    by_hand = jaxplain.convergence_delta(twin.score, there, twin.x, baseline=twin.baseline)
    np.testing.assert_allclose(by_hand, delta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [5, 50])
def test_their_trapezoid_weighs_too_little(twin: Twin, steps: int) -> None:
    """n nodes bound n - 1 intervals; weights of 1/n make their integral (n - 1)/n of ours."""
    there, _ = integrated_there(twin, "riemann_trapezoid", steps)
    explain = jaxplain.integrated_grad(twin.score, steps=steps, rule="trapezoid")
    here = np.asarray(jax.jit(explain)(twin.x, baseline=twin.baseline))
    size = np.max(np.abs(here))
    np.testing.assert_allclose(there, (steps - 1) / steps * here, rtol=1e-5, atol=1e-6 * size)


def test_our_trapezoid_is_the_right_one() -> None:
    """The slope of a linear model is the same everywhere: its integral is 1, and theirs 0.98."""
    there = captum.IntegratedGradients(lambda x: x[:, 0]).attribute(
        torch.ones(1, 1, dtype=torch.float64), n_steps=50, method="riemann_trapezoid"
    )
    here = jaxplain.integrated_grad(lambda x: x[0], steps=50, rule="trapezoid")(jnp.ones(1))
    np.testing.assert_allclose(here, [1.0], rtol=1e-14)
    np.testing.assert_allclose(there.numpy()[0], [0.98], rtol=1e-6)


def test_gradient_shap_in_expectation() -> None:
    """Theirs draws from NumPy's global generator: what, is read off the points it looks at."""
    twin, samples = twin_of(mlp), 3000
    baselines = np.stack([0 * twin.x, twin.baseline, twin.baseline[::-1]])
    points = []

    def watched(x: Any) -> Any:
        points.append(x.detach().numpy().copy())
        return twin.module(x)

    state = np.random.get_state()
    np.random.seed(0)
    there = captum.GradientShap(watched).attribute(
        twin.to_torch(twin.x), torch.tensor(baselines), n_samples=samples, stdevs=0.0
    )
    np.random.set_state(state)
    there = twin.from_torch(there)
    draws = [references.draw_of(p, twin.x, baselines) for p in np.concatenate(points)[:samples]]
    gradient = jax.jit(jax.vmap(jax.grad(twin.score)))
    at = np.stack([b + alpha * (twin.x - b) for b, alpha in draws])
    each = (twin.x - np.stack([b for b, _ in draws])) * gradient(at)
    np.testing.assert_allclose(there, np.mean(each, axis=0), rtol=1e-9)

    explain = jax.jit(jaxplain.expected_grad(twin.score, samples=samples, info=True))
    here, info = explain(twin.x, baseline=baselines, key=jax.random.key(0))
    assert np.all(np.abs(here - there) < 4 * 2**0.5 * info.standard_error)
    assert np.all(info.standard_error < 0.05 * np.max(np.abs(there)))


@pytest.mark.parametrize(
    ("statistic", "theirs"),
    [("mean", "smoothgrad"), ("square", "smoothgrad_sq"), ("variance", "vargrad")],
)
def test_noise_tunnel_in_distribution(statistic: str, theirs: str) -> None:
    """Two averages over noise of one's own each: apart by no more than their standard errors."""
    twin, samples, sigma = twin_of(mlp), 3000, 0.4
    torch.manual_seed(0)
    there = twin.from_torch(
        captum.NoiseTunnel(captum.Saliency(twin.module)).attribute(
            twin.to_torch(twin.x), nt_type=theirs, nt_samples=samples, stdevs=sigma, abs=False
        )
    )
    options = {"samples": samples, "sigma": sigma, "statistic": statistic}
    here = jax.jit(jaxplain.smooth(jax.grad(twin.score), **options))(twin.x, key=jax.random.key(0))
    if statistic == "variance":
        there = there * samples / (samples - 1)  # theirs divides by n
    error = scatter_of(twin, statistic, sigma, samples)
    assert np.all(np.abs(here - there) < 4 * 2**0.5 * error)
    assert np.all(error < 0.1 * np.max(np.abs(there)))


def scatter_of(twin: Twin, statistic: str, sigma: float, samples: int) -> np.ndarray:
    """The standard error of a statistic over `samples`, from noise of NumPy's."""
    noise = np.random.default_rng(0).normal(scale=sigma, size=(samples, *twin.x.shape))
    values = np.asarray(jax.jit(jax.vmap(jax.grad(twin.score)))(twin.x[None] + noise))
    if statistic == "square":
        values = values**2
    if statistic == "variance":
        values = (values - values.mean(axis=0)) ** 2
    return np.std(values, axis=0) / samples**0.5


# ------------------------------------------------------------------------------- a trained network


class TorchSqueezeNet(torch.nn.Module):
    """SqueezeNet 1.1 from the weights beside the JAX model."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        with np.load(WEIGHTS) as arrays:
            self.arrays = {k: torch.tensor(arrays[k].astype(dtype)) for k in arrays.files}

    def conv(self, x: Any, name: str, **options: int) -> Any:
        kernel, bias = self.arrays[f"{name}/kernel"], self.arrays[f"{name}/bias"]
        return torch.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **options)

    def forward(self, x: Any) -> Any:
        x = self.pool(torch.relu(self.conv(x, "conv1", stride=2, padding=1)))
        for name in FIRES:
            x = torch.relu(self.conv(x, f"{name}/squeeze1x1"))
            small = self.conv(x, f"{name}/expand1x1")
            large = self.conv(x, f"{name}/expand3x3", padding=1)
            x = torch.relu(torch.cat([small, large], dim=1))
            x = self.pool(x) if name in POOLED else x
        return self.conv(x, "conv10").mean((2, 3))

    @staticmethod
    def pool(x: Any) -> Any:
        return torch.max_pool2d(x, 3, 2)


# The tests' quick compilation makes plain loops of convolutions in a scan, fifty times slower.
OPTIMIZED = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squeezenet(dtype: str) -> None:
    """A trained network, a photograph, and chunks of five on both sides."""
    model, there, cat = load("squeezenet"), TorchSqueezeNet(dtype), 285
    x = model.preprocess(sample_image("chelsea")).astype(dtype)
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), model.variables)

    def score(x: Any) -> Any:
        return model.module.apply(variables, x[None])[0, cat]

    twin = Twin(score, lambda x: there(x)[:, cat], x, 0 * x, (2, 0, 1))
    attribution = captum.IntegratedGradients(twin.module).attribute(
        twin.to_torch(x), n_steps=20, method="gausslegendre", internal_batch_size=5
    )
    expected = twin.from_torch(attribution)
    explain = jaxplain.integrated_grad(score, steps=20, chunk=5)
    here = jax.jit(explain, compiler_options=OPTIMIZED)(x)
    assert here.dtype == expected.dtype == dtype
    misses = np.abs(here - expected) / np.max(np.abs(expected))
    if dtype == "float64":
        assert np.max(misses) < 1e-7
        return
    # In float32 rounding decides whether a unit near its kink is on, at one of the twenty points
    # and on one of the two sides: that changes all of its receptive field, a small patch.
    assert np.mean(misses > 1e-4) < 0.01
    assert np.linalg.norm(here - expected) < 1e-3 * np.linalg.norm(expected)
