"""Concepts that nobody named: the parts that a layer's activations are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import stack
from .._call import check_score, close
from .._errors import check_chunk, check_count, check_real, is_concrete
from .._tree import count_examples, describe, first_nonfinite, wide
from .._types import Model, PyTree, Scalar
from ..backprop._rule import quotient
from ..perturb._sobol import check_designs, check_exchanged, total_indices
from ..program._cut import cut
from ..program._locate import checked_path
from ._examples import check_activation
from ._factorize import coefficients, factorize, reconstruct


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Concepts:
    """Parts that a layer's activations are made of, the most important first.

    Args:
        directions: the concepts, non-negative directions of unit length in the space of channels,
            (concepts, channels).
        importance: the total Sobol index of each, (concepts,): the share of the score's variance
            that it has part in when concepts are masked at random, in the mean over examples. They
            sum to 1 or more in an example where any matters.
        strength: how much of each there is in each example, the mean over positions of its
            coefficient, in the layer's units, (examples, concepts).
        error: what the concepts leave out of the activations, relative to these, between 0 and 1:
            the root of the ratio of sums of squares.
        converged: whether the directions came to rest.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> found = jaxplain.Concepts(
        ...     directions=jnp.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]),
        ...     importance=jnp.array([0.9, 0.1]),
        ...     strength=jnp.array([[1.0, 0.0], [3.0, 1.0]]), error=0.0, converged=True)
        >>> found.maps(jnp.array([[2.0, 0.0, 0.0], [0.0, 3.0, 4.0]])).round(3)
        Array([[2., 0.],
               [0., 5.]], dtype=float32)
        >>> found.examples(1)
        Array([[1],
               [1]], dtype=int32)
    """

    directions: Any
    importance: Any
    strength: Any
    error: Any
    converged: Any

    def maps(self, h: jax.Array) -> jax.Array:
        r"""How much of each concept there is at each position of a layer's value.

        $\min_{u \ge 0} |h_p - u W|^2$ at each position $p$, with the directions as rows of $W$. It
        can be differentiated: a concept is a unit of the network like any other.

        Args:
            h: the layer's value, (..., channels), such as `jaxplain.cut(f, at=NAME)[0](x)`.

        Returns:
            Coefficients of shape (..., concepts), in the units of `h`.

        Raises:
            ValueError: `h` has another number of channels.
        """
        h = jnp.asarray(h)
        channels = self.directions.shape[-1]
        if h.ndim < 1 or h.shape[-1] != channels:
            raise ValueError(
                f"The concepts are directions of {channels} channels, but {describe(h, 'h')}: give "
                "a value of the layer that they were found in, channels last."
            )
        rows = h.reshape(-1, channels).astype(self.directions.dtype)
        parts = coefficients(rows, self.directions)
        return parts.reshape(*h.shape[:-1], -1).astype(h.dtype)

    def examples(self, count: int = 8) -> jax.Array:
        """The places of the examples that show each concept most, the strongest first.

        Args:
            count: how many for each concept.

        Returns:
            Integers of shape (concepts, count).

        Raises:
            ValueError: there are fewer examples.
        """
        check_count("count", count)
        if count > len(self.strength):
            raise ValueError(f"count={count}, but there are {len(self.strength)} examples.")
        places: jax.Array = jax.lax.top_k(self.strength.T, count)[1]
        return places


def discover_concepts(
    f: Model,
    examples: PyTree,
    *args: Any,
    at: str,
    count: int = 10,
    designs: int = 64,
    iterations: int = 500,
    tolerance: Scalar = 1e-4,
    chunk: int | None = None,
) -> Concepts:
    r"""Find the concepts of a layer, and how much each matters to a score (CRAFT).

    The activations of all examples at all positions, one a row of $A \ge 0$, are factorized:
    $\min_{U, W \ge 0} \|A - U W\|^2$. The rows of $W$ are the concepts. With masks $m \in [0,
    1]^{\text{count}}$ and an example's coefficients $U_x$, the importance of a concept is its total
    Sobol index in $m \mapsto \mathrm{top}((U_x \odot m) W, x)$, in the mean over examples.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        examples: inputs, or crops of them, of one class for instance: an array (or pytree) with a
            leading axis. 50 or more are better.
        *args: further arguments of `f`, the same for all examples, such as the class.
        at: the path of a layer, with globs, as for `cut`. Its value has the channels last and no
            negative entries; all other axes are positions.
        count: how many concepts.
        designs: the number $N$ of pairs of masks, a power of two. The part of `f` above the layer
            is evaluated `designs * (count + 2)` times for each example.
        iterations: at most so many of the factorization.
        tolerance: it ends when no direction, of length 1, moves by more than this in an iteration.
        chunk: at most this many evaluations of `f` are live at once; None for the layer of all
            examples at once, and then all masks of one example.

    Returns:
        `Concepts`.

    Raises:
        ValueError: activations are negative, not finite or all zero, there are more concepts than
            channels or rows, an option is invalid, or no value or several have that name.
        TypeError: `at` is not a string, `f` is not scalar, or the layer is not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jax.nn.relu(x @ jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        ...     return h[0] + h[1]
        >>> data = jax.random.normal(jax.random.key(0), (20, 2))
        >>> found = jaxplain.discover_concepts(f, data, at="hidden", count=2)
        >>> found.directions.round(2)
        Array([[0.71, 0.71, 0.  ],
               [0.  , 0.  , 1.  ]], dtype=float32)
        >>> [f"{share:.2f}" for share in found.importance]  # 12 of 20 examples show the first
        ['0.60', '0.00']

    Notes:
        - A module's value is mostly that before its activation function, and has negative entries.
          After a ReLU, choose what comes into the next module, `at="**/NEXT:in"`.
        - The importance is about the reconstruction: what `error` leaves out is in no concept. A
          concept that the score falls with is as important as one that it rises with. An example
          in which no concept changes the score counts as 0.
        - The factorization is a local minimum. It starts from the singular vectors, so it is the
          same each time; another `count` gives other concepts, not more of the same.
        - Within `jax.jit` activations cannot be looked at: if some are negative, all is NaN.
        - All activations are held in memory, in at least float32, which the results keep.

    References:
        Fel et al. 2023, CRAFT: concept recursive activation factorization for explainability, CVPR,
        arXiv:2211.10154. Lee and Seung 1999, Learning the parts of objects by non-negative matrix
        factorization, Nature 401. Jansen 1999, Analysis of variance designs for model output,
        Computer Physics Communications 117.
    """
    checked_path(at)
    check_chunk(chunk)
    check_count("count", count)
    check_count("iterations", iterations)
    check_real("tolerance", tolerance, low=0)
    check_designs(designs)
    check_exchanged(count, designs)
    examples = _checked(examples)

    # Closed over, not traced: a class index or a flag stays what it is.
    def split(x: PyTree) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array], PyTree]:
        function, x = close(f, (x, *args), {}, 0)
        return *cut(lambda x: check_score(function(x), f), at=at), x

    def activation(x: PyTree) -> jax.Array:
        bottom, _, x = split(x)
        h = bottom(x)
        check_activation(h, f"'{at}'")
        return h

    def importance(x: PyTree, parts: jax.Array, directions: jax.Array, like: Any) -> jax.Array:
        _, top, x = split(x)

        def masked(mask: jax.Array) -> jax.Array:
            rows = reconstruct(parts * mask.astype(parts.dtype)[None], directions)
            return top(rows.reshape(like.shape[1:]).astype(like.dtype), x)

        return total_indices(masked, count, designs=designs, chunk=chunk)

    @jax.jit
    def find(h: jax.Array, examples: PyTree, tolerance: jax.Array) -> Concepts:
        rows = h.reshape(-1, h.shape[-1]).astype(wide(h.dtype))
        rows = jnp.where(jnp.any(rows < 0), jnp.nan, rows)
        fit = factorize(rows, count, iterations, tolerance.astype(rows.dtype))
        parts = coefficients(rows, fit.directions)
        left = jnp.linalg.norm(rows - reconstruct(parts, fit.directions))
        parts = parts.reshape(len(h), -1, count)

        def of_example(node: tuple[PyTree, jax.Array]) -> jax.Array:
            x, own = node
            return importance(x, own, fit.directions, h)

        # One example after another: the masks of one are enough to fill a batch.
        indices = stack(of_example, (examples, parts), chunk=1)
        mean = jnp.mean(indices, axis=0)
        order = jnp.argsort(mean, descending=True)
        return Concepts(
            directions=fit.directions[order],
            importance=mean[order],
            strength=jnp.mean(parts, axis=1)[:, order],
            error=quotient(left, jnp.linalg.norm(rows), 0.0),
            converged=fit.converged,
        )

    h = jax.jit(lambda examples: stack(activation, examples, chunk=chunk))(examples)
    _check_values(h, at, count)
    concepts: Concepts = find(h, examples, jnp.asarray(tolerance))
    return concepts


def _checked(examples: PyTree) -> PyTree:
    """The examples as arrays, of which there are some, and finite."""
    examples = jax.tree.map(jnp.asarray, examples)
    if count_examples(examples, "examples") == 0:
        raise ValueError("examples has a leading axis of length 0: give some inputs.")
    if (where := first_nonfinite(examples, "examples")) is not None:
        raise ValueError(f"An example is not finite: {where}. Leave it out.")
    return examples


def _check_values(h: jax.Array, at: str, count: int) -> None:
    """Raise unless the activations of all examples can be factorized into so many parts."""
    if h.ndim < 2:
        raise ValueError(f"The value at '{at}' is one number for each example: it has no channels.")
    channels = h.shape[-1]
    rows = h.size // max(channels, 1)
    if count > min(channels, rows):
        raise ValueError(
            f"count={count}, but '{at}' has {channels} channels and the examples give {rows} "
            f"positions: ask for at most {min(channels, rows)} concepts, or give more examples."
        )
    if not is_concrete(h):
        return
    if (where := first_nonfinite(h, "h")) is not None:
        raise ValueError(f"The value at '{at}' is not finite: {where}. Choose another layer.")
    if (least := float(jnp.min(h))) < 0:
        raise ValueError(
            f"The value at '{at}' goes down to {least:.3g}, but only non-negative activations are "
            "sums of parts. Choose the value after a ReLU: what comes into the next module, "
            "at='**/NEXT:in', or one that you name with jax.ad_checkpoint.checkpoint_name."
        )
    if not jnp.any(h):
        raise ValueError(
            f"The value at '{at}' is zero for all {len(h)} examples: there is nothing in it. "
            "Choose another layer, or other examples."
        )
