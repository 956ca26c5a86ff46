"""Infidelity: how far the explanation is from what perturbations do to the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._batch import stack
from .._call import checked_input
from .._errors import check_chunk, check_count
from .._tree import subtract, widen
from .._types import Argnums, Chunk, Model, PyTree
from ..backprop._rule import quotient
from ..perturb._features import Partition
from ._correlation import widest
from ._drawn import like_input, refusing
from ._perturbations import Perturbation, gaussian_perturbation
from ._subjects import Attributions, Call, Subject


def infidelity(
    f: Model,
    attribution: Attributions,
    *,
    perturbation: Perturbation | None = None,
    samples: int = 100,
    contributions: bool = False,
    normalize: bool = False,
    chunk: Chunk = "auto",
    argnums: Argnums = 0,
) -> Callable[..., Any]:
    r"""The mean squared error of the explanation as a linear account of random perturbations.

    $\mathbb{E}_I \left[ \left( I^\top A - (f(x) - f(x - I)) \right)^2 \right]$ for random $I$, what
    is subtracted from the input.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        attribution: a function with the arguments of `f` that returns an array or pytree of the
            shapes of `x`, or a dictionary of several.
        perturbation: what is subtracted, a function `(key, x, baseline)` that returns a pytree like
            `x`, such as `gaussian_perturbation(0.1)`, which None stands for,
            `square_perturbation(8)` or `subset_perturbation(20)`.
        samples: how many perturbations are drawn.
        contributions: whether the attributions are contributions to the score, as those of
            integrated gradients, LRP and Shapley values are, and not effects of a unit of input, as
            gradients are. Then $I$ is divided by $x - x^0$, with $I / 0 = 0$.
        normalize: whether each attribution is first multiplied by the number that makes its
            infidelity least: $\mathbb{E}[I^\top A \, (f(x) - f(x - I))]$ divided by
            $\mathbb{E}[(I^\top A)^2]$, or 0 for 0/0.
        chunk: at most this many evaluations per example are live at once; "auto" for as many as run
            fast, None for all.
        argnums: the argument (or arguments) that was explained.

    Returns:
        A function with the arguments of `f`, `key=` and `baseline=` (zeros by default), that
        returns a number from 0 up, in units of `f` squared, or a dictionary of them. Perturbation
        `i` uses `jax.random.fold_in(key, i)`.

    Raises:
        ValueError: an option is invalid; when called, an attribution, or what the perturbation
            returns, is not like the input.
        TypeError: when called, without a key, with `groups=`, if `f` is not scalar, or the input is
            not floating.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> from jaxplain import evaluate
        >>> f = lambda x: x @ jnp.array([1.0, 4.0, 2.0])
        >>> measure = evaluate.infidelity(f, {"gradient": jax.grad(f), "ones": jnp.ones_like})
        >>> found = measure(jnp.ones(3), key=jax.random.key(0))
        >>> found["gradient"] < 1e-9, found["ones"] > 1e-2
        (Array(True, dtype=bool), Array(True, dtype=bool))
        >>> explain = jaxplain.integrated_grad(f)
        >>> measure = evaluate.infidelity(f, explain, contributions=True)
        >>> measure(jnp.ones(3), key=jax.random.key(0)) < 1e-9
        Array(True, dtype=bool)

    Notes:
        `samples + 1` evaluations, the same ones for all attributions. All attributions of a
        dictionary must be of one kind: make gradients contributions by `times_input`. A small
        perturbation asks for the gradient, a large one for what the explanation says of the whole
        way to the baseline. Features are elements here: groups belong to the perturbation. Captum
        divides by 1, not by 0, where the input is at its baseline. Quantus takes one patch
        after the other away and puts none back, which the paper does not.

    References:
        Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392.
    """
    check_count("samples", samples)
    check_chunk(chunk)
    perturb = gaussian_perturbation() if perturbation is None else perturbation
    if not callable(perturb):
        raise TypeError(
            f"perturbation={perturbation!r} must be a function (key, x, baseline) that returns a "
            "pytree like x, for instance evaluate.gaussian_perturbation(0.1)."
        )
    call = Call(Partition.checked(None, None), argnums)

    def measure(subject: Subject, key: Any) -> jax.Array:
        game = subject.game
        x = checked_input(game.x)
        distance = flat(subtract(x, game.baseline))
        whole = widen(game.score(x))

        def at(number: jax.Array) -> tuple[jax.Array, jax.Array]:
            drawn = perturb(jax.random.fold_in(key, number), x, game.baseline)
            removed = like_input(drawn, x, "perturbation")
            rest = subtract(x, removed)
            drop = whole - widen(game.score(rest))
            # What is really gone: few digits, as those of bfloat16, lose a part of what was drawn.
            weights = flat(subtract(x, rest))
            if contributions:
                weights = quotient(weights, distance, 0)
            dtype = widest(weights, subject.relevance)
            return jnp.sum(weights.astype(dtype) * subject.relevance.astype(dtype)), drop

        claims, drops = stack(at, jnp.arange(samples), chunk=chunk)
        return mean_squared_error(claims, drops, normalize)

    metric = call.metric(f, attribution, measure, name="infidelity", random=True)
    return refusing(
        metric, "groups", "infidelity looks at elements: give groups to subset_perturbation."
    )


def mean_squared_error(claims: jax.Array, drops: jax.Array, normalize: bool) -> jax.Array:
    """The mean of $(c - d)^2$, or of $(β c - d)^2$ for the best β."""
    dtype = widest(claims, drops)
    claims, drops = claims.astype(dtype), drops.astype(dtype)
    if normalize:
        # Of size 1 before they are squared: the squares of tiny claims are none.
        size = jax.lax.stop_gradient(jnp.max(jnp.abs(claims)))
        claims = claims / jnp.where(size == 0, 1, size)
        claims = claims * quotient(jnp.sum(claims * drops), jnp.sum(claims**2), 0)
    return jnp.mean((claims - drops) ** 2)


def flat(tree: PyTree) -> jax.Array:
    """All elements of all leaves, in at least float32: (elements,)."""
    leaves = jax.tree.leaves(tree)
    dtype = widest(*leaves)
    return jnp.concatenate([leaf.astype(dtype).ravel() for leaf in leaves])
