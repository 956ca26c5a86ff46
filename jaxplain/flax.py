"""Adapters for Flax: a linen or nnx model as a function of one example, its layers named.

Import it as `import jaxplain.flax`; it needs Flax, which the rest of jaxplain does not.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
from flax import linen, nnx

from ._select import unbatch

# What evaluation mode is called, in the order of how common it is.
_EVALUATION: dict[str, bool] = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}


def function(
    model: linen.Module | nnx.Module,
    variables: Any = None,
    *,
    batched: bool = True,
    **options: Any,
) -> Callable[..., Any]:
    """A Flax model in evaluation mode, as a function of one example for the methods of jaxplain.

    Args:
        model: a linen module, or an nnx module, which is left as it is: a copy is used.
        variables: the variables of a linen module, `{"params": ..., "batch_stats": ...}`.
        batched: whether the model wants a batch axis, which is then added and taken away.
        **options: keyword arguments for the model. For a linen module, `train`, `training`,
            `is_training`, `deterministic` and `use_running_average` are set for evaluation where
            `__call__` takes them.

    Returns:
        A function `(x, *args)` of one example.

    Raises:
        TypeError: `model` is no Flax module, or `variables` does not fit its kind.

    Example:
        >>> import jax, jax.numpy as jnp, flax.linen as nn, jaxplain.flax
        >>> model = nn.Dense(3)
        >>> variables = model.init(jax.random.key(0), jnp.ones((1, 4)))
        >>> logits = jaxplain.flax.function(model, variables)
        >>> jaxplain.lrp(jaxplain.select(logits))(jnp.ones(4), 2).shape
        (4,)
    """
    if isinstance(model, nnx.Module):
        if variables is not None:
            raise TypeError(
                "An nnx model holds its own parameters: leave variables out. Use nnx.update(model, "
                "state) for others."
            )
        apply: Callable[..., Any] = functools.partial(named(model), **options)
    elif isinstance(model, linen.Module):
        if variables is None:
            raise TypeError(
                "A linen model needs its variables: jaxplain.flax.function(model, variables), with "
                "variables from model.init, or {'params': ..., 'batch_stats': ...}."
            )
        apply = functools.partial(model.apply, variables, **(_evaluation_of(model) | options))
    else:
        raise TypeError(
            f"{type(model).__name__} is neither a linen nor an nnx module. Any other JAX function "
            "needs no adapter: pass it to the methods as it is."
        )
    apply.__name__ = type(model).__name__
    return unbatch(apply) if batched else apply


def _evaluation_of(model: linen.Module) -> dict[str, bool]:
    """The keyword arguments of the model's call that ask for evaluation mode."""
    parameters = inspect.signature(type(model).__call__).parameters
    return {name: value for name, value in _EVALUATION.items() if name in parameters}


def named(model: nnx.Module) -> nnx.Module:
    """A copy of an nnx model in evaluation mode, whose layers have names in a traced program.

    linen writes the paths of its modules into the program; nnx does not. In the copy each module's
    call opens a scope, so that rules, `cut`, `capture` and `show` find `"blocks/0/attention"`.

    Args:
        model: an nnx module, left as it is.

    Returns:
        The copy; it shares the arrays of the parameters.

    Raises:
        TypeError: `model` is no nnx module.

    Example:
        >>> from flax import nnx
        >>> import jax.numpy as jnp, jaxplain.flax
        >>> model = nnx.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), nnx.relu)
        >>> f = lambda x: jaxplain.flax.named(model)(x).sum()
        >>> jaxplain.show(f)(jnp.ones(4)).rows[0].name
        'layers/0:dot_general'
    """
    if not isinstance(model, nnx.Module):
        raise TypeError(
            f"{type(model).__name__} is no nnx module. linen modules are named already; name parts "
            "of other functions with jax.named_scope."
        )
    copy = nnx.merge(*nnx.split(model))
    copy.eval()  # type: ignore[no-untyped-call]
    for path, module in nnx.iter_modules(copy):
        if path:
            module.__class__ = _scoped(type(module), tuple(map(str, path)))
    return copy


@functools.lru_cache(maxsize=4096)
def _scoped(kind: type, path: tuple[str, ...]) -> type:
    """The module's class, with its call inside a scope."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _entered(path):
            return kind.__call__(self, *args, **kwargs)

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


_open: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("open", default=())


@contextlib.contextmanager
def _entered(path: tuple[str, ...]) -> Iterator[None]:
    """A scope for the part of a path that is not open yet: calls nest, and so do scopes."""
    above = _open.get()
    rest = path[len(above) :] if path[: len(above)] == above else path
    token = _open.set(path)
    try:
        with jax.named_scope("/".join(rest)) if rest else contextlib.nullcontext():
            yield
    finally:
        _open.reset(token)
