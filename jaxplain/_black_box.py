"""A plain Python callable of a batch as a JAX function of one example."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from ._call import name_of
from ._errors import check_count, is_concrete
from ._predictions import Predictions
from ._progress import bar
from ._tree import describe
from ._types import PyTree


def black_box(
    predict: Callable[[Any], Any],
    *,
    outputs: int | tuple[int, ...] = (),
    batch: int | None = None,
    remember: bool | int = True,
    progress: bool | Callable[[int], None] = False,
) -> BlackBox:
    r"""Make a JAX function of one example out of a plain Python callable of a batch.

    `black_box(predict)(x)` is `predict(x[None])[0]`, under `jax.jit` and `jax.vmap` too, where all
    examples that are mapped over arrive in `predict` together. So every method that only evaluates
    the model explains a forest, a gradient-boosted machine, or a service on the other side of the
    world: `score = jaxplain.select(jaxplain.black_box(forest.predict_proba, outputs=(3,)))`.

    Args:
        predict: `predict(xs)` of a batch of examples, NumPy arrays with a leading axis (in a pytree
            like `x` if that is one), gives an array with the same leading axis. It has to give the
            same again for the same row, whatever rows are beside it.
        outputs: the shape of one example's prediction: () for a number, (3,) or 3 for three.
        batch: at most this many rows are given to `predict` at once; None for all that are asked
            for, which the method's own `chunk` limits.
        remember: whether to keep the predictions, so that no row is evaluated twice and nothing is
            lost when `predict` fails; or how many rows to keep, the latest. A row takes about 200
            bytes and its prediction, whatever the size of the example.
        progress: True for a progress bar that counts rows, or a function that is called after each
            piece with the number of rows evaluated so far.

    Returns:
        A function `(x) -> array` of one example, float64 if JAX is in 64-bit mode and else float32.
        It has attributes `evaluations`, the number of rows that `predict` has evaluated; `failure`,
        the last error, as it was raised; and a method `forget()` that drops what is remembered.

    Raises:
        ValueError: an option is invalid; when called, `predict` returns another shape, or NaN or
            infinity, with the row that it is for.
        RuntimeError: when called, `predict` raises: the error names the row and the original one.
        NotImplementedError: a derivative is asked for.
        ImportError: `progress=True`, and tqdm is not installed.

    Example:
        >>> import jax.numpy as jnp, numpy as np, jaxplain
        >>> def predict(rows):  # a forest's predict_proba, say
        ...     return np.stack([rows[:, 0] > 1, rows[:, 0] <= 1], axis=1)
        >>> score = jaxplain.select(jaxplain.black_box(predict, outputs=(2,)))
        >>> jaxplain.ablation(score)(jnp.array([3.0, 4.0]), 0)
        Array([1., 0.], dtype=float32)

        What a text service says without each word: `x` is the mask of the words that stay, and
        `predict` builds the texts.

        >>> words = "not a good film".split()
        >>> def predict(masks):
        ...     texts = [" ".join(w for w, stays in zip(words, m) if stays) for m in masks]
        ...     return [1.0 if "good" in t and "not" not in t else 0.0 for t in texts]
        >>> jaxplain.ablation(jaxplain.black_box(predict))(jnp.ones(len(words)))
        Array([-1., 0., 0., 0.], dtype=float32)

    Notes:
        - `predict` must not use JAX: a computation that waits for another one in a callback can
          wait for ever. A JAX model needs no black box.
        - JAX wraps what is raised in compiled code in a `JaxRuntimeError`: its text ends with the
          message, and the error itself, chained to the original one, is kept as `failure`.
        - When a piece fails, halves of it are tried to find the row: about 2 log2(piece) calls
          more, whose results are kept. Nothing is tried twice beyond that: what a service needs,
          such as retries, pauses and time limits, belongs into `predict`.
        - Rows are equal when their bytes are, as told by a cryptographic digest. To keep less in
          memory than `remember=True` does over many explanations, call `forget()` between them.
        - Calls from several threads wait for each other: `predict` is called by one at a time.
        - Numbers of two bytes or fewer that NumPy does not know, bfloat16 for instance, are
          handed over as float32.
    """
    shape = (outputs,) if isinstance(outputs, int | np.integer) else outputs
    if not isinstance(shape, tuple):
        raise ValueError(f"outputs={outputs!r} must be a shape: () for a number, (3,) for three.")
    for size in shape:
        check_count("outputs", size)
    if batch is not None:
        check_count("batch", batch, hint="Leave batch=None to evaluate all rows at once.")
    if not isinstance(remember, bool):
        check_count("remember", remember, least=0)
    name = name_of(predict)
    return BlackBox(
        Predictions(
            predict,
            name,
            tuple(int(size) for size in shape),
            None if batch is None else int(batch),
            None if remember is True else int(remember),
            bar(name, " rows") if progress is True else progress or None,
        )
    )


class BlackBox:
    """What `black_box` returns: a function of one example, and what is known of the rows so far."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._compiled = _without_derivative(self._call_back, predictions.name)
        # The same object for the same structure, or JAX would compile every call anew.
        self._host = functools.cache(functools.partial(_Host, predictions))
        self.__name__ = self.__qualname__ = f"black_box({predictions.name})"

    def __call__(self, x: PyTree) -> jax.Array:
        leaves, structure = jax.tree.flatten(x)
        if not leaves:
            raise TypeError(f"{self.__name__} was called without an array: x is {x!r}.")
        for leaf in leaves:
            if jnp.result_type(leaf).kind not in "fiubV":
                raise TypeError(f"{self.__name__} takes real numbers, but got {describe(x)}.")
        if not all(map(is_concrete, leaves)):
            arrays: PyTree = jax.tree.map(jnp.asarray, x)
            result: jax.Array = self._compiled(arrays)
            return result
        # Without a detour through the runtime, errors are what they are.
        examples = [np.asarray(jnp.asarray(leaf)) for leaf in leaves]
        ranks = tuple(leaf.ndim for leaf in examples)
        return jnp.asarray(self._host(structure, ranks, _dtype())(*examples))

    @property
    def evaluations(self) -> int:
        """How many rows `predict` has evaluated."""
        return self._predictions.evaluations

    @property
    def failure(self) -> Exception | None:
        """The last error, as it was raised, or None."""
        return self._predictions.failure

    def forget(self) -> None:
        """Drop all that is remembered."""
        self._predictions.forget()

    def _call_back(self, x: PyTree) -> jax.Array:
        leaves, structure = jax.tree.flatten(x)
        host = self._host(structure, tuple(leaf.ndim for leaf in leaves), _dtype())
        struct: Any = jax.ShapeDtypeStruct
        like = struct(self._predictions.shape, _dtype())
        call: Any
        if jax.default_backend() == "cpu":
            # jax.pure_callback copies what it hands over in the runtime's own threads. On a CPU the
            # callback occupies these: with one core, 100 kB are enough to wait for ever.
            call = buffer_callback(host.into, like, vmap_method="expand_dims")
        else:
            call = functools.partial(jax.pure_callback, host, like, vmap_method="expand_dims")
        result: jax.Array = call(*leaves)
        return result


