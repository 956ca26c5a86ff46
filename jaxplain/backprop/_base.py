"""What rules of all methods share."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax

from ..program._ops import Kind


class BaseRule:
    """A pytree of numbers, made for sites of some kinds."""

    kinds: ClassVar[Kind]
    main: ClassVar[Kind]  # of these, the ones meant when it stands for a composite

    @property
    def name(self) -> str:
        """What tables call it."""
        return type(self).__name__

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(
            cls, _flatten, lambda aux, data: _unflatten(cls, aux, data)
        )


def _flatten(rule: Any) -> tuple[list[Any], Any]:
    fields = dataclasses.fields(rule)
    data = [getattr(rule, f.name) for f in fields if not f.metadata.get("static")]
    static = tuple(getattr(rule, f.name) for f in fields if f.metadata.get("static"))
    return data, static


def _unflatten(cls: type, static: Any, data: Any) -> Any:
    """Without the constructor: its checks are for numbers that users give."""
    rule: Any = object.__new__(cls)
    values, statics = iter(data), iter(static)
    for field in dataclasses.fields(cls):
        value = next(statics) if field.metadata.get("static") else next(values)
        object.__setattr__(rule, field.name, value)
    return rule
