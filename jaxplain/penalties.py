"""Penalties: what an input should rather not be, for `penalties=` of `maximize_activation`.

A penalty is any function `x -> scalar`, and is subtracted from the objective. Weights may be
traced: `jax.vmap` over a weight sweeps it in one compiled call.
"""

from .maximization._penalties import blur as blur
from .maximization._penalties import expert as expert
from .maximization._penalties import l2 as l2
from .maximization._penalties import on_code as on_code
from .maximization._penalties import total_variation as total_variation
