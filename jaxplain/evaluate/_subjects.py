"""What a metric looks at: a call of the model as a game, and the relevance of each feature."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from .._call import Score, bind, close, name_of, named
from .._keys import checked_key, needs_key, split_for
from .._tree import describe, same_tree
from .._types import Argnums, Attribution, Model, PyTree
from ..perturb._features import Partition
from ..perturb._game import Game
from ._curves import Curve
from ._norms import unless_nan

Attributions: TypeAlias = Attribution | Mapping[str, Attribution]
Measure: TypeAlias = Callable[["Subject", Any], PyTree]
Explain: TypeAlias = Callable[[PyTree], PyTree]
MeasureOfMethod: TypeAlias = Callable[[Score, Explain, PyTree, Any], PyTree]

METHODS = 2**31 - 1
"""What is folded into a key for the methods: no sample has that number."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """An explained call: what the model says of its coalitions, and what the explanation claims."""

    game: Game
    relevance: jax.Array  # (features,): the sum over each feature's elements
    data: Mapping[str, Any]  # what came with the call, a mask for instance


@dataclasses.dataclass(frozen=True)
class Call:
    """How metrics of features are called: the options that all of them share."""

    partition: Partition
    argnums: Argnums
    baseline: bool = True  # whether the call may bring one

    def metric(
        self,
        f: Model,
        attribution: Attributions,
        measure: Measure,
        *,
        name: str,
        random: bool = False,
        data: tuple[str, ...] = (),
    ) -> Callable[..., Any]:
        """`measure` as a function with the arguments of `f`, for one attribution or several.

        `data` are the names of further keyword arguments that the call has to bring.
        """
        methods = methods_of(attribution, name)
        waits = random or any(map(needs_key, methods.values()))

        def evaluate(
            *args: Any,
            baseline: PyTree | None = None,
            groups: PyTree | None = None,
            key: Any = None,
            **kwargs: Any,
        ) -> Any:
            brought = {option: _brought(option, kwargs, name) for option in data}
            if baseline is not None and not self.baseline:
                raise TypeError(
                    f"{name} takes no baseline= here, since an operator says what takes the place "
                    "of features that are gone: leave baseline= out, or make the metric with "
                    "removal=None where it has that option."
                )
            game = Game.of(
                f,
                args,
                kwargs,
                self.argnums,
                partition=self.partition,
                baseline=baseline,
                groups=groups,
            )
            own = _own_key(key, waits, name)
            relevances = []
            for number, explain in enumerate(methods.values()):
                given = _key_of(explain, own, number)
                relevances.append(relevance_of(explain(*args, **given, **kwargs), game, explain))

            def of_relevance(relevance: jax.Array) -> PyTree:
                found = measure(Subject(game, relevance, brought), own)
                return _unless_nan(found, relevance)

            # What does not depend on the relevance is not mapped over: it is computed once.
            results = jax.vmap(of_relevance)(jnp.stack(relevances))
            return _named_as(attribution, _unstacked(results, len(methods)))

        return named(evaluate, name, f, random=waits)


def of_methods(
    f: Model,
    attribution: Attributions,
    measure: MeasureOfMethod,
    *,
    name: str,
    argnums: Argnums,
    random: bool = False,
) -> Callable[..., Any]:
    """A metric that asks the method itself, at other inputs: `measure(score, explain, x, key)`.

    All methods get the same key, and so the same inputs.
    """
    methods = methods_of(attribution, name)
    waits = random or any(map(needs_key, methods.values()))

    def evaluate(*args: Any, key: Any = None, **kwargs: Any) -> Any:
        score, x = bind(f, args, kwargs, argnums, floating=False)
        own = _own_key(key, waits, name)
        results = []
        for number, explain in enumerate(methods.values()):
            given = _key_of(explain, own, number)
            at, _ = close(explain, args, {**given, **kwargs}, argnums)
            results.append(measure(score, at, x, own))
        return _named_as(attribution, results)

    return named(evaluate, name, f, random=waits)


def methods_of(attribution: Attributions, name: str) -> dict[str, Attribution]:
    """The attributions by name; a lone one has none."""
    methods = dict(attribution) if isinstance(attribution, Mapping) else {"": attribution}
    if not methods or not all(map(callable, methods.values())):
        wrong = [given for given in methods.values() if not callable(given)]
        arrays = any(hasattr(given, "shape") for given in wrong)
        what = describe(attribution, "attribution") if arrays else repr(attribution)
        hint = " Not what it returned: the metric calls it." if arrays else ""
        raise TypeError(
            f"{name} got {what}: give an attribution, a function with the arguments of the model, "
            f"or a dictionary of several.{hint}"
        )
    return methods


def _key_of(explain: Attribution, key: Any, number: int) -> dict[str, Any]:
    """The keyword arguments that hand a random attribution a key of its own."""
    # Samples fold in their numbers: a method with one of those would see their noise.
    return {} if key is None else split_for(explain, _folded(key, METHODS, number))[1]


def _folded(key: jax.Array, *numbers: int) -> jax.Array:
    return functools.reduce(jax.random.fold_in, numbers, key)


def _unless_nan(found: PyTree, relevance: jax.Array) -> PyTree:
    """What was found, or NaN for a relevance of NaN, which would be put in some order."""
    if isinstance(found, Curve):
        return dataclasses.replace(found, scores=unless_nan(found.scores, relevance))
    return jax.tree.map(lambda part: unless_nan(part, relevance), found)


def _named_as(attribution: Attributions, results: list[Any]) -> Any:
    if isinstance(attribution, Mapping):
        return dict(zip(attribution, results, strict=True))
    return results[0]


def _unstacked(results: PyTree, count: int) -> list[Any]:
    leaves, structure = jax.tree.flatten(results)
    return [jax.tree.unflatten(structure, [leaf[i] for leaf in leaves]) for i in range(count)]


def _brought(option: str, kwargs: dict[str, Any], name: str) -> Any:
    if kwargs.get(option) is None:
        raise TypeError(
            f"{name} needs {option}= with the call; in a benchmark, data={{{name!r}: "
            f"{{{option!r}: ...}}}} with one for each example."
        )
    return kwargs.pop(option)


def relevance_of(found: PyTree, game: Game, explain: Attribution) -> jax.Array:
    """The relevance of each feature: the sum over its elements.

    A map without channels, such as Grad-CAM's, fits a picture whose features are its positions.
    """

    def fitting(values: Any, leaf: jax.Array, label: Any) -> jax.Array:
        if jnp.shape(values) == leaf.shape:
            return jnp.asarray(values)
        if jnp.shape(values) == leaf.shape[:-1] and label.shape[-1:] == (1,):
            return jnp.asarray(values)[..., None]
        remedy = (
            " A map without channels needs features without channels: along=(0, 1)."
            if jnp.shape(values) == leaf.shape[:-1]
            else ""
        )
        raise ValueError(
            f"{name_of(explain)} gave {describe(values, 'attribution')} for an input "
            f"{describe(leaf, 'x')}: an attribution has the shape of the input.{remedy}"
        )

    if not same_tree(found, game.x):
        raise ValueError(
            f"{name_of(explain)} gave {describe(found, 'attribution')} for an input "
            f"{describe(game.x)}: an attribution is a pytree like the input."
        )
    if any(jnp.iscomplexobj(part) for part in jax.tree.leaves(found)):
        raise TypeError(
            f"{name_of(explain)} gave {describe(found, 'attribution')}, but relevance is real: "
            "take the real part or the absolute value."
        )
    fitted = jax.tree.map(fitting, found, game.x, game.features.labels)
    return game.features.sums(fitted)


def _own_key(key: Any, waits: bool, name: str) -> jax.Array | None:
    """The key of the metric, if it or one of the methods is random."""
    if waits:
        return checked_key(key, name)
    if key is not None:
        raise TypeError(
            f"{name} of these attributions is not random and takes no key: leave key= out."
        )
    return None
