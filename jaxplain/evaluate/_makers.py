"""Metrics of a method rather than of one model's explanation: functions of makers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax

from .._call import named
from .._keys import checked_key, split_for
from .._types import Attribution, PyTree
from ._random_parameters import Plan
from ._subjects import methods_of

Maker: TypeAlias = Callable[[PyTree], Attribution]
"""A method for the model with these parameters, `params -> attribution`."""

Makers: TypeAlias = Maker | Mapping[str, Maker]
Explained: TypeAlias = Callable[[PyTree], PyTree]
"""The explanation of one call by the model with these parameters."""


def of_makers(
    make_attribution: Makers,
    params: PyTree,
    plan: Plan,
    draw: str,
    measure: Callable[[Explained, PyTree], PyTree],
    name: str,
) -> Callable[..., Any]:
    """`measure(explain, new)` for each method, of one call and of the same new parameters."""
    makers = methods_of(make_attribution, name)

    def evaluate(*args: Any, key: Any = None, **kwargs: Any) -> Any:
        draws, own = jax.random.split(checked_key(key, name))
        new = plan.drawn(params, draws, draw)

        def explained(make: Maker, number: int) -> Explained:
            def explain(params: PyTree) -> PyTree:
                attribution = make(params)
                given = split_for(attribution, jax.random.fold_in(own, number))[1]
                return attribution(*args, **given, **kwargs)

            return explain

        results = {
            method: measure(explained(make, number), new)
            for number, (method, make) in enumerate(makers.items())
        }
        return results if isinstance(make_attribution, Mapping) else results[""]

    return named(evaluate, name, next(iter(makers.values())), random=True)
