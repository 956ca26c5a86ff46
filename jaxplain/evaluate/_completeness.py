"""Do the parts add up? Completeness, and the two conditions of conservation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._tree import widen
from .._types import Argnums, Model
from ..perturb._features import Partition
from ._gap import Gap
from ._norms import ratio
from ._subjects import Attributions, Call, Subject


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Conservation:
    r"""How much of the score is handed out, and in how many pieces that cancel.

    Args:
        total: $\sum_i R_i / f(x)$, 1 if the score is conserved, shape ().
        magnitude: $\sum_i |R_i| / |f(x)|$, at least 1 for a conserved score, and 1 if no relevance
            cancels, shape ().

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([3.0, -1.0])
        >>> evaluate.conservation(f, jax.grad(f))(jnp.ones(2))
        Conservation(total=Array(1., dtype=float32), magnitude=Array(2., dtype=float32))
    """

    total: jax.Array
    magnitude: jax.Array


def completeness(
    f: Model, attribution: Attributions, *, argnums: Argnums = 0
) -> Callable[..., Any]:
    r"""How far the sum of an explanation is from what it is to explain.

    $|\sum_i A_i - (f(x) - f(x^0))|$, and that over $|f(x) - f(x^0)|$.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f`, `baseline=` (zeros by default) and `key=` (if an
        attribution needs one), that returns a `Gap`, or a dictionary of them.

    Raises:
        ValueError: when called, an attribution is not like the input.
        TypeError: when called, if `f` is not scalar, or a key is missing or of no use.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f = lambda x: x[0] * x[1]
        >>> methods = {"gradient": jax.grad(f), "integrated": jaxplain.integrated_grad(f)}
        >>> gaps = evaluate.completeness(f, methods)(jnp.array([2.0, 3.0]))
        >>> {name: round(float(gap.absolute), 3) for name, gap in gaps.items()}
        {'gradient': 1.0, 'integrated': 0.0}

    Notes:
        `baseline=` is the one of the axiom; it does not reach the attribution. Bind the same to
        both, `functools.partial(explain, baseline=x0)`. The scores are those of the model in its
        own precision: about 1e-6 of the larger one is rounding in float32.

    References:
        Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365.
    """

    def measure(subject: Subject, key: Any) -> Gap:
        del key
        game = subject.game
        there, gone = game.values(lambda kept: kept, _all_or_none(game.count), chunk=None)
        absolute = jnp.abs(jnp.sum(subject.relevance) - (there - gone))
        return Gap(absolute, ratio(absolute, jnp.abs(there - gone)))

    return _of_elements(argnums).metric(f, attribution, measure, name="completeness")


def conservation(
    f: Model, attribution: Attributions, *, argnums: Argnums = 0
) -> Callable[..., Any]:
    r"""Whether relevance adds up to the score without large parts that cancel.

    An explanation should meet $\sum_i R_i = f(x)$ and $\sum_i |R_i| < A \, |f(x)|$ with a small
    number $A$: the first alone is met by noise of any size that sums to the score. Both sums are
    returned over $f(x)$.

    Args:
        f: as for `pixel_flipping`.
        attribution: as for `pixel_flipping`.
        argnums: as for `pixel_flipping`.

    Returns:
        A function with the arguments of `f` and `key=` (if an attribution needs one), that returns
        a `Conservation`, or a dictionary of them.

    Raises:
        ValueError: when called, an attribution is not like the input.
        TypeError: when called, if `f` is not scalar, or a key is missing or of no use.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f = lambda x: jax.nn.relu(x @ jnp.array([2.0, -1.0]))
        >>> found = evaluate.conservation(f, jaxplain.lrp(f))(jnp.ones(2))
        >>> round(float(found.total), 3), round(float(found.magnitude), 3)
        (1.0, 3.0)

    Notes:
        Biases and the ε of rules absorb relevance, so that the total is below 1 by their share. A
        score of 0 gives 0 if the sum is 0 too, and infinity otherwise.

    References:
        Montavon et al. 2018, Methods for interpreting and understanding deep neural networks,
        arXiv:1706.07979. Montavon et al. 2019, Layer-wise relevance propagation: an overview.
    """

    def measure(subject: Subject, key: Any) -> Conservation:
        del key
        score = widen(subject.game.score(subject.game.x))
        return Conservation(
            ratio(jnp.sum(subject.relevance), score),
            ratio(jnp.sum(jnp.abs(subject.relevance)), jnp.abs(score)),
        )

    return _of_elements(argnums).metric(f, attribution, measure, name="conservation")


def _of_elements(argnums: Argnums) -> Call:
    """Every element is a feature."""
    return Call(Partition.checked(None, None), argnums)


def _all_or_none(count: int) -> jax.Array:
    return jnp.broadcast_to(jnp.array([True, False])[:, None], (2, count))
