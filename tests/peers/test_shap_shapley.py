"""Side by side with SHAP and Captum: Shapley values, exact and from the same samples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import exact_shapley, kernel_shap, over_baselines, shapley_sampling
from jaxplain.shapley._coalitions import kernel_design, pack, unpack
from jaxplain.shapley._constrained import Pairs, fit_pairs

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.attr", reason=REASON)
shap = pytest.importorskip("shap", reason=REASON)

draw = np.random.default_rng(2).normal
COUNT = 7
FIRST, LAST = draw(size=(COUNT, 8)), draw(size=8)
X, BASE = draw(size=(2, COUNT))
BACKGROUNDS = draw(size=(4, COUNT))
KEY = jax.random.key(0)


def f(x: Any) -> Any:
    return jnp.tanh(x @ FIRST) @ LAST + x[0] * x[1]


def of_batch(xs: np.ndarray) -> np.ndarray:
    """The same in NumPy."""
    scores: np.ndarray = np.tanh(xs @ FIRST) @ LAST + xs[:, 0] * xs[:, 1]
    return scores


def of_tensor(xs: Any) -> Any:
    """The same in PyTorch."""
    first, last = torch.tensor(FIRST), torch.tensor(LAST)
    return torch.tanh(xs.double() @ first) @ last + xs[:, 0] * xs[:, 1]


def tensors() -> tuple[Any, Any]:
    return torch.tensor(X)[None], torch.tensor(BASE)[None]


def masker(background: np.ndarray) -> Callable[..., Any]:
    """What SHAP's masker of single features does, without its rounding of equal features."""
    return lambda mask, x: (np.where(mask[None], x[None], background),)


@pytest.mark.parametrize("background", [BASE[None], BACKGROUNDS], ids=["one", "several"])
def test_shap_kernel_explainer(background: np.ndarray) -> None:
    there = shap.KernelExplainer(of_batch, background)
    theirs = there.shap_values(X, nsamples=2**COUNT - 2, l1_reg=0, silent=True)
    explain = over_baselines(kernel_shap(f, samples=2**COUNT - 2))
    np.testing.assert_allclose(jax.jit(explain)(X, baseline=background, key=KEY), theirs, atol=1e-9)


def test_shap_kernel_explainer_given_its_samples() -> None:
    """Fewer samples than coalitions: the same weights, and the same fit of what SHAP drew."""
    there = shap.KernelExplainer(of_batch, BASE[None])
    np.random.seed(0)
    theirs = there.shap_values(X, nsamples=80, l1_reg=0, silent=True)
    masks, weights = there.maskMatrix.astype(bool), there.kernelWeights
    assert len(masks) == 80 and (masks[::2] == ~masks[1::2]).all()
    design = kernel_design(COUNT, 40)
    whole = len(design.words)
    np.testing.assert_allclose(2 * weights[: 2 * whole : 2], design.weights, rtol=1e-12)
    np.testing.assert_allclose(2 * np.sum(weights[2 * whole :: 2]), design.left, rtol=1e-12)
    scores = of_batch(np.where(masks, X, BASE))
    halves = jnp.asarray((scores[::2] - scores[1::2]) / 2)
    words = jax.jit(jax.vmap(pack))(masks[::2])
    total = jnp.asarray(of_batch(X[None])[0] - of_batch(BASE[None])[0])
    fit = jax.jit(functools.partial(fit_pairs, count=COUNT))(
        Pairs(words, jnp.asarray(weights[::2]), halves), total
    )
    np.testing.assert_allclose(fit.values, theirs, atol=1e-9)


@pytest.mark.parametrize("background", [BASE[None], BACKGROUNDS], ids=["one", "several"])
def test_shap_exact(background: np.ndarray) -> None:
    theirs = shap.explainers.Exact(of_batch, masker(background))(X[None]).values[0]
    explain = jax.jit(over_baselines(exact_shapley(f, chunk=32)))
    np.testing.assert_allclose(explain(X, baseline=background), theirs, atol=1e-9)


