"""Do explanations depend on what the model has learned? Tests with randomized parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import nested, stack
from .._call import named
from .._errors import check_choice, check_chunk, check_count
from .._types import Argnums, Chunk, PyTree, Scalar
from ..gradients._smooth import smooth
from ._makers import Explained, Maker, Makers, of_makers
from ._random_parameters import DRAWS, ORDERS, Plan, checked_layers
from ._similarity import similarity_of
from ._subjects import methods_of


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Randomization:
    """How alike an explanation stays while a model's layers are randomized.

    Args:
        similarities: to the explanation of the model itself, (layers,).
        layers: the layer that is new in each step, names.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> found = evaluate.Randomization(jnp.array([0.5, 0.0]), ("last", "first"))
        >>> float(found.mean)
        0.25
    """

    similarities: jax.Array
    layers: tuple[str, ...] = dataclasses.field(metadata={"static": True})

    @property
    def mean(self) -> jax.Array:
        """The mean over the layers."""
        return jnp.mean(self.similarities, axis=-1)


def parameter_randomization(
    make_attribution: Makers,
    params: PyTree,
    *,
    layers: Sequence[str] | None = None,
    order: str = "top_down",
    draw: str = "permutation",
    similarity: str = "spearman",
    absolute: bool = False,
    chunk: Chunk = "auto",
) -> Callable[..., Any]:
    r"""How alike an explanation stays while the model's layers are randomized one after the other.

    The test of sanity (MPRT): an explanation of what the model has learned should change when that
    is taken out of it. All randomized models are explained in one compiled call.

    Args:
        make_attribution: `params -> attribution`, the method for a model with these parameters, as
            in `lambda p: jax.grad(lambda x: f(p, x))`; or a dictionary of several.
        params: the parameters that were learned, a pytree.
        layers: globs over the paths of `params`, one for each layer, from the input to the output,
            as in `("*/Conv_0/*", "*/Dense_0/*")`. May be left out if `params` is a list of layers.
        order: `"top_down"`, from the output on, all layers so far; `"bottom_up"`, from the input
            on; or `"each"`, one layer at a time.
        draw: `"permutation"` or `"normal"`, as for `randomize_parameters`.
        similarity: `"spearman"`, `"pearson"`, `"cosine"`, or `"ssim"` for pictures; 0 where an
            explanation is constant, for the two correlations.
        absolute: compare the magnitudes of relevance.
        chunk: at most this many randomized models per example are live at once; "auto" for as many
            as run fast, None for all.

    Returns:
        A function with the arguments of the attribution, and `key=`, that returns a
        `Randomization`, or a dictionary of them. All methods see the same randomized models; a
        random method gets the same key each time.

    Raises:
        ValueError: an option is unknown or a glob fits no parameter; when called, `similarity`
            does not fit the shape.
        TypeError: the order of layers is not known; when called, without a key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> params = [jnp.arange(12.0).reshape(4, 3), jnp.array([1.0, -1.0, 2.0])]
        >>> make = lambda p: jax.grad(lambda x: jnp.tanh(x @ p[0]) @ p[1])
        >>> test = evaluate.parameter_randomization(make, params)
        >>> found = test(jnp.ones(4), key=jax.random.key(0))
        >>> found.layers, found.similarities.shape
        (('1', '0'), (2,))

    Notes:
        With one key bound, `functools.partial(test, key=key)`, `jax.vmap` over examples randomizes
        once for all of them; with a key for each, every example has parameters of its own. A method
        may pass for being noisy: see `smooth_mprt`. Magnitudes are more alike than signed values,
        by the picture's contours alone.

    References:
        Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292.
    """
    alike = similarity_of(similarity, absolute=absolute)
    check_choice("order", order, ORDERS)
    check_choice("draw", draw, DRAWS)
    check_chunk(chunk)
    plan = Plan.of(params, checked_layers(params, layers))
    names, steps = plan.steps(order)

    def measure(explain: Explained, new: PyTree) -> Randomization:
        original = alike.prepare(explain(params))

        def similar(randomized: jax.Array) -> jax.Array:
            other = alike.prepare(explain(plan.mixed(params, new, randomized)))
            return alike.compare(original, other)

        return Randomization(stack(similar, jnp.asarray(steps), chunk=chunk), names)

    return of_makers(make_attribution, params, plan, draw, measure, "parameter_randomization")


def smooth_mprt(
    make_attribution: Makers,
    params: PyTree,
    *,
    samples: int = 50,
    noise_level: Scalar = 0.1,
    layers: Sequence[str] | None = None,
    order: str = "bottom_up",
    draw: str = "permutation",
    similarity: str = "spearman",
    absolute: bool = False,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""`parameter_randomization` of explanations that are averaged over noise on the input.

    Averaging takes out of an explanation what changes from point to point, for which a noisy method
    would seem to depend on the parameters.

    Args:
        make_attribution: as for `parameter_randomization`.
        params: as for `parameter_randomization`.
        samples: number of noisy inputs.
        noise_level: standard deviation of the noise as a share of the input's range.
        layers: as for `parameter_randomization`.
        order: as for `parameter_randomization`.
        draw: as for `parameter_randomization`.
        similarity: as for `parameter_randomization`.
        absolute: as for `parameter_randomization`.
        chunk: at most this many explanations per example are live at once; "auto" for as many as
            run fast, None for all.
        argnums: the argument to add noise to.

    Returns:
        A function as that of `parameter_randomization`. All models see the same noise.

    Raises:
        ValueError: as for `parameter_randomization`; when called, the input has no range.
        TypeError: as for `parameter_randomization`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> params = [jnp.arange(12.0).reshape(4, 3), jnp.array([1.0, -1.0, 2.0])]
        >>> make = lambda p: jax.grad(lambda x: jnp.tanh(x @ p[0]) @ p[1])
        >>> test = evaluate.smooth_mprt(make, params, samples=4)
        >>> test(jnp.arange(4.0), key=jax.random.key(0)).similarities.shape
        (2,)

    Notes:
        `samples` explanations for each layer and method. `chunk` counts them whole: models times
        samples.

    References:
        Hedström et al. 2024, Sanity checks revisited: an exploration to repair the model parameter
        randomisation test, arXiv:2401.06465.
    """
    check_count("samples", samples)
    check_chunk(chunk)
    outer, inner = nested(chunk, samples)

    def smoothed(make: Maker) -> Maker:
        return lambda params: smooth(
            make(params), samples=samples, noise_level=noise_level, chunk=inner, argnums=argnums
        )

    makers = methods_of(make_attribution, "smooth_mprt")
    averaged = {name: smoothed(make) for name, make in makers.items()}
    test = parameter_randomization(
        averaged if isinstance(make_attribution, Mapping) else averaged[""],
        params,
        layers=layers,
        order=order,
        draw=draw,
        similarity=similarity,
        absolute=absolute,
        chunk=outer,
    )
    return named(test, "smooth_mprt", smoothed, random=True)
