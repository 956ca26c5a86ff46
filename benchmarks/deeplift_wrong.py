"""Where the DeepLIFT of Captum and of SHAP is wrong, by how much, and on which networks.

Also alone: `python -m benchmarks.deeplift_wrong` prints nothing but the table.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import captum.attr
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import jaxplain

from ._harness import Effort
from ._report import Row, Topic, line

BATCH, TOKENS, WIDTH, CLASSES = 4, 6, 8, 3
WRONG = 1e-3  # of the change: far above rounding in float32

Array = np.ndarray
Weights = Mapping[str, Array]
Here = Callable[[Any, Weights], Any]  # of (tokens, width) and the weights, to (any tokens, width)


# -------------------------------------------------------------------------------- steps in PyTorch


class Apply(nn.Module):
    """A function, and modules that it may use."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.modules_used = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, tokens, width) to the same, maybe of fewer tokens."""
        return self.function(x, *self.modules_used)


def over_tokens(x: Tensor, *modules: nn.Module) -> Tensor:
    """Modules that work on (examples, channels, positions), one right after the other."""
    x = x.transpose(1, 2)
    for module in modules:
        x = module(x)
    return x.transpose(1, 2)


def attention(
    x: Tensor, query: nn.Module, key: nn.Module, value: nn.Module, *softmax: nn.Module
) -> Tensor:
    """Self-attention of one head; its softmax is a function, or the module if there is one."""
    scores = query(x) @ key(x).transpose(1, 2) / WIDTH**0.5
    weights = softmax[0](scores) if softmax else scores.softmax(dim=-1)
    return weights @ value(x)


def twice(x: Tensor, relu: nn.Module, between: nn.Module) -> Tensor:
    """The same module at two places."""
    return relu(between(relu(x)))


def encoder_block(x: Tensor, *modules: nn.Module) -> Tensor:
    """Attention and two dense layers, each behind a LayerNorm and beside a residual."""
    norm1, query, key, value, norm2, up, gelu, down = modules
    x = x + attention(norm1(x), query, key, value)
    return x + down(gelu(up(norm2(x))))


def dense(count: int) -> list[nn.Module]:
    """Layers from `WIDTH` to `WIDTH`."""
    return [nn.Linear(WIDTH, WIDTH) for _ in range(count)]


# ------------------------------------------------------------------------------------ steps in JAX


def apply_dense(x: Any, w: Weights, place: int) -> Any:
    """One of the layers that a step uses."""
    return x @ w[f"{place}.weight"].T + w[f"{place}.bias"]


def pool_here(x: Any, size: int, stride: int) -> Any:
    """Max pooling over the tokens."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (size, 1), (stride, 1), "VALID")


def norm_here(x: Any, w: Weights, place: int) -> Any:
    """A LayerNorm over the last axis."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
    return centred * scale * w[f"{place}.weight"] + w[f"{place}.bias"]


def attention_here(x: Any, w: Weights, first: int = 0) -> Any:
    """The same attention."""
    query, key, value = (apply_dense(x, w, first + i) for i in range(3))
    return jax.nn.softmax(query @ key.T / WIDTH**0.5, axis=-1) @ value


def encoder_here(x: Any, w: Weights) -> Any:
    """The same block."""
    x = x + attention_here(norm_here(x, w, 0), w, 1)
    h = apply_dense(norm_here(x, w, 4), w, 5)
    return x + apply_dense(jax.nn.gelu(h, approximate=False), w, 7)


# ------------------------------------------------------------------------------------ the networks


class Case(NamedTuple):
    """A step between two dense layers, in both libraries, and what is known of it."""

    there: Callable[[], nn.Module]
    here: Here
    known: str = ""


