"""Is the explanation right? Metrics of attributions: functions of a model and an attribution.

A metric `evaluate.NAME(f, attribution, ...)` is a function with the arguments of `f` that returns a
number or a curve for one example: batches come from `jax.vmap`, speed from `jax.jit`, as
everywhere. In the place of the attribution may stand a dictionary of several; then so does the
result, and what does not depend on the attribution is computed once for all of them.
"""

from ._curves import Curve as Curve
from ._flipping import abpc as abpc
from ._flipping import pixel_flipping as pixel_flipping
