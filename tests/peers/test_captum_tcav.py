"""Side by side with Captum's TCAV: the same directions give the same scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain import concept_sensitivity

REASON = 'needs the peers extra: pip install "jaxplain[peers]"'
torch = pytest.importorskip("torch", reason=REASON)
captum = pytest.importorskip("captum.concept", reason=REASON)


RNG = np.random.default_rng(0)
INPUTS = 3 * RNG.normal(size=(40, 6))
DIRECTION = RNG.normal(size=9)


class Given(captum.Classifier):
    """A classifier that was fitted elsewhere: Captum takes its vectors from the weights."""

    def __init__(self) -> None:  # abstract in Captum
        pass

    def train_and_eval(self, dataloader: Iterable[Any], **_: Any) -> dict[str, float]:
        return {"accs": 1.0}

    def weights(self) -> Any:
        # In single precision, to which Captum rounds; one row for each of two concepts.
        return torch.tensor(np.stack([DIRECTION, -DIRECTION]), dtype=torch.float32)

    def classes(self) -> list[int]:
        return [0, 1]


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")  # its files
def test_scores_are_captums(tmp_path: Path) -> None:
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 2))
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}

    def score(x: Any, k: Any) -> Any:
        with jax.named_scope("hidden"):
            h = jnp.tanh(weights["0.weight"] @ x + weights["0.bias"])
        h = jax.nn.relu(weights["2.weight"] @ h + weights["2.bias"])
        return (weights["4.weight"] @ h + weights["4.bias"])[k]

    data = [torch.randn(6) for _ in range(4)]
    loaders = [torch.utils.data.DataLoader(data, batch_size=2) for _ in range(2)]
    concepts = [captum.Concept(i, f"c{i}", loader) for i, loader in enumerate(loaders)]
    method = captum.TCAV(
        module, ["1"], classifier=Given(), save_path=str(tmp_path), show_progress=False
    )
    explain = concept_sensitivity(score, "hidden", jnp.asarray(DIRECTION, jnp.float32))
    inputs = np.asarray(INPUTS, np.float32)
    sensitivity = jax.jit(jax.vmap(explain, (0, None)))
    for k in (0, 1):
        expected = method.interpret(torch.tensor(inputs), [concepts], target=k)["0-1"]["1"]
        found = np.asarray(sensitivity(inputs, k))
        share = float(np.mean(found > 0))
        assert 0 < share < 1  # so that the signs differ
        np.testing.assert_allclose(expected["sign_count"].numpy(), [share, 1 - share], atol=1e-6)
        mean = found.mean()
        np.testing.assert_allclose(expected["magnitude"].numpy(), [mean, -mean], rtol=1e-4)