CASES: dict[str, Case] = {
    "ReLU, a module used once": Case(nn.ReLU, lambda x, w: jax.nn.relu(x), "as the peers ask for"),
    "ReLU, a function": Case(
        lambda: Apply(F.relu), lambda x, w: jax.nn.relu(x), "captum#578"
    ),
    "ReLU, a module used twice": Case(
        lambda: Apply(twice, nn.ReLU(), *dense(1)),
        lambda x, w: jax.nn.relu(apply_dense(jax.nn.relu(x), w, 1)),
        "captum#199, #934",
    ),
    "ReLU, made in forward": Case(
        lambda: Apply(lambda x: nn.ReLU()(x)), lambda x, w: jax.nn.relu(x), "captum#1082"
    ),
    "ReLU6, a module": Case(nn.ReLU6, lambda x, w: jax.nn.relu6(x)),
    "ReLU, then max pooling": Case(
        lambda: Apply(over_tokens, nn.ReLU(), nn.MaxPool1d(2)),
        lambda x, w: pool_here(jax.nn.relu(x), 2, 2),
        "captum#1104: the usual CNN",
    ),
    "max pooling that overlaps": Case(
        lambda: Apply(over_tokens, nn.MaxPool1d(3, 2)),
        lambda x, w: pool_here(x, 3, 2),
        "unpooling keeps one window",
    ),
    "softmax, a module": Case(
        lambda: nn.Softmax(dim=-1), lambda x, w: jax.nn.softmax(x, axis=-1), "captum#519"
    ),
    "softmax, a function": Case(
        lambda: Apply(functools.partial(F.softmax, dim=-1)),
        lambda x, w: jax.nn.softmax(x, axis=-1),
        "captum#1085",
    ),
    "exp": Case(lambda: Apply(torch.exp), lambda x, w: jnp.exp(x), "captum#1085"),
    "product of two layers": Case(
        lambda: Apply(lambda x, a, b: a(x) * b(x), *dense(2)),
        lambda x, w: apply_dense(x, w, 0) * apply_dense(x, w, 1),
        "captum#1085",
    ),
    "quotient of two layers": Case(
        lambda: Apply(lambda x, a, b: a(x) / (1 + b(x) ** 2), *dense(2)),
        lambda x, w: apply_dense(x, w, 0) / (1 + apply_dense(x, w, 1) ** 2),
        "captum#1085",
    ),
    "residual and gate": Case(
        lambda: Apply(lambda x, a, b, gate: x + a(x) * gate(b(x)), *dense(2), nn.Sigmoid()),
        lambda x, w: x + apply_dense(x, w, 0) * jax.nn.sigmoid(apply_dense(x, w, 1)),
        "the gate is a module",
    ),
    "LayerNorm": Case(lambda: nn.LayerNorm(WIDTH), lambda x, w: norm_here(x, w, 0)),
    "GELU, a module": Case(nn.GELU, lambda x, w: jax.nn.gelu(x, approximate=False)),
    "GELU, a function": Case(
        lambda: Apply(F.gelu), lambda x, w: jax.nn.gelu(x, approximate=False)
    ),
    "SiLU, a function": Case(lambda: Apply(F.silu), lambda x, w: jax.nn.silu(x)),
    "self-attention": Case(
        lambda: Apply(attention, *dense(3)), lambda x, w: attention_here(x, w), "captum#1357"
    ),
    "self-attention, softmax a module": Case(
        lambda: Apply(attention, *dense(3), nn.Softmax(dim=-1)),
        lambda x, w: attention_here(x, w),
        "captum#519",
    ),
    "transformer block": Case(
        lambda: Apply(
            encoder_block,
            nn.LayerNorm(WIDTH),
            *dense(3),
            nn.LayerNorm(WIDTH),
            *dense(1),
            nn.GELU(),
            *dense(1),
        ),
        encoder_here,
        "captum#1357",
    ),
}  # fmt: skip


class Network(nn.Module):
    """A dense layer, the step, and a dense layer on the mean of the tokens."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.first, self.step, self.last = nn.Linear(WIDTH, WIDTH), step, nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, tokens, width) to logits."""
        return self.last(self.step(self.first(x)).mean(1))


class Subject(NamedTuple):
    """A network in both libraries, a batch and the reference of all of it."""

    module: nn.Module
    score: Callable[[Any], Any]  # of one example
    x: Array
    reference: Array


def subject(name: str) -> Subject:
    """One of `CASES`, with random weights that are larger than PyTorch's: its steps must matter."""
    case = CASES[name]
    rng = np.random.default_rng(0)
    module = Network(case.there()).eval()
    for parameter in module.parameters():
        scale = 2 * parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.5
        parameter.data = torch.tensor(rng.normal(0, scale, parameter.shape), dtype=torch.float32)
    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    prefixes = ("step.modules_used.", "step.")
    own = {f"0.{key}": w for key, w in _below(weights, prefixes[1]).items()}
    own |= _below(weights, prefixes[0])

    def score(x: Any) -> Any:
        h = x @ weights["first.weight"].T + weights["first.bias"]
        h = jnp.mean(case.here(h, own), axis=0)
        return (h @ weights["last.weight"].T + weights["last.bias"])[0]

    x, reference = rng.normal(size=(2, BATCH, TOKENS, WIDTH)).astype(np.float32)
    return Subject(module, score, x, reference[0])


def _below(weights: Weights, prefix: str) -> dict[str, Array]:
    return {k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)}


# ---------------------------------------------------------------------------------- who explains it


