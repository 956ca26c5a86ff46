"""The examples of a data set that a layer takes for most alike."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import stack
from .._call import check_score, close, name_of, named
from .._errors import check_choice, check_chunk, check_count
from .._tree import count_examples, describe, first_nonfinite, wide
from .._types import Model, PyTree
from ..backprop._composite import Composite, as_composite
from ..backprop._presets import epsilon
from ..backprop._rule import Rule
from ..concepts._crp import relevance_at
from ..program._cut import cut
from ..program._locate import checked_path

METRICS = ("cosine", "euclidean")
BY = ("activation", "relevance")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Neighbors:
    """The examples nearest to an input, the nearest first.

    Args:
        indices: places in the data set, integers of shape (count,).
        distances: how far they are, shaped like `indices`; cosine distances lie in [0, 2],
            Euclidean ones are in units of the layer.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = 2 * x
        ...     return h.sum()
        >>> data = jnp.array([[1.0, 0.0], [0.0, 3.0]])
        >>> find = jaxplain.nearest_examples(f, data, at="hidden", count=1)
        >>> find(jnp.array([0.0, 1.0])).indices
        Array([1], dtype=int32)
    """

    indices: jax.Array
    distances: jax.Array


def nearest_examples(
    f: Model,
    data: PyTree | Iterable[PyTree],
    *args: Any,
    at: str,
    count: int = 8,
    metric: str = "cosine",
    by: str = "activation",
    rules: Composite | Rule | None = None,
    of: Callable[[jax.Array], jax.Array] | None = None,
    chunk: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Callable[..., Neighbors]:
    r"""Explain by similar cases: the examples whose value at a layer is nearest to that of `x`.

    With $h$ the value at the layer (or its relevance) as one vector, the distance of two inputs is
    $1 - \frac{h \cdot h'}{|h|\,|h'|}$ (cosine) or $|h - h'|$ (Euclidean).

    Args:
        f: the model, `f(x, *args)` of one example; by relevance it must be a scalar, such as the
            logit of one class.
        data: the examples: an array (or a tuple, dictionary or dataclass of arrays) with a leading
            axis; or a list or any other iterable of such batches, read once, one at a time.
        *args: further arguments of `f`, the same for all examples of the data.
        at: the path of a layer, with globs, as for `cut`.
        count: how many examples to find.
        metric: `"cosine"`, for which only the direction counts, or `"euclidean"`. A vector of zeros
            has cosine distance 1 to everything.
        by: `"activation"`, to find what the layer takes for alike, or `"relevance"`, by `lrp`, to
            find what is alike in what decided the score.
        rules: as for `lrp`, by relevance.
        of: from the value at the layer (or its relevance) to what is compared, an array of any
            shape: `lambda h: h.mean(axis=(0, 1))` for what there is, wherever it is. None for the
            value itself.
        chunk: at most this many examples of a batch are evaluated at once; None for all of them.
        progress: called after each batch with the number of examples seen.

    Returns:
        A function with the arguments of `f` that returns the `Neighbors` of one input, places in
        the order in which the data were read; of equally near examples the first comes first. It
        may be compiled, and mapped over inputs.

    Raises:
        ValueError: an option is invalid, there are fewer than `count` examples, one is not finite
            or of another size, no value has that name, or, when called, `x` is not finite.
        TypeError: `at` is not a string, or the value at the layer is not floating; by relevance,
            `f` is not scalar or inputs are not floating: token ids have no relevance.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jax.nn.relu(x)
        ...     return h @ jnp.array([1.0, 0.0])
        >>> data = jnp.array([[1.0, 3.0], [3.0, 1.0], [-1.0, 2.0]])
        >>> x = jnp.array([2.0, 0.1])
        >>> find = jaxplain.nearest_examples(f, data, at="hidden", count=2, metric="euclidean")
        >>> find(x).indices
        Array([1, 2], dtype=int32)
        >>> find = jaxplain.nearest_examples(f, data, at="hidden", count=2, by="relevance")
        >>> find(x).indices
        Array([0, 1], dtype=int32)

    Notes:
        - The layer's values of all examples are computed once, here, and kept: n vectors in the
          dtype of the layer, float32 at least. Batches of another size compile again.
        - An example that is in the data finds itself first. Near examples say what the layer takes
          for alike, not why: early layers compare looks, late ones what the model makes of them.

    References:
        Caruana et al. 1999, Case-based explanation of non-case-based learning methods, AMIA.
        Papernot and McDaniel 2018, Deep k-nearest neighbors, arXiv:1803.04765.
    """
    checked_path(at)
    check_choice("metric", metric, METRICS)
    check_choice("by", by, BY)
    check_count("count", count)
    check_chunk(chunk)
    if by == "activation" and rules is not None:
        raise ValueError("rules= are for by='relevance': leave them out, or choose that.")
    composite = epsilon() if rules is None else as_composite(rules)

    def vector(function: Callable[[PyTree], Any], x: PyTree) -> jax.Array:
        value = (
            cut(function, at=at)[0](x)
            if by == "activation"
            else relevance_at(lambda x: check_score(function(x), f), x, composite, at)
        )
        flat = _flat(value if of is None else of(value), at, of)
        return _direction(flat) if metric == "cosine" else flat

    def of_example(x: PyTree) -> jax.Array:
        function, x = close(f, (x, *args), {}, 0)
        return vector(function, x)

    known = _evaluated(of_example, data, at, chunk, progress)
    if count > len(known):
        raise ValueError(f"count={count} of {len(known)} examples: there are not as many.")

    # Here and not in `find`, where a compiler would take a minute to fold it into a constant.
    zero = ~jnp.any(known != 0, axis=1)
    distance = functools.partial(_cosine, zero) if metric == "cosine" else _euclidean

    def find(*args: Any, **kwargs: Any) -> Neighbors:
        function, x = close(f, args, kwargs, 0)
        if (where := first_nonfinite(x, "x")) is not None:
            raise ValueError(f"The input to find neighbours of is not finite: {where}.")
        here = vector(function, x)
        if here.shape != known.shape[1:]:
            raise ValueError(
                f"'{at}' gives {here.shape[0]} numbers for this input, and gave {known.shape[1]} "
                "for those of the data: all inputs must have one shape."
            )
        distances = distance(known, here.astype(known.dtype))
        _, indices = jax.lax.top_k(-distances, count)
        return Neighbors(indices.astype(jnp.int32), distances[indices])

    return named(find, "nearest_examples", f)


def _evaluated(
    fn: Callable[[PyTree], jax.Array],
    data: PyTree | Iterable[PyTree],
    at: str,
    chunk: int | None,
    progress: Callable[[int], None] | None,
) -> jax.Array:
    """`fn` of every example, `(n, d)`."""
    of_batch = jax.jit(lambda batch: stack(fn, batch, chunk=chunk))
    found: list[jax.Array] = []
    seen = 0
    for batch in _batches(data):
        batch = jax.tree.map(jnp.asarray, batch)
        count_examples(batch, "A batch (a list is taken for a list of them)")
        if (where := first_nonfinite(batch, "batch")) is not None:
            raise ValueError(f"After {seen} examples a batch is not finite: {where}.")
        vectors = of_batch(batch)
        if first_nonfinite(vectors, "value") is not None:
            row = int(jnp.argmax(~jnp.isfinite(vectors).all(axis=1)))
            raise ValueError(f"The value at '{at}' of example {seen + row} is not finite.")
        if found and vectors.shape[1:] != found[0].shape[1:]:
            raise ValueError(
                f"After {seen} examples a batch is of another size: '{at}' gives "
                f"{vectors.shape[1]} numbers for an example instead of {found[0].shape[1]}."
            )
        found.append(vectors)
        seen += len(vectors)
        if progress is not None:
            progress(seen)
    if not found:
        raise ValueError("nearest_examples got no batch: give arrays with a leading axis.")
    return jnp.concatenate(found)


def _batches(data: Any) -> Iterable[PyTree]:
    """The data as batches: a list or a stream of them, or all in one."""
    tree = hasattr(data, "shape") or isinstance(data, tuple | Mapping)
    return data if isinstance(data, Iterable) and not tree else [data]


def _flat(value: Any, at: str, of: Callable[..., Any] | None) -> jax.Array:
    """What is compared, as one vector in the dtype to compute in."""
    if not hasattr(value, "dtype") or not jnp.issubdtype(value.dtype, jnp.floating):
        made = f"{name_of(of)} made {describe(value, 'value')}" if of else describe(value, "h")
        raise TypeError(
            f"What is compared must be one array of floating-point numbers, but at '{at}' there is "
            f"{made}. Choose a later value, such as embeddings instead of token ids."
        )
    vector: jax.Array = value.reshape(-1).astype(wide(value.dtype))
    return vector


def _direction(vector: jax.Array) -> jax.Array:
    """The vector at length 1; zeros stay zeros."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vector)))
    # Squares of what is huge or tiny leave the range of numbers.
    scaled = vector / jnp.where(largest == 0, 1, largest)
    square = jnp.sum(scaled**2)
    return scaled / jnp.sqrt(jnp.where(square == 0, 1, square))


def _cosine(zero: jax.Array, known: jax.Array, here: jax.Array) -> jax.Array:
    """Half the squared distance of directions: 1 - cos loses digits where they are alike.

    1 where either is zero: `zero` says which of the known ones are.
    """
    return jnp.where(zero | ~jnp.any(here != 0), 1, jnp.sum((known - here[None]) ** 2, axis=1) / 2)


def _euclidean(known: jax.Array, here: jax.Array) -> jax.Array:
    square = jnp.sum((known - here[None]) ** 2, axis=1)
    apart = square > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), 0)
