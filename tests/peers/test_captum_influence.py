"""Side by side with Captum's influence functions and TracIn, on one small network."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain.training._influence import influence
from jaxplain.training._self_influence import self_influence
from jaxplain.training._tracin import self_tracin, tracin

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.influence", reason=REASON)
# Captum exports TracIn only.
naive = pytest.importorskip("captum.influence._core.influence_function", reason=REASON)
arnoldi = pytest.importorskip("captum.influence._core.arnoldi_influence_function", reason=REASON)

pytestmark = pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # its

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(14, 4)), RNG.integers(0, 3, size=14)
TEST = RNG.normal(size=(3, 4)), RNG.integers(0, 3, size=3)
P = 43
RATES = (0.5, 0.25)


def weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """As PyTorch names and shapes them."""
    shapes = {"0.weight": (5, 4), "0.bias": (5,), "2.weight": (3, 5), "2.bias": (3,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


CHECKPOINTS = [weights(RNG) for _ in RATES]


def loss(params: Any, x: Any, y: Any) -> Any:
    hidden = jnp.tanh(params["0.weight"] @ x + params["0.bias"])
    logits = params["2.weight"] @ hidden + params["2.bias"]
    return jax.nn.logsumexp(logits) - logits[y]


def module() -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def load(module: Any, place: str) -> float:
    """What Captum calls for each checkpoint: it wants names of files, and the rate."""
    state = {name: torch.tensor(value) for name, value in CHECKPOINTS[int(place)].items()}
    module.load_state_dict(state)
    return RATES[int(place)]


def tensors(data: tuple[np.ndarray, np.ndarray]) -> tuple[Any, Any]:
    return torch.tensor(data[0]), torch.tensor(data[1])


def loss_there(reduction: str) -> Any:
    return torch.nn.CrossEntropyLoss(reduction=reduction)


# A power of two, since Captum rounds it to single precision; above the Hessian's least eigenvalue.
REGULARISATION = 16.0


@functools.cache
def influence_there(kind: str, layers: tuple[str, ...] | None = None, **options: Any) -> Any:
    method = {
        "naive": naive.NaiveInfluenceFunction,
        "arnoldi": arnoldi.ArnoldiInfluenceFunction,
    }[kind]
    return method(
        module(),
        torch.utils.data.TensorDataset(*tensors(TRAIN)),
        checkpoint="0",
        checkpoints_load_func=load,
        loss_fn=loss_there("none"),
        batch_size=5,
        hessian_reg=REGULARISATION,
        layers=None if layers is None else list(layers),
        **options,
    )


# Theirs is of the sum of the losses, ours of their mean: 1/n is in the damping and in the score.
# And theirs is positive where a training example helps.
COUNT = len(TRAIN[1])
DAMPING = REGULARISATION / COUNT

FULL: dict[str, dict[str, Any]] = {
    "naive": {"projection_dim": P},
    # One product more than there are directions, since they drop the last; with a tolerance they
    # drop another one where the space is exhausted.
    "arnoldi": {"projection_dim": P, "arnoldi_dim": P + 1, "arnoldi_tol": 0.0},
}
OURS: dict[str, dict[str, Any]] = {
    "naive": {"solver": "cg", "tolerance": 1e-12},
    "arnoldi": {"solver": "arnoldi", "rank": P, "dimension": P},
}


@pytest.mark.parametrize("kind", FULL)
def test_influence(kind: str) -> None:
    there = influence_there(kind, **FULL[kind]).influence(tensors(TEST)).detach().numpy()
    explain = influence(loss, CHECKPOINTS[0], TRAIN, damping=DAMPING, **OURS[kind])
    if kind == "arnoldi":
        explain = functools.partial(explain, key=jax.random.key(0))
    here = jax.vmap(explain)(*TEST)
    assert there.shape == here.shape == (3, COUNT)
    np.testing.assert_allclose(here, -COUNT * there, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", FULL)
def test_self_influence(kind: str) -> None:
    there = influence_there(kind, **FULL[kind]).self_influence().detach().numpy()
    key = {"key": jax.random.key(0)} if kind == "arnoldi" else {}
    here = self_influence(loss, CHECKPOINTS[0], TRAIN, damping=DAMPING, **OURS[kind], **key)
    np.testing.assert_allclose(here, COUNT * there, rtol=1e-8)


def test_low_rank() -> None:
    """The same truncation where no eigenvalue is negative; they keep the largest by value, we by
    absolute value. In the weights of the last layer the loss is convex.
    """
    there = influence_there("naive", projection_dim=6, layers=("2",)).self_influence()
    here = self_influence(
        loss,
        CHECKPOINTS[0],
        TRAIN,
        parameters="2.*",
        damping=DAMPING,
        rank=6,
        dimension=18,
        key=jax.random.key(0),
    )
    np.testing.assert_allclose(here, COUNT * there.detach().numpy(), rtol=1e-8)


def test_their_arnoldi_drops_a_direction_of_a_space_it_has_exhausted() -> None:
    """With as many products as directions, or a tolerance, it is not the dense inverse."""
    exact = influence_there("naive", **FULL["naive"]).self_influence().detach().numpy()
    for options in ({"arnoldi_dim": P}, {"arnoldi_dim": P + 1, "arnoldi_tol": 1e-6}):
        there = influence_there("arnoldi", projection_dim=P, **options).self_influence()
        assert np.max(np.abs(there.detach().numpy() / exact - 1)) > 1e-4


def tracin_there(kind: str, reduction: str, **options: Any) -> Any:
    data = torch.utils.data.TensorDataset(*tensors(TRAIN))
    shared = {"checkpoints": ["0", "1"], "checkpoints_load_func": load, "batch_size": 5}
    model = module()
    if kind == "fast":
        return captum.TracInCPFast(model, model[2], data, loss_fn=loss_there(reduction), **shared)
    return captum.TracInCP(model, data, loss_fn=loss_there(reduction), **shared, **options)


@pytest.mark.parametrize("kind", ["all", "fast"])
def test_tracin(kind: str) -> None:
    """Their fast variant is that of the last layer's weights, without its bias."""
    parameters = "*" if kind == "all" else "2.weight"
    method = tracin_there(kind, "none" if kind == "all" else "sum")
    there = method.influence(tensors(TEST)).detach().numpy()
    explain = tracin(loss, CHECKPOINTS, TRAIN, rates=RATES, parameters=parameters)
    np.testing.assert_allclose(jax.vmap(explain)(*TEST), there, rtol=1e-10)
    own = method.self_influence().detach().numpy()
    here = self_tracin(loss, CHECKPOINTS, TRAIN, rates=RATES, parameters=parameters)
    np.testing.assert_allclose(here, own, rtol=1e-10)