def test_captum_all_orders() -> None:
    first = torch.tensor([[0, 0, 1, 1, 2, 3, 4]])
    x, base = tensors()
    theirs = captum.ShapleyValues(of_tensor).attribute(
        x, base, feature_mask=first, perturbations_per_eval=5
    )
    found = jax.jit(exact_shapley(f, groups=first[0].numpy()))(X, baseline=BASE)
    np.testing.assert_allclose(found, theirs[0].numpy(), atol=1e-6)  # its sum is in float32


def orders(samples: int) -> np.ndarray:
    """The orders in which features join."""
    draws = jax.vmap(lambda i: jax.random.permutation(jax.random.fold_in(KEY, i), COUNT))
    return np.argsort(jax.jit(draws)(np.arange(samples)), axis=1)


def test_captum_sampling_of_the_same_orders() -> None:
    method = captum.ShapleyValueSampling(of_tensor)
    method.permutation_generator = lambda features, samples: iter(orders(samples).tolist())
    x, base = tensors()
    theirs = method.attribute(x, base, n_samples=9, perturbations_per_eval=4)[0].numpy()
    explain = jax.jit(shapley_sampling(f, samples=9, antithetic=False))
    np.testing.assert_allclose(explain(X, baseline=BASE, key=KEY), theirs, atol=1e-6)


def test_shap_permutations_of_the_same_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each order forwards and backwards is SHAP's permutation explainer."""
    given = iter(orders(6))

    def shuffle(features: np.ndarray) -> None:
        features[:] = next(given)

    explainer = shap.explainers.Permutation(of_batch, masker(BASE[None]), seed=0)
    monkeypatch.setattr(np.random, "shuffle", shuffle)
    theirs = explainer(X[None], max_evals=6 * (2 * COUNT + 1), silent=True).values[0]
    explain = jax.jit(shapley_sampling(f, samples=12))
    np.testing.assert_allclose(explain(X, baseline=BASE, key=KEY), theirs, atol=1e-9)


@pytest.mark.parametrize("samples", [2**COUNT - 2, 40])
def test_captum_kernel_shap_of_the_same_samples(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captum's fit with the given sum is a large weight on the empty and the full coalition."""
    design = kernel_design(COUNT, samples // 2)
    draws = jax.vmap(lambda i: design.draw(KEY, i))(np.arange(design.sampled))
    words = jnp.concatenate([jnp.asarray(design.words), draws])
    masks = np.asarray(unpack(words, COUNT))
    masks = np.concatenate([masks, ~masks])
    weights = np.append(
        design.weights, np.full(design.sampled, design.left / max(design.sampled, 1))
    )
    coalitions = dict(zip(map(tuple, masks.tolist()), np.tile(weights, 2), strict=True))
    heavy = 1e8

    class Given(captum.KernelShap):
        def kernel_shap_perturb_generator(self, original: Any, **kwargs: Any) -> Iterator[Any]:
            ends = np.stack([np.ones(COUNT, bool), np.zeros(COUNT, bool)])
            for mask in np.concatenate([ends, masks]):
                yield torch.tensor(mask[None]).long()

        def kernel_shap_similarity_kernel(self, _: Any, __: Any, sample: Any, **kwargs: Any) -> Any:
            weight = coalitions.get(tuple(sample[0].bool().tolist()), heavy)
            return torch.tensor([weight], dtype=torch.float64)

    assert len(coalitions) == samples  # no coalition was drawn twice
    x, base = tensors()
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # its fit would be in float32
    theirs = Given(of_tensor).attribute(x, base, n_samples=samples + 2)
    explain = jax.jit(kernel_shap(f, samples=samples))
    np.testing.assert_allclose(explain(X, baseline=BASE, key=KEY), theirs[0].numpy(), atol=1e-6)
