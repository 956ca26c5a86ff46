"""Show the sites of a function and what becomes of relevance, or of differences, at each."""

from __future__ import annotations

from typing import Any

from ._call import named
from ._types import Argnums, Model
from .backprop._base import BaseRule
from .backprop._composite import Composite, as_composite
from .backprop._lrp import lrp
from .differences._deeplift import deeplift
from .differences._rule import DifferenceRule


def show(
    f: Model,
    rules: Composite | BaseRule | None = None,
    *,
    missing: str = "error",
    argnums: Argnums = 0,
) -> Any:
    """The sites of `f`, the rule that applies at each, and what it takes and gives.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: as for `lrp`, which it shows, or as for `deeplift`: `rules.rescale()` for instance.
        missing: as for `lrp` and `deeplift`.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a `Ledger`: printed, a table with the
        path, kind, shape and rule of each site, the relevance received and distributed, and what
        additive terms, the stabiliser and the rule absorbed. With DeepLIFT's rules a function
        that takes `baseline=` too and returns `Differences`: the change of each site from the
        baseline, what it contributes to that of the score, and what is left unattributed.

    Raises:
        NotImplementedError: when called, if steps have no rule, or for a while loop.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.maximum(x @ jnp.ones((2, 3)) - 1, 0).sum()
        >>> print(jaxplain.show(f)(jnp.ones(2)))
        site         kind         shape  rule     received  distributed  bias ...
        -----------  -----------  -----  -------  --------  -----------  ---- ...
        dot_general  DENSE        3      Epsilon         3            6    -3 ...
        max          ELEMENTWISE  3      Pass            3            3     0 ...
        reduce_sum   SUM                 Epsilon         3            3     0 ...
        seed 3 = inputs 6 + absorbed -3 + rounding ...
    """

    method: Any = deeplift if _compares(rules) else lrp

    def table(*args: Any, **kwargs: Any) -> Any:
        explain = method(f, rules, missing=missing, argnums=argnums, info=True)
        return explain(*args, **kwargs)[1].ledger

    return named(table, "show", f)


def _compares(rules: Composite | BaseRule | None) -> bool:
    """Whether the rules are DeepLIFT's."""
    entries = () if rules is None else as_composite(rules).entries
    return any(isinstance(entry.rule, DifferenceRule) for entry in entries)