class _Host:
    """What JAX calls: arrays with any leading axes, size 1 where a leaf is not mapped over."""

    def __init__(
        self, predictions: Predictions, structure: Any, ranks: tuple[int, ...], dtype: Any
    ) -> None:
        self.predictions, self.structure = predictions, structure
        self.ranks, self.dtype = ranks, dtype
        self.into = self._into  # one object, which compares equal to itself

    def __call__(self, *leaves: Any) -> np.ndarray:
        # Copies: the runtime's own memory may be gone when an error's traceback is looked at.
        arrays = [_native(np.array(np.asarray(leaf))) for leaf in leaves]
        own = [a.shape[a.ndim - rank :] for a, rank in zip(arrays, self.ranks, strict=True)]
        leading = [a.shape[: a.ndim - rank] for a, rank in zip(arrays, self.ranks, strict=True)]
        lead = np.broadcast_shapes(*leading)
        rows = [
            np.broadcast_to(a, (*lead, *shape)).reshape((-1, *shape))
            for a, shape in zip(arrays, own, strict=True)
        ]
        values = self.predictions.of(rows, self.structure, self.dtype)
        return values.reshape((*lead, *self.predictions.shape))

    def _into(self, context: Any, out: Any, *leaves: Any) -> None:
        del context
        np.asarray(out)[...] = self(*leaves)


def _native(array: np.ndarray) -> np.ndarray:
    """An array of a dtype that NumPy itself knows."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _dtype() -> Any:
    return jnp.dtype(jnp.result_type(float))


def _without_derivative(call: Callable[[PyTree], jax.Array], name: str) -> Any:
    differentiable = jax.custom_jvp(call)

    @differentiable.defjvp
    def refuse(primals: Any, tangents: Any) -> Any:
        raise NotImplementedError(
            f"black_box({name}) has no derivative: JAX sees what goes in and what comes out of "
            f"{name}, not what happens inside. Gradients, relevance and DeepLIFT need a JAX "
            "program; explain a black box with a method that only evaluates it, such as "
            "jaxplain.kernel_shap, jaxplain.lime or jaxplain.ablation."
        )

    return differentiable
