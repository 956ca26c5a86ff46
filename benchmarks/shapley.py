"""Shapley values against SHAP, Captum, and the model's forward passes alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import captum.attr
import jax
import jax.numpy as jnp
import numpy as np
import shap
import torch

from jaxplain import kernel_shap, shapley_sampling

from . import _twins
from ._contest import Size, size_name
from ._harness import Effort, Run, check_agreement, fastest, search, take_turns
from ._models import Model
from ._networks import CNN, MLP
from ._report import Row, Topic, milliseconds, ratio

COALITIONS = 2048
ORDERS = 100
NOISE = 0.35  # of the norm: the samples differ
SIZES: tuple[Size, ...] = (None, 32, 128, 512)
Key = jax.Array


class Game(NamedTuple):
    """A model, one input for it, and which elements are one feature."""

    model: Model
    groups: np.ndarray
    count: int

    @property
    def mask(self) -> torch.Tensor:
        """The groups for the twin."""
        groups = np.broadcast_to(self.groups, self.model.x.shape[1:]).astype(np.int64)
        return torch.from_numpy(np.moveaxis(groups, -1, 0)[None] if groups.ndim == 3 else groups)


@functools.cache
def game(name: str) -> Game:
    """A table's row with 20 columns, or a picture of 8 x 8 superpixels."""
    if name == "MLP":
        network, twin, shape = MLP((256, 256, 10)), _twins.mlp, (1, 20)
        groups, count = np.arange(20), 20
    else:
        network, twin, shape = CNN(), _twins.cnn, (1, 28, 28, 1)
        eighth = np.arange(28) * 8 // 28
        groups, count = (8 * eighth[:, None] + eighth[None])[..., None], 64
    x = jax.random.normal(jax.random.key(1), shape)
    variables = jax.jit(network.init)(jax.random.key(0), x)
    label = jnp.argmax(jax.jit(network.apply)(variables, x), axis=-1)
    module = twin(variables).eval().requires_grad_(False)
    return Game(Model(name, network.apply, variables, module, x, label), groups, count)


# ---------------------------------------------------------------------------------- the contenders


def ours(g: Game, method: Callable[..., Any], size: Size) -> Run:
    """The compiled explanation: the example, its label and the key are its arguments."""
    explain = method(g.model.score, groups=g.groups, chunk=size)
    arguments = g.model.x[0], g.model.labels[0]
    key = jax.random.key(2)
    program = jax.jit(explain).lower(*arguments, key=key).compile()
    return lambda: program(*arguments, key=key)


def forwards(g: Game, number: int, size: Size) -> Run:
    """As many scores of inputs that are there already, `size` of them at once."""
    xs = jax.random.normal(jax.random.key(3), (number, *g.model.x.shape[1:]))

    def scores(xs: jax.Array, k: jax.Array) -> jax.Array:
        if size is None:
            return jax.vmap(g.model.score, in_axes=(0, None))(xs, k)
        return jax.lax.map(lambda x: g.model.score(x, k), xs, batch_size=size)

    program = jax.jit(scores).lower(xs, g.model.labels[0]).compile()
    return functools.partial(program, xs, g.model.labels[0])


