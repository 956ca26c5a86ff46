"""Do explanations of different classes differ?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._batch import stack
from .._call import Score, name_of, named
from .._errors import check_chunk, check_count, is_concrete
from .._keys import needs_key
from .._types import Chunk, Model, PyTree
from ._similarity import similarity_of
from ._subjects import Attributions, Explain, of_methods


def random_logit(
    f: Model,
    attribution: Attributions,
    *,
    classes: int,
    label: int = 1,
    similarity: str = "spearman",
    absolute: bool = False,
) -> Callable[..., Any]:
    r"""How alike an explanation is to that of another class, drawn at random.

    The similarity of $A(x, k)$ and $A(x, k')$ with $k' \ne k$ uniform over the other classes. An
    explanation that says why it is this class should be unlike: near 0 or below.

    Args:
        f: the model, `f(x, k, *args) -> scalar` of one example and a class, as `select` makes it.
        attribution: as for `pixel_flipping`.
        classes: how many classes there are, numbered from 0.
        label: the place of the class among the arguments.
        similarity: `"spearman"`, `"pearson"`, `"cosine"`, or `"ssim"` for pictures; 0 where an
            explanation is constant, for the two correlations.
        absolute: compare the magnitudes of relevance.

    Returns:
        A function with the arguments of `f`, and `key=`, that returns a number, or a dictionary of
        them. All methods see the same other class; a random method gets the same key for both.

    Raises:
        ValueError: an option is unknown; when called, the class is not one of them, or `similarity`
            does not fit the shape.
        TypeError: when called, without a key, or if there is no class at that place.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x, k: jnp.array([[1.0, 0.0, 2.0], [-1.0, 0.0, -2.0]])[k] @ x
        >>> test = evaluate.random_logit(f, jax.grad(f), classes=2)
        >>> float(test(jnp.ones(3), 0, key=jax.random.key(0)).round(3))
        -1.0

    Notes:
        Sixt et al. compare pictures by SSIM: `similarity="ssim"`. Logits that share most of their
        evidence have explanations that are alike for good reason. `class_sensitivity` looks at all
        pairs of classes and needs no key.

    References:
        Sixt et al. 2020, When explanations lie: why many modified BP attributions fail,
        arXiv:1912.09818.
    """
    compare = similarity_of(similarity, absolute=absolute)
    check_count("classes", classes, least=2)

    def measure(score: Score, explain: Explain, k: PyTree, key: Any) -> jax.Array:
        del score
        _check_class(k, classes)
        further = jax.random.randint(key, (), 1, classes, k.dtype)
        return compare(explain(k), explain((k + further) % classes))

    # The class is what the attribution is asked at anew, the input stays.
    asked = of_methods(f, attribution, measure, name="random_logit", argnums=label, random=True)
    return _with_class(asked, f, label, "random_logit")


def class_sensitivity(
    f: Model,
    attribution: Attributions,
    *,
    classes: int | Sequence[int],
    label: int = 1,
    similarity: str = "spearman",
    absolute: bool = False,
    chunk: Chunk = "auto",
) -> Callable[..., Any]:
    r"""How alike the explanations of different classes are: the mean over all pairs of classes.

    $\frac{2}{n (n - 1)} \sum_{k < l} \mathrm{sim}(A(x, k), A(x, l))$, from one compiled call for
    all $n$ classes. 1 for an explanation that does not look at the class.

    Args:
        f: as for `random_logit`.
        attribution: as for `pixel_flipping`.
        classes: how many classes there are, or the numbers of those to compare.
        label: as for `random_logit`.
        similarity: as for `random_logit`.
        absolute: as for `random_logit`.
        chunk: at most this many explanations, then pairs, per example are live at once; "auto" for
            as many as run fast, None for all.

    Returns:
        A function with the arguments of `f`, and `key=` (if an attribution needs one), that returns
        a number, or a dictionary of them. The class it is called with does not matter.

    Raises:
        ValueError: an option is unknown, or there are fewer than two classes; when called,
            `similarity` does not fit the shape.
        TypeError: when called, if there is no class at that place, or a key is missing or of no
            use.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxplain import evaluate
        >>> f = lambda x, k: jnp.array([[1.0, 0.0, 2.0], [-1.0, 0.0, -2.0]])[k] @ x
        >>> methods = {"gradient": jax.grad(f), "input": lambda x, k: x}
        >>> found = evaluate.class_sensitivity(f, methods, classes=2)(jnp.arange(3.0), 0)
        >>> {name: round(float(value), 3) for name, value in found.items()}
        {'gradient': -1.0, 'input': 1.0}

    Notes:
        Pairs grow with the square of the classes: of a thousand, give those of interest. A random
        method gets the same key for all classes.

    References:
        Sixt et al. 2020, When explanations lie: why many modified BP attributions fail,
        arXiv:1912.09818.
    """
    alike = similarity_of(similarity, absolute=absolute)
    check_chunk(chunk)
    numbers = _numbers(classes)
    pairs = np.triu_indices(len(numbers), 1)

    def measure(score: Score, explain: Explain, k: PyTree, key: Any) -> jax.Array:
        del score, key

        def prepared(k: jax.Array) -> jax.Array:
            return alike.prepare(explain(k))

        found = stack(prepared, jnp.asarray(numbers, k.dtype), chunk=chunk)

        def similarity(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
            left, right = pair
            return alike.compare(found[left], found[right])

        return jnp.mean(stack(similarity, tuple(map(jnp.asarray, pairs)), chunk=chunk))

    asked = of_methods(f, attribution, measure, name="class_sensitivity", argnums=label)
    return _with_class(asked, f, label, "class_sensitivity")


def _with_class(asked: Callable[..., Any], f: Model, label: int, name: str) -> Callable[..., Any]:
    """`asked`, once it is clear that a class was given."""

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        if not -len(args) <= label < len(args):
            raise TypeError(
                f"{name} compares explanations of different classes and takes the class as "
                f"argument {label} (label={label}), but the call of {name_of(f)} passed "
                f"{len(args)} positional argument(s): use jaxplain.select(logits), called as "
                "f(x, k)."
            )
        if not jnp.issubdtype(jnp.result_type(args[label]), jnp.integer):
            raise TypeError(
                f"label={label} is the place of the class, a whole number, but argument {label} "
                f"has dtype {jnp.result_type(args[label])}."
            )
        return asked(*args, **kwargs)

    return named(evaluate, name, f, random=needs_key(asked))


def _check_class(k: jax.Array, classes: int) -> None:
    if is_concrete(k) and not 0 <= int(k) < classes:
        raise ValueError(f"The class {int(k)} is not one of classes={classes}, 0 to {classes - 1}.")


def _numbers(classes: int | Sequence[int]) -> list[int]:
    if isinstance(classes, int | np.integer):
        check_count("classes", classes, least=2)
        return list(range(int(classes)))
    numbers = [int(number) for number in classes]
    if len(numbers) < 2 or len(set(numbers)) < len(numbers) or min(numbers) < 0:
        raise ValueError(
            f"classes={classes!r}: give how many classes there are, or two different numbers of "
            "classes or more, from 0."
        )
    return numbers
