"""What a model says of a table of inputs, and how often another one says the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import name_of
from .._tree import describe, wide
from .._types import Model


class Answers(NamedTuple):
    """What the model says of all inputs: scores, or the numbers of its classes."""

    targets: np.ndarray  # (n,)
    classes: int | None
    dtype: Any

    def fidelity(self, guesses: np.ndarray, part: np.ndarray) -> float:
        """R² or agreement on a part of the inputs."""
        truth = self.targets[part]
        if self.classes is not None:
            return float(np.mean(np.argmax(guesses[part], axis=1) == truth))
        away = truth - truth.mean()
        if not away.any():
            raise ValueError(
                f"The model gives the same score for all {len(part)} inputs of one part of the "
                "data, so R² has no meaning there: give more inputs, or another key."
            )
        scale = np.max(np.abs(away))  # squares of tiny or huge scores leave the range of floats
        missed = (guesses[part].astype(np.float64) - truth) / scale
        return float(1 - np.sum(missed**2) / np.sum((away / scale) ** 2))

    def chance(self, fit: np.ndarray, held: np.ndarray) -> float:
        """The agreement of the most frequent class alone."""
        if self.classes is None:
            return 0.0
        frequent = np.argmax(np.bincount(self.targets[fit]))
        return float(np.mean(self.targets[held] == frequent))


def ask(f: Model, inputs: jax.Array, args: tuple[Any, ...], kind: str, chunk: Any) -> Answers:
    """The model's answers for all inputs, checked."""
    like = jax.eval_shape(lambda x: f(x, *args), inputs[0])
    name = name_of(f)
    shape = getattr(like, "shape", None)
    number = shape is not None and jnp.issubdtype(like.dtype, jnp.floating)
    if not number or len(shape) > 1 or shape == (1,):  # type: ignore[arg-type]
        raise TypeError(
            f"{name} must return a score, (), or a number for each class, (K,), of one example, "
            f"but returned {describe(like, 'output')}."
        )
    if kind == "linear" and shape != ():
        raise TypeError(
            f"kind='linear' is for scores, but {name} returned {describe(like, 'output')}. Choose "
            "one output, for instance lambda x: f(x)[0], or classes with kind='logistic'."
        )
    if kind == "logistic" and shape == ():
        raise TypeError(
            f"kind='logistic' is for classes, but {name} returned one number. Fit it with "
            "kind='linear', or give each class a number: lambda x: jnp.stack([1 - f(x), f(x)])."
        )
    answers = np.asarray(jax.jit(lambda xs: stack(lambda x: f(x, *args), xs, chunk=chunk))(inputs))
    answers = answers.astype(np.float64)
    good = np.isfinite(answers).reshape(len(answers), -1).all(axis=1)
    if not good.all():
        place = int(np.argmin(good))
        raise ValueError(f"{name} returned {answers[place]} for inputs[{place}].")
    targets = answers if shape == () else np.argmax(answers, axis=1)
    if (targets == targets[0]).all():
        what = "score" if shape == () else "class"
        raise ValueError(
            f"{name} gives the same {what} for all {len(targets)} inputs: there is nothing to fit. "
            "Give inputs on which it differs."
        )
    return Answers(targets, None if shape == () else int(answers.shape[1]), wide(like.dtype))