def by_shap(g: Game, size: Size) -> Run:
    """SHAP, whose features are entries of a row: whether each group is there."""
    label, inputs, mask = int(g.model.labels[0]), g.model.inputs, g.mask

    def score(rows: torch.Tensor) -> torch.Tensor:
        kept = rows[:, mask].reshape(-1, *inputs.shape[1:]) * inputs
        found: torch.Tensor = g.model.twin(kept)[:, label]
        return found

    def scores(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            blocks = torch.from_numpy(rows.astype(np.float32)).split(size or len(rows))
            return torch.cat([score(block) for block in blocks]).numpy()

    explainer = shap.KernelExplainer(scores, np.zeros((1, g.count)))
    row = np.ones(g.count)
    return lambda: explainer.shap_values(row, nsamples=COALITIONS, l1_reg=0, silent=True)


def by_captum(g: Game, method: Any, samples: int, size: Size) -> Run:
    """Captum, `size` evaluations at once."""
    return functools.partial(
        method(g.model.twin).attribute,
        g.model.inputs,
        target=g.model.target,
        feature_mask=g.mask,
        n_samples=samples,
        perturbations_per_eval=size or samples,
    )


class Match(NamedTuple):
    """A method, how many evaluations it makes, and its peer."""

    method: Callable[..., Any]
    evaluations: Callable[[int], int]
    peer: str
    theirs: Callable[[Game, Size], Run]


KERNEL = functools.partial(kernel_shap, samples=COALITIONS)
SAMPLING = functools.partial(shapley_sampling, samples=ORDERS)
MATCHES: Mapping[str, Match] = {
    "kernel SHAP": Match(KERNEL, lambda count: COALITIONS + 2, "SHAP", by_shap),
    "kernel SHAP, again": Match(
        KERNEL,
        lambda count: COALITIONS + 2,
        "Captum",
        lambda g, size: by_captum(g, captum.attr.KernelShap, COALITIONS, size),
    ),
    "sampling": Match(
        SAMPLING,
        lambda count: ORDERS * (count - 1) + 2,
        "Captum",
        lambda g, size: by_captum(g, captum.attr.ShapleyValueSampling, ORDERS, size),
    ),
}

# --------------------------------------------------------------------------------------- measuring


def measure(subject: str, effort: Effort) -> Iterator[Row]:
    """All methods for one model."""
    g = game(subject)
    sizes = (None, 128) if effort.quick else SIZES
    for name, match in MATCHES.items():
        number = match.evaluations(g.count)
        mine = {size: ours(g, match.method, size) for size in sizes}
        alone = {size: forwards(g, number, size) for size in sizes}
        theirs = {size: match.theirs(g, size) for size in sizes}
        best = [fastest(search(runs, effort)) for runs in (mine, alone, theirs)]
        runs = {"ours": mine[best[0]], "alone": alone[best[1]], "theirs": theirs[best[2]]}
        apart = difference(g, runs["ours"](), runs["theirs"]())
        times = take_turns(runs, effort)
        yield (
            f"{subject}, {g.count}: {name.removesuffix(', again')}",
            milliseconds(times["ours"]),
            size_name(best[0]),
            milliseconds(times["alone"]),
            size_name(best[1]),
            f"**{ratio(times['ours'].median, times['alone'].median)}**",
            match.peer,
            milliseconds(times["theirs"]),
            size_name(best[2]),
            f"**{ratio(times['ours'].median, times['theirs'].median)}**",
            f"{apart:.0e}",
        )


def difference(g: Game, mine: jax.Array, theirs: Any) -> float:
    """How far apart the values of the features are: sampling noise, if all is well."""
    groups = np.broadcast_to(g.groups, g.model.x.shape[1:]).ravel()
    first = np.unique(groups, return_index=True)[1]
    if isinstance(theirs, torch.Tensor):
        theirs = g.model.from_twin(theirs)[0].ravel()[first]
    return check_agreement(np.ravel(mine)[first], theirs, NOISE)


TOPIC = Topic(
    name="shapley",
    title="Shapley values against SHAP, Captum, and the model's forward passes alone",
    about=(
        f"`jaxplain.kernel_shap` with {COALITIONS} coalitions and `jaxplain.shapley_sampling` with "
        f"{ORDERS} orders, of one example and one background of zeros, against "
        "`shap.KernelExplainer` (l1_reg=0), `captum.attr.KernelShap` and "
        "`captum.attr.ShapleyValueSampling`. Forward passes alone: as many scores of inputs that "
        "are there already. Everything evaluates as many inputs at once as suits it best, found by "
        f"trying {', '.join(map(str, SIZES[1:]))} and all. The samples differ, so the values differ"
        " by their noise (last column). Ratios below 1: ours is faster."
    ),
    columns=(
        "model, features: method",
        "jaxplain, ms",
        "chunk",
        "forwards alone, ms",
        "batch",
        "per forwards",
        "peer",
        "peer, ms",
        "its batch",
        "per peer",
        "difference",
    ),
    subjects=("MLP", "CNN"),
    measure=measure,
)