def by_captum(s: Subject, x: Array) -> Array:
    """Captum's contributions for the first class."""
    explain = captum.attr.DeepLift(copy.deepcopy(s.module))
    start = torch.tensor(s.reference).expand(len(x), -1, -1).clone()
    return explain.attribute(torch.tensor(x).requires_grad_(), start, target=0).detach().numpy()


def by_shap(s: Subject, x: Array, *, check: bool = False) -> Array:
    """SHAP's, with a background of one example, and without its check of the sums."""
    import shap  # here, since importing it takes seconds

    explain = shap.DeepExplainer(copy.deepcopy(s.module), torch.tensor(s.reference)[None])
    return np.asarray(explain.shap_values(torch.tensor(x), check_additivity=check))[..., 0]


def by_jaxplain(s: Subject, x: Array) -> Array:
    """Ours."""
    explain = functools.partial(jaxplain.deeplift(s.score), baseline=s.reference)
    return np.asarray(jax.jit(jax.vmap(explain))(x))


def shap_refuses(s: Subject) -> bool:
    """Whether SHAP's check of the sums, which is on by default, raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            by_shap(s, s.x, check=True)
    except AssertionError:
        return True
    return False


class Verdict(NamedTuple):
    """How far sums are from the changes, and how far examples are from themselves alone."""

    missed: float
    batch: float


def judge(s: Subject, explain: Callable[[Subject, Array], Array]) -> Verdict | str:
    """Verdict on a batch, or how the explanation failed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = explain(s, s.x)
            alone = np.concatenate([explain(s, s.x[i : i + 1]) for i in range(len(s.x))])
    except Exception as error:  # what the peer raises is what the table reports
        return "not installed" if isinstance(error, ImportError) else f"{type(error).__name__}"
    change = np.asarray(jax.vmap(s.score)(s.x) - s.score(s.reference))
    sums = np.sum(found, axis=(1, 2), dtype=np.float64)
    apart = np.linalg.norm(found - alone) / np.linalg.norm(alone)
    return Verdict(float(np.sum(np.abs(sums - change)) / np.sum(np.abs(change))), float(apart))


def agree_on_values(s: Subject) -> None:
    """Both networks are the same function."""
    with torch.no_grad():
        there = s.module(torch.tensor(s.x))[:, 0].numpy()
    np.testing.assert_allclose(jax.vmap(s.score)(s.x), there, rtol=1e-3, atol=1e-4)


def cell(verdict: Verdict | str) -> str:
    """What the sums miss of the change; bold where that is no rounding."""
    if isinstance(verdict, str):
        return verdict if verdict == "not installed" else f"**raises {verdict}**"
    if verdict.missed > WRONG:
        return f"**{verdict.missed:.1%}**"
    return f"{verdict.missed:.0e}"


def note(s: Subject, name: str, verdicts: Mapping[str, Verdict | str]) -> str:
    """What the numbers say in words, and where it is reported."""
    said = []
    for peer, verdict in verdicts.items():
        if isinstance(verdict, str):
            continue
        if verdict.missed > WRONG:
            told = peer == "SHAP" and shap_refuses(s)
            said.append(f"{peer}'s check refuses" if told else f"{peer} silently wrong")
        if verdict.batch > WRONG:
            said.append(f"{peer} depends on the batch, by {verdict.batch:.0%}")
    return "; ".join([*said, *filter(None, [CASES[name].known])])


def measure(name: str, effort: Effort | None = None) -> Iterator[Row]:
    """One network, three explanations."""
    s = subject(name)
    agree_on_values(s)
    peers = {"Captum": judge(s, by_captum), "SHAP": judge(s, by_shap)}
    ours = judge(s, by_jaxplain)
    everyone = {**peers, "jaxplain": ours}
    yield (name, *map(cell, everyone.values()), note(s, name, everyone))


TOPIC = Topic(
    name="deeplift_wrong",
    title="DeepLIFT: what the sums of contributions miss",
    about=(
        "By definition the contributions sum to f(x) - f(reference). The columns say how much of "
        f"that change the sums miss, over {BATCH} examples with one random reference, in float32: "
        "a small number is rounding. Each network is a dense layer, the step, and a dense layer on "
        f"the mean of {TOKENS} tokens, with the same weights in PyTorch and in JAX. "
        "SHAP's check of the sums, on by default, was off for its column; the note says where it "
        "refuses."
    ),
    columns=("step", "Captum", "SHAP", "jaxplain", "note"),
    subjects=tuple(CASES),
    measure=measure,
)


def main() -> None:
    """Print the table."""
    print(line(TOPIC.columns), line(("---",) * len(TOPIC.columns)), sep="\n")
    for name in CASES:
        for row in measure(name):
            print(line(row), flush=True)


if __name__ == "__main__":
    main()
