"""The ledger of differences: where the change of the output comes from, site by site."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ..backprop._ledger import Row, number, printed
from ._rule import COLUMNS


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Differences:
    r"""Where the change of the output comes from: for each site what it received and handed on.

    Args:
        rows: the sites in the order of execution: name, kind, output shape, rule, source line.
        change: by how much the site's outputs changed from the reference, $\sum_j |\Delta y_j|$.
        received: the contribution of these changes to that of the score, $\sum_j m_j \Delta y_j$.
        distributed: handed on to the inputs of the site, $\sum_i m_i \Delta x_i$.
        unattributed: due to choices (an index, a branch) that no input is given the credit for.
        output: the change of the score, $f(x) - f(x^0)$.
        inputs: the sum of the contributions of the explained inputs.

    Returns:
        A pytree; printed, it is a table.

    Example:
        >>> import jax, jax.numpy as jnp, jaxplain
        >>> f = lambda x: jax.nn.relu(x @ jnp.array([2.0, -1.0]))
        >>> _, info = jaxplain.deeplift(f, info=True)(jnp.ones(2))
        >>> info.ledger.received
        Array([1., 1.], dtype=float32)
    """

    rows: tuple[Row, ...] = dataclasses.field(metadata={"static": True})
    change: Any
    received: Any
    distributed: Any
    unattributed: Any
    output: Any
    inputs: Any

    @property
    def residual(self) -> Any:
        """What is missing from the books: inputs + unattributed - output, zero but for rounding."""
        return self.inputs + jnp.sum(self.unattributed, axis=-1) - self.output

    def __str__(self) -> str:
        closing = (
            f"change of the output {number(self.output)} = inputs {number(self.inputs)} + "
            f"unattributed {number(jnp.sum(self.unattributed))} - rounding {number(self.residual)}"
        )
        return printed(self, COLUMNS, closing)
