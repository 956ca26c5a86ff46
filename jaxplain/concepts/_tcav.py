"""Testing with concept activation vectors: does a concept matter to a class?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._call import checked_input, named
from .._errors import check_choice, check_chunk, check_count, check_real, warn_unless
from .._keys import checked_key
from .._optax import import_optax
from .._tree import count_examples
from .._types import Model, PyTree, Scalar
from ._cav import UNCONVERGED, check_enough, check_penalty, held_out
from ._examples import check_alike, evaluate
from ._experiment import STATISTICS, Options, measure
from ._logistic import WHAT
from ._report import ConceptReport
from ._sensitivity import above_layer


def tcav(
    f: Model,
    at: str,
    concepts: Mapping[str, PyTree],
    random: PyTree,
    *,
    repeats: int = 20,
    permutations: int = 199,
    l2: Scalar = 0.01,
    test_share: float = 1 / 3,
    statistic: str = "magnitude",
    alpha: float = 0.05,
    chunk: int | None = None,
    batch: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Callable[..., ConceptReport]:
    r"""Test whether concepts, given by examples, matter to the score of a class.

    With a concept activation vector $v$ (see `fit_cav`) and the score $g$ as a function of the
    layer's value $h(x)$, the score of the concept is the share of inputs with $\nabla g(h(x)) \cdot
    v > 0$ (zeros count one half), in the mean over `repeats` sets of random examples, as many as
    the concept has, that $v$ is fitted against. Beside it stands the mean over inputs of $s \nabla
    g(h(x)) \cdot v$, with the root mean square distance $s$ of the examples from their mean: what a
    typical step towards the concept adds to the score, in units of `f`.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        at: the path of the layer, as for `cut`.
        concepts: by name, a batch of examples of each concept, shaped like the inputs; 6 at least,
            30 or more are better.
        random: the pool of random examples, at least twice as many as any concept has.
        repeats: how many random counterparts each score is the mean over, 2 at least.
        permutations: how many times the labels are permuted; no p-value is less than one by
            `permutations + 1`.
        l2: the penalty of the classifiers, without a unit, as for `fit_cav`.
        test_share: share of the examples that is held out to measure the accuracy.
        statistic: what is tested: `"magnitude"` for the mean derivative, `"sign"` for the score.
        alpha: the level at which a concept is called significant.
        chunk: at most this many evaluations of `f` are live at once; None for all of a batch.
        batch: how many classifiers are fitted at once.
        progress: called after each concept with the number of concepts done.

    Returns:
        A function `(xs, *args, key=)` of a batch of inputs, the class's examples for instance, and
        the further arguments of `f`, the same for all, that returns a `ConceptReport`.

    Raises:
        ValueError: an option is invalid, the pool is less than twice as large as a concept, a
            concept has fewer than 6 examples, or shapes differ; when called, if no value or several
            have the name `at`.
        TypeError: inputs are not floating, or `concepts` is not a dictionary; when called, if `f`
            is not scalar or there is no key.
        ImportError: Optax is not installed.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> def f(x):
        ...     with jax.named_scope("hidden"):
        ...         h = jnp.tanh(x)
        ...     return h[0] - h[1] ** 2
        >>> noise = jax.random.normal(jax.random.key(0), (100, 3))
        >>> concepts = {"first": noise[:15] + jnp.array([2.0, 0.0, 0.0])}
        >>> test = jaxplain.tcav(f, "hidden", concepts, noise[15:75], repeats=5, permutations=19)
        >>> test(noise[75:], key=jax.random.key(1)).verdicts
        ('raises the score',)

    Notes:
        - `p` is exact: if the concept's examples are drawn as the pool's are, `p <= 0.05` has a
          probability of 0.05 (less where labelings tie), also with few examples. Each labeling
          draws its own counterparts and splits. To exchange concept and counterpart turns $v$
          around, so random labels give a score of one half, and a derivative of zero, in the mean:
          what is compared is the distance from there, on either side.
        - `p_t_test`, the usual test of scores against scores of random examples, takes repeats
          with the same concept examples for independent. It calls most random concepts significant.
        - A verdict needs two things: classifiers that tell held-out examples better than those of
          permuted labels do, and a score that permuted labels rarely reach. What they prove is that
          the concept's examples differ from the *pool* in a direction that matters, whatever else
          they have in common: choose a pool that shares it.
        - The sign forgets sizes. If the gradients of all inputs are alike, as in the last layers,
          random vectors also score 0 or 1, and with `statistic="sign"` no concept can be
          significant. The mean derivative does not have this fault, so it is the default.
        - The derivative along each vector is the product of one gradient per input with it: one
          backward pass for each input serves all fits. All of these work in the coordinates of the
          examples, so their cost does not depend on the layer's size.
        - `alpha` is the level of each concept by itself. Divide it by their number to have few
          false positives among all of them.

    References:
        Kim et al. 2018, Interpretability beyond feature attribution: quantitative testing with
        concept activation vectors (TCAV), ICML, arXiv:1711.11279. Phipson and Smyth 2010,
        Permutation P-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9(1), 39.
    """
    import_optax(WHAT)  # before any work is done
    options = Options(repeats, permutations, l2, test_share, statistic, batch)
    _check_options(options, alpha, chunk)
    examples, random = _checked(concepts, random)
    pool = count_examples(random, "random")
    sizes = {name: len(jax.tree.leaves(batch)[0]) for name, batch in examples.items()}

    def test(xs: PyTree, *args: Any, key: jax.Array | None = None, **kwargs: Any) -> ConceptReport:
        key = checked_key(key, "tcav")
        xs = checked_input(xs)
        count_examples(xs, "xs")
        check_alike(xs, random, "xs", "random")

        # Closed over, not traced: a class index or a flag stays what it is.
        def activation(x: PyTree) -> jax.Array:
            return above_layer(f, at, (x, *args), kwargs)[0]

        def gradient(x: PyTree) -> jax.Array:
            h, above = above_layer(f, at, (x, *args), kwargs)
            slope: jax.Array = jax.grad(above)(h)
            return slope

        activations = jax.jit(lambda batch: evaluate(activation, batch, chunk))
        gradients = jax.jit(lambda batch: evaluate(gradient, batch, chunk))(xs)
        others = activations(random)
        found = []
        for i, batch in enumerate(examples.values()):
            own = activations(batch)
            found.append(measure(gradients, own, others, jax.random.fold_in(key, i), options))
            if progress is not None:
                progress(i + 1)
        columns = {name: jnp.stack([row[name] for row in found]) for name in found[0]}
        warn_unless(jnp.mean(columns["converged"]) > 0.99, UNCONVERGED)
        held = {name: held_out(size, test_share) for name, size in sizes.items()}
        return ConceptReport(
            names=tuple(sizes),
            sizes=tuple((size - held[name], held[name]) for name, size in sizes.items()),
            pool=pool,
            statistic=statistic,
            alpha=alpha,
            **columns,
        )

    return named(test, "tcav", f, random=True)


def _check_options(options: Options, alpha: float, chunk: int | None) -> None:
    check_choice("statistic", options.statistic, STATISTICS)
    check_count("repeats", options.repeats, least=2)
    check_count("batch", options.batch)
    check_real("alpha", alpha, low=0, high=1)
    hint = f"With alpha={alpha:g}, no fewer can be significant."
    check_count("permutations", options.permutations, least=_fewest(alpha), hint=hint)
    check_penalty(options.l2)
    held_out(6, options.test_share)
    check_chunk(chunk)


def _fewest(alpha: float) -> int:
    """The fewest permutations with which a p-value can be as small as `alpha`."""
    if alpha <= 0:
        raise ValueError(f"alpha={alpha!r} must be positive: no p-value is zero.")
    return max(1, round(1 / alpha + 0.499999) - 1)


def _checked(concepts: Mapping[str, PyTree], random: PyTree) -> tuple[dict[str, PyTree], PyTree]:
    if not isinstance(concepts, Mapping) or not concepts:
        raise TypeError(
            "concepts must be a dictionary from names to batches of examples, for instance "
            f"{{'striped': images}}, but is {type(concepts).__name__}."
        )
    random = checked_input(random)
    pool = count_examples(random, "random")
    examples = {}
    for name, batch in concepts.items():
        batch = checked_input(batch)
        count = count_examples(batch, name)
        check_enough(f"concepts[{name!r}]", count)
        check_alike(batch, random, f"concepts[{name!r}]", "random")
        if pool < 2 * count:
            raise ValueError(
                f"The pool has {pool} random examples, but concepts[{name!r}] has {count}: at "
                f"least {2 * count} are needed, so that different counterparts can be drawn. Give "
                "more random examples, or fewer of the concept."
            )
        examples[name] = batch
    return examples, random
