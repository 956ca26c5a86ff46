"""Features: what is changed together. Each function gives labels, to pass as `groups=`.

Labels are NumPy integers, numbered from 0 without gaps, that broadcast to one example: elements
with equal labels are one feature. They are made outside of `jax.jit`. Where each picture of a batch
has segments of its own, stack their labels, say how many there may be with `features=` where the
method is made, and pass `groups=` with the call.
"""

from .perturb._partitions import columns as columns
from .perturb._partitions import grid as grid
from .perturb._partitions import patches as patches
from .perturb._partitions import words as words
from .perturb._superpixels import quickshift as quickshift
from .perturb._superpixels import slic as slic
