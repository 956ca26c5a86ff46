"""Show the sites of a function and what becomes of relevance at each."""

from __future__ import annotations

from typing import Any

from .._call import named
from .._types import Argnums, Model
from ._composite import Composite
from ._ledger import Ledger
from ._lrp import lrp
from ._rule import Rule


def show(
    f: Model,
    rules: Composite | Rule | None = None,
    *,
    missing: str = "error",
    argnums: Argnums = 0,
) -> Any:
    """The sites of `f`, the rule that applies at each, and the relevance it takes and gives.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: as for `lrp`.
        missing: as for `lrp`.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns a `Ledger`: printed, a table with the
        path, kind, shape and rule of each site, the relevance received and distributed, and what
        additive terms, the stabiliser and the rule absorbed.

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

    def table(*args: Any, **kwargs: Any) -> Ledger:
        explain = lrp(f, rules, missing=missing, argnums=argnums, info=True)
        ledger: Ledger = explain(*args, **kwargs)[1].ledger
        return ledger

    return named(table, "show", f)
