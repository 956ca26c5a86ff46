"""How far two things that should be equal are apart."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from .._tree import same_tree
from .._types import PyTree
from ._norms import distance, norm, ratio


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gap:
    r"""How far two things are apart that an axiom says are equal: 0 where it holds.

    Args:
        absolute: the Euclidean norm of their difference, in their units, shape ().
        relative: the same over the norm of what it is a part of, without unit, shape (); 0/0 is 0,
            and any other number over 0 infinite.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x: jnp.sum(x**2)
        >>> gap = evaluate.completeness(f, jax.grad(f))(jnp.array([1.0, 2.0]))
        >>> float(gap.absolute), round(float(gap.relative), 3)
        (1.0, 0.2)
    """

    absolute: jax.Array
    relative: jax.Array


def gap(left: PyTree, right: PyTree) -> Gap:
    """The distance of two explanations, relative to the longer one: from 0 to 2."""
    if not same_tree(left, right):
        raise ValueError(
            f"The explanations to compare are {jax.tree.structure(left)} and "
            f"{jax.tree.structure(right)}: they must be pytrees of the same structure."
        )
    apart = distance(left, right)
    return Gap(apart, ratio(apart, jnp.maximum(norm(left), norm(right))))
